"""What segment_instances promises, as properties of any mask and as drawn cases."""

import cv2
from hypothesis import assume, example, given, settings as hypothesis_settings, strategies as st
from hypothesis.extra import numpy as arrays
from instseg_ros.core import Instances, segment_instances, SegmentationSettings, SettingsError
from instseg_ros.core.segmentation import components, limits
from instseg_ros.core.segmentation.merging import Parts
from instseg_ros.core.segmentation.partition import partition as pixels_of
from instseg_ros.core.segmentation.region_graph import RegionGraph
import numpy as np
import pytest

DEFAULT = SegmentationSettings(size_threshold=20)
TINY = SegmentationSettings(size_threshold=1)


def drawn(height, width, *shapes):
    """Return a mask with ellipses of (class id, x, y, half axis, half axis, degrees)."""
    mask = np.zeros((height, width), np.uint8)
    for class_id, x, y, a, b, degrees in shapes:
        cv2.ellipse(mask, (x, y), (a, b), degrees, 0, 360, class_id, -1)
    return mask


def disc_pair(radius, distance, class_id=15):
    """Return two discs whose centres are ``distance`` apart."""
    side = 2 * radius + 10
    return drawn(side, side + distance, (class_id, side // 2, side // 2, radius, radius, 0),
                 (class_id, side // 2 + distance, side // 2, radius, radius, 0))


@st.composite
def scenes(draw):
    """Draw masks of up to eight ellipses of three classes, some touching."""
    height, width = draw(st.integers(40, 120)), draw(st.integers(40, 120))
    count = draw(st.integers(0, 8))
    return drawn(height, width, *(
        (draw(st.integers(1, 3)), draw(st.integers(0, width)), draw(st.integers(0, height)),
         draw(st.integers(3, 25)), draw(st.integers(3, 25)), draw(st.integers(0, 180)))
        for _ in range(count)))


def any_masks(largest_class=3):
    """Draw small masks of any pattern."""
    return arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24),
                         elements=st.integers(0, largest_class))


def examples(count):
    """Return the settings of every property here: the same examples in every run."""
    return hypothesis_settings(max_examples=count, deadline=None, derandomize=True)


def check(mask: np.ndarray, result: Instances) -> None:
    """Assert what holds for every result."""
    count = len(result)
    assert result.labels.shape == mask.shape and result.labels.dtype == np.uint16
    assert sorted(np.unique(result.labels).tolist()) in (
        list(range(count + 1)), list(range(1, count + 1)))
    for name, shape, dtype in (('class_ids', (count,), np.uint8), ('areas', (count,), np.int64),
                               ('scores', (count,), np.float64), ('boxes', (count, 4), np.int32),
                               ('oriented_boxes', (count, 5), np.float64)):
        values = getattr(result, name)
        assert values.shape == shape and values.dtype == dtype, name
    assert ((result.scores > 0) & (result.scores <= 1)).all()
    assert np.isfinite(result.oriented_boxes).all()
    for k in range(count):
        pixels = result.labels == k + 1
        assert result.areas[k] == np.count_nonzero(pixels)
        assert (mask[pixels] == result.class_ids[k]).all()
        pieces, _ = cv2.connectedComponents(pixels.view(np.uint8), connectivity=8)
        assert pieces == 2, 'a label is one 8-connected piece'
        x, y, w, h = cv2.boundingRect(pixels.view(np.uint8))
        assert result.boxes[k].tolist() == [x, y, x + w, y + h]


def partition(labels):
    """Return the set of the pixel sets of a label image, whatever the numbers."""
    return {np.flatnonzero(labels == k).tobytes() for k in range(1, int(labels.max()) + 1)}


def plain_components(mask, size=1):
    """Return the pixel sets of the 8-connected components of every class."""
    found = set()
    for class_id in set(np.unique(mask).tolist()) - {0, 255}:
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            (mask == class_id).view(np.uint8), connectivity=8)
        found |= {np.flatnonzero(parts == k).tobytes() for k in range(1, count)
                  if stats[k, cv2.CC_STAT_AREA] >= size}
    return found


# --- any mask -----------------------------------------------------------------------------------

@examples(150)
@given(any_masks(255))
def test_any_mask_gives_a_consistent_result(mask):
    check(mask, segment_instances(mask, TINY))
    check(mask, segment_instances(mask, DEFAULT))


@examples(80)
@given(scenes())
def test_scenes_give_a_consistent_result(mask):
    check(mask, segment_instances(mask, DEFAULT))
    check(mask, segment_instances(mask, TINY.changed(dist_threshold=1.0)))
    check(mask, segment_instances(mask, DEFAULT.changed(erosion_iteration=2, dilate_iteration=1)))


@examples(150)
@given(any_masks())
def test_without_cuts_instances_are_the_components(mask):
    result = segment_instances(mask, TINY.changed(dist_threshold=0.0))
    assert partition(result.labels) == plain_components(mask)


@examples(80)
@given(any_masks(1), st.integers(1, 6))
def test_borders_and_labelling_find_the_same_components(mask, size):
    def found(function):
        return {(one.area, one.box, one.inside.tobytes()) for one in function(mask, size, (0, 0))}
    assert found(components._outlined) == found(components._labelled)


@examples(60)
@given(scenes())
def test_every_pixel_of_a_large_component_is_kept(mask):
    result = segment_instances(mask, DEFAULT)
    for pixels in plain_components(mask, DEFAULT.size_threshold):
        assert result.labels.ravel()[np.frombuffer(pixels, np.intp)].all()


@examples(60)
@given(scenes(), st.permutations([1, 2, 3]))
def test_permuting_classes_permutes_results(mask, new):
    swap = np.array([0, *new], np.uint8)
    one, other = segment_instances(mask, DEFAULT), segment_instances(swap[mask], DEFAULT)
    check(swap[mask], other)
    assert partition(one.labels) == partition(other.labels)
    assert sorted(swap[one.class_ids].tolist()) == other.class_ids.tolist()


@examples(60)
@given(scenes())
def test_deterministic(mask):
    one, other = segment_instances(mask, DEFAULT), segment_instances(mask.copy(), DEFAULT)
    for name in ('labels', 'class_ids', 'areas', 'scores', 'boxes', 'oriented_boxes'):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@examples(60)
@given(scenes(), st.booleans())
def test_the_memory_layout_does_not_matter(mask, other_way):
    view = mask[:, ::-1] if other_way else np.asfortranarray(mask)
    assert np.array_equal(segment_instances(view, DEFAULT).labels,
                          segment_instances(np.ascontiguousarray(view), DEFAULT).labels)


TURNS = {'left-right': np.fliplr, 'up-down': np.flipud, 'quarter turn': np.rot90,
         'transposed': np.transpose}


@pytest.mark.parametrize('turn', TURNS.values(), ids=TURNS)
@examples(40)
@given(scenes())
def test_flips_and_turns_give_the_same_instances(turn, mask):
    """Up to pixels of a shared border, where no cut is so near the limit that the grid decides."""
    one = segment_instances(mask, DEFAULT)
    for threshold in (0.45, 0.55):
        near = segment_instances(mask, DEFAULT.changed(dist_threshold=threshold))
        assume(len(near) == len(one))
    other = segment_instances(np.ascontiguousarray(turn(mask)), DEFAULT)
    assert len(one) == len(other)
    labels = turn(one.labels)
    for k in range(1, len(one) + 1):
        pixels = labels == k
        partner = np.bincount(other.labels[pixels]).argmax()
        same = np.count_nonzero(pixels & (other.labels == partner))
        union = np.count_nonzero(pixels | (other.labels == partner))
        assert union - same <= 0.1 * union + 4


@examples(40)
@given(scenes(), st.integers(5, 60), st.sampled_from([1, 2, 9]))
def test_an_object_elsewhere_changes_nothing_here(mask, radius, class_id):
    wide = np.zeros((max(mask.shape[0], 2 * radius + 2), mask.shape[1] + 2 * radius + 8), np.uint8)
    wide[:mask.shape[0], :mask.shape[1]] = mask
    here = segment_instances(wide, DEFAULT)
    cv2.circle(wide, (wide.shape[1] - radius - 2, radius), radius, class_id, -1)
    both = segment_instances(wide, DEFAULT)
    edge = mask.shape[1]
    assert partition(here.labels[:, :edge]) == {
        p for p in partition(both.labels[:, :edge]) if p}


@examples(40)
@given(scenes())
def test_idempotent_on_separate_objects(mask):
    """What touches no other instance is the same instance when it is alone."""
    first = segment_instances(mask, DEFAULT)
    apart = 0
    for k in range(1, len(first) + 1):
        pixels = first.labels == k
        around = cv2.dilate(pixels.view(np.uint8), np.ones((3, 3), np.uint8)) != 0
        if not (first.labels[around & ~pixels] > 0).any():
            apart += 1
            alone = np.where(pixels, first.class_ids[k - 1], np.uint8(0))
            assert np.array_equal(segment_instances(alone, DEFAULT).labels == 1, pixels)
    assert apart or len(first) != 1


# --- refusals -----------------------------------------------------------------------------------

@pytest.mark.parametrize('mask, message', [
    (np.zeros((4, 4), np.int32), 'uint8.*int32'),
    (np.zeros((4, 4), bool), 'uint8.*bool'),
    ([[0, 1]], 'uint8.*list'),
])
def test_refuses_other_types_by_name(mask, message):
    with pytest.raises(TypeError, match=f'mask.*{message}'):
        segment_instances(mask, DEFAULT)


@pytest.mark.parametrize('shape', [(4,), (4, 4, 3), (0, 4), (4, 0)])
def test_refuses_other_shapes_by_name(shape):
    with pytest.raises(ValueError, match=r'mask: expected shape \(H, W\)'):
        segment_instances(np.zeros(shape, np.uint8), DEFAULT)


def test_scores_of_a_crowd_do_not_depend_on_how_neighbours_are_found(monkeypatch):
    rng = np.random.default_rng(0)
    mask = np.zeros((400, 600), np.uint8)
    for x, y, size, class_id in rng.integers((0, 0, 3, 1), (590, 390, 12, 4), (300, 4)):
        mask[y:y + size, x:x + size] = class_id
    crowd = segment_instances(mask, TINY)
    assert len(crowd) > 150
    for block in (1, 10000):
        monkeypatch.setattr('instseg_ros.core.segmentation.scores._BLOCK', block)
        assert np.array_equal(segment_instances(mask, TINY).scores, crowd.scores)


@pytest.mark.parametrize('distance, class_id, beside', [
    (40, 1, True), (40, 2, False), (400, 1, False)])
def test_what_is_small_beside_a_large_one_of_its_class_scores_lower(distance, class_id, beside):
    alone, mask = np.zeros((2, 240, 700), np.uint8)
    for image in (alone, mask):
        cv2.circle(image, (30, 120), 14, 1, -1)
    cv2.circle(mask, (30 + distance + 80, 120), 80, class_id, -1)
    (score,) = segment_instances(alone, DEFAULT).scores
    small, large = segment_instances(mask, DEFAULT).scores
    assert (small < score) == beside
    assert small == score or beside
    assert large == pytest.approx(score, rel=0.05)


# --- masks no camera gives ----------------------------------------------------------------------

@pytest.mark.parametrize('shape', [(1, 1), (1, 50), (50, 1), (2, 3), (300, 400)])
@pytest.mark.parametrize('value', [0, 1, 255])
def test_one_class_everywhere(shape, value):
    result = segment_instances(np.full(shape, value, np.uint8), TINY)
    assert len(result) == (value == 1)
    assert (result.labels == (value == 1)).all()


def test_checkerboard_is_one_component():
    mask = (np.indices((301, 400)).sum(axis=0) % 2).astype(np.uint8)
    result = segment_instances(mask, DEFAULT)
    assert len(result) == 1 and result.areas[0] == np.count_nonzero(mask)


@pytest.mark.parametrize('share', [0.05, 0.35, 0.5, 0.9])
def test_noise(share):
    mask = (np.random.default_rng(0).random((300, 400)) < share).astype(np.uint8)
    check(mask, segment_instances(mask, DEFAULT))


def test_noise_of_all_classes():
    mask = np.random.default_rng(0).integers(0, 256, (200, 300), np.uint8)
    assert len(segment_instances(mask, DEFAULT)) == 0
    assert partition(segment_instances(mask[:40, :40], TINY).labels) == plain_components(
        mask[:40, :40])


@pytest.mark.parametrize('size', [2, 3, 6])
def test_of_noise_of_many_classes_the_large_components_are_kept(size):
    mask = np.random.default_rng(1).integers(0, 9, (90, 120), np.uint8)
    settings = SegmentationSettings(size_threshold=size, dist_threshold=0.0)
    assert (limits.without_specks(mask, size) != mask).any()
    assert partition(segment_instances(mask, settings).labels) == plain_components(mask, size)


def test_of_too_many_the_largest_are_kept():
    mask = np.zeros((520, 640), np.uint8)
    mask[::2, ::2] = 1      # 83200 specks
    mask[-1, 1] = 2         # of another class
    mask[500:, :] = 0
    mask[502:506, 0:40] = 3
    mask[510:516, 0:40] = 1
    result = segment_instances(mask, SegmentationSettings(size_threshold=0))
    assert len(result) == 65535
    assert result.labels.max() == 65535
    assert sorted(result.areas.tolist())[-2:] == [160, 240]
    assert np.bincount(result.labels.ravel())[1:].tolist() == result.areas.tolist()


def test_components_inside_holes_are_instances_and_holes_stay_holes():
    mask = drawn(200, 200, (1, 100, 100, 90, 90, 0), (0, 100, 100, 60, 60, 0),
                 (1, 100, 100, 40, 40, 0), (0, 100, 100, 20, 20, 0), (2, 100, 100, 9, 9, 0))
    result = segment_instances(mask, DEFAULT.changed(dist_threshold=0.0))
    assert len(result) == 3
    assert np.array_equal(result.labels > 0, mask > 0)


@pytest.mark.parametrize('width', [1, 3])
def test_large_outlines_of_thin_strokes_stay_one(width):
    mask = np.zeros((800, 800), np.uint8)
    cv2.circle(mask, (300, 400), 250, 1, width)
    cv2.circle(mask, (500, 400), 250, 1, width)
    cv2.rectangle(mask, (50, 50), (750, 750), 1, width)
    cv2.line(mask, (50, 50), (750, 750), 1, width)
    result = segment_instances(mask, DEFAULT)
    assert np.array_equal(result.labels, mask)


@pytest.mark.parametrize('scale', [1, 4, 9])
def test_pair_with_a_hole_is_cut_and_keeps_every_pixel_at_every_size(scale):
    mask = disc_pair(30 * scale, 52 * scale)
    mask[mask.shape[0] // 2, mask.shape[1] // 10] = 0
    for turned in (mask, mask[::-1, ::-1].T):
        result = segment_instances(np.ascontiguousarray(turned), DEFAULT)
        assert len(result) == 2
        assert np.array_equal(result.labels > 0, turned > 0)


@pytest.mark.parametrize('strokes', [
    [(100, 380, 200, 260), (100, 380, 380, 440), (320, 380, 200, 440)],
    [(100, 380, 200, 260), (320, 380, 200, 440)],
    [(100, 160, 200, 440), (100, 240, 200, 260), (210, 270, 200, 440), (210, 380, 380, 440),
     (320, 380, 200, 440)],
], ids='ULS')
def test_letters_of_wide_strokes_are_one_person(strokes):
    mask = np.zeros((480, 640), np.uint8)
    for top, bottom, left, right in strokes:
        mask[top:bottom, left:right] = 15
    instances = segment_instances(mask, SegmentationSettings())
    assert len(instances) == 1, 'two ends that are up are no evidence for two people by themselves'
    assert instances.areas[0] == np.count_nonzero(mask)


# --- cuts ---------------------------------------------------------------------------------------

@pytest.mark.parametrize('radius', [6, 10, 30, 60, 120, 250])
def test_lone_discs_are_kept_whole_at_every_size(radius):
    mask = drawn(2 * radius + 10, 2 * radius + 10, (1, radius + 5, radius + 5, radius, radius, 0))
    result = segment_instances(mask, DEFAULT)
    assert np.array_equal(result.labels, mask)


@pytest.mark.parametrize('radius', [8, 15, 30, 60, 120])
@pytest.mark.parametrize('share', [1.7, 1.9])
def test_two_touching_discs_are_cut_in_halves_at_every_size(radius, share):
    mask = disc_pair(radius, round(share * radius))
    result = segment_instances(mask, DEFAULT)
    assert len(result) == 2
    assert np.array_equal(result.labels > 0, mask > 0), 'no gap at the border'
    assert abs(np.diff(result.areas)[0]) < 0.1 * result.areas[0]


def test_a_large_object_never_swallows_a_small_one():
    mask = drawn(220, 400, (1, 100, 110, 90, 90, 0), (1, 300, 110, 12, 12, 0),
                 (1, 325, 110, 12, 12, 0))
    assert len(segment_instances(mask, DEFAULT)) == 3


def test_head_and_limbs_stay_on_the_body():
    person = drawn(300, 200, (15, 100, 120, 36, 70, 0), (15, 100, 38, 19, 22, 0),
                   (15, 76, 230, 14, 60, 8), (15, 124, 230, 14, 60, -8),
                   (15, 52, 120, 9, 55, 12), (15, 148, 120, 9, 55, -12))
    person[55:70, 90:110] = 15
    result = segment_instances(person, DEFAULT)
    assert len(result) == 1


# --- the six knobs ------------------------------------------------------------------------------

def count(mask, **changes):
    """Return the number of instances with some settings changed."""
    return len(segment_instances(mask, DEFAULT.changed(**changes)))


@examples(40)
@given(scenes())
def test_dist_threshold_never_cuts_at_0_and_only_cuts_further_when_higher(mask):
    assert partition(segment_instances(mask, DEFAULT.changed(dist_threshold=0.0)).labels) == (
        plain_components(mask, DEFAULT.size_threshold))
    counts = [count(mask, dist_threshold=t) for t in (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)]
    assert counts == sorted(counts)


def test_dist_threshold_has_an_effect():
    mask = disc_pair(40, 66)
    assert count(mask, dist_threshold=0.1) == 1 and count(mask, dist_threshold=1.0) == 2


def test_size_threshold_drops_smaller_instances():
    mask = drawn(100, 200, (1, 50, 50, 20, 20, 0), (1, 150, 50, 5, 5, 0))
    assert [count(mask, size_threshold=s) for s in (1, 81, 90, 1257, 2000)] == [2, 2, 1, 1, 0]


def test_erosion_removes_specks_and_thin_bridges():
    mask = drawn(100, 240, (1, 50, 50, 30, 30, 0), (1, 180, 50, 30, 30, 0))
    mask[49:52, 50:180] = 1
    mask[5:8, 110:130] = 1
    plain = DEFAULT.changed(dist_threshold=0.0)
    assert len(segment_instances(mask, plain)) == 2
    opened = segment_instances(mask, plain.changed(erosion_iteration=2))
    assert len(opened) == 2 and not opened.labels[5:8].any()
    assert opened.labels[50, 50] != opened.labels[50, 180]
    assert len(segment_instances(mask, plain.changed(erosion_iteration=1,
                                                     erosion_kernel=5))) == 2


def test_dilate_bounds_how_far_instances_grow_back():
    mask = drawn(100, 240, (1, 50, 50, 30, 30, 0))
    mask[49:52, 50:180] = 1
    areas = [segment_instances(mask, DEFAULT.changed(
        dist_threshold=0.0, erosion_iteration=2, dilate_kernel=k, dilate_iteration=n)).areas[0]
        for k, n in ((1, 0), (3, 0), (3, 3), (5, 3), (5, 50))]
    assert areas == sorted(areas) and len(set(areas)) == 4
    assert areas[-1] == np.count_nonzero(mask)


@pytest.mark.parametrize('kernel', [1, 2, 3, 4, 7, 8, 31, 255])
def test_kernels_of_any_size(kernel):
    mask = drawn(120, 160, (1, 60, 60, 50, 40, 0), (2, 130, 60, 15, 15, 0))
    result = segment_instances(mask, DEFAULT.changed(
        erosion_kernel=kernel, erosion_iteration=1, dilate_kernel=kernel, dilate_iteration=1))
    check(mask, result)
    with pytest.raises(SettingsError):
        DEFAULT.changed(erosion_kernel=0)


def test_ignored_classes_never_become_instances():
    mask = drawn(100, 200, (1, 50, 50, 20, 20, 0), (2, 150, 50, 20, 20, 0))
    result = segment_instances(mask, DEFAULT.changed(ignored_classes=(1,)))
    assert result.class_ids.tolist() == [2]


def test_config_mode_changes_no_result():
    mask = disc_pair(30, 50)
    assert np.array_equal(segment_instances(mask, DEFAULT).labels,
                          segment_instances(mask, DEFAULT.changed(config_mode=True)).labels)


def test_noise_is_labelled_and_clean_masks_are_outlined(monkeypatch):
    """Each way is taken where it is the faster one, see components."""
    taken = []
    for name in ('_outlined', '_labelled'):
        original = getattr(components, name)
        monkeypatch.setattr(components, name, lambda *a, n=name, o=original: (
            taken.append(n), o(*a))[1])
    segment_instances(disc_pair(30, 50), DEFAULT)
    # Without cuts: what they leave over is looked for in the same way.
    segment_instances(np.random.default_rng(0).integers(0, 2, (99, 99), np.uint8),
                      SegmentationSettings(dist_threshold=0))
    assert taken == ['_outlined', '_labelled']
    assert limits.MAX_INSTANCES == 65535


@given(arrays.arrays(np.uint16, arrays.array_shapes(min_dims=2, max_dims=2, max_side=16),
                     elements=st.integers(1, 2)))
@example(np.pad(np.pad(np.ones((1, 1), np.uint16), 3, constant_values=2), 1, constant_values=1))
def test_of_the_pieces_of_a_part_the_largest_stays(cells):
    """On a grid of pixels; pieces may have holes, and pieces in them."""
    whole, = components.components(np.ones_like(cells, np.uint8), 1)
    parts = Parts(RegionGraph(np.ones(cells.shape, np.float32), cells, [], {}, 1.0),
                  np.arange(3, dtype=np.int32), [None, None])
    owners = np.zeros(cells.shape, np.int32)
    for k, part in pixels_of(parts, whole, 1):
        painted = np.zeros_like(cells)
        part.paint(painted, 1)
        owners += painted
        _, pieces, stats, _ = cv2.connectedComponentsWithStats((cells == k).view(np.uint8))
        areas = stats[:, cv2.CC_STAT_AREA]
        largest = np.flatnonzero(areas == areas[1:].max())
        assert any(painted[pieces == piece].all() for piece in largest if piece)
    assert (owners == 1).all()
