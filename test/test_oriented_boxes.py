"""Oriented boxes: accuracy, canonical form, and shapes that are hardly shapes."""

import math

import cv2
from hypothesis import given, settings as hypothesis_settings, strategies as st
from hypothesis.extra import numpy as arrays
from instseg_ros.core.segmentation.oriented_boxes import oriented_box, oriented_boxes
import numpy as np
import pytest


def drawn(box, height=480, width=640):
    """Return the mask of a box: pixels whose centre is inside."""
    cx, cy, w, h, theta = box
    y, x = np.mgrid[:height, :width] + 0.5
    along = (x - cx) * math.cos(theta) - (y - cy) * math.sin(theta)
    across = (x - cx) * math.sin(theta) + (y - cy) * math.cos(theta)
    return ((np.abs(along) <= w / 2) & (np.abs(across) <= h / 2)).astype(np.uint8)


def squeezed(mask):
    """Return a mask as a 320x320 network grid has it, registered back to the frame."""
    grid = cv2.resize(mask, (320, 320), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(grid, mask.shape[::-1], interpolation=cv2.INTER_NEAREST)


def overlap(one, other):
    """Return the IoU of two boxes."""
    def corners(box):
        cx, cy, w, h, theta = box
        along = np.array([math.cos(theta), -math.sin(theta)]) * w / 2
        across = np.array([math.sin(theta), math.cos(theta)]) * h / 2
        return (np.array([cx, cy]) + np.array([-along - across, along - across, along + across,
                                               across - along])).astype(np.float32)
    both, _ = cv2.intersectConvexConvex(corners(one), corners(other))
    return both / (one[2] * one[3] + other[2] * other[3] - both)


@pytest.mark.parametrize('size', [(40, 40), (60, 40), (160, 40), (200, 80)])
def test_rectangles_are_found_again(size):
    rng = np.random.default_rng(0)
    direct, back = [], []
    for degrees in range(-80, 91, 10):
        box = (320 + rng.random(), 240 + rng.random(), *size, math.radians(degrees))
        mask = drawn(box)
        direct.append(overlap(oriented_box(mask), box))
        back.append(overlap(oriented_box(squeezed(mask)), box))
    assert np.mean(direct) >= 0.99
    assert np.mean(back) >= 0.935


@pytest.mark.parametrize('degrees', range(-85, 91, 5))
def test_theta_is_counter_clockwise_on_the_screen(degrees):
    theta = oriented_box(drawn((320, 240, 200, 60, math.radians(degrees))))[4]
    assert -math.pi / 2 < theta <= math.pi / 2
    difference = (theta - math.radians(degrees) + math.pi / 2) % math.pi - math.pi / 2
    assert abs(difference) < math.radians(1)


@pytest.mark.parametrize('pixels, expected', [
    # rows of the mask, then cx, cy, w, h, theta
    (['#'], (0.5, 0.5, 1, 1, 0)),
    (['####'], (2, 0.5, 4, 1, 0)),
    (['#', '#', '#'], (0.5, 1.5, 3, 1, math.pi / 2)),
    (['##', '##'], (1, 1, 2, 2, 0)),
    (['###', '###'], (1.5, 1, 3, 2, 0)),
    (['##', '##', '##'], (1, 1.5, 3, 2, math.pi / 2)),
])
def test_upright_shapes_are_exact(pixels, expected):
    region = np.array([[c == '#' for c in row] for row in pixels], np.uint8)
    assert oriented_box(region) == pytest.approx(expected)


@pytest.mark.parametrize('rising', [True, False])
def test_a_diagonal_line(rising):
    region = np.eye(20, dtype=np.uint8)
    cx, cy, w, h, theta = oriented_box(region[::-1].copy() if rising else region)
    assert (cx, cy) == pytest.approx((10, 10))
    assert theta == pytest.approx(math.pi / 4 if rising else -math.pi / 4)
    assert h >= 1 and 26 <= w <= 29


@hypothesis_settings(max_examples=150, deadline=None, derandomize=True)
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=16),
                     elements=st.integers(0, 1)).filter(lambda region: region.any()))
def test_canonical_for_any_pixels(region):
    cx, cy, w, h, theta = oriented_box(region)
    assert all(map(math.isfinite, (cx, cy, w, h, theta)))
    assert w >= h >= 1
    assert -math.pi / 2 < theta <= math.pi / 2
    assert 0 <= cx <= region.shape[1] and 0 <= cy <= region.shape[0]


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
@given(st.floats(20, 60), st.floats(10, 60), st.floats(-1.5, 1.5))
def test_as_small_as_opencv_finds_it(w, h, theta):
    """The direction is the one of OpenCV's rectangle, or one of the same area."""
    region = drawn((64, 64, w, h, theta), 128, 128)
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    _, theirs, _ = cv2.minAreaRect(contours[0])
    _, _, a, b, _ = oriented_box(region)
    assert abs(a - max(theirs)) < 2 and abs(b - min(theirs)) < 2


def test_together_as_alone():
    rng = np.random.default_rng(0)
    regions = [drawn((64, 64, *rng.uniform(4, 60, 2), rng.uniform(-1.5, 1.5)), 128, 128)
               for _ in range(40)]
    hulls = [cv2.convexHull(cv2.findContours(r, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0][0])
             for r in regions]
    together = oriented_boxes(hulls, np.array([r.sum() for r in regions], np.int64))
    assert together == pytest.approx(np.array([oriented_box(r) for r in regions]))
    assert oriented_boxes([], np.empty(0, np.int64)).shape == (0, 5)
