"""
Draw the pictures of docs/scene.md: ``python benchmarks/scene_pictures.py``.

The three recipes of the page, on the sample recording and on a drawn street.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import cv2
from instseg_ros.core import segment_instances, SegmentationSettings, Tracker, TrackingSettings
from instseg_ros.core.drawing import draw_overlay, OverlaySettings
from instseg_ros.core.scene import Scene, SceneSettings
from instseg_ros.core.scene.drawing import Counts, draw_scene
from instseg_ros.recordings.bag import Bag
import numpy as np
from scene import described, NAMES, SIZE, Street
import yaml

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / 'docs'


def recipes() -> list[dict]:
    """Return the parameters of each recipe, as the page has them."""
    blocks = (DOCS / 'scene.md').read_text().split('```yaml\n')[1:]
    return [yaml.safe_load(b.split('```')[0])['/**/scene_node']['ros__parameters']
            for b in blocks]


def settings(recipe: dict) -> SceneSettings:
    return SceneSettings(selections=tuple(recipe['selections'])).changed(**{
        f'{name}.{key}': value for name in recipe['selections']
        for key, value in recipe[name].items()})


def drawn(of: SceneSettings, frames, names) -> np.ndarray:
    """Return the overlay of the first frame in which most are in the first selection to stay."""
    scene, tracker = Scene(of, names), Tracker(TrackingSettings())
    first, most, best, last = next(iter(of.named)), -1, None, deque(maxlen=15)
    for image, instances, stamp_ns in frames:
        ids = tracker.update(instances, stamp_ns)
        selected, _ = scene.update(instances, ids, stamp_ns)
        last.append((image, instances, ids, selected))
        now, then = (set(i[s[first].rows].tolist()) for _, _, i, s in (last[-1], last[0]))
        if len(then) > most and then <= now:
            most, best = len(then), last[0]
    image, instances, ids, selected = best
    picture = draw_overlay(image, instances, [str(i or '') for i in ids.tolist()], names,
                           OverlaySettings(show_boxes=False))
    draw_scene(picture, of, {n: Counts(s.count, s.forward, s.backward)
                             for n, s in selected.items()}, 0.45)
    for row in selected[first].rows.tolist():  # a white outline around who is selected
        inside = (instances.labels == row + 1).view(np.uint8)
        outline, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outline, -1, (255, 255, 255), 2)
    return picture


def sample():
    """Yield the frames of the sample recording."""
    with Bag(HERE.parent / 'sample') as bag:
        images: dict = {}
        for topic, time_ns, data in bag.messages(['/camera/image_raw/compressed',
                                                  '/camera/semantic_mask/compressed']):
            message = bag.decode(topic, time_ns, data)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            pixels = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
            images.setdefault(stamp, {})['mask' in topic] = pixels
            if len(images[stamp]) == 2:
                pair = images.pop(stamp)
                yield pair[False], segment_instances(pair[True], SegmentationSettings()), stamp


def street(seed: int):
    """Yield the frames of a drawn street with riders."""
    scene = Street(*SIZE, seed=seed, objects=7)
    for i in range(300):
        moment = scene.at(i / 15)
        yield moment.frame, described(moment.labels, moment.class_ids), round(i * 1e9 / 15)


def main() -> None:
    door, riders, front = (settings(r) for r in recipes())
    people = {0: 'background', 7: 'car', 15: 'person'}
    for name, picture in (('door', drawn(door, sample(), people)),
                          ('riders', drawn(riders, street(104), NAMES)),
                          ('front', drawn(front, street(101), NAMES))):
        cv2.imwrite(str(DOCS / 'images' / f'scene_{name}.png'), picture,
                    [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == '__main__':
    main()
