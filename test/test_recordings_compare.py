"""`instseg info` and `instseg compare`: what a person wants to know of recordings."""

import json

import cv2
from instseg_ros.cli import main
from instseg_ros.core import segment_instances, SegmentationSettings
from instseg_ros.messages import topics
from instseg_ros.recordings.comparison import compare, Difference, match, same_tracks
from instseg_ros.recordings.processing import Options, process
from instseg_ros.recordings.results import Result
import numpy as np
import pytest
import recorded


def instances(mask):
    return segment_instances(mask, SegmentationSettings(size_threshold=0))


def test_match_finds_the_same_objects():
    first = recorded.masks(1)[0]
    second = first.copy()
    second[50:58, 30:50] = 0    # the car is gone
    second[10:40, 2:5] = 0      # a person is 3 of 12 columns thinner
    pairs, pixels = match(instances(first), instances(second))
    assert sorted(instances(first).class_ids[i] for i, _ in pairs) == [15, 15]
    assert pixels == 8 * 20 + 30 * 3
    people = 12 * 30 + 12 * 32
    assert match(instances(first), instances(first[:50])) == ([], 2 * people + 160)


def test_objects_of_another_class_are_others():
    person, car = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    person[5:15, 5:15], car[5:15, 5:15] = 15, 7
    assert match(instances(person), instances(car)) == ([], 100)


def test_ids_are_the_same_when_only_their_numbers_differ():
    people = instances(np.where(recorded.masks(1)[0] == 15, 15, 0).astype(np.uint8))
    a = [Result(k, people, ['1', '2']) for k in range(5)]
    b = [Result(k, people, ['7', '1'] if k != 3 else ['1', '7']) for k in range(5)]
    differences = list(compare(a, b))
    same = same_tracks(differences)
    assert same == {'1': '7', '2': '1'}
    assert [len(d.other_ids(same)) for d in differences] == [0, 0, 0, 2, 0]


def test_frames_of_one_recording_only():
    empty = instances(np.zeros((4, 4), np.uint8))
    a = [Result(k, empty, []) for k in (1, 2, 4)]
    b = [Result(k, empty, []) for k in (2, 3, 4)]
    assert [(d.stamp_ns, d.counts) for d in compare(a, b)] == [
        (1, (0, None)), (2, (0, 0)), (3, (None, 0)), (4, (0, 0))]
    assert next(compare(a, b)) == Difference(1, (0, None), (0, 0), 0, (), ())


@pytest.fixture
def processed(tmp_path):
    source = recorded.record(tmp_path / 'in')
    process(source, tmp_path / 'a', Options())
    process(source, tmp_path / 'b', Options(SegmentationSettings(size_threshold=200)))
    return tmp_path


def test_same_recordings(processed, capsys):
    assert main(['compare', str(processed / 'a'), str(processed / 'a')]) == 0
    assert '6 of 6 frames are the same' in capsys.readouterr().out


def test_what_a_parameter_did(processed, capsys):
    pictures = processed / 'pictures'
    assert main(['compare', str(processed / 'a'), str(processed / 'b'),
                 '--pictures', str(pictures), '--worst', '2']) == 0
    said = capsys.readouterr().out
    assert 'instance_segmentation_node.size_threshold: -1 in A, 200 in B' in said
    assert '6 of A and 0 of B have no partner' in said
    assert '0 of 6 frames are the same' in said
    assert '3 instances in A and 2 instances in B (1 and 0 without partner); 160 pixels' in said
    files = sorted(pictures.iterdir())
    assert len(files) == 1  # one in each second
    picture = cv2.imread(str(files[0]))
    assert picture.shape == (60 + 24, 2 * 80 + 4, 3)
    left, right = picture[24:, :80], picture[24:, 84:]
    assert np.any(np.all(left[45:] == 255, axis=2))  # the outline of the car
    assert not np.any(np.all(right[45:] == 255, axis=2))


def test_recording_without_results(processed, capsys):
    assert main(['compare', str(processed / 'a'), str(processed / 'in')]) == 2
    assert '`instseg process` makes them' in capsys.readouterr().err


def test_info_of_a_recording(processed, capsys):
    assert main(['info', str(processed / 'a')]) == 0
    said = capsys.readouterr().out
    assert '6 messages   10.0 Hz  sensor_msgs/msg/CompressedImage' in said
    assert '80x60 pixels; the first one shows background, car, person' in said
    assert 'every mask has the frame of the same stamp' in said
    assert 'calibration: missing' in said
    assert 'detections, instance_segmentation/instance_mask, tracker/tracks are in it' in said


def test_info_says_what_is_missing(tmp_path, capsys):
    recorded.write(tmp_path / 'frames', {'/rgb': recorded.IMAGE}, [
        ('/rgb', 0, recorded.raw(0, recorded.frame(recorded.masks(1)[0]), 'bgr8'))])
    assert main(['info', str(tmp_path / 'frames')]) == 1
    assert 'masks: missing.' in capsys.readouterr().out
    topic = '/camera/semantic_mask'
    recorded.write(tmp_path / 'bad', {topic: recorded.IMAGE}, [
        (topic, k, recorded.raw(k if k != 3 else 0, m, 'mono8'))
        for k, m in enumerate(recorded.masks())])
    assert main(['info', str(tmp_path / 'bad')]) == 1
    said = capsys.readouterr().out
    assert (f'damaged: {topic}: message 3 at 1700000000.300 s: its stamp 1700000000.000 s was '
            'there before: left out') in said
    assert 'frames: missing' in said
    assert 'names: missing' in said
    assert 'results: none yet' in said
    assert main(['info', str(tmp_path / 'nothing')]) == 2


def test_unfinished_recording_is_named_and_repaired(tmp_path, capsys):
    data = (recorded.SAMPLE / 'sample.mcap').read_bytes()
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / 'bag.mcap').write_bytes(data[:len(data) // 2])
    main(['info', str(tmp_path / 'bag')])
    assert 'It was never ended' in capsys.readouterr().out
    assert main(['repair', str(tmp_path / 'bag')]) == 0
    assert 'whole, ' in capsys.readouterr().out
    main(['info', str(tmp_path / 'bag')])
    assert 'never ended' not in capsys.readouterr().out
    assert main(['repair', str(tmp_path)]) == 2


def test_layout_shows_what_there_is():
    layout = json.loads((recorded.SAMPLE.parent / 'config' / 'foxglove_layout.json').read_text())

    def panels(node):
        return [node] if isinstance(node, str) else panels(node['first']) + panels(node['second'])

    assert sorted(panels(layout['layout'])) == sorted(layout['configById'])
    images = {c['imageMode']['imageTopic'].lstrip('/').removesuffix('/compressed')
              for c in layout['configById'].values() if 'imageMode' in c}
    assert images == {topics.IMAGE, topics.CLASSES, topics.INSTANCE_MASK, topics.OVERLAY}
