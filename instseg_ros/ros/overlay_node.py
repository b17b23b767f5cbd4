"""overlay_node: draws instances, boxes, names and ids into the frame, and classes in colours."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from instseg_ros.core.drawing import (draw_classes, draw_overlay, enlarge,
                                      OverlaySettings)
from instseg_ros.core.scene import SceneSettings
from instseg_ros.core.scene.drawing import Counts, draw_scene
from instseg_ros.errors import MessageError
from instseg_ros.messages import topics
from instseg_ros.messages.detections import (class_names, detections_to_instances,
                                             texts_of_ids)
from instseg_ros.messages.encodings import read_mask
from instseg_ros.messages.scene import is_latched, topics_of
from instseg_ros.messages.stamps import seconds, stamp_ns, StampPairing
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import UInt32
from vision_msgs.msg import Detection2DArray, LabelInfo

from .conversions import image_to_array
from .remote_settings import RemoteSettings
from .stage_node import ImagePublisher, LATCHED, REQUESTED, StageNode


class OverlayNode(StageNode[OverlaySettings]):
    """
    Draws tracks into frames; listens to them only while somebody looks.

    Parameters
    ----------
    **options
        As for :class:`StageNode`.

    """

    def __init__(self, **options: Any) -> None:
        super().__init__('overlay_node', OverlaySettings, **options)
        self._names: dict[int, str] = {}
        self._sizes: tuple[Any, ...] = ()  # of masks that are smaller or larger than their frames
        self._apart = False  # whether frames and masks had other stamps
        self._parts: list[Subscription] = []
        self._counts: dict[str, Counts] = {}
        self._counters: dict[str, Subscription] = {}
        self._scene = SceneSettings()
        self.health.idle = 'nobody subscribes'
        self._overlay = ImagePublisher(self, topics.OVERLAY, 'bgr8', self._on_matched)
        self._classes = ImagePublisher(self, topics.CLASSES, 'bgr8', self._on_classes_matched)
        self._masks: Subscription | None = None
        self._labels = self.request(LabelInfo, topics.LABEL_INFO, self._on_names, LATCHED)
        self._remote = RemoteSettings(self, 'scene_node', SceneSettings, self._on_scene)
        self.report_unknown_parameters()

    def _on_names(self, message: LabelInfo) -> None:
        self._names = class_names(message)

    def _on_scene(self, settings: SceneSettings) -> None:
        """Listen to the counts of the selections that there are now."""
        self._scene = settings
        wanted = {topic: topic.split('/')[1:] for topic in topics_of(settings)
                  if is_latched(topic)}
        for topic in self._counters.keys() - wanted.keys():
            self.dismiss(self._counters.pop(topic))
        self._counts = {n: c for n, c in self._counts.items() if n in settings.named}
        for topic, (name, what) in wanted.items():
            if topic not in self._counters:
                self._counters[topic] = self.request(
                    UInt32, topic, partial(self._on_count, name, what.removesuffix('_count')),
                    LATCHED)

    def _on_count(self, name: str, what: str, message: UInt32) -> None:
        self._counts[name] = replace(self._counts.get(name, Counts()), **{what: message.data})

    def _on_matched(self, _: Any) -> None:
        if self._overlay.wanted and not self._parts:
            self.health.idle = 'waiting for input'
            # Frames come long before their tracks when the nodes between are behind by a queue.
            self._pairing = StampPairing(3, capacity=2 * REQUESTED.depth)
            self._parts = [
                self.request(Image, topics.IMAGE, lambda m: self._on_part(0, m)),
                self.request(Image, topics.INSTANCE_MASK,
                             lambda m: self._on_part(1, m)),
                self.request(Detection2DArray, topics.TRACKS, lambda m: self._on_part(2, m))]
        elif self._parts and not self._overlay.wanted:
            for subscription in self._parts:
                self.dismiss(subscription)
            self._parts = []
            self.health.idle = 'nobody subscribes'

    def _on_classes_matched(self, _: Any) -> None:
        if self._classes.wanted and self._masks is None:
            self._masks = self.request(Image, topics.MASK, self._on_mask)
        elif self._masks is not None and not self._classes.wanted:
            self.dismiss(self._masks)
            self._masks = None

    def _on_mask(self, message: Image) -> None:
        drawn = draw_classes(read_mask(message))
        self._classes.publish(drawn, message.header)
        self._classes.publish_compressed(drawn, message.header, self.settings.jpeg_quality)

    def _on_part(self, topic: int, message: Any) -> None:
        self._pairing.tolerance_ns = round(1e9 * self.settings.stamp_tolerance)
        for _, parts in self._pairing.add(topic, stamp_ns(message), message):
            if None in parts:
                self._on_incomplete(parts)
            else:
                self._on_frame(*parts)

    def _on_frame(self, image: Image, mask: Image, tracks: Detection2DArray) -> None:
        settings = self.settings
        self._say_apart(stamp_ns(image) - stamp_ns(mask))
        try:
            frame = image_to_array(image, 'bgr8')
        except MessageError as error:  # not of the message that came last
            self.health.refuse(str(error), stamp_ns(image), self._parts[0].topic_name)
            return
        instances = detections_to_instances(tracks, image_to_array(mask, '16UC1'))
        if frame.shape[:2] != instances.labels.shape:
            self._say_sizes(image, mask)
            instances = enlarge(instances, (image.width, image.height))
        drawn = draw_overlay(frame, instances, texts_of_ids(tracks), self._names, settings)
        if settings.show_scene:
            draw_scene(drawn, self._scene, self._counts, settings.font_scale)
        self._overlay.publish(drawn, mask.header)
        self._overlay.publish_compressed(drawn, mask.header, settings.jpeg_quality)
        self.health.frame(stamp_ns(mask))

    def _say_apart(self, apart_ns: int) -> None:
        if apart_ns and not self._apart:
            self._apart = True
            self.get_logger().info(
                f'the stamps of frames and masks are {abs(apart_ns) / 1e6:.1f} ms apart; each '
                'mask is drawn over the nearest frame (parameter stamp_tolerance)')

    def _say_sizes(self, image: Image, mask: Image) -> None:
        sizes = (image.width, image.height, mask.width, mask.height)
        if sizes != self._sizes:
            self._sizes = sizes
            self.get_logger().info(
                f'masks of {mask.width}x{mask.height} are drawn over frames of {image.width}x'
                f'{image.height}: both are taken to show the same')

    def _on_incomplete(self, parts: list[Any]) -> None:
        missing = [s.topic_name for s, part in zip(self._parts, parts, strict=False)
                   if part is None]
        self.health.count('frames without ' + ' and '.join(missing))
        if missing == [self._parts[0].topic_name]:
            self.health.problem(
                f'expected a frame within {self.settings.stamp_tolerance:g} s of the mask of '
                f'{seconds(stamp_ns(parts[1]))}, none is there; the mask is not drawn (parameter '
                'stamp_tolerance)', missing[0])
