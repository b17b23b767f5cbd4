"""instance_segmentation_node: splits semantic masks into instances."""

from __future__ import annotations

from typing import Any

from instseg_ros.core import Instances, SegmentationSettings, Segmenter
from instseg_ros.core.class_names import VOC_NAMES
from instseg_ros.core.segmentation.debug_view import debug_view
from instseg_ros.errors import MessageError
from instseg_ros.messages import topics
from instseg_ros.messages.detections import class_names
from instseg_ros.messages.encodings import read_mask
from instseg_ros.messages.stamps import LateStamps, stamp_ns
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from .conversions import InstanceDetections
from .stage_node import ImagePublisher, LATCHED, StageNode

DEBUG_IMAGES = ('distance', 'cores', 'basins', 'merged', 'mosaic')


class InstanceSegmentationNode(StageNode[SegmentationSettings]):
    """
    Subscribes to the semantic mask; publishes detections and the instance mask.

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
        self._detections = self.offer(Detection2DArray, topics.DETECTIONS)
        self._mask = ImagePublisher(self, topics.INSTANCE_MASK, '16UC1')
        self._debug = {name: ImagePublisher(self, f'{topics.DEBUG}/{name}', 'bgr8')
                       for name in DEBUG_IMAGES}
        self._labels = self.request(LabelInfo, topics.LABEL_INFO, self._on_names, LATCHED)
        self._masks = self.request(Image, topics.MASK, self._on_mask,
                                   skips=lambda: self.settings.when_late == 'skip')
        self.report_unknown_parameters()

    def _on_names(self, message: LabelInfo) -> None:
        self._segmenter.class_names = class_names(message) or VOC_NAMES

    def _on_mask(self, message: Image) -> None:
        settings = self._segmenter.settings = self.settings
        mask = read_mask(message)
        if self._stamps.late(stamp_ns(message)):
            raise MessageError('expected masks in the order of their stamps, one was overtaken')
        self._notice_jumps(message)
        instances = self._segmenter.update(mask, self._stamp_ns)
        # The image first: subscribers take it in while the detections are still written.
        self._mask.publish(instances.labels, message.header)
        self._detections.publish(InstanceDetections(instances, message.header))
        self._mask.publish_compressed(instances.labels, message.header)
        if settings.config_mode:
            self._publish_debug(mask, settings, instances, message)
        self.health.frame(self._stamp_ns)

    def _publish_debug(self, mask: npt.NDArray[np.uint8], settings: SegmentationSettings,
                       instances: Instances, message: Image) -> None:
        """Draw how the mask was split, for those who subscribe; without any, draw nothing."""
        wanted = [name for name, publisher in self._debug.items() if publisher.wanted]
        if wanted:
            view = debug_view(mask, settings, instances, self._segmenter.class_names)
            for name in wanted:
                self._debug[name].publish(getattr(view, name), message.header)
                self._debug[name].publish_compressed(getattr(view, name), message.header)

    def _notice_jumps(self, message: Image) -> None:
        """Say when time goes backwards or the size changes: allowed, but seldom meant."""
        taken_ns = stamp_ns(message)
        if taken_ns < self._stamp_ns:
            self.health.problem(
                f'expected a stamp after {self._stamp_ns / 1e9:.3f} s, got {taken_ns / 1e9:.3f} s '
                '(a recording that starts again, or two publishers)', self._masks.topic_name)
        size = (message.width, message.height)
        if size != self._size and self._size[0]:
            self.health.problem(
                f'expected {self._size[0]}x{self._size[1]} pixels as before, got '
                f'{size[0]}x{size[1]}; going on with these', self._masks.topic_name)
        self._stamp_ns, self._size = taken_ns, size
