"""What a check finds, and the machine that it looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

OK, SKIP, WARN, FAIL = 'ok', 'skip', 'warn', 'fail'


@dataclass(frozen=True)
class Finding:
    """
    One thing that was looked at.

    Attributes
    ----------
    name : str
        What was looked at.
    state : str
        ``ok``; ``skip``: there is nothing to look at; ``warn``: it works, but worse than it
        could; ``fail``: something does not work.
    seen : str
        What was seen.
    cure : str
        What mends it; '' where there is nothing to mend.

    """

    name: str
    state: str
    seen: str
    cure: str = ''

    @property
    def to_mend(self) -> bool:
        """Whether there is something to mend."""
        return self.state in (WARN, FAIL)


@dataclass(frozen=True)
class Machine:
    """
    The machine that the checks look at.

    Attributes
    ----------
    root : Path
        Its root folder; another than ``/`` for one whose files are mounted here.
    environment : mapping of str to str
        Environment variables.
    source : str
        The source that is to work, as of camera_node; '' where none is meant.
    model : str
        Network of the AI Camera; '' for the usual one.

    """

    root: Path = Path('/')
    environment: Mapping[str, str] = field(default_factory=dict)
    source: str = ''
    model: str = ''

    @property
    def is_this_one(self) -> bool:
        """Whether its processes and this one run on the same system."""
        return self.root == Path('/')

    @property
    def in_container(self) -> bool:
        """Whether this is a container."""
        return any(self.path(name).exists() for name in ('/.dockerenv', '/run/.containerenv'))

    def path(self, name: str) -> Path:
        """Return where an absolute path of the machine is."""
        return self.root / name.lstrip('/')

    def read(self, name: str) -> str:
        """Return a text file without its outer white space; '' when it cannot be read."""
        try:
            return self.path(name).read_bytes().decode(errors='replace').strip(' \t\n\0')
        except OSError:
            return ''

    def find(self, pattern: str) -> list[Path]:
        """Return the files of a pattern like ``/dev/video*``, in order."""
        return sorted(self.root.glob(pattern.lstrip('/')))

    def name(self, path: Path) -> str:
        """Return the path as it is called on the machine."""
        return f'/{path.relative_to(self.root)}'

    @cached_property
    def debian_packages(self) -> Mapping[str, str]:
        """Return the versions of what apt has installed, by name; empty on other systems."""
        return dict(_installed(self.read('/var/lib/dpkg/status')))


def _installed(status: str) -> Iterator[tuple[str, str]]:
    for paragraph in status.split('\n\n'):
        fields = dict(line.split(': ', 1) for line in paragraph.splitlines()
                      if not line.startswith(' ') and ': ' in line)
        if fields.get('Status', '').endswith(' installed'):
            yield fields['Package'], fields.get('Version', '')


def version_of(text: str) -> tuple[int, ...]:
    """
    Return the leading numbers of a version.

    >>> version_of('1:1.24.2-1+deb12u1')
    (1, 24, 2)
    >>> version_of('0.5.0+rpt20250429-1')
    (0, 5, 0)
    """
    numbers = []
    for part in text.split(':')[-1].split('.'):
        digits = part[:len(part) - len(part.lstrip('0123456789'))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)
