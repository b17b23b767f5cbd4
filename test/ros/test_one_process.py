"""The pipeline in one process publishes what it publishes in processes of its own."""

from collections import defaultdict
import time

from instseg_ros.messages import topics
from instseg_ros.messages.stamps import stamp_to_ns
from instseg_ros.ros.stage_node import LATCHED
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from vision_msgs.msg import Detection2DArray, LabelInfo

NODES = ('camera_node', 'instance_segmentation_node', 'tracker_node', 'overlay_node')
APART, TOGETHER = '/apart', '/robots/together'
IMAGES = (topics.IMAGE, topics.MASK, topics.INSTANCE_MASK, topics.OVERLAY, topics.CLASSES)
EVERYTHING = {
    **dict.fromkeys(IMAGES, Image),
    **{f'{name}/compressed': CompressedImage for name in IMAGES},
    topics.CAMERA_INFO: CameraInfo, topics.LABEL_INFO: LabelInfo,
    topics.DETECTIONS: Detection2DArray, topics.TRACKS: Detection2DArray}
RECORDING = {topic: kind for topic, kind in EVERYTHING.items() if topic in topics.RECORDED}
ENDS = {topics.TRACKS: Detection2DArray, f'{topics.OVERLAY}/compressed': CompressedImage}
ALL = QoSProfile(depth=1000)


class Listener:
    """Keeps what is published in a namespace, by topic and stamp."""

    def __init__(self, rig, namespace, kinds):
        self.seen = defaultdict(dict)
        for topic, kind in kinds.items():
            rig.listen(kind, f'{namespace}/{topic}', lambda m, t=topic: self._keep(t, m),
                       LATCHED if topic == topics.LABEL_INFO else ALL)

    def _keep(self, topic, message):
        if topic == topics.LABEL_INFO:  # its stamp is that of the moment
            self.seen[topic][0] = message.class_map
            return
        stamp = stamp_to_ns(message.header.stamp)
        assert stamp not in self.seen[topic], f'{topic} twice'
        self.seen[topic][stamp] = message

    def first(self, count):
        """Return the messages of the first frames."""
        return {topic: dict(sorted(messages.items())[:count])
                for topic, messages in self.seen.items()}


def play(start, rig, kinds, meanwhile=lambda namespace, listener: None, frames=30, **parameters):
    """Play the sample in both ways at once; return what was published, with whom it came."""
    heard = {namespace: Listener(rig, namespace, kinds) for namespace in (APART, TOGETHER)}
    parameters = {'source': 'sample', 'when_late': 'wait', 'wait_timeout': 60.0,
                  'wait_for': '"instance_segmentation_node tracker_node overlay_node '
                              + ' '.join(kinds) + '"', **parameters}
    given = [word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')]
    start('pipeline', '--ros-args', '-r', f'__ns:={TOGETHER}', *given)
    for name in NODES:
        start(name, '--ros-args', '-r', f'__ns:={APART}', *given)

    def complete():
        for namespace, listener in heard.items():
            meanwhile(namespace, listener)
        return all(len(listener.seen[topic]) >= (1 if topic == topics.LABEL_INFO else frames)
                   for listener in heard.values() for topic in kinds)

    rig.until(complete, timeout_s=90)
    return [listener.first(frames) for listener in heard.values()]


def assert_same(apart, together):
    assert apart.keys() == together.keys()
    for topic in apart:
        assert list(apart[topic]) == list(together[topic]), f'stamps of {topic}'
        for stamp, message in apart[topic].items():
            assert message == together[topic][stamp], (topic, stamp)
    assert any(d.id for m in apart[topics.TRACKS].values() for d in m.detections)


def test_same_messages_of_every_topic(start, rig):
    assert_same(*play(start, rig, EVERYTHING))


def test_same_messages_for_a_recorder_with_simulated_time(start, rig):
    clock = rig.tester.create_publisher(Clock, '/clock', 10)

    def tick(namespace, listener):
        now = time.time_ns() // 2
        clock.publish(Clock(clock=type(Clock().clock)(sec=now // 10**9, nanosec=now % 10**9)))

    assert_same(*play(start, rig, RECORDING, tick, use_sim_time='true'))


def test_same_messages_for_who_listens_at_the_end_when_parameters_change(start, rig):
    changes = {3: ('instance_segmentation_node', Parameter('dist_threshold', value=0.0)),
               6: ('tracker_node', Parameter('confirm_frames', value=1)),
               9: ('instance_segmentation_node', Parameter('size_threshold', value=5000))}
    # Before the nodes are there: no change waits until they have found each other.
    clients = {(namespace, node): rig.tester.create_client(
                   SetParameters, f'{namespace}/{node}/set_parameters')
               for namespace in (APART, TOGETHER) for node, _ in changes.values()}
    done = set()

    def change(namespace, listener):
        count = len(listener.seen[topics.TRACKS])
        if count in changes and (namespace, count) not in done:
            done.add((namespace, count))
            node, parameter = changes[count]
            assert clients[namespace, node].service_is_ready()
            clients[namespace, node].call_async(
                SetParameters.Request(parameters=[parameter.to_parameter_msg()]))

    # Slowly: a change arrives between two frames.
    apart, together = play(start, rig, ENDS, change, frames=15, playback_rate=0.2)
    assert_same(apart, together)
    counts = [len(m.detections) for m in apart[topics.TRACKS].values()]
    assert min(counts[11:]) < min(counts[:8]), 'parameters had an effect'
