"""What `instseg doctor` finds of running nodes: real ones, each broken in one way."""

import contextlib
import json
import os
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from instseg_ros.commands.doctor import main as doctor
from instseg_ros.doctor import pipeline
from instseg_ros.doctor.graph import Arrival, Endpoint, Graph, Topic
from instseg_ros.ros.conversions import array_to_image, ns_to_stamp
from instseg_ros.ros.ground_node import GroundNode
from instseg_ros.ros.instance_segmentation_node import InstanceSegmentationNode
from instseg_ros.ros.observer import Observer
from instseg_ros.ros.scene_node import SceneNode
from instseg_ros.ros.stage_node import LATCHED, OFFERED, REQUESTED, StageNode
from instseg_ros.ros.tracker_node import TrackerNode
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String
from vision_msgs.msg import Detection2DArray, LabelInfo

MASK = '/camera/semantic_mask'
SILENT = SubscriptionEventCallbacks(use_default_callbacks=False)  # the default ones warn
PERIOD_S = 0.05
FRAMES = 16  # that are watched: of fewer than ten, nothing is said


class Pipeline:
    """Nodes of the pipeline behind a camera that the test itself plays."""

    def __init__(self, rig):
        self._rig = rig
        self.camera = rig.add(Node('other_camera'))
        self.publishers = {}
        self._speaking = set()

    def add(self, node):
        if isinstance(node, StageNode):
            self._speaking.add(node.get_fully_qualified_name())
        return self._rig.add(node)

    def publish(self, topic=MASK, stamp_ns=None, qos=OFFERED):
        """Publish a mask, of now if nothing else is said."""
        if topic not in self.publishers:
            self.publishers[topic] = self.camera.create_publisher(
                Image, topic, qos,
                event_callbacks=PublisherEventCallbacks(use_default_callbacks=False))
        stamp = ns_to_stamp(time.time_ns() if stamp_ns is None else stamp_ns)
        self.publishers[topic].publish(array_to_image(
            np.zeros((48, 64), np.uint8), 'mono8', Header(stamp=stamp)))

    def watch(self, each=None, namespace='', seconds=0.0):
        """
        Publish and spin under the eyes of an observer; return what it saw.

        It sees some frames and hears of every node, and listens for some seconds at least.
        """
        observer = self._rig.add(Observer(namespace))
        until, due, frames = time.monotonic() + seconds, 0.0, 0
        each = each or self.publish

        def act():
            nonlocal due, frames
            if time.monotonic() >= due:
                due = time.monotonic() + PERIOD_S
                frames += 1
                each()

        speaking = {node for node in self._speaking if node.startswith(f'/{namespace}')}
        self._rig.until(lambda: time.monotonic() > until and frames > FRAMES
                        and speaking <= observer.seen().statuses.keys(), act)
        return observer.seen()

    def until(self, happened):
        self._rig.until(happened)

    def faults(self, *watching, **options):
        graph = self.watch(*watching, **options)
        return [f for check in pipeline.CHECKS for f in check(graph) if f.to_mend]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr('instseg_ros.ros.observer._PERIOD_S', 0.2)


@pytest.fixture
def segmentation(rig):
    nodes = Pipeline(rig)
    nodes.add(InstanceSegmentationNode(parameter_overrides=[Parameter('when_late', value='wait')]))
    return nodes


@pytest.fixture
def stages(segmentation):
    segmentation.add(TrackerNode())
    return segmentation


def only(findings):
    assert len(findings) == 1, findings
    return findings[0]


def test_healthy_pipeline_has_nothing_to_mend(stages):
    graph = stages.watch()
    found = [f for check in pipeline.CHECKS for f in check(graph)]
    assert not [f for f in found if f.to_mend]
    assert graph.pipeline == ['/instance_segmentation_node', '/tracker_node']
    words = {f.name: f.seen for f in found}
    assert '/other_camera (reliable)' in words[MASK]
    assert '/instance_segmentation_node (best_effort)' in words[MASK]
    assert graph.topics[MASK].rate == pytest.approx(1 / PERIOD_S, rel=0.5)
    assert 0 <= graph.topics[MASK].age_s < 1
    assert 'old, from' in words['/tracker/tracks']
    assert 'messages are at most' in words['stamps']


def test_ground_and_scene_without_transforms_and_without_events(stages):
    stages.add(GroundNode(parameter_overrides=[
        Parameter('camera_height', value=1.0), Parameter('horizontal_fov', value=66.0),
        Parameter('fixed_frame', value='base_footprint')]))
    stages.add(SceneNode(parameter_overrides=[
        Parameter('selections', value=['door']), Parameter('door.classes', value=['15'])]))
    graph = stages.watch()
    found = {f.name: f for check in pipeline.CHECKS for f in check(graph)}
    assert not [f for f in found.values() if f.to_mend]
    for name in ('/scene/door/entered', '/scene/door/left', '/ground/target'):
        assert found[name].seen.startswith('0 messages'), 'nothing happened'
    assert 'Hz' in found['/scene/door/tracks'].seen


def test_somebody_else_waits_for_names_of_classes(stages):
    viewer = stages.add(Node('costmap'))
    viewer.create_subscription(LabelInfo, '/camera/label_info', lambda _: None, LATCHED)
    found = only(stages.faults())
    assert (found.name, found.state) == ('/camera/label_info', 'fail')
    assert '/costmap waits for it' in found.seen and 'camera_node' in found.cure


def test_nothing_runs(rig):
    nodes = Pipeline(rig)
    assert not nodes.faults(lambda: None)
    found = list(pipeline.nodes(nodes.watch(lambda: None)))
    assert 'no node of it runs' in only(found).seen
    assert 'ros2 launch' in only(found).cure


def test_subscriber_that_asks_for_more_than_is_offered(stages):
    viewer = stages.add(Node('viewer'))
    viewer.create_subscription(Image, MASK, lambda _: None, OFFERED, event_callbacks=SILENT)
    found = only(stages.faults(lambda: stages.publish(qos=REQUESTED)))
    assert found.name == MASK
    assert found.seen.startswith('/viewer (reliable, volatile) gets nothing from /other_camera')
    assert 'have /viewer ask for best_effort reliability' in found.cure


def test_subscriber_that_waits_for_a_latched_topic(stages):
    viewer = stages.add(Node('viewer'))
    viewer.create_subscription(Detection2DArray, '/tracker/tracks', lambda _: None, QoSProfile(
        depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL), event_callbacks=SILENT)
    found = only(stages.faults())
    assert found.name == '/tracker/tracks'
    assert '/viewer (reliable, transient_local)' in found.seen
    assert found.cure == 'have /viewer ask for volatile durability'


@pytest.mark.parametrize('reliability', [ReliabilityPolicy.RELIABLE,
                                         ReliabilityPolicy.BEST_EFFORT])
def test_subscribers_that_fit(stages, reliability):
    viewer = stages.add(Node('viewer'))
    viewer.create_subscription(Image, MASK, lambda _: None,
                               QoSProfile(depth=5, reliability=reliability))
    assert not stages.faults()


def test_two_publishers_of_one_topic(stages):
    other = stages.add(Node('rival'))
    other.create_publisher(Image, MASK, OFFERED)
    found = only(stages.faults())
    assert found.name == MASK
    assert '/other_camera, /rival' in found.seen
    assert 'namespace:=robot1' in found.cure


def test_two_types_of_one_topic(stages):
    context = Context()  # one participant cannot have both
    rclpy.init(context=context)
    with contextlib.ExitStack() as stack:
        stack.callback(context.try_shutdown)
        other = Node('rival', context=context)
        stack.callback(other.destroy_node)
        other.create_subscription(String, '/tracker/tracks', lambda _: None, 1)
        stages.until(lambda: stages.camera.count_subscribers('/tracker/tracks'))
        found = only(stages.faults())
    assert '/rival std_msgs/msg/String' in found.seen


def test_two_nodes_of_one_name(stages):
    stages.add(TrackerNode())
    found = [f for f in stages.faults() if f.name == '/tracker_node']
    assert any('2 nodes have this name' in f.seen for f in found)


def test_nobody_publishes_what_is_waited_for(stages):
    found = only(stages.faults(lambda: None))
    assert found.name == MASK
    assert '/instance_segmentation_node waits for it' in found.seen
    assert 'ros2 run instseg_ros camera_node' in found.cure


def test_somebody_else_waits_for_tracks(segmentation):
    robot = segmentation.add(Node('robot'))
    robot.create_subscription(Detection2DArray, '/tracker/tracks', lambda _: None, 1)
    found = only(segmentation.faults())
    assert found.name == '/tracker/tracks'
    assert '/robot waits for it' in found.seen
    assert 'ros2 run instseg_ros tracker_node' in found.cure


def test_tracker_that_does_not_run(segmentation):
    found = only(segmentation.faults())
    assert found.name == '/tracker_node'
    assert found.cure == 'ros2 run instseg_ros tracker_node'


def test_topic_that_stopped(stages):
    stages.publish()
    found = only(stages.faults(lambda: None))
    assert found.name == MASK
    assert 'nothing came from /other_camera within' in found.seen
    assert '/other_camera hangs or has no input' in found.cure


def test_node_that_hangs(segmentation):
    # It is in the graph, and is never spun.
    hanging = TrackerNode()
    found = {f.name: f for f in segmentation.faults()}
    hanging.destroy_node()
    assert 'said nothing for' in found['/tracker_node'].seen
    assert found['/tracker/tracks'].state == 'fail'


def test_node_that_does_not_keep_up(segmentation):
    # A tracker that answers every third frame only.
    tracker = segmentation.add(Node('own_tracker'))
    tracks = tracker.create_publisher(Detection2DArray, '/tracker/tracks', OFFERED)
    status = tracker.create_publisher(DiagnosticArray, '/diagnostics', 10)
    count = 0

    def answer(message):
        nonlocal count
        count += 1
        if count % 3 == 0:
            tracks.publish(Detection2DArray(header=message.header))
            status.publish(DiagnosticArray(status=[DiagnosticStatus(
                name='own_tracker', hardware_id='instseg_ros', message='running')]))

    tracker.create_subscription(
        Detection2DArray, '/instance_segmentation/detections', answer, REQUESTED)
    found = {f.name: f for f in segmentation.faults()}
    assert 'it processes' in found['/own_tracker'].seen
    assert 'Everything is a second late' in found['/own_tracker'].cure


def test_masks_slower_than_frames(stages):
    count = 0

    def publish():
        nonlocal count
        count += 1
        stages.publish('/camera/image_raw')
        if count % 3 == 0:
            stages.publish()

    viewer = stages.add(Node('viewer'))
    viewer.create_subscription(Image, '/camera/image_raw', lambda _: None, REQUESTED)
    found = [f for f in stages.faults(publish) if 'masks for' in f.seen]
    assert only(found).name == MASK
    assert 'frame_rate' in only(found).cure


@pytest.mark.parametrize(('stamp_ns', 'seen'), [
    (lambda: time.time_ns() - 7 * 10**9, 'old when they arrive'),
    (lambda: time.time_ns() - 7 * 86400 * 10**9, 'are 7 days old'),
    (lambda: time.time_ns() + 3 * 10**9, 'in the future'),
    (lambda: 0, 'have no stamp'),
])
def test_stamps_that_are_wrong(stages, stamp_ns, seen):
    found = [f for f in stages.faults(lambda: stages.publish(stamp_ns=stamp_ns()))
             if f.name == MASK]
    assert seen in only(found).seen
    assert 'header.stamp' in only(found).cure or 'stamp with the time' in only(found).cure


@pytest.mark.parametrize(('shift_s', 'seen'), [(-3600.0, 'go back, by up to 60 minutes'),
                                               (10 * 365 * 86400.0, 'jump by 3650 days')])
def test_clock_of_the_camera_jumps(stages, shift_s, seen):
    count = 0

    def publish():
        nonlocal count
        count += 1
        later = count > FRAMES / 2
        stages.publish(stamp_ns=time.time_ns() + later * round(shift_s * 1e9))

    found = [f for f in stages.faults(publish) if f.name == MASK]
    assert seen in found[0].seen
    assert 'timedatectl' in found[0].cure


def test_old_stamps_of_a_recording_are_fine(stages):
    stages.add(Node('rosbag2_player'))
    graph = stages.watch(lambda: stages.publish(stamp_ns=time.time_ns() - 3600 * 10**9))
    found = [f for check in pipeline.CHECKS for f in check(graph)]
    assert not [f for f in found if f.to_mend]
    assert any(f.name == 'stamps' and 'recording' in f.seen for f in found)


def test_simulated_time(stages):
    clock = stages.camera.create_publisher(Clock, '/clock', 10)
    simulated = 10**12

    def publish():
        nonlocal simulated
        simulated += 10**8
        clock.publish(Clock(clock=ns_to_stamp(simulated)))
        stages.publish(stamp_ns=simulated)

    graph = stages.watch(publish)
    assert 0 <= graph.topics[MASK].age_s < 1


def sent(count, lost=(), late_s=0.0):
    """Return the arrivals of messages that were sent 20 times a second."""
    return [Arrival(round(1e9 * (k * PERIOD_S + late_s)), 0, round(1e9 * k * PERIOD_S) + 1,
                    b'id', k) for k in range(count) if k not in lost]


def graph_of(**arrivals):
    """Return a tracker between detections and tracks."""
    other, tracker = (Endpoint(name, 'reliable', 'volatile', 'Detections', '', False)
                      for name in ('/other', '/tracker_node'))
    return Graph(nodes=['/other', '/tracker_node'], topics={
        name: Topic(name, [first], [second], arrivals=arrivals[name.split('/')[-1]], heard_s=5)
        for name, first, second in (('/instance_segmentation/detections', other, tracker),
                                    ('/tracker/tracks', tracker, other))})


def test_messages_that_do_not_arrive():
    fine = graph_of(detections=sent(100, lost=range(50, 55)), tracks=sent(100))
    assert not list(pipeline.losses(fine))
    found = only(list(pipeline.losses(graph_of(
        detections=sent(100), tracks=sent(100, lost=range(20, 90))))))
    assert found.name == '/tracker/tracks'
    assert '70 of 100 messages of /tracker_node did not arrive' in found.seen
    assert 'Fast DDS profile' in found.cure


def test_answers_that_come_late():
    assert not list(pipeline.speed(graph_of(detections=sent(100), tracks=sent(100, late_s=0.1))))
    found = only(list(pipeline.speed(graph_of(
        detections=sent(100), tracks=sent(100, late_s=1.2)))))
    assert found.name == '/tracker_node'
    assert 'come 1.2 s after their input' in found.seen


def test_gap_in_a_topic():
    gap = sent(100)[:40] + sent(100)[90:]
    found = {f.name: f for f in pipeline.flow(graph_of(detections=gap, tracks=sent(100)))}
    assert 'with a gap of 2.5 s' in found['/instance_segmentation/detections'].seen
    assert found['/tracker/tracks'].state == 'ok'


def test_clock_of_this_machine_jumps():
    assert not list(pipeline.clock_jumps(Graph(clock_jump_s=0.01)))
    found = only(list(pipeline.clock_jumps(Graph(clock_jump_s=-2.0, duration_s=5))))
    assert 'it jumped by -2.0 s' in found.seen


def test_what_a_node_says_is_handed_on(stages):
    graph = stages.watch(lambda: stages.publish(stamp_ns=time.time_ns()))
    assert graph.statuses['/tracker_node'].healthy
    count = 0

    def publish():
        nonlocal count
        count += 1
        stages.publish()
        stages.publishers[MASK].publish(Image(encoding='rgb16'))

    # It says so with what it says once a second.
    found = {f.name: f for f in stages.faults(publish, seconds=1.5)}
    assert 'rgb16' in found['/instance_segmentation_node'].seen


def test_only_one_namespace(stages):
    robot = stages.add(Node('instance_segmentation_node', namespace='robot1'))
    robot.create_subscription(Image, 'camera/semantic_mask', lambda _: None, REQUESTED)
    seen = stages.watch(namespace='robot1')
    assert seen.pipeline == ['/robot1/instance_segmentation_node']
    assert all(name.startswith('/robot1/') or name == '/clock' for name in seen.topics)
    found = list(pipeline.missing_publishers(seen))
    assert only(found).name == '/robot1/camera/semantic_mask'
    assert '-r __ns:=/robot1' in only(found).cure


def test_images_that_nobody_wants_are_not_asked_for(stages):
    graph = stages.watch()
    unwanted = '/instance_segmentation/instance_mask/compressed'
    assert not graph.topics[unwanted].heard_s
    assert graph.topics[MASK].heard_s > 0
    assert any(unwanted in f.seen for f in pipeline.flow(graph))


def test_command_beside_running_nodes(start, capsys):
    """The whole command, with the nodes in a process of their own."""
    start('pipeline').until('the camera is open')
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        code = doctor(['--json', '--duration', '2'])
        said = json.loads(capsys.readouterr().out)
        names = {f['name']: f for f in said['findings']}
        if names.get('/tracker/tracks', {}).get('state') == 'ok':
            break
    assert names['/camera_node']['seen'].startswith('running')
    # What others left behind on the machine of the test is no matter of these nodes.
    ours = [f for f in said['findings'] if '/dev/shm' not in f['seen'] + f['name']
            and f['name'] not in ('disk', 'memory')]
    assert not [f for f in ours if f['state'] in ('warn', 'fail')]
    assert code == 0 or len(ours) < len(said['findings'])
    assert os.environ['ROS_DOMAIN_ID'] in names['middleware']['seen']
    assert threading.active_count() < 50
