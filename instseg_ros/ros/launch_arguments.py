"""What the launch files tell the nodes, as ROS arguments; needs no launch."""

from __future__ import annotations

import atexit
from collections.abc import Mapping, Sequence
from contextlib import suppress
import json
from pathlib import Path
import tempfile
from typing import Any

from instseg_ros.cameras.camera import is_played
from instseg_ros.errors import SettingsError

from ..messages import topics
from ..reference import STAGES

# The parameters of the camera node that each launch file sets, and the arguments that hold them.
PIPELINE = {'source': 'source'}
PLAYBACK = {'source': 'bag', 'playback_rate': 'rate', 'loop': 'loop'}
RECORDED_FIRST = (f'{topics.MASK}/compressed', f'{topics.INSTANCE_MASK}/compressed')


def absolute_namespace(given: Mapping[str, str]) -> str:
    """
    Return the namespace of the nodes, without a slash at its end: '' is the root.

    Parameters
    ----------
    given : mapping of str to str
        The launch arguments. ``namespace`` is put behind the namespace of an enclosing
        ``PushRosNamespace``, as launch_ros does, unless it begins with a slash.

    """
    parts = [given['namespace']]
    if not parts[0].startswith('/'):
        parts.insert(0, given.get('ros_namespace', ''))
    return ''.join('/' + word for part in parts for word in part.split('/') if word)


def ros_arguments(given: Mapping[str, str], camera: Mapping[str, str],
                  programs: Sequence[str]) -> list[str]:
    """
    Return the ROS arguments of the pipeline's nodes.

    What launch arguments say wins over every section of ``params_file``: it goes into a last
    parameters file under the full names of the nodes. ``-p camera_node:NAME:=VALUE`` reaches no
    node in a namespace (ros2/rcl#1306), and ``-p NAME:=VALUE`` loses to a section ``/**``.

    Parameters
    ----------
    given : mapping of str to str
        The launch arguments.
    camera : mapping of str to str
        Parameters of the camera node, each with the launch argument that holds its value; an
        empty value leaves what ``params_file`` says.
    programs : sequence of str
        The nodes that run.

    Raises
    ------
    RuntimeError
        A launch argument is none that the camera node takes, or ``params_file`` is no file.

    """
    if not Path(given['params_file']).is_file():
        raise RuntimeError('params_file: expected a YAML file of ROS parameters, got '
                           f'{given["params_file"]!r}, which is no file')
    arguments = ['--params-file', given['params_file'], '--log-level', given['log_level']]
    if 'scene_node' in programs:
        if given['tracker'] == 'false':
            raise RuntimeError('scene: expected tracker:=true, since selections are of tracks')
        if not Path(given['scene_file']).is_file():
            raise RuntimeError('scene_file: expected a YAML file of ROS parameters, got '
                               f'{given["scene_file"]!r}, which is no file')
        arguments[2:2] = ['--params-file', given['scene_file']]
    chosen: dict[str, dict[str, Any]] = {name: {} for name in programs}
    if given['use_sim_time']:
        for parameters in chosen.values():
            parameters['use_sim_time'] = given['use_sim_time'] == 'true'
    chosen['camera_node'].update(_in_own_types({
        name: given[argument] for name, argument in camera.items()}))
    chosen['camera_node']['wait_for'] = ' '.join([
        *(name for name in programs if name in (
            'instance_segmentation_node', 'tracker_node', 'scene_node')),
        # What only the recorder subscribes to: it is there when these are.
        *(RECORDED_FIRST if given['record'] == 'true' else ())])
    source = given[camera['source']]
    if source and is_played(source) and 'instance_segmentation_node' in programs:
        # Every mask of a recording counts.
        chosen['instance_segmentation_node']['when_late'] = 'wait'
    namespace = absolute_namespace(given)
    sections = {f'{namespace}/{node}': {'ros__parameters': parameters}
                for node, parameters in chosen.items() if parameters}
    arguments += ['--params-file', _write(sections)]
    if given['tracker'] == 'false':
        for node in ('overlay_node', 'ground_node'):
            arguments += ['-r', f'{node}:{topics.TRACKS}:={topics.DETECTIONS}']
    return arguments


def _in_own_types(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return parameters of the camera node in the types that it declares."""
    declared = {s.name: s for s in STAGES['camera_node'].declared()}
    parameters: dict[str, Any] = {}
    for name, text in texts.items():
        if not text:
            continue
        value: Any = text
        if declared[name].kind is not str:
            with suppress(ValueError):  # said below, as every wrong value is
                value = json.loads(text)
        try:
            parameters[name] = declared[name].checked(value)
        except SettingsError as error:
            raise RuntimeError(str(error)) from None
    return parameters


def _write(sections: Mapping[str, Any]) -> str:
    """Write a parameters file that is there as long as this process; return its path."""
    with tempfile.NamedTemporaryFile('w', prefix='instseg_launch_', suffix='.yaml',
                                     delete=False, encoding='utf-8') as file:
        # JSON is YAML whose texts are quoted: a path such as 1e5 stays a text.
        json.dump(sections, file, ensure_ascii=False)
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return file.name
