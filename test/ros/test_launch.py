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
import rclpy
from rclpy.node import Node
from vision_msgs.msg import Detection2DArray

PIPELINE = 'pipeline.launch.py'
PLAYBACK = 'playback.launch.py'


@pytest.mark.launch_test
@launch_testing.parametrize('file, arguments', [
    (PIPELINE, {'source': 'synthetic', 'namespace': 'robot'}),
    (PIPELINE, {'composed': 'true', 'namespace': 'robot', 'overlay': 'false'}),
    (PLAYBACK, {'bag': get_package_share_directory('instseg_ros') + '/sample',
                'namespace': 'robot', 'rate': '2'}),
])
def generate_test_description(file, arguments):
    path = f'{get_package_share_directory("instseg_ros")}/launch/{file}'
    return LaunchDescription([
        IncludeLaunchDescription(PythonLaunchDescriptionSource(path),
                                 launch_arguments=arguments.items()),
        ReadyToTest()])


class TestRunning(unittest.TestCase):
    """While the launch runs."""

    def test_tracks_come(self, file, arguments):
        rclpy.init()
        try:
            node = Node('launch_tester')
            tracks = []
            node.create_subscription(Detection2DArray, '/robot/tracker/tracks', tracks.append,
                                     OFFERED)
            for _ in range(600):
                if tracks:
                    break
                rclpy.spin_once(node, timeout_sec=0.1)
            self.assertTrue(tracks, f'expected tracks of {file} {arguments}')
            node.destroy_node()
        finally:
            rclpy.try_shutdown()


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    """After Ctrl-C."""

    def test_every_process_ended_well(self, proc_info):
        assertExitCodes(proc_info)
