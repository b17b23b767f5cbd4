"""overlay_node: draws instances, boxes, names and ids into the frame."""

from __future__ import annotations

from typing import Any

from instseg_ros.core.drawing import draw_overlay, OverlaySettings
from instseg_ros.messages import topics
from instseg_ros.messages.stamps import stamp_ns, StampPairing
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from .conversions import ConversionError, detections_to_instances, image_to_array
from .stage_node import ImagePublisher, LATCHED, REQUESTED, StageNode


class OverlayNode(StageNode[OverlaySettings]):
    """Draws tracks into frames; listens to them only while somebody looks."""

    def __init__(self) -> None:
        super().__init__('overlay_node', OverlaySettings)
        self._names: dict[int, str] = {}
        self._inputs: list[Subscription] = []
        self.health.idle = 'nobody subscribes'
        self._overlay = ImagePublisher(self, topics.OVERLAY, 'bgr8', self._on_matched)
        self._labels = self.request(LabelInfo, topics.LABEL_INFO, self._on_names, LATCHED)
        self.report_unknown_parameters()

    def _on_names(self, message: LabelInfo) -> None:
        self._names = {c.class_id: c.class_name for c in message.class_map}

    def _on_matched(self, _: Any) -> None:
        if self._overlay.wanted and not self._inputs:
            self.health.idle = 'waiting for input'
            # Frames come long before their tracks when the nodes between are behind by a queue.
            self._pairing = StampPairing(3, capacity=2 * REQUESTED.depth)
            self._inputs = [
                self.request(Image, topics.IMAGE, lambda m: self._on_part(0, m)),
                self.request(Image, topics.INSTANCE_MASK,
                             lambda m: self._on_part(1, m)),
                self.request(Detection2DArray, topics.TRACKS, lambda m: self._on_part(2, m))]
        elif self._inputs and not self._overlay.wanted:
            for subscription in self._inputs:
                self.destroy_subscription(subscription)
            self._inputs = []
            self.health.idle = 'nobody subscribes'

    def _on_part(self, topic: int, message: Any) -> None:
        self._pairing.tolerance_ns = round(1e9 * self.settings.stamp_tolerance)
        for _, parts in self._pairing.add(topic, stamp_ns(message), message):
            if None in parts:
                self._on_incomplete(parts)
            else:
                self._on_frame(*parts)

    def _on_frame(self, image: Image, mask: Image, tracks: Detection2DArray) -> None:
        settings = self.settings
        frame = image_to_array(image, 'bgr8')
        labels = image_to_array(mask, '16UC1')
        if frame.shape[:2] != labels.shape:
            raise ConversionError(
                f'expected an instance mask of {image.width}x{image.height} like the image of '
                f'the same stamp, got {mask.width}x{mask.height}')
        drawn = draw_overlay(frame, detections_to_instances(tracks, labels),
                             [d.id for d in tracks.detections], self._names, settings)
        self._overlay.publish(drawn, image.header)
        self._overlay.publish_compressed(drawn, image.header, settings.jpeg_quality)
        self.health.frame(stamp_ns(image))

    def _on_incomplete(self, parts: list[Any]) -> None:
        missing = [s.topic_name for s, part in zip(self._inputs, parts, strict=False)
                   if part is None]
        self.health.count('frames without ' + ' and '.join(missing))
