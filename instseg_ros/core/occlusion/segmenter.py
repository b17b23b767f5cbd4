"""Segmenter: class masks to instances, frame after frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .memory import ShapeMemory
from ..class_names import VOC_NAMES
from ..instances import Instances
from ..segmentation import segment_instances, SegmentationSettings


class Segmenter:
    """
    Class masks to instances: the splitter, and the shape memory when it is on.

    Parameters
    ----------
    settings : SegmentationSettings
        May be replaced between updates by assigning :attr:`settings`. With ``memory`` off the
        result is that of :func:`~.segmentation.segment_instances`, exactly.
    class_names : mapping of int to str
        Names of class ids; may be replaced likewise.

    """

    def __init__(self, settings: SegmentationSettings,
                 class_names: Mapping[int, str] = VOC_NAMES) -> None:
        self.settings, self.class_names = settings, class_names
        self._memory = ShapeMemory()

    def reset(self) -> None:
        """Forget earlier frames."""
        self._memory.reset()

    def update(self, mask: npt.NDArray[np.uint8], stamp_ns: int) -> Instances:
        """
        Return the instances of the next frame.

        Parameters
        ----------
        mask : ndarray of shape (H, W), uint8
            Class id of each pixel; 0 background, 255 no data.
        stamp_ns : int
            Time of the mask in nanoseconds.

        Returns
        -------
        Instances

        """
        return self.remember(segment_instances(mask, self.settings, self.class_names), stamp_ns)

    def remember(self, instances: Instances, stamp_ns: int) -> Instances:
        """
        Return what becomes of the instances of the next frame by those before it.

        The part of :meth:`update` that needs the order of the frames: who splits several masks at
        once calls it for one after the other.

        Parameters
        ----------
        instances : Instances
            What :func:`~.segmentation.segment_instances` makes of the mask.
        stamp_ns : int
            Time of the mask in nanoseconds.

        Returns
        -------
        Instances
            The same object when nothing was divided.

        """
        if not self.settings.memory:
            self._memory.reset()
            return instances
        return self._memory.update(instances, stamp_ns,
                                   self.settings.smallest_area(instances.labels.shape))
