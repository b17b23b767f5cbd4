"""
MCAP files whose index was never written: the recorder was killed, or the power failed.

All that a reader misses in such a file is its summary, and that can be made from the records
before it. :func:`find_end` makes it; the rest lays it behind the file, on disk or only in the
eyes of a reader.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import io
import os
from pathlib import Path
import struct
import sys
from typing import BinaryIO
import zlib

from lz4.frame import decompress as lz4_decompress

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# A file beside those that are still written: room on a full disk.
RESERVE = 'reserve'
MAGIC = b'\x89MCAP0\r\n'
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX = 2, 3, 4, 5, 6, 7
_CHUNK_INDEX, _STATISTICS, _DATA_END = 8, 11, 15
_HEAD = struct.Struct('<BQ')  # of every record: what it is, and the bytes that follow
_FOOT = struct.Struct('<QQI')  # where the summary and its offsets are, 0 for nowhere; its CRC


def _record(kind: int, content: bytes) -> bytes:
    return _HEAD.pack(kind, len(content)) + content


# The shortest end of a file: no index, so that readers go through all of it.
END = _record(_DATA_END, struct.pack('<I', 0)) + _record(_FOOTER, _FOOT.pack(0, 0, 0)) + MAGIC


class NotMcapError(ValueError):
    """The file is no MCAP file, or has nothing in it."""


@dataclass
class _Chunk:
    """What the index says of a chunk; `indexes` has the offset of each channel's messages."""

    start: int
    length: int
    first_ns: int
    last_ns: int
    size: int
    crc: int
    compression: bytes
    compressed_size: int
    indexes: dict[int, int] = field(default_factory=dict)
    indexes_length: int = 0

    def index(self) -> bytes:
        offsets = b''.join(struct.pack('<HQ', *item) for item in self.indexes.items())
        return _record(_CHUNK_INDEX, struct.pack(
            '<QQQQ', self.first_ns, self.last_ns, self.start, self.length)
            + _counted(offsets) + struct.pack('<Q', self.indexes_length)
            + _counted(self.compression) + struct.pack('<QQ', self.compressed_size, self.size))


def is_finished(path: Path) -> bool:
    """Return whether an MCAP file ends as it should, with an index."""
    with path.open('rb') as file:
        length = _HEAD.size + _FOOT.size + len(MAGIC)
        if file.seek(0, os.SEEK_END) < len(MAGIC) + length:
            return False
        file.seek(-length, os.SEEK_END)
        end = file.read()
    return (end.endswith(MAGIC) and end.startswith(_HEAD.pack(_FOOTER, _FOOT.size))
            and _FOOT.unpack_from(end, _HEAD.size)[0] > 0)


def find_end(file: BinaryIO) -> tuple[int, bytes]:
    """
    Return where the last whole record of a file ends, and what would make the file whole there.

    Parameters
    ----------
    file : binary file
        An MCAP file that can seek.

    Returns
    -------
    end : int
        Bytes of the file that count.
    tail : bytes
        Index and footer that belong behind them.

    Raises
    ------
    NotMcapError
        The file does not start as MCAP files do.

    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise NotMcapError('expected an MCAP file, got '
                           + ('one of other content' if size else 'an empty one'))
    known: dict[tuple[int, int], bytes] = {}  # schemas and channels, by kind and id
    counts: dict[int, int] = {}
    times: list[int] = []
    chunks: list[_Chunk] = []
    end = len(MAGIC)
    while len(head := _at(file, end, _HEAD.size)) == _HEAD.size:
        kind, length = _HEAD.unpack(head)
        start, whole = end + _HEAD.size, end + _HEAD.size + length
        # Blocks that were never written are zero after a power cut.
        if kind in (0, _DATA_END, _FOOTER) or whole > size:
            break
        if kind == _CHUNK:
            try:
                chunks.append(_chunk_at(file, end, length))
            except struct.error:
                break
        elif kind == _MESSAGE_INDEX and chunks:
            channel, count = struct.unpack('<HI', _at(file, start, 6))
            if (_CHANNEL, channel) not in known:
                known.update(_declarations(_content(file, chunks[-1])))
            chunks[-1].indexes[channel] = end
            chunks[-1].indexes_length = whole - chunks[-1].start - chunks[-1].length
            counts[channel] = counts.get(channel, 0) + count // 16
        elif kind in (_SCHEMA, _CHANNEL):
            known.update(_declarations(_at(file, end, whole - end)))
        elif kind == _MESSAGE:
            channel, _, time_ns = struct.unpack('<HIQ', _at(file, start, 14))
            counts[channel] = counts.get(channel, 0) + 1
            times.append(time_ns)
            times = [min(times), max(times)]
        end = whole
    tail = b''
    if chunks:
        # The index of the last chunk may be missing, wholly or in part: it is made anew.
        last = chunks[-1]
        for channel, offset in last.indexes.items():
            counts[channel] -= struct.unpack('<I', _at(file, offset + 11, 4))[0] // 16
        last.indexes, end = {}, last.start + last.length
        try:
            content = _content(file, last)
        except ValueError:
            chunks.pop()
            end = last.start
        else:
            known.update(_declarations(content))
            for channel, entries in _messages(content).items():
                last.indexes[channel] = end + len(tail)
                tail += _record(_MESSAGE_INDEX, struct.pack('<H', channel) + _counted(
                    b''.join(struct.pack('<QQ', *entry) for entry in entries)))
                counts[channel] = counts.get(channel, 0) + len(entries)
            last.indexes_length = len(tail)
    times += [t for c in chunks for t in (c.first_ns, c.last_ns) if c.indexes]
    tail += _record(_DATA_END, struct.pack('<I', 0))
    summary = end + len(tail)
    tail += b''.join(known[key] for key in sorted(known))
    tail += b''.join(chunk.index() for chunk in chunks)
    tail += _record(_STATISTICS, struct.pack(
        '<QHIIIIQQ', sum(counts.values()), sum(kind == _SCHEMA for kind, _ in known),
        sum(kind == _CHANNEL for kind, _ in known), 0, 0, len(chunks),
        min(times, default=0), max(times, default=0))
        + _counted(b''.join(struct.pack('<HQ', *item) for item in sorted(counts.items()))))
    return end, tail + _record(_FOOTER, _FOOT.pack(summary, 0, 0)) + MAGIC


def finish(path: Path) -> None:
    """
    Write the missing end of an MCAP file, over what was written of it in part.

    Raises
    ------
    NotMcapError
        The file is no MCAP file.

    """
    with path.open('r+b') as file:
        end, tail = find_end(file)
        file.truncate(end)
        file.seek(end)
        file.write(tail)
        file.flush()
        os.fsync(file.fileno())


class FinishedPath:
    """
    The path of an unfinished file, whose readers see the end that it should have.

    Has what readers of rosbags ask of a path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open('rb') as file:
            self._end, self._tail = find_end(file)

    def __str__(self) -> str:
        return str(self._path)

    def open(self, mode: str) -> BinaryIO:  # noqa: A003 (rosbags' name)
        """Open the file for reading."""
        assert mode == 'rb'
        return io.BufferedReader(_Spliced(self._path, self._end, self._tail))


class _Spliced(io.RawIOBase):
    """The start of a file with other bytes behind it."""

    def __init__(self, path: Path, end: int, tail: bytes) -> None:
        self._file = path.open('rb')
        self._end, self._tail = end, tail
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = (0, self._at, self._end + len(self._tail))[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        wanted = len(buffer)
        if self._at < self._end:
            self._file.seek(self._at)
            data = self._file.read(min(wanted, self._end - self._at))
        else:
            data = self._tail[self._at - self._end:self._at - self._end + wanted]
        buffer[:len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _counted(data: bytes) -> bytes:
    return struct.pack('<I', len(data)) + data


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _chunk_at(file: BinaryIO, offset: int, length: int) -> _Chunk:
    head = _at(file, offset + _HEAD.size, 128)
    first_ns, last_ns, size, crc, words = struct.unpack_from('<QQQII', head)
    compression = head[32:32 + words]
    compressed, = struct.unpack_from('<Q', head, 32 + words)
    return _Chunk(offset, _HEAD.size + length, first_ns, last_ns, size, crc, compression,
                  compressed)


def _content(file: BinaryIO, chunk: _Chunk) -> bytes:
    """Return a chunk's records; ValueError when they are damaged."""
    data = _at(file, chunk.start + _HEAD.size + 40 + len(chunk.compression),
               chunk.compressed_size)
    try:
        if chunk.compression == b'zstd':
            data = zstd.decompress(data)
        elif chunk.compression == b'lz4':
            data = lz4_decompress(data)
    except (zstd.ZstdError, RuntimeError) as error:
        raise ValueError(str(error)) from error
    if len(data) != chunk.size or chunk.crc and zlib.crc32(data) != chunk.crc:
        raise ValueError('a damaged chunk')
    return data


def _declarations(content: bytes) -> dict[tuple[int, int], bytes]:
    """Return the schemas and channels among records, whole, by kind and id."""
    found = {}
    offset = 0
    while offset < len(content):
        kind, length = _HEAD.unpack_from(content, offset)
        if kind in (_SCHEMA, _CHANNEL):
            number, = struct.unpack_from('<H', content, offset + _HEAD.size)
            found[kind, number] = content[offset:offset + _HEAD.size + length]
        offset += _HEAD.size + length
    return found


def _messages(content: bytes) -> dict[int, list[tuple[int, int]]]:
    """Return time and offset of the messages among records, by channel."""
    found: dict[int, list[tuple[int, int]]] = {}
    offset = 0
    while offset < len(content):
        kind, length = _HEAD.unpack_from(content, offset)
        if kind == _MESSAGE:
            channel, _, time_ns = struct.unpack_from('<HIQ', content, offset + _HEAD.size)
            found.setdefault(channel, []).append((time_ns, offset))
        offset += _HEAD.size + length
    return found
