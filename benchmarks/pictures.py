"""Make the pictures of ``docs``: ``python benchmarks/pictures.py``."""

from __future__ import annotations

from pathlib import Path
import sys

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from instseg_ros.cameras.camera import CameraSettings  # noqa: E402, I100
from instseg_ros.cameras.recording import RecordingCamera  # noqa: E402
from instseg_ros.cameras.synthetic import CLASS_NAMES, SyntheticScene  # noqa: E402
from instseg_ros.core import segment_instances, SegmentationSettings, Segmenter  # noqa: E402
from instseg_ros.core import Tracker, TrackingSettings  # noqa: E402
from instseg_ros.core.drawing import draw_overlay, OverlaySettings  # noqa: E402
from instseg_ros.core.segmentation.debug_view import debug_view  # noqa: E402
from instseg_ros.messages.detections import id_texts  # noqa: E402

PICTURES = ROOT / 'docs' / 'images'
MASKS = ROOT.parent / 'shared' / 'data' / 'masks'


def drawn() -> np.ndarray:
    """Return two people side by side, three balls in a row, and a ring."""
    mask = np.zeros((360, 640), np.uint8)
    for x in (90, 158):
        cv2.ellipse(mask, (x, 150), (34, 70), 0, 0, 360, 15, -1)
        cv2.circle(mask, (x, 64), 20, 15, -1)
        cv2.rectangle(mask, (x - 14, 70), (x + 14, 100), 15, -1)
        for side in (-1, 1):
            cv2.ellipse(mask, (x + 17 * side, 260), (12, 62), -6 * side, 0, 360, 15, -1)
    for x, y, r in ((300, 90, 46), (380, 110, 40), (446, 150, 32)):
        cv2.circle(mask, (x, y), r, 9, -1)
    cv2.circle(mask, (400, 270), 62, 12, -1)
    cv2.circle(mask, (400, 270), 34, 0, -1)
    cv2.ellipse(mask, (560, 200), (44, 120), 20, 0, 360, 7, -1)
    return mask


def street(moment: int = 66) -> np.ndarray:
    """Return a moment of the sample recording as the overlay shows it."""
    tracker = Tracker(TrackingSettings())
    camera = RecordingCamera(CameraSettings(source=str(ROOT / 'sample')))
    for i, capture in enumerate(camera.captures()):
        found = segment_instances(capture.mask, SegmentationSettings())
        ids = id_texts(tracker.update(found, capture.stamp_ns))
        if i == moment:
            return draw_overlay(capture.frame, found, ids, camera.class_names, OverlaySettings())
    raise ValueError(f'the sample has no moment {moment}')


def followed(shown: tuple[float, ...] = (5.2, 5.4, 5.7, 6.3)) -> np.ndarray:
    """Return moments of a drawn street: a blob of two, and a car behind people and a post."""
    scene, tracker, tiles = SyntheticScene(640, 480, seed=13), Tracker(TrackingSettings()), []
    for i in range(round(10 * max(shown)) + 1):
        moment = scene.at(i / 10)
        found = segment_instances(moment.mask, SegmentationSettings())
        ids = id_texts(tracker.update(found, round(i * 1e8)))
        if i / 10 in shown:
            tile = draw_overlay(moment.frame, found, ids, CLASS_NAMES,
                                OverlaySettings())
            tiles.append(cv2.copyMakeBorder(tile[180:460, :440], 0, 4, 0, 4,
                                            cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])


def post() -> np.ndarray:
    """Return a bar that passes behind a lamp post: its ids, and in red the box of its track."""
    tracker, tiles = Tracker(TrackingSettings()), []
    settings = SegmentationSettings(dist_threshold=0, size_threshold=1)
    for i, x in enumerate(range(10, 100, 5)):
        mask = np.zeros((110, 220), np.uint8)
        mask[40:70, x:x + 60] = 15
        mask[:, 85:91] = 0
        found = segment_instances(mask, settings)
        ids = tracker.update(found, i * 50_000_000)
        if x not in (15, 45, 70, 95):
            continue
        picture = np.full((110, 220, 3), 245, np.uint8)
        picture[:, 85:91] = 150
        for label, number in enumerate(ids.tolist(), 1):
            picture[found.labels == label] = (190, 140, 60) if number else (205, 200, 190)
        picture = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        for x0, y0, x1, y1 in (2 * tracker.tracks().boxes).round().astype(int).tolist():
            cv2.rectangle(picture, (x0, y0), (x1, y1), (40, 40, 220), 2)
        for (x0, y0, x1, y1), number in zip(found.boxes.tolist(), ids.tolist(), strict=True):
            cv2.putText(picture, str(number or '-'), (x0 + x1 - 8, y0 + y1 + 8),
                        cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 2, cv2.LINE_AA)
        tiles.append(cv2.copyMakeBorder(picture, 2, 2, 2, 2, cv2.BORDER_CONSTANT,
                                        value=(255, 255, 255)))
    return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])


def meeting() -> np.ndarray:
    """Return two people who pass each other: above without memory, below with it."""
    scene, rows = SyntheticScene(640, 480, seed=3), []
    for memory in (False, True):
        segmenter = Segmenter(SegmentationSettings(memory=memory))
        tracker, row = Tracker(TrackingSettings()), []
        for i in range(31):
            moment, stamp = scene.at(i / 10), i * 10**8
            instances = segmenter.update(moment.mask, stamp)
            ids = id_texts(tracker.update(instances, stamp))
            if i in (16, 20, 24, 26, 30):
                row.append(draw_overlay(moment.frame, instances, ids, CLASS_NAMES,
                                        OverlaySettings(show_labels=False))[180:450, 240:400])
        rows.append(np.hstack(row))
    return np.vstack(rows)


def noisy() -> np.ndarray:
    """Return two discs with a thin bridge between them, and specks."""
    mask = np.zeros((240, 360), np.uint8)
    cv2.circle(mask, (95, 120), 62, 15, -1)
    cv2.circle(mask, (265, 120), 62, 15, -1)
    mask[117:123, 95:265] = 15
    for x, y in np.random.default_rng(3).integers((5, 5), (355, 235), (25, 2)):
        mask[y - 2:y + 3, x - 2:x + 3] = 15
    return mask


def coloured(mask: np.ndarray, settings: SegmentationSettings) -> np.ndarray:
    """Return the instances of a mask in colours."""
    view = debug_view(mask, settings)
    grey = np.where(mask[..., None] > 0, np.uint8(60), np.uint8(0)).repeat(3, axis=2)
    return np.where(view.merged.any(axis=2, keepdims=True), view.merged, grey)


def before_and_after(mask: np.ndarray, before: dict, after: dict) -> np.ndarray:
    """Return the instances with some settings and with others, side by side, with titles."""
    tiles = []
    for changes in (before, after):
        tile = coloured(mask, SegmentationSettings(**changes))
        scale = 300 / tile.shape[0]
        tile = cv2.resize(tile, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        tile = cv2.copyMakeBorder(tile, 26, 4, 4, 4, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        shown = {name: list(value) if isinstance(value, tuple) else value
                 for name, value in changes.items() if before.get(name) != after.get(name)}
        cv2.putText(tile, ', '.join(f'{name}: {value}' for name, value in shown.items()), (6, 18),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    return np.hstack(tiles)


def parameters() -> None:
    """Write a picture for each knob of the segmentation, from the masks of the tests."""
    def mask(kind: str, name: str) -> np.ndarray:
        return np.load(ROOT / 'test' / 'masks' / kind / f'{name}.npz')['semantic']

    people = mask('coco_voc20_network', '000000475546')
    street = mask('coco_voc20', '000000252639')
    opened = {'size_threshold': 20, 'erosion_iteration': 4}
    for name, image, before, after in (
            ('dist_threshold', mask('nuclei', '5ddbfba251948431'),
             {'dist_threshold': 0.3, 'size_threshold': 20},
             {'dist_threshold': 0.7, 'size_threshold': 20}),
            ('size_threshold', noisy(),
             {'size_threshold': 1}, {'size_threshold': -1}),
            ('upright_classes', people, {'upright_classes': ()},
             {'upright_classes': ('person',)}),
            ('erosion', noisy(), {**opened, 'erosion_iteration': 0, 'dist_threshold': 0.0},
             {**opened, 'dist_threshold': 0.0}),
            ('dilate', noisy(), {**opened, 'dist_threshold': 0.0, 'dilate_iteration': 0},
             {**opened, 'dist_threshold': 0.0, 'dilate_iteration': 5}),
            ('ignored_classes', street, {'ignored_classes': ()}, {'ignored_classes': (7,)})):
        cv2.imwrite(str(PICTURES / 'parameters' / f'{name}.png'),
                    before_and_after(image, before, after))
    cv2.imwrite(str(PICTURES / 'heads.png'), debug_view(people, SegmentationSettings()).mosaic)


def main() -> None:
    """Write all pictures."""
    (PICTURES / 'parameters').mkdir(parents=True, exist_ok=True)
    parameters()
    masks = {'drawn': drawn()}
    for kind, name in (('nuclei', None), ('coco_voc20', '000000053731')):
        files = sorted((MASKS / kind).glob('*.npz'))
        chosen = [f for f in files if f.stem == name] or files[7:8]
        if chosen:
            masks[kind] = np.load(chosen[0])['semantic']
    for name, mask in masks.items():
        cv2.imwrite(str(PICTURES / f'{name}.png'),
                    debug_view(mask, SegmentationSettings(size_threshold=20)).mosaic)
    cv2.imwrite(str(PICTURES / 'overlay.png'), street())
    cv2.imwrite(str(PICTURES / 'tracking.jpg'), followed())
    cv2.imwrite(str(PICTURES / 'tracking_post.png'), post())
    cv2.imwrite(str(PICTURES / 'memory.png'), meeting())


if __name__ == '__main__':
    main()
