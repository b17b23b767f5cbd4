"""The programs as processes: they start, say what is wrong, and end when told to."""

import json
from pathlib import Path
import re
import signal
import subprocess
import sys

from instseg_ros.messages.topics import is_optional, RECORDED
import pytest
from rosbags.rosbag2 import Reader

ROOT = Path(__file__).parent.parent.parent
END_S = 2.0
NODES = ('camera_node', 'instance_segmentation_node', 'tracker_node', 'overlay_node')


@pytest.mark.parametrize('ending', [signal.SIGINT, signal.SIGTERM])
def test_ends_at_once_and_without_a_traceback(start, rig, ending):
    programs = {name: start(name, '--ros-args', '-r', f'__ns:=/{name}_alone') for name in NODES}
    programs['pipeline'] = start('pipeline')
    rig.until(lambda: rig.diagnostics.keys() == {*NODES, *(f'{n}_alone/{n}' for n in NODES)})
    for name, program in programs.items():
        code, seconds, said = program.end(ending)
        assert code == 0, (name, said)
        assert 'Traceback' not in said, name
        assert seconds < END_S, name


def test_pipeline_of_some_nodes(start, rig):
    program = start('pipeline', 'tracker_node', 'overlay_node')
    rig.until(lambda: rig.diagnostics.keys() == {'tracker_node', 'overlay_node'})
    program.end()
    refused = start('pipeline', 'tracker')
    assert 'expected names out of camera_node' in refused.until('pipeline')


def test_parameters_that_are_wrong_are_named_and_the_node_runs(start, rig, tmp_path):
    file = tmp_path / 'parameters.yaml'
    file.write_text('/**/tracker_node:\n  ros__parameters:\n    max_lost: 1.0\n')
    program = start('tracker_node', '--ros-args', '--params-file', str(file), '-r', '__ns:=/robot')
    line = program.until('max_lost')
    assert 'parameter max_lost: expected one of' in line
    rig.until(lambda: any('max_lost' in s.message
                          for s in rig.diagnostics.get('robot/tracker_node', ())))


def test_arguments_that_are_wrong_end_in_a_sentence(start):
    wrong = [(['-p', 'source'], "'-p source'"), (['-r', 'one'], "'-r one'"),
             (['--nonsense'], '--nonsense'), (['--params-file', '/absent.yaml'], '/absent.yaml'),
             (['--log-level', 'loud'], 'loud')]
    programs = [start('camera_node', '--ros-args', *arguments) for arguments, _ in wrong]
    for program, (_, said) in zip(programs, wrong, strict=True):
        assert said in program.until('camera_node: expected arguments such as --ros-args')
        code, _, rest = program.end(how=None)
        assert code == 1
        assert 'Traceback' not in rest
        assert '/project/' not in rest, 'no lines of the sources of rcl'


def test_parameters_of_one_node_reach_the_pipeline_without_a_warning(start, rig):
    program = start('pipeline', '--ros-args', '-p', 'source:=synthetic', '-r', '__ns:=/robot')
    line = program.until('the camera is open: synthetic')
    assert re.match(r'\[INFO\] \[\d+\.\d{9}\] \[robot\.camera_node\]: ', line), line
    rig.until(lambda: len(rig.diagnostics) == 4)
    _, _, said = program.end()
    assert 'WARN' not in said


def test_bad_recording_is_named_and_the_node_runs(start, rig, tmp_path):
    bad = {'missing': 'there is nothing of that name', 'truncated': 'cut off: ',
           'maskless': 'expected a topic camera/semantic_mask or camera/semantic_mask/compressed, '
                       'got /camera/image_raw/compressed'}
    truncate(tmp_path / 'truncated')
    record_without_masks(tmp_path / 'maskless')
    programs = {name: start(
        'camera_node', '--ros-args', '-p', f'source:={tmp_path / name}', '-p', 'wait_timeout:=0.5',
        '-r', f'__ns:=/{name}') for name in bad}
    for name, program in programs.items():
        assert str(tmp_path / name) in program.until(bad[name])
        rig.until(lambda n=name: any(
            bad[n] in s.message for s in rig.diagnostics.get(f'{n}/camera_node', ())))
        code, seconds, _ = program.end()
        assert code == 0
        assert seconds < END_S


def truncate(folder):
    folder.mkdir()
    for file in (ROOT / 'sample').iterdir():
        data = file.read_bytes()
        (folder / file.name).write_bytes(data[:len(data) // 3] if file.suffix == '.mcap' else data)


def record_without_masks(folder):
    from instseg_ros.messages import typestore
    from rosbags.rosbag2 import StoragePlugin, Writer
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.add_connection('/camera/image_raw/compressed', 'sensor_msgs/msg/CompressedImage',
                              typestore=typestore())


@pytest.mark.skipif(not (ROOT / 'scripts' / 'demo.py').exists(), reason='not in a source tree')
def test_demo_leaves_what_it_promises(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / 'scripts' / 'demo.py', '--duration', '3',
         '--output', tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary.keys() == {'frames_sent', 'frames_lost', 'detections', 'tracks', 'rate_hz',
                              'latency_ms', 'ros_distro', 'source'}
    assert summary['latency_ms'].keys() == {'p50', 'p95', 'p99'}
    assert 0 < summary['tracks'] <= summary['detections']
    assert str(summary['frames_sent']) in done.stdout
    assert len(list(tmp_path.glob('overlay_*.png'))) >= 6
    with Reader(tmp_path / 'recording') as reader:
        recorded = {c.topic for c in reader.connections if c.msgcount}
    # The sample's masks come from a network that gives no instances by itself.
    assert recorded == {'/' + t.lstrip('/') for t in (*RECORDED, 'overlay/image/compressed')
                        if not is_optional(t)}


def test_demo_fails_when_nothing_comes(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / 'scripts' / 'demo.py', '--source', tmp_path / 'missing',
         '--output', tmp_path / 'out', '--start-timeout', '1'], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'expected frames and tracks' in done.stderr
