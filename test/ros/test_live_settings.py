"""Parameters as `ros2 param` sees them."""

from instseg_ros.core import SegmentationSettings
from instseg_ros.ros.instance_segmentation_node import InstanceSegmentationNode
from instseg_ros.ros.stage_node import StageNode
import pytest
from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import (DescribeParameters, GetParameters, SetParameters,
                                SetParametersAtomically)
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_parameter_events

NODE = 'instance_segmentation_node'


@pytest.fixture
def node(rig):
    return rig.add(InstanceSegmentationNode())


def messages(**values):
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]


def set_parameters(rig, **values):
    """Set parameters one by one, as `ros2 param set` and `load` do."""
    return rig.call(SetParameters, f'{NODE}/set_parameters',
                    SetParameters.Request(parameters=messages(**values))).results


def set_atomically(rig, **values):
    return rig.call(SetParametersAtomically, f'{NODE}/set_parameters_atomically',
                    SetParametersAtomically.Request(parameters=messages(**values))).result


def test_every_setting_is_a_described_parameter(rig, node):
    declared = SegmentationSettings.declared()
    answer = rig.call(DescribeParameters, f'{NODE}/describe_parameters',
                      DescribeParameters.Request(names=[s.name for s in declared]))
    for setting, descriptor in zip(declared, answer.descriptors, strict=True):
        assert setting.doc in descriptor.description
        if setting.kind is int:
            assert descriptor.integer_range[0].to_value == setting.high
        if setting.kind is float:
            assert descriptor.floating_point_range[0].from_value == setting.low
    values = rig.call(GetParameters, f'{NODE}/get_parameters',
                      GetParameters.Request(names=['dist_threshold'])).values
    assert values[0].double_value == SegmentationSettings().dist_threshold


def test_change_replaces_the_settings_object(rig, node):
    before = node.settings
    assert set_parameters(rig, dist_threshold=0.25)[0].successful
    assert node.settings.dist_threshold == 0.25
    assert before == SegmentationSettings(), 'a frame that is being processed keeps its own'


@pytest.mark.parametrize(('values', 'reason'), [
    ({'dist_threshold': 2.0}, 'dist_threshold: expected a number in [0, 1], got 2.0'),
    ({'dist_threshold': 'high'}, "dist_threshold: expected a number in [0, 1], got 'high'"),
    ({'erosion_kernel': 0}, 'erosion_kernel: expected an integer in [1, '),
    ({'ignored_classes': [7, 300]}, 'ignored_classes: expected a list of integers in [0, 255]'),
])
def test_refusal_says_why_and_changes_nothing(rig, node, values, reason):
    result = set_parameters(rig, **values)[0]
    assert not result.successful
    assert reason in result.reason
    assert node.settings == SegmentationSettings()
    rig.until(lambda: any(reason in line for line in rig.logs))
    rig.until(lambda: any(reason in s.message for s in rig.diagnostics.get(NODE, ())))


def test_changes_are_checked_as_a_whole(rig, node):
    assert not set_atomically(rig, size_threshold=50, dist_threshold=3.0).successful
    assert node.settings == SegmentationSettings()
    assert set_atomically(rig, size_threshold=50, dist_threshold=0.3).successful
    assert (node.settings.size_threshold, node.settings.dist_threshold) == (50, 0.3)


def test_list_can_be_filled_and_emptied(rig, node):
    assert set_parameters(rig, ignored_classes=[7, 15])[0].successful
    assert node.settings.ignored_classes == (7, 15)
    assert set_parameters(rig, ignored_classes=[])[0].successful
    assert node.settings.ignored_classes == ()


def test_whole_number_will_do_for_a_number(rig, node):
    assert set_parameters(rig, dist_threshold=1)[0].successful
    assert node.settings.dist_threshold == 1.0


def test_unknown_parameter_is_refused(rig, node):
    result = set_parameters(rig, no_such_thing=1)[0]
    assert not result.successful
    assert result.reason.startswith('no_such_thing: no such parameter')


def test_parameters_of_rclpy_itself_pass(rig, node):
    assert set_parameters(rig, use_sim_time=True)[0].successful


def test_empty_list_is_one_of_integers(rig, node):
    values = rig.call(GetParameters, f'{NODE}/get_parameters',
                      GetParameters.Request(names=['ignored_classes'])).values
    assert values[0].type == Parameter.Type.INTEGER_ARRAY.value
    described = rig.call(DescribeParameters, f'{NODE}/describe_parameters',
                         DescribeParameters.Request(names=['ignored_classes'])).descriptors
    assert described[0].type == Parameter.Type.INTEGER_ARRAY.value
    # `ros2 param load` takes [] of a file for one of booleans.
    empty = Parameter('ignored_classes', Parameter.Type.BOOL_ARRAY, []).to_parameter_msg()
    assert set_parameters(rig, ignored_classes=[15])[0].successful
    assert rig.call(SetParameters, f'{NODE}/set_parameters',
                    SetParameters.Request(parameters=[empty])).results[0].successful
    assert node.settings.ignored_classes == ()


def test_new_recorder_hears_the_parameters_in_force(rig, node):
    assert set_parameters(rig, size_threshold=77)[0].successful
    events = rig.collect(ParameterEvent, '/parameter_events', qos_profile_parameter_events)
    rig.until(lambda: any(e.node == '/' + NODE for e in events))
    told = {p.name: p.value for e in events if e.node == '/' + NODE for p in e.changed_parameters}
    assert told['size_threshold'].integer_value == 77
    assert {s.name for s in SegmentationSettings.declared()} <= told.keys()


def test_parameters_of_other_nodes_are_no_mistake(rig):
    node = rig.add(StageNode(NODE, SegmentationSettings, parameter_overrides=[
        Parameter('source', value='sample'), Parameter('sauce', value='sample')]))
    node.report_unknown_parameters()
    rig.until(lambda: any('parameter sauce: expected one of' in line for line in rig.logs))
    assert not any('parameter source' in line for line in rig.logs)
