"""The launch files, where launch is installed: launch and launch_testing have no wheels."""

import unittest

from ament_index_python import get_package_share_directory
from instseg_ros.ros.stage_node import OFFERED
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
import launch_testing
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes
import pytest
from rcl_interfaces.srv import GetParameters
import rclpy
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from vision_msgs.msg import Detection2DArray

PIPELINE = 'pipeline.launch.py'
PLAYBACK = 'playback.launch.py'


SAMPLE = get_package_share_directory('instseg_ros') + '/sample'


@pytest.mark.launch_test
@launch_testing.parametrize('file, arguments, expected', [
    (PIPELINE, {'source': 'synthetic'}, {'source': 'synthetic', 'use_sim_time': False}),
    (PIPELINE, {'composed': 'true', 'source': 'synthetic', 'overlay': 'false'},
     {'source': 'synthetic'}),
    (PLAYBACK, {'bag': SAMPLE, 'rate': '2'},
     {'source': SAMPLE, 'playback_rate': 2.0, 'loop': False}),
])
def generate_test_description(file, arguments, expected):
    path = f'{get_package_share_directory("instseg_ros")}/launch/{file}'
    return LaunchDescription([
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(path),
            launch_arguments={**arguments, 'namespace': 'robot'}.items()),
        ReadyToTest()])


class TestRunning(unittest.TestCase):
    """While the launch runs."""

    def setUp(self):
        rclpy.init()
        self.node = Node('launch_tester')

    def tearDown(self):
        self.node.destroy_node()
        rclpy.try_shutdown()

    def test_arguments_reach_the_camera_node(self, expected):
        client = self.node.create_client(GetParameters, '/robot/camera_node/get_parameters')
        self.assertTrue(client.wait_for_service(60.0))
        future = client.call_async(GetParameters.Request(names=list(expected)))
        rclpy.spin_until_future_complete(self.node, future, timeout_sec=60.0)
        values = map(parameter_value_to_python, future.result().values)
        self.assertEqual(dict(zip(expected, values, strict=True)), expected)

    def test_tracks_come(self, file, arguments):
        tracks = []
        self.node.create_subscription(Detection2DArray, '/robot/tracker/tracks', tracks.append,
                                      OFFERED)
        for _ in range(600):
            if tracks:
                break
            rclpy.spin_once(self.node, timeout_sec=0.1)
        self.assertTrue(tracks, f'expected tracks of {file} {arguments}')


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    """After Ctrl-C."""

    def test_every_process_ended_well(self, proc_info):
        assertExitCodes(proc_info)
