"""The live nodes and `instseg process` give the same answer."""

from instseg_ros.cameras import CameraSettings, open_camera
from instseg_ros.cameras.recording import find_sample
from instseg_ros.messages import typestore
from instseg_ros.messages.stamps import stamp_to_ns
from instseg_ros.messages.topics import DETECTIONS, INSTANCE_MASK, MASK, TRACKS
from instseg_ros.recordings import Bag
from instseg_ros.recordings.processing import Options, process
from instseg_ros.ros.conversions import array_to_image, ns_to_stamp
from instseg_ros.ros.instance_segmentation_node import InstanceSegmentationNode
from instseg_ros.ros.tracker_node import TrackerNode
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

FRAME = 'camera_optical_frame'


def played(rig, captures):
    """Play captures into the nodes, each once the last one is done; return what they publish."""
    rig.add(InstanceSegmentationNode())
    rig.add(TrackerNode())
    answers = {
        DETECTIONS: rig.collect(Detection2DArray, DETECTIONS),
        INSTANCE_MASK + '/compressed': rig.collect(CompressedImage, INSTANCE_MASK + '/compressed'),
        TRACKS: rig.collect(Detection2DArray, TRACKS)}
    send = rig.publisher(Image, MASK)
    # The results go from node to node and to us: all of it has to be connected.
    rig.until(lambda: all(rig.tester.count_publishers(topic) for topic in answers)
              and rig.tester.count_subscribers(INSTANCE_MASK) == 1
              and rig.tester.count_subscribers(DETECTIONS) == 2)
    first = captures[0]
    empty = Header(stamp=ns_to_stamp(first.stamp_ns - 10**9), frame_id=FRAME)
    rig.until(lambda: all(answers.values()),
              lambda: send.publish(array_to_image(0 * first.mask, 'mono8', empty)))
    for capture in captures:
        header = Header(stamp=ns_to_stamp(capture.stamp_ns), frame_id=FRAME)
        send.publish(array_to_image(capture.mask, 'mono8', header))
        rig.until(lambda stamp=header.stamp: all(
            a[-1].header.stamp == stamp for a in answers.values()))
    return {topic: [m for m in messages if stamp_to_ns(m.header.stamp) >= first.stamp_ns]
            for topic, messages in answers.items()}


def test_live_nodes_and_offline_processing_agree(rig, tmp_path):
    captures = list(open_camera(CameraSettings(source='sample')).captures())
    live = played(rig, captures)
    process(find_sample(), tmp_path / 'out', Options(results_only=True))
    with Bag(tmp_path / 'out') as bag:
        for topic, messages in live.items():
            offline = [data for _, _, data in bag.messages(['/' + topic])]
            assert len(messages) == len(offline) == len(captures)
            kind = bag.topics['/' + topic].msgtype
            for message, data in zip(messages, offline, strict=True):
                # Bytes between fields may be anything: both go through one serializer.
                store = typestore()
                ours = store.serialize_cdr(
                    store.deserialize_cdr(serialize_message(message), kind), kind)
                assert bytes(ours) == data, (topic, message.header)
        assert any(d.id for d in live[TRACKS][-1].detections)
