"""
MCAP files, however they ended: killed recorders and power failures leave them without an index.

Read by the index where there is one, record by record elsewhere; what is damaged is left out. The
libraries for MCAP and rosbags refuse such files whole. The format: https://mcap.dev/spec.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
import os
from pathlib import Path
import struct
import sys
from typing import BinaryIO
import zlib

from lz4.frame import LZ4FrameDecompressor
from rosbags.rosbag2.metadata import parse_qos

from .channel import Channel
from ..errors import RecordingError
from ..messages.stamps import seconds

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b'\x89MCAP0\r\n'
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX = 2, 3, 4, 5, 6, 7
_CHUNK_INDEX, _STATISTICS, _DATA_END = 8, 11, 15
_HEAD = struct.Struct('<BQ')  # of every record: what it is, and the bytes that follow
_FOOT = struct.Struct('<QQI')  # where the summary and its offsets are, 0 for nowhere; its CRC
_MESSAGE_HEAD = struct.Struct('<HIQQ')  # channel, sequence, times of recording and publishing
_LARGEST_CHUNK = 1 << 31  # a larger one is damage


def _record(kind: int, content: bytes) -> bytes:
    return _HEAD.pack(kind, len(content)) + content


# The shortest end of a file: no index, so that readers go through all of it.
END = _record(_DATA_END, struct.pack('<I', 0)) + _record(_FOOTER, _FOOT.pack(0, 0, 0)) + MAGIC


@dataclass
class _Chunk:
    """A chunk record; ``counts`` and ``indexes`` have its messages and where their index is."""

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
    counts: dict[int, int] = field(default_factory=dict)

    def index(self) -> bytes:
        offsets = b''.join(struct.pack('<HQ', *item) for item in self.indexes.items())
        return _record(_CHUNK_INDEX, struct.pack(
            '<QQQQ', self.first_ns, self.last_ns, self.start, self.length)
            + _counted(offsets) + struct.pack('<Q', self.indexes_length)
            + _counted(self.compression) + struct.pack('<QQ', self.compressed_size, self.size))


class McapFile:
    """
    An MCAP file.

    Parameters
    ----------
    path : Path
        Where it is; nothing there is changed.

    Attributes
    ----------
    ended, indexed : bool
        Whether it has the end of an MCAP file, and an index in it.
    channels : list of Channel
        What is in it.
    start_ns, end_ns : int
        Times of the first and the last message; 0 without messages.
    lost : str
        What of it cannot be read, '' while all can.

    Raises
    ------
    RecordingError
        The file is no MCAP file.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = ''
        self._declared: dict[tuple[int, int], bytes] = {}  # schemas and channels, by kind and id
        self._chunks: list[_Chunk] = []
        self._counts: dict[int, int] = {}
        self._times: list[int] = []
        self._loose = False  # messages outside of chunks
        self._end = len(MAGIC)  # of the last whole record
        self._rest = b''  # whole records of a chunk that was cut off
        with path.open('rb') as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise RecordingError(f'{path}: expected an MCAP file, got '
                                     + ('one of other content' if path.stat().st_size else
                                        'an empty one'))
            self.ended, summary = _foot(file)
            self.indexed = bool(summary)
            try:
                if not summary or not self._read_summary(file, summary):
                    self.indexed = False
            except (struct.error, IndexError):
                self.indexed = False
            if not self.indexed:
                self._scan(file)
        self.channels = [c for c in (_channel(self._declared, number, self._counts.get(number, 0))
                                     for kind, number in sorted(self._declared)
                                     if kind == _CHANNEL) if c]
        self.start_ns, self.end_ns = min(self._times, default=0), max(self._times, default=0)

    def _read_summary(self, file: BinaryIO, start: int) -> bool:
        """Take over the index; False when it does not tell all."""
        self._end = start
        file.seek(start)
        content = file.read()
        told = False
        for kind, offset, length in _walk(content):
            body = content[offset:offset + length]
            if kind in (_SCHEMA, _CHANNEL):
                self._declare(kind, body)
            elif kind == _CHUNK_INDEX:
                first, last, at, size, map_length = struct.unpack_from('<QQQQI', body)
                offsets = [struct.unpack_from('<HQ', body, 36 + k)
                           for k in range(0, map_length, 10)]
                words, = struct.unpack_from('<I', body, 44 + map_length)
                compression = body[48 + map_length:48 + map_length + words]
                self._chunks.append(_Chunk(at, size, first, last, 0, 0, compression, 0,
                                           dict(offsets)))
            elif kind == _STATISTICS:
                told = True
                total, _, _, _, _, chunks, first, last, map_length = struct.unpack_from(
                    '<QHIIIIQQI', body)
                self._counts = dict(struct.unpack_from('<HQ', body, 46 + k)
                                    for k in range(0, map_length, 10))
                self._times = [first, last] if total else []
                self._loose = bool(total) and not chunks
        if not told or self._counts and not all(
                (_CHANNEL, number) in self._declared for number, n in self._counts.items() if n):
            self._declared, self._chunks, self._counts, self._times = {}, [], {}, []
            return False
        self._chunks.sort(key=lambda c: c.start)
        return True

    def _declare(self, kind: int, body: bytes) -> None:
        self._declared[kind, struct.unpack_from('<H', body)[0]] = _record(kind, body)

    def _scan(self, file: BinaryIO) -> None:
        """Go through all records up to the last whole one."""
        size = file.seek(0, os.SEEK_END)
        end = len(MAGIC)
        while len(head := _at(file, end, _HEAD.size)) == _HEAD.size:
            kind, length = _HEAD.unpack(head)
            start, whole = end + _HEAD.size, end + _HEAD.size + length
            # Blocks that were never written are zero after a power cut.
            if kind in (0, _DATA_END, _FOOTER):
                break
            if kind > _DATA_END:
                self.lost = f'damaged after {end} of its {size} bytes'
                break
            if whole > size:
                if kind == _CHUNK:
                    self._rescue(file, end, length)
                break
            if kind == _CHUNK:
                try:
                    self._chunks.append(_chunk_at(file, end, length))
                except struct.error:
                    break
            elif kind == _MESSAGE_INDEX and self._chunks:
                channel, count = struct.unpack('<HI', _at(file, start, 6))
                chunk = self._chunks[-1]
                if (_CHANNEL, channel) not in self._declared:
                    self._declare_of(file, chunk)
                chunk.indexes[channel] = end
                chunk.counts[channel] = count // 16
                chunk.indexes_length = whole - chunk.start - chunk.length
            elif kind in (_SCHEMA, _CHANNEL):
                self._declare(kind, _at(file, start, length))
            elif kind == _MESSAGE and length >= _MESSAGE_HEAD.size:
                channel, _, time_ns, _ = _MESSAGE_HEAD.unpack(_at(file, start,
                                                                  _MESSAGE_HEAD.size))
                self._count(channel, time_ns)
                self._loose = True
            end = whole
        self._end = end
        for chunk in self._chunks:
            # The index of the last chunk may be missing, wholly or in part.
            if chunk is self._chunks[-1] or not chunk.indexes:
                self._declare_of(file, chunk)
                self._index(file, chunk)
            for channel, count in chunk.counts.items():
                self._counts[channel] = self._counts.get(channel, 0) + count
            if any(chunk.counts.values()):
                self._times += [chunk.first_ns, chunk.last_ns]
        if self._times:
            self._times = [min(self._times), max(self._times)]

    def _declare_of(self, file: BinaryIO, chunk: _Chunk) -> None:
        """Take over the schemas and channels that a chunk declares."""
        with suppress(ValueError):
            content = _content(file, chunk)
            for kind, offset, length in _walk(content):
                if kind in (_SCHEMA, _CHANNEL):
                    self._declare(kind, content[offset:offset + length])

    def _index(self, file: BinaryIO, chunk: _Chunk) -> None:
        """Count the messages of a chunk anew."""
        chunk.counts = {}
        with suppress(ValueError):
            content = _content(file, chunk)
            for kind, offset, _ in _walk(content):
                if kind == _MESSAGE:
                    channel, = struct.unpack_from('<H', content, offset)
                    chunk.counts[channel] = chunk.counts.get(channel, 0) + 1

    def _count(self, channel: int, time_ns: int) -> None:
        self._counts[channel] = self._counts.get(channel, 0) + 1
        self._times = [min([time_ns, *self._times]), max([time_ns, *self._times])]

    def _rescue(self, file: BinaryIO, start: int, length: int) -> None:
        """Keep the whole records of a chunk that was cut off."""
        with suppress(struct.error):
            chunk = _chunk_at(file, start, length)
            content = _decompress(_data(file, chunk), chunk.compression, partly=True)
            end = 0
            for kind, offset, size in _walk(content):
                if kind in (_SCHEMA, _CHANNEL):
                    self._declare(kind, content[offset:offset + size])
                elif kind == _MESSAGE:
                    channel, _, time_ns, _ = _MESSAGE_HEAD.unpack_from(content, offset)
                    self._count(channel, time_ns)
                end = offset + size
            self._rest = content[:end]

    def messages(self, topics: Collection[str], damaged: Callable[[str], None]
                 ) -> Iterator[tuple[str, int, bytes]]:
        """
        Yield topic, time of recording and data of the messages of some topics.

        Parameters
        ----------
        topics : collection of str
            Names.
        damaged : callable
            Called with a sentence for each part of the file that cannot be read.

        """
        names = {c.number: c.topic for c in self.channels if c.topic in topics}
        with self.path.open('rb') as file:
            for content in self._contents(file, names, damaged):
                found = []
                for kind, offset, length in _walk(content):
                    if kind == _MESSAGE and length >= _MESSAGE_HEAD.size:
                        channel, _, time_ns, _ = _MESSAGE_HEAD.unpack_from(content, offset)
                        if channel in names:
                            found.append((time_ns, names[channel], content[
                                offset + _MESSAGE_HEAD.size:offset + length]))
                found.sort(key=lambda message: message[0])
                for time_ns, name, data in found:
                    yield name, time_ns, data

    def _contents(self, file: BinaryIO, names: Collection[int], damaged: Callable[[str], None]
                  ) -> Iterator[bytes]:
        """Yield records: a chunk of them at once, or a single one outside of chunks."""
        def chunk_of(start: int, length: int, known: _Chunk | None = None) -> Iterator[bytes]:
            try:
                chunk = _chunk_at(file, start, length)
                yield _content(file, chunk)
            except (ValueError, struct.error) as error:
                words = str(error) if isinstance(error, ValueError) else 'a damaged chunk'
                damaged(f'{self.path}: {words}: ' + (
                    f'what was recorded from {seconds(known.first_ns)} to '
                    f'{seconds(known.last_ns)} is left out' if known else 'left out'))

        if self._loose:
            end = len(MAGIC)
            while end < self._end:
                kind, length = _HEAD.unpack(_at(file, end, _HEAD.size))
                if not 0 < kind <= _DATA_END or end + _HEAD.size + length > self._end:
                    damaged(f'{self.path}: damaged after {end} of its bytes; the rest is left out')
                    break
                if kind == _MESSAGE:
                    yield _at(file, end, _HEAD.size + length)
                elif kind == _CHUNK:
                    yield from chunk_of(end, length)
                end += _HEAD.size + length
        else:
            for known in self._chunks:
                if not known.indexes or any(number in names for number in known.indexes):
                    yield from chunk_of(known.start, known.length - _HEAD.size, known)
        if self._rest:
            yield self._rest

    def mend(self, target: Path) -> None:
        """
        Write the file to another place, with an index, and whole.

        Parameters
        ----------
        target : Path
            The new file. The old one is not touched.

        """
        with self.path.open('rb') as file, target.open('wb') as new:
            length, end = self._ending(file)
            _copy(file, new, length)
            new.write(end)
            new.flush()
            os.fsync(new.fileno())

    def finish(self) -> None:
        """Write the end over what is behind the last whole record: where no room is for two."""
        with self.path.open('r+b') as file:
            length, end = self._ending(file)
            file.truncate(length)
            file.seek(length)
            file.write(end)
            file.flush()
            os.fsync(file.fileno())

    def _ending(self, file: BinaryIO) -> tuple[int, bytes]:
        """Return how many bytes of the file count, and what belongs behind them."""
        tail, chunks, start = b'', list(self._chunks), self._end
        if self._loose:
            tail = self._rest
        elif chunks:
            # The index of the last chunk may be missing, wholly or in part: it is made anew.
            start = chunks[-1].start + chunks[-1].length
            try:
                tail = self._indexed_chunk(_content(file, chunks[-1]), chunks[-1], start)
            except ValueError:
                start = chunks.pop().start
        if self._rest and not self._loose:
            chunk, record = _new_chunk(self._rest, start + len(tail))
            tail += record
            tail += self._indexed_chunk(self._rest, chunk, start + len(tail))
            chunks.append(chunk)
        return start, tail + self._tail(chunks, start + len(tail))

    @staticmethod
    def _indexed_chunk(content: bytes, chunk: _Chunk, at: int) -> bytes:
        """Return the message indexes of a chunk, which begin ``at`` some place of the file."""
        entries: dict[int, list[tuple[int, int]]] = {}
        for kind, offset, _ in _walk(content):
            if kind == _MESSAGE:
                channel, _, time_ns, _ = _MESSAGE_HEAD.unpack_from(content, offset)
                entries.setdefault(channel, []).append((time_ns, offset - _HEAD.size))
        chunk.indexes, tail = {}, b''
        for channel, found in entries.items():
            chunk.indexes[channel] = at + len(tail)
            tail += _record(_MESSAGE_INDEX, struct.pack('<H', channel) + _counted(
                b''.join(struct.pack('<QQ', *entry) for entry in found)))
        chunk.indexes_length = len(tail)
        return tail

    def _tail(self, chunks: list[_Chunk], at: int) -> bytes:
        """Return the end of a file whose data end ``at`` some place: index and footer."""
        tail = _record(_DATA_END, struct.pack('<I', 0))
        summary = at + len(tail)
        tail += b''.join(self._declared[key] for key in sorted(self._declared))
        tail += b''.join(chunk.index() for chunk in chunks)
        tail += _record(_STATISTICS, struct.pack(
            '<QHIIIIQQ', sum(self._counts.values()),
            sum(kind == _SCHEMA for kind, _ in self._declared),
            sum(kind == _CHANNEL for kind, _ in self._declared), 0, 0, len(chunks),
            self.start_ns, self.end_ns) + _counted(b''.join(
                struct.pack('<HQ', *item) for item in sorted(self._counts.items()))))
        return tail + _record(_FOOTER, _FOOT.pack(summary, 0, 0)) + MAGIC


def _foot(file: BinaryIO) -> tuple[bool, int]:
    """Return whether a file ends as it should, and where its index is (0: nowhere)."""
    length = _HEAD.size + _FOOT.size + len(MAGIC)
    size = file.seek(0, os.SEEK_END)
    if size < len(MAGIC) + length:
        return False, 0
    end = _at(file, size - length, length)
    if not end.endswith(MAGIC) or not end.startswith(_HEAD.pack(_FOOTER, _FOOT.size)):
        return False, 0
    summary = int(_FOOT.unpack_from(end, _HEAD.size)[0])
    return True, summary if summary < size else 0


def _walk(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield kind, place and length of the content of each whole record."""
    offset = 0
    while offset + _HEAD.size <= len(content):
        kind, length = _HEAD.unpack_from(content, offset)
        offset += _HEAD.size
        if kind == 0 or offset + length > len(content):
            return
        yield kind, offset, length
        offset += length


def _text(content: bytes, offset: int) -> tuple[bytes, int]:
    """Return a counted text, and where it ends."""
    length, = struct.unpack_from('<I', content, offset)
    return content[offset + 4:offset + 4 + length], offset + 4 + length


def _channel(declared: dict[tuple[int, int], bytes], number: int, count: int) -> Channel | None:
    """Return a channel as this package knows it; None when its messages are not CDR."""
    content = declared[_CHANNEL, number][_HEAD.size:]
    schema = declared.get((_SCHEMA, struct.unpack_from('<H', content, 2)[0]), b'')[_HEAD.size:]
    topic, offset = _text(content, 4)
    encoding, offset = _text(content, offset)
    if not schema or encoding != b'cdr':
        return None
    name, at = _text(schema, 2)
    form, at = _text(schema, at)
    definition = _text(schema, at)[0].decode(errors='replace')
    metadata, _ = _text(content, offset)
    qos, at = '', 0
    while at < len(metadata):
        key, at = _text(metadata, at)
        value, at = _text(metadata, at)
        if key == b'offered_qos_profiles':
            qos = value.decode()
    return Channel(number, topic.decode(), name.decode(), count,
                   definition if form == b'ros2msg' else '', '', tuple(parse_qos(qos)))


def _counted(data: bytes) -> bytes:
    return struct.pack('<I', len(data)) + data


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _chunk_at(file: BinaryIO, offset: int, length: int) -> _Chunk:
    head = _at(file, offset + _HEAD.size, 128)
    first_ns, last_ns, size, crc, words = struct.unpack_from('<QQQII', head)
    if words > 64:
        raise struct.error('no name of a compression is that long')
    compression = head[32:32 + words]
    compressed, = struct.unpack_from('<Q', head, 32 + words)
    return _Chunk(offset, _HEAD.size + length, first_ns, last_ns, size, crc, compression,
                  compressed)


def _new_chunk(content: bytes, at: int) -> tuple[_Chunk, bytes]:
    """Return a chunk of records, and its record for a place in the file."""
    times = [_MESSAGE_HEAD.unpack_from(content, offset)[2]
             for kind, offset, _ in _walk(content) if kind == _MESSAGE]
    first_ns, last_ns = min(times, default=0), max(times, default=0)
    crc = zlib.crc32(content)
    record = _record(_CHUNK, struct.pack('<QQQI', first_ns, last_ns, len(content), crc)
                     + _counted(b'') + struct.pack('<Q', len(content)) + content)
    return _Chunk(at, len(record), first_ns, last_ns, len(content), crc, b'', len(content)), record


def _data(file: BinaryIO, chunk: _Chunk) -> bytes:
    return _at(file, chunk.start + _HEAD.size + 40 + len(chunk.compression),
               min(chunk.compressed_size, _LARGEST_CHUNK))


def _decompress(data: bytes, compression: bytes, partly: bool = False) -> bytes:
    """Return the records in the data of a chunk, as far as they go; ValueError if damaged."""
    if not compression:
        return data
    if compression not in (b'zstd', b'lz4'):
        raise ValueError(f'unknown compression {compression.decode(errors="replace")!r}')
    if partly:
        # Step by step: what is damaged ends it, and what was before it stays.
        found, source = bytearray(), (zstd.ZstdDecompressor() if compression == b'zstd'
                                      else LZ4FrameDecompressor())
        with suppress(zstd.ZstdError, RuntimeError, EOFError):
            for start in range(0, len(data), 1 << 12):
                found += source.decompress(data[start:start + (1 << 12)])
        return bytes(found)
    try:
        return bytes(zstd.decompress(data) if compression == b'zstd'
                     else LZ4FrameDecompressor().decompress(data))
    except (zstd.ZstdError, RuntimeError, EOFError):
        raise ValueError('a damaged chunk') from None


def _content(file: BinaryIO, chunk: _Chunk) -> bytes:
    """Return a chunk's records; ValueError when they are damaged."""
    data = _decompress(_data(file, chunk), chunk.compression)
    if len(data) != chunk.size or chunk.crc and zlib.crc32(data) != chunk.crc:
        raise ValueError('a damaged chunk')
    return data


def _copy(source: BinaryIO, target: BinaryIO, length: int) -> None:
    """Copy the first bytes of a file."""
    source.seek(0)
    while length and (data := source.read(min(length, 1 << 20))):
        target.write(data)
        length -= len(data)
