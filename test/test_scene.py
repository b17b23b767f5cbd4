"""Selections, zones, relations and lines, frame by frame."""

from dataclasses import replace

import cv2
from instseg_ros.core import Instances
from instseg_ros.core.scene import Scene, SceneSettings, Selection
from instseg_ros.core.scene.lines import Lines
from instseg_ros.core.scene.relations import gaps, shares
from instseg_ros.core.scene.view import View
from instseg_ros.core.scene.zones import Depths
from instseg_ros.core.settings import SettingsError
import numpy as np
import pytest

NAMES = {2: 'bicycle', 7: 'car', 15: 'person'}
PERSON, BICYCLE = 15, 2
STEP_NS = 10**8
LEFT_HALF = (0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0)


def instances(*rectangles, shape=(120, 160)):
    """Return instances of (x0, y0, x1, y1, class id); later ones are in front."""
    labels = np.zeros(shape, np.uint16)
    for k, (x0, y0, x1, y1, _) in enumerate(rectangles, 1):
        labels[y0:y1, x0:x1] = k
    boxes = np.array([r[:4] for r in rectangles], np.int32).reshape(-1, 4)
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return Instances(labels, np.array([r[4] for r in rectangles], np.uint8),
                     np.bincount(labels.ravel(), minlength=len(rectangles) + 1)[1:],
                     np.ones(len(rectangles)), boxes,
                     np.column_stack([middle, size, np.zeros(len(size))]).reshape(-1, 5))


def person(x, y=60, w=10, h=30):
    """Return a person whose foot is at x, y."""
    return (x - w // 2, y - h, x + w // 2, y, PERSON)


def settings(**selections):
    """Return the settings of selections, each given by a mapping of its parameters."""
    return SceneSettings(selections=tuple(selections)).changed(**{
        f'{name}.{key}': value for name, own in selections.items() for key, value in own.items()})


class Film:
    """A scene that is shown one frame after the other, ten a second."""

    def __init__(self, names=NAMES, **selections):
        self.scene = Scene(settings(**selections), names)
        self.number = 0
        self.selected = {}

    def show(self, *rectangles, ids=None, floor=None, frames=1):
        """Show a frame; returns kind and track of what happened, without the selection's name."""
        happened = []
        for _ in range(frames):
            found = instances(*rectangles)
            numbers = np.arange(1, len(found) + 1) if ids is None else np.array(ids, np.int64)
            self.selected, events = self.scene.update(
                found, numbers, self.number * STEP_NS, floor)
            self.number += 1
            happened += [(e.kind, e.track_id) for e in events]
            self.events = events
        return happened

    def count(self, name):
        return self.selected[name].count

    def rows(self, name):
        return self.selected[name].rows.tolist()


def test_a_selection_without_conditions_has_every_track_and_no_unconfirmed_one():
    film = Film(all={})
    assert film.show(person(40), person(100), ids=[5, 0]) == [('entered', 5)]
    assert film.rows('all') == [0]
    assert film.show() == []
    assert film.count('all') == 1  # unseen for a moment only
    assert film.rows('all') == []


@pytest.mark.parametrize('classes', [['person'], ['15'], ['car', 'person']])
def test_classes_are_named_or_numbered(classes):
    film = Film(people={'classes': classes})
    film.show(person(40), (100, 30, 120, 60, BICYCLE))
    assert film.rows('people') == [0]


def test_a_class_that_nobody_knows_selects_nobody_and_is_named():
    film = Film(people={'classes': ['persn']}, riders={'with': ['15', 'bicycle']})
    film.show(person(40))
    assert film.rows('people') == []
    assert film.scene.unknown_classes == [('people', 'persn')]


def test_names_may_come_later():
    film = Film(names={}, people={'classes': ['person']})
    assert film.show(person(40)) == []
    film.scene.names = NAMES
    assert film.show(person(40)) == [('entered', 1)]


@pytest.mark.parametrize(('zone', 'units'), [
    (LEFT_HALF, 'shares'), ((0.0, 0.0, 80.0, 0.0, 80.0, 120.0, 0.0, 120.0), 'pixels')])
def test_a_zone_is_in_shares_or_in_pixels(zone, units):
    film = Film(door={'zone': zone, 'units': units})
    film.show(person(78), person(83))
    assert film.rows('door') == [0]


def test_what_counts_is_the_foot_the_centre_or_a_share_of_the_mask():
    lower = {'zone': (0.0, 0.5, 1.0, 0.5, 1.0, 1.0, 0.0, 1.0)}  # from row 60 on
    film = Film(foot=lower, centre=lower | {'anchor': 'centre'},
                half=lower | {'anchor': 'mask'},
                tenth=lower | {'anchor': 'mask', 'zone_share': 0.1})
    film.show(person(20, 55), person(60, 65), person(100, 80))
    assert [film.rows(n) for n in ('foot', 'tenth', 'half', 'centre')] == \
        [[1, 2], [1, 2], [2], [2]]


def test_a_foot_stays_where_it_is_while_legs_swing():
    labels = np.zeros((120, 160), np.uint16)
    labels[30:60, 75:85] = 1
    labels[60:80, 70:74] = labels[60:76, 86:90] = 1   # one foot is lower than the other
    found = replace(instances((70, 30, 90, 80, PERSON)), labels=labels)
    assert View(found).feet[0] == pytest.approx((79.5, 79.5), abs=2)


def test_feet_that_somebody_hides_are_where_they_were():
    film = Film(low={'zone': (0.0, 0.5, 1.0, 0.5, 1.0, 1.0, 0.0, 1.0), 'hysteresis_s': 0.0})
    assert film.show(person(40, 80, h=60)) == [('entered', 1)]
    in_front = (30, 45, 60, 110, 7)
    assert film.show(person(42, 80, h=60), in_front) == [('entered', 2)]
    assert film.show(person(42, 55, h=40)) == [('left', 1)]  # nobody hides them here


def test_a_track_enters_once_it_stays_and_leaves_when_the_conditions_fail_for_long():
    film = Film(door={'zone': LEFT_HALF, 'stay_s': 0.3, 'hysteresis_s': 0.2})
    assert film.show(person(40), frames=3) == []
    assert film.show(person(40)) == [('entered', 1)]
    assert film.events[0].stay_s == pytest.approx(0.3)
    assert film.show(person(140)) == []
    assert film.rows('door') == [0]
    assert film.show(person(140)) == [('left', 1)]
    assert film.events[0].stay_s == pytest.approx(0.3)
    assert film.events[0].oriented_box[0] == 140
    assert film.count('door') == 0


def test_a_tremble_at_the_edge_is_no_event():
    film = Film(door={'zone': LEFT_HALF, 'hysteresis': 0.1, 'hysteresis_s': 0.0})
    happened = [e for x in (79, 81, 79, 81, 80, 81) for e in film.show(person(x))]
    assert happened == [('entered', 1)]
    assert film.show(person(90)) == [('left', 1)]


def test_a_short_absence_is_no_event():
    film = Film(door={'zone': LEFT_HALF, 'hysteresis_s': 0.3})
    happened = [e for x in (40, 140, 140, 40, 140, 40) for e in film.show(person(x))]
    assert happened == [('entered', 1)]


def test_a_lost_track_is_waited_for():
    film = Film(door={'zone': LEFT_HALF, 'max_lost_s': 0.5})
    film.show(person(40))
    assert film.show(frames=4) == []
    assert film.show(person(40)) == []
    assert film.show(frames=5) == [('left', 1)]
    assert film.show(person(40)) == [('entered', 1)]


def test_time_that_goes_backwards_ends_every_stay():
    film = Film(door={'zone': LEFT_HALF})
    film.number = 100
    film.show(person(40))
    film.number = 0
    assert film.show(person(40)) == [('left', 1), ('entered', 1)]


def test_boxes_that_overlap_are_no_relation_masks_that_meet_are():
    # An L around a person whose box lies within it: nothing touches.
    film = Film(touching={'classes': ['person'], 'with': ['car']},
                apart={'classes': ['person'], 'without': ['car']})
    corner = [(10, 100, 110, 110, 7), (10, 10, 20, 110, 7)]

    def show(x):
        found = instances(person(x, 80), *corner)
        found.labels[found.labels == 3] = 2
        merged = Instances(found.labels, found.class_ids[:2],
                           np.bincount(found.labels.ravel())[1:], found.scores[:2],
                           np.array([found.boxes[0], (10, 10, 110, 110)], np.int32),
                           found.oriented_boxes[:2])
        return film.scene.update(merged, np.array([1, 2]), film.number)[0]

    assert show(60)['touching'].rows.tolist() == []
    assert show(60)['apart'].rows.tolist() == [0]
    film.scene.reset()
    assert show(25)['touching'].rows.tolist() == [0]
    assert show(25)['apart'].rows.tolist() == []


def test_relations_say_how_far_outlines_run_along_each_other():
    # A bag in front of a person, and someone else who only touches.
    view = View(instances((40, 20, 60, 100, PERSON), (45, 50, 55, 60, BICYCLE),
                          (60, 90, 80, 110, PERSON)))
    contains, inside, overlap = (shares(view, r) for r in ('contains', 'inside', 'overlap'))
    assert contains[0, 1] == inside[1, 0] == overlap[0, 1] == overlap[1, 0] == 1
    assert contains[1, 0] == inside[0, 1] == pytest.approx(40 / 240, abs=0.02)
    assert overlap[0, 2] == pytest.approx(10 / 80, abs=0.02)
    assert np.isneginf(overlap[1, 2])


def test_gaps_are_those_of_the_masks():
    view = View(instances((10, 10, 30, 30, PERSON), (34, 10, 40, 30, PERSON),
                          (43, 34, 60, 50, PERSON), (40, 10, 60, 20, PERSON)))
    found = gaps(view, np.full(4, 20.0), np.ones((4, 4), bool))
    assert found[0, 1] == 4
    assert found[1, 2] == pytest.approx(np.hypot(4, 5) - 1)
    assert found[1, 3] == 0
    assert found[2, 0] == found[0, 2] == pytest.approx(np.hypot(14, 5) - 1)
    assert np.isinf(gaps(view, np.full(4, 3.0), np.ones((4, 4), bool))[0, 1])


@pytest.mark.parametrize(('distance', 'units', 'rows'), [
    (12.0, 'pixels', [0]), (9.0, 'pixels', []), (0.6, 'sizes', [0]), (0.5, 'sizes', [])])
def test_near_is_in_pixels_or_in_sizes(distance, units, rows):
    # 300 pixels are a size of 17.3; the gap is 10.
    film = Film(near={'classes': ['person'], 'with': ['person'], 'relation': 'near',
                      'distance': distance, 'distance_units': units})
    film.show(person(40), (55, 30, 65, 60, 7))
    assert film.rows('near') == []
    film.show(person(40), (55, 30, 105, 60, PERSON))
    assert [r for r in film.rows('near') if r == 0] == rows


def test_a_relation_has_hysteresis_too():
    film = Film(near={'classes': ['person'], 'with': ['car'], 'relation': 'near',
                      'distance': 10.0, 'distance_units': 'pixels', 'hysteresis_s': 0.0})

    def show(gap):
        return film.show(person(40), (45 + gap, 30, 65 + gap, 60, 7))

    assert [show(g) for g in (12, 10, 11, 11, 9)] == [[], [('entered', 1)], [], [], []]
    assert show(14) == [('left', 1)]


def test_without_fails_while_one_of_the_classes_is_there():
    film = Film(free={'classes': ['person'], 'without': ['bicycle', 'car'], 'hysteresis_s': 0.0})
    film.show(person(40), person(100), (105, 40, 125, 60, 7))
    assert film.rows('free') == [0]
    assert film.show(person(40), person(100), (44, 35, 60, 60, 7)) == [('left', 1),
                                                                       ('entered', 2)]


# A line down the middle, from top to bottom: its left is the right of the screen.
MIDDLE = (0.5, 0.0, 0.5, 1.0)


def test_a_crossing_is_counted_once_in_each_direction():
    film = Film(gate={'line': MIDDLE})
    assert film.show(person(140)) == []
    assert film.show(person(60)) == [('forward', 1)]     # over the line in one step
    assert film.show(person(140)) == [('backward', 1)]
    assert film.show(person(60)) == film.show(person(140)) == []
    assert film.selected['gate'].forward == film.selected['gate'].backward == 1
    assert film.show(person(60), ids=[2]) == []


def test_a_track_that_was_lost_has_crossed_the_line_when_it_returns():
    film = Film(gate={'line': MIDDLE})
    film.show(person(140), person(20))
    film.show(person(20), ids=[2], frames=40)
    assert film.show(person(60), person(20)) == [('forward', 1)]


def test_who_trembles_on_the_line_has_not_crossed_it():
    film = Film(gate={'line': MIDDLE, 'hysteresis': 0.2})
    happened = [e for x in (90, 81, 79, 81, 78, 82, 90) for e in film.show(person(x))]
    assert happened == []
    assert film.show(person(70)) == [('forward', 1)]


def test_who_goes_around_the_end_of_a_line_has_not_crossed_it():
    film = Film(gate={'line': (0.5, 0.0, 0.5, 0.5)})
    happened = [e for x, y in ((100, 50), (100, 100), (60, 100), (60, 50))
                for e in film.show(person(x, y))]
    assert happened == []


def test_only_what_is_selected_is_counted():
    film = Film(gate={'line': MIDDLE, 'classes': ['car']})
    film.show(person(140), (130, 60, 150, 80, 7))
    assert film.show(person(60), (50, 60, 70, 80, 7)) == [('forward', 2)]


def test_steps_that_start_on_a_line_are_counted_once():
    line = np.array([(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)])
    path = np.array([(5.0, -3.0), (5.0, 0.0), (5.0, 4.0), (15.0, 5.0), (15.0, -5.0), (5.0, -5.0)])
    steps = np.stack([path, path])
    assert Lines([line[::-1], line]).crossings(steps[:, :-1], steps[:, 1:]).tolist() == [
        [0, -1, 1, 0, 0], [1, 0, -1, 0, 0]]


def test_metres_take_points_on_the_floor():
    film = Film(front={'zone': (0.0, -0.5, 2.0, -0.5, 2.0, 0.5, 0.0, 0.5), 'units': 'metres'},
                gate={'line': (1.0, -1.0, 1.0, 1.0), 'units': 'metres'})
    film.show(person(40), person(100))
    assert film.rows('front') == []
    film.show(person(40), person(100), floor=np.array([(1.5, 0.2), (np.nan, np.nan)]))
    assert film.rows('front') == [0]
    assert film.show(person(40), person(100), floor=np.array([(0.5, 0.2), (3.0, 0.2)])) \
        == [('forward', 1)]


def test_depth_is_the_distance_from_the_nearest_side():
    triangle = np.array([(0.0, 0.0), (8.0, 0.0), (0.0, 6.0)])
    square = np.array([(1.0, 1.0), (3.0, 1.0), (3.0, 3.0), (1.0, 3.0)])
    points = np.array([(2.0, 2.0), (11.0, -4.0), (8.0, 6.0), (np.nan, 0.0)])
    assert Depths([triangle, square]).of(points) == pytest.approx(np.array([
        (2, -5, -4.8, np.nan), (1, -np.hypot(8, 5), -np.hypot(5, 3), np.nan)]), nan_ok=True)


def test_points_inside_are_those_that_opencv_says():
    corners = np.array([(20.0, 10.0), (100.0, 30.0), (60.0, 60.0), (90.0, 100.0), (10.0, 90.0)])
    points = np.random.default_rng(0).uniform((0, 0), (160, 120), (500, 2))
    assert (Depths([corners]).of(points)[0] > 0).tolist() == [
        cv2.pointPolygonTest(corners.astype(np.float32), p, False) > 0 for p in points.tolist()]


def test_a_zone_of_the_whole_frame_holds_all_of_it():
    film = Film(all={'zone': (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)})
    film.show((0, 0, 4, 4, PERSON), (150, 110, 160, 120, PERSON))
    assert film.rows('all') == [0, 1]


def test_settings_may_change_between_frames_and_tracks_are_kept():
    film = Film(door={'zone': LEFT_HALF}, gate={'line': MIDDLE})
    film.show(person(40), person(140))
    film.scene.settings = settings(all={}, gate={'line': MIDDLE}, door={'zone': LEFT_HALF})
    assert film.show(person(40), person(60)) == [
        ('entered', 1), ('entered', 2), ('forward', 2), ('entered', 2)]
    assert film.rows('door') == [0, 1]


@pytest.mark.parametrize('count', [0, 1, 60])
def test_any_number_of_instances_will_do(count):
    film = Film(all={}, mask={'zone': LEFT_HALF, 'anchor': 'mask'}, near={
        'with': ['person'], 'relation': 'near'}, meets={'with': ['15']}, gate={'line': MIDDLE})
    film.show(*[person(10 + 2 * k) for k in range(count)])
    film.show()
    assert film.count('all') == count


@pytest.mark.parametrize(('changes', 'said'), [
    ({'zone': (0.0, 0.0, 1.0, 1.0)}, r'door\.zone: expected x and y of 3 to 100 points, got 4'),
    ({'zone': (0.0, 0.0, 320.0, 0.0, 320.0, 1.0)}, r'door\.zone: expected shares .* got 320; for'),
    ({'zone': (0.0, 0.0, 0.5, 0.5, 1.0, 1.0)}, r'door\.zone: expected corners around an area'),
    ({'line': (0.5, 0.5, 0.5, 0.5)}, r'door\.line: expected points that differ'),
    ({'line': MIDDLE, 'anchor': 'mask'}, r'door\.anchor: expected foot or centre with a line'),
    ({'with': ['cup'], 'without': ['cup']}, r"door\.without: .* got 'cup' in both"),
    ({'stay_s': -1.0}, r'door\.stay_s: expected a number in \[0, 3600\], got -1.0'),
    ({'zone': ['a']}, r'door\.zone: expected a list of numbers'),
    ({'classes': [1]}, r'door\.classes: expected a list of texts'),
    ({'relation': 'on'}, r"door\.relation: expected one of 'overlap', 'contains'"),
    ({'colour': 'red'}, r'door\.colour: no such setting; known are'),
])
def test_selections_that_make_no_sense_are_refused_with_the_reason(changes, said):
    with pytest.raises(SettingsError, match=said):
        settings(door=changes)


@pytest.mark.parametrize('names', [('a b',), ('heatmap',), ('door', 'door'), ('folder',), ('1',)])
def test_names_must_be_good_for_topics(names):
    with pytest.raises(SettingsError, match='selections: expected'):
        SceneSettings(selections=names)


def test_a_selection_that_is_not_there_has_no_parameters():
    with pytest.raises(SettingsError, match='gate.line: no such selection; selections are door'):
        settings(door={}).changed(**{'gate.line': MIDDLE})


def test_parameters_and_their_values():
    own = settings(door={'with': ['cup']})
    assert set(own.parameters()) >= {'selections', 'door.with', 'door.zone', 'door.save_after_s'}
    assert own.parameters()['door.with'].name == 'door.with'
    assert own.value('door.with') == ('cup',)
    assert own.value('selections') == ('door',)
    assert Selection.declared()[0].name == 'classes'
