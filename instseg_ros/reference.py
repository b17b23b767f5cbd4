"""The reference of all parameters, written from their declarations."""

from __future__ import annotations

from collections.abc import Mapping
import json
from typing import Any

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


def parameters_yaml(chosen: Mapping[str, Settings] | None = None, head: str = _HEAD) -> str:
    """
    Return a ROS parameters file that holds every parameter.

    Parameters
    ----------
    chosen : mapping of str to Settings, optional
        Settings of nodes; the others have their defaults.
    head : str
        Comment at the top.

    """
    lines = [head]
    for node, stage in STAGES.items():
        settings = (chosen or {}).get(node) or stage()
        lines.append(f'/**/{node}:\n  ros__parameters:')
        for declared in settings.parameters().values():
            lines.append(f'    # {_meaning(declared)} ({_limits(declared)})')
            lines.append(f'    {declared.name}: {yaml_value(settings.value(declared.name))}')
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
                lines += [_row(s) for s in rows]
                lines.append('')
    return '\n'.join(lines)


def selection_table() -> str:
    """Return the parameters of a selection as a Markdown table."""
    lines = ['| parameter | default | limits | meaning |', '|---|---|---|---|']
    lines += [_row(s) for s in Selection.declared()]
    return '\n'.join(lines) + '\n'


def _row(declared: Setting) -> str:
    return (f'| `{declared.name}` | `{yaml_value(declared.default)}` | {_limits(declared)} | '
            f'{_meaning(declared)} |')


def _meaning(declared: Setting) -> str:
    return declared.doc + (f' [{declared.unit}]' if declared.unit else '')


def _limits(declared: Setting) -> str:
    return declared.expectation + ('' if declared.live else ', fixed')


def yaml_value(value: Any) -> str:
    """Return the value of a setting as YAML; its flow style is JSON's."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)
