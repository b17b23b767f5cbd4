"""The pipeline fed from a recording."""

from instseg_ros.ros.launch_arguments import PLAYBACK
from instseg_ros.ros.launching import shared_arguments, start_pipeline
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument


def generate_launch_description():
    """Return what `ros2 launch instseg_ros playback.launch.py bag:=PATH` starts."""
    return LaunchDescription([
        DeclareLaunchArgument('bag', description='The recording to play: a rosbag2 folder'),
        DeclareLaunchArgument('rate', default_value='1.0',
                              description='Speed: 2.0 is twice as fast'),
        DeclareLaunchArgument('loop', default_value='false', choices=['true', 'false'],
                              description='Start again at the end'),
        *shared_arguments(),
        DeclareLaunchArgument(
            'output', default_value='',
            description='Folder that record:=true makes; empty: named by the time'),
        start_pipeline(PLAYBACK, 'output'),
    ])
