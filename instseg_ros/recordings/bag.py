"""Reading of rosbag2 recordings, whoever made them and however they ended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.typesys import get_types_from_msg, get_typestore, Stores
import yaml

from .storage import find_files, open_file, PACKED, STORAGES, StoredFile, zstd, ZSTD_MAGIC
from ..errors import MessageError, RecordingError
from ..messages import typestore
from ..messages.detections import class_names
from ..messages.encodings import read_image
from ..messages.stamps import seconds

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
# A file beside those that are still written: room on a full disk.
RESERVE = 'reserve'
_NAMED = 5  # of what is wrong, as many are named


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
    A rosbag2 recording: a folder, or one file of it.

    What is in the files counts, and all of it is read, with or without a metadata.yaml; a file
    that was never ended is read up to its last whole message.

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
    files : list of StoredFile
        By the times of their messages.
    finished : bool
        Whether the recording ended as it should.
    notes : list of str
        What is wrong with the files, and what metadata.yaml says otherwise; a sentence each.
    incomplete : bool
        Whether something of the recording is damaged or missing. Grows, as ``notes``, when
        messages are read.
    start_ns, end_ns : int
        When the first and the last message were recorded, in nanoseconds since 1970; 0 without
        messages.

    Raises
    ------
    RecordingError
        There is no recording, or none of its files can be read.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.incomplete = False
        self.files: list[StoredFile] = []
        refused: list[RecordingError] = []
        for file in find_files(path):
            try:
                self.files.append(open_file(file))
            except RecordingError as error:
                refused.append(error)
            except OSError as error:
                refused.append(RecordingError(f'{file}: cannot be read: {error.strerror}'))
        if not self.files:
            raise refused[0]
        for refusal in refused:
            self._note(f'{refusal}: left out')
        for stored in self.files:
            if stored.lost:
                self._note(f'{stored.path}: {stored.lost}; the rest is left out')
        self.files.sort(key=lambda f: f.start_ns)
        self.topics = self._find_topics()
        filled = [f for f in self.files if f.start_ns or f.end_ns]
        self.start_ns = min((f.start_ns for f in filled), default=0)
        self.end_ns = max((f.end_ns for f in filled), default=0)
        self.finished = all(f.ended for f in self.files) and (
            path.is_file() or (path / 'metadata.yaml').exists() and not (path / RESERVE).exists())
        self.custom_data: dict[str, str] = {}
        if path.is_dir():
            self._read_metadata(refused)

    def _note(self, sentence: str) -> None:
        self.incomplete = True
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _read_metadata(self, refused: list[RecordingError]) -> None:
        """Take over what the recorder noted; say in one line what is not so."""
        try:
            text = (self.path / 'metadata.yaml').read_text()
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError):
            text = '['
        try:
            told = yaml.safe_load(text)['rosbag2_bagfile_information']
            promised, names = int(told['message_count']), {
                Path(name).name.removesuffix(PACKED) for name in told['relative_file_paths']}
            known = {str(t['topic_metadata']['name']) for t in told['topics_with_message_count']}
            self.custom_data = {str(k): str(v) for k, v in (told.get('custom_data') or {}).items()}
        except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
            self.notes.append(f'{self.path}: metadata.yaml cannot be read; what is in the files '
                              'counts')
            return
        found = sum(t.count for t in self.topics.values())
        there = {f.path.name.removesuffix(PACKED) for f in self.files}
        wrong = [f'{promised} messages, there are {found}'] if promised != found else []
        kind = next(STORAGES[f.path.with_name(f.path.name.removesuffix(PACKED)).suffix]
                    for f in self.files)
        packed = any(f.path.suffix == PACKED or f.path.with_name(f.path.name + PACKED).exists()
                     for f in self.files)
        if told.get('storage_identifier') != kind:
            wrong.append(f'storage {told.get("storage_identifier")!r}, the files are {kind}')
        if packed != (str(told.get('compression_mode')).lower() == 'file'):
            wrong.append(f'compression {told.get("compression_mode")!r}, the files are '
                         + ('compressed' if packed else 'not compressed as a whole'))
        if known != set(self.topics):
            wrong.append(f'other topics ({_some(known ^ set(self.topics))})')
        if names - there:
            wrong.append(f'{_some(names - there)}, which cannot be read' if refused else
                         f'{_some(names - there)}, which is not there')
        if there - names:
            wrong.append(f'nothing of {_some(there - names)}')
        # While it is recorded, metadata.yaml is renewed after the file.
        if wrong and (self.finished or promised > found):
            self.notes.append(f'{self.path}: metadata.yaml says: {"; ".join(wrong)}; what is in '
                              'the files counts')
        if promised > found and (names - there or not all(f.ended for f in self.files)):
            self._note(f'{self.path}: cut off: {promised - found} of {promised} messages are '
                       f'missing, the last one is of {seconds(self.end_ns)}; copy it again, if '
                       'you can')

    def _find_topics(self) -> dict[str, Topic]:
        topics: dict[str, Topic] = {}
        for file in self.files:
            for c in file.channels:
                before = topics.get(c.topic)
                if before and before.msgtype != c.msgtype:
                    raise RecordingError(f'{self.path}: {c.topic}: expected one type, got '
                                         f'{before.msgtype} and {c.msgtype}')
                topics[c.topic] = Topic(
                    c.topic, c.msgtype, c.count + (before.count if before else 0),
                    c.type_hash or _hash_of(c.definition, c.msgtype), c.qos)
        return topics

    def definition(self, topic: str) -> str:
        """Return the definition of a topic's messages (.msg), '' when no file has it."""
        return next((c.definition for f in self.files for c in f.channels
                     if c.topic == topic and c.definition), '')

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
            for whole in ('/' + tail, tail):
                if whole in self.topics:
                    return self.topics[whole]
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
                + (', '.join(alike) + '; choose one by its name' if alike else
                   'none of its type; record that topic too'))
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

        File by file; what is damaged is left out and added to :attr:`notes`.
        """
        for file in self.files:
            for topic, time_ns, data in file.messages(topics, self._note):
                if data[:4] == ZSTD_MAGIC:
                    try:
                        data = zstd.decompress(data)
                    except zstd.ZstdError:
                        self._note(f'{self.path}: {topic} at {seconds(time_ns)}: its compressed '
                                   'data are damaged: left out')
                        continue
                yield topic, time_ns, data

    def decode(self, topic: str, time_ns: int, data: bytes) -> Any:
        """Return a message; raises RecordingError, with topic and time, when it is none."""
        try:
            return decode_message(self.topics[topic].msgtype, data)
        except MessageError as error:
            raise RecordingError(f'{self.path}: {topic} at {seconds(time_ns)}: {error}') from error

    def image(self, topic: str, time_ns: int, message: Any, encoding: str) -> Any:
        """
        Return the pixels of an image message, raw or compressed.

        Raises
        ------
        RecordingError
            It has no such pixels; says topic and time.

        """
        try:
            return read_image(message, encoding)
        except MessageError as error:
            raise RecordingError(f'{self.path}: {topic} at {seconds(time_ns)}: {error}') from error

    def __enter__(self) -> Bag:
        return self  # files are open only while they are read

    def __exit__(self, *_: object) -> None:
        pass

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
                try:
                    message = self.decode(name, time_ns, data)
                except RecordingError as error:
                    self._note(f'{error}: left out')
                    continue
                return class_names(message)
        return {}


class LeftOut:
    """
    Counts items that cannot be used, and names the first of them.

    Parameters
    ----------
    report : callable
        Called with a sentence for each item.

    """

    def __init__(self, report: Callable[[str], None] = lambda sentence: None) -> None:
        self._report = report
        self._lines: list[str] = []
        self._counts: dict[str, int] = {}

    def add(self, topic: str, index: int, time_ns: int, reason: str) -> None:
        """Note an item: its topic, its number in that from 0 on, when it was recorded, why."""
        count = self._counts[topic] = self._counts.get(topic, 0) + 1
        sentence = f'{topic}: message {index} at {seconds(time_ns)}: {reason}: left out'
        self._report(sentence)
        if count <= _NAMED:
            self._lines.append(sentence)

    def __len__(self) -> int:
        return sum(self._counts.values())

    def lines(self) -> list[str]:
        """Return a sentence for each of the first items, and one with the counts."""
        if not self._counts:
            return []
        return [*self._lines, 'left out: ' + ', '.join(
            f'{count} of {topic}' for topic, count in sorted(self._counts.items()))]


def decode_message(msgtype: str, data: bytes) -> Any:
    """Return a message; raises MessageError when the data are not its type's."""
    try:
        return typestore().deserialize_cdr(data, msgtype)
    except Exception:  # generated code, which fails anywhere
        raise MessageError(f'expected a {msgtype}, got {len(data)} bytes that are none, or not '
                           'all of one') from None


def _hash_of(definition: str, msgtype: str) -> str:
    """Return the type hash of a definition, '' when there is none."""
    if not definition:
        return ''
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(definition, msgtype))
        return str(store.hash_rihs01(msgtype))
    except Exception:  # a definition that rosbags cannot read says nothing against the data
        return ''


def _some(names: Collection[str]) -> str:
    """Return the first of some names."""
    first = sorted(names)[:_NAMED]
    return ', '.join(first) + (f' and {len(names) - _NAMED} more' if len(names) > _NAMED else '')


def _common(a: str, b: str) -> int:
    """Return how many characters two names have in common at their start."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y),
                min(len(a), len(b)))
