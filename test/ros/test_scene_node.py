"""scene_node as others see it: topics, counts, live parameters, events saved."""

from pathlib import Path
import time

import cv2
from instseg_ros.cli import main
from instseg_ros.messages import topics
from instseg_ros.messages.stamps import stamp_ns
from instseg_ros.recordings.bag import Bag
from instseg_ros.recordings.parameters import read_settings
from instseg_ros.recordings.scene import read_events
from instseg_ros.ros.conversions import array_to_image, ns_to_stamp
from instseg_ros.ros.overlay_node import OverlayNode
from instseg_ros.ros.scene_node import SceneNode
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, UInt32
from vision_msgs.msg import (BoundingBox2D, Detection2D, Detection2DArray, Detection3D,
                             Detection3DArray,
                             LabelInfo, ObjectHypothesis, ObjectHypothesisWithPose, Point2D,
                             Pose2D, VisionClass)

ROOT = Path(__file__).parent.parent.parent
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LEFT_HALF = [0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0]


def parameters(**values):
    return [Parameter(name.replace('__', '.'), value=value) for name, value in values.items()]


class Street:
    """Publishes one person, here or there, as the nodes before would."""

    def __init__(self, rig):
        self._send = [rig.publisher(Image, topics.INSTANCE_MASK),
                      rig.publisher(Detection2DArray, topics.TRACKS)]
        self._names = rig.publisher(LabelInfo, topics.LABEL_INFO, LATCHED)
        self._names.publish(LabelInfo(class_map=[VisionClass(class_id=15, class_name='person')]))
        self.index = 0
        self.x = 20
        self._next = 0.0

    def show(self):
        """Publish a frame, if the last one was some time ago: nodes have queues."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.03
        self.index += 1
        header = Header(stamp=ns_to_stamp(10**11 + self.index * 10**8), frame_id='optical')
        labels = np.zeros((120, 160), np.uint16)
        labels[40:80, self.x - 10:self.x + 10] = 1
        found = Detection2D(
            header=header, id='7', bbox=BoundingBox2D(
                center=Pose2D(position=Point2D(x=float(self.x), y=60.0)), size_x=40.0,
                size_y=20.0),
            results=[ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(
                class_id='15', score=0.9))])
        self._send[1].publish(Detection2DArray(header=header, detections=[found]))
        self._send[0].publish(array_to_image(labels, '16UC1', header))


def scene(rig, **values):
    return rig.add(SceneNode(parameter_overrides=parameters(**values)))


def test_tracks_counts_and_events_are_published(rig):
    scene(rig, selections=['door'], door__classes=['person'], door__zone=LEFT_HALF,
          door__hysteresis_s=0.0)
    street = Street(rig)
    tracks = rig.collect(Detection2DArray, 'scene/door/tracks')
    entered = rig.collect(Detection2DArray, 'scene/door/entered')
    left = rig.collect(Detection2DArray, 'scene/door/left')
    rig.until(lambda: entered and tracks, street.show)
    assert [d.id for d in entered[0].detections] == ['7']
    assert entered[0].header.frame_id == 'optical'
    assert tracks[-1].detections[0].results[0].hypothesis.class_id == '15'
    counts = rig.collect(UInt32, 'scene/door/count', LATCHED)   # who comes later is told too
    rig.until(lambda: counts and counts[-1].data == 1)
    street.x = 140
    rig.until(lambda: left and counts[-1].data == 0 and not tracks[-1].detections, street.show)
    assert [d.id for d in left[0].detections] == ['7']
    assert len(entered) == len(left) == 1


def test_lines_count_by_direction(rig):
    scene(rig, selections=['gate'], gate__line=[0.5, 1.0, 0.5, 0.0])
    street = Street(rig)
    forward = rig.collect(Detection2DArray, 'scene/gate/forward')
    count = rig.collect(UInt32, 'scene/gate/forward_count', LATCHED)
    tracks = rig.collect(Detection2DArray, 'scene/gate/tracks')
    rig.until(lambda: tracks, street.show)
    street.x = 140
    rig.until(lambda: forward and count and count[-1].data == 1, street.show)
    assert [d.id for d in forward[0].detections] == ['7']


def test_selections_come_and_go_while_the_node_runs(rig):
    node = scene(rig, selections=['door'])
    street = Street(rig)
    assert node.set_parameters_atomically(parameters(selections=['door', 'gate'])).successful
    assert node.set_parameters_atomically(parameters(gate__line=[0.5, 1.0, 0.5, 0.0])).successful
    forward = rig.collect(Detection2DArray, 'scene/gate/forward')
    tracks = rig.collect(Detection2DArray, 'scene/gate/tracks')
    rig.until(lambda: tracks, street.show)
    street.x = 140
    rig.until(lambda: forward, street.show)
    assert node.set_parameters_atomically(parameters(selections=['gate'])).successful
    assert not node.has_parameter('door.zone')
    assert node.has_parameter('gate.line')


@pytest.mark.parametrize(('values', 'said'), [
    ({'door__zone': [0.1, 0.2]}, 'door.zone: expected x and y of 3 to 100 points, got 2 numbers'),
    ({'door__stay_s': -1.0}, 'door.stay_s: expected a number in [0, 3600], got -1.0'),
    ({'selections': ['a b']}, 'selections: expected names of letters, digits and _'),
    ({'gate__line': [0.5, 1.0, 0.5, 0.0]}, 'gate.line: no such parameter'),
])
def test_wrong_values_are_refused_with_the_reason(rig, values, said):
    node = scene(rig, selections=['door'])
    answer = node.set_parameters_atomically(parameters(**values))
    assert not answer.successful
    assert said in answer.reason
    assert node.settings.selections == ('door',)


def test_parameters_have_types_and_ranges(rig):
    node = scene(rig, selections=['door'], door__zone=LEFT_HALF)
    described = {n: node.describe_parameter(f'door.{n}') for n in ('zone', 'with', 'stay_s')}
    assert described['zone'].type == Parameter.Type.DOUBLE_ARRAY.value
    assert described['with'].type == Parameter.Type.STRING_ARRAY.value
    assert described['stay_s'].floating_point_range[0].to_value == 3600
    assert node.set_parameters_atomically(parameters(door__zone=[])).successful
    assert node.settings.named['door'].zone == ()
    assert node.set_parameters_atomically(parameters(
        door__units='pixels', door__zone=[0, 0, 80, 0, 80, 120])).successful


def test_a_class_that_nobody_has_is_named(rig):
    scene(rig, selections=['door'], door__classes=['persn'])
    street = Street(rig)
    rig.until(lambda: any("got 'persn'" in log for log in rig.logs), street.show)


def test_metres_ask_for_the_ground_node(rig):
    scene(rig, selections=['front'], front__units='metres',
          front__zone=[0.0, -1.0, 2.0, -1.0, 2.0, 1.0])
    street = Street(rig)
    rig.until(lambda: any('start ground_node' in log for log in rig.logs), street.show)
    objects = rig.publisher(Detection3DArray, topics.OBJECTS)
    tracks = rig.collect(Detection2DArray, 'scene/front/tracks')

    def show():
        before = street.index
        street.show()
        if street.index == before:
            return
        message = Detection3DArray(header=Header(stamp=ns_to_stamp(
            10**11 + street.index * 10**8)))
        found = Detection3D(id='7')
        found.bbox.center.position.x = 1.0
        message.detections = [found]
        objects.publish(message)
    rig.until(lambda: tracks and tracks[-1].detections, show)


def test_the_heatmap_says_for_how_long(rig):
    scene(rig)
    street = Street(rig)
    maps = rig.collect(Image, topics.HEATMAP)
    rig.until(lambda: len(maps) > 1, street.show)
    seconds = np.frombuffer(bytes(maps[-1].data), np.float32).reshape(maps[-1].height, -1)
    assert maps[-1].encoding == '32FC1'
    assert seconds[60, 20] > 0.5
    assert seconds[60, 100] == 0


def test_what_led_up_to_an_event_is_saved(rig, tmp_path):
    scene(rig, selections=['door'], door__zone=LEFT_HALF, folder=str(tmp_path),
          door__save_before_s=20.0, door__save_after_s=0.3)
    street = Street(rig)
    street.x = 140
    masks = rig.publisher(CompressedImage, f'{topics.MASK}/compressed')

    def show():
        before = street.index
        street.show()
        if street.index > before:
            masks.publish(CompressedImage(header=Header(), format='png', data=b'abc'))
    tracks = rig.collect(Detection2DArray, 'scene/door/tracks')
    rig.until(lambda: len(tracks) > 3, show)
    street.x = 20
    rig.until(lambda: any('event recorded' in log for log in rig.logs), show)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith('door_')
    with Bag(folder) as bag:
        assert bag.topics[f'/{topics.LABEL_INFO}'].count == 1
        assert bag.topics[f'/{topics.MASK}/compressed'].count > 3
        assert [(e.selection, e.kind, e.track_id) for e in read_events(bag)] == [
            ('door', 'entered', '7')]
        assert bag.topics[f'/{topics.TRACKS}'].count > 3


def test_the_overlay_draws_zones_and_counts(rig):
    scene(rig, selections=['door'], door__zone=LEFT_HALF)
    overlay = rig.add(OverlayNode())
    street = Street(rig)
    rig.until(lambda: overlay._counts.get('door') and overlay._counts['door'].count == 1,
              street.show)
    rig.until(lambda: overlay._scene.named['door'].zone == tuple(LEFT_HALF))


def test_live_and_offline_are_the_same(rig, tmp_path):
    names = ('entered', 'left', 'tracks')
    assert main(['process', str(ROOT / 'sample'), str(tmp_path / 'out'), '--workers', '0',
                 '--scene', str(ROOT / 'config' / 'scene.yaml')]) == 0
    settings = read_settings([ROOT / 'config' / 'scene.yaml'])['scene_node']
    rig.add(SceneNode(parameter_overrides=[
        Parameter(n, value=list(v) if isinstance(v, tuple) else v)
        for n, v in settings.values().items() if v != ()]))
    send = [rig.publisher(Image, topics.INSTANCE_MASK),
            rig.publisher(Detection2DArray, topics.TRACKS)]
    labels = rig.publisher(LabelInfo, topics.LABEL_INFO, LATCHED)
    labels.publish(LabelInfo(class_map=[VisionClass(class_id=15, class_name='person')]))
    live = {f'/scene/crossing/{n}': rig.collect(Detection2DArray, f'scene/crossing/{n}')
            for n in names}
    offline = {topic: [] for topic in live}
    frames = {}
    with Bag(tmp_path / 'out') as bag:
        for topic, _, data in bag.messages([
                f'/{topics.INSTANCE_MASK}/compressed', f'/{topics.TRACKS}', *live]):
            if topic in offline:
                offline[topic].append(deserialize_message(data, Detection2DArray))
            elif topic == f'/{topics.TRACKS}':
                message = deserialize_message(data, Detection2DArray)
                frames.setdefault(stamp_ns(message), [None, None])[1] = message
            else:
                message = deserialize_message(data, CompressedImage)
                pixels = cv2.imdecode(np.frombuffer(message.data, np.uint8),
                                      cv2.IMREAD_UNCHANGED)
                frames.setdefault(stamp_ns(message), [None, None])[0] = array_to_image(
                    pixels, '16UC1', message.header)
    tracks = live['/scene/crossing/tracks']
    rig.until(lambda: all(p.get_subscription_count() for p in (*send, labels)))
    for number, parts in enumerate(frames.values(), 1):
        for publisher, message in zip(send, parts, strict=True):
            publisher.publish(message)
        rig.until(lambda expected=number: len(tracks) == expected)
    assert len(offline['/scene/crossing/entered']) > 2
    for topic, messages in live.items():
        assert messages == offline[topic], topic
