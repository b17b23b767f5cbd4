"""What a user turns of the segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

from . import algorithm
from ..settings import setting, Settings


@dataclass(frozen=True)
class SegmentationSettings(Settings):
    """How class masks are split into instances, or whose instances count."""

    instances_from: str = setting(
        'auto', 'Whose instances count: those that the class mask is split into (mask), or those '
        'that the network knows by itself (network); auto: those of the network, where it gives '
        'any', choices=('auto', 'mask', 'network'))
    min_score: float = setting(
        0.0, 'Instances of the network with a lower score are dropped; camera_node leaves some '
        'out before', low=0, high=1)
    erosion_kernel: int = setting(
        3, 'Side of the square kernel that opens the class mask before distances are measured',
        unit='px', low=1, high=255)
    erosion_iteration: int = setting(
        0, 'How often the mask is opened: removes specks and thin bridges', low=0, high=50)
    dilate_kernel: int = setting(
        5, 'Side of the square kernel by which instances grow back to the class mask',
        unit='px', low=1, high=255)
    dilate_iteration: int = setting(
        5, 'How often instances grow back to the class mask', low=0, high=50)
    dist_threshold: float = setting(
        0.5, "Where touching objects are cut, relative to an object's own half width: "
        '0 never cuts, higher cuts more readily', low=0, high=1)
    size_threshold: int = setting(
        -1, 'Instances of fewer pixels are dropped; -1: under a thousandth of the frame (307 of '
        '640x480), of instances of the network none', unit='px', low=-1, high=10_000_000)
    upright_classes: tuple[str, ...] = setting(
        ('person',), 'Names of classes that stand upright in the picture: where they touch side '
        'by side they are also cut between heads; empty: none')
    ignored_classes: tuple[int, ...] = setting(
        (), 'Class ids that never become instances, besides 0 (background) and 255 (no data)',
        low=0, high=255)
    memory: bool = setting(
        False, 'Objects that were seen apart stay apart when their masks melt into one')
    when_late: str = setting(
        'skip', 'What happens when the machine is too slow for the masks: skip goes on with the '
        'newest when more than two wait, wait processes every one (up to 30 wait); recordings '
        'that are processed without ROS are never late', choices=('skip', 'wait'))
    config_mode: bool = setting(False, 'Publish the debug images')

    @property
    def opens(self) -> bool:
        """Whether the class mask is opened."""
        return self.erosion_iteration > 0 and self.erosion_kernel > 1

    def smallest_area(self, shape: tuple[int, ...]) -> int:
        """Return from how many pixels on an instance is kept in a frame of shape (H, W)."""
        if self.size_threshold >= 0:
            return max(self.size_threshold, 1)
        return max(round(algorithm.ALGORITHM.automatic_size * math.prod(shape)), 1)

    def upright_ids(self, class_names: Mapping[int, str]) -> frozenset[int]:
        """Return the ids of :attr:`upright_classes`; upper and lower case are alike."""
        wanted = {name.casefold() for name in self.upright_classes}
        return frozenset(k for k, name in class_names.items() if name.casefold() in wanted)
