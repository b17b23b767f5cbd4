"""What is behind the page, without a browser: reading, processing, pictures, files."""

import asyncio
import threading
import time

import cv2
from instseg_ros.cameras import CameraSettings
from instseg_ros.core import (segment_instances, SegmentationSettings, SettingsError)
from instseg_ros.errors import CameraError, RecordingError
from instseg_ros.recordings import Bag
from instseg_ros.recordings.parameters import read_settings
from instseg_ros.recordings.processing import Options, process
from instseg_ros.recordings.results import read_results
from instseg_ros.tuning.latest import Latest
from instseg_ros.tuning.source import Source
from instseg_ros.tuning.state import Tuning
from instseg_ros.tuning.timeline import draw_timeline, jumps
import numpy as np
import pytest
import recorded

SEGMENTATION, TRACKER = 'instance_segmentation_node', 'tracker_node'
TIMEOUT_S = 40.0


def tuning(source, folder, **camera):
    settings = read_settings()
    source = Source(CameraSettings(source=str(source), **camera))
    return Tuning(source, settings, folder / 'p.yaml', folder / 'm.json')


async def until(condition):
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def run(state, test):
    """Run a test in the event loop while the state works."""
    async def whole():
        state.start()
        try:
            await until(lambda: state.opened)
            await test()
        finally:
            state.close()
    before = set(threading.enumerate())
    asyncio.run(whole())
    left = {t for t in set(threading.enumerate()) - before if t.name.startswith('pict')}
    assert not left


@pytest.fixture
def recording(tmp_path):
    return recorded.record(tmp_path / 'in', recorded.masks(12))


@pytest.mark.parametrize('changes', [{}, {'memory': True, 'size_threshold': 5}])
def test_whole_recording_is_what_process_makes_of_it(recording, tmp_path, changes):
    state = tuning(recording, tmp_path)

    async def test():
        await state.change(SEGMENTATION, changes)
        await until(lambda: state.run.complete)

    run(state, test)
    process(recording, tmp_path / 'out', Options(SegmentationSettings(**changes)))
    with Bag(tmp_path / 'out') as bag:
        expected = list(read_results(bag))
    assert len(state.run.results) == len(expected) == 12
    for found, result in zip(state.run.results, expected, strict=True):
        assert np.array_equal(found.packed.unpack().labels, result.instances.labels)
        assert [str(i) if i else '' for i in found.ids] == result.ids
    assert state.run.summary().ids == len({i for r in expected for i in r.ids if i})


def test_change_shows_at_once_and_is_true_later(recording, tmp_path):
    """The frame is split with the new settings before the recording is processed again."""
    state = tuning(recording, tmp_path)
    seen = []

    async def test():
        await until(lambda: state.run.complete and state.main and state.main.settled)
        state.listeners.append(lambda what: what == 'picture' and seen.append(state.main))
        await state.change(SEGMENTATION, {'size_threshold': 200})
        await until(lambda: state.run.complete and state.main.settled)

    run(state, test)
    assert seen[0].instances == seen[-1].instances == len(segment_instances(
        recorded.masks(12)[0], SegmentationSettings(size_threshold=200)))
    assert seen[0].ids == seen[-1].ids > 0  # those of the same objects before, then its own
    assert len({shown.version for shown in seen}) == len(seen)


def test_a_new_change_gives_up_the_old_run(recording, tmp_path):
    state = tuning(recording, tmp_path)

    async def test():
        for k in range(20):
            await state.change(SEGMENTATION, {'dist_threshold': k / 20})
            await asyncio.sleep(0.002)
        await until(lambda: state.run.complete)
        assert state.run.number == 21 and state.run.segmentation.dist_threshold == 0.95

    run(state, test)


def test_refused_change_changes_nothing(recording, tmp_path):
    state = tuning(recording, tmp_path)

    async def test():
        with pytest.raises(SettingsError, match='dist_threshold: expected a number in'):
            await state.change(SEGMENTATION, {'dist_threshold': 2.0, 'memory': True})
        assert state.settings[SEGMENTATION] == SegmentationSettings() and not state.unsaved

    run(state, test)


def test_only_the_newest_is_made():
    """What is asked for while something is made waits, and of that only the last is made."""
    begun, go_on, made = threading.Event(), threading.Event(), []

    def work(wanted):
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        made.append(wanted)

    latest = Latest('test', work)
    latest.ask(0)
    assert begun.wait(TIMEOUT_S)
    for k in range(1, 100):
        latest.ask(k)
    go_on.set()
    while made[-1:] != [99]:
        time.sleep(0.001)
    latest.close()
    assert made == [0, 99]


def test_saved_file_and_its_comparison(recording, tmp_path):
    state = tuning(recording, tmp_path)

    async def test():
        await until(lambda: state.run.complete)
        first = state.run
        await state.change(TRACKER, {'confirm_frames': 5})
        assert state.unsaved == {TRACKER: {'confirm_frames': 5}}
        await until(lambda: state.run.complete)
        assert state.saved_run is first
        state.save()
        assert state.saved_run is state.run and not state.unsaved
        lines = state.set_lines('robot1')
        assert 'ros2 param set /robot1/tracker_node confirm_frames 5' in lines
        assert ('ros2 param set /robot1/instance_segmentation_node upright_classes '
                "'[\"person\"]'") in lines
        await state.load('other.yaml', state.text().replace(
            'confirm_frames: 5', 'confirm_frames: 7').replace('loop: true', 'loop: false'))
        assert state.settings[TRACKER].confirm_frames == 7 and not state.unsaved
        assert state.settings['camera_node'].loop is False
        with pytest.raises(SettingsError, match=r'^bad.yaml: expected YAML'):
            await state.load('../../bad.yaml', '{')

    run(state, test)
    settings = read_settings([tmp_path / 'p.yaml'])
    assert settings[TRACKER].confirm_frames == 5
    assert sorted(f.name for f in tmp_path.iterdir()) == ['in', 'p.yaml']


def test_marks_are_kept(recording, tmp_path):
    state = tuning(recording, tmp_path)

    async def test():
        with pytest.raises(RecordingError, match='draw over instances, there is none'):
            state.mark('one', [(1, 1), (2, 2)])
        state.mark('one', [(4, 20), (10, 30)])
        state.show(3)
        state.mark('nothing', [(40, 54)])
        assert len(state.marks_here()) == 1 and state.marked_frames() == [0, 3]
        state.forget_mark(state.marks_here()[0])

    run(state, test)
    again = tuning(recording, tmp_path)
    assert again.marks == state.marks and len(again.marks) == 1
    (tmp_path / 'm.json').write_text('something of mine')

    broken = tuning(recording, tmp_path)
    assert 'm.json: expected marks' in broken.notes[0]

    async def keep():
        with pytest.raises(RecordingError, match='not kept until it is moved away'):
            broken.mark('one', [(4, 20), (10, 30)])

    run(broken, keep)
    assert (tmp_path / 'm.json').read_text() == 'something of mine'


def test_search_can_be_stopped_and_is_not_applied(recording, tmp_path):
    state = tuning(recording, tmp_path)

    async def test():
        state.mark('one', [(4, 20), (10, 30)])
        state.find_settings()
        assert state.search.running
        state.stop_search()
        assert state.search is None
        state.find_settings()
        await until(lambda: not state.search.running)
        assert state.search.found and state.settings[SEGMENTATION] == SegmentationSettings()

    run(state, test)


def test_folder_of_masks_with_frames_beside(tmp_path):
    folder = tmp_path / 'masks'
    folder.mkdir()
    for k, mask in enumerate(recorded.masks(3)):
        cv2.imwrite(str(folder / f'{k:04}.png'), cv2.resize(
            mask, (40, 30), interpolation=cv2.INTER_NEAREST))
        cv2.imwrite(str(folder / f'{k:04}.jpg'), recorded.frame(mask))
    (folder / '0003.png').write_bytes(b'nothing')
    source = Source(CameraSettings(source=str(folder)))
    frames = list(source.frames())
    assert [f.size for f in frames] == [(80, 60)] * 3
    assert [f.stamp_ns for f in frames] == [10**8, 2 * 10**8, 3 * 10**8]
    assert set(np.unique(frames[0].mask)) == {0, 7, 15}
    assert frames[0].pixels.max() > 100
    assert '0003.png: expected class ids' in source.notes[0]
    assert source.names[15] == 'person'


def test_masks_alone_are_drawn_on_grey(tmp_path):
    recorded.record(tmp_path / 'in', frames=False)
    frames = list(Source(CameraSettings(source=str(tmp_path / 'in'))).frames())
    assert len(frames) == 6 and np.unique(frames[0].pixels).tolist() == [60]


def test_part_of_a_recording(recording):
    source = Source(CameraSettings(source=str(recording)), start_s=0.4, duration_s=0.3)
    assert [(f.stamp_ns - recorded.START_NS) // 10**8 for f in source.frames()] == [4, 5, 6, 7]


def test_what_cannot_be_tuned_on(tmp_path):
    frames = tmp_path / 'frames'
    frames.mkdir()
    cv2.imwrite(str(frames / '1.jpg'), recorded.frame(recorded.masks()[0]))
    for source, said in ((frames, 'expected masks, got frames alone; --set network=FILE'),
                         ('synthetic', 'got a camera, which goes on for ever; `instseg record'),
                         (tmp_path / 'none', 'there is nothing of that name')):
        with pytest.raises(CameraError, match=said):
            list(Source(CameraSettings(source=str(source))).frames())


def test_source_that_cannot_be_read_leaves_the_settings_usable(tmp_path):
    (tmp_path / 'broken.mcap').write_bytes(b'no recording')
    state = tuning(tmp_path / 'broken.mcap', tmp_path)

    async def test():
        assert 'broken.mcap' in state.notes[0] and state.waiting == 'no frame to show'
        await state.change(TRACKER, {'max_lost_s': 3.0})
        state.show(5)
        state.play(True)
        state.go_to(state.jumps(), True)
        assert state.save().exists()

    run(state, test)


def test_timeline():
    assert jumps([]) == [] and jumps([3] * 40) == []
    assert jumps([5] * 20 + [4] + [5] * 20) == [20]
    assert jumps([5] * 20 + [7] * 20) == [20]
    assert jumps([5] * 20 + [6] * 20) == []  # somebody came
    drawn = draw_timeline([1, 2, None], [1], [0], [2])
    assert drawn.count('<path') == 4 and 'M1.5 0v8' in drawn
    assert len(draw_timeline([k % 7 for k in range(100_000)], [], [], [])) < 40_000
    assert '<svg' in draw_timeline([], [], [], [])
