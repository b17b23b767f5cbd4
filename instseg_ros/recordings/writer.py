"""Writing of rosbag2 recordings (MCAP, zstd) that survive the end of their program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
import errno
from functools import partial
from io import BytesIO
import os
from pathlib import Path
import shutil
import sys
import tempfile
from typing import Any

from rosbags.interfaces import (Qos, QosDurability, QosHistory, QosLiveliness, QosReliability,
                                QosTime)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter, PendingChunk

from .bag import Bag, RESERVE, Topic
from .mcap import END, McapFile
from .metadata import describe, FileContent, sync_folder, write_metadata
from ..errors import RecordingError
from ..messages import typestore

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_RESERVE_BYTES = 1 << 20
_NEVER = QosTime(0, 0)


def offered_qos(latched: bool = False, depth: int = 30) -> Qos:
    """Return the quality of service that this package's nodes offer: reliable, keep last."""
    return Qos(QosHistory.KEEP_LAST, 1 if latched else depth, QosReliability.RELIABLE,
               QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
               _NEVER, _NEVER, QosLiveliness.AUTOMATIC, _NEVER, False)


class BagWriter:
    """
    Writes a rosbag2 folder: one MCAP file with zstd chunks, and metadata.yaml.

    After each checkpoint the file is a whole one, and metadata.yaml is renewed with each sync:
    whenever the program ends, readers open what there is.

    Parameters
    ----------
    path : Path
        The folder; it must not exist.
    durable : bool
        Keep 1 MiB of the disk in reserve, so that the recording can be ended well when the disk
        is full.

    Raises
    ------
    RecordingError
        The folder exists or cannot be made.

    """

    def __init__(self, path: Path, durable: bool = False) -> None:
        if path.exists():
            raise RecordingError(f'{path}: exists already; choose another name, or remove it')
        self.path = path
        self._durable = durable
        self._types = typestore()
        self._connections: dict[str, Any] = {}
        self._reached: Writer | None = None  # what metadata.yaml can say since the last checkpoint
        self._writer = _Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        try:
            self._writer.open()
            if durable:
                with (path / RESERVE).open('wb') as file:
                    os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)
                self._file.flush()
                sync_folder(path)
        except OSError as error:
            self._writer.abort()
            shutil.rmtree(path, ignore_errors=True)
            raise RecordingError(f'{path}: cannot be written: {error.strerror}') from error

    @property
    def size(self) -> int:
        """Bytes written so far."""
        if self._writer.storage is None:
            return sum(f.stat().st_size for f in self.path.iterdir())
        return self._file.tell()

    @property
    def _storage(self) -> _McapWriter:
        storage = self._writer.storage
        assert isinstance(storage, _McapWriter)
        return storage

    @property
    def _file(self) -> _WholeWrites:
        file: Any = self._storage.bio
        return file

    def note(self, key: str, value: str) -> None:
        """Keep a text in metadata.yaml."""
        self._writer.set_custom_data(key, value)

    def add_topic(self, name: str, msgtype: str, qos: tuple[Qos, ...] | None = None) -> None:
        """
        Declare a topic, before its first message.

        Parameters
        ----------
        name, msgtype : str
            Such as ``/camera/label_info`` and ``vision_msgs/msg/LabelInfo``.
        qos : tuple of Qos
            Offered quality of service; :func:`offered_qos` where absent.

        """
        self._connections[name] = self._writer.add_connection(
            name, msgtype, typestore=self._types,
            offered_qos_profiles=(offered_qos(),) if qos is None else qos)

    def copy_topic(self, bag: Bag, name: str) -> bool:
        """Declare a topic as another recording has it; False when its type is not known."""
        topic = bag.topics[name]
        definition = bag.definition(name)
        if definition and topic.type_hash:
            self._connections[name] = self._writer.add_connection(
                name, topic.msgtype, msgdef=definition, rihs01=topic.type_hash,
                offered_qos_profiles=topic.qos)
        elif topic.msgtype in self._types.types:
            self.add_topic(name, topic.msgtype, topic.qos)
        else:
            return False
        return True

    def write(self, topic: str, time_ns: int, message: Any) -> None:
        """
        Write a message.

        Parameters
        ----------
        topic : str
            A declared topic.
        time_ns : int
            Time of recording in nanoseconds since 1970.
        message : object or bytes
            A message of rosbags' classes, or one that is serialized already.

        Raises
        ------
        OSError
            The disk is full or went away. What was written before stays readable.

        """
        connection = self._connections[topic]
        if not isinstance(message, (bytes, bytearray, memoryview)):
            message = self._types.serialize_cdr(message, connection.msgtype)
        self._writer.write(connection, time_ns, message)
        if not self._storage.chunk.msgs:
            # The chunk is complete: memory holds one, however long the recording.
            self._flush()

    def checkpoint(self) -> None:
        """Give everything written so far to the system: it survives the end of this program."""
        if self._storage.chunk.msgs:
            self._storage.close_chunk()
        self._flush()
        reached = copy(self._writer)
        reached.counts, reached.connections = dict(reached.counts), list(reached.connections)
        self._reached = reached

    def _flush(self) -> None:
        self._file.flush(self._storage.end() if self._durable else END)

    def sync(self) -> None:
        """Wait until checkpoints are on the disk; may be called while another thread writes."""
        reached, self._reached = self._reached, None
        self._file.sync()
        if reached:
            # After the file: it never promises what a power cut could take.
            write_metadata(self.path, [_content_of(reached, self._storage.path)],
                           reached.custom_data)

    def close(self) -> None:
        """
        End the recording; it is whole from now on.

        Raises
        ------
        OSError, RecordingError
            The disk is so full that not even the reserve was enough, or it went away.

        """
        (self.path / RESERVE).unlink(missing_ok=True)
        try:
            self._writer.close()
        except OSError:
            if not self._durable:
                raise
            # Even the last second is too much: what reached the disk before gets its end.
            file = self._storage.path
            self.abort()
            # In place, since there is no room for another file.
            McapFile(file).finish()
            with Bag(self.path) as bag:
                describe(self.path, bag)
        if self._durable:
            sync_folder(self.path)

    def abort(self) -> None:
        """Let the file go as it is."""
        self._writer.abort()


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """
    Yield a path to write to that becomes ``path`` when all went well, and vanishes otherwise.

    Raises
    ------
    RecordingError
        There is something at ``path`` already, or it cannot be written.

    """
    if path.exists():
        raise RecordingError(f'{path}: exists already; choose another name, or remove it')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f'.{path.name}.', suffix='.partial',
                                       dir=path.parent))
    except OSError as error:
        raise RecordingError(f'{path}: cannot be written: {error.strerror}') from error
    try:
        yield folder / path.name
        if (folder / path.name).exists():
            (folder / path.name).rename(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RecordingError(f'{path}: the disk is full; nothing was kept') from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _WholeWrites:
    """
    A file that grows by whole checkpoints: what does not fit leaves no trace.

    Stands in for the file of rosbags' writer, which would lose track at a full disk. Behind each
    checkpoint stands an end, which the next one overwrites.
    """

    def __init__(self, path: Path, start: bytes) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
        self._size = self._length = 0  # without and with the end
        self._waiting = bytearray(start)

    def tell(self) -> int:
        return self._size + len(self._waiting)

    def write(self, data: bytes | memoryview) -> int:
        self._waiting += data
        return len(data)

    def flush(self, end: bytes = END) -> None:
        """Write what waits; OSError leaves the file as it was."""
        try:
            self._put(bytes(self._waiting) + end)
        except OSError:
            os.ftruncate(self._fd, self._size)
            self._length = self._size
            if self._size:
                self._put(END)
            raise
        self._size += len(self._waiting)
        self._waiting.clear()

    def _put(self, data: bytes) -> None:
        """Write behind what is there; in one go, unless the disk is full."""
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, memoryview(data)[done:], self._size + done)
        if self._size + done < self._length:
            # The last end was longer. Not done for nothing: it would put a length on the disk,
            # with the next thing that is synced, before what belongs there.
            os.ftruncate(self._fd, self._size + done)
        self._length = self._size + done

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        self.flush(b'')  # the writer has written an end with an index
        self.sync()
        self.discard()

    def discard(self) -> None:
        """Close without what waits."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Collected:
    """Stands in for a file of some length, and keeps what is written behind it."""

    def __init__(self, length: int) -> None:
        self._length = length
        self.data = bytearray()

    def tell(self) -> int:
        return self._length + len(self.data)

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        pass


class _McapWriter(McapWriter):
    """rosbags' writer of MCAP files on a file of our own."""

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        super().__init__(path, compression)
        self.bio.close()
        # As rosbag2 names files: its tools find no others.
        self.path = self.path.rename(path / f'{path.name}_0.mcap')
        file: Any = _WholeWrites(self.path, self.path.read_bytes())
        self.bio = file
        # JPEGs hardly shrink: level 3, the default, takes three times as long for 8 % of the size.
        self.compressor = partial(zstd.compress, level=1)
        self._indexed = self._index_size = 0

    def end(self) -> bytes:
        """
        Return what would make the file whole, between two chunks.

        Mostly with an index. That grows with the file; so it is left out until as much was
        recorded since the last one, and never more than doubles what is written.
        """
        here = self.bio.tell()
        if here - self._indexed < self._index_size:
            return END
        collected = _Collected(here)
        twin: Any = copy(self)
        # What has no message yet stays out.
        twin.bio, twin.chunk = collected, PendingChunk(0, 0, BytesIO(), {})
        McapWriter.close(twin, 9, '')
        self._indexed, self._index_size = here, len(collected.data)
        return bytes(collected.data)

    def abort(self) -> None:
        file: Any = self.bio
        file.discard()


class _Writer(Writer):
    STORAGE_PLUGINS = {**Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: _McapWriter}


def _content_of(writer: Writer, file: Path) -> FileContent:
    """Return what metadata.yaml says of the file of a writer."""
    connections: list[Any] = writer.connections
    return FileContent(
        file.name, writer.min_timestamp if any(writer.counts.values()) else 0,
        writer.max_timestamp,
        [Topic(c.topic, c.msgtype, writer.counts[c.id], c.digest,
               tuple(c.ext.offered_qos_profiles)) for c in connections])
