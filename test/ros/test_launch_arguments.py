"""What the launch files say reaches the nodes, whatever namespace and parameters file."""

import json
from pathlib import Path

from instseg_ros.ros.launch_arguments import (absolute_namespace, PIPELINE, PLAYBACK,
                                              ros_arguments)
import pytest
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python

NODES = ['camera_node', 'instance_segmentation_node', 'tracker_node', 'overlay_node']


@pytest.fixture
def given(tmp_path):
    """Return what gives launch arguments with a parameters file of one section."""
    def give(section, **arguments):
        file = tmp_path / 'robot.yaml'
        file.write_text(json.dumps({section: {'ros__parameters': {
            'source': 'sample', 'playback_rate': 5.0, 'loop': False, 'frame_id': 'mast',
            'use_sim_time': False}}}))
        return {'params_file': str(file), 'log_level': 'info', 'use_sim_time': '',
                'namespace': '', 'tracker': 'true', 'record': 'false', **arguments}
    return give


def started(start, given, camera, composed):
    """Start the nodes as launch_ros does."""
    programs = NODES if composed else ['camera_node']
    namespace = absolute_namespace(given)
    start(*(['pipeline', *NODES] if composed else ['camera_node']), '--ros-args',
          *ros_arguments(given, camera, programs),
          *(['-r', f'__ns:={namespace}'] if namespace else []))
    return namespace


def parameters(rig, node, *names):
    """Return parameters of a running node."""
    answer = rig.call(GetParameters, f'{node}/get_parameters', GetParameters.Request(names=names))
    return [parameter_value_to_python(value) for value in answer.values]


@pytest.mark.parametrize(('section', 'composed'), [
    ('/**', False), ('/**/camera_node', False), ('/robot1/camera_node', False), ('/**', True)])
def test_arguments_win_over_the_parameters_file(start, rig, given, section, composed):
    namespace = started(start, given(section, namespace='robot1', source='synthetic',
                                     use_sim_time='true'), PIPELINE, composed)
    assert parameters(rig, f'{namespace}/camera_node', 'source', 'frame_id', 'use_sim_time') == [
        'synthetic', 'mast', True]
    if composed:
        for node in NODES:
            assert parameters(rig, f'{namespace}/{node}', 'use_sim_time') == [True]


def test_two_robots_and_one_without_a_namespace(start, rig, given):
    started(start, given('/**', namespace='robot1', source='synthetic'), PIPELINE, False)
    started(start, given('/**', namespace='fleet/robot2', bag='1e5', rate='2', loop='true'),
            PLAYBACK, False)
    started(start, given('/**', source=''), PIPELINE, False)
    names = ('source', 'playback_rate', 'loop')
    assert parameters(rig, '/robot1/camera_node', *names) == ['synthetic', 5.0, False]
    assert parameters(rig, '/fleet/robot2/camera_node', *names) == ['1e5', 2.0, True]
    assert parameters(rig, '/camera_node', *names) == ['sample', 5.0, False]


@pytest.mark.parametrize(('arguments', 'expected'), [
    ({}, ['instance_segmentation_node', 'tracker_node']),
    ({'record': 'true'}, ['instance_segmentation_node', 'tracker_node',
                          'camera/semantic_mask/compressed',
                          'instance_segmentation/instance_mask/compressed'])])
def test_playback_waits_for_what_the_launch_starts(given, arguments, expected):
    said = ros_arguments(given('/**', bag='x', rate='1', loop='true', **arguments), PLAYBACK,
                         NODES)
    chosen = json.loads(Path(said[said.index('--log-level') + 3]).read_text())
    assert chosen['/camera_node']['ros__parameters']['wait_for'].split() == expected


@pytest.mark.parametrize(('arguments', 'namespace'), [
    ({'namespace': ''}, ''), ({'namespace': 'a'}, '/a'), ({'namespace': '/a/b/'}, '/a/b'),
    ({'namespace': 'a', 'ros_namespace': '/fleet'}, '/fleet/a'),
    ({'namespace': '/a', 'ros_namespace': '/fleet'}, '/a'),
    ({'namespace': '', 'ros_namespace': 'fleet'}, '/fleet')])
def test_namespace_of_the_nodes(arguments, namespace):
    assert absolute_namespace(arguments) == namespace


@pytest.mark.parametrize(('arguments', 'said'), [
    ({'rate': 'fast'}, "playback_rate: expected a number in .*, got 'fast'"),
    ({'rate': '0'}, 'playback_rate: expected a number in .*, got 0'),
    ({'params_file': '/absent.yaml'}, "params_file: expected a YAML file .* '/absent.yaml'")])
def test_wrong_arguments_are_refused(given, arguments, said):
    with pytest.raises(RuntimeError, match=said):
        ros_arguments({**given('/**', bag='x', rate='1', loop='true'), **arguments},
                      PLAYBACK, NODES)


@pytest.mark.parametrize(('arguments', 'camera', 'expected'), [
    ({'bag': 'x', 'rate': '1', 'loop': 'true'}, PLAYBACK, 'wait'),
    ({'source': 'recordings/street'}, PIPELINE, 'wait'),
    ({'source': 'synthetic'}, PIPELINE, None), ({'source': 'imx500'}, PIPELINE, None),
    ({'source': ''}, PIPELINE, None)])
def test_every_mask_of_a_recording_counts(given, arguments, camera, expected):
    said = ros_arguments(given('/**', **arguments), camera, NODES)
    chosen = json.loads(Path(said[said.index('--log-level') + 3]).read_text())
    segmentation = chosen.get('/instance_segmentation_node', {'ros__parameters': {}})
    assert segmentation['ros__parameters'].get('when_late') == expected
