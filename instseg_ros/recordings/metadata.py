"""metadata.yaml of a recording, as rosbag2 writes it (version 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import os
from pathlib import Path
from typing import Any

from rosbags.rosbag2.writer import dump_qos_v9
import yaml

from .bag import Bag, Topic
from .storage import PACKED, STORAGES, ZSTD_MAGIC


@dataclass(frozen=True)
class FileContent:
    """What a file holds; times in nanoseconds since 1970, of the first and the last message."""

    name: str
    start_ns: int
    end_ns: int
    topics: Sequence[Topic]

    @property
    def count(self) -> int:
        """Messages."""
        return sum(topic.count for topic in self.topics)


def write_metadata(folder: Path, files: Sequence[FileContent], custom: Mapping[str, str],
                   packed_messages: bool = False) -> None:
    """
    Write metadata.yaml beside the files of a recording; the old one is there until then.

    Parameters
    ----------
    folder : Path
        The recording.
    files : sequence of FileContent
        In the order of their times.
    custom : mapping of str to str
        Notes.
    packed_messages : bool
        Whether each message is compressed for itself.

    """
    topics: dict[str, Topic] = {}
    for file in files:
        for topic in file.topics:
            before = topics.get(topic.name)
            topics[topic.name] = Topic(topic.name, topic.msgtype,
                                       topic.count + (before.count if before else 0),
                                       topic.type_hash, topic.qos)
    filled = [f for f in files if f.count]
    first = files[0].name
    packed = first.endswith(PACKED)
    storage = STORAGES[Path(first.removesuffix(PACKED)).suffix]
    said = {'rosbag2_bagfile_information': {
        'version': 9,
        'storage_identifier': storage,
        **_times(min((f.start_ns for f in filled), default=0),
                 max((f.end_ns for f in filled), default=0)),
        'message_count': sum(f.count for f in files),
        'topics_with_message_count': [{
            'topic_metadata': {
                'name': topic.name, 'type': topic.msgtype, 'serialization_format': 'cdr',
                'offered_qos_profiles': dump_qos_v9(list(topic.qos)),
                'type_description_hash': topic.type_hash},
            'message_count': topic.count} for topic in topics.values()],
        'compression_format': 'zstd' if packed or packed_messages else '',
        'compression_mode': 'FILE' if packed else 'MESSAGE' if packed_messages else '',
        'relative_file_paths': [f.name for f in files],
        'files': [{'path': f.name, **_times(f.start_ns, f.end_ns), 'message_count': f.count}
                  for f in files],
        'custom_data': dict(custom) or None,
        'ros_distro': 'rosbags',
    }}
    new = folder / 'metadata.yaml.new'
    with new.open('w') as stream:
        yaml.safe_dump(said, stream, sort_keys=False)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(folder / 'metadata.yaml')


def describe(folder: Path, bag: Bag, custom: Mapping[str, str] | None = None) -> None:
    """Write metadata.yaml from what is in the files; ``custom`` for notes that are not in them."""
    files = [FileContent(f.path.name, f.start_ns, f.end_ns, [
        Topic(c.topic, c.msgtype, c.count, bag.topics[c.topic].type_hash, c.qos)
        for c in f.channels]) for f in bag.files]
    first = next((m for f in bag.files for m in f.messages(set(bag.topics), lambda _: None)), None)
    write_metadata(folder, files, bag.custom_data if custom is None else custom,
                   first is not None and first[2][:4] == ZSTD_MAGIC)


def sync_folder(path: Path) -> None:
    """Put the names of a folder's files on the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _times(start_ns: int, end_ns: int) -> dict[str, Any]:
    return {'duration': {'nanoseconds': max(0, end_ns - start_ns)},
            'starting_time': {'nanoseconds_since_epoch': start_ns}}
