"""How well ten real masks are split, and that each constant of the algorithm has a part in it."""

from dataclasses import fields, replace
from pathlib import Path
import sys

import cv2
from instseg_ros.core import segment_instances, SegmentationSettings
from instseg_ros.core.segmentation import algorithm
from instseg_ros.core.segmentation.components import components
from instseg_ros.core.segmentation.watershed import distance_map
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'benchmarks'))
import metrics  # noqa: E402, I100

MASKS = Path(__file__).parent / 'masks'
KINDS = ('coco_voc20', 'coco_voc20_network', 'nuclei')
EXAMPLES = {kind: metrics.load(kind, MASKS) for kind in KINDS}
TRUE = SegmentationSettings(size_threshold=20)
DEFAULT = SegmentationSettings()


def split(kind, settings):
    """Return the overlaps and the scores of each image of a kind."""
    results = [(segment_instances(example.mask, settings), example) for example in EXAMPLES[kind]]
    return ([metrics.overlap(result.labels, result.class_ids, example)
             for result, example in results], [result.scores for result, _ in results])


def quality(kind, settings):
    """Return the panoptic quality of a kind."""
    return metrics.quality(split(kind, settings)[0]).pq


def plain(kind, settings):
    """Return the panoptic quality of a kind's components."""
    return quality(kind, settings.changed(dist_threshold=0.0))


def area_under_the_curve():
    """Return how well scores tell right instances of photos from wrong ones."""
    overlaps, scores = split('coco_voc20', TRUE)
    return metrics.roc_area(np.concatenate(scores), np.concatenate(
        [(one.iou > metrics.MATCH).any(axis=1) for one in overlaps]))


def count(mask, settings=TRUE):
    """Return the number of instances of a drawn mask."""
    return len(segment_instances(mask, settings))


def people(*places, heads=True):
    """Draw people who stand: x, y of the head, and height."""
    mask = np.zeros((300, 400), np.uint8)
    for x, y, height in places:
        unit = height / 8
        if heads:
            cv2.circle(mask, (x, round(y + unit / 2)), round(0.7 * unit), 15, -1)
        cv2.rectangle(mask, (round(x - unit), round(y + unit)),
                      (round(x + unit), round(y + 5 * unit)), 15, -1)
        cv2.rectangle(mask, (round(x - unit / 2), round(y + 5 * unit)),
                      (round(x + unit / 2), round(y + 8 * unit)), 15, -1)
    return mask


def two_tips():
    """Draw somebody in a wide coat and a hat with two tips."""
    mask = np.zeros((300, 300), np.uint8)
    cv2.ellipse(mask, (150, 170), (60, 100), 0, 0, 360, 15, -1)
    for x in (138, 162):
        cv2.ellipse(mask, (x, 75), (7, 60), 0, 0, 360, 15, -1)
    return mask


def bag():
    """Draw somebody with a bag that is half as high."""
    mask = np.zeros((300, 300), np.uint8)
    cv2.ellipse(mask, (120, 160), (25, 110), 0, 0, 360, 15, -1)
    cv2.ellipse(mask, (170, 205), (30, 65), 0, 0, 360, 15, -1)
    return mask


def arms_away():
    """Draw somebody whose arms rise from the outline."""
    mask = np.zeros((300, 200), np.uint8)
    for x, y, wide, high, degrees in ((100, 120, 36, 70, 0), (100, 38, 19, 22, 0),
                                      (76, 230, 14, 60, 8), (124, 230, 14, 60, -8),
                                      (52, 120, 9, 55, 12), (148, 120, 9, 55, -12)):
        cv2.ellipse(mask, (x, y), (wide, high), degrees, 0, 360, 15, -1)
    mask[55:70, 90:110] = 15
    return mask


def waist():
    """Draw two long limbs that meet end to end, a little bent."""
    mask = np.zeros((300, 120), np.uint8)
    cv2.ellipse(mask, (60, 85), (20, 72), 4, 0, 360, 1, -1)
    cv2.ellipse(mask, (60, 212), (17, 72), -4, 0, 360, 1, -1)
    return mask


def end_to_end():
    """Draw two long objects whose ends just touch."""
    mask = np.zeros((320, 120), np.uint8)
    for y in (80, 223):
        cv2.ellipse(mask, (60, y), (18, 72), 0, 0, 360, 1, -1)
    return mask


def arc():
    """Draw a bent bar, whose digital outline has ripples."""
    mask = np.zeros((300, 300), np.uint8)
    cv2.ellipse(mask, (150, 150), (100, 100), 0, 0, 250, 1, 34)
    return mask


def chipped_bar():
    """Draw a bar of five pixels that lacks two or three in its middle, from either side."""
    mask = np.zeros((40, 60), np.uint8)
    mask[10:15, 10:34] = 1
    mask[10:12, 21:24] = mask[14, 21:24] = 0
    return mask


def disc(radius=60):
    """Draw a disc."""
    mask = np.zeros((2 * radius + 5, 2 * radius + 5), np.uint8)
    cv2.circle(mask, (radius + 2, radius + 2), radius, 1, -1)
    return mask


def beside(distance):
    """Return the score of a small disc that is so far from a large one."""
    mask = np.zeros((200, 700), np.uint8)
    cv2.circle(mask, (100, 100), 80, 1, -1)
    cv2.circle(mask, (205 + distance, 100), 14, 1, -1)
    result = segment_instances(mask, TRUE)
    return result.scores[result.areas.argmin()]


GATES = {
    'photos': lambda: quality('coco_voc20', TRUE) >= 0.80,
    'photos, beside components': lambda: (
        quality('coco_voc20', TRUE) >= plain('coco_voc20', TRUE) + 0.1),
    'network': lambda: quality('coco_voc20_network', DEFAULT) >= 0.50,
    'network, beside components': lambda: (
        quality('coco_voc20_network', DEFAULT) >= plain('coco_voc20_network', DEFAULT) + 0.1),
    'nuclei': lambda: quality('nuclei', TRUE) >= 0.90,
    'nuclei, cut readily': lambda: (
        quality('nuclei', TRUE.changed(dist_threshold=0.7)) >= 0.90),
    'scores': lambda: area_under_the_curve() >= 0.75,
    'the score of what is nearby': lambda: beside(0) < 0.95 * beside(40),
    'a large one is nearby': lambda: beside(0) < 0.95 * beside(300),
    'a thousandth of the frame': lambda: (
        count(disc(), DEFAULT) == 1
        and SegmentationSettings().smallest_area((480, 640)) == 307),
    'a convex component is one object': lambda: (
        all(one.is_solid for one in components(disc(), 1))),
    'the grid has its size': lambda: all(
        700 < distance_map(one).size < 3000 for one in components(disc(200), 1)),
    'two people': lambda: count(people((150, 60, 200), (195, 70, 190))) == 2,
    'one who is large and one who is small': lambda: (
        count(people((150, 60, 200), (194, 100, 160))) == 2),
    'people without heads are one': lambda: (
        count(people((150, 60, 200), (190, 60, 200), heads=False)) == 1),
    'one person': lambda: count(arms_away()) == 1,
    'what is near is one head': lambda: count(two_tips()) == 1,
    'what is half as high is no head': lambda: count(bag()) == 1,
    'trunk and legs are one': lambda: count(waist()) == 1,
    'two long objects end to end': lambda: count(end_to_end()) == 2,
    'a pixel more or less is no neck': lambda: count(chipped_bar()) == 1,
    'ripples are no necks': lambda: count(arc(), TRUE.changed(dist_threshold=1.0)) == 1,
}
# Each constant, and extremes of it.
EXTREMES = {
    'automatic_size': (0.0, 1.0), 'solid': (0.3, 1.5), 'grid_cells': (30, 100_000),
    'shallow': (0.2, 2.0), 'outline_error': (0.0, 50.0), 'limit': (-3.0, 3.0),
    'concavity': (-60.0, 20.0), 'size_ratio': (-1.0, 2.0), 'elongation': (0.0, -30.0),
    'elongated': (0.5, 50.0), 'heads': (0.0, 9.0), 'heads_size_ratio': (0.0, 9.0),
    'head_prominence': (0.0, 1.0), 'head_distance': (0.0, 3.0), 'head_height': (0.0, 2.0),
    'score_weights': ((0.0, 0.0, 0.0, 0.0), (0.0, -1.0, 4.0, 1.0)),
    'score_reach': (0.01, 100.0),
}


@pytest.mark.parametrize('gate', GATES.values(), ids=GATES)
def test_gate(gate):
    assert gate()


@pytest.mark.parametrize(('name', 'value'), [
    (name, value) for name, values in EXTREMES.items() for value in values])
def test_an_extreme_constant_fails_a_gate(monkeypatch, name, value):
    monkeypatch.setattr(algorithm, 'ALGORITHM', replace(algorithm.ALGORITHM, **{name: value}))
    assert not all(gate() for gate in GATES.values())


def test_every_constant_is_tried():
    assert {one.name for one in fields(algorithm.Algorithm)} == EXTREMES.keys()


@pytest.mark.parametrize(('kind', 'least'), [('coco_voc20', 0.735), ('nuclei', 0.90)])
def test_quality_of_all_true_masks(kind, least):
    try:
        examples = metrics.load(kind)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    results = [segment_instances(example.mask, TRUE) for example in examples]
    assert metrics.quality(
        metrics.overlap(result.labels, result.class_ids, example)
        for result, example in zip(results, examples, strict=True)).pq >= least


def test_upright_classes_are_named_and_may_be_none():
    mask = people((150, 60, 200), (195, 70, 190))
    for settings, names, expected in (
            (TRUE, {}, 1), (TRUE, {15: 'Person'}, 2), (TRUE, {7: 'person'}, 1),
            (TRUE.changed(upright_classes=()), {15: 'person'}, 1),
            (TRUE.changed(upright_classes=['rider']), {15: 'rider'}, 2)):
        assert len(segment_instances(mask, settings, names)) == expected
    assert len(segment_instances(mask, TRUE)) == 2, 'PASCAL VOC: 15 is person'


def test_heads_count_only_when_they_are_up():
    mask = np.rot90(people((150, 60, 200), (195, 60, 200)))
    assert len(segment_instances(np.ascontiguousarray(mask), TRUE)) == 1
