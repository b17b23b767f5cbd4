"""The pipeline: camera, instances, tracks and overlay."""

from instseg_ros.ros.launch_arguments import PIPELINE
from instseg_ros.ros.launching import shared_arguments, start_pipeline
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument


def generate_launch_description():
    """Return what `ros2 launch instseg_ros pipeline.launch.py` starts."""
    return LaunchDescription([
        DeclareLaunchArgument(
            'source', default_value='',
            description="'imx500', 'synthetic', 'sample', or the path of a recording, a video, a "
            'folder of images or a device; empty: as in params_file'),
        *shared_arguments(),
        DeclareLaunchArgument(
            'bag', default_value='',
            description='Folder that record:=true makes; empty: named by the time'),
        start_pipeline(PIPELINE, 'bag'),
    ])
