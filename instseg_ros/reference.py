"""The reference of all parameters, written from their declarations."""

from __future__ import annotations

import json

from .cameras import CameraSettings
from .core import SegmentationSettings, Settings, TrackingSettings
from .core.drawing import OverlaySettings
from .core.ground import GroundSettings
from .core.scene import SceneSettings, Selection
from .core.settings import Setting

STAGES: dict[str, type[Settings]] = {
    'camera_node': CameraSettings,
    'instance_segmentation_node': SegmentationSettings,
    'tracker_node': TrackingSettings,
    'overlay_node': OverlaySettings,
    'ground_node': GroundSettings,
    'scene_node': SceneSettings,
}
_HEAD = '# Every parameter with its default; written from the declarations by scripts/reference.\n'


def parameters_yaml() -> str:
    """Return a ROS parameters file that holds every parameter with its default."""
    lines = [_HEAD]
    for node, stage in STAGES.items():
        lines.append(f'/**/{node}:\n  ros__parameters:')
        for declared in stage.declared():
            lines.append(f'    # {_meaning(declared)} ({_limits(declared)})')
            lines.append(f'    {declared.name}: {_value(declared)}')
        lines.append('')
    return '\n'.join(lines)


def parameter_tables() -> str:
    """Return the parameters as Markdown: one table per node and kind."""
    lines = []
    for node, stage in STAGES.items():
        for live, kind in ((True, 'live'), (False, 'fixed: they take a restart')):
            rows = [s for s in stage.declared() if s.live is live]
            if rows:
                lines += [f'**{node}**, {kind}', '',
                          '| parameter | default | limits | meaning |', '|---|---|---|---|']
                lines += [f'| `{s.name}` | `{_value(s)}` | {_limits(s)} | {_meaning(s)} |'
                          for s in rows]
                lines.append('')
    return '\n'.join(lines)


def selection_table() -> str:
    """Return the parameters of a selection as a Markdown table."""
    lines = ['| parameter | default | limits | meaning |', '|---|---|---|---|']
    lines += [f'| `{s.name}` | `{_value(s)}` | {_limits(s)} | {_meaning(s)} |'
              for s in Selection.declared()]
    return '\n'.join(lines) + '\n'


def _meaning(declared: Setting) -> str:
    return declared.doc + (f' [{declared.unit}]' if declared.unit else '')


def _limits(declared: Setting) -> str:
    return declared.expectation + ('' if declared.live else ', fixed')


def _value(declared: Setting) -> str:
    """Return the default as YAML; its flow style is JSON's."""
    value = declared.default
    return json.dumps(list(value) if isinstance(value, tuple) else value)
