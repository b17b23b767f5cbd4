"""Settings from ROS parameter files and from the command line, without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import SettingsError
from ..reference import STAGES

_KEY = 'ros__parameters'
_OF_ROS = ('use_sim_time', 'qos_overrides', 'start_type_description_service')


def read_settings(file: Path | None = None, assignments: Sequence[str] = (),
                  nodes: Sequence[str] = tuple(STAGES)) -> dict[str, Any]:
    """
    Return the settings of each node.

    Parameters
    ----------
    file : Path, optional
        A ROS parameter file, such as config/pipeline.yaml. Namespaces and the wildcards ``/**``
        and ``/*`` are understood; parameters of ROS itself are passed over.
    assignments : sequence of str
        ``name=value`` or ``node.name=value``, applied after the file.
    nodes : sequence of str
        The nodes that assignments without a node are for.

    Returns
    -------
    dict of str to Settings
        By node name.

    Raises
    ------
    SettingsError
        The file is no parameter file, a name is unknown or a value may not be.

    """
    chosen: dict[str, dict[str, Any]] = {node: {} for node in STAGES}
    if file is not None:
        for pattern, name, value in _entries(file):
            _choose(chosen, _matching(file, pattern), name, value, f'{file}: {pattern}: ')
    for assignment in assignments:
        name, equals, text = assignment.partition('=')
        if not equals:
            raise SettingsError(f'--set {assignment}: expected name=value')
        node, dot, last = name.rpartition('.')
        if dot and node not in STAGES:
            raise SettingsError(f'--set {assignment}: expected one of {", ".join(STAGES)}, got '
                                f'{node}')
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        _choose(chosen, [node] if dot else list(nodes), last, value, '--set ')
    return {node: kind(**chosen[node]) for node, kind in STAGES.items()}


def _choose(chosen: dict[str, dict[str, Any]], nodes: Sequence[str], name: str, value: Any,
            where: str) -> None:
    """Note a value for the nodes that know its name; SettingsError when none does."""
    known = {node: {s.name: s for s in STAGES[node].declared()} for node in nodes}
    if not any(name in settings for settings in known.values()):
        names = sorted(n for settings in known.values() for n in settings)
        raise SettingsError(f'{where}{name}: no such parameter; known are ' + ', '.join(names))
    for node, settings in known.items():
        if name in settings:
            try:
                chosen[node][name] = settings[name].checked(value)
            except SettingsError as error:
                raise SettingsError(f'{where}{error}') from error


def _entries(file: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield node pattern, parameter name and value, in the order of the file."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f'{file}: cannot be read: {error}') from error
    except yaml.YAMLError as error:
        raise SettingsError(f'{file}: expected YAML: ' + ' '.join(str(error).split())) from error
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


def _matching(file: Path, pattern: str) -> list[str]:
    """Return the nodes that a name in a parameter file is for."""
    last = pattern.rpartition('/')[2]
    if last in ('*', '**'):
        return list(STAGES)
    if last not in STAGES:
        raise SettingsError(f'{file}: expected nodes named {", ".join(STAGES)} or /**, got {last}')
    return [last]
