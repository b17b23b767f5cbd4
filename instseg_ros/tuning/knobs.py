"""The settings that are tuned: those in force, those that were saved, and the file of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
import shlex
import tempfile
from typing import Any

from ..core.settings import Setting, Settings
from ..errors import SettingsError
from ..recordings.marks import replace_text
from ..recordings.parameters import read_settings
from ..reference import parameters_yaml, yaml_value

TUNED = ('instance_segmentation_node', 'tracker_node')
_HEAD = '# Every parameter, as `instseg tune` saved it.\n'


class Knobs:
    """
    Settings of all nodes, and whoever wants to know of changes.

    Parameters
    ----------
    settings : mapping of str to Settings
        By node: those that count as saved.
    file : Path or None
        Where they are saved.

    Attributes
    ----------
    settings, saved : dict of str to Settings
        In force, and in the file (or where it all began).
    file : Path or None
        As given.
    listeners : list of callable
        Called with a word for what has changed: ``settings`` or ``saved``.

    """

    def __init__(self, settings: Mapping[str, Settings], file: Path | None) -> None:
        self.settings = dict(settings)
        self.saved = dict(settings)
        self.file = file
        self.listeners: list[Callable[[str], None]] = []

    def tell(self, what: str) -> None:
        """Tell everybody what has changed."""
        for listener in list(self.listeners):
            listener(what)

    def tuned(self) -> dict[str, dict[str, Setting]]:
        """Return the declarations of the live settings, by node and name."""
        return {node: {name: declared for name, declared in
                       self.settings[node].parameters().items() if declared.live}
                for node in TUNED}

    async def change(self, node: str, changes: Mapping[str, Any]) -> None:
        """
        Put settings of a node in force.

        Raises
        ------
        SettingsError
            They may not be, or not together; nothing has changed then.

        """
        self._take(node, self.settings[node].changed(**changes))

    def _take(self, node: str, settings: Settings) -> None:
        if settings != self.settings[node]:
            self.settings[node] = settings
            self.tell('settings')

    @property
    def unsaved(self) -> dict[str, dict[str, Any]]:
        """Return the values that are not those of the file, by node and name."""
        return {node: {name: value for name, value in settings.values().items()
                       if self.saved[node].values().get(name) != value}
                for node, settings in self.settings.items() if settings != self.saved[node]}

    def text(self) -> str:
        """Return the ROS parameter file of the settings in force: all of them, with comments."""
        return parameters_yaml(self.settings, _HEAD)

    def set_lines(self, namespace: str = '') -> list[str]:
        """Return the ``ros2 param set`` lines that bring running nodes to these settings."""
        front = f'/{namespace.strip("/")}' if namespace.strip('/') else ''
        return [f'ros2 param set {front}/{node} {name} {shlex.quote(yaml_value(value))}'
                for node, known in self.tuned().items()
                for name, value in ((name, self.settings[node].value(name)) for name in known)]

    def save(self) -> Path:
        """Write the file, in the place of one that is there; RecordingError if that fails."""
        assert self.file is not None
        replace_text(self.file, self.text())
        self.saved = dict(self.settings)
        self.tell('saved')
        return self.file

    async def load(self, name: str, text: str) -> None:
        """
        Put the settings of a ROS parameter file in force.

        Parameters
        ----------
        name : str
            Of the file, for what is said about it.
        text : str
            What is in it.

        Raises
        ------
        SettingsError
            It is none, or has settings that may not be; nothing has changed then.

        """
        settings = settings_of(name, text)
        for node in TUNED:
            await self.change(node, {n: settings[node].value(n) for n in self.tuned()[node]})
        self.settings.update({n: s for n, s in settings.items() if n not in TUNED})
        self.saved = dict(self.settings)
        self.tell('saved')


def settings_of(name: str, text: str) -> dict[str, Settings]:
    """Return the settings of a ROS parameter file that is no file here; SettingsError raised."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, Path(name).name or 'parameters.yaml')
        file.write_text(text)
        try:
            return read_settings([file])
        except SettingsError as error:
            raise SettingsError(str(error).replace(f'{folder}/', '')) from error
