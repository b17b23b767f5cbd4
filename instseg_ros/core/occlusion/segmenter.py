"""Segmenter: what is seen to instances, frame after frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .memory import ShapeMemory
from ..class_names import VOC_NAMES
from ..instances import Instances
from ..segmentation import network_instances, segment_instances, SegmentationSettings


class Segmenter:
    """
    What is seen to instances: the splitter, and the shape memory when it is on.

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

    def update(self, seen: npt.NDArray[np.uint8] | Instances, stamp_ns: int) -> Instances:
        """
        Return the instances of the next frame.

        Parameters
        ----------
        seen : ndarray of shape (H, W), uint8, or Instances
            Class id of each pixel (0 background, 255 no data), or the instances that the network
            knows by itself.
        stamp_ns : int
            Time of the frame in nanoseconds.

        Returns
        -------
        Instances

        """
        found = (network_instances(seen, self.settings) if isinstance(seen, Instances)
                 else segment_instances(seen, self.settings, self.class_names))
        return self.remember(found, stamp_ns)

    def remember(self, instances: Instances, stamp_ns: int) -> Instances:
        """
        Return what becomes of the instances of the next frame by those before it.

        The part of :meth:`update` that needs the order of the frames: who splits several masks at
        once calls it for one after the other.

        Parameters
        ----------
        instances : Instances
            Those of the frame alone.
        stamp_ns : int
            Time of the frame in nanoseconds.

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
