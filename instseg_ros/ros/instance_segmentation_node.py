"""instance_segmentation_node: makes instances of semantic masks, or takes the network's own."""

from __future__ import annotations

from typing import Any

from instseg_ros.core import Instances, SegmentationSettings, Segmenter
from instseg_ros.core.class_names import VOC_NAMES
from instseg_ros.core.segmentation.debug_view import debug_view
from instseg_ros.errors import MessageError
from instseg_ros.messages import topics
from instseg_ros.messages.detections import class_names, detections_to_instances
from instseg_ros.messages.encodings import read_mask
from instseg_ros.messages.stamps import LateStamps, stamp_ns, StampPairing
import numpy as np
import numpy.typing as npt
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from .conversions import image_to_array, InstanceDetections
from .stage_node import ImagePublisher, LATCHED, StageNode

MOST_UNANSWERED = 10  # masks without the network's own instances, before they are split
DEBUG_IMAGES = ('distance', 'cores', 'basins', 'merged', 'mosaic')


class InstanceSegmentationNode(StageNode[SegmentationSettings]):
    """
    Subscribes to the semantic mask, and to the instances that a network knows by itself.

    Publishes detections and the instance mask, out of the one or the other.

    Parameters
    ----------
    **options
        As for :class:`StageNode`.

    """

    def __init__(self, **options: Any) -> None:
        super().__init__('instance_segmentation_node', SegmentationSettings, **options)
        self._segmenter = Segmenter(self.settings)
        self._stamp_ns = 0
        self._stamps = LateStamps()
        self._size = (0, 0)
        self._pairing = StampPairing()
        self._unanswered = 0  # masks since the last instances of the network
        self._split_ns: int | None = None  # the stamp of the last mask that was split
        self._detections = self.offer(Detection2DArray, topics.DETECTIONS)
        self._mask = ImagePublisher(self, topics.INSTANCE_MASK, '16UC1')
        self._debug = {name: ImagePublisher(self, f'{topics.DEBUG}/{name}', 'bgr8')
                       for name in DEBUG_IMAGES}
        self._labels = self.request(LabelInfo, topics.LABEL_INFO, self._on_names, LATCHED)
        self._network = (
            self.request(Image, topics.NETWORK_MASK, lambda m: self._on_part(0, m)),
            self.request(Detection2DArray, topics.NETWORK_INSTANCES,
                         lambda m: self._on_part(1, m)))
        self._masks = self.request(Image, topics.MASK, self._on_mask,
                                   skips=lambda: self.settings.when_late == 'skip')
        self.health.details = lambda: {
            'instances from': 'the network' if self._network_counts else 'the mask'}
        self.report_unknown_parameters()

    @property
    def _network_counts(self) -> bool:
        """Whether the instances of the network are those that count."""
        wanted = self.settings.instances_from
        if wanted == 'auto':
            return self._unanswered <= MOST_UNANSWERED and self._network_is_there
        return wanted == 'network'

    @property
    def _network_is_there(self) -> bool:
        return all(subscription.get_publisher_count() for subscription in self._network)

    def _on_names(self, message: LabelInfo) -> None:
        self._segmenter.class_names = class_names(message) or VOC_NAMES

    def _on_mask(self, message: Image) -> None:
        if self._network_is_there:
            self._unanswered += 1
        if not self._network_counts:
            if self._unanswered > MOST_UNANSWERED and self.settings.instances_from == 'auto':
                self.health.problem('expected instances of the network with each mask, got none '
                                    'for a while; masks are split', self._network[1].topic_name)
            self._split_ns = stamp_ns(message)
            self._make(read_mask(message), message, self._masks)
        elif not self._network_is_there:
            self.health.problem(
                'expected instances of the network, as instances_from says, and nobody publishes '
                'any: the network gives class masks; set instances_from to auto or mask',
                self._network[1].topic_name)

    def _on_part(self, topic: int, message: Any) -> None:
        if self.settings.instances_from == 'mask':
            return
        for taken_ns, parts in self._pairing.add(topic, stamp_ns(message), message):
            if None in parts:
                missing = self._network[parts.index(None)].topic_name
                self.health.count(f'frames without {missing}')
                self.health.problem('expected a message with the stamp of every frame, one is '
                                    'missing; the frame is left out', missing)
                continue
            self._unanswered = 0
            # The first ones of a network may come when their mask was split already.
            if taken_ns != self._split_ns:
                mask, detections = parts
                self._make(detections_to_instances(detections, image_to_array(mask, '16UC1')),
                           mask, self._network[0])

    def _make(self, seen: npt.NDArray[np.uint8] | Instances, message: Image,
              source: Subscription) -> None:
        """Publish the instances of a frame."""
        settings = self._segmenter.settings = self.settings
        if self._stamps.late(stamp_ns(message)):
            raise MessageError('expected masks in the order of their stamps, one was overtaken')
        self._notice_jumps(message, source)
        instances = self._segmenter.update(seen, self._stamp_ns)
        # The image first: subscribers take it in while the detections are still written.
        self._mask.publish(instances.labels, message.header)
        self._detections.publish(InstanceDetections(instances, message.header))
        self._mask.publish_compressed(instances.labels, message.header)
        if settings.config_mode:
            self._publish_debug(seen, settings, instances, message)
        self.health.frame(self._stamp_ns)

    def _publish_debug(self, seen: npt.NDArray[np.uint8] | Instances,
                       settings: SegmentationSettings, instances: Instances, message: Image
                       ) -> None:
        """Draw how the mask was split, for those who subscribe; without any, draw nothing."""
        wanted = [name for name, publisher in self._debug.items() if publisher.wanted]
        if isinstance(seen, Instances):
            if wanted:
                self.health.problem('the instances are those of the network: nothing is split, '
                                    'and there is nothing to see; instances_from mask splits',
                                    'parameter config_mode')
        elif wanted:
            view = debug_view(seen, settings, instances, self._segmenter.class_names)
            for name in wanted:
                self._debug[name].publish(getattr(view, name), message.header)
                self._debug[name].publish_compressed(getattr(view, name), message.header)

    def _notice_jumps(self, message: Image, source: Subscription) -> None:
        """Say when time goes backwards or the size changes: allowed, but seldom meant."""
        taken_ns = stamp_ns(message)
        if taken_ns < self._stamp_ns:
            self.health.problem(
                f'expected a stamp after {self._stamp_ns / 1e9:.3f} s, got {taken_ns / 1e9:.3f} s '
                '(a recording that starts again, or two publishers)', source.topic_name)
        size = (message.width, message.height)
        if size != self._size and self._size[0]:
            self.health.problem(
                f'expected {self._size[0]}x{self._size[1]} pixels as before, got '
                f'{size[0]}x{size[1]}; going on with these', source.topic_name)
        self._stamp_ns, self._size = taken_ns, size
