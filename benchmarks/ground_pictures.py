"""
Make the picture of docs/navigation.md: ``python benchmarks/ground_pictures.py``.

The street of ../shared/data is not calibrated: field of view, height and tilt are those at which
the people are 1.7 m tall in every part of the frame (7 m, 31 and 60 degrees).
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
from instseg_ros.core import segment_instances, SegmentationSettings, Tracker, TrackingSettings
from instseg_ros.core.ground import (CameraModel, free_space, GroundObjects, GroundSettings,
                                     GroundTracker, Pose)
from instseg_ros.messages.ground import obstacle_points
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
STREET = ROOT.parent / 'shared' / 'data' / 'street'
SETTINGS = GroundSettings(camera_height=7.0, camera_tilt=31.0, horizontal_fov=60.0,
                          max_distance=40.0)
NAMES = {7: 'car', 15: 'person'}
COLOURS = ((60, 60, 230), (75, 180, 60), (220, 100, 65), (50, 130, 245), (180, 30, 145),
           (140, 153, 70), (230, 50, 240), (36, 99, 154))
SCALE, ABOVE = 22, 4  # pixels for each metre, metres behind the camera


def colour(found: GroundObjects, k: int) -> tuple[int, int, int]:
    return COLOURS[int(found.ids[k]) % len(COLOURS)] if found.ids[k] else (150, 150, 150)


def words(found: GroundObjects, k: int) -> str:
    speed = float(np.hypot(*found.velocities[k]))
    return f'{found.ids[k] or ""} {np.hypot(*found.positions[k]):.1f} m' + (
        f', {speed:.1f} m/s' if speed > 0.15 else '')


def write(picture: np.ndarray, text: str, x: float, y: float, ink: tuple[int, int, int]) -> None:
    place = (int(x), int(y))
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 3,
                cv2.LINE_AA)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, ink, 1, cv2.LINE_AA)


def over_frame(frame: np.ndarray, found: GroundObjects) -> np.ndarray:
    """Draw footprints, contact edges, names and velocities into the frame."""
    picture = frame.copy()
    for k in found.placed.tolist():
        ink = colour(found, k)
        corners = found.view.to_pixels(found.footprint(k))
        cv2.polylines(picture, [np.round(corners * 16).astype(np.int32)], True, ink, 2,
                      cv2.LINE_AA, 4)
        for x, y in found.view.to_pixels(found.contact(k)):
            cv2.circle(picture, (round(x), round(y)), 1, (0, 255, 255), -1)
        if np.hypot(*found.velocities[k]) > 0.15:
            ends = found.view.to_pixels(
                np.array([found.positions[k], found.positions[k] + found.velocities[k]]))
            cv2.arrowedLine(picture, *(tuple(np.round(e).astype(int).tolist()) for e in ends),
                            ink, 2, cv2.LINE_AA, 0, 0.25)
        x0, y0, _, _ = found.instances.boxes[k].tolist()
        write(picture, words(found, k), x0 - 10, y0 - 4, ink)
    return picture


def from_above(found: GroundObjects, height: int) -> np.ndarray:
    """Draw the floor from above, the camera at the bottom: a metre is SCALE pixels."""
    width = 640
    picture = np.full((height, width, 3), 255, np.uint8)

    def at(points: np.ndarray) -> np.ndarray:
        x, y = np.atleast_2d(points).T
        return np.column_stack([width / 2 - y * SCALE, height - (x - ABOVE) * SCALE])

    ends = free_space(found)
    seen = np.concatenate([ends, [found.view.pose.translation[:2]]])
    cv2.fillPoly(picture, [np.round(at(seen)).astype(np.int32)], (238, 245, 238))
    for metre in range(0, 45, 5):
        x, y = at(np.array([metre, 0]))[0]
        cv2.line(picture, (0, int(y)), (width, int(y)), (215, 215, 215), 1)
        write(picture, f'{metre} m', 4, y - 3, (130, 130, 130))
    for x, y in at(obstacle_points(found)[:, :2]):
        cv2.circle(picture, (round(x), round(y)), 1, (0, 170, 220), -1)
    for k in found.placed.tolist():
        ink = colour(found, k)
        cv2.polylines(picture, [np.round(at(found.footprint(k)) * 16).astype(np.int32)], True,
                      ink, 2, cv2.LINE_AA, 4)
        values, axes = np.linalg.eigh(found.covariances[k, :2, :2])
        turn = np.linspace(0, 2 * math.pi, 40)
        ring = np.column_stack([np.cos(turn), np.sin(turn)]) * np.sqrt(5.99 * values) @ axes.T
        cv2.polylines(picture, [np.round(at(ring + found.positions[k]) * 16).astype(np.int32)],
                      True, ink, 1, cv2.LINE_AA, 4)
        x, y = at(found.positions[k])[0]
        if np.hypot(*found.velocities[k]) > 0.15:
            tip = at(found.positions[k] + found.velocities[k])[0]
            cv2.arrowedLine(picture, (round(x), round(y)), (round(tip[0]), round(tip[1])), ink, 2,
                            cv2.LINE_AA, 0, 0.25)
        write(picture, words(found, k), x + 8, y - 8, ink)
    return picture


def main() -> None:
    tracker, ground = Tracker(TrackingSettings()), GroundTracker(SETTINGS)
    camera = CameraModel.from_field_of_view(640, 480, SETTINGS.horizontal_fov)
    pose: Pose = SETTINGS.camera_pose()
    heights, speeds, at = [], [], 100
    for number, file in enumerate(sorted(STREET.glob('*.png'))):
        mask = cv2.resize(cv2.imread(str(file), 0), (640, 480), interpolation=cv2.INTER_NEAREST)
        instances = segment_instances(mask, SegmentationSettings(size_threshold=300))
        ids = tracker.update(instances, number * 10**8)
        found = ground.update(instances, ids, number * 10**8, camera, pose, Pose.identity(), NAMES)
        seen = (instances.class_ids == 15) & np.isfinite(found.measured.height_noise)
        heights += found.measured.heights[seen].tolist()
        speeds += np.hypot(*found.velocities[seen & (ids > 0)].T).tolist()
        if number == at:
            frame = cv2.imread(str(file.with_suffix('.jpg')))
            cv2.imwrite(str(ROOT / 'docs' / 'images' / 'navigation.png'),
                        np.hstack([over_frame(frame, found), from_above(found, 480)]))
    middle = np.median(heights)
    speeds = np.array(speeds)[np.isfinite(speeds)]
    print(f'people: height {middle:.2f} m (half within '
          f'{np.median(np.abs(np.array(heights) - middle)):.2f} m), speed median '
          f'{np.median(speeds):.2f} m/s, 90 % below {np.percentile(speeds, 90):.2f}')


if __name__ == '__main__':
    main()
