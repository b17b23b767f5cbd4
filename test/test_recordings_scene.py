"""Scenes in recordings: topics, tables, comparison, and what is saved around events."""

import csv
import re

from instseg_ros.cli import main
from instseg_ros.messages import typestore
from instseg_ros.recordings.bag import Bag
from instseg_ros.recordings.event_recorder import EventRecorder
from instseg_ros.recordings.scene import read_events
import numpy as np
import pytest
from recorded import record, SAMPLE, START_NS

SCENE = """
/**/scene_node:
  ros__parameters:
    selections: [left, gate, pair]
    left:
      classes: [person]
      zone: [0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0]
    gate:
      line: [0.5, 1.0, 0.5, 0.0]
    pair: {classes: ['15'], with: [person], relation: near, distance: 20.0,
           distance_units: pixels}
"""


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / 'scene.yaml'
    path.write_text(SCENE)
    return path


def walking():
    """Return masks of somebody who walks from the left to the right, past somebody."""
    drawn = []
    for k in range(12):
        mask = np.zeros((60, 80), np.uint8)
        mask[10:40, 5 + 4 * k:15 + 4 * k] = 15
        mask[30:58, 66:76] = 15
        drawn.append(mask)
    return drawn


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def run(*arguments):
    return main([str(a) for a in arguments])


def test_process_writes_the_topics_and_the_table(tmp_path, scene):
    source = record(tmp_path / 'in', walking())
    assert run('process', source, tmp_path / 'out', '--scene', scene, '--events',
               tmp_path / 'events.csv', '--workers', 0) == 0
    events = rows(tmp_path / 'events.csv')
    assert [(e['selection'], e['event'], e['class_name']) for e in events
            if e['selection'] == 'gate'] == [('gate', 'forward', 'person')]
    assert events[0] == {
        'stamp_ns': str(START_NS), 'time': f'{START_NS // 10**9}.000000000', 'selection': 'left',
        'event': 'entered', 'track_id': '2', 'class_id': '15', 'class_name': 'person',
        'stay_s': '0.000'}
    assert [e['event'] for e in events if e['selection'] == 'pair'][:2] == ['entered'] * 2
    with Bag(tmp_path / 'out') as bag:
        assert bag.topics['/scene/left/tracks'].count == 12
        assert bag.topics['/scene/left/tracks'].msgtype == 'vision_msgs/msg/Detection2DArray'
        found = sorted((str(e.stamp_ns), e.selection, e.kind, e.track_id)
                       for e in read_events(bag))
        counts = [bag.decode(*m).data for m in bag.messages(['/scene/gate/forward_count'])]
    assert found == sorted((e['stamp_ns'], e['selection'], e['event'], e['track_id'])
                           for e in events)
    assert counts == [0, 1]


def test_results_do_not_depend_on_workers(tmp_path, scene):
    for workers in (0, 2):
        assert run('process', SAMPLE, tmp_path / f'out{workers}', '--scene', scene, '--events',
                   tmp_path / f'{workers}.csv', '--workers', workers) == 0
    assert (tmp_path / '0.csv').read_bytes() == (tmp_path / '2.csv').read_bytes()
    assert len(rows(tmp_path / '0.csv')) > 10


def test_compare_names_the_events_that_differ(tmp_path, scene, capsys):
    source = record(tmp_path / 'in', walking())
    for name, options in (('a', ()), ('b', ('--set', 'left.stay_s=0.3'))):
        assert run('process', source, tmp_path / name, '--scene', scene, '--workers', 0,
                   *options) == 0
    capsys.readouterr()
    assert run('compare', tmp_path / 'a', tmp_path / 'b') == 0
    said = capsys.readouterr().out
    assert 'scene_node.left.stay_s: 0.0 in A, 0.3 in B' in said
    assert 'events: ' in said
    assert '1700000000.000 s: left entered, track 2, only in A' in said
    assert '1700000000.300 s: left entered, track 2, only in B' in said


@pytest.mark.parametrize(('text', 'said'), [
    ('selections: [a], a: {zone: [0.1, 0.2]}', 'a.zone: expected x and y of 3 to 100 points'),
    ('selections: [a], a: {colour: red}', 'a.colour: no such parameter'),
    ('selections: [a], b: {stay_s: 1.0}', 'b.stay_s: no such parameter'),
    ('selections: [a], a: {classes: [persn]}', "a: expected classes out of .*person.* 'persn'"),
    ('selections: []', '--events: expected selections, got none'),
])
def test_scenes_that_make_no_sense_are_refused(tmp_path, capsys, text, said):
    path = tmp_path / 'scene.yaml'
    path.write_text('/**/scene_node: {ros__parameters: {' + text + '}}')
    source = record(tmp_path / 'in')
    assert run('process', source, tmp_path / 'out', '--scene', path, '--events',
               tmp_path / 'events.csv', '--workers', 0) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / 'out').exists()


class Clip:
    """An event recorder that is fed ten messages a second."""

    def __init__(self, folder, **limits):
        self.said = []
        self.recorder = EventRecorder(
            folder, {'/a': ('std_msgs/msg/UInt32', False), '/l': ('std_msgs/msg/UInt32', True)},
            lambda text, well: self.said.append((text, well)))
        self.limits = {'keep_s': 10.0, 'most_bytes': 10**6} | limits
        self.number = 0

    def feed(self, count, topic='/a'):
        for _ in range(count):
            store = typestore()
            data = bytes(store.serialize_cdr(store.types['std_msgs/msg/UInt32'](
                data=self.number), 'std_msgs/msg/UInt32'))
            self.recorder.add(topic, self.now, data, **self.limits)
            self.number += 1

    @property
    def now(self):
        return START_NS + self.number * 10**8


def numbers(folder):
    with Bag(folder) as bag:
        return [bag.decode(*m).data for m in bag.messages(['/a'])], bag.topics['/l'].count


def test_the_time_before_and_after_an_event_is_saved(tmp_path):
    clip = Clip(tmp_path)
    clip.feed(1, '/l')
    clip.feed(19)
    clip.recorder.happened('door', clip.now, 0.5, 0.3)
    clip.feed(10)
    clip.recorder.close()
    (folder,) = tmp_path.iterdir()
    assert numbers(folder) == (list(range(15, 24)), 1)
    assert clip.said == [(f'event recorded: {folder}, 10 messages', True)]


def test_events_that_follow_each_other_are_one_recording(tmp_path):
    clip = Clip(tmp_path)
    clip.feed(10)
    for _ in range(2):
        clip.recorder.happened('door', clip.now, 0.2, 0.5)
        clip.feed(3)
    clip.feed(10)
    clip.recorder.happened('door', clip.now, 0.2, 0.0)
    clip.recorder.close()
    assert [numbers(f)[0] for f in sorted(tmp_path.iterdir())] == [
        list(range(8, 19)), list(range(24, 26))]


def test_memory_has_a_limit(tmp_path):
    clip = Clip(tmp_path, most_bytes=80)  # 8 bytes a message
    clip.feed(100)
    clip.recorder.happened('door', clip.now, 60.0, 0.0)
    clip.recorder.close()
    assert numbers(next(tmp_path.iterdir()))[0] == list(range(90, 100))


def test_a_folder_that_cannot_be_made_is_said_and_the_next_event_is_tried(tmp_path):
    (tmp_path / 'events').write_text('in the way')
    clip = Clip(tmp_path / 'events')
    clip.feed(3)
    clip.recorder.happened('door', clip.now, 1.0, 0.0)
    clip.feed(3)
    clip.recorder.close()
    assert [well for _, well in clip.said] == [False]
    assert 'given up' in clip.said[0][0]
