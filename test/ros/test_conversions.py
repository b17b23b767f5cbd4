"""Arrays to messages and back."""

from dataclasses import replace
import sys

from instseg_ros.core import segment_instances, SegmentationSettings
from instseg_ros.errors import MessageError
from instseg_ros.messages.detections import detections_to_instances
from instseg_ros.messages.encodings import ENCODINGS, read_image
from instseg_ros.messages.stamps import stamp_to_ns
from instseg_ros.ros.conversions import (array_to_compressed, array_to_image, ArrayImage,
                                         image_to_array, InstanceDetections,
                                         instances_to_detections, ns_to_stamp, read_message,
                                         ReadDetections)
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, ObjectHypothesisWithPose

HEADER = Header(stamp=ns_to_stamp(12_345_678_901), frame_id='optical')


def pixels(encoding):
    dtype, channels = ENCODINGS[encoding]
    shape = (5, 7, channels) if channels > 1 else (5, 7)
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def test_stamp_there_and_back():
    assert stamp_to_ns(ns_to_stamp(12_345_678_901)) == 12_345_678_901
    assert ns_to_stamp(12_345_678_901).sec == 12


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_image_there_and_back(encoding):
    message = array_to_image(pixels(encoding), encoding, HEADER)
    assert message.header == HEADER
    assert message.step * message.height == len(message.data)
    back = image_to_array(message, encoding)
    assert np.array_equal(back, pixels(encoding))
    assert not back.flags.owndata, 'a view, not a copy'


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('order', ['<', '>'])
def test_padded_rows_and_byte_order(encoding, order):
    plain = pixels(encoding)
    rows = plain.astype(plain.dtype.newbyteorder(order)).reshape(5, -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, 13)), constant_values=77)
    message = Image(height=5, width=7, encoding=encoding, step=padded.shape[1],
                    is_bigendian=order == '>')
    message.data = padded.tobytes()
    back = image_to_array(message, encoding)
    assert np.array_equal(back, plain)
    assert back.dtype == plain.dtype
    assert back.dtype.isnative


def test_colours_change_places():
    message = array_to_image(pixels('rgb8'), 'rgb8', HEADER)
    assert np.array_equal(image_to_array(message, 'bgr8'), pixels('rgb8')[..., ::-1])


def test_array_of_another_type_is_refused():
    with pytest.raises(ValueError, match=r'expected 16UC1 \(uint16, 1 channels\), got uint8'):
        array_to_image(pixels('mono8'), '16UC1', HEADER)


def test_labels_are_never_scaled():
    message = array_to_image(pixels('16UC1'), '16UC1', HEADER)
    with pytest.raises(MessageError, match='expected mono8, got 16UC1'):
        image_to_array(message, 'mono8')


def test_other_encodings_go_to_cv_bridge():
    message = Image(height=2, width=2, encoding='bayer_rggb8', step=2)
    message.data = bytes(4)
    if _has_cv_bridge():
        assert image_to_array(message, 'bgr8').shape == (2, 2, 3)
    else:
        with pytest.raises(MessageError, match="'bayer_rggb8'.*cv_bridge"):
            image_to_array(message, 'bgr8')


def test_what_cv_bridge_refuses_is_named(monkeypatch):
    class Bridge:

        def imgmsg_to_cv2(self, message, encoding):
            raise RuntimeError('[nonsense] is not a color format')

    module = type(sys)('cv_bridge')
    module.CvBridge = Bridge
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    with pytest.raises(MessageError, match="expected bgr8, got 'nonsense'.*not a color format"):
        image_to_array(Image(height=1, width=1, encoding='nonsense'), 'bgr8')


def _has_cv_bridge():
    try:
        import cv_bridge  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.parametrize('encoding', ['mono8', '16UC1'])
def test_compressed_labels_there_and_back(encoding):
    labels = pixels(encoding) * (200 if encoding == '16UC1' else 1)
    message = array_to_compressed(labels, encoding, HEADER)
    assert message.format == f'{encoding}; png compressed {encoding}'
    assert np.array_equal(read_image(message, encoding), labels)


def test_compressed_frame_there_and_back():
    frame = np.full((48, 64, 3), (200, 100, 50), np.uint8)
    message = array_to_compressed(frame, 'bgr8', HEADER, jpeg_quality=95)
    assert message.format == 'bgr8; jpeg compressed bgr8'
    assert np.abs(read_image(message, 'bgr8').astype(int) - frame).max() < 4


@pytest.mark.parametrize(('data', 'encoding', 'said'), [
    (b'', 'mono8', '0 bytes'), (b'nonsense', 'mono8', '8 bytes that are none')])
def test_what_is_no_image_is_refused(data, encoding, said):
    with pytest.raises(MessageError, match=said):
        read_image(CompressedImage(data=data), encoding)


def instances():
    mask = np.zeros((40, 60), np.uint8)
    mask[5:25, 5:15] = 15
    mask[5:15, 30:55] = 7
    return segment_instances(mask, SegmentationSettings())


def test_instances_there_and_back():
    before = instances()
    message = instances_to_detections(before, HEADER, ['4', ''])
    assert [d.id for d in message.detections] == ['4', '']
    after = detections_to_instances(message, before.labels)
    for field in ('labels', 'class_ids', 'areas', 'scores', 'boxes', 'oriented_boxes'):
        assert np.array_equal(getattr(after, field), getattr(before, field)), field
        assert getattr(after, field).dtype == getattr(before, field).dtype


def test_mask_of_other_detections_is_refused():
    message = instances_to_detections(instances(), HEADER)
    with pytest.raises(MessageError, match='labels up to 2.*got 0'):
        detections_to_instances(message, np.zeros((40, 60), np.uint16))


@pytest.mark.parametrize('class_id', ['person', '300', ''])
def test_class_id_that_is_none_is_refused(class_id):
    found = instances()
    message = instances_to_detections(found, HEADER)
    message.detections[0].results[0].hypothesis.class_id = class_id
    with pytest.raises(MessageError, match=r'class id in 0\.\.255'):
        detections_to_instances(message, found.labels)


NAMES = ('', 'a', 'ab', 'abc', 'optical', 'münchen')  # texts are padded to whole words


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('frame_id', NAMES)
def test_image_is_written_and_read_as_rclpy_does(encoding, frame_id):
    header = Header(stamp=ns_to_stamp(12_345_678_901), frame_id=frame_id)
    message = array_to_image(pixels(encoding), encoding, header)
    written = ArrayImage.of(pixels(encoding), encoding, header).serialized()
    assert deserialize_message(written, Image) == message
    read = read_message(Image, serialize_message(message))
    assert isinstance(read, ArrayImage)
    assert (read.header, read.step, read.is_bigendian) == (header, message.step, 0)
    assert np.array_equal(image_to_array(read, encoding), pixels(encoding))


@pytest.mark.parametrize('frame_id', NAMES)
@pytest.mark.parametrize('ids', [(), ('4', ''), ('123456789', '17')])
def test_detections_are_written_and_read_as_rclpy_does(frame_id, ids):
    header = Header(stamp=ns_to_stamp(12_345_678_901), frame_id=frame_id)
    before = instances()
    message = instances_to_detections(before, header, ids)
    made = InstanceDetections(before, header, ids)
    assert deserialize_message(made.serialized(), Detection2DArray) == message
    assert made.detections == message.detections
    read = read_message(Detection2DArray, serialize_message(message))
    assert isinstance(read, ReadDetections)
    assert read.header == header
    assert read.detections == message.detections
    assert list(read.ids) == [d.id for d in message.detections]
    after = detections_to_instances(read, before.labels)
    for field in ('class_ids', 'areas', 'scores', 'boxes', 'oriented_boxes'):
        assert np.array_equal(getattr(after, field), getattr(before, field)), field


def test_no_detections_there_and_back():
    nothing = segment_instances(np.zeros((4, 4), np.uint8), SegmentationSettings())
    data = InstanceDetections(nothing, HEADER).serialized()
    assert deserialize_message(data, Detection2DArray).detections == []
    assert len(detections_to_instances(read_message(Detection2DArray, data), nothing.labels)) == 0


def test_what_is_written_in_another_way_is_read_by_rclpy():
    message = instances_to_detections(instances(), HEADER)
    message.detections[1].results.append(ObjectHypothesisWithPose())
    assert read_message(Detection2DArray, serialize_message(message)) == message
    message.detections[0].results = []
    read = read_message(Detection2DArray, serialize_message(message))
    with pytest.raises(MessageError, match=r'class id in 0\.\.255'):
        detections_to_instances(read, instances().labels)


def test_labels_outside_of_their_oriented_boxes_are_found_all_the_same():
    before = instances()
    elsewhere = replace(before, oriented_boxes=np.array([[50., 35, 4, 4, 0], [1, 1, 2, 2, 0]]))
    after = detections_to_instances(instances_to_detections(elsewhere, HEADER), before.labels)
    assert np.array_equal(after.boxes, before.boxes)
    assert np.array_equal(after.areas, before.areas)
