"""The nodes as others see them: topics, types, stamps, quality of service, bad input."""

import math
import time

from diagnostic_msgs.msg import DiagnosticStatus
from instseg_ros.messages import topics
from instseg_ros.messages.encodings import read_image
from instseg_ros.messages.stamps import stamp_to_ns
from instseg_ros.ros.conversions import array_to_image, image_to_array, ns_to_stamp
from instseg_ros.ros.instance_segmentation_node import InstanceSegmentationNode
from instseg_ros.ros.overlay_node import OverlayNode
from instseg_ros.ros.tracker_node import TrackerNode
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

MASK = 'camera/semantic_mask'
DETECTIONS = 'instance_segmentation/detections'
INSTANCE_MASK = 'instance_segmentation/instance_mask'


def two_people():
    mask = np.zeros((120, 160), np.uint8)
    mask[20:80, 10:40] = 15   # 30 wide, 60 high
    mask[30:50, 80:140] = 15  # 60 wide, 20 high
    return mask


class Stamps:
    """Headers of one camera, ten a second."""

    def __init__(self):
        self.index = 0

    def rising(self, step=1):
        self.index += step
        return Header(stamp=ns_to_stamp(10**11 + self.index * 10**8), frame_id='optical')


@pytest.fixture
def stamps():
    return Stamps()


@pytest.fixture
def segmentation(rig):
    rig.add(InstanceSegmentationNode())
    return rig


def by_stamp(messages):
    return {stamp_to_ns(m.header.stamp): m for m in messages}


def test_detections_and_instance_mask_belong_together(segmentation, stamps):
    rig = segmentation
    detections = rig.collect(Detection2DArray, DETECTIONS)
    masks = rig.collect(Image, INSTANCE_MASK)
    send = rig.publisher(Image, MASK)
    rig.until(lambda: by_stamp(detections).keys() & by_stamp(masks).keys(),
              lambda: send.publish(array_to_image(two_people(), 'mono8', stamps.rising())))
    stamp = (by_stamp(detections).keys() & by_stamp(masks).keys()).pop()
    found, mask = by_stamp(detections)[stamp], by_stamp(masks)[stamp]
    labels = image_to_array(mask, '16UC1')
    assert mask.encoding == '16UC1'
    assert mask.header == found.header
    assert found.header.frame_id == 'optical'
    assert len(found.detections) == 2 == labels.max()
    for k, detection in enumerate(found.detections):
        rows, columns = np.nonzero(labels == k + 1)
        assert detection.header == found.header
        assert detection.id == ''
        assert detection.results[0].hypothesis.class_id == '15'
        assert 0 < detection.results[0].hypothesis.score <= 1
        assert detection.bbox.center.position.x == pytest.approx(columns.mean() + 0.5, abs=1)
        assert detection.bbox.center.position.y == pytest.approx(rows.mean() + 0.5, abs=1)
        assert detection.bbox.size_x == pytest.approx(60, abs=1)
    tall, wide = sorted(found.detections, key=lambda d: d.bbox.center.position.x)
    assert tall.bbox.center.theta == pytest.approx(math.pi / 2)
    assert wide.bbox.center.theta == pytest.approx(0)


def test_compressed_instance_mask_keeps_every_label(segmentation, stamps):
    rig = segmentation
    compressed = rig.collect(CompressedImage, INSTANCE_MASK + '/compressed')
    send = rig.publisher(Image, MASK)
    rig.until(lambda: compressed,
              lambda: send.publish(array_to_image(two_people(), 'mono8', stamps.rising())))
    assert compressed[0].format == '16UC1; png compressed 16UC1'
    labels = read_image(compressed[0], '16UC1')
    assert np.array_equal(labels > 0, two_people() > 0)


def test_debug_images_only_in_config_mode(segmentation, stamps):
    rig = segmentation
    mosaics = rig.collect(Image, 'instance_segmentation/debug/mosaic')
    detections = rig.collect(Detection2DArray, DETECTIONS)
    send = rig.publisher(Image, MASK)

    def publish():
        send.publish(array_to_image(two_people(), 'mono8', stamps.rising()))

    rig.until(lambda: len(detections) > 3, publish)
    assert not mosaics
    answer = rig.call(SetParameters, 'instance_segmentation_node/set_parameters',
                      SetParameters.Request(parameters=[
                          Parameter('config_mode', value=True).to_parameter_msg()]))
    assert answer.results[0].successful
    rig.until(lambda: mosaics, publish)
    assert mosaics[0].encoding == 'bgr8'
    assert image_to_array(mosaics[0], 'bgr8').std() > 0


def test_nothing_in_view_is_said_too(segmentation, stamps):
    rig = segmentation
    rig.add(TrackerNode())
    tracks = rig.collect(Detection2DArray, 'tracker/tracks')
    send = rig.publisher(Image, MASK)
    nothing = np.zeros((12, 16), np.uint8)
    rig.until(lambda: tracks,
              lambda: send.publish(array_to_image(nothing, 'mono8', stamps.rising())))
    assert tracks[0].detections == []
    assert tracks[0].header.frame_id == 'optical'


def test_tracks_are_the_detections_with_ids(segmentation, stamps):
    rig = segmentation
    rig.add(TrackerNode())
    detections = rig.collect(Detection2DArray, DETECTIONS)
    tracks = rig.collect(Detection2DArray, 'tracker/tracks')
    send = rig.publisher(Image, MASK)
    rig.until(lambda: tracks and all(d.id for d in tracks[-1].detections)
              and stamp_to_ns(tracks[-1].header.stamp) in by_stamp(detections),
              lambda: send.publish(array_to_image(two_people(), 'mono8', stamps.rising())))
    plain = by_stamp(detections)[stamp_to_ns(tracks[-1].header.stamp)]
    assert len({d.id for d in tracks[-1].detections}) == 2
    for before, after in zip(plain.detections, tracks[-1].detections, strict=True):
        assert after.bbox == before.bbox
        assert after.results == before.results


def overlay_inputs(rig, stamps, mask_size=(120, 160)):
    """Return a function that publishes one frame's inputs of the overlay."""
    rig.until(lambda: rig.tester.count_subscribers('camera/image_raw'))
    images = rig.publisher(Image, 'camera/image_raw')
    masks = rig.publisher(Image, INSTANCE_MASK)
    tracks = rig.publisher(Detection2DArray, 'tracker/tracks')

    last = [0.0]

    def publish(size=mask_size):
        # Faster than it is read, the parts of a frame are dropped from different queues.
        if time.monotonic() < last[0] + 0.03:
            return
        last[0] = time.monotonic()
        header = stamps.rising()
        images.publish(array_to_image(np.full((120, 160, 3), 90, np.uint8), 'bgr8', header))
        masks.publish(array_to_image(np.zeros(size, np.uint16), '16UC1', header))
        tracks.publish(Detection2DArray(header=header))

    return publish


def test_overlay_works_only_while_somebody_looks(rig, stamps):
    rig.add(OverlayNode())
    assert rig.tester.count_subscribers('camera/image_raw') == 0
    pictures = []
    looking = rig.listen(Image, 'overlay/image', pictures.append)
    rig.until(lambda: pictures, overlay_inputs(rig, stamps))
    assert np.all(image_to_array(pictures[0], 'bgr8') == 90)
    rig.tester.destroy_subscription(looking)
    rig.until(lambda: rig.tester.count_subscribers('camera/image_raw') == 0)


@pytest.mark.parametrize(('late_ms', 'tolerance', 'drawn'), [
    (20, 0.05, True), (-20, 0.05, True), (20, 0.01, False), (20, 0.0, False)])
def test_mask_is_drawn_over_the_nearest_frame(rig, stamps, late_ms, tolerance, drawn):
    rig.add(OverlayNode()).set_parameters([Parameter('stamp_tolerance', value=tolerance)])
    pictures = rig.collect(Image, topics.OVERLAY)
    rig.until(lambda: rig.tester.count_subscribers(topics.IMAGE))
    images = rig.publisher(Image, topics.IMAGE)
    masks = rig.publisher(Image, INSTANCE_MASK)
    tracks = rig.publisher(Detection2DArray, topics.TRACKS)

    def publish():
        header = stamps.rising()
        frame = Header(stamp=ns_to_stamp(stamp_to_ns(header.stamp) - late_ms * 10**6))
        grey = stamps.index % 200
        images.publish(array_to_image(np.full((12, 16, 3), grey, np.uint8), 'bgr8', frame))
        masks.publish(array_to_image(np.zeros((12, 16), np.uint16), '16UC1', header))
        tracks.publish(Detection2DArray(header=header))

    if drawn:
        rig.until(lambda: len(pictures) > 3, publish)
        for picture in pictures:
            index = (stamp_to_ns(picture.header.stamp) - 10**11) // 10**8
            assert image_to_array(picture, 'bgr8').max() == index % 200, 'its own frame'
    else:
        rig.until(lambda: any(f'expected a frame within {tolerance:g} s of the mask' in line
                              for line in rig.logs), publish)
        assert not pictures


def test_classes_in_colours_only_while_somebody_looks(rig, stamps):
    rig.add(OverlayNode())
    pictures = []
    looking = rig.listen(CompressedImage, 'overlay/classes/compressed', pictures.append)
    send = rig.publisher(Image, MASK)
    rig.until(lambda: pictures, lambda: send.publish(
        array_to_image(two_people(), 'mono8', stamps.rising())))
    seen = read_image(pictures[0], 'bgr8')
    assert seen.max() > 200
    assert seen[two_people() == 0].mean() < 10
    rig.tester.destroy_subscription(looking)
    rig.until(lambda: rig.tester.count_subscribers(MASK) == 0)


def test_offered_and_requested_quality_of_service(segmentation):
    rig = segmentation
    rig.until(lambda: rig.tester.count_subscribers(MASK))
    for topic in (DETECTIONS, INSTANCE_MASK):
        offered = rig.tester.get_publishers_info_by_topic('/' + topic)[0].qos_profile
        assert offered.reliability == ReliabilityPolicy.RELIABLE
    requested = rig.tester.get_subscriptions_info_by_topic('/' + MASK)[0].qos_profile
    assert requested.reliability == ReliabilityPolicy.BEST_EFFORT


def good():
    return array_to_image(two_people(), 'mono8', Header())


def with_fields(**fields):
    message = good()
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def short():
    message = good()
    message.data = message.data[:1000]
    return message


@pytest.mark.parametrize(('bad', 'expected', 'got'), [
    (lambda: with_fields(step=100), 'step of at least 160', '100'),
    (lambda: with_fields(height=0), 'at least 1x1', '160x0'),
    (lambda: with_fields(encoding='rgb16'), 'expected a mask in one of', 'rgb16'),
    (lambda: with_fields(encoding='bgr8'), 'step of at least 480', '160'),
    (short, '19200 bytes', '1000'),
], ids=['step', 'size', 'encoding', 'channels', 'bytes'])
def test_bad_mask_is_named_and_the_next_is_processed(segmentation, stamps, bad, expected, got):
    rig = segmentation
    detections = rig.collect(Detection2DArray, DETECTIONS)
    send = rig.publisher(Image, MASK)

    def publish(message):
        message.header = stamps.rising()
        send.publish(message)

    rig.until(lambda: detections, lambda: publish(good()))
    for _ in range(3):
        publish(bad())
    said = expect_report(rig, 'instance_segmentation_node', '/' + MASK, expected, got)
    count = len(detections)
    rig.until(lambda: len(detections) > count, lambda: publish(good()))
    assert sum(said.split(';')[0] in line for line in rig.logs) == 1, 'three masks, one line'
    assert 'is left out, 1 so far' in said


def expect_report(rig, node, topic, expected, got):
    """Wait until a problem is in the log and in /diagnostics; return what was said."""
    def fits(text):
        return all(part in text for part in (topic, expected, got))

    rig.until(lambda: any(fits(line) for line in rig.logs))
    said = next(line for line in rig.logs if fits(line))
    rig.until(lambda: any(s.level == DiagnosticStatus.WARN and fits(s.message)
                          for s in rig.diagnostics.get(node, ())))
    return said


def test_new_size_and_stamps_that_go_back_are_said_and_processed(segmentation, stamps):
    rig = segmentation
    detections = rig.collect(Detection2DArray, DETECTIONS)
    send = rig.publisher(Image, MASK)
    rig.until(lambda: detections, lambda: send.publish(
        array_to_image(two_people(), 'mono8', stamps.rising())))
    small = np.full((10, 20), 15, np.uint8)
    send.publish(array_to_image(small, 'mono8', stamps.rising()))
    expect_report(rig, 'instance_segmentation_node', '/' + MASK, '160x120', '20x10')
    earlier = Header(stamp=ns_to_stamp(10**9))
    send.publish(array_to_image(small, 'mono8', earlier))
    expect_report(rig, 'instance_segmentation_node', '/' + MASK, 'a stamp after', '1.000 s')
    rig.until(lambda: detections[-1].header.stamp == earlier.stamp)


def test_image_and_mask_of_different_sizes(rig, stamps):
    rig.add(OverlayNode())
    pictures = rig.collect(Image, 'overlay/image')
    publish = overlay_inputs(rig, stamps)
    rig.until(lambda: pictures, publish)
    rig.until(lambda: any('masks of 80x60 are drawn over frames of 160x120' in line
                          for line in rig.logs), lambda: publish(size=(60, 80)))
    count = len(pictures)
    rig.until(lambda: len(pictures) > count, lambda: publish(size=(60, 80)))
    assert pictures[-1].width == 160


def test_frame_without_its_instance_mask_is_counted(rig, stamps):
    rig.add(TrackerNode())
    tracks = rig.collect(Detection2DArray, 'tracker/tracks')
    detections = rig.publisher(Detection2DArray, DETECTIONS)
    masks = rig.publisher(Image, INSTANCE_MASK)

    def publish():
        header = stamps.rising()
        masks.publish(array_to_image(np.zeros((12, 16), np.uint16), '16UC1', header))
        detections.publish(Detection2DArray(header=header))

    rig.until(lambda: tracks, publish)
    detections.publish(Detection2DArray(header=stamps.rising()))
    publish()
    expect_report(rig, 'tracker_node', INSTANCE_MASK, 'of every frame', 'one is missing')


def test_quality_of_service_that_does_not_match_is_named(segmentation):
    rig = segmentation
    rig.tester.create_subscription(
        Detection2DArray, DETECTIONS, lambda _: None,
        QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda _: None))
    expect_report(rig, 'instance_segmentation_node', '/' + DETECTIONS, 'not offered', 'DURABILITY')
