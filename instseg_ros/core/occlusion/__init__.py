"""Occlusion: objects that were seen apart stay apart when their masks melt into one."""

from .shape_memory import InstanceMemory, Segmenter

__all__ = ['InstanceMemory', 'Segmenter']
