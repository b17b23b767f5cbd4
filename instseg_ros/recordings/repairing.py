"""Ending of recordings that were never ended; nothing that was recorded is ever destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import tempfile

from .bag import Bag, RESERVE
from .mcap import McapFile
from .metadata import describe, sync_folder
from .storage import open_file, PACKED, StoredFile, unpack, zstd
from ..errors import RecordingError

KEPT = '.damaged'  # behind the name of a file of which not all could be read


def repair(path: Path) -> list[str]:
    """
    End a recording that was never ended: index, footer and metadata.yaml.

    Each file is written anew beside the old one, which is replaced when the new one was read and
    holds as many messages. If a part of the old one could not be read, it stays, under a name
    that ends in :data:`KEPT`.

    Parameters
    ----------
    path : Path
        The folder. A whole recording is left alone.

    Returns
    -------
    list of str
        What was done, a sentence each; nothing for a whole recording.

    Raises
    ------
    RecordingError
        It is no recording, or cannot be written.

    """
    if not path.is_dir():
        raise RecordingError(f'{path}: expected the folder of a recording, got '
                             + ('a file; put it into a folder of its own' if path.exists()
                                else 'nothing'))
    done = []
    try:
        with Bag(path) as bag:
            kinds = {f.path.name.removesuffix(PACKED).rpartition('.')[2] for f in bag.files}
            if len(kinds) > 1:
                raise RecordingError(f'{path}: expected files of one kind, got '
                                     f'{" and ".join(sorted(kinds))}; put each kind into a '
                                     'folder of its own')
            packed = any(f.path.suffix == PACKED for f in bag.files)
            for file in bag.files:
                if not (file.ended and file.indexed) or packed != (file.path.suffix == PACKED):
                    done += _mend(file, packed)
            damaged = [n for n in bag.notes if 'left out' in n]
            if done or bag.notes or not bag.finished:
                with Bag(path) as mended:
                    describe(path, mended, bag.custom_data)
                done.append('metadata.yaml: written from what is in the files')
            (path / RESERVE).unlink(missing_ok=True)
            return done + [n for n in damaged if n not in done]
    except OSError as error:
        raise RecordingError(f'{path}: cannot be written: {error.strerror or error}; nothing was '
                             'changed that is not whole') from error


def _mend(file: StoredFile, packed: bool) -> list[str]:
    """Replace a file by a whole one of the same messages."""
    old, said = file.path, []
    with tempfile.TemporaryDirectory(prefix='.repair_', dir=old.parent) as folder, \
            _plain(file, Path(folder)) as plain:
        new = Path(folder, 'mended_' + plain.name)
        if isinstance(plain_file := open_file(plain), McapFile):
            plain_file.mend(new)
        else:
            shutil.copy(plain, new)
        if packed:
            new = _pack(new)
        _prove(plain_file, new)
        name = old.name.removesuffix(PACKED) + (PACKED if packed else '')
        if file.lost or getattr(plain_file, 'lost', ''):
            old.rename(old.with_name(old.name + KEPT))
            said.append(f'{old.name}{KEPT}: the old file is kept, since not all of it could be '
                        'read')
        new.replace(old.with_name(name))
        if old.name != name:
            old.unlink(missing_ok=True)
        sync_folder(old.parent)
    return [f'{name}: whole, {sum(c.count for c in plain_file.channels)} messages', *said]


@contextmanager
def _plain(file: StoredFile, folder: Path) -> Iterator[Path]:
    """Yield the path of a file that is not compressed as a whole."""
    if file.path.suffix != PACKED:
        yield file.path
        return
    plain = folder / file.path.stem
    unpack(file.path, plain)
    yield plain


def _pack(file: Path) -> Path:
    target = file.with_name(file.name + PACKED)
    with file.open('rb') as source, zstd.open(target, 'wb') as packed:
        shutil.copyfileobj(source, packed)
    with target.open('rb') as written:
        os.fsync(written.fileno())
    return target


def _prove(old: StoredFile, new: Path) -> None:
    """Compare every message of the old file with the new one."""
    made = open_file(new)
    before = [{c.topic for c in f.channels} for f in (old, made)]
    wrong: list[str] = []
    if before[0] == before[1] and made.ended and made.indexed:
        pairs = zip(old.messages(before[0], lambda _: None),
                    made.messages(before[0], wrong.append), strict=True)
        try:
            if all(a == b for a, b in pairs) and not wrong:
                return
        except ValueError:
            pass
    raise RecordingError(f'{old.path}: could not be mended; it is as it was')
