"""`instseg process` on the floor: the topics of the ground node, and metres in the CSV."""

import csv
import math

from fakes.floor import camera, draw, HEIGHT, MATRIX, PERSON, view, WIDTH
from instseg_ros.cli import main
from instseg_ros.core.ground import GroundSettings
from instseg_ros.messages import topics, typestore
from instseg_ros.recordings import Bag
from instseg_ros.recordings.ground import TYPES
from instseg_ros.recordings.processing import Options, process
import numpy as np
import pytest
import recorded

MASK, INFO = '/camera/semantic_mask/compressed', '/camera/camera_info'
GROUND = {'/' + topic for topic in TYPES}
COUNT = 20


def info(k, matrix=MATRIX, distortion=()):
    types = typestore().types
    return types['sensor_msgs/msg/CameraInfo'](
        recorded.header(k), HEIGHT, WIDTH, 'plumb_bob', np.array(distortion, float),
        np.array(matrix, float), np.eye(3).ravel(), np.zeros(12), 0, 0,
        types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False))


def transform(k, parent, child, translation, quaternion):
    types = typestore().types
    header = recorded.header(k)
    header.frame_id = parent
    return types['tf2_msgs/msg/TFMessage']([types['geometry_msgs/msg/TransformStamped'](
        header, child, types['geometry_msgs/msg/Transform'](
            types['geometry_msgs/msg/Vector3'](*translation),
            types['geometry_msgs/msg/Quaternion'](*quaternion)))])


def camera_transform(tilt=15):
    """Return where the optical frame of a level camera, tilted down, is in base_footprint."""
    # A level camera is turned by (-0.5, 0.5, -0.5, 0.5); this one also about its own x.
    c, s = math.cos(math.radians(tilt) / 2) / 2, -math.sin(math.radians(tilt) / 2) / 2
    return transform(0, 'base_footprint', 'optical', (0, 0, 1.2), (s - c, c - s, -s - c, c + s))


def drive(tmp_path, matrix=MATRIX, tf=True):
    """Record a robot that drives towards somebody who stands."""
    kinds = {MASK: recorded.COMPRESSED, INFO: 'sensor_msgs/msg/CameraInfo',
             '/camera/label_info': 'vision_msgs/msg/LabelInfo'}
    messages = [('/camera/label_info', 0, recorded.label_info(
        typestore().types, recorded.NAMES, recorded.header(0)))]
    if tf:
        kinds |= {'/tf': 'tf2_msgs/msg/TFMessage', '/tf_static': 'tf2_msgs/msg/TFMessage'}
        messages.append(('/tf_static', 0, camera_transform()))
    for k in range(COUNT):
        if tf:
            messages.append(('/tf', k, transform(
                k, 'odom', 'base_footprint', (0.05 * k, 0, 0), (0, 0, 0, 1))))
        labels = draw(view(1.2, 15), (4.5 - 0.05 * k, 0.3, 0.5, 0.9)).labels
        messages += [(INFO, k, info(k, matrix)),
                     (MASK, k, recorded.compressed(k, (labels > 0).astype(np.uint8) * PERSON))]
    return recorded.write(tmp_path / 'drive', kinds, messages)


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_transforms_and_calibration_of_the_recording_are_enough(tmp_path):
    summary = process(drive(tmp_path), tmp_path / 'out', Options(csv=tmp_path / 'out.csv'))
    assert summary.complete and not summary.notes, summary.notes
    with Bag(tmp_path / 'out') as bag:
        assert set(bag.topics) >= GROUND
        found = [bag.decode(*m) for m in bag.messages(['/' + topics.OBJECTS])]
    assert len(found) == COUNT
    assert found[-1].header.frame_id == 'base_footprint'
    assert found[-1].detections[0].bbox.center.position.x == pytest.approx(3.8, abs=0.15)
    last = rows(tmp_path / 'out.csv')[-1]
    assert float(last['x']) == pytest.approx(3.8, abs=0.15)
    assert float(last['y']) == pytest.approx(0.32, abs=0.1)
    assert float(last['speed']) < 0.1  # the robot drives, not the person


def test_pose_as_parameters_on_the_command_line(tmp_path, capsys):
    source = drive(tmp_path, tf=False)
    assert main(['process', str(source), str(tmp_path / 'out'), '--csv', str(tmp_path / 'out.csv'),
                 '--set', 'camera_height=1.2', '--set', 'ground_node.camera_tilt=15',
                 '--set', 'target=person', '--workers', '1']) == 0
    last = rows(tmp_path / 'out.csv')[-1]
    # Nothing says that the robot drives: the person comes nearer.
    assert float(last['speed']) == pytest.approx(0.5, abs=0.15)
    with Bag(tmp_path / 'out') as bag:
        assert bag.topics['/' + topics.TARGET].count == COUNT


def test_results_do_not_depend_on_the_workers(tmp_path):
    source, contents = drive(tmp_path), []
    for workers in (0, 2):
        process(source, tmp_path / str(workers), Options(workers=workers))
        with Bag(tmp_path / str(workers)) as bag:
            contents.append(list(bag.messages(GROUND & set(bag.topics))))
    assert contents[0] == contents[1]


def test_without_pose_nothing_is_written(tmp_path):
    summary = process(drive(tmp_path, tf=False), tmp_path / 'out',
                      Options(csv=tmp_path / 'out.csv'))
    assert not summary.notes
    with Bag(tmp_path / 'out') as bag:
        assert not GROUND & set(bag.topics)
    assert {row['x'] for row in rows(tmp_path / 'out.csv')} == {''}


def test_pose_without_calibration_is_said_with_the_cure(tmp_path):
    source = drive(tmp_path, np.zeros(9), tf=False)
    summary = process(source, tmp_path / 'out', Options(ground=GroundSettings(camera_height=1.2)))
    assert any('not calibrated' in note and 'horizontal_fov=66' in note for note in summary.notes)
    fov = math.degrees(2 * math.atan(WIDTH / 2 / camera().matrix[0, 0]))
    process(source, tmp_path / 'cured', Options(csv=tmp_path / 'out.csv', ground=GroundSettings(
        camera_height=1.2, camera_tilt=15, horizontal_fov=fov)))
    assert float(rows(tmp_path / 'out.csv')[-1]['x']) == pytest.approx(3.8, abs=0.15)


def test_frames_without_transforms_are_counted(tmp_path):
    summary = process(drive(tmp_path), tmp_path / 'out',
                      Options(ground=GroundSettings(ground_frame='floor')))
    assert any(f'{COUNT} frames have no place on the floor: expected a transform from optical to '
               'floor' in note for note in summary.notes)
