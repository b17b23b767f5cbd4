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


@pytest.mark.parametrize('ending', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('name', ['camera_node', 'instance_segmentation_node', 'tracker_node',
                                  'overlay_node', 'pipeline'])
def test_ends_at_once_and_without_a_traceback(start, rig, name, ending):
    program = start(name)
    wanted = 4 if name == 'pipeline' else 1
    rig.until(lambda: len(rig.diagnostics) == wanted)
    code, seconds, said = program.end(ending)
    assert code == 0, said
    assert 'Traceback' not in said
    assert seconds < END_S


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


@pytest.mark.parametrize(('arguments', 'said'), [
    (['-p', 'source'], "'-p source'"), (['-r', 'one'], "'-r one'"), (['--nonsense'], '--nonsense'),
    (['--params-file', '/absent.yaml'], '/absent.yaml'), (['--log-level', 'loud'], 'loud')])
def test_arguments_that_are_wrong_end_in_a_sentence(start, arguments, said):
    program = start('camera_node', '--ros-args', *arguments)
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


@pytest.mark.parametrize(('name', 'said'), [
    ('missing', 'there is nothing of that name'),
    ('truncated', 'cut off: '),
    ('maskless', 'expected a topic camera/semantic_mask or camera/semantic_mask/compressed, '
     'got /camera/image_raw/compressed'),
])
def test_bad_recording_is_named_and_the_node_runs(start, rig, tmp_path, name, said):
    folder = tmp_path / name
    {'missing': lambda: None, 'truncated': lambda: truncate(folder),
     'maskless': lambda: record_without_masks(folder)}[name]()
    program = start('camera_node', '--ros-args', '-p', f'source:={folder}',
                    '-p', 'wait_timeout:=0.5')
    assert str(folder) in program.until(said)
    rig.until(lambda: any(said in s.message for s in rig.diagnostics.get('camera_node', ())))
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
