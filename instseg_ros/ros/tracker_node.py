"""tracker_node: gives the instances ids that stay."""

from __future__ import annotations

from typing import Any

from instseg_ros.core import SegmentationSettings, Tracker, TrackingSettings
from instseg_ros.errors import MessageError
from instseg_ros.messages import topics
from instseg_ros.messages.detections import detections_to_instances, id_texts
from instseg_ros.messages.stamps import LateStamps, stamp_ns, StampPairing
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

from .conversions import image_to_array, InstanceDetections
from .remote_settings import RemoteSettings
from .stage_node import StageNode


class TrackerNode(StageNode[TrackingSettings]):
    """
    Joins detections with their instance mask; publishes the detections with track ids.

    Follows the parameters of the segmentation node, since masks jump when they change.

    Parameters
    ----------
    **options
        As for :class:`StageNode`.

    """

    def __init__(self, **options: Any) -> None:
        super().__init__('tracker_node', TrackingSettings, **options)
        self._tracker = Tracker(self.settings)
        self._segmentation = RemoteSettings(
            self, 'instance_segmentation_node', SegmentationSettings, self._tracker.follow)
        self._pairing = StampPairing()
        self._stamps = LateStamps()
        self._tracks = self.offer(Detection2DArray, topics.TRACKS)
        self._detections = self.request(
            Detection2DArray, topics.DETECTIONS, lambda m: self._on_part(0, m))
        self._masks = self.request(
            Image, topics.INSTANCE_MASK, lambda m: self._on_part(1, m))
        self._reset = self.create_service(Trigger, '~/reset', self._on_reset)
        self.report_unknown_parameters()

    def _on_part(self, topic: int, message: Any) -> None:
        for _, parts in self._pairing.add(topic, stamp_ns(message), message):
            if None in parts:
                self._on_incomplete(parts)
            else:
                self._on_frame(*parts)

    def _on_frame(self, detections: Detection2DArray, mask: Image) -> None:
        if self._stamps.late(stamp_ns(detections)):
            raise MessageError('expected messages in the order of their stamps, one was overtaken')
        self._tracker.settings = self.settings
        labels = image_to_array(mask, '16UC1')
        instances = detections_to_instances(detections, labels)
        ids = self._tracker.update(instances, stamp_ns(detections))
        if self._tracker.reset_cause:
            self.get_logger().info(f'every track was forgotten: {self._tracker.reset_cause}')
            self.health.count('resets')
        self._tracks.publish(InstanceDetections(instances, detections.header, id_texts(ids)))
        self.health.frame(stamp_ns(detections))

    def _on_incomplete(self, parts: list[Any]) -> None:
        missing = self._detections if parts[0] is None else self._masks
        self.health.count(f'frames without {missing.topic_name}')
        self.health.problem('expected a message with the stamp of every frame, one is missing; '
                            'the frame is not tracked', missing.topic_name)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._tracker.reset()
        self.get_logger().info('every track was forgotten, as asked')
        response.success, response.message = True, 'every track was forgotten; ids go on'
        return response
