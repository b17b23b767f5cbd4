"""Reading of rosbag2 recordings, whoever made them and however they ended."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.typesys import get_types_from_msg, get_typestore, Stores
import yaml

from .unfinished import FinishedPath, is_finished, NotMcapError, RESERVE
from ..cameras.camera import CameraError
from ..messages.encodings import class_ids, decode, ENCODINGS, ImageError, unpack
from ..messages import typestore
from ..messages.stamps import seconds

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
_STORAGES = ('.mcap', '.db3')


class RecordingError(CameraError):
    """A recording cannot be used; says where it is wrong and what to do."""


@dataclass(frozen=True)
class Topic:
    """
    A topic of a recording.

    Attributes
    ----------
    name, msgtype : str
        Such as ``/camera/label_info`` and ``vision_msgs/msg/LabelInfo``.
    count : int
        Messages.
    type_hash : str
        ``RIHS01_...``; '' where the recording does not tell.
    qos : tuple
        Offered quality of service, as rosbags has it.

    """

    name: str
    msgtype: str
    count: int
    type_hash: str
    qos: tuple[Any, ...]

    @property
    def is_image(self) -> bool:
        """Whether the messages are images, raw or compressed."""
        return self.msgtype in (IMAGE, COMPRESSED)


class Bag:
    """
    A rosbag2 recording: a folder, or one MCAP or sqlite3 file of it.

    A recording that was never finished (no index) is read up to its last whole chunk.

    Parameters
    ----------
    path : Path
        Where it is. Nothing there is changed.

    Attributes
    ----------
    path : Path
        As given.
    topics : dict of str to Topic
        By name.
    finished : bool
        Whether the recording ended as it should.
    start_ns, end_ns : int
        When the first and the last message were recorded, in nanoseconds since 1970; 0 without
        messages.

    Raises
    ------
    RecordingError
        There is no recording, or one that is damaged.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.finished = True
        self._readers: list[Any] = []
        try:
            for reader in self._find_readers():
                reader.open()
                self._readers.append(reader)
            if not self.finished:
                self._check_whole()
        except RecordingError:
            self.close()
            raise
        except Exception as error:  # a damaged file can fail anywhere in its parsing
            self.close()
            raise RecordingError(
                f'{path}: expected a whole rosbag2 recording, got: {_words(error)}; copy it '
                'again, or mend it with `instseg repair`') from error
        self.topics = self._find_topics()
        times = [(r.start_time, r.end_time - 1) if isinstance(r, Reader)
                 else (r.metadata.start_time, r.metadata.end_time - 1)
                 for r in self._readers if self._count(r)]
        self.start_ns = min((t[0] for t in times), default=0)
        self.end_ns = max((t[1] for t in times), default=0)

    def _find_readers(self) -> Iterator[Any]:
        """Yield what reads the files, in their order; not opened yet."""
        path = self.path
        if not path.exists():
            raise RecordingError(f'{path}: expected a recording (a rosbag2 folder), got nothing; '
                                 'give the folder that has the metadata.yaml')
        ended = (path / 'metadata.yaml').exists() and not (path / RESERVE).exists()
        if ended and all(is_finished(file) for file in path.glob('*.mcap')):
            yield Reader(path)
            return
        files = [path] if path.is_file() else sorted(
            f for f in path.iterdir() if f.suffix in _STORAGES)
        if not files or files[0].suffix not in _STORAGES:
            raise RecordingError(f'{path}: expected a rosbag2 folder or an .mcap or .db3 file, '
                                 'got ' + ('another file' if files else 'a folder without one'))
        for file in files:
            if file.suffix == '.mcap' and not is_finished(file):
                self.finished = False
                try:
                    yield McapReader(FinishedPath(file))  # type: ignore[arg-type]
                except NotMcapError as error:
                    raise RecordingError(f'{file}: {error}') from error
            else:
                self.finished = self.finished and path.is_file()
                yield Reader(file)

    def _check_whole(self) -> None:
        """
        Refuse a recording that has less than its metadata.yaml promises, saying where it ends.

        While it is recorded, that is renewed after the file; so it was copied in part, or damaged.
        """
        try:
            text = (self.path / 'metadata.yaml').read_text()
            promised = yaml.safe_load(text)['rosbag2_bagfile_information']['message_count']
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
            return
        found = sum(self._count(reader) for reader in self._readers)
        if found < promised:
            last = max((r.metadata.end_time - 1 for r in self._readers
                        if isinstance(r, McapReader) and self._count(r)), default=0)
            names = sorted({c.topic for r in self._readers for c in r.connections if c.msgcount})
            where = f'after {seconds(last)} ({", ".join(names)})' if found else 'at its start'
            raise RecordingError(
                f'{self.path}: expected a whole recording of {promised} messages, got {found}: '
                f'it is cut off {where}; copy it again, or mend it with `instseg repair`')

    @staticmethod
    def _count(reader: Any) -> int:
        return int(reader.message_count if isinstance(reader, Reader)
                   else reader.metadata.message_count)

    def _find_topics(self) -> dict[str, Topic]:
        topics: dict[str, Topic] = {}
        for reader in self._readers:
            for c in reader.connections:
                before = topics.get(c.topic)
                if before and before.msgtype != c.msgtype:
                    raise RecordingError(f'{self.path}: {c.topic}: expected one type, got '
                                         f'{before.msgtype} and {c.msgtype}')
                topics[c.topic] = Topic(
                    c.topic, c.msgtype, c.msgcount + (before.count if before else 0),
                    c.digest or _hash_of(c), tuple(c.ext.offered_qos_profiles))
        return topics

    @property
    def custom_data(self) -> dict[str, str]:
        """Return what the recorder noted in metadata.yaml."""
        found: dict[str, str] = {}
        for reader in self._readers:
            metadata = (reader.storage if isinstance(reader, Reader) else reader).metadata
            found.update(metadata.custom or {})
        return found

    def connection(self, topic: str) -> Any:
        """Return what rosbags knows of a topic."""
        return next(c for r in self._readers for c in r.connections if c.topic == topic)

    def find(self, name: str) -> Topic | None:
        """
        Return the topic of a name, or of its compressed twin, or None.

        Parameters
        ----------
        name : str
            Whole, or, where only one robot was recorded, without the robot's name in front.

        Raises
        ------
        RecordingError
            Several topics end in the name.

        """
        for tail in (name.strip('/'), name.strip('/') + '/compressed'):
            if '/' + tail in self.topics:
                return self.topics['/' + tail]
            found = [t for t in self.topics if t.endswith('/' + tail)]
            if len(found) > 1:
                raise RecordingError(f'{self.path}: expected one topic that ends in {tail}, got '
                                     + ', '.join(sorted(found)) + '; give the whole name')
            if found:
                return self.topics[found[0]]
        return None

    def need(self, name: str, *types: str) -> Topic:
        """
        Return the topic of a name, which has to be there and of one of the types.

        Raises
        ------
        RecordingError
            It is not there, or its messages are not those that this package knows.

        """
        topic = self.find(name)
        if topic is None:
            alike = sorted(t.name for t in self.topics.values() if t.msgtype in types)
            raise RecordingError(
                f'{self.path}: expected a topic {name}'
                + (f' or {name}/compressed' if COMPRESSED in types else '') + ', got '
                + (', '.join(alike) or 'none of its type') + '; choose one by its name')
        if topic.msgtype not in types:
            raise RecordingError(f'{self.path}: {topic.name}: expected {" or ".join(types)}, got '
                                 f'{topic.msgtype}')
        self.check_type(topic)
        return topic

    def check_type(self, topic: Topic) -> None:
        """Raise RecordingError when a topic's messages have other fields than ours."""
        ours = typestore().hash_rihs01(topic.msgtype)
        if topic.type_hash and topic.type_hash != ours:
            raise RecordingError(
                f'{self.path}: {topic.name}: expected {topic.msgtype} with type hash {ours}, got '
                f'{topic.type_hash}: it was recorded with another definition of the message')

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """
        Yield topic, time of recording in nanoseconds and data of each message of some topics.

        Raises
        ------
        RecordingError
            The recording is damaged from here on.

        """
        topic, time_ns = '', self.start_ns
        for reader in self._readers:
            connections = [c for c in reader.connections if c.topic in topics]
            # `yield` stands outside of `try`: what the receiver raises is not the bag's fault.
            messages = reader.messages(connections) if connections else iter(())
            while True:
                try:
                    connection, time_ns, data = next(messages)
                except StopIteration:
                    break
                except Exception as error:  # as above
                    raise RecordingError(
                        f'{self.path}: {topic or ", ".join(topics)}: expected a whole recording, '
                        f'it is damaged or cut off after {seconds(time_ns)}: '
                        f'{_words(error)}') from error
                topic = connection.topic
                yield topic, time_ns, data

    def decode(self, topic: str, time_ns: int, data: bytes) -> Any:
        """Return a message; raises RecordingError when its data are not its type's."""
        return decode_message(str(self.path), topic, self.topics[topic].msgtype, time_ns, data)

    def class_names(self, beside: str = '') -> dict[int, str]:
        """
        Return the class names of the recorded LabelInfo, {} when there is none.

        Parameters
        ----------
        beside : str
            The mask topic: of several LabelInfo, the one with the longest start in common.

        """
        found = [t for t in self.topics.values() if t.msgtype == 'vision_msgs/msg/LabelInfo']
        found.sort(key=lambda t: -_common(t.name, beside))
        for topic in found[:1]:
            self.check_type(topic)
            for name, time_ns, data in self.messages([topic.name]):
                message = self.decode(name, time_ns, data)
                return {c.class_id: c.class_name for c in message.class_map}
        return {}

    def close(self) -> None:
        """Close the files; may be called twice."""
        while self._readers:
            self._readers.pop().close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def decode_message(path: str, topic: str, msgtype: str, time_ns: int, data: bytes) -> Any:
    """Return a message; raises RecordingError when its data are not its type's."""
    try:
        return typestore().deserialize_cdr(data, msgtype)
    except Exception as error:  # generated code, which fails anywhere
        raise RecordingError(
            f'{path}: {topic} at {seconds(time_ns)}: expected a {msgtype}, got {len(data)} bytes '
            f'that are none: {_words(error)}') from error


def pixels(path: str, topic: str, time_ns: int, message: Any, encoding: str) -> Any:
    """
    Return the pixels of an image message, raw or compressed.

    Parameters
    ----------
    path, topic : str
        Where the message is, for the words of an error.
    time_ns : int
        When it was recorded, likewise.
    message : sensor_msgs/Image or sensor_msgs/CompressedImage
        The message.
    encoding : str
        ``bgr8``, ``16UC1``, or ``mono8`` for class ids, which may come in any integer encoding.

    Returns
    -------
    ndarray of shape (H, W) or (H, W, 3)

    Raises
    ------
    RecordingError
        The message has no such pixels.

    """
    try:
        compressed = not hasattr(message, 'encoding')
        if encoding == 'mono8':
            return class_ids(decode(message.data, '') if compressed
                             else unpack(message, message.encoding)
                             if message.encoding in ENCODINGS else unpack(message, 'mono8'))
        return decode(message.data, encoding) if compressed else unpack(message, encoding)
    except ImageError as error:
        raise RecordingError(f'{path}: {topic} at {seconds(time_ns)}: {error}') from error


def _words(error: Exception) -> str:
    """Return what an error says, in one line."""
    return ' '.join(str(error).split()) or repr(error)


def _hash_of(connection: Any) -> str:
    """Return the type hash of the definition that an MCAP file carries, '' when it has none."""
    if connection.msgdef.format.name != 'MSG':
        return ''
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        return str(store.hash_rihs01(connection.msgtype))
    except Exception:  # a definition that rosbags cannot read says nothing against the data
        return ''


def _common(a: str, b: str) -> int:
    """Return how many characters two names have in common at their start."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y),
                min(len(a), len(b)))
