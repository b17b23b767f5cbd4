"""What is measured across the borders of components."""

import cv2
from instseg_ros.cameras.synthetic import PERSON, SyntheticScene
from instseg_ros.core import necks
from instseg_ros.core.components import components
import numpy as np
import pytest


def pieces(mask, dist_threshold=0.5, min_area=30, room=100):
    """Return the parts of the components of a drawn mask."""
    return necks.split(list(components(mask, 1)), dist_threshold, min_area, room)


def discs(*centres, radius=30):
    """Return discs of one radius."""
    mask = np.zeros((200, 400), np.uint8)
    for centre in centres:
        cv2.circle(mask, centre, radius, 1, -1)
    return mask


@pytest.mark.parametrize('distance', [50, 54, 58])
def test_the_neck_of_two_discs_is_as_wide_as_it_is(distance):
    one, other = pieces(discs((80, 90), (80 + distance, 90)), dist_threshold=1.0)
    (cut,) = one.cuts
    assert other.cuts == one.cuts
    assert cut.border.saddle == pytest.approx((30 ** 2 - (distance / 2) ** 2) ** 0.5, abs=2)
    assert cut.border.saddle / cut.border.neck == pytest.approx(30, rel=0.2)
    assert abs((cut.start[0] + cut.end[0]) / 2 - (80 + distance / 2)) <= 2


@pytest.mark.parametrize('way', [(52, 0), (49, 19), (33, 41), (0, 55)])
def test_between_two_pockets_and_across_the_border_is_the_same_neck(monkeypatch, way):
    mask = discs((80, 90), (80 + way[0], 90 + way[1]))
    (between,) = pieces(mask)[0].cuts
    monkeypatch.setattr(necks, '_CLEAR', 0)
    (across,) = pieces(mask)[0].cuts
    assert between.border.ratio == pytest.approx(across.border.ratio, rel=0.1)
    for end in (between.start, between.end):
        assert min(np.hypot(*np.subtract(end, other)) for other in (across.start, across.end)) < 3


@pytest.mark.parametrize('count', [2, 3, 5])
def test_as_many_parts_as_discs_in_a_row(count):
    assert len(pieces(discs(*((60 + 55 * k, 90 + k % 2 * 8) for k in range(count))))) == count


@pytest.mark.parametrize('seed', [1, 2, 3])
def test_somebody_who_stands_or_walks_is_not_cut_at_the_waist(seed):
    frame = SyntheticScene(seed=seed).at(3.0)
    people = (np.flatnonzero(frame.class_ids == PERSON) + 1).tolist()
    assert len(people) > 1
    for label in people:
        found = list(components((frame.labels == label).view(np.uint8), 30))
        assert len(necks.split(found, 0.5, 30, 100)) == len(found)


def test_two_who_stand_side_by_side_are_two():
    mask = np.zeros((340, 260), np.uint8)
    for x in (90, 158):
        cv2.ellipse(mask, (x, 120), (34, 70), 0, 0, 360, 1, -1)
        cv2.rectangle(mask, (x - 17, 160), (x + 17, 300), 1, -1)
    one, other = pieces(mask)
    assert one.component.area == pytest.approx(other.component.area, rel=0.1)
    assert abs(one.component.box[0] - other.component.box[0]) > 50


def test_a_neck_with_one_pocket_ends_on_the_straight_side():
    mask = discs((80, 30), (132, 30))
    mask[:30] = 0  # Half discs on a line, as at the border of a frame.
    mask[30, 50:162] = 1
    (cut,) = pieces(mask)[0].cuts
    assert sorted([cut.start[1], cut.end[1]])[0] == 30


def test_in_what_has_limbs_no_neck_ends_on_the_back():
    mask = discs((40, 70), radius=24)
    cv2.line(mask, (60, 70), (130, 70), 1, 12)
    cv2.line(mask, (80, 70), (70, 120), 1, 24)
    assert len(pieces(mask)) == 1


def test_parts_are_the_component_and_keep_to_min_area_and_room():
    mask = discs((60, 90), (112, 90), (164, 90))
    cv2.circle(mask, (206, 90), 12, 1, -1)
    for dist_threshold, min_area, room, count in (
            (0.5, 30, 100, 4), (0.5, 1000, 100, 3), (0.5, 30, 1, 2), (0.5, 30, 0, 1),
            (1e-3, 30, 100, 1)):
        labels = np.zeros(mask.shape, np.uint16)
        found = necks.split(list(components(mask, 1)), dist_threshold, min_area, room, labels, 7)
        assert len(found) == count
        for number, piece in enumerate(found, 7):
            assert piece.component.area >= min_area
            assert piece.component.area == np.count_nonzero(labels == number)
            by_border = np.zeros(mask.shape, np.uint16)
            piece.component.paint(by_border, number)
            assert np.array_equal(by_border == number, labels == number)
        assert ((labels > 0) == (mask > 0)).all()


def test_measured_in_groups_the_cuts_are_the_same(monkeypatch):
    mask = discs((60, 50), (112, 50), (164, 60), (200, 150), (250, 150))
    together = [piece.cuts for piece in pieces(mask)]
    monkeypatch.setattr(necks, '_TOGETHER', 2)
    assert [piece.cuts for piece in pieces(mask)] == together


@pytest.mark.parametrize('way', [(52, 0), (49, 19), (33, 41)])
def test_borders_of_parts_go_from_pixel_to_pixel(way):
    """Versions of OpenCV draw other lines differently."""
    found = pieces(discs((80, 90), (80 + way[0], 90 + way[1])))
    assert len(found) == 2
    for piece in found:
        border = piece.component.contour[:, 0]
        x, y = np.abs(np.roll(border, -1, axis=0) - border).T
        assert ((x == 0) | (y == 0) | (x == y)).all()


@pytest.mark.parametrize('turn', [np.fliplr, np.flipud, np.transpose])
def test_of_equally_deep_vertices_none_is_preferred(turn):
    """A neck between two flat pockets, slanting towards one end of each, seen in a mirror."""
    mask = np.zeros((120, 160), np.uint8)
    mask[10:110, 10:150] = 1
    mask[10:45, 40:70] = 0
    mask[75:110, 70:100] = 0
    (cut,) = pieces(mask, dist_threshold=1.0, room=1)[0].cuts
    (turned,) = pieces(np.ascontiguousarray(turn(mask)), dist_threshold=1.0, room=1)[0].cuts
    assert turned.border.ratio == pytest.approx(cut.border.ratio)
    assert cut.border.saddle == pytest.approx(16, abs=1)
