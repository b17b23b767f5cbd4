"""The files of a recording, of whatever kind, compressed or not, in the order of their times."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
import re
import shutil
import sqlite3
import sys
import tempfile
from typing import Any, Protocol

from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

from .channel import Channel
from .mcap import McapFile
from ..errors import RecordingError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STORAGES = {'.mcap': 'mcap', '.db3': 'sqlite3'}
PACKED = '.zstd'  # behind the name of a file that is compressed as a whole
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'  # of a compressed message: those of CDR begin with a zero
_ROS1 = b'#ROSBAG V'


class StoredFile(Protocol):
    """A file of a recording."""

    path: Path
    ended: bool
    indexed: bool
    channels: list[Channel]
    start_ns: int
    end_ns: int
    lost: str

    def messages(self, topics: Collection[str], damaged: Callable[[str], None]
                 ) -> Iterator[tuple[str, int, bytes]]:
        """Yield topic, time of recording and data of the messages of some topics."""


class SqliteFile:
    """A database of rosbag2; attributes as those of :class:`.mcap.McapFile`."""

    ended = indexed = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = ''
        with self._open() as reader:
            connections: list[Any] = reader.connections
            self.channels = [Channel(c.id, c.topic, c.msgtype, c.msgcount,
                                     c.msgdef.data if c.msgdef.format.name == 'MSG' else '',
                                     c.digest, tuple(c.ext.offered_qos_profiles))
                             for c in connections if c.ext.serialization_format == 'cdr']
            there = reader.metadata.message_count
            self.start_ns = reader.metadata.start_time if there else 0
            self.end_ns = reader.metadata.end_time - 1 if there else 0

    @contextmanager
    def _open(self) -> Iterator[Sqlite3Reader]:
        """Open the database; in a copy where SQLite left work that is still to be done."""
        with tempfile.TemporaryDirectory(prefix='instseg_') as folder:
            path = self.path
            journals = [f for end in ('-wal', '-journal')
                        if (f := path.with_name(path.name + end)).exists() and f.stat().st_size]
            if journals:
                for file in (path, *journals):
                    shutil.copy(file, folder)
                path = Path(folder, path.name)
                with suppress(sqlite3.Error):
                    database = sqlite3.connect(path)
                    database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
                    database.execute('PRAGMA journal_mode=DELETE')
                    database.close()
            reader = Sqlite3Reader(path)
            try:
                reader.open()
            except Exception as error:  # a damaged database can fail anywhere
                raise RecordingError(
                    f'{self.path}: expected a rosbag2 database, got another file, or a damaged '
                    f'one ({words(error).removesuffix(".")}); `sqlite3 {self.path.name} .recover` '
                    'may save a part') from error
            try:
                yield reader
            finally:
                reader.close()

    def messages(self, topics: Collection[str], damaged: Callable[[str], None]
                 ) -> Iterator[tuple[str, int, bytes]]:
        """Yield topic, time of recording and data of the messages of some topics."""
        with self._open() as reader:
            wanted = [c for c in reader.connections if c.topic in topics]
            found = reader.messages(wanted) if wanted else iter(())
            while True:
                try:
                    connection, time_ns, data = next(found)
                except StopIteration:
                    return
                except Exception as error:  # as above
                    damaged(f'{self.path}: damaged ({words(error)}); the rest is left out')
                    return
                yield connection.topic, time_ns, data


class PackedFile:
    """A file that is compressed as a whole: it is unpacked while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = ''
        with self._unpacked() as file:
            self.ended, self.indexed = file.ended and not self.lost, file.indexed
            self.channels, self.start_ns, self.end_ns = file.channels, file.start_ns, file.end_ns
            self.lost = self.lost or file.lost

    @contextmanager
    def _unpacked(self) -> Iterator[StoredFile]:
        with tempfile.TemporaryDirectory(prefix='instseg_') as folder:
            unpacked = Path(folder, self.path.stem)
            self.lost = unpack(self.path, unpacked)
            try:
                yield open_file(unpacked)
            except RecordingError as error:
                if self.lost:
                    raise RecordingError(f'{self.path}: {self.lost}: nothing of it can be read'
                                         ) from error
                raise RecordingError(str(error).replace(str(unpacked), str(self.path))) from error

    def messages(self, topics: Collection[str], damaged: Callable[[str], None]
                 ) -> Iterator[tuple[str, int, bytes]]:
        """Yield topic, time of recording and data of the messages of some topics."""
        with self._unpacked() as file:
            unpacked = str(file.path)
            yield from file.messages(topics, lambda said: damaged(
                said.replace(unpacked, str(self.path))))


def find_files(path: Path) -> list[Path]:
    """
    Return the files of a recording, numbers in their names in the order of counting.

    Raises
    ------
    RecordingError
        There are none.

    """
    if not path.exists():
        raise RecordingError(f'{path}: expected a recording (a rosbag2 folder), got nothing; '
                             'give the folder that has the .mcap or .db3 files')
    files = [path] if path.is_file() else [f for f in path.iterdir() if f.is_file()]
    for file in files:
        if file.suffix == '.bag' or path.is_file() and _starts(file, _ROS1):
            raise RecordingError(
                f'{file}: expected a recording of ROS 2, got one of ROS 1; convert it: '
                f'pip install rosbags; rosbags-convert --src {file} --dst {file.with_suffix("")}')
    found = [f for f in files if _kind(f)]
    if not found:
        raise RecordingError(f'{path}: expected a rosbag2 folder or an .mcap or .db3 file, got '
                             + ('another file' if path.is_file() else 'a folder without one'))
    # Both are there when a recorder was killed while it compressed a file, and where `ros2 bag
    # play` has unpacked one.
    found = [f for f in found if f.suffix != PACKED or f.with_suffix('') not in found]
    return sorted(found, key=lambda f: [int(part) if part.isdecimal() else part for part in
                                        re.split(r'(\d+)', f.name)])


def open_file(path: Path) -> StoredFile:
    """
    Open a file of a recording.

    Raises
    ------
    RecordingError
        It cannot be read at all.

    """
    if path.stat().st_size == 0:
        raise RecordingError(f'{path}: expected a recording, got an empty file')
    if path.suffix == PACKED:
        return PackedFile(path)
    file: StoredFile = McapFile(path) if path.suffix == '.mcap' else SqliteFile(path)
    if not file.ended and (twin := path.with_name(path.name + PACKED)).exists():
        with suppress(RecordingError):
            packed = PackedFile(twin)
            return packed if packed.ended else file
    return file


def unpack(path: Path, target: Path) -> str:
    """Decompress a file as far as it goes; returns what is lost, '' for nothing."""
    source, begun = zstd.ZstdDecompressor(), False
    try:
        with path.open('rb') as packed, target.open('wb') as new:
            while data := packed.read(1 << 16):
                while data:
                    new.write(source.decompress(data))
                    data, begun = source.unused_data, True
                    if source.eof:
                        source, begun = zstd.ZstdDecompressor(), False
    except zstd.ZstdError:
        begun = True
    except OSError as error:
        raise RecordingError(f'{path}: cannot be unpacked to {target.parent}: {error.strerror}; '
                             'TMPDIR=FOLDER chooses another place') from error
    return 'its compressed data are damaged or cut off' if begun else ''


def words(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return ' '.join(str(error).split()) or repr(error)


def _kind(file: Path) -> str | None:
    """Return how a file stores messages, None when it is no file of a recording."""
    return STORAGES.get(file.with_suffix('').suffix if file.suffix == PACKED else file.suffix)


def _starts(file: Path, magic: bytes) -> bool:
    with file.open('rb') as stream:
        return stream.read(len(magic)) == magic
