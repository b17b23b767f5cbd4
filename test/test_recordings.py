"""Recordings as files: how they end, who can open them, what is wrong with them."""

import os
from pathlib import Path
import random
import shutil
import subprocess

from instseg_ros.cameras import CameraError, CameraSettings, EndOfStream, open_camera
from instseg_ros.messages import typestore
from instseg_ros.recordings import Bag, RecordingError
from instseg_ros.recordings.unfinished import find_end, finish, FinishedPath, is_finished
from instseg_ros.recordings.writer import aside, BagWriter, repair
import numpy as np
import pytest
import recorded
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.storage_mcap import McapReader

CUTS = 60


def contents(bag):
    return list(bag.messages(bag.topics))


def read(path):
    with Bag(path) as bag:
        return contents(bag)


@pytest.fixture(scope='module')
def sample():
    return read(recorded.SAMPLE)


def copy(source, writer):
    with Bag(source) as bag:
        for name in bag.topics:
            assert writer.copy_topic(bag, name)
        for message in contents(bag):
            writer.write(*message)


def test_what_is_written_is_read(tmp_path, sample):
    writer = BagWriter(tmp_path / 'copy')
    copy(recorded.SAMPLE, writer)
    writer.close()
    assert sorted(f.name for f in (tmp_path / 'copy').iterdir()) == ['copy.mcap', 'metadata.yaml']
    with Bag(tmp_path / 'copy') as bag, Bag(recorded.SAMPLE) as before:
        assert bag.finished
        assert bag.topics == before.topics
        assert (bag.start_ns, bag.end_ns) == (before.start_ns, before.end_ns)
        assert contents(bag) == sample
        assert bag.class_names()[15] == 'person'


def cut_files(tmp_path):
    """Yield files that end anywhere, as after a kill or, with zeros behind, a power cut."""
    data = (recorded.SAMPLE / 'sample.mcap').read_bytes()
    chance = random.Random(0)
    file = tmp_path / 'cut.mcap'
    for _ in range(CUTS):
        file.write_bytes(data[:chance.randrange(100, len(data))]
                         + bytes(chance.choice((0, 0, 4096))))
        yield file


def test_file_that_ends_anywhere_opens_with_all_that_is_whole(tmp_path, sample):
    longest = 0
    for file in cut_files(tmp_path):
        with Bag(file) as bag:
            assert not bag.finished
            found = contents(bag)
            assert sum(t.count for t in bag.topics.values()) == len(found)
        assert found == sample[:len(found)]
        longest = max(longest, len(found))
        finish(file)
        with Bag(file) as bag:
            assert bag.finished
            assert contents(bag) == found
    assert longest > 400


@pytest.mark.parametrize('form', ['', 'lz4', 'zstd', 'without chunks'])
def test_unfinished_files_of_other_writers(tmp_path, form):
    writers = pytest.importorskip('mcap.writer', reason='needs the mcap package')
    compression = {'': writers.CompressionType.NONE, 'lz4': writers.CompressionType.LZ4}.get(
        form, writers.CompressionType.ZSTD)
    written = []
    with (tmp_path / 'whole.mcap').open('wb') as file:
        writer = writers.Writer(file, 2000, compression, use_chunking=form != 'without chunks')
        writer.start('ros2', 'a test')
        schema = writer.register_schema('std_msgs/msg/String', 'ros2msg', b'string data\n')
        channel = writer.register_channel('/said', 'cdr', schema)
        for k in range(100):
            data = typestore().serialize_cdr(
                typestore().types['std_msgs/msg/String'](f'word {k}' * 20), 'std_msgs/msg/String')
            writer.add_message(channel, 1000 + k, bytes(data), 1000 + k)
            written.append(('/said', 1000 + k, bytes(data)))
        writer.finish()
    data = (tmp_path / 'whole.mcap').read_bytes()
    for part in (0.3, 0.6, 0.9):
        file = tmp_path / 'cut.mcap'
        file.write_bytes(data[:int(part * len(data))])
        found = read(file)
        assert len(found) > 10
        assert found == written[:len(found)]
        finish(file)
        assert read(file) == found


def test_recorder_that_was_killed_leaves_all_but_its_last_chunk(tmp_path, sample):
    writer = BagWriter(tmp_path / 'killed', durable=True)
    copy(recorded.SAMPLE, writer)
    writer.checkpoint()
    writer.sync()
    writer.abort()
    with Bag(tmp_path / 'killed') as bag:
        assert not bag.finished
        assert contents(bag) == sample
    with Reader(tmp_path / 'killed') as reader:
        assert [(c.topic, t, bytes(d)) for c, t, d in reader.messages()] == sample
    before = (recorded.SAMPLE / 'metadata.yaml').read_text()
    repair(tmp_path / 'killed')
    repair(tmp_path / 'killed')  # changes nothing
    assert sorted(f.name for f in (tmp_path / 'killed').iterdir()) == [
        'killed.mcap', 'metadata.yaml']
    with Reader(tmp_path / 'killed') as reader:
        assert [(c.topic, t, bytes(d)) for c, t, d in reader.messages()] == sample
        assert {c.topic: c.digest for c in reader.connections}['/camera/label_info'] in before
    assert (tmp_path / 'killed' / 'metadata.yaml').read_text().replace(
        'killed.mcap', 'sample.mcap') == before


def test_own_reader_of_mcap_agrees(tmp_path, sample):
    """Schemas, channels and messages, for those who are no rosbags."""
    reader = pytest.importorskip('mcap.reader', reason='needs the mcap package')
    decoder = pytest.importorskip('mcap_ros2.decoder', reason='needs mcap-ros2-support')
    file = next(cut_files(tmp_path))
    finish(file)
    with file.open('rb') as stream:
        summary = reader.make_reader(stream).get_summary()
        found = [(c.topic, m.log_time, m.data)
                 for _, c, m in reader.make_reader(stream).iter_messages()]
    assert found == sample[:len(found)]
    assert summary.statistics.message_count == len(found)
    assert len(summary.chunk_indexes) == summary.statistics.chunk_count
    assert {s.name: s.encoding for s in summary.schemas.values()} == {
        'sensor_msgs/msg/CameraInfo': 'ros2msg', 'sensor_msgs/msg/CompressedImage': 'ros2msg',
        'vision_msgs/msg/LabelInfo': 'ros2msg'}
    assert {c.topic for c in summary.channels.values()} == {
        c for c, _, _ in sample}
    assert all(c.message_encoding == 'cdr' and 'offered_qos_profiles' in c.metadata
               for c in summary.channels.values())
    with file.open('rb') as stream:
        decoded = reader.make_reader(
            stream, decoder_factories=[decoder.DecoderFactory()]).iter_decoded_messages()
        names = [m.class_map[15].class_name for _, c, _, m in decoded
                 if c.topic == '/camera/label_info']
    assert names == ['person']


def test_types_are_known_from_what_an_mcap_file_says(tmp_path):
    with Bag(recorded.SAMPLE / 'sample.mcap') as bag:
        for topic in bag.topics.values():
            bag.check_type(topic)
            assert topic.type_hash.startswith('RIHS01_')


def full_after(monkeypatch, limit, then=lambda: False):
    """Let the disk be full after some bytes, until `then` says that there is room again."""
    real, used = os.pwrite, [0]

    def write(fd, data, offset):
        room = 10**9 if then() else limit - used[0]
        if room <= 0:
            raise OSError(28, 'No space left on device')
        count = real(fd, data[:room], offset)
        used[0] += count
        return count

    monkeypatch.setattr('instseg_ros.recordings.writer.os.pwrite', write)


@pytest.mark.parametrize('room_again', [True, False])
def test_full_disk_costs_at_most_the_last_chunk(tmp_path, monkeypatch, sample, room_again):
    path = tmp_path / 'full'
    writer = BagWriter(path, durable=True)
    written = 0
    with Bag(recorded.SAMPLE) as bag:
        for name in bag.topics:
            writer.copy_topic(bag, name)
        full_after(monkeypatch, 2_500_000,
                   lambda: room_again and not (path / 'reserve').exists())
        with pytest.raises(OSError, match='No space'):
            for message in contents(bag):
                writer.write(*message)
                written += 1
    # With the reserve given back even the chunk that did not fit gets there.
    writer.close()
    with Bag(path) as bag:
        assert bag.finished
        found = contents(bag)
    assert found == sample[:len(found)]
    assert written + 1 == len(found) if room_again else written - len(found) < 80
    with Reader(path) as reader:
        assert reader.message_count == len(found)


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip('needs root, to mount a small disk')
    folder = tmp_path / 'disk'
    folder.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder],
                             capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip('needs the right to mount: ' + mounted.stderr.strip())
    yield folder
    subprocess.run(['umount', folder], check=True)


def test_small_disk_that_is_full(small_disk, sample):
    writer = BagWriter(small_disk / 'bag', durable=True)
    written = 0
    with pytest.raises(OSError, match='No space'), Bag(recorded.SAMPLE) as bag:
        for name in bag.topics:
            writer.copy_topic(bag, name)
        for message in contents(bag):
            writer.write(*message)
            written += 1
    writer.close()
    found = read(small_disk / 'bag')
    assert found == sample[:written + 1]
    with pytest.raises(RecordingError, match=r'new: cannot be written: No space left on device'):
        (small_disk / 'rest').write_bytes(bytes(shutil.disk_usage(small_disk).free))
        BagWriter(small_disk / 'new', durable=True)
    assert not (small_disk / 'new').exists()


def test_what_is_written_aside_appears_when_it_is_whole(tmp_path):
    with aside(tmp_path / 'a' / 'file') as path:
        path.write_text('whole')
        assert not (tmp_path / 'a' / 'file').exists()
    assert [f.name for f in (tmp_path / 'a').iterdir()] == ['file']
    with pytest.raises(ZeroDivisionError), aside(tmp_path / 'b') as path:
        path.write_text('half')
        raise ZeroDivisionError
    with pytest.raises(RecordingError, match='exists already'), aside(tmp_path / 'a'):
        pass
    assert [f.name for f in tmp_path.iterdir()] == ['a']


def test_recording_that_was_never_ended_is_a_camera(tmp_path):
    data = (recorded.SAMPLE / 'sample.mcap').read_bytes()
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / 'bag.mcap').write_bytes(data[:len(data) // 3])
    camera = open_camera(CameraSettings(source=str(tmp_path / 'bag'), loop=False,
                                        playback_rate=100))
    captures = []
    with pytest.raises(EndOfStream):
        while True:
            captures.append(camera.read(10))
    camera.close()
    assert len(captures) > 20
    assert camera.class_names[15] == 'person'
    assert all(c.frame.shape[:2] == c.mask.shape for c in captures[:-1])


def bad_recordings(tmp_path):
    """Yield a path and the part of the sentence about it."""
    def folder(name, files):
        (tmp_path / name).mkdir()
        for file, data in files.items():
            (tmp_path / name / file).write_bytes(data)
        return tmp_path / name

    whole = (recorded.SAMPLE / 'sample.mcap').read_bytes()
    metadata = (recorded.SAMPLE / 'metadata.yaml').read_bytes()
    yield tmp_path / 'missing', 'got nothing'
    yield folder('empty folder', {}), 'got a folder without one'
    yield folder('empty file', {'a.mcap': b''}), 'expected an MCAP file, got an empty one'
    yield folder('other file', {'a.mcap': bytes(1000)}), 'got one of other content'
    yield folder('notes', {'a.txt': b'hello'}), 'got a folder without one'
    yield folder('notes 2', {'a.txt': b'hello'}) / 'a.txt', 'got another file'
    yield (folder('truncated', {'sample.mcap': whole[:-3_000_000], 'metadata.yaml': metadata}),
           r'cut off after 17000000\d\d\.\d\d\d s \(/camera/camera_info')
    yield (folder('truncated early', {'sample.mcap': b'', 'metadata.yaml': metadata}),
           'an empty one')
    yield folder('no file', {'metadata.yaml': metadata}), 'missing'
    yield (folder('compression', {'sample.mcap': whole, 'metadata.yaml': metadata.replace(
        b"compression_format: ''", b'compression_format: rar').replace(
        b"compression_mode: ''", b'compression_mode: FILE')}), "'rar' is not supported")
    yield folder('metadata', {'sample.mcap': whole, 'metadata.yaml': b'a: ['}), 'YAML'
    yield folder('database', {'a.db3': b'x' * 5000}), 'expected a whole rosbag2 recording'


def test_bad_recordings_are_refused_in_a_sentence(tmp_path):
    for path, words in bad_recordings(tmp_path):
        with pytest.raises(RecordingError, match=words) as refused:
            Bag(path)
        assert str(path) in str(refused.value)
        assert '\n' not in str(refused.value)
        with pytest.raises(CameraError):
            open_camera(CameraSettings(source=str(path)))


def test_damage_in_the_middle_is_said_with_topic_and_time(tmp_path):
    data = bytearray((recorded.SAMPLE / 'sample.mcap').read_bytes())
    middle = len(data) // 2
    data[middle:middle + 2_000_000] = os.urandom(10) * 200_000
    file = tmp_path / 'a.mcap'
    file.write_bytes(data)
    with Bag(file) as bag, pytest.raises(
            RecordingError, match=r'a\.mcap: /camera/.*damaged or cut off after 17\d+\.\d+ s'):
        contents(bag)


def test_unknown_compression_of_chunks(tmp_path):
    data = (recorded.SAMPLE / 'sample.mcap').read_bytes()
    file = tmp_path / 'a.mcap'
    file.write_bytes(data.replace(b'\x04\x00\x00\x00zstd', b'\x04\x00\x00\x00rarr'))
    with pytest.raises(RecordingError, match='rarr'):
        read(file)


def test_two_cameras_are_chosen_by_name(tmp_path):
    topics = {f'/{side}/camera/semantic_mask': recorded.IMAGE for side in ('left', 'right')}
    path = recorded.write(tmp_path / 'two', topics, [
        (topic, 0, recorded.raw(0, recorded.masks(1)[0], 'mono8')) for topic in topics])
    with Bag(path) as bag:
        with pytest.raises(RecordingError, match='got /left/camera/semantic_mask, /right/camera/'
                           'semantic_mask; give the whole name'):
            bag.find('camera/semantic_mask')
        assert bag.find('left/camera/semantic_mask').name == '/left/camera/semantic_mask'
        with pytest.raises(RecordingError, match='expected a topic depth'):
            bag.need('depth', recorded.IMAGE)


def test_find_end_of_nothing(tmp_path):
    file = tmp_path / 'start.mcap'
    file.write_bytes((recorded.SAMPLE / 'sample.mcap').read_bytes()[:60])
    assert not is_finished(file)
    with file.open('rb') as stream:
        end, tail = find_end(stream)
    assert end <= 60
    reader = McapReader(FinishedPath(Path(file)))
    reader.open()
    assert reader.metadata.message_count == 0
    reader.close()
    assert not np.any([c.msgcount for c in reader.connections])
