"""The ground node: topics, transforms early, late and missing, calibration, targets."""

import math

from fakes.floor import camera, draw, HEIGHT, MATRIX, PERSON, view, WIDTH
from geometry_msgs.msg import PolygonInstanceStamped, PoseStamped, TransformStamped
from instseg_ros.core.ground import Pose
from instseg_ros.messages.stamps import stamp_to_ns
from instseg_ros.ros.conversions import array_to_image, instances_to_detections, ns_to_stamp
from instseg_ros.ros.ground_node import GroundNode
from instseg_ros.ros.scene_node import SceneNode
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray, LabelInfo, VisionClass
from visualization_msgs.msg import Marker, MarkerArray

FRAME = 'camera_optical_frame'
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
START_NS = 10**12
OPTICAL = Pose.of_camera(1.2, math.radians(15))


def quaternion(rotation):
    """Return x, y, z, w of a rotation matrix."""
    k = np.array([
        [rotation[0, 0] - rotation[1, 1] - rotation[2, 2], 0, 0, 0],
        [rotation[1, 0] + rotation[0, 1], rotation[1, 1] - rotation[0, 0] - rotation[2, 2], 0, 0],
        [rotation[2, 0] + rotation[0, 2], rotation[2, 1] + rotation[1, 2],
         rotation[2, 2] - rotation[0, 0] - rotation[1, 1], 0],
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0],
         rotation[1, 0] - rotation[0, 1], np.trace(rotation)]]) / 3
    _, vectors = np.linalg.eigh(k)
    return vectors[:, -1]


def transform(parent, child, pose, stamp_ns=0):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, ns_to_stamp(stamp_ns)
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = pose.translation.tolist()
    turn.x, turn.y, turn.z, turn.w = quaternion(pose.rotation).tolist()
    return message


def at(x, yaw=0.0):
    c, s = math.cos(yaw), math.sin(yaw)
    return Pose(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), np.array([x, 0, 0.0]))


class Robot:
    """A ground node, and what a robot gives it."""

    def __init__(self, rig, *outputs, info=True, **parameters):
        self.rig = rig
        self.node = GroundNode(parameter_overrides=[
            Parameter(n, value=v) for n, v in parameters.items()])
        rig.add(self.node)
        self.seen = view(1.2, 15)
        self.static = rig.tester.create_publisher(TFMessage, '/tf_static', LATCHED)
        self.moving = rig.tester.create_publisher(TFMessage, '/tf', 100)
        kinds = {'objects': Detection3DArray, 'obstacles': PointCloud2, 'free_space': PointCloud2,
                 'footprints': PolygonInstanceStamped, 'target': PoseStamped,
                 'markers': MarkerArray}
        self.got = {name: rig.collect(kinds[name], f'ground/{name}') for name in outputs}
        if outputs:
            self.masks = rig.publisher(Image, 'instance_segmentation/instance_mask')
            self.tracks = rig.publisher(Detection2DArray, 'tracker/tracks')
            self.infos = rig.publisher(CameraInfo, 'camera/camera_info')
            rig.until(lambda: self.static.get_subscription_count()
                      and self.moving.get_subscription_count())
        names = rig.publisher(LabelInfo, 'camera/label_info', LATCHED)
        names.publish(LabelInfo(class_map=[VisionClass(class_id=PERSON, class_name='person')]))
        rig.until(lambda: self.node._names)
        if info:
            self.calibrate()
        self.frame = 0

    def calibrate(self, **changes):
        model = camera()
        message = CameraInfo(width=WIDTH, height=HEIGHT, k=MATRIX, distortion_model=model.model)
        for name, value in changes.items():
            setattr(message, name, value)
        self.infos.publish(message)
        self.rig.until(lambda: self.node._info is not None)

    def stand(self):
        """Publish where the camera is, and that the robot does not move."""
        self.static.publish(TFMessage(transforms=[
            transform('base_footprint', FRAME, OPTICAL),
            transform('odom', 'base_footprint', at(0))]))

    def send(self, *things, seen=None, ids=None, step=1):
        """Publish a frame; return its stamp."""
        self.frame += step
        stamp_ns = START_NS + self.frame * 10**8
        instances = draw(seen or self.seen, *(things or [(3, 0.5, 0.5, 0.9)]))
        header = Header(stamp=ns_to_stamp(stamp_ns), frame_id=FRAME)
        names = [str(k + 1) for k in range(len(instances))] if ids is None else ids
        self.tracks.publish(instances_to_detections(instances, header, names))
        self.masks.publish(array_to_image(instances.labels, '16UC1', header))
        return stamp_ns

    def wait(self, name, count=1):
        self.rig.until(lambda: len(self.got[name]) >= count)
        return self.got[name]

    def logged(self, text):
        self.rig.until(lambda: any(text in line for line in self.rig.logs))


def test_objects_and_all_the_rest(rig):
    robot = Robot(rig, 'objects', 'obstacles', 'free_space', 'footprints', 'target', 'markers',
                  target='person')
    robot.stand()
    stamp_ns = robot.send((3, 0.5, 0.5, 0.9), (5, -1, 0.5, 1.0), ids=['7', ''])
    found = robot.wait('objects')[0]
    assert stamp_to_ns(found.header.stamp) == stamp_ns
    assert found.header.frame_id == 'base_footprint'
    assert [d.id for d in found.detections] == ['7', '']
    near = found.detections[0]
    assert near.results[0].hypothesis.class_id == str(PERSON)
    pose = near.results[0].pose
    assert pose.pose.position.x == pytest.approx(3.25, abs=0.1)
    assert pose.pose.position.y == pytest.approx(0.54, abs=0.1)
    assert 0.01 < math.sqrt(pose.covariance[0]) < 0.5
    assert near.bbox.size.y == pytest.approx(0.5, abs=0.1)
    assert near.bbox.size.z == pytest.approx(0.9, abs=0.1)
    assert near.bbox.center.position.z == pytest.approx(near.bbox.size.z / 2)

    cloud = robot.wait('obstacles')[0]
    points = np.frombuffer(cloud.data, np.float32).reshape(-1, 3)
    assert cloud.width == len(points) and [f.name for f in cloud.fields] == ['x', 'y', 'z']
    first = points[points[:, 0] < 4]
    assert first[:, 0].mean() == pytest.approx(3, abs=0.1)
    assert 0 < first[:, 2].min() < 0.1 < 0.7 < first[:, 2].max() < 0.95
    assert stamp_to_ns(cloud.header.stamp) == stamp_ns

    alive, polygon = robot.wait('footprints', 2)
    assert (alive.polygon.id, len(alive.polygon.polygon.points)) == (0, 0)
    assert polygon.polygon.id == 7
    assert np.mean([p.x for p in polygon.polygon.polygon.points]) == pytest.approx(3.2, abs=0.2)

    target = robot.wait('target')[0]
    assert target.pose.position.x == pytest.approx(pose.pose.position.x)
    assert target.header == found.header

    shown = robot.wait('markers')[0].markers
    assert shown[0].action == Marker.DELETEALL
    assert [m.text for m in shown if m.type == Marker.TEXT_VIEW_FACING] == [
        'person 7 3.3 m', 'person 5.3 m']
    assert len(np.frombuffer(robot.wait('free_space')[0].data, np.float32)) > 60


def test_selections_in_metres_have_who_stands_there(rig):
    rig.add(SceneNode(parameter_overrides=[Parameter(n, value=v) for n, v in (
        ('selections', ['front']), ('front.units', 'metres'),
        ('front.zone', [2.0, 0.0, 4.0, 0.0, 4.0, 2.0, 2.0, 2.0]))]))
    robot = Robot(rig, 'objects')
    robot.stand()
    inside = rig.collect(Detection2DArray, 'scene/front/tracks')

    for ids, y, selected in ((['1', '2'], 0.5, ['1']), (['3', '4'], -0.8, [])):
        stamp_ns = robot.send((3, y, 0.5, 0.9), (5, -1, 0.5, 1.0), ids=ids)
        rig.until(lambda expected=stamp_ns: inside and stamp_to_ns(
            inside[-1].header.stamp) == expected)
        assert [d.id for d in inside[-1].detections] == selected


def test_nothing_is_computed_without_subscribers(rig):
    robot = Robot(rig, info=False)
    assert not robot.node._parts
    assert robot.node._transforms is None
    subscription = rig.tester.create_subscription(PointCloud2, 'ground/obstacles',
                                                  lambda m: None, 10)
    rig.until(lambda: robot.node._parts)
    rig.tester.destroy_subscription(subscription)
    rig.until(lambda: not robot.node._parts)


def test_late_transform(rig):
    robot = Robot(rig, 'objects', tf_timeout=20.0)
    robot.static.publish(TFMessage(transforms=[transform('base_footprint', FRAME, OPTICAL)]))
    robot.moving.publish(TFMessage(transforms=[
        transform('odom', 'base_footprint', at(0), START_NS)]))
    rig.until(lambda: robot.node._knows_fixed_frame())
    stamp_ns = robot.send()
    rig.until(lambda: robot.node._waiting)
    robot.moving.publish(TFMessage(transforms=[
        transform('odom', 'base_footprint', at(1), stamp_ns + 10**7)]))
    assert stamp_to_ns(robot.wait('objects')[0].header.stamp) == stamp_ns
    assert robot.node._fixed == 'odom'


def test_frames_come_out_in_order_whatever_they_wait_for(rig):
    robot = Robot(rig, 'objects', tf_timeout=20.0)
    stamps = [robot.send() for _ in range(5)]
    rig.until(lambda: len(robot.node._waiting) == 5)
    robot.stand()
    assert [stamp_to_ns(m.header.stamp) for m in robot.wait('objects', 5)] == stamps


def test_no_transform_is_said_with_the_cure_and_the_next_frame_is_fine(rig):
    robot = Robot(rig, 'objects', tf_timeout=0.0)
    robot.send()
    robot.logged(f'expected a transform from {FRAME} to base_footprint')
    robot.logged('or set camera_height')
    assert not robot.got['objects']
    robot.stand()
    rig.until(lambda: robot.got['objects'], robot.send)


def test_unknown_fixed_frame_is_said_and_the_floor_is_used(rig):
    robot = Robot(rig, 'objects', tf_timeout=5.0)
    robot.static.publish(TFMessage(transforms=[transform('base_footprint', FRAME, OPTICAL)]))
    rig.until(lambda: robot.got['objects'], robot.send)
    robot.logged('velocities are relative to the robot')
    assert robot.node._fixed == 'base_footprint'


def test_camera_height_and_tilt_as_parameters(rig):
    robot = Robot(rig, 'objects', camera_height=1.2, camera_tilt=15.0)
    robot.send()
    assert robot.wait('objects')[0].detections[0].bbox.center.position.x == pytest.approx(
        3.25, abs=0.1)
    # Upside down, set while it runs.
    set_parameters(rig, camera_roll=180.0)
    robot.got['objects'].clear()
    robot.send(seen=view(1.2, 15, 180))
    assert robot.wait('objects')[0].detections[0].bbox.center.position.x == pytest.approx(
        3.25, abs=0.1)


def set_parameters(rig, **values):
    answer = rig.call(SetParameters, 'ground_node/set_parameters', SetParameters.Request(
        parameters=[Parameter(n, value=v).to_parameter_msg() for n, v in values.items()]))
    assert all(r.successful for r in answer.results), answer


@pytest.mark.parametrize('yaw', [0.0, 0.2])
def test_robot_that_drives_sees_a_world_that_stands(rig, yaw):
    robot = Robot(rig, 'objects', 'markers')
    robot.static.publish(TFMessage(transforms=[transform('base_footprint', FRAME, OPTICAL)]))
    for frame in range(30):
        pose = at(0.03 * frame, yaw)
        robot.moving.publish(TFMessage(transforms=[transform(
            'odom', 'base_footprint', pose, START_NS + (frame + 1) * 10**8)]))
        local = pose.inverse().at(np.array([4, 0.5, 0]))
        robot.send((local[0], local[1], 0.5, 0.9))
        robot.wait('objects', frame + 1)
    assert robot.got['objects'][-1].detections[0].bbox.center.position.x < 3.6
    texts = [m.text for m in robot.wait('markers', 30)[-1].markers if m.text]
    assert texts and 'm/s' not in texts[0]


def test_robot_on_a_slope(rig):
    # base_footprint leans with the floor, odom is level.
    lean = math.radians(10)
    c, s = math.cos(lean), math.sin(lean)
    robot = Robot(rig, 'objects')
    robot.static.publish(TFMessage(transforms=[
        transform('base_footprint', FRAME, OPTICAL),
        transform('odom', 'base_footprint', Pose(
            np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]), np.array([0.5, 0, 0.1])))]))
    robot.send()
    place = robot.wait('objects')[0].detections[0].bbox.center.position
    assert (place.x, place.y) == pytest.approx((3.25, 0.54), abs=0.1)


def test_camera_without_calibration(rig):
    robot = Robot(rig, 'objects', info=False)
    robot.stand()
    robot.calibrate(k=[0.0] * 9)
    robot.send()
    robot.logged('the camera is not calibrated')
    robot.logged('set horizontal_fov')
    assert not robot.got['objects']
    set_parameters(rig, horizontal_fov=math.degrees(2 * math.atan(WIDTH / 2 / 250)))
    robot.send()
    assert robot.wait('objects')[0].detections[0].bbox.center.position.x == pytest.approx(
        3.25, abs=0.1)
    robot.logged('an approximation')


def test_calibration_that_cannot_be_used_is_said_and_the_next_is_taken(rig):
    robot = Robot(rig, 'objects', info=False)
    robot.stand()
    robot.calibrate(width=100)
    robot.send()
    robot.logged('proportions of 100x240')
    robot.node._info = None
    robot.calibrate(d=[0.1] * 3)
    robot.send()
    robot.logged('expected 4 or 5 coefficients of plumb_bob, got 3')
    robot.node._info = None
    robot.calibrate()
    robot.send()
    robot.wait('objects')


def test_target_that_is_lost_ends_and_is_chosen_anew_when_asked(rig):
    robot = Robot(rig, 'target', camera_height=1.2, camera_tilt=15.0, target='8', max_lost_s=0.5)
    robot.send((3, 0.5, 0.5, 0.9), (5, -1, 0.5, 1.0), ids=['7', '8'])
    assert robot.wait('target')[0].pose.position.x > 4.5
    robot.logged('following track 8 (person)')
    robot.send((3, 0.5, 0.5, 0.9), ids=['7'], step=10)
    robot.logged('the target is lost: track 8 (person)')
    robot.send((3, 0.5, 0.5, 0.9), (5, -1, 0.5, 1.0), ids=['7', '8'])
    answer = rig.call(Trigger, 'ground_node/follow', Trigger.Request())
    assert answer.success, answer.message
    robot.send((3, 0.5, 0.5, 0.9), (5, -1, 0.5, 1.0), ids=['7', '8'])
    robot.wait('target', 2)
    assert len(robot.got['target']) == 2
    set_parameters(rig, target='person')
    robot.send((3, 0.5, 0.5, 0.9), (5, -1, 0.5, 1.0), ids=['7', '8'])
    assert robot.wait('target', 3)[-1].pose.position.x < 4


def test_tracks_of_others_are_refused_with_the_reason(rig):
    robot = Robot(rig, 'objects', camera_height=1.2, camera_tilt=15.0)
    robot.send(ids=['alice'])
    robot.logged('expected track ids that are numbers')
    robot.send()
    robot.wait('objects')
