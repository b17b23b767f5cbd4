"""Instances out of the tensors of YOLO-seg: decoding, suppression, registration to the frame."""

import math

import cv2
from fakes.instance_tensors import distances, SCORE, SIZE, suppressed
from instseg_ros.cameras import CameraError
from instseg_ros.cameras.instance_network import Found, read_outputs, read_plain, register
import numpy as np
import pytest

BOX = np.array([(0.2, 0.3), (0.5, 0.7)])


class Arrays:
    """Tensors that are arrays already."""

    def __init__(self, arrays):
        self.arrays, self.sizes, self.asked = arrays, [a.shape for a in arrays], set()

    def array(self, index):
        self.asked.add(index)
        return self.arrays[index]

    def __str__(self):
        return ', '.join('x'.join(map(str, size)) for size in self.sizes)


def read(arrays, min_score=0.25, size=SIZE, **options):
    return read_outputs(Arrays(arrays), (size, size), min_score, **options)


def random_tensors(count, seed):
    """Return tensors as YOLO11n-seg for the AI Camera has them, with some objects."""
    rng = np.random.default_rng(seed)
    prototypes = np.stack([cv2.resize(rng.standard_normal((12, 12)), (160, 160),
                                      interpolation=cv2.INTER_CUBIC) for _ in range(32)])
    corners = np.sort(rng.uniform(-20, 660, (300, 2, 2)), axis=1)
    scores = np.zeros(300)
    scores[:count] = np.sort(rng.uniform(0.1, 1, count))[::-1]
    return [a.astype(np.float32) for a in (
        corners.reshape(300, 4), scores, rng.integers(0, 80, 300), rng.standard_normal((300, 32)),
        prototypes)]


@pytest.mark.parametrize('seed', range(5))
def test_cells_are_those_of_whole_masks(seed):
    tensors = random_tensors(20, seed)
    boxes, _, _, coefficients, prototypes = tensors
    found = read(tensors, 0.0, 640)
    assert len(found.scores) == 20
    probabilities = 1 / (1 + np.exp(-np.tensordot(coefficients[:20], prototypes, 1)))
    for k in range(20):
        x0, y0, x1, y1 = np.clip(boxes[k] / 4, 0, 160)
        rows = slice(math.floor(y0), math.ceil(y1))
        columns = slice(math.floor(x0), math.ceil(x1))
        np.testing.assert_array_equal(found.logits(k, rows, columns) > 0,
                                      probabilities[k, rows, columns] > 0.5)


@pytest.mark.parametrize('tensors', [suppressed(BOX), suppressed(BOX, unit=1), distances(BOX)],
                         ids=['pixels', 'normalised', 'distances'])
def test_forms_of_exports(tensors):
    found = read(tensors)
    assert found.scores.tolist() == [SCORE]
    assert found.classes.tolist() == [0]
    np.testing.assert_allclose(found.boxes, [(0.185, 0.28, 0.515, 0.72)], atol=1e-6)
    assert len(read(tensors, 0.1).scores) == 2
    assert len(read(tensors, 0.0).scores) == 2  # and not the 300 rows that are empty
    assert len(read(tensors, 0.9).scores) == 0


def test_what_is_said_of_boxes():
    tensors = suppressed(BOX)
    tensors[0] = tensors[0][:, [1, 0, 3, 2]]
    np.testing.assert_allclose(read(tensors, rows_first=True).boxes,
                               [(0.185, 0.28, 0.515, 0.72)], atol=1e-6)
    # A small one in a corner: only the network can say what it is in.
    tiny = suppressed(BOX)
    tiny[0][0] = 0, 0, 1.5, 1.5
    tiny[1][1:] = 0
    np.testing.assert_allclose(read(tiny).boxes, [(0, 0, 1.5, 1.5)])
    np.testing.assert_allclose(read(tiny, in_pixels=True).boxes[0, 2], 1.5 / SIZE)


def test_prototypes_are_not_looked_at_for_an_empty_picture():
    outputs = Arrays(suppressed(BOX))
    read_outputs(outputs, (SIZE, SIZE), 0.9)
    assert 4 not in outputs.asked


@pytest.mark.parametrize('change', [
    lambda t: t[:4], lambda t: [*t[:3], t[3].T, t[4]], lambda t: [t[0].T, *t[1:]],
    lambda t: [*t[:4], t[4][:31]], lambda t: []])
def test_tensors_of_another_kind(change):
    with pytest.raises(CameraError, match='expected a network of instances, with boxes Nx4'):
        read(change(suppressed(BOX)))
    with pytest.raises(CameraError, match='expected 2100 boxes of a network whose input is 320x'):
        read([a[:, :-1] if a.ndim == 2 else a for a in distances(BOX)])


def test_more_classes_than_ids():
    tensors = suppressed(BOX)
    tensors[2][0] = 254
    with pytest.raises(CameraError, match='expected classes from 0 to 253, got 254'):
        read(tensors)


def plain(rows, classes=3):
    """Return predictions of (x, y, w, h, class, score, coefficient), others with score 0."""
    predictions = np.zeros((4 + classes + 1, 84), np.float32)
    for k, (x, y, w, h, kind, score, coefficient) in enumerate(rows):
        predictions[:4, k] = x, y, w, h
        predictions[4 + kind, k] = score
        predictions[-1, k] = coefficient
    return predictions


def test_double_boxes_are_one_object():
    ones = np.ones((1, 16, 16), np.float32)
    found = read_plain(plain([
        (20, 20, 20, 20, 0, 0.5, 1), (21, 20, 20, 20, 0, 0.9, 1), (45, 40, 20, 20, 0, 0.6, 1),
        (21, 20, 20, 20, 1, 0.7, 1), (20, 20, 30, 20, 0, 0.4, 1)]), ones, (64, 64), 0.25)
    # The same place, and another class; two thirds are not enough to be the same.
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6, 0.4])
    assert found.classes.tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(found.boxes[0] * 64, [11, 10, 31, 30])
    assert len(read_plain(plain([]), ones, (64, 64), 0.25).scores) == 0


def boxes_of(*rows, size=64, proto=None):
    """Return what was found: (x0, y0, x1, y1, score) in pixels of the input."""
    rows = np.array(rows, np.float32).reshape(-1, 5)
    proto = np.ones((1, size // 4, size // 4), np.float32) if proto is None else proto
    return Found(rows[:, :4] / size, rows[:, 4], np.arange(len(rows)),
                 np.ones((len(rows), 1), np.float32), proto)


def test_the_higher_score_is_in_front():
    found = boxes_of((0, 0, 32, 32, 0.9), (16, 16, 48, 48, 0.8), (4, 4, 20, 20, 0.7),
                     (40, 40, 64, 64, 0.6))
    instances, mask = register(found, (64, 64))
    assert instances.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])  # one is hidden
    assert instances.class_ids.tolist() == [1, 2, 4]
    labels = instances.labels
    assert labels.dtype == np.uint16
    assert (labels[:32, :32] == 1).all()
    assert (labels[32:48, 16:48] == 2).all()
    assert (labels[48:, 48:] == 3).all()
    assert instances.areas.tolist() == np.bincount(labels.ravel())[1:].tolist()
    assert instances.boxes.tolist() == [[0, 0, 32, 32], [16, 16, 48, 48], [40, 40, 64, 64]]
    np.testing.assert_array_equal(mask, np.array([0, 1, 2, 4])[labels])
    # Of the network, in canonical form; its box is not cut where others are in front.
    np.testing.assert_allclose(instances.oriented_boxes[1], [32, 32, 32, 32, 0])
    tall, _ = register(boxes_of((8, 0, 24, 64, 0.9)), (64, 64))
    np.testing.assert_allclose(tall.oriented_boxes, [[16, 32, 64, 16, np.pi / 2]])


def test_what_is_not_a_number_has_no_pixels():
    found = boxes_of((8, 8, 32, 32, 0.9), (np.nan, 0, 64, 64, 0.8), (0, 0, np.inf, 8, 0.7))
    instances, _ = register(found, (64, 64))
    assert instances.scores.tolist() == pytest.approx([0.9, 0.7])
    instances, _ = register(boxes_of((8, 8, 32, 32, 0.9), proto=np.full((1, 16, 16), np.nan)),
                            (64, 64))
    assert len(instances) == 0


def test_nothing_is_an_answer():
    instances, mask = register(boxes_of(), (40, 30), (10, 0, 20, 30), (0, 0, 40, 30))
    assert len(instances) == 0
    assert instances.oriented_boxes.shape == (0, 5)
    np.testing.assert_array_equal(mask, np.where((np.arange(40) < 10) | (np.arange(40) >= 30),
                                                 255, 0)[np.newaxis].repeat(30, 0))


@pytest.mark.parametrize('size', [(640, 480), (1280, 720)])
def test_outlines_are_smooth(size):
    y, x = (np.mgrid[:160, :160] + 0.5) / 160
    proto = 40 * (0.3 - np.hypot(x - 0.5, y - 0.5)).astype(np.float32)[np.newaxis]
    instances, _ = register(boxes_of((0, 0, 640, 640, 0.9), size=640, proto=proto), size)
    y, x = np.mgrid[:size[1], :size[0]] + 0.5
    truth = np.hypot(x / size[0] - 0.5, y / size[1] - 0.5) < 0.3
    wrong = np.count_nonzero((instances.labels > 0) != truth)
    cells = np.kron(proto[0] > 0, np.ones((5, 5)))  # what a mask of cells would be
    blocky = cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST) > 0
    assert wrong < 0.1 * np.count_nonzero(blocky != truth)
    assert wrong < 0.001 * truth.size


@pytest.mark.parametrize('horizontal', [False, True])
@pytest.mark.parametrize('vertical', [False, True])
def test_mirrored(horizontal, vertical):
    rng = np.random.default_rng(0)
    proto = cv2.resize(rng.standard_normal((4, 4)).astype(np.float32), (16, 16))[np.newaxis]
    found = boxes_of((3, 5, 40, 30, 0.9), proto=proto)
    turn = slice(None, None, -1 if vertical else 1), slice(None, None, -1 if horizontal else 1)
    plainly, _ = register(found, (64, 64))
    turned, _ = register(found.mirrored(horizontal, vertical), (64, 64))
    np.testing.assert_array_equal(turned.labels, plainly.labels[turn])
    assert 0 < plainly.areas[0] < 37 * 25
