from dataclasses import fields

from instseg_ros.core import Instances, segment_instances, SegmentationSettings, Segmenter
from instseg_ros.core.occlusion import InstanceMemory
from instseg_ros.core.occlusion.shape_memory import APART_S
import numpy as np
import pytest

FRAME_NS = 50_000_000
PLAIN = SegmentationSettings(dist_threshold=0, memory=True)


def street(*people, shape=(160, 240)):
    """Return a mask of people (x, foot y, class): a head, a body."""
    mask = np.zeros(shape, np.uint8)
    for x, foot, *kind in people:
        x, kind = round(x), kind[0] if kind else 15
        mask[foot - 60:foot, max(x - 11, 0):max(x + 11, 0)] = kind
        mask[foot - 76:foot - 60, max(x - 6, 0):max(x + 6, 0)] = kind
    return mask


def passing(i):
    """Two people walking towards each other and past, one nearer than the other."""
    return street((30 + 5 * i, 120), (210 - 5 * i, 128))


def run(segmenter, masks):
    return [segmenter.update(mask, i * FRAME_NS) for i, mask in enumerate(masks)]


def same(a, b):
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def test_people_who_pass_each_other_stay_two_while_both_can_be_seen():
    results = run(Segmenter(PLAIN), [passing(i) for i in range(37)])
    alone = [len(segment_instances(passing(i), PLAIN)) for i in range(37)]
    melted = [i for i, n in enumerate(alone) if n == 1 and abs(2 * (i - 18) * 5) >= 10]
    assert len(melted) >= 4
    assert all(len(results[i]) == 2 for i in melted)


def cut_at(instances, row):
    """Return one instance as the splitter would give it cut in two at that row."""
    labels = instances.labels.copy()
    labels[row:][labels[row:] > 0] = 2
    ys = [np.nonzero(labels == k)[0] for k in (1, 2)]
    xs = [np.nonzero(labels == k)[1] for k in (1, 2)]
    boxes = np.array([(x.min(), y.min(), x.max() + 1, y.max() + 1)
                      for x, y in zip(xs, ys, strict=True)], np.int32)
    return Instances(labels, np.repeat(instances.class_ids, 2), np.array([len(x) for x in xs]),
                     np.ones(2), boxes, np.tile(instances.oriented_boxes, (2, 1)))


def test_one_who_was_one_is_not_cut_for_a_flicker_but_for_good():
    memory = InstanceMemory()
    scenes = [segment_instances(street((60 + 2 * i, 120)), PLAIN) for i in range(24)]
    for i, scene in enumerate(scenes[:8]):
        memory.update(scene, i * FRAME_NS)
    counts = []
    for i, scene in enumerate(scenes[8:], 8):
        result = memory.update(cut_at(scene, 90), i * FRAME_NS)
        assert np.array_equal(result.labels > 0, scene.labels > 0)
        counts.append(len(result))
    flicker = round(APART_S * 1e9) // FRAME_NS
    assert counts == [1] * flicker + [2] * (16 - flicker)
    # Somebody who was never seen as one is left as the splitter cut them.
    memory.reset()
    assert [len(memory.update(cut_at(s, 90), i * FRAME_NS)) for i, s in enumerate(scenes)] \
        == [2] * 24


def test_the_parts_are_the_blob_and_well_described():
    for i, result in enumerate(run(Segmenter(PLAIN), [passing(i) for i in range(37)])):
        labels = result.labels
        assert labels.dtype == np.uint16
        assert np.array_equal(labels > 0, passing(i) > 0)
        assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, len(result) + 1))
        assert np.array_equal(np.bincount(labels.ravel())[1:], result.areas)
        for k, (x0, y0, x1, y1) in enumerate(result.boxes.tolist(), 1):
            ys, xs = np.nonzero(labels == k)
            assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x0, y0, x1, y1)


def test_off_means_exactly_the_single_frame_result():
    settings = PLAIN.changed(memory=False)
    for i, result in enumerate(run(Segmenter(settings), [passing(i) for i in range(37)])):
        assert same(result, segment_instances(passing(i), settings))


def test_switching_it_off_and_on_while_running():
    segmenter = Segmenter(PLAIN)
    for i in range(17):
        segmenter.update(passing(i), i * FRAME_NS)
    segmenter.settings = PLAIN.changed(memory=False)
    assert len(segmenter.update(passing(17), 17 * FRAME_NS)) == 1
    segmenter.settings = PLAIN
    assert len(segmenter.update(passing(17), 18 * FRAME_NS)) == 1


def test_a_blob_that_nobody_was_seen_to_enter_is_never_cut():
    masks = [street((100 + i, 120), (116 + i, 126)) for i in range(20)]
    assert all(len(r) == 1 for r in run(Segmenter(PLAIN), masks))


@pytest.mark.parametrize('split', [1, 2, 6])
def test_one_object_that_fell_in_two_for_a_moment_heals(split):
    whole, torn = street((100, 120)), street((100, 120))
    torn[85:88] = 0
    results = run(Segmenter(PLAIN), [whole] * 6 + [torn] * split + [whole] * 10)
    assert [len(r) for r in results[-10:]] == [1] * 10


def test_an_object_whose_pixels_are_gone_is_forgotten():
    meeting = [street((60 + 5 * min(i, 10), 120), (150 - 2 * min(i, 10), 126)) for i in range(14)]
    gone = [street((110, 120))] * 20
    results = run(Segmenter(PLAIN), meeting + gone)
    assert len(results[13]) == 2
    assert [len(r) for r in results[-8:]] == [1] * 8


def test_touching_classes_never_share_an_instance():
    masks = [street((30 + 5 * i, 120), (210 - 5 * i, 128, 7)) for i in range(37)]
    for mask, result in zip(masks, run(Segmenter(PLAIN), masks), strict=True):
        classes = np.concatenate([[0], result.class_ids])
        assert np.array_equal(classes[result.labels], mask)
        assert np.array_equal(np.unique(result.class_ids), [7, 15])
        assert len(result) <= len(segment_instances(mask, PLAIN))


def test_who_passes_behind_a_post_stays_one():
    masks = [street((30 + 4 * i, 120)) for i in range(40)]
    for mask in masks:
        mask[:, 118:120] = 0
    alone = [len(segment_instances(mask, PLAIN)) for mask in masks]
    assert alone.count(2) >= 3
    assert all(len(r) == 1 for r in run(Segmenter(PLAIN), masks))


def test_two_who_were_seen_as_one_are_two_once_they_part():
    masks = [street((100 - 3 * max(0, i - 5), 120), (118 + 3 * max(0, i - 5), 126))
             for i in range(14)]
    results = run(Segmenter(PLAIN), masks)
    assert [len(r) for r in results[:6]] == [1] * 6
    assert [len(r) for r in results[-6:]] == [2] * 6


def test_nobody_is_cut_in_two_once_the_other_is_out_of_sight():
    """One walks behind the other and on with them: one blob, of the size of one, is one."""
    masks = [street((60 + 4 * i, 124), (160 - 4 * i if i < 12 else 60 + 4 * i, 124))
             for i in range(40)]
    assert [len(r) for r in run(Segmenter(PLAIN), masks)[16:]] == [1] * 24


def test_a_jump_of_time_or_of_size_forgets():
    for stamp, mask in ((-1, passing(17)), (10**10, passing(17)),
                        (17 * FRAME_NS, passing(17)[:, :200])):
        segmenter = Segmenter(PLAIN)
        run(segmenter, [passing(i) for i in range(17)])
        assert same(segmenter.update(mask, stamp), segment_instances(mask, PLAIN))


def test_empty_masks_are_fine():
    segmenter = Segmenter(PLAIN)
    empty = np.zeros((160, 240), np.uint8)
    assert [len(r) for r in run(segmenter, [empty, passing(0), empty, empty])] == [0, 2, 0, 0]
