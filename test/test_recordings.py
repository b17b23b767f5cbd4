"""Recordings as files: how they end, who can open them, what is wrong with them."""

import os
import random
import re
import shutil
import sqlite3
import subprocess

from instseg_ros.cameras import CameraError, CameraSettings, EndOfStream, open_camera
from instseg_ros.messages import typestore
from instseg_ros.recordings import Bag, RecordingError
from instseg_ros.recordings.mcap import McapFile
from instseg_ros.recordings.repairing import repair
from instseg_ros.recordings.storage import zstd
from instseg_ros.recordings.writer import aside, BagWriter
import pytest
import recorded
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
import yaml

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
    assert sorted(f.name for f in (tmp_path / 'copy').iterdir()) == [
        'copy_0.mcap', 'metadata.yaml']
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
        McapFile(file).mend(tmp_path / 'whole.mcap')
        with Bag(tmp_path / 'whole.mcap') as bag:
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
        McapFile(file).mend(tmp_path / 'mended.mcap')
        assert read(tmp_path / 'mended.mcap') == found
        assert McapFile(tmp_path / 'mended.mcap').indexed


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
        'killed_0.mcap', 'metadata.yaml']
    with Reader(tmp_path / 'killed') as reader:
        assert [(c.topic, t, bytes(d)) for c, t, d in reader.messages()] == sample
        assert {c.topic: c.digest for c in reader.connections}['/camera/label_info'] in before
    assert yaml.safe_load((tmp_path / 'killed' / 'metadata.yaml').read_text().replace(
        'killed_0.mcap', 'sample.mcap')) == yaml.safe_load(before)


def test_own_reader_of_mcap_agrees(tmp_path, sample):
    """Schemas, channels and messages, for those who are no rosbags."""
    reader = pytest.importorskip('mcap.reader', reason='needs the mcap package')
    decoder = pytest.importorskip('mcap_ros2.decoder', reason='needs mcap-ros2-support')
    file = tmp_path / 'mended.mcap'
    McapFile(next(cut_files(tmp_path))).mend(file)
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

    metadata = (recorded.SAMPLE / 'metadata.yaml').read_bytes()
    yield tmp_path / 'missing', 'got nothing'
    yield folder('empty folder', {}), 'got a folder without one'
    yield folder('empty file', {'a.mcap': b''}), 'got an empty file'
    yield folder('other file', {'a.mcap': bytes(1000)}), 'got one of other content'
    yield folder('notes', {'a.txt': b'hello'}), 'got a folder without one'
    yield folder('notes 2', {'a.txt': b'hello'}) / 'a.txt', 'got another file'
    yield folder('no file', {'metadata.yaml': metadata}), 'a folder without one'
    yield folder('database', {'a.db3': b'x' * 5000}), 'expected a rosbag2 database'
    yield folder('ros1', {'a.bag': b'#ROSBAG V2.0'}), 'rosbags-convert --src .*a.bag --dst'
    yield folder('ros1 file', {'a.bag': b'#ROSBAG V2.0'}) / 'a.bag', 'one of ROS 1'


def test_bad_recordings_are_refused_in_a_sentence(tmp_path):
    for path, words in bad_recordings(tmp_path):
        with pytest.raises(RecordingError, match=words) as refused:
            Bag(path)
        assert str(path) in str(refused.value)
        assert '\n' not in str(refused.value)
        with pytest.raises(CameraError):
            open_camera(CameraSettings(source=str(path)))


def test_damage_in_the_middle_costs_what_is_damaged(tmp_path, sample):
    data = bytearray((recorded.SAMPLE / 'sample.mcap').read_bytes())
    middle = len(data) // 2
    data[middle:middle + 1_500_000] = os.urandom(10) * 150_000
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / 'a.mcap').write_bytes(data)
    with Bag(tmp_path / 'bag') as bag:
        found = contents(bag)
        assert bag.incomplete
        assert any('a damaged chunk: what was recorded from 17' in note for note in bag.notes)
    assert len(sample) // 3 < len(found) < len(sample)
    assert found[0] == sample[0] and found[-1] == sample[-1]
    assert not [m for m in found if m not in sample]


def test_unknown_compression_of_chunks(tmp_path):
    data = (recorded.SAMPLE / 'sample.mcap').read_bytes()
    file = tmp_path / 'a.mcap'
    file.write_bytes(data.replace(b'\x04\x00\x00\x00zstd', b'\x04\x00\x00\x00rarr'))
    with Bag(file) as bag:
        assert contents(bag) == []
        assert any("unknown compression 'rarr'" in note for note in bag.notes)


def edited(tmp_path, name, edit, source=recorded.SAMPLE):
    """Return a copy of a recording, changed."""
    shutil.copytree(source, tmp_path / name)
    edit(tmp_path / name)
    return tmp_path / name


def replaced(before, after):
    def edit(folder):
        file = folder / 'metadata.yaml'
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))
    return edit


METADATA = {
    'no storage': (replaced('storage_identifier: mcap', "storage_identifier: ''"),
                   "says: storage '', the files are mcap; what is in the files counts"),
    'other storage': (replaced('storage_identifier: mcap', 'storage_identifier: sqlite3'),
                      "says: storage 'sqlite3', the files"),
    'newer version': (replaced('version: 9', 'version: 99'), ''),
    'no messages': (replaced('message_count: ', 'message_count: 0 #'), 'says: 0 messages, there'),
    'more messages': (replaced('message_count: ', 'message_count: 9'), 'says: 9.*, there are'),
    'other compression': (replaced("compression_mode: ''", 'compression_mode: FILE'),
                          "compression 'FILE', the files are not"),
    'renamed': (lambda f: (f / 'sample.mcap').rename(f / 'walk.mcap'),
                'says: sample.mcap, which is not there; nothing of walk.mcap'),
    'no list': (replaced('relative_file_paths', 'paths'), 'metadata.yaml cannot be read'),
    'no YAML': (lambda f: (f / 'metadata.yaml').write_text('a: ['), 'cannot be read'),
    'no text': (lambda f: (f / 'metadata.yaml').write_bytes(b'\xff\xfe'), 'cannot be read'),
    'other topics': (replaced('/camera/', '/kamera/'), r'says: other topics \(/camera/'),
    'none': (lambda f: (f / 'metadata.yaml').unlink(), ''),
}


@pytest.mark.parametrize('name', METADATA)
def test_files_are_the_truth_not_metadata(tmp_path, sample, name):
    edit, words = METADATA[name]
    path = edited(tmp_path, 'bag', edit)
    with Bag(path) as bag:
        assert contents(bag) == sample
        assert '/camera/semantic_mask/compressed' in bag.topics
        assert not bag.incomplete
        assert len(bag.notes) == bool(words)
        assert re.search(words, ' '.join(bag.notes))
    repair(path)
    if name != 'newer version':  # which is whole, though rosbags does not know it
        with Reader(path) as reader:
            assert [(c.topic, t, bytes(d)) for c, t, d in reader.messages()] == sample
    assert repair(path) == []


def test_copy_in_part_is_read_and_told(tmp_path):
    path = edited(tmp_path, 'bag', lambda f: os.truncate(f / 'sample.mcap', 2_000_000))
    with Bag(path) as bag:
        assert len(contents(bag)) > 100
        assert bag.incomplete
        assert any(re.search(r'cut off: \d+ of \d+ messages are missing', n) for n in bag.notes)


def split(tmp_path, names, ends=('.mcap',), **options):
    """Return a folder of files, each with two masks, and its messages."""
    folder, messages = tmp_path / 'split', []
    folder.mkdir()
    topic = '/camera/semantic_mask'
    for number, name in enumerate(names):
        part = [recorded.raw(2 * number + k, recorded.masks(2)[k], 'mono8') for k in range(2)]
        writer = Writer(tmp_path / 'part', version=9, storage_plugin=options.get(
            'plugin', StoragePlugin.MCAP))
        if mode := options.get('mode'):
            writer.set_compression(mode, CompressionFormat.ZSTD)
        with writer:
            connection = writer.add_connection(topic, recorded.IMAGE, typestore=typestore())
            for k, message in enumerate(part):
                time_ns = recorded.START_NS + (2 * number + k) * recorded.STEP_NS
                data = bytes(typestore().serialize_cdr(message, recorded.IMAGE))
                writer.write(connection, time_ns, data)
                messages.append((topic, time_ns, data))
        file = next(f for f in (tmp_path / 'part').iterdir() if f.name != 'metadata.yaml')
        file.rename(folder / (name + ''.join(file.suffixes)))
        shutil.rmtree(tmp_path / 'part')
    return folder, messages


@pytest.mark.parametrize('plugin', list(StoragePlugin))
@pytest.mark.parametrize('mode', [CompressionMode.NONE, CompressionMode.FILE,
                                  CompressionMode.MESSAGE])
@pytest.mark.parametrize('name', ['walk_{}', '{}_walk_2026_01_01-00_00_00', 'renamed'])
def test_split_files_in_the_order_of_their_times(tmp_path, plugin, mode, name):
    names = [name.format(n) for n in range(12)]
    if name == 'renamed':
        names = ['night', 'noon', 'Evening', 'a', '10', '9']
    folder, messages = split(tmp_path, names, plugin=plugin, mode=mode)
    assert read(folder) == messages
    assert 'metadata.yaml: written from what is in the files' in repair(folder)
    assert read(folder) == messages
    with Reader(folder) as reader:
        assert [(c.topic, t, bytes(d)) for c, t, d in reader.messages()] == messages
    assert repair(folder) == []


@pytest.mark.parametrize('rubbish', [b'', b'no recording', bytes(1000)])
def test_file_that_is_none_among_others_is_named_and_left_out(tmp_path, rubbish):
    folder, messages = split(tmp_path, ['s_0', 's_1'])
    (folder / 's_2.mcap').write_bytes(rubbish)
    with Bag(folder) as bag:
        assert contents(bag) == messages
        assert bag.incomplete
        assert re.search('s_2.mcap: expected an? .* got .*: left out', bag.notes[0])
    assert any('s_2.mcap' in line for line in repair(folder))
    assert (folder / 's_2.mcap').read_bytes() == rubbish
    with Reader(folder) as reader:
        assert reader.message_count == len(messages)


def test_file_that_was_being_compressed_is_read_once(tmp_path):
    folder, messages = split(tmp_path, ['s_0', 's_1'])
    (folder / 's_1.mcap.zstd').write_bytes(zstd.compress((folder / 's_1.mcap').read_bytes())[:99])
    assert read(folder) == messages


def test_file_that_was_unpacked_beside_is_read_once(tmp_path):
    """`ros2 bag play` leaves them, whole or, where it was killed, not."""
    folder, messages = split(tmp_path, ['s_0', 's_1'], mode=CompressionMode.FILE)
    repair(folder)
    for name, end in (('s_0', None), ('s_1', -100)):
        data = zstd.decompress((folder / f'{name}.mcap.zstd').read_bytes())
        (folder / f'{name}.mcap').write_bytes(data[:end])
    with Bag(folder) as bag:
        assert contents(bag) == messages
        assert bag.finished and not bag.notes


def test_topics_without_a_slash(tmp_path):
    path = recorded.write(tmp_path / 'bag', {'camera/semantic_mask': recorded.IMAGE}, [
        ('camera/semantic_mask', 0, recorded.raw(0, recorded.masks(1)[0], 'mono8'))])
    with Bag(path) as bag:
        for name in ('camera/semantic_mask', '/camera/semantic_mask', 'semantic_mask'):
            assert bag.need(name, recorded.IMAGE).name == 'camera/semantic_mask'


def fast_writes(path, messages, chunks=False, index=False):
    """Write an MCAP file as rosbag2's preset `fastwrite` does: no chunks, no index."""
    writers = pytest.importorskip('mcap.writer', reason='needs the mcap package')
    topic = '/camera/semantic_mask'
    with path.open('wb') as file:
        writer = writers.Writer(file, use_chunking=chunks, index_types=writers.IndexType.NONE,
                                use_statistics=index, use_summary_offsets=index,
                                repeat_channels=index, repeat_schemas=index)
        writer.start('ros2', 'a test')
        schema = writer.register_schema(recorded.IMAGE, 'ros2msg', typestore().generate_msgdef(
            recorded.IMAGE, ros_version=2)[0].encode())
        channel = writer.register_channel(topic, 'cdr', schema)
        for time_ns, data in messages:
            writer.add_message(channel, time_ns, data, time_ns)
        writer.finish()


@pytest.mark.parametrize('index', [False, True])
def test_mcap_without_chunks_and_index(tmp_path, index):
    messages = [(recorded.START_NS + k * recorded.STEP_NS, bytes(typestore().serialize_cdr(
        recorded.raw(k, m, 'mono8'), recorded.IMAGE))) for k, m in enumerate(recorded.masks())]
    messages[3], messages[4] = messages[4], messages[3]  # as threads write them
    (tmp_path / 'bag').mkdir()
    file = tmp_path / 'bag' / 'bag_0.mcap'
    fast_writes(file, messages, index=index)
    with Bag(tmp_path / 'bag') as bag:
        assert [m[1:] for m in contents(bag)] == messages
        assert bag.topics['/camera/semantic_mask'].count == 6
        assert not bag.notes
    data = file.read_bytes()
    file.write_bytes(data[:len(data) // 2])  # killed
    before = read(tmp_path / 'bag')
    assert 1 < len(before) < 6
    repair(tmp_path / 'bag')
    assert read(tmp_path / 'bag') == before


def test_messages_of_a_chunk_that_was_cut_off_are_taken_out(tmp_path):
    writers = pytest.importorskip('mcap.writer', reason='needs the mcap package')
    for name, compression in (('none', writers.CompressionType.NONE),
                              ('lz4', writers.CompressionType.LZ4),
                              ('zstd', writers.CompressionType.ZSTD)):
        (tmp_path / name).mkdir()
        file = tmp_path / name / 'bag_0.mcap'
        chance, written = random.Random(0), []
        with file.open('wb') as stream:
            writer = writers.Writer(stream, 1 << 24, compression)
            writer.start('ros2', 'a test')
            schema = writer.register_schema('std_msgs/msg/String', 'ros2msg', b'string data\n')
            channel = writer.register_channel('/said', 'cdr', schema)
            for k in range(100):
                data = b'\x00\x01\x00\x00' + chance.randbytes(20_000)
                writer.add_message(channel, 1000 + k, data, 1000 + k)
                written.append(('/said', 1000 + k, data))
            writer.finish()
        os.truncate(file, file.stat().st_size // 2)
        found = read(tmp_path / name)
        assert 30 < len(found) <= 50
        assert found == written[:len(found)]
        repair(tmp_path / name)
        assert read(tmp_path / name) == found
        with Reader(tmp_path / name) as reader:
            assert reader.message_count == len(found)


def test_compressed_file_that_was_cut_off(tmp_path, sample):
    folder = tmp_path / 'bag'
    folder.mkdir()
    file = folder / 's_1.mcap.zstd'
    before = zstd.compress((recorded.SAMPLE / 'sample.mcap').read_bytes())[:2_000_000]
    file.write_bytes(before)
    with Bag(folder) as bag:
        found = contents(bag)
        assert bag.incomplete and not bag.finished
        assert 's_1.mcap.zstd: its compressed data are damaged or cut off' in ' '.join(bag.notes)
    assert len(found) > 100
    assert found == sample[:len(found)]
    said = repair(folder)
    assert any('the old file is kept' in line for line in said)
    assert (folder / 's_1.mcap.zstd.damaged').read_bytes() == before
    assert read(folder) == found


def test_repair_that_cannot_be_proved_changes_nothing(tmp_path, monkeypatch):
    folder, _ = split(tmp_path, ['s_0'])
    file = folder / 's_0.mcap'
    os.truncate(file, file.stat().st_size - 20)
    before = file.read_bytes()

    def half(self, target):
        target.write_bytes(before[:100])

    monkeypatch.setattr(McapFile, 'mend', half)
    with pytest.raises(RecordingError, match='could not be mended; it is as it was'):
        repair(folder)
    assert [f.name for f in folder.iterdir()] == ['s_0.mcap']
    assert file.read_bytes() == before


@pytest.mark.parametrize('journal', [True, False])
def test_database_of_a_killed_recorder(tmp_path, journal):
    folder, messages = split(tmp_path, ['s_0', 's_1'], plugin=StoragePlugin.SQLITE3)
    if journal:
        database = sqlite3.connect(folder / 's_1.db3')
        database.execute('PRAGMA journal_mode=WAL')
        database.execute('PRAGMA wal_autocheckpoint=0')
        database.execute('UPDATE messages SET timestamp = timestamp + 1 WHERE id = 2')
        database.commit()
        killed = tmp_path / 'killed'
        shutil.copytree(folder, killed)  # with the journal
        database.close()
        assert (killed / 's_1.db3-wal').stat().st_size > 0
        folder = killed
        messages[3] = (messages[3][0], messages[3][1] + 1, messages[3][2])
    assert read(folder) == messages
    repair(folder)
    assert read(folder) == messages
    assert yaml.safe_load((folder / 'metadata.yaml').read_text())[
        'rosbag2_bagfile_information']['storage_identifier'] == 'sqlite3'


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
