"""
Zones, lines and relations: named selections of tracks, and what happens to them.

>>> import numpy as np
>>> from instseg_ros.core import segment_instances, SegmentationSettings
>>> mask = np.zeros((60, 100), np.uint8)
>>> mask[10:40, 10:30] = 15
>>> settings = SceneSettings(selections=('left',)).changed(
...     **{'left.zone': (0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0)})
>>> scene = Scene(settings)
>>> instances = segment_instances(mask, SegmentationSettings())
>>> selected, events = scene.update(instances, np.array([7]), 0)
>>> selected['left'].count, [(e.kind, e.track_id) for e in events]
(1, [('entered', 7)])
"""

from .scene import BACKWARD, ENTERED, Event, FORWARD, LEFT, Scene, Selected
from .selection import SceneSettings, Selection

__all__ = ['BACKWARD', 'ENTERED', 'Event', 'FORWARD', 'LEFT', 'Scene', 'SceneSettings',
           'Selected', 'Selection']
