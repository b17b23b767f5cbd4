"""Instances that a network gives by itself: from the camera to detections and tracks."""

import math
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from fakes.onnx_network import make_onnx, make_yolo
from fakes.pictures import make_folder, PERSON
from instseg_ros.cameras import CameraSettings, open_camera
from instseg_ros.core import SegmentationSettings
from instseg_ros.core.segmentation import network_instances
from instseg_ros.messages import topics
from instseg_ros.messages.stamps import stamp_to_ns
from instseg_ros.recordings import Bag
from instseg_ros.recordings.processing import Options, process
from instseg_ros.recordings.recorder import Recorder
from instseg_ros.recordings.results import read_results
from instseg_ros.ros.camera_node import CameraNode
from instseg_ros.ros.conversions import (array_to_image, image_to_array, instances_to_detections,
                                         ns_to_stamp)
from instseg_ros.ros.instance_segmentation_node import InstanceSegmentationNode, MOST_UNANSWERED
from instseg_ros.ros.stage_node import LATCHED
from instseg_ros.ros.tracker_node import TrackerNode
import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from test_recordings_network import FOUND
from vision_msgs.msg import Detection2DArray, LabelInfo

NODES = 'instance_segmentation_node tracker_node'


class Network:
    """A camera whose network sees two people where its class mask has one thing."""

    def __init__(self, rig):
        self._rig = rig
        self.masks = rig.publisher(Image, topics.MASK)
        self.labels = self.instances = None
        self.stamp_ns, self._due_s = 10**11, 0.0

    def offer(self):
        self.labels = self._rig.publisher(Image, topics.NETWORK_MASK)
        self.instances = self._rig.publisher(Detection2DArray, topics.NETWORK_INSTANCES)

    @property
    def header(self):
        return Header(stamp=ns_to_stamp(self.stamp_ns), frame_id='optical')

    def answer(self):
        """Publish the instances of the last frame."""
        self.labels.publish(array_to_image(FOUND[0].labels, '16UC1', self.header))
        self.instances.publish(instances_to_detections(FOUND[0], self.header))

    def publish(self, instances=True):
        """Publish a frame, not more often than a camera does."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + 0.05
        self.stamp_ns += 10**8
        header = self.header
        if self.labels and instances:
            self.answer()
        self.masks.publish(array_to_image((FOUND[0].labels > 0).astype(np.uint8), 'mono8',
                                          header))


@pytest.fixture
def segmentation(rig):
    return rig.add(InstanceSegmentationNode())


@pytest.fixture
def network(rig, segmentation):
    return Network(rig)


def scores(message):
    return [d.results[0].hypothesis.score for d in message.detections]


def test_network_counts_where_there_is_one(rig, segmentation, network):
    detections = rig.collect(Detection2DArray, topics.DETECTIONS)
    masks = rig.collect(Image, topics.INSTANCE_MASK)
    network.offer()
    rig.until(lambda: len(detections) > 2 and len(masks) > 2, network.publish)
    found = detections[-1]
    expected = network_instances(FOUND[0], SegmentationSettings())
    assert scores(found) == [0.9, 0.75]
    for detection, (cx, cy, w, h, theta) in zip(found.detections, expected.oriented_boxes,
                                                strict=True):
        box = detection.bbox
        assert (box.center.position.x, box.center.position.y, box.size_x, box.size_y,
                box.center.theta) == pytest.approx((cx, cy, w, h, theta))
    labels = image_to_array(masks[-1], '16UC1')
    np.testing.assert_array_equal(labels, FOUND[0].labels)
    assert found.header.frame_id == 'optical'
    assert all(scores(d) == [0.9, 0.75] for d in detections)
    rig.until(lambda: any(
        v.value == 'the network'
        for status in rig.diagnostics.get('instance_segmentation_node', ())
        for v in status.values if v.key == 'instances from'), network.publish)


@pytest.mark.parametrize(('name', 'value', 'left'), [
    ('min_score', 0.8, [0.9]), ('size_threshold', 550, [0.9]), ('ignored_classes', [1], [])])
def test_live_filters(rig, segmentation, network, name, value, left):
    detections = rig.collect(Detection2DArray, topics.DETECTIONS)
    network.offer()
    rig.until(lambda: detections, network.publish)
    segmentation.set_parameters([Parameter(name, value=value)])
    rig.until(lambda: scores(detections[-1]) == left, network.publish)


def test_switched_live(rig, segmentation, network):
    detections = rig.collect(Detection2DArray, topics.DETECTIONS)
    network.offer()
    segmentation.set_parameters([Parameter('size_threshold', value=5)])
    rig.until(lambda: detections and scores(detections[-1]) == [0.9, 0.75], network.publish)
    for source, of_network in (('mask', False), ('network', True), ('mask', False),
                               ('auto', True)):
        segmentation.set_parameters([Parameter('instances_from', value=source)])
        rig.until(lambda n=of_network: (scores(detections[-1]) == [0.9, 0.75]) == n,
                  network.publish)
    # Each frame once, and in order, whatever was switched.
    stamps = [stamp_to_ns(d.header.stamp) for d in detections]
    assert all(a < b for a, b in zip(stamps, stamps[1:], strict=False))


def test_masks_are_split_where_the_network_is_silent(rig, segmentation, network):
    detections = rig.collect(Detection2DArray, topics.DETECTIONS)
    rig.until(lambda: detections, network.publish)  # nobody offers any: at once
    network.offer()
    rig.until(lambda: scores(detections[-1]) == [0.9, 0.75], network.publish)
    rig.until(lambda: scores(detections[-1]) != [0.9, 0.75],
              lambda: network.publish(instances=False))
    assert segmentation._unanswered > MOST_UNANSWERED
    assert any('expected instances of the network with each mask' in line for line in rig.logs)
    rig.until(lambda: scores(detections[-1]) == [0.9, 0.75], network.publish)


def test_instances_that_come_after_their_mask_was_split(rig, segmentation, network):
    detections = rig.collect(Detection2DArray, topics.DETECTIONS)
    rig.until(lambda: detections and stamp_to_ns(detections[-1].header.stamp) == network.stamp_ns,
              lambda: None if detections else network.publish())
    network.offer()
    network.answer()
    rig.until(lambda: scores(detections[-1]) == [0.9, 0.75], network.publish)
    stamps = [stamp_to_ns(d.header.stamp) for d in detections]
    assert len(set(stamps)) == len(stamps)


def test_network_that_is_asked_for_and_not_there(rig, segmentation, network):
    detections = rig.collect(Detection2DArray, topics.DETECTIONS)
    segmentation.set_parameters([Parameter('instances_from', value='network')])
    rig.until(lambda: any('nobody publishes any: the network gives class masks' in line
                          for line in rig.logs), network.publish)
    assert not detections
    # The cure that is named works.
    segmentation.set_parameters([Parameter('instances_from', value='auto')])
    rig.until(lambda: detections, network.publish)


def test_bad_instances_are_named_and_the_next_are_taken(rig, segmentation, network):
    detections = rig.collect(Detection2DArray, topics.DETECTIONS)
    network.offer()
    rig.until(lambda: detections, network.publish)
    header = Header(stamp=ns_to_stamp(network.stamp_ns + 5 * 10**7), frame_id='optical')
    network.labels.publish(array_to_image(FOUND[0].labels, '16UC1', header))
    network.instances.publish(Detection2DArray(header=header))
    rig.until(lambda: any('expected an instance mask with labels up to 0' in line
                          for line in rig.logs))
    count = len(detections)
    rig.until(lambda: len(detections) > count, network.publish)


def recording(path, folder, network):
    """Record a network's answers to pictures; returns the captures as they were recorded."""
    played = open_camera(CameraSettings(source=str(make_folder(folder, 6)), loop=False,
                                        playback_rate=100.0, network=str(network)))
    Recorder(path, played, played.settings).run()
    played.close()
    return list(open_camera(CameraSettings(source=str(path))).captures())


def test_from_the_camera_to_tracks_as_offline(rig, tmp_path):
    captures = recording(tmp_path / 'bag', tmp_path / 'pictures',
                         make_yolo(tmp_path / 'yolo.onnx', names={14: 'person'}))
    found = {name: rig.collect(kind, name) for name, kind in (
        (topics.NETWORK_MASK, Image), (topics.NETWORK_INSTANCES, Detection2DArray),
        (topics.MASK, Image), (topics.NETWORK_MASK + '/compressed', CompressedImage),
        (topics.DETECTIONS, Detection2DArray), (topics.TRACKS, Detection2DArray),
        (topics.INSTANCE_MASK, Image))}
    labels = rig.collect(LabelInfo, topics.LABEL_INFO, LATCHED)
    rig.add(InstanceSegmentationNode())
    rig.add(TrackerNode())
    rig.add(CameraNode(parameter_overrides=[Parameter(k, value=v) for k, v in {
        'source': str(tmp_path / 'bag'), 'loop': False, 'wait_for': NODES,
        'wait_timeout': 60.0}.items()]))
    rig.until(lambda: all(len(messages) == len(captures) for messages in found.values()))
    process(tmp_path / 'bag', tmp_path / 'out', Options())
    with Bag(tmp_path / 'out') as bag:
        offline = list(read_results(bag))
    for k, (capture, result) in enumerate(zip(captures, offline, strict=True)):
        own = {name: messages[k] for name, messages in found.items()}
        assert len({(stamp_to_ns(m.header.stamp), m.header.frame_id)
                    for m in own.values()}) == 1
        assert own[topics.NETWORK_MASK].encoding == '16UC1'
        np.testing.assert_array_equal(image_to_array(own[topics.NETWORK_MASK], '16UC1'),
                                      capture.instances.labels)
        detection, = own[topics.NETWORK_INSTANCES].detections
        assert detection.results[0].hypothesis.class_id == str(PERSON)
        assert detection.results[0].hypothesis.score == capture.instances.scores[0]
        assert detection.bbox.size_x == 48  # the network's own box, which is tall
        assert detection.bbox.center.theta == pytest.approx(math.pi / 2)
        track, = own[topics.TRACKS].detections
        assert track.results[0].hypothesis.score == capture.instances.scores[0]
        assert track.id == result.ids[0]
        assert (track.bbox.center.position.x, track.bbox.size_x) == (
            result.instances.oriented_boxes[0, 0], result.instances.oriented_boxes[0, 2])
        np.testing.assert_array_equal(image_to_array(own[topics.INSTANCE_MASK], '16UC1'),
                                      result.instances.labels)
    assert offline[-1].ids[0]
    assert {c.class_id: c.class_name for c in labels[0].class_map} == {
        0: 'background', PERSON: 'person'}


def test_first_instances_wait_for_who_takes_them(rig, tmp_path):
    """A node that is there may not have found the new topics yet; only it can say."""
    recording(tmp_path / 'bag', tmp_path / 'pictures', make_yolo(tmp_path / 'yolo.onnx'))
    found = rig.collect(Detection2DArray, topics.NETWORK_INSTANCES)
    rig.collect(Image, topics.NETWORK_MASK)
    rig.collect(Image, topics.MASK)
    said = {f'publishers of /{topics.MASK}': '1', f'publishers of /{topics.NETWORK_MASK}': '0',
            f'publishers of /{topics.NETWORK_INSTANCES}': '0'}
    diagnostics = rig.publisher(DiagnosticArray, '/diagnostics')

    def speak():
        diagnostics.publish(DiagnosticArray(status=[DiagnosticStatus(
            name='instance_segmentation_node',
            values=[KeyValue(key=k, value=v) for k, v in said.items()])]))

    camera = rig.add(CameraNode(parameter_overrides=[Parameter(k, value=v) for k, v in {
        'source': str(tmp_path / 'bag'), 'loop': False, 'own_process': False,
        'wait_for': 'instance_segmentation_node', 'wait_timeout': 60.0}.items()]))
    rig.until(lambda: camera._network is None
              and rig.tester.count_publishers(topics.NETWORK_INSTANCES), speak)
    until = time.monotonic() + 1.0
    rig.until(lambda: time.monotonic() > until, speak)
    assert not found
    assert not camera._frames
    said.update(dict.fromkeys(said, '1'))
    rig.until(lambda: len(found) == 6, speak)


def test_network_of_classes_offers_no_instances(rig, tmp_path):
    recording(tmp_path / 'bag', tmp_path / 'pictures', make_onnx(tmp_path / 'red.onnx'))
    rig.add(InstanceSegmentationNode())
    detections = rig.collect(Detection2DArray, topics.DETECTIONS)
    rig.add(CameraNode(parameter_overrides=[Parameter(k, value=v) for k, v in {
        'source': str(tmp_path / 'bag'), 'loop': False,
        'wait_for': 'instance_segmentation_node', 'wait_timeout': 60.0}.items()]))
    rig.until(lambda: len(detections) == 6)
    assert not rig.tester.count_publishers(topics.NETWORK_INSTANCES)
    assert not rig.tester.count_publishers(topics.NETWORK_MASK)
    assert not any('playing without' in line for line in rig.logs)


def test_min_score_of_the_camera_is_live(rig, tmp_path):
    camera = rig.add(CameraNode(parameter_overrides=[Parameter(k, value=v) for k, v in {
        'source': str(make_folder(tmp_path / 'pictures')),
        'network': str(make_yolo(tmp_path / 'yolo.onnx')), 'own_process': True}.items()]))
    found = rig.collect(Detection2DArray, topics.NETWORK_INSTANCES)
    masks = rig.collect(Image, topics.MASK)
    rig.until(lambda: found and found[-1].detections and masks)
    camera.set_parameters([Parameter('min_score', value=1.0)])
    rig.until(lambda: not found[-1].detections)
    rig.until(lambda: not any(masks[-1].data))
