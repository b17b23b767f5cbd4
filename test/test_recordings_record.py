"""`instseg record`: what is in a recording, and what is lost when it ends badly."""

import os
import random
import signal
import subprocess
import sys
import time

from instseg_ros.cameras import Camera, CameraError, CameraSettings, Capture, EndOfStream
from instseg_ros.cameras.recording import RecordingCamera
from instseg_ros.cli import main
from instseg_ros.recordings import Bag, RecordingError
from instseg_ros.recordings.processing import Options, process
from instseg_ros.recordings.recorder import Recorder
from instseg_ros.recordings.repairing import repair
import numpy as np
import pytest
import recorded
from rosbags.rosbag2 import Reader

LOST_S = 1.0  # what a kill may cost
KILLS = 6


class Script(Camera):
    """Gives the captures of a list, then ends, or fails with an error."""

    def __init__(self, captures, error=None):
        super().__init__(CameraSettings())
        self._captures = list(captures)
        self._error = error or EndOfStream('over')
        self.class_names = recorded.NAMES

    def read(self, timeout_s):
        if not self._captures:
            raise self._error
        return self._captures.pop(0)

    def close(self):
        pass


def captures(count=6):
    return [Capture(recorded.START_NS + k * recorded.STEP_NS, recorded.frame(m), m)
            for k, m in enumerate(recorded.masks(count))]


def topics(path):
    with Bag(path) as bag:
        assert bag.finished
        return {name: topic.count for name, topic in bag.topics.items()}


@pytest.mark.parametrize('raw', [False, True])
def test_everything_is_recorded(tmp_path, raw):
    state = Recorder(tmp_path / 'bag', Script(captures()), CameraSettings(jpeg_quality=100),
                     raw=raw).run()
    assert (state.frames, state.dropped) == (6, 0)
    assert state.size >= (tmp_path / 'bag' / 'bag_0.mcap').stat().st_size
    image = '/camera/image_raw' if raw else '/camera/image_raw/compressed'
    assert topics(tmp_path / 'bag') == {
        '/camera/label_info': 1, '/camera/camera_info': 6, image: 6,
        '/camera/semantic_mask/compressed': 6}
    recording = RecordingCamera(CameraSettings(source=str(tmp_path / 'bag')))
    for before, after in zip(captures(), recording.captures(), strict=True):
        assert after.stamp_ns == before.stamp_ns
        assert np.array_equal(after.mask, before.mask)
        assert np.abs(after.frame.astype(int) - before.frame).max() <= (0 if raw else 12)
    assert recording.class_names == recorded.NAMES
    recording.close()
    with Bag(tmp_path / 'bag') as bag:
        for topic in bag.topics.values():
            bag.check_type(topic)
        info = bag.decode(*next(iter(bag.messages(['/camera/camera_info']))))
        assert (info.width, info.height, info.header.frame_id) == (80, 60, 'camera_optical_frame')
        assert bag.topics['/camera/label_info'].qos[0].durability.name == 'TRANSIENT_LOCAL'


def test_masks_only_is_tiny_and_can_be_processed(tmp_path):
    Recorder(tmp_path / 'bag', Script(captures()), CameraSettings(), masks_only=True).run()
    assert not any('image' in name for name in topics(tmp_path / 'bag'))
    assert (tmp_path / 'bag' / 'bag_0.mcap').stat().st_size < 20_000
    summary = process(tmp_path / 'bag', tmp_path / 'out', Options())
    assert summary.frames == 6 and summary.instances > 6


def test_frames_and_masks_may_come_apart(tmp_path):
    apart = [c for k, both in enumerate(captures())
             for c in (Capture(both.stamp_ns, both.frame, None),
                       *([Capture(both.stamp_ns, None, both.mask)] if k % 2 else []))]
    Recorder(tmp_path / 'bag', Script(apart), CameraSettings()).run()
    found = topics(tmp_path / 'bag')
    assert found['/camera/image_raw/compressed'] == 6
    assert found['/camera/semantic_mask/compressed'] == 3


def test_calibration_is_recorded(tmp_path):
    file = tmp_path / 'calibration.yaml'
    file.write_text("""
image_width: 80
image_height: 60
distortion_model: plumb_bob
distortion_coefficients: {data: [0.1, 0.2, 0, 0, 0]}
camera_matrix: {data: [50, 0, 40, 0, 50, 30, 0, 0, 1]}
rectification_matrix: {data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {data: [50, 0, 40, 0, 0, 50, 30, 0, 0, 0, 1, 0]}
""")
    settings = CameraSettings(calibration_file=str(file))
    Recorder(tmp_path / 'bag', Script(captures()), settings).run()
    with Bag(tmp_path / 'bag') as bag:
        info = bag.decode(*next(iter(bag.messages(['/camera/camera_info']))))
    assert info.k.tolist() == [50, 0, 40, 0, 50, 30, 0, 0, 1]
    assert info.d.tolist() == [0.1, 0.2, 0, 0, 0]
    large = [Capture(1, np.zeros((9, 9, 3), np.uint8), None)]
    with pytest.raises(RecordingError, match='expected a calibration for 9x9 pixels, got .*80x60'):
        Recorder(tmp_path / 'other', Script(large), settings).run()


def test_camera_that_goes_away_leaves_a_whole_recording(tmp_path):
    gone = CameraError('the cable came off')
    with pytest.raises(CameraError, match='the cable came off'):
        Recorder(tmp_path / 'bag', Script(captures(), gone), CameraSettings()).run()
    assert topics(tmp_path / 'bag')['/camera/camera_info'] == 6


def test_full_disk_ends_a_recording_well(tmp_path, monkeypatch):
    real, path = os.pwrite, tmp_path / 'bag'

    def write(fd, data, offset):
        if path.joinpath('reserve').exists() and path.joinpath('bag_0.mcap').stat().st_size > 2e5:
            raise OSError(28, 'No space left on device')
        return real(fd, data, offset)

    monkeypatch.setattr('instseg_ros.recordings.writer.os.pwrite', write)
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3)).astype(np.uint8)
    many = [Capture(recorded.START_NS + k, noise, None) for k in range(10_000)]
    with pytest.raises(RecordingError, match='frames: the disk is full; it is whole up to there'):
        Recorder(path, Script(many), CameraSettings(), raw=True).run()
    assert topics(path)['/camera/camera_info'] >= 2


def test_existing_folder_is_refused(tmp_path, capsys):
    assert main(['record', str(tmp_path), '--source', 'synthetic', '--duration', '1']) == 2
    assert 'exists already' in capsys.readouterr().err
    assert main(['record', str(tmp_path / 'a'), '--source', 'nowhere']) == 2
    assert main(['record', str(tmp_path / 'a'), '--source', 'synthetic', '--duration', '0']) == 2
    assert not (tmp_path / 'a').exists()


@pytest.fixture
def start():
    """Start `instseg record` as a program of its own."""
    processes = []

    def start(path, *arguments):
        processes.append(subprocess.Popen(
            [sys.executable, '-c', 'import sys; from instseg_ros.cli import main; '
             'sys.exit(main(sys.argv[1:]))', 'record', str(path), '--source', 'synthetic',
             '--set', 'width=320', '--set', 'height=240', *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process_ in processes:
        process_.kill()
        process_.communicate()


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_ends_well(start, tmp_path, how):
    program = start(tmp_path / 'bag')
    assert 'frames' in program.stderr.readline()  # the first state, after a second
    program.send_signal(how)
    out, errors = program.communicate(timeout=30)
    assert program.returncode == 0, errors
    assert 'Traceback' not in errors
    found = topics(tmp_path / 'bag')
    assert f'{found["/camera/camera_info"]} frames' in out
    assert 'dropped' in out and 'GB free' in out


def test_kill_at_any_time_costs_less_than_a_second(start, tmp_path):
    chance = random.Random(0)
    lost_s = []
    for number in range(KILLS):
        path = tmp_path / str(number)
        program = start(path, '--masks-only' if number % 2 else '--raw')
        while int(program.stderr.readline().split()[0]) < 10:  # frames so far, every second
            pass
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(chance.uniform(0.1, 1.2))
        killed_ns = time.time_ns()
        program.kill()
        program.wait()
        with Bag(path) as bag:
            assert not bag.finished
            stamps = [t for _, t, _ in bag.messages(['/camera/semantic_mask/compressed'])]
            # A chunk may end between the messages of one frame.
            assert bag.topics['/camera/camera_info'].count - len(stamps) in (0, 1)
            assert bag.class_names()
        lost_s.append((killed_ns - stamps[-1]) / 1e9)
        assert process(path, path.with_suffix('.out'), Options()).frames == len(stamps)
        with Reader(path) as reader:
            masks = [c for c in reader.connections if 'semantic_mask' in c.topic]
            assert len(list(reader.messages(masks))) == len(stamps)
        repair(path)
        with Reader(path) as reader:
            assert reader.topics['/camera/semantic_mask/compressed'].msgcount == len(stamps)
    print('lost (s):', *(f'{s:.2f}' for s in lost_s))
    assert max(lost_s) < LOST_S
