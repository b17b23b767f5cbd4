"""Occlusion: objects that were seen apart stay apart when their masks melt into one."""

from .memory import ShapeMemory
from .segmenter import Segmenter

__all__ = ['Segmenter', 'ShapeMemory']
