"""Settings from parameter files, from the command line and in recordings, without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import json
from pathlib import Path
import re
from typing import Any

import yaml

from .bag import Bag
from .writer import BagWriter
from ..core.scene import SceneSettings
from ..core.settings import Setting, Settings
from ..errors import SettingsError
from ..reference import STAGES

_NOTED = 'instseg_parameters'  # key of metadata.yaml
_EVENTS = 'rcl_interfaces/msg/ParameterEvent'
_VALUES = ('', 'bool_value', 'integer_value', 'double_value', 'string_value', 'byte_array_value',
           'bool_array_value', 'integer_array_value', 'double_array_value', 'string_array_value')
_KEY = 'ros__parameters'
_OF_ROS = ('use_sim_time', 'qos_overrides', 'start_type_description_service')


class _Loader(yaml.SafeLoader):
    """YAML with the numbers of ROS: to PyYAML, 5e-01 is a text."""


_Loader.add_implicit_resolver('tag:yaml.org,2002:float', re.compile(
    r'[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$'), list('-+.0123456789'))


def read_settings(files: Sequence[Path] = (), assignments: Sequence[str] = (),
                  nodes: Sequence[str] = tuple(STAGES)) -> dict[str, Any]:
    """
    Return the settings of each node.

    Parameters
    ----------
    files : sequence of Path
        ROS parameter files, such as config/pipeline.yaml; later ones win. Namespaces and the
        wildcards ``/**`` and ``/*`` are understood; parameters of ROS itself and of other nodes
        are passed over, as ROS does.
    assignments : sequence of str
        ``name=value`` or ``node.name=value``, applied after the files.
    nodes : sequence of str
        The nodes that assignments without a node are for.

    Returns
    -------
    dict of str to Settings
        By node name.

    Raises
    ------
    SettingsError
        A file is no parameter file, a name is unknown or a value may not be.

    """
    entries: list[tuple[list[str], str, Any, str]] = []
    for file in files:
        for pattern, name, value in _entries(file):
            entries.append((_matching(pattern), name, value, f'{file}: {pattern}: '))
    given: list[tuple[list[str], str, Any, str]] = []
    names = [n for _, name, value, _ in entries if name == 'selections' and
             isinstance(value, list) for n in value if isinstance(n, str)]
    for assignment in assignments:
        name, equals, text = assignment.partition('=')
        if not equals:
            raise SettingsError(f'--set {assignment}: expected name=value')
        first, dot, rest = name.partition('.')
        node = first if dot and first in STAGES else ''
        if dot and not node and first not in names:
            raise SettingsError(f'--set {assignment}: expected one of '
                                f'{", ".join((*STAGES, *names))}, got {first}')
        try:
            value = yaml.load(text, _Loader)
        except yaml.YAMLError:
            value = text
        given.append(([node] if node else list(nodes), rest if node else name, value, '--set '))
    known = {node: _known(node, kind, [*entries, *given]) for node, kind in STAGES.items()}
    chosen: dict[str, dict[str, Any]] = {node: {} for node in STAGES}
    for meant, name, value, where in entries:
        # What is meant for all nodes need not be known to ours.
        if len(meant) == 1 or any(name in known[node] for node in meant):
            _choose(chosen, {node: known[node] for node in meant}, name, value, where)
    for meant, name, value, where in given:
        _choose(chosen, {node: known[node] for node in meant}, name, value, where)
    return {node: kind().changed(**chosen[node]) for node, kind in STAGES.items()}


def _known(node: str, kind: type[Settings], entries: Sequence[tuple[list[str], str, Any, str]]
           ) -> dict[str, Setting]:
    """Return the parameters of a node, those that the values of others bring included."""
    known = kind().parameters()
    own = {}
    for meant, name, value, where in entries:
        if node in meant and name in known:
            own[name] = _checked(known[name], value, where)
    return kind().changed(**own).parameters() if kind is SceneSettings else known


def note_parameters(writer: BagWriter, parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep the parameters in force, by node, in a recording."""
    writer.note(_NOTED, json.dumps(parameters))


def recorded_parameters(bag: Bag) -> dict[str, dict[str, Any]]:
    """
    Return the parameters that were in force at the end of a recording, by node.

    From what `instseg` noted, and from the events that the nodes published.
    """
    noted: dict[str, dict[str, Any]] = json.loads(bag.custom_data.get(_NOTED, '{}'))
    events = [t.name for t in bag.topics.values() if t.msgtype == _EVENTS]
    for topic, time_ns, data in bag.messages(events) if events else ():
        event = bag.decode(topic, time_ns, data)
        node = event.node.rpartition('/')[2]
        if node in STAGES:
            known = {s.name for s in STAGES[node].declared()}
            for parameter in (*event.new_parameters, *event.changed_parameters):
                # Those of selections are known to nobody but their node.
                of_selection = node == 'scene_node' and '.' in parameter.name
                if (parameter.name in known or of_selection) and parameter.value.type:
                    value = getattr(parameter.value, _VALUES[parameter.value.type])
                    noted.setdefault(node, {})[parameter.name] = (
                        value.tolist() if hasattr(value, 'tolist') else value)
    return noted


def _choose(chosen: dict[str, dict[str, Any]], known: Mapping[str, Mapping[str, Setting]],
            name: str, value: Any, where: str) -> None:
    """Note a value for the nodes that know its name; SettingsError when none does."""
    if not any(name in settings for settings in known.values()):
        names = sorted(n for settings in known.values() for n in settings)
        raise SettingsError(f'{where}{name}: no such parameter; known are ' + ', '.join(names))
    for node, settings in known.items():
        if name in settings:
            chosen[node][name] = _checked(settings[name], value, where)


def _checked(declared: Setting, value: Any, where: str) -> Any:
    try:
        return declared.checked(value)
    except SettingsError as error:
        raise SettingsError(f'{where}{error}') from error


def _entries(file: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield node pattern, parameter name and value, in the order of the file."""
    try:
        content = yaml.load(file.read_text(encoding='utf-8-sig'), _Loader)
    except OSError as error:
        raise SettingsError(f'{file}: cannot be read: {error.strerror}') from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, 'problem_mark', None)
        where = f' in line {mark.line + 1}, column {mark.column + 1}' if mark else ''
        raise SettingsError(f'{file}: expected YAML, got something else{where}'
                            ) from error
    for pattern, parameters in _sections(content if content is not None else {}, '', file):
        for name, value in _flat(parameters):
            if name.split('.')[0] not in _OF_ROS:
                yield pattern, name, value


def _sections(content: Any, prefix: str, file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and parameters of each node; namespaces may be levels of the file."""
    if not isinstance(content, Mapping):
        raise SettingsError(f'{file}: {prefix or "top level"}: expected nodes with {_KEY}, got '
                            f'{content!r}')
    for key, inner in content.items():
        if key == _KEY:
            if not isinstance(inner, Mapping) and inner is not None:
                raise SettingsError(f'{file}: {prefix}: expected parameters, got {inner!r}')
            yield prefix, inner or {}
        else:
            yield from _sections(inner, f'{prefix}/{str(key).strip("/")}', file)


def _flat(parameters: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value


def _matching(pattern: str) -> list[str]:
    """Return the nodes that a name in a parameter file is for: ours, all of them, or none."""
    last = pattern.rpartition('/')[2]
    if last in ('*', '**'):
        return list(STAGES)
    return [last] if last in STAGES else []
