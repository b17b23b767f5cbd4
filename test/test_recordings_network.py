"""Recordings of networks that give instances by themselves."""

import dataclasses

from instseg_ros.cameras import Camera, CameraSettings, Capture, EndOfStream, open_camera
from instseg_ros.cli import main
from instseg_ros.core import (Instances, SegmentationSettings, Segmenter, Tracker,
                              TrackingSettings)
from instseg_ros.errors import RecordingError
from instseg_ros.messages import typestore
from instseg_ros.messages.detections import instances_to_detections
from instseg_ros.recordings import Bag
from instseg_ros.recordings.processing import Options, process
from instseg_ros.recordings.recorder import Recorder
from instseg_ros.recordings.results import read_results
import numpy as np
import pytest
import recorded
from recorded import COMPRESSED, START_NS, STEP_NS

MASK, IMAGE = '/camera/semantic_mask/compressed', '/camera/image_raw/compressed'
LABELS, INSTANCES = '/camera/instance_mask/compressed', '/camera/instances'
ARRAY = 'vision_msgs/msg/Detection2DArray'
NAMES = {0: 'background', 1: 'person'}


def seen(index):
    """Return what a network knows of two people that overlap; the mask shows one thing."""
    labels = np.zeros((60, 80), np.uint16)
    labels[10:50, 20 + index:40 + index] = 2
    labels[15:45, 10 + index:30 + index] = 1
    boxes = np.array([(10, 15, 30, 45), (20, 10, 40, 50)], np.int32) + (index, 0, index, 0)
    return Instances(labels, np.array([1, 1], np.uint8), np.bincount(labels.ravel())[1:],
                     np.array([0.9, 0.75]), boxes,
                     np.array([(20 + index, 30, 30, 20, np.pi / 2),
                               (30 + index, 30, 40, 20, np.pi / 2)]))


FOUND = [seen(k) for k in range(6)]


class Script(Camera):
    """Gives frames, masks and instances; says the names of the classes with the first mask."""

    def __init__(self):
        super().__init__(CameraSettings())
        self.class_names = {}
        self._left = list(enumerate(FOUND))

    def read(self, timeout_s):
        if not self._left:
            raise EndOfStream('over')
        k, found = self._left.pop(0)
        self.class_names = self.class_names or NAMES
        mask = (found.labels > 0).astype(np.uint8)
        return Capture(START_NS + k * STEP_NS, recorded.frame(mask), mask, found)

    def close(self):
        pass


@pytest.fixture
def source(tmp_path):
    Recorder(tmp_path / 'in', Script(), CameraSettings()).run()
    return tmp_path / 'in'


def assert_same(one, other):
    for field in dataclasses.fields(Instances):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def results(path):
    with Bag(path) as bag:
        return list(read_results(bag))


def rewritten(source, out, keep=lambda topic, k: True, order=lambda messages: messages):
    """Write a recording again without some messages, or in another order."""
    with Bag(source) as bag:
        messages = [(topic, (time_ns - START_NS) // STEP_NS, data)
                    for topic, time_ns, data in bag.messages(bag.topics)]
        kinds = {name: topic.msgtype for name, topic in bag.topics.items()}
    return recorded.write(out, kinds, order([m for m in messages if keep(m[0], m[1])]))


def test_what_is_recorded(source, tmp_path, capsys):
    with Bag(source) as bag:
        assert {n: bag.topics[n].count for n in (MASK, LABELS, INSTANCES)} == dict.fromkeys(
            (MASK, LABELS, INSTANCES), 6)
        assert bag.class_names() == NAMES
    assert main(['info', str(source)]) == 0
    said = capsys.readouterr().out
    assert '12 that the network gave by itself with 6 of 6 masks' in said
    Recorder(tmp_path / 'masks', Script(), CameraSettings(), masks_only=True).run()
    with Bag(tmp_path / 'masks') as bag:
        assert IMAGE not in bag.topics
        assert bag.topics[INSTANCES].count == 6
    # A network of class ids has no such topics.
    assert main(['record', str(tmp_path / 'classes'), '--source', 'synthetic', '--duration', '1',
                 '--set', 'width=64', '--set', 'height=48']) == 0
    with Bag(tmp_path / 'classes') as bag:
        assert not {LABELS, INSTANCES} & set(bag.topics)


def test_first_frames_without_an_answer(tmp_path):
    """As of an AI Camera: its network is not done, and nobody knows what it gives."""
    camera = Script()
    recorder = Recorder(tmp_path / 'in', camera, CameraSettings())
    for k in (2, 1):
        recorder._write_capture(Capture(START_NS - k * STEP_NS, recorded.frame(
            np.zeros((60, 80), np.uint8)), None))
    recorder.run()
    with Bag(tmp_path / 'in') as bag:
        assert bag.class_names() == NAMES
        assert bag.topics[INSTANCES].count == 6
    process(tmp_path / 'in', tmp_path / 'out', Options())
    assert len(results(tmp_path / 'out')) == 6


def test_recording_that_is_killed_keeps_them(tmp_path):
    recorder = Recorder(tmp_path / 'in', Script(), CameraSettings())
    recorder._write_capture(Capture(START_NS - STEP_NS, recorded.frame(
        np.zeros((60, 80), np.uint8)), None))
    for k, found in enumerate(FOUND):
        # A sync may come when there are more topics than at the checkpoint before.
        recorder._writer.checkpoint()
        recorder._write_capture(Capture(START_NS + k * STEP_NS, None,
                                        (found.labels > 0).astype(np.uint8), found))
        recorder._writer.sync()
    recorder._writer.checkpoint()
    recorder._writer.abort()
    process(tmp_path / 'in', tmp_path / 'out', Options())
    assert len(results(tmp_path / 'out')) == 6


def test_played_as_they_were_recorded(source):
    camera = open_camera(CameraSettings(source=str(source), loop=False, playback_rate=100.0))
    assert camera.class_names == NAMES
    for k, found in enumerate(FOUND):
        capture = None
        while capture is None:
            capture = camera.read(5.0)
        assert capture.stamp_ns == START_NS + k * STEP_NS
        assert_same(capture.instances, found)
        np.testing.assert_array_equal(capture.mask, found.labels > 0)
        assert capture.frame is not None
    camera.close()


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('settings', [{}, {'min_score': 0.8}, {'memory': True},
                                      {'instances_from': 'network'}])
def test_results_are_those_of_the_core(source, tmp_path, settings, workers):
    settings = SegmentationSettings(**settings)
    summary = process(source, tmp_path / 'out', Options(settings, workers=workers))
    assert summary.from_network
    assert summary.complete
    segmenter, tracker = Segmenter(settings), Tracker(TrackingSettings())
    tracker.follow(settings)
    found = results(tmp_path / 'out')
    assert len(found) == 6
    for k, result in enumerate(found):
        expected = segmenter.update(FOUND[k], START_NS + k * STEP_NS)
        assert len(expected) == (1 if settings.min_score else 2)
        assert_same(result.instances, expected)
        ids = tracker.update(expected, START_NS + k * STEP_NS).tolist()
        assert result.ids == [str(i) if i else '' for i in ids]


def test_both_ways_are_compared(source, tmp_path, capsys):
    network, mask, again = (str(tmp_path / name) for name in ('network', 'mask', 'again'))
    small = ['--set', 'size_threshold=5', '--workers', '0']
    assert main(['process', str(source), network, *small]) == 0
    assert '12 instances of the network' in capsys.readouterr().out
    assert main(['process', network, mask, *small, '--set', 'instances_from=mask',
                 '--set', 'dist_threshold=0.0']) == 0
    assert '6 instances,' in capsys.readouterr().out
    segmenter = Segmenter(SegmentationSettings(size_threshold=5, dist_threshold=0.0))
    for k, result in enumerate(results(tmp_path / 'mask')):
        assert_same(result.instances, segmenter.update(
            (FOUND[k].labels > 0).astype(np.uint8), START_NS + k * STEP_NS))
    assert main(['compare', network, mask]) == 0
    said = capsys.readouterr().out
    assert 'instances_from: auto in A, mask in B' in said
    assert 'instances: 12 in A, 6 in B' in said
    # What was copied is still there, and gives the same again.
    assert main(['process', mask, again, *small]) == 0
    capsys.readouterr()
    assert main(['compare', network, again]) == 0
    assert '6 of 6 frames are the same' in capsys.readouterr().out


def test_mask_alone_can_be_split_only(tmp_path):
    recorded.record(tmp_path / 'in')
    with pytest.raises(RecordingError, match='instances_from=network: expected .*, got none'):
        process(tmp_path / 'in', tmp_path / 'out',
                Options(SegmentationSettings(instances_from='network')))
    assert not process(tmp_path / 'in', tmp_path / 'out', Options()).from_network


@pytest.mark.parametrize('gone', [LABELS, INSTANCES])
def test_one_lost_message_costs_its_frame(source, tmp_path, gone, capsys):
    path = rewritten(source, tmp_path / 'holes', lambda topic, k: (topic, k) != (gone, 2))
    assert main(['process', str(path), str(tmp_path / 'out')]) == 1
    said = capsys.readouterr().err
    assert f'{MASK}: message 2 at ' in said
    assert 'expected instances of the network of the same stamp' in said
    assert len(results(tmp_path / 'out')) == 5
    assert main(['info', str(path)]) == 1
    assert '1 masks have none of the same stamp' in capsys.readouterr().out
    # Its mask is there to be split.
    assert main(['process', str(path), str(tmp_path / 'split'), '--set', 'instances_from=mask',
                 '--set', 'size_threshold=5']) == 0
    assert len(results(tmp_path / 'split')) == 6


def test_one_topic_without_the_other(source, tmp_path, capsys):
    path = rewritten(source, tmp_path / 'half', lambda topic, k: topic != LABELS)
    assert not process(path, tmp_path / 'out', Options()).from_network
    assert main(['info', str(path)]) == 0
    assert 'cannot be used without the other one' in capsys.readouterr().out


def test_messages_in_another_order(source, tmp_path):
    path = rewritten(source, tmp_path / 'mixed', order=lambda messages: sorted(
        messages, key=lambda m: (m[1] // 3, m[0] == LABELS, m[0])))
    summary = process(path, tmp_path / 'out', Options())
    assert summary.complete
    assert [r.stamp_ns for r in results(tmp_path / 'out')] == [
        START_NS + k * STEP_NS for k in range(6)]


def test_instances_that_do_not_fit_their_mask(source, tmp_path, capsys):
    types = typestore()
    wrong = bytes(types.serialize_cdr(instances_to_detections(
        types.types, Segmenter(SegmentationSettings(min_score=0.8)).update(FOUND[3], 0),
        recorded.header(3)), ARRAY))
    with Bag(source) as bag:
        messages = [(topic, (time_ns - START_NS) // STEP_NS, data)
                    for topic, time_ns, data in bag.messages(bag.topics)]
        kinds = {name: topic.msgtype for name, topic in bag.topics.items()}
    messages = [(t, k, wrong if (t, k) == (INSTANCES, 3) else data) for t, k, data in messages]
    recorded.write(tmp_path / 'wrong', kinds, messages)
    assert main(['process', str(tmp_path / 'wrong'), str(tmp_path / 'out')]) == 1
    assert 'expected an instance mask with labels up to 1' in capsys.readouterr().err
    assert len(results(tmp_path / 'out')) == 5
    assert kinds[LABELS] == COMPRESSED
    camera = open_camera(CameraSettings(source=str(tmp_path / 'wrong'), loop=False,
                                        playback_rate=100.0))
    said = []
    camera.report = said.append
    captures = list(camera.captures())
    camera.close()
    assert [c.instances is None for c in captures] == [k == 3 for k in range(6)]
    assert all(c.mask is not None for c in captures)
    assert len(said) == 1
