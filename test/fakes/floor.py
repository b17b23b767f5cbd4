"""Things drawn by a known camera over a known floor."""

import math

import cv2
from instseg_ros.core.ground import CameraModel, FloorView, Pose
from instseg_ros.core.instances import Instances
import numpy as np

WIDTH, HEIGHT, FOCAL = 320, 240, 250.0
MATRIX = [FOCAL, 0, (WIDTH - 1) / 2, 0, FOCAL, (HEIGHT - 1) / 2, 0, 0, 1]
LENSES = {
    'none': ('plumb_bob', []),
    'plumb_bob': ('plumb_bob', [-0.28, 0.08, 0.001, -0.0005, 0.0]),
    'rational': ('rational_polynomial', [0.9, 0.2, 0.0005, -0.0003, 0.01, 1.2, 0.3, 0.02]),
    'equidistant': ('equidistant', [-0.02, 0.004, -0.001, 0.0002]),
}
PERSON, RUG = 15, 3


def camera(lens='none', width=WIDTH, height=HEIGHT):
    model, distortion = LENSES[lens]
    return CameraModel(width, height, MATRIX, distortion, model)


def view(height=1.0, tilt=20.0, roll=0.0, lens='none'):
    return FloorView(camera(lens), Pose.of_camera(height, math.radians(tilt),
                                                  math.radians(roll)))


def instances_of(labels, classes=None):
    count = int(labels.max())
    boxes = []
    for k in range(1, count + 1):
        y, x = (labels == k).nonzero()
        boxes.append((x.min(), y.min(), x.max() + 1, y.max() + 1) if len(x) else (0, 0, 0, 0))
    return Instances(labels, np.array(classes or [PERSON] * count, np.uint8),
                     np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(np.int64),
                     np.ones(count), np.array(boxes, np.int32).reshape(-1, 4),
                     np.zeros((count, 5)))


def draw(seen, *things):
    """Return instances: upright boards (x, y, width, height), nearest last, (K, 2) floor areas."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    classes = []
    for k, thing in enumerate(things, 1):
        if isinstance(thing, np.ndarray):
            corners = np.column_stack([thing, np.zeros(len(thing))])
            classes.append(RUG)
        else:
            x, y, width, height = thing
            across = np.array([y, -x]) / math.hypot(x, y) * width / 2
            corners = np.array([[x, y, 0] + s * np.array([*across, 0]) + [0, 0, z]
                                for s, z in ((-1, 0), (1, 0), (1, height), (-1, height))])
            classes.append(PERSON)
        edges = np.concatenate([a + (b - a) * np.linspace(0, 1, 40)[:, None] for a, b in zip(
            corners, np.roll(corners, -1, axis=0), strict=True)])
        pixels = seen.to_pixels(edges)
        assert np.isfinite(pixels).all()
        cv2.fillPoly(labels, [np.round(pixels * 16).astype(np.int32)], k, shift=4)
    return instances_of(labels, classes)
