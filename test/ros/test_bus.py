"""Messages between the nodes of one process, and what happens when one of them is late."""

import time

from instseg_ros.cameras import CameraSettings
from instseg_ros.messages import topics
from instseg_ros.messages.stamps import stamp_ns
from instseg_ros.ros.bus import Bus
from instseg_ros.ros.conversions import array_to_image, ArrayImage, image_to_array, ns_to_stamp
from instseg_ros.ros.instance_segmentation_node import InstanceSegmentationNode
from instseg_ros.ros.stage_node import LATCHED, OFFERED, StageNode
from instseg_ros.ros.tracker_node import TrackerNode
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

TOPIC = 'pictures'
SETTLED_S = 0.3  # the two ends of a topic are matched for sure


def picture(number, kind=ArrayImage.of):
    return kind(np.full((4, 6), number, np.uint8), 'mono8', Header(stamp=ns_to_stamp(number)))


class Pair:
    """Two nodes of one process, a subscription's messages, and where they came from."""

    def __init__(self, rig, bus, depth=30):
        self.talker = rig.add(StageNode('talker', CameraSettings, bus=bus))
        self.listener = rig.add(StageNode('listener', CameraSettings, bus=bus))
        self.heard = []
        self.publisher = self.talker.offer(Image, TOPIC)
        self.subscription = self.listener.request(
            Image, TOPIC, self.heard.append,
            QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT))

    @property
    def numbers(self):
        return [stamp_ns(m) for m in self.heard]


@pytest.fixture
def bus(rig):
    return Bus(rig._executor)


@pytest.fixture
def pair(rig, bus, monkeypatch):
    monkeypatch.setattr('instseg_ros.ros.bus._MATCHED_S', SETTLED_S)
    pair = Pair(rig, bus)
    since = time.monotonic()
    rig.until(lambda: time.monotonic() > since + SETTLED_S)
    return pair


def test_message_is_handed_over_as_it_is(rig, pair):
    sent = picture(1)
    pair.publisher.publish(sent)
    rig.until(lambda: pair.heard)
    assert pair.heard == [sent]
    assert pair.heard[0] is sent
    assert not pair.publisher.sent, 'nothing went through the middleware'
    assert rig.tester.count_subscribers(TOPIC) == 1, 'the graph shows it all the same'


def test_somebody_outside_hears_it_too_and_nobody_twice(rig, pair):
    outside = rig.collect(Image, TOPIC)
    rig.until(lambda: pair.publisher.get_subscription_count() == 2)
    for number in range(1, 6):
        pair.publisher.publish(picture(number))
    rig.until(lambda: len(outside) == 5 and len(pair.heard) == 5)
    # What came back through the middleware would be here by now.
    pair.publisher.publish(picture(6))
    rig.until(lambda: len(outside) == 6)
    rig.until(lambda: len(pair.heard) == 6)
    assert pair.numbers == [stamp_ns(m) for m in outside] == [1, 2, 3, 4, 5, 6]
    assert np.array_equal(image_to_array(outside[4], 'mono8'), np.full((4, 6), 5))


def test_somebody_outside_is_heard(rig, pair):
    outside = rig.publisher(Image, TOPIC)
    pair.publisher.publish(picture(1))
    rig.until(lambda: pair.heard)
    outside.publish(picture(2, array_to_image))
    rig.until(lambda: len(pair.heard) == 2)
    assert pair.numbers == [1, 2]


def test_somebody_outside_with_the_same_stamp_is_heard(rig, pair):
    outside = rig.publisher(Image, TOPIC)
    listening = rig.collect(Image, TOPIC)
    rig.until(lambda: pair.publisher.get_subscription_count() == 2)
    rig.until(lambda: outside.get_subscription_count() == 2)
    pair.publisher.publish(picture(1))
    for number in (1, 2):
        outside.publish(picture(number, array_to_image))
    rig.until(lambda: len(listening) == 3 and 2 in pair.numbers)
    assert pair.numbers == [1, 1, 2]


@pytest.mark.parametrize('depth', [1, 3])
def test_oldest_messages_go_when_too_many_wait(rig, bus, depth):
    pair = Pair(rig, bus, depth)
    for number in range(1, 8):
        pair.publisher.publish(picture(number))
    rig.until(lambda: len(pair.heard) == depth)
    assert pair.numbers == list(range(8 - depth, 8))


def test_latched_message_reaches_who_comes_later(rig, bus):
    talker = rig.add(StageNode('talker', CameraSettings, bus=bus))
    publisher = talker.offer(LabelInfo, 'names', LATCHED)
    publisher.publish(LabelInfo(header=Header(stamp=ns_to_stamp(7))))
    listener, heard = rig.add(StageNode('listener', CameraSettings, bus=bus)), []
    listener.request(LabelInfo, 'names', heard.append, LATCHED)
    outside = rig.collect(LabelInfo, 'names', LATCHED)
    rig.until(lambda: heard and outside)
    assert len(heard) == 1


def test_qualities_of_service_that_do_not_match_are_not_connected(rig, bus):
    talker = rig.add(StageNode('talker', CameraSettings, bus=bus))
    publisher = talker.offer(LabelInfo, 'names', OFFERED)
    latched, plain = [], []
    for heard, qos in ((latched, LATCHED), (plain, OFFERED)):
        talker.request(LabelInfo, 'names', heard.append, qos)
    publisher.publish(LabelInfo())
    rig.until(lambda: plain)
    assert not latched


def test_dismissed_subscription_hears_nothing_more(rig, pair):
    pair.publisher.publish(picture(1))
    pair.listener.dismiss(pair.subscription)
    again = []
    pair.listener.request(Image, TOPIC, again.append)
    pair.publisher.publish(picture(2))
    rig.until(lambda: again)
    assert not pair.heard


@pytest.mark.parametrize('together', [True, False], ids=['one process', 'two processes'])
@pytest.mark.parametrize(('when_late', 'expected'), [
    ('skip', [1, 6]), ('wait', [1, 2, 3, 4, 5, 6])])
def test_when_the_segmentation_is_late(rig, bus, together, when_late, expected):
    if together:
        camera = rig.add(StageNode('camera', CameraSettings, bus=bus))
        send = camera.offer(Image, topics.MASK)
    segmentation = rig.add(InstanceSegmentationNode(bus=bus if together else None))
    segmentation.set_parameters([Parameter('when_late', value=when_late)])
    detections = rig.collect(Detection2DArray, topics.DETECTIONS, 100)
    if not together:
        send = rig.publisher(Image, topics.MASK, 100)
    rig.until(lambda: rig.tester.count_publishers(topics.DETECTIONS))
    send.publish(picture(1, array_to_image))
    rig.until(lambda: detections)
    for number in range(2, 7):  # while nobody spins
        send.publish(picture(number, array_to_image))
    if not together:
        time.sleep(0.2)  # on their way through the middleware
    rig.until(lambda: len(detections) == len(expected))
    assert [stamp_ns(m) for m in detections] == expected
    counted = {'skip': '4', 'wait': None}[when_late]
    rig.until(lambda: any(
        {v.key: v.value for v in status.values}.get('skipped messages') == counted
        for status in rig.diagnostics.get('instance_segmentation_node', ())))
    said = any('all but the newest were skipped' in line for line in rig.logs)
    assert said == (when_late == 'skip')


class Queue:
    """Three people in a row; in half a second each is where the next one was."""

    RATE, SPEED, APART = 20, 120, 60  # frames a second, pixels a second, pixels

    def __init__(self, rig, bus):
        self._rig = rig
        self.segmentation = rig.add(InstanceSegmentationNode(bus=bus))
        rig.add(TrackerNode(bus=bus))
        camera = rig.add(StageNode('camera', CameraSettings, bus=bus))
        self._send = camera.offer(Image, topics.MASK)
        self.tracks = rig.collect(Detection2DArray, topics.TRACKS, 100)
        rig.until(lambda: rig.tester.count_publishers(topics.TRACKS))
        self._frame = 0

    def walk(self, frames):
        """Publish some frames at once; return the ids from the last to the first in the queue."""
        for _ in range(frames):
            self._frame += 1
            mask = np.zeros((240, 640), np.uint8)
            for k in range(3):
                x = 20 + self.APART * k + self.SPEED * self._frame // self.RATE
                mask[60:180, x:x + 30] = 15
            stamp = ns_to_stamp(10**12 + self._frame * 10**9 // self.RATE)
            self._send.publish(ArrayImage.of(mask, 'mono8', Header(stamp=stamp)))
        self._rig.until(lambda: self.tracks and self.tracks[-1].header.stamp == stamp)
        return [d.id for d in sorted(self.tracks[-1].detections,
                                     key=lambda d: d.bbox.center.position.x)]


def test_ids_hold_while_masks_are_skipped(rig, bus):
    queue = Queue(rig, bus)
    queue.segmentation.set_parameters([Parameter('when_late', value='skip')])
    for _ in range(10):
        ids = queue.walk(1)
    assert len(set(ids)) == 3 and all(ids)
    handled = len(queue.tracks)
    late = (10, 3, 10, 5, 10)
    for frames in late:
        assert queue.walk(frames) == ids
    assert len(queue.tracks) == handled + len(late)
    skipped = str(sum(late) - len(late))
    rig.until(lambda: any(
        {v.key: v.value for v in status.values}.get('skipped messages') == skipped
        for status in rig.diagnostics.get('instance_segmentation_node', ())))


def test_frame_passes_all_nodes_before_the_next_one_begins(rig, bus):
    camera = rig.add(StageNode('camera', CameraSettings, bus=bus))
    segmentation = rig.add(InstanceSegmentationNode(bus=bus))
    segmentation.set_parameters([Parameter('when_late', value='wait')])
    rig.add(TrackerNode(bus=bus))
    order = []
    send = camera.offer(Image, topics.MASK)
    for topic in (topics.DETECTIONS, topics.TRACKS):
        camera.request(Detection2DArray, topic,
                       lambda m, t=topic: order.append((stamp_ns(m), t)))
    for number in (1, 2):
        send.publish(picture(number))
    rig.until(lambda: len(order) == 4)
    assert [number for number, _ in order] == [1, 1, 2, 2]
