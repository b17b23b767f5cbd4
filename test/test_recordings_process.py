"""`instseg process`: the same answer for every number of workers, bad input said in a sentence."""

import csv
import json
import re

import cv2
from instseg_ros.cli import main
from instseg_ros.core import (segment_instances, SegmentationSettings, Segmenter, SettingsError,
                              Tracker, TrackingSettings)
from instseg_ros.core.drawing import OverlaySettings
from instseg_ros.messages import typestore
from instseg_ros.messages.encodings import decode
from instseg_ros.recordings import Bag, RecordingError
from instseg_ros.recordings.exports import COLUMNS
from instseg_ros.recordings.parameters import read_settings
from instseg_ros.recordings.processing import Options, process
from instseg_ros.recordings.results import read_results
import numpy as np
import pytest
import recorded
from recorded import COMPRESSED, IMAGE
from rosbags.rosbag2 import StoragePlugin, Writer

MASK, MASK_PNG = '/camera/semantic_mask', '/camera/semantic_mask/compressed'
OUTPUTS = {'/instance_segmentation/detections', '/tracker/tracks',
           '/instance_segmentation/instance_mask/compressed'}


def results(path):
    with Bag(path) as bag:
        return list(read_results(bag))


def contents(path, topics=None):
    with Bag(path) as bag:
        return list(bag.messages(topics or bag.topics))


@pytest.fixture
def source(tmp_path):
    return recorded.record(tmp_path / 'in')


def test_results_are_those_of_the_core(source, tmp_path):
    settings = SegmentationSettings(size_threshold=5)
    summary = process(source, tmp_path / 'out', Options(settings))
    segmenter, tracker = Segmenter(settings), Tracker(TrackingSettings())
    found = results(tmp_path / 'out')
    assert len(found) == len(recorded.masks()) == summary.frames
    tracks = set()
    for k, (mask, result) in enumerate(zip(recorded.masks(), found, strict=True)):
        stamp_ns = recorded.START_NS + k * recorded.STEP_NS
        expected = segmenter.update(mask, stamp_ns)
        ids = tracker.update(expected, stamp_ns).tolist()
        assert result.stamp_ns == stamp_ns
        assert np.array_equal(result.instances.labels, expected.labels)
        for name in ('class_ids', 'areas', 'scores', 'boxes', 'oriented_boxes'):
            assert np.array_equal(getattr(result.instances, name), getattr(expected, name))
        assert result.ids == [str(i) if i else '' for i in ids]
        tracks.update(i for i in ids if i)
    assert summary.tracks == len(tracks) > 1


def test_memory_is_that_of_the_core(tmp_path):
    """People who walk through each other: single frames see one blob."""
    drawn = recorded.masks(26)
    recorded.record(tmp_path / 'in', drawn, frames=False)
    for memory in (True, False):
        settings = SegmentationSettings(memory=memory)
        for workers in (0, 1):
            out = tmp_path / f'{memory}-{workers}'
            process(tmp_path / 'in', out, Options(settings, workers=workers))
            segmenter = Segmenter(settings)
            for k, (mask, result) in enumerate(zip(drawn, results(out), strict=True)):
                expected = segmenter.update(mask, recorded.START_NS + k * recorded.STEP_NS)
                assert np.array_equal(result.instances.labels, expected.labels)
                assert np.array_equal(result.instances.scores, expected.scores)
    single = [len(segment_instances(m, settings)) for m in drawn]
    assert single != [len(r.instances) for r in results(tmp_path / 'True-0')]


def test_bytes_do_not_depend_on_workers(tmp_path):
    made = []
    for workers in (0, 1, 3):
        folder = tmp_path / str(workers)
        process(recorded.SAMPLE, folder / 'out', Options(
            workers=workers, overlays=True, csv=folder / 'a.csv', coco=folder / 'a.json'))
        made.append({f.name: f.read_bytes() for f in sorted(folder.rglob('*')) if f.is_file()})
    assert list(made[0]) == ['a.csv', 'a.json', 'metadata.yaml', 'out_0.mcap']
    assert made[0] == made[1] == made[2]


def test_inputs_are_copied_as_they_are(source, tmp_path):
    process(source, tmp_path / 'out', Options())
    process(source, tmp_path / 'only', Options(results_only=True))
    before = contents(source)
    with Bag(source) as bag:
        topics = set(bag.topics)
    assert contents(tmp_path / 'out', topics) == before
    with Bag(tmp_path / 'out') as out, Bag(tmp_path / 'only') as only, Bag(source) as bag:
        assert set(out.topics) == topics | OUTPUTS
        assert set(only.topics) == OUTPUTS
        assert {n: out.topics[n] for n in topics} == bag.topics
    assert contents(tmp_path / 'only') == contents(tmp_path / 'out', OUTPUTS)


def test_processing_again_replaces_results(source, tmp_path):
    process(source, tmp_path / 'once', Options())
    process(tmp_path / 'once', tmp_path / 'twice', Options())
    assert contents(tmp_path / 'once') == contents(tmp_path / 'twice')


@pytest.mark.parametrize('form', ['mono8', '8UC1', '16UC1', 'padded', 'png', 'png 16', 'sqlite3'])
def test_masks_of_other_people(source, tmp_path, form):
    drawn = recorded.masks()
    topic, other = '/seg/labels', tmp_path / 'other'
    if form.startswith('png'):
        kind = COMPRESSED
        messages = [recorded.compressed(
            k, m.astype(np.uint16) if form == 'png 16' else m) for k, m in enumerate(drawn)]
    else:
        kind = IMAGE
        encoding = form if form in ('mono8', '8UC1', '16UC1') else 'mono8'
        messages = [recorded.raw(k, m.astype(np.uint16) if encoding == '16UC1' else m, encoding,
                                 96 if form == 'padded' else None) for k, m in enumerate(drawn)]
    if form == 'sqlite3':
        recorded.write_sqlite(other, topic, kind, messages)
    else:
        recorded.write(other, {topic: kind}, [(topic, k, m) for k, m in enumerate(messages)])
    process(other, tmp_path / 'a', Options(mask='seg/labels', results_only=True))
    process(source, tmp_path / 'b', Options(results_only=True))
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')


def test_results_of_a_robot_bear_its_name(tmp_path):
    topic = '/robot1/camera/semantic_mask'
    recorded.write(tmp_path / 'in', {topic: IMAGE}, [
        (topic, k, recorded.raw(k, m, 'mono8')) for k, m in enumerate(recorded.masks(2))])
    process(tmp_path / 'in', tmp_path / 'out', Options(results_only=True))
    with Bag(tmp_path / 'out') as bag:
        assert set(bag.topics) == {'/robot1' + name for name in OUTPUTS}


def test_overlays_and_video(source, tmp_path):
    process(source, tmp_path / 'out', Options(overlays=True, mp4=tmp_path / 'a.mp4'))
    with Bag(tmp_path / 'out') as bag:
        overlays = list(bag.messages(['/overlay/image/compressed']))
        picture = decode(bag.decode(*overlays[3]).data, 'bgr8')
        assert bag.topics['/overlay/image/compressed'].count == 6
    assert [t for _, t, _ in overlays] == [
        recorded.START_NS + k * recorded.STEP_NS for k in range(6)]
    plain = recorded.frame(recorded.masks()[3])
    assert np.abs(picture.astype(int) - plain)[10:40, 8:20].mean() > 20
    video = cv2.VideoCapture(str(tmp_path / 'a.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    video.release()


def test_csv(source, tmp_path):
    process(source, tmp_path / 'out', Options(csv=tmp_path / 'a.csv'))
    with (tmp_path / 'a.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    found = results(tmp_path / 'out')
    assert len(rows) == sum(len(r.instances) for r in found)
    assert {(r['class_id'], r['class_name']) for r in rows} == {('7', 'car'), ('15', 'person')}
    last = [r for r in rows if r['frame'] == '5']
    assert [r['track_id'] for r in last] == found[5].ids
    assert [int(r['area']) for r in last] == found[5].instances.areas.tolist()
    assert int(last[0]['stamp_ns']) == found[5].stamp_ns


def test_coco_results_are_those_of_pycocotools(tmp_path):
    coco = pytest.importorskip('pycocotools.mask', reason='needs pycocotools')
    process(recorded.SAMPLE, tmp_path / 'out', Options(coco=tmp_path / 'a.json'))
    entries = json.loads((tmp_path / 'a.json').read_text())
    expected = [(number, r, k) for number, r in enumerate(results(tmp_path / 'out'))
                for k in range(len(r.instances))]
    for entry, (number, result, k) in zip(entries, expected, strict=True):
        mask = coco.encode(np.asfortranarray(result.instances.labels == k + 1))
        assert entry['segmentation'] == {'size': mask['size'], 'counts': mask['counts'].decode()}
        assert (entry['image_id'], entry['area']) == (number, coco.area(mask))
        assert entry['bbox'] == coco.toBbox(mask).tolist()
        assert entry['category_id'] == result.instances.class_ids[k]
        assert entry['track_id'] == int(result.ids[k] or 0)


def test_coco_of_nothing_is_a_list(tmp_path):
    recorded.record(tmp_path / 'in', [np.zeros((20, 30), np.uint8)] * 2)
    process(tmp_path / 'in', tmp_path / 'out', Options(coco=tmp_path / 'a.json'))
    assert json.loads((tmp_path / 'a.json').read_text()) == []


def refused(tmp_path):
    """Yield a recording of which nothing can be processed, and the part of the sentence."""
    yield recorded.write(tmp_path / 'none', {MASK: IMAGE}, []), 'expected masks, got none'
    yield (recorded.write(tmp_path / 'frames', {'/rgb': IMAGE}, []),
           'expected a topic camera/semantic_mask or camera/semantic_mask/compressed, got /rgb')
    yield (recorded.write(tmp_path / 'text', {MASK: 'std_msgs/msg/String'}, []),
           'expected sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage, got std_msgs')
    yield (recorded.write(tmp_path / 'colours', {MASK: IMAGE}, [
        (MASK, k, recorded.raw(k, recorded.frame(m) + np.uint8([0, 1, 2]), 'bgr8'))
        for k, m in enumerate(recorded.masks())]),
        r'got none that can be used; .*message 0 at 1700000000\.000 s: .*got colours: \[0, 1, 2')
    two = {f'/{side}/camera/semantic_mask': IMAGE for side in ('left', 'right')}
    yield (recorded.write(tmp_path / 'two', two, []), 'give the whole name')
    with Writer(tmp_path / 'hash', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.write(writer.add_connection(
            MASK_PNG, COMPRESSED, msgdef='string format\nuint8[] data\n', rihs01='RIHS01_999'),
            1, bytes(20))
    yield (tmp_path / 'hash', MASK_PNG + ': expected sensor_msgs/msg/CompressedImage with type '
           'hash RIHS01_156.*, got RIHS01_.*another definition')


@pytest.mark.parametrize('workers', [0, 1])
def test_bad_input_is_refused_in_a_sentence(tmp_path, workers):
    cases = list(refused(tmp_path))
    before = sorted(f.name for f in tmp_path.iterdir())
    # One case is enough to see what workers say.
    for path, words in cases if workers == 0 else [cases[3]]:
        with pytest.raises(RecordingError, match=words) as error:
            process(path, tmp_path / 'out', Options(
                workers=workers, csv=tmp_path / 'a.csv', coco=tmp_path / 'a.json'))
        assert '\n' not in str(error.value)
        assert sorted(f.name for f in tmp_path.iterdir()) == before


def third(name):
    """Return a third mask of which nothing can be made, and what is said of it."""
    drawn = recorded.masks(3)[2]
    png = recorded.compressed(2, drawn)
    png.data = png.data[:40]
    return {
        'colours': (recorded.raw(2, recorded.frame(drawn) * np.uint8([1, 2, 3]), 'bgr8'),
                    r'got colours: \[\d+, \d+, \d+\] at row 10, column 6'),
        'high': (recorded.raw(2, drawn.astype(np.uint16) * 20, '16UC1'),
                 r'expected class ids in 0\.\.255, got 300'),
        'negative': (recorded.raw(2, drawn.astype(np.int32) - 1, '32SC1'), 'got -1'),
        'encoding': (recorded.raw(2, drawn, 'bayer_rggb8'), "expected .*, got 'bayer_rggb8'"),
        'short': (recorded.raw(2, drawn, 'mono8', data=np.zeros(9, np.uint8)),
                  'expected 4800 bytes'),
        'no pixels': (recorded.raw(2, np.zeros((1, 0), np.uint8), 'mono8'), 'got 0x1'),
        'bytes': (b'\x00\x01\x00\x00abc', 'got 7 bytes'),
        'cut message': (bytes(typestore().serialize_cdr(
            recorded.raw(2, drawn, 'mono8'), IMAGE))[:999], 'got 999 bytes'),
        'stray stamp': (recorded.raw(-10**9, drawn, 'mono8'), 'is far from those before and'),
        'twice': (recorded.raw(1, drawn, 'mono8'), r'its stamp 1700000000\.100 s was there'),
        'png': (png, 'got 40 bytes that are cut off'),
    }[name]


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('name', ['colours', 'high', 'negative', 'encoding', 'short', 'no pixels',
                                  'bytes', 'cut message', 'stray stamp', 'twice', 'png'])
def test_one_bad_mask_is_left_out_and_named(tmp_path, name, workers, capsys):
    bad, words = third(name)
    topic, kind = (MASK_PNG, COMPRESSED) if name == 'png' else (MASK, IMAGE)
    source = recorded.write(tmp_path / 'in', {topic: kind}, [
        (topic, k, bad if k == 2 else recorded.compressed(k, m) if name == 'png' else
         recorded.raw(k, m, 'mono8')) for k, m in enumerate(recorded.masks())])
    assert main(['process', str(source), str(tmp_path / 'out'), '--workers', str(workers)]) == 1
    said = capsys.readouterr()
    assert re.search(rf'{topic}: message 2 at 1700000000\.200 s: .*{words}.*: left out', said.err)
    assert f'left out: 1 of {topic}' in said.err
    assert '5 frames' in said.out
    assert [r.stamp_ns for r in results(tmp_path / 'out')] == [
        recorded.START_NS + k * recorded.STEP_NS for k in (0, 1, 3, 4, 5)]
    assert main(['info', str(source)]) == 1
    assert 'message 2' in capsys.readouterr().out


@pytest.mark.parametrize('form', ['empty', 'cut', 'small'])
def test_one_bad_frame_costs_its_overlay_only(tmp_path, form):
    image, messages = '/camera/image_raw/compressed', []
    for k, mask in enumerate(recorded.masks()):
        frame = recorded.compressed(k, recorded.frame(mask[:30] if form == 'small' and k == 2
                                                      else mask), 90)
        if k == 2 and form != 'small':
            frame.data = frame.data[:len(frame.data) // 2 if form == 'cut' else 0]
        messages += [(MASK, k, recorded.raw(k, mask, 'mono8')), (image, k, frame)]
    source = recorded.write(tmp_path / 'in', {MASK: IMAGE, image: COMPRESSED}, messages)
    summary = process(source, tmp_path / 'out', Options(overlays=True))
    assert (summary.frames, summary.overlays, summary.complete) == (6, 5, False)
    assert any(f'{image}: message 2 at' in note for note in summary.notes)
    with Bag(tmp_path / 'out') as bag:
        assert bag.topics['/overlay/image/compressed'].count == 5


def test_two_cameras_are_chosen_by_name(tmp_path, capsys):
    topics = {f'/{side}/camera/semantic_mask': IMAGE for side in ('left', 'right')}
    recorded.write(tmp_path / 'two', topics, [
        (topic, k, recorded.raw(k, mask * (1 if 'left' in topic else 0), 'mono8'))
        for k, mask in enumerate(recorded.masks()) for topic in topics])
    assert main(['process', str(tmp_path / 'two'), str(tmp_path / 'out'), '--workers', '0']) == 2
    assert 'give the whole name' in capsys.readouterr().err
    assert main(['process', str(tmp_path / 'two'), str(tmp_path / 'out'), '--workers', '0',
                 '--topics', 'mask=/right/camera/semantic_mask']) == 0
    assert '6 frames, 0 instances' in capsys.readouterr().out
    with Bag(tmp_path / 'out') as bag:
        assert '/right/tracker/tracks' in bag.topics


def test_out_that_is_there_is_not_touched(source, tmp_path, capsys):
    (tmp_path / 'out').mkdir()
    assert main(['process', str(source), str(tmp_path / 'out')]) == 2
    assert 'exists already' in capsys.readouterr().err
    assert list((tmp_path / 'out').iterdir()) == []


def test_full_disk_leaves_nothing(source, tmp_path, monkeypatch):
    def full(fd, data, offset):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('instseg_ros.recordings.writer.os.pwrite', full)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RecordingError, match='disk is full; nothing was kept'):
        process(source, tmp_path / 'out', Options())
    assert sorted(tmp_path.iterdir()) == before


def params(tmp_path, text):
    file = tmp_path / 'params.yaml'
    file.write_text(text)
    return file


def test_parameter_files(tmp_path):
    file = params(tmp_path, """
/**:
  ros__parameters:
    use_sim_time: true
    jpeg_quality: 55
    dist_threshold: 0.2
/robot1/instance_segmentation_node:
  ros__parameters: {dist_threshold: 1, ignored_classes: [3, 4], qos_overrides: {a: {depth: 3}}}
robot1:
  tracker_node:
    ros__parameters:
      confirm_frames: 4
""")
    settings = read_settings([file], ['max_lost_s=0.5', 'camera_node.frame_id=front'])
    assert settings['instance_segmentation_node'] == SegmentationSettings(
        dist_threshold=1.0, ignored_classes=(3, 4))
    assert settings['tracker_node'] == TrackingSettings(confirm_frames=4, max_lost_s=0.5)
    assert settings['overlay_node'] == OverlaySettings(jpeg_quality=55)
    assert settings['camera_node'].frame_id == 'front'


def test_the_file_of_the_package_has_the_defaults():
    file = recorded.SAMPLE.parent / 'config' / 'pipeline.yaml'
    assert read_settings([file]) == read_settings()


@pytest.mark.parametrize('text, words', [
    ('tracker_node: {ros__parameters: {dist_threshold: 1}}',
     'tracker_node: dist_threshold: no such parameter'),
    ('tracker_node: {ros__parameters: {max_lost_s: 100}}',
     r'max_lost_s: expected a number in \[0, 60\], got 100'),
    ('tracker_node: {max_lost_s: 1}', 'expected nodes with ros__parameters, got 1'),
    ('tracker_node: {ros__parameters: 3}', 'expected parameters, got 3'),
    ('a: [', 'expected YAML, got something else in line 1, column 5'), ('[1]', 'expected nodes')])
def test_bad_parameter_files(tmp_path, text, words):
    with pytest.raises(SettingsError, match=words) as refused:
        read_settings([params(tmp_path, text)])
    assert 'params.yaml' in str(refused.value)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('number', ['5e-01', '5E-1', '.5e0', '0.5', '+5.e-1'])
def test_numbers_are_those_of_ros(tmp_path, number):
    file = params(tmp_path, f'tracker_node: {{ros__parameters: {{max_lost_s: {number}}}}}')
    assert read_settings([file])['tracker_node'].max_lost_s == 0.5
    assert read_settings((), [f'max_lost_s={number}'])['tracker_node'].max_lost_s == 0.5


def test_file_of_a_whole_robot_and_of_all_nodes(tmp_path):
    """What is meant for other nodes is nothing to complain about; the last file wins."""
    robot = tmp_path / 'robot.yaml'
    robot.write_text('\ufeff' """
controller_server:
  ros__parameters: {controller_frequency: 20.0, plugins: [a, b], goal: {xy: 0.1}}
/**:
  ros__parameters: {use_sim_time: true, robot_radius: 0.2, dist_threshold: 0.4}
instance_segmentation_node:
  ros__parameters: {size_threshold: 30}
""")
    more = params(tmp_path, '/**/instance_segmentation_node:\n'
                  '  ros__parameters: {size_threshold: 5}')
    found = read_settings([robot, more])['instance_segmentation_node']
    assert (found.dist_threshold, found.size_threshold) == (0.4, 5)


@pytest.mark.parametrize('assignment, words', [
    ('max_lost_s', 'expected name=value'), ('dist=1', 'no such parameter'),
    ('dist_threshold=high', "expected a number in .*, got 'high'"),
    ('trackr.max_lost_s=1', 'expected one of camera_node'), ('max_lost_s=[', r"got '\['")])
def test_bad_assignments(assignment, words):
    with pytest.raises(SettingsError, match='--set.*' + words):
        read_settings(assignments=[assignment])


def test_parameters_of_a_run_are_kept(source, tmp_path):
    assert main(['process', str(source), str(tmp_path / 'out'), '--workers', '0',
                 '--set', 'size_threshold=77']) == 0
    with Bag(tmp_path / 'out') as bag:
        kept = json.loads(bag.custom_data['instseg_parameters'])
    assert kept['instance_segmentation_node']['size_threshold'] == 77


@pytest.mark.parametrize('arguments', [
    ['--params', 'missing.yaml'], ['--topics', 'depth=/a'], ['--topics', 'mask'],
    ['--workers', '-1'], ['--set', 'a=b']])
def test_bad_arguments_end_with_2(source, tmp_path, arguments, capsys):
    assert main(['process', str(source), str(tmp_path / 'out'), *arguments]) == 2
    assert capsys.readouterr().err.startswith('instseg: ')
    assert not (tmp_path / 'out').exists()


def test_named_frames_have_to_be_there(source, tmp_path, capsys):
    assert main(['process', str(source), str(tmp_path / 'out'), '--topics', 'image=/rgb']) == 2
    assert 'expected a topic /rgb' in capsys.readouterr().err
