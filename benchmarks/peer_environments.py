"""Virtual environments of peers, whose requirements do not go with those of this project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import subprocess
import venv

FOLDER = Path(__file__).resolve().parent / '.venvs'


def python_of(name: str) -> Path | None:
    """Return the Python of a peer's environment; None when it was not made."""
    python = FOLDER / name / 'bin' / 'python'
    return python if python.exists() else None


def install(requirements: Mapping[str, str]) -> None:
    """Make an environment for each peer, out of its name and its pip requirement."""
    for name, requirement in requirements.items():
        if python_of(name) is None:
            venv.create(FOLDER / name, with_pip=True)
        subprocess.run([FOLDER / name / 'bin' / 'pip', 'install', '-q', requirement], check=True)
