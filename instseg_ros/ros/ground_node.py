"""ground_node: where tracks stand on the floor, in metres, for navigation."""

from __future__ import annotations

from collections import deque
import time
from typing import Any

from geometry_msgs.msg import PolygonInstanceStamped, PoseStamped
from instseg_ros.core.ground import (camera_pose, CameraModel, GroundObjects, GroundSettings,
                                     GroundTracker, motion, Pose, Target)
from instseg_ros.errors import CalibrationError, MessageError, TransformError
from instseg_ros.messages import ground, topics
from instseg_ros.messages.detections import class_names, detections_to_instances, track_ids
from instseg_ros.messages.stamps import stamp_ns, stamp_to_ns, StampPairing
from rclpy.clock import Clock, ClockType
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray, Detection3DArray, LabelInfo
from visualization_msgs.msg import MarkerArray

from .conversions import as_bytes, image_to_array, TYPES
from .stage_node import LATCHED, StageNode
from .transforms import Transforms

_RETRY_S = 0.01  # between looks for a transform that is late
_CAPACITY = 30
_UNCALIBRATED = ('the camera is not calibrated, so nothing can be said in metres; calibrate it '
                 '(camera_calibration; parameter calibration_file of camera_node), or set '
                 'horizontal_fov as an approximation (66: the Raspberry Pi AI Camera)')


class GroundNode(StageNode[GroundSettings]):
    """
    Places tracks on the floor while somebody listens.

    Parameters
    ----------
    **options
        As for :class:`rclpy.node.Node`.

    """

    def __init__(self, **options: Any) -> None:
        super().__init__('ground_node', GroundSettings, **options)
        self._tracker = GroundTracker(self.settings)
        self._target = Target()
        self._names: dict[int, str] = {}
        self._info: CameraInfo | None = None
        self._camera: tuple[Any, CameraModel] | None = None
        self._fixed = 'none yet'
        self._parts: list[Subscription] = []
        # Frames that wait for their transforms, with the time they came.
        self._waiting: deque[tuple[float, Image, Detection2DArray]] = deque()
        self._transforms: Transforms | None = None
        self.health.idle = 'nobody subscribes'
        self.health.details = self._details
        self._objects, self._obstacles, self._free_space, self._footprints, self._at, (
            self._markers) = self._outputs = [
                self.offer(kind, topic, matched=self._on_matched) for kind, topic in (
                    (Detection3DArray, topics.OBJECTS), (PointCloud2, topics.OBSTACLES),
                    (PointCloud2, topics.FREE_SPACE),
                    (PolygonInstanceStamped, topics.FOOTPRINTS), (PoseStamped, topics.TARGET),
                    (MarkerArray, topics.MARKERS))]
        self._labels = self.request(LabelInfo, topics.LABEL_INFO, self._on_names, LATCHED)
        # The clock of the machine: simulated time may stand still while a transform is late.
        self._retry = self.create_timer(_RETRY_S, self._drain,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._retry.cancel()
        self._follow = self.create_service(Trigger, '~/follow', self._on_follow)
        self.report_unknown_parameters()

    def _on_names(self, message: LabelInfo) -> None:
        self._names = class_names(message)

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_matched(self, _: Any) -> None:
        wanted = any(output.get_subscription_count() for output in self._outputs)
        if wanted and not self._parts:
            self.health.idle = 'waiting for input'
            # Kept from then on: transforms that hold still are told once.
            self._transforms = self._transforms or Transforms(self)
            self._pairing = StampPairing()
            self._parts = [
                self.request(Image, topics.INSTANCE_MASK, lambda m: self._on_part(0, m)),
                self.request(Detection2DArray, topics.TRACKS, lambda m: self._on_part(1, m)),
                self.request(CameraInfo, topics.CAMERA_INFO, self._on_info)]
        elif self._parts and not wanted:
            for subscription in self._parts:
                self.dismiss(subscription)
            self._parts = []
            self._waiting.clear()
            self.health.idle = 'nobody subscribes'

    def _on_part(self, topic: int, message: Any) -> None:
        for _, parts in self._pairing.add(topic, stamp_ns(message), message):
            if None in parts:
                self.health.count('frames without ' + self._parts[parts.index(None)].topic_name)
                continue
            self._waiting.append((time.monotonic(), *parts))
            if len(self._waiting) > _CAPACITY:
                self._waiting.popleft()
                self.health.count('frames that waited for transforms in vain')
            self._drain()

    def _drain(self) -> None:
        """Process the frames whose transforms are there, in order."""
        while self._waiting:
            came, mask, tracks = self._waiting[0]
            late = time.monotonic() - came > self.settings.tf_timeout
            try:
                pose, moved = self._poses(mask.header, late)
            except TransformError as error:
                if not late:
                    self._retry.reset()
                    return
                self._waiting.popleft()
                self.health.count('frames without transforms')
                self.health.problem(str(error), 'TF')
                continue
            self._waiting.popleft()
            try:
                self._on_frame(mask, tracks, pose, moved)
            except (MessageError, CalibrationError) as error:
                self.health.refuse(str(error), stamp_ns(mask), topics.INSTANCE_MASK)
        self._retry.cancel()

    def _poses(self, header: Header, late: bool) -> tuple[Pose, Pose | None]:
        """Return the poses of the camera over the floor and of the floor in the fixed frame."""
        settings, tf, stamp = self.settings, self._transforms, stamp_to_ns(header.stamp)
        assert tf is not None
        pose = camera_pose(settings, tf.lookup, header.frame_id, stamp)
        try:
            moved = motion(settings, tf.lookup, stamp)
        except TransformError as error:
            if not late and self._knows_fixed_frame():
                raise
            self.health.problem(str(error), 'TF of the fixed frame')
            self._fixed = settings.ground_frame
            return pose, None
        self._fixed = settings.fixed_frame
        return pose, moved

    def _knows_fixed_frame(self) -> bool:
        """Whether the fixed frame is there, if not yet at the time of the mask."""
        assert self._transforms is not None
        try:
            self._transforms.lookup(self.settings.fixed_frame, self.settings.ground_frame, None)
        except TransformError:
            return False
        return True

    def _calibrated(self, width: int, height: int) -> CameraModel:
        """Return the camera as calibrated, or as the parameter approximates it."""
        info, fov = self._info, self.settings.horizontal_fov
        key: tuple[Any, ...]
        if info is not None and info.k[0]:
            key = (info.width, info.height, info.k.tobytes(), tuple(info.d),
                   info.distortion_model)
            if self._camera is None or self._camera[0] != key:
                self._camera = key, CameraModel(info.width, info.height, info.k, info.d,
                                                info.distortion_model)
        elif not fov:
            raise CalibrationError(_UNCALIBRATED)
        else:
            key = (width, height, fov)
            if self._camera is None or self._camera[0] != key:
                self.get_logger().info(
                    f'the camera is not calibrated: a field of view of {fov:g} degrees without '
                    'distortion is taken, an approximation (parameter horizontal_fov)')
                self._camera = key, CameraModel.from_field_of_view(width, height, fov)
        return self._camera[1]

    def _on_frame(self, mask: Image, tracks: Detection2DArray, pose: Pose, moved: Pose | None
                  ) -> None:
        settings, names = self.settings, self._names
        instances = detections_to_instances(tracks, image_to_array(mask, '16UC1'))
        self._tracker.settings = settings
        found = self._tracker.update(
            instances, track_ids(tracks), stamp_ns(mask),
            self._calibrated(mask.width, mask.height), pose, moved, names)
        header = Header(stamp=mask.header.stamp, frame_id=settings.ground_frame)
        self._publish(found, header)
        self._publish_target(found, header)
        self.health.frame(stamp_ns(mask))

    def _publish(self, found: GroundObjects, header: Header) -> None:
        if self._objects.get_subscription_count():
            self._objects.publish(ground.objects(TYPES, found, header))
        if self._obstacles.get_subscription_count():
            self._obstacles.publish(ground.point_cloud(
                TYPES, ground.obstacle_points(found), header, as_bytes))
        if self._free_space.get_subscription_count():
            self._free_space.publish(ground.point_cloud(
                TYPES, ground.free_space_points(found), header, as_bytes))
        if self._footprints.get_subscription_count():
            for polygon in ground.footprints(TYPES, found, header):
                self._footprints.publish(polygon)
        if self._markers.get_subscription_count():
            self._markers.publish(ground.markers(TYPES, found, self._names, header, as_bytes))

    def _publish_target(self, found: GroundObjects, header: Header) -> None:
        if not self._at.get_subscription_count():
            return
        row, said = self._target.find(self.settings.target, found, self._names,
                                      stamp_to_ns(header.stamp), self.settings.max_lost_s)
        if self._target.lost:
            self.health.problem(f'{self._target.lost}; set target to another, or call '
                                '~/follow to choose anew', topics.TARGET)
        if said:
            self.get_logger().info(said)
        if row is not None:
            self._at.publish(ground.target_pose(TYPES, found, row, header))

    def _on_follow(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._target.choose_anew()
        response.success = bool(self.settings.target)
        response.message = (f'the next {self.settings.target} is followed' if response.success
                            else 'set target to a track id or to the name of a class first')
        return response

    def _details(self) -> dict[str, str]:
        return {'target': str(self._target.track or self._target.lost or 'none'),
                'fixed frame': self._fixed}
