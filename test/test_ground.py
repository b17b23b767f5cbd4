"""The floor: pixels to metres and back, contact edges, objects and tracks."""

from dataclasses import replace
import math
from pathlib import Path

import cv2
from fakes.floor import (camera, draw, HEIGHT, instances_of, LENSES, MATRIX, PERSON, RUG, view,
                         WIDTH)
from hypothesis import given, settings as hypothesis_settings, strategies as st
from instseg_ros.core.ground import (CameraModel, ContactFinder, FloorView, free_space,
                                     GroundSettings, GroundTracker, Noise, Pose, Target,
                                     TransformTree)
from instseg_ros.core.ground.contact import FREE
from instseg_ros.errors import CalibrationError, SettingsError, TransformError
from instseg_ros.messages import topics
import numpy as np
import pytest
import yaml

CONFIG = Path(__file__).parent.parent / 'config'
LENS = pytest.mark.parametrize('lens', LENSES)


def update(tracker, seen, instances, t=0.0, moved=None, ids=None):
    ids = np.arange(1, len(instances) + 1) if ids is None else np.array(ids)
    return tracker.update(instances, ids, int(t * 1e9), seen.camera, seen.pose, moved,
                          {PERSON: 'person', RUG: 'rug'})


# The camera and the floor

@LENS
@given(height=st.floats(0.05, 3), tilt=st.floats(-10, 89), roll=st.floats(-180, 180),
       pixel=st.tuples(st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1)))
def test_pixel_to_floor_and_back(lens, height, tilt, roll, pixel):
    seen = view(height, tilt, roll, lens)
    point = seen.to_floor([pixel])
    if np.isfinite(point).all():
        assert seen.to_pixels(point)[0] == pytest.approx(pixel, abs=2e-3)
    else:
        assert not seen.directions([pixel])[0, 2] < -1 / 600  # level, or upwards


@LENS
def test_most_of_the_frame_below_the_horizon_has_a_floor(lens):
    x, y = np.meshgrid(np.arange(0, WIDTH, 8), np.arange(0, HEIGHT, 8))
    points = view(tilt=60, lens=lens).to_floor(np.column_stack([x.ravel(), y.ravel()]))
    assert np.isfinite(points).all()


@given(tilt=st.floats(0, 30), roll=st.floats(-60, 60), x=st.floats(0, WIDTH),
       y=st.floats(0, HEIGHT))
def test_nothing_lies_above_the_horizon(tilt, roll, x, y):
    seen = view(1, tilt, roll)
    upwards = seen.directions([(x, y)])[0, 2] >= 0
    if upwards:
        assert np.isnan(seen.to_floor([(x, y)])).all()


@given(y=st.floats(130, 239), x=st.floats(0, WIDTH - 1), factor=st.floats(0.1, 10))
def test_twice_as_high_is_twice_as_far(x, y, factor):
    assert view(factor, 20).to_floor([(x, y)]) == pytest.approx(
        factor * view(1, 20).to_floor([(x, y)]))


@given(y=st.floats(130, 239), x=st.floats(0, WIDTH - 1), tilt=st.floats(10, 80))
def test_mirrored_pixel_is_a_mirrored_point(x, y, tilt):
    seen = view(1, tilt)
    assert seen.to_floor([(WIDTH - 1 - x, y)]) == pytest.approx(
        seen.to_floor([(x, y)]) * [1, -1], abs=1e-9)


@LENS
def test_another_size_of_the_picture_shows_the_same(lens):
    small, large = camera(lens), camera(lens).resized(2 * WIDTH, 2 * HEIGHT)
    pixels = np.array([(10.0, 200.0), (160, 120), (300, 5)])
    assert large.rays(pixels * 2 + 0.5) == pytest.approx(small.rays(pixels), abs=1e-6)
    with pytest.raises(CalibrationError, match='proportions of 320x240'):
        small.resized(400, 400)


def test_equidistant_is_the_one_of_opencv():
    model, distortion = LENSES['equidistant']
    points = np.random.default_rng(0).normal(0, 0.4, (50, 3)) + [0, 0, 1.5]
    expected, _ = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), np.reshape(MATRIX, (3, 3)),
        np.array(distortion))
    assert camera('equidistant').pixels(points) == pytest.approx(expected[:, 0], abs=1e-6)


def test_fisheye_sees_the_floor_beside_and_behind_it():
    model = CameraModel(800, 800, [200, 0, 400, 0, 200, 400, 0, 0, 1], [], 'equidistant')
    seen = FloorView(model, Pose.of_camera(1, math.radians(60)))
    behind = np.array([[-0.5, 0.2]])
    assert seen.to_floor(seen.to_pixels(behind)) == pytest.approx(behind, abs=1e-6)


@pytest.mark.parametrize(('changes', 'said'), [
    ({'matrix': [0] * 9}, 'k: expected focal lengths above 0, got 0 and 0'),
    ({'distortion': [0.1] * 3}, 'd: expected 4 or 5 coefficients of plumb_bob, got 3'),
    ({'model': 'mirror'}, "expected one of plumb_bob, rational_polynomial, equidistant, got 'mi"),
    ({'width': 0}, 'expected a width and a height, got 0 and 240'),
    ({'distortion': [math.nan] * 5}, 'expected focal lengths'),
])
def test_calibration_that_cannot_be_used(changes, said):
    given = {'width': WIDTH, 'height': HEIGHT, 'matrix': MATRIX, 'distortion': [],
             'model': 'plumb_bob', **changes}
    with pytest.raises(CalibrationError, match=said):
        CameraModel(**given)


def test_poses_follow_rep_103():
    pose = Pose.of_camera(1, 0)
    assert pose.at(np.array([0, 0, 5.0])) == pytest.approx([5, 0, 1])  # ahead
    assert pose.at(np.array([1.0, 0, 0])) == pytest.approx([0, -1, 1])  # right
    assert pose.at(np.array([0, 1.0, 0])) == pytest.approx([0, 0, 0])  # down
    down = Pose.of_camera(1, math.radians(30)).at(np.array([0, 0, 2.0]))
    assert down == pytest.approx([2 * math.cos(math.radians(30)), 0, 0], abs=1e-9)
    tipped = Pose.of_camera(1, 0, math.radians(90)).at(np.array([1.0, 0, 0]))
    assert tipped == pytest.approx([0, 0, 0], abs=1e-9)  # clockwise: its right is below
    turn = Pose.from_quaternion([1, 2, 3], [0, 0, math.sqrt(0.5), math.sqrt(0.5)])
    assert turn.at(np.array([1.0, 0, 0])) == pytest.approx([1, 3, 3])
    assert (turn @ turn.inverse()).at(np.ones(3)) == pytest.approx(np.ones(3))


@LENS
@pytest.mark.parametrize('place', [(1.5, 0.2), (3, -0.8), (5, 1)])
def test_covariance_of_pixels_is_what_many_tries_give(lens, place):
    seen, rng = view(1, 25, 5, lens), np.random.default_rng(1)
    pixel = seen.to_pixels([place])
    stated = seen.pixel_covariance(pixel, 0.7)[0]
    tried = np.cov(seen.to_floor(pixel + rng.normal(0, 0.7, (20000, 2))).T)
    assert tried == pytest.approx(stated, rel=0.1, abs=0.03 * np.trace(stated))


@pytest.mark.parametrize('place', [(1.5, 0.2), (3, -0.8), (5, 1)])
def test_covariance_of_the_pose_is_what_many_tries_give(place):
    seen, rng = view(1, 25, 5), np.random.default_rng(1)
    noise = Noise(0, math.radians(0.4), 0.02)
    stated = seen.pose_covariance(np.array([place]), noise)[0]
    ray = np.array([*place, 0]) - seen.pose.translation
    tried = []
    for _ in range(5000):
        turn, _ = cv2.Rodrigues(rng.normal(0, noise.tilt, 3))
        tried.append(FloorView(seen.camera, Pose(
            np.eye(3), seen.pose.translation + [0, 0, rng.normal(0, noise.height)],
        )).on_floor((turn @ ray)[None])[0])
    assert np.cov(np.transpose(tried)) == pytest.approx(stated, rel=0.12,
                                                        abs=0.04 * np.trace(stated))


# Contact edges

@LENS
@pytest.mark.parametrize('roll', [0, 30, 90, 180, -120])
def test_contact_edge_is_where_the_thing_touches_the_floor(lens, roll):
    seen = view(1.2, 25, roll, lens)
    instances = draw(seen, (3, 0.2, 0.5, 1.0))
    edges = ContactFinder().find(instances, seen)
    near = edges.points[np.isfinite(edges.ranges) & (edges.ranges < 3.5)]
    away = near @ np.array([3, 0.2]) / math.hypot(3, 0.2)
    assert len(near) > 20
    # A leaning side has a lower outline too, of a pixel or two.
    assert np.quantile(np.abs(away - math.hypot(3, 0.2)), 0.9) < 0.08
    assert np.ptp(near @ np.array([-0.2, 3]) / math.hypot(3, 0.2)) == pytest.approx(0.5, abs=0.1)


def test_upside_down_is_the_same_turned():
    # The principal point is in the middle, so half a turn of camera and image changes nothing.
    upright, turned = view(1.2, 25, 0), view(1.2, 25, 180)
    instances = draw(upright, (3, 0.5, 0.5, 1.0), (2, -0.4, 0.4, 0.5))
    other = instances_of(np.ascontiguousarray(instances.labels[::-1, ::-1]))
    places = [update(GroundTracker(GroundSettings()), seen, found).positions
              for seen, found in ((upright, instances), (turned, other))]
    assert places[0] == pytest.approx(places[1], abs=1e-3)
    assert places[0] == pytest.approx(np.array([[3, 0.5], [2, -0.4]]), abs=0.3)


def test_whole_mask_smears_and_the_contact_edge_does_not():
    seen = view(1.2, 10)
    instances = draw(seen, (3, 0, 0.5, 1.0))
    y, x = instances.labels.nonzero()
    whole = seen.to_floor(np.column_stack([x, y]))
    assert np.nanmax(whole[:, 0]) > 8
    contact = update(GroundTracker(GroundSettings()), seen, instances).contact(0)
    assert contact[:, 0].max() < 3.3


# Objects

@pytest.mark.parametrize('place', [(2, 0.3), (4, -1), (7, 1)])
@pytest.mark.parametrize('tilt', [10, 20, 30])
def test_place_width_and_height(place, tilt):
    seen = view(1.2, tilt)
    found = update(GroundTracker(GroundSettings()), seen, draw(seen, (*place, 0.5, 0.9)))
    distance = math.hypot(*place)
    front = found.positions[0] - np.array(place) / distance * 0.25  # half as deep as it is wide
    assert front == pytest.approx(place, abs=0.05 + 0.012 * distance ** 2)
    assert found.measured.widths[0] == pytest.approx(0.5, abs=0.1)
    if seen.to_pixels([(*place, 0.9)])[0, 1] > 0:
        assert found.measured.heights[0] == pytest.approx(0.9, abs=0.12)
    else:
        assert math.isinf(found.measured.height_noise[0])  # the frame ends below its top
    assert not found.measured.cut[0]
    assert not found.measured.hidden[0]
    polygon = found.footprint(0).astype(np.float32)
    assert cv2.pointPolygonTest(polygon, found.positions[0].tolist(), False) > 0
    assert cv2.contourArea(polygon, oriented=True) > 0  # counter-clockwise, as REP 103 turns


def test_place_of_what_is_cut_off_follows_from_its_height():
    tracker, tall = GroundTracker(GroundSettings()), (0.5, 1.6)
    seen = view(1.0, 0)
    for frame in range(10):
        update(tracker, seen, draw(seen, (3, 0.1, *tall)), frame / 10)
    near = draw(seen, (1.7, 0.1, *tall))
    assert near.boxes[0, 3] == HEIGHT
    found = update(tracker, seen, near, 1.5)
    assert found.measured.cut[0]
    assert not found.measured.hidden[0]
    assert found.measured.positions[0] == pytest.approx([1.7, 0.1], abs=0.3)
    forgetful = update(GroundTracker(GroundSettings()), seen, near)
    assert forgetful.measured.cut[0]
    assert forgetful.covariances[0, 0, 0] > 4 * noise_when_seen(seen, tall)


def noise_when_seen(seen, tall):
    found = update(GroundTracker(GroundSettings()), seen, draw(seen, (3, 0.1, *tall)))
    return found.covariances[0, 0, 0]


def test_place_of_what_is_hidden_follows_from_its_height():
    tracker, seen = GroundTracker(GroundSettings()), view(1.0, 10)
    person, box = (4, 0.1, 0.5, 1.8), (2.5, 0.06, 1.2, 0.5)
    for frame in range(10):
        plain = update(tracker, seen, draw(seen, person), frame / 10)
    found = update(tracker, seen, draw(seen, person, box), 1.0)
    assert found.measured.hidden.tolist() == [True, False]
    assert found.measured.positions[0, 0] == pytest.approx(4.2, abs=0.4)
    assert np.trace(found.measured.noise[0]) > 2 * np.trace(plain.measured.noise[0])
    alone = update(GroundTracker(GroundSettings()), seen, draw(seen, person, box))
    assert 2.5 < alone.positions[0, 0] < 8  # between what hides it and the sight line below it
    assert np.sqrt(alone.covariances[0, 0, 0]) > 0.5


def test_side_of_the_frame_is_said():
    seen = view(1.2, 20)
    found = update(GroundTracker(GroundSettings()), seen, draw(seen, (3, 1.9, 0.6, 0.8)))
    assert found.measured.side_cut.tolist() == [True]


def test_arm_over_somebody_farther_hides_nothing():
    seen = view(1.2, 15)
    instances = draw(seen, (5, 0.6, 0.5, 1.6), (2.5, 0, 0.5, 1.5))
    labels = instances.labels.copy()
    x0, y0, _, _ = instances.boxes[0].tolist()
    labels[y0 - 8:y0 + 4, x0:170] = 2  # reaches across the other's head
    edges = ContactFinder().find(instances_of(labels), seen)
    assert (edges.states[edges.owners == 1] == FREE).all()


@pytest.mark.parametrize('heading', [0, 30, 80, -60])
def test_flat_things_are_boxes_on_the_floor(heading):
    seen, turn = view(1.5, 45), math.radians(heading)
    c, s = math.cos(turn), math.sin(turn)
    rug = np.array([(0.5, 0.2), (-0.5, 0.2), (-0.5, -0.2), (0.5, -0.2)]) @ np.array(
        [[c, s], [-s, c]]) + [1.8, 0.1]
    tracker = GroundTracker(GroundSettings(flat_classes='carpet, Rug'))
    found = update(tracker, seen, draw(seen, rug))
    assert found.measured.flat.tolist() == [True]
    assert found.positions[0] == pytest.approx([1.8, 0.1], abs=0.03)
    assert found.measured.boxes[0, :2] == pytest.approx([1.0, 0.4], abs=0.06)
    off = (found.measured.boxes[0, 2] - turn + math.pi / 2) % math.pi - math.pi / 2
    assert off == pytest.approx(0, abs=0.05)
    assert found.footprint(0).shape == (4, 2)
    assert found.measured.heights[0] == 0


# Tracks

def walk(tracker, seen, velocity, moved=lambda t: None, frames=40, ids=None):
    for frame in range(frames):
        t = frame / 10
        place = np.array([3.5, -0.5]) + np.array(velocity) * t
        there = moved(t)
        local = place if there is None else there.inverse().at(np.array([*place, 0]))[:2]
        found = update(tracker, seen, draw(seen, (*local, 0.5, 0.9)), t, there, ids)
    return found, place


def test_velocity_of_a_walker():
    found, _ = walk(GroundTracker(GroundSettings()), view(1.2, 15), (0.1, 0.5))
    assert found.velocities[0] == pytest.approx([0.1, 0.5], abs=0.12)


def driving(t):
    yaw = -0.1 * t
    c, s = math.cos(yaw), math.sin(yaw)
    return Pose(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), np.array([0.3 * t, 0, 0]))


def test_robot_that_moves_does_not_make_the_world_move():
    found, place = walk(GroundTracker(GroundSettings()), view(1.2, 15), (0, 0), driving)
    assert found.velocities[0] == pytest.approx([0, 0], abs=0.1)
    # In the robot's own frame.
    assert found.positions[0] == pytest.approx(
        driving(3.9).inverse().at(np.array([*place, 0]))[:2], abs=0.35)
    blind, _ = walk(GroundTracker(GroundSettings()), view(1.2, 15), (0, 0), driving,
                    frames=1)
    assert np.isfinite(blind.positions).all()


def test_velocity_has_the_axes_of_the_robot():
    found, _ = walk(GroundTracker(GroundSettings()), view(1.2, 15), (0, -0.3), driving)
    yaw = -0.39
    assert found.velocities[0] == pytest.approx(
        [-0.3 * math.sin(yaw), -0.3 * math.cos(yaw)], abs=0.12)


def test_robot_on_a_slope():
    # The floor frame leans with the slope; the fixed frame is level.
    pitch = math.radians(12)
    c, s = math.cos(pitch), math.sin(pitch)

    def leaning(t):
        return Pose(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.array([0.3 * c * t, 0, 0]))

    tracker, seen = GroundTracker(GroundSettings()), view(1.2, 15)
    for frame in range(40):
        t = frame / 10
        found = update(tracker, seen, draw(seen, (4 - 0.3 * t, 0.2, 0.5, 0.9)), t, leaning(t))
    assert found.velocities[0] == pytest.approx([0, 0], abs=0.1)
    assert found.positions[0, 0] == pytest.approx(4 - 0.3 * 3.9 + 0.25, abs=0.15)


def test_unconfirmed_instances_have_a_place_and_no_velocity():
    found, _ = walk(GroundTracker(GroundSettings()), view(1.2, 15), (0, 0.4), ids=[0])
    assert np.isfinite(found.positions[0]).all()
    assert np.isnan(found.velocities[0]).all()


def test_time_that_goes_back_starts_anew():
    tracker = GroundTracker(GroundSettings())
    walk(tracker, view(1.2, 15), (0, 0.4))
    found, _ = walk(tracker, view(1.2, 15), (0, -0.4), frames=1)
    assert found.velocities[0] == pytest.approx([0, 0])


def test_filter_knows_more_than_one_frame():
    found, _ = walk(GroundTracker(GroundSettings(tilt_noise=0, height_noise=0)), view(1.2, 15),
                    (0, 0.2))
    one = found.measured.noise[0] + found.measured.bias[0]
    assert np.trace(found.covariances[0, :2, :2]) < np.trace(one)
    assert np.linalg.eigvalsh(found.covariances[0]).min() > 0


# What no camera should give

def test_nobody_is_there():
    seen = view()
    found = update(GroundTracker(GroundSettings()), seen,
                   instances_of(np.zeros((HEIGHT, WIDTH), np.uint16)))
    assert len(found.placed) == 0


@pytest.mark.parametrize('seen', [
    view(0.5, -60), view(-1, 20), view(0, 20), view(1, 90), view(1, -90),
], ids=['looks up', 'below the floor', 'on the floor', 'straight down', 'straight up'])
def test_camera_that_sees_no_floor_or_only_floor(seen):
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    labels[20:200, 30:90] = 1
    labels[5, 5] = 2
    found = update(GroundTracker(GroundSettings()), seen, instances_of(labels))
    if seen.pose.rotation[2, 2] >= 0 or seen.height <= 0:
        assert len(found.placed) == 0


def test_label_without_pixels():
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    labels[150:200, 30:90] = 2
    instances = instances_of(labels)
    found = update(GroundTracker(GroundSettings()), view(), instances)
    assert found.placed.tolist() == [1]


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-40, 90), st.floats(-180, 180))
def test_any_labels_give_an_answer(seed, tilt, roll):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 6, (rng.integers(1, 12), rng.integers(1, 12))).astype(np.uint16)
    labels = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint16)
    tracker = GroundTracker(GroundSettings(flat_classes='rug'))
    instances = instances_of(labels, rng.choice([PERSON, RUG], int(labels.max())).tolist())
    for t in (0.0, 0.1, 0.1, 3.0):
        found = update(tracker, view(0.6, tilt, roll, 'plumb_bob'), instances, t)
        for k in found.placed.tolist():
            assert np.linalg.eigvalsh(found.covariances[k, :2, :2]).min() > 0
            assert len(found.footprint(k)) >= 3


def test_settings_refuse_what_makes_no_sense():
    with pytest.raises(SettingsError, match='camera_tilt: expected a number in'):
        replace(GroundSettings(), camera_tilt=120.0)
    assert GroundSettings(camera_height=1.5).camera_pose().translation[2] == 1.5


# Free space

def test_free_space_ends_at_things_and_at_the_end_of_the_floor():
    seen = view(1.2, 10)
    found = update(GroundTracker(GroundSettings(max_distance=8)), seen,
                   draw(seen, (3, 0, 0.5, 0.9)))
    ends = free_space(found)
    ranges, bearings = np.hypot(*ends.T), np.arctan2(ends[:, 1], ends[:, 0])
    assert ranges[np.abs(bearings) < 0.06] == pytest.approx(3, abs=0.15)
    assert ranges[(np.abs(bearings) > 0.12) & (np.abs(bearings) < 0.5)] == pytest.approx(8)
    assert np.ptp(bearings) == pytest.approx(2 * math.atan(WIDTH / 2 / 250), abs=0.1)
    steep = view(1.0, 60)
    nobody = update(GroundTracker(GroundSettings()), steep,
                    instances_of(np.zeros((HEIGHT, WIDTH), np.uint16)))
    assert np.hypot(*free_space(nobody).T).max() == pytest.approx(
        np.linalg.norm(steep.to_floor([(0, 0)])), abs=0.1)


def test_camera_that_looks_up_sees_no_free_space():
    seen = view(1.0, -60)
    found = update(GroundTracker(GroundSettings()), seen,
                   instances_of(np.zeros((HEIGHT, WIDTH), np.uint16)))
    assert len(free_space(found)) == 0


# Targets

NAMES = {PERSON: 'person', RUG: 'rug'}


def two_people(ids):
    seen = view(1.2, 15)
    return update(GroundTracker(GroundSettings()), seen,
                  draw(seen, (5, -0.5, 0.5, 1.0), (3, 0.5, 0.5, 1.0)), ids=ids)


@pytest.mark.parametrize(('wanted', 'row'), [
    ('', None), ('person', 1), ('Person', 1), ('7', 0), ('8', 1), ('9', None), ('dog', None)])
def test_target_is_a_track_or_the_nearest_of_a_class(wanted, row):
    assert Target().find(wanted, two_people([7, 8]), NAMES, 0, 1.0)[0] == row


def test_target_stays_and_ends_when_it_is_lost():
    target = Target()
    row, said = target.find('person', two_people([7, 8]), NAMES, 0, 1.0)
    assert (row, said) == (1, 'following track 8 (person)')
    # The other is nearer now, and the target is hidden for a moment.
    assert target.find('person', two_people([8, 9]), NAMES, 10**8, 1.0) == (0, '')
    assert target.find('person', two_people([0, 9]), NAMES, 2 * 10**8, 1.0) == (None, '')
    assert not target.lost
    assert target.find('person', two_people([0, 9]), NAMES, 2 * 10**9, 1.0)[0] is None
    assert target.lost == 'the target is lost: track 8 (person)'
    assert target.find('person', two_people([8, 9]), NAMES, 3 * 10**9, 1.0) == (None, '')
    target.choose_anew()
    assert target.find('person', two_people([8, 9]), NAMES, 3 * 10**9, 1.0)[0] == 1
    assert target.find('9', two_people([8, 9]), NAMES, 3 * 10**9, 1.0)[0] == 1


# Transforms

LEVEL = (0, 0, 0, 1)


def test_transforms_chain_and_turn_round():
    tree = TransformTree()
    tree.add('base_link', 'camera', 0, (0.2, 0, 1), (0, 0, 1, 1), static=True)
    tree.add('odom', 'base_link', 10, (1, 2, 0), LEVEL)
    pose = tree.lookup('odom', 'camera', 10)
    assert pose.at(np.array([1.0, 0, 0])) == pytest.approx([1.2, 3, 1])
    back = tree.lookup('camera', 'odom', 10)
    assert (pose @ back).translation == pytest.approx([0, 0, 0], abs=1e-12)
    assert tree.lookup('/odom', 'odom', 5).translation == pytest.approx([0, 0, 0])


def test_transforms_between_two_times():
    tree = TransformTree()
    half = math.sqrt(0.5)
    tree.add('odom', 'base', 2 * 10**9, (2, 0, 0), (0, 0, half, half))
    tree.add('odom', 'base', 10**9, (0, 0, 0), LEVEL)  # out of order
    pose = tree.lookup('odom', 'base', 15 * 10**8)
    assert pose.translation == pytest.approx([1, 0, 0])
    assert math.atan2(pose.rotation[1, 0], pose.rotation[0, 0]) == pytest.approx(math.pi / 4)
    with pytest.raises(TransformError, match=r'known from 1.000 to 2.000 s.*\+0.500 s away'):
        tree.lookup('odom', 'base', 25 * 10**8)
    with pytest.raises(TransformError, match=r'-0.500 s away'):
        tree.lookup('odom', 'base', 5 * 10**8)
    assert tree.lookup('odom', 'base', None).translation == pytest.approx([2, 0, 0])


def test_transforms_that_are_not_there_or_make_no_sense():
    tree = TransformTree()
    with pytest.raises(TransformError, match='known are no frames at all'):
        tree.lookup('odom', 'base', 0)
    tree.add('a', 'b', 0, (1, 0, 0), LEVEL, static=True)
    tree.add('b', 'a', 0, (1, 0, 0), LEVEL, static=True)  # a ring
    tree.add('x', 'y', 0, (1, 0, 0), (0, 0, 0, 0))
    tree.add('x', 'z', 0, (math.nan, 0, 0), LEVEL)
    with pytest.raises(TransformError, match='base and a are not connected; known are a, b$'):
        tree.lookup('a', 'base', 0)


def test_transforms_of_a_clock_that_was_set_back():
    tree = TransformTree()
    tree.add('odom', 'base', 100 * 10**9, (1, 0, 0), LEVEL)
    tree.add('odom', 'base', 10**9, (2, 0, 0), LEVEL)
    tree.add('odom', 'base', 2 * 10**9, (4, 0, 0), LEVEL)
    assert tree.lookup('odom', 'base', 15 * 10**8).translation == pytest.approx([3, 0, 0])


# Configurations for Nav2

@pytest.mark.parametrize(('file', 'topics_of'), [
    ('nav2_collision_monitor.yaml', lambda c: [
        c['collision_monitor']['ros__parameters']['people']['topic']]),
    ('nav2_obstacle_layer.yaml', lambda c: [
        c['local_costmap']['local_costmap']['ros__parameters']['instance_layer'][source]['topic']
        for source in ('instances', 'free_space')])])
def test_configurations_for_nav2_name_topics_that_are_there(file, topics_of):
    content = yaml.safe_load((CONFIG / file).read_text())
    for topic in topics_of(content):
        assert topic.lstrip('/') in {topics.FOOTPRINTS, topics.OBSTACLES, topics.FREE_SPACE}
