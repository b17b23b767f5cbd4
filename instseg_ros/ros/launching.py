"""What the launch files start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import os
from pathlib import Path
import time

from ament_index_python import get_package_share_directory
from launch import LaunchContext
from launch.action import Action
from launch.actions import (DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction,
                            SetEnvironmentVariable)
from launch_ros.actions import Node

from .launch_arguments import absolute_namespace, ros_arguments
from .transport import transport_variables
from ..messages.topics import RECORDED, RECORDED_GROUND

_SWITCH = ['true', 'false']
RESPAWN_S = 2.0  # before a node that has died is started again


def shared_arguments() -> list[DeclareLaunchArgument]:
    """Return the arguments that every launch file of the package has."""
    parameters = get_package_share_directory('instseg_ros') + '/config/pipeline.yaml'

    def switch(name: str, default: str, description: str) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(name, default_value=default, choices=_SWITCH,
                                     description=description)

    return [
        DeclareLaunchArgument('params_file', default_value=parameters,
                              description='Parameters of all nodes (YAML)'),
        DeclareLaunchArgument('namespace', default_value='',
                              description="Put in front of all topics: a robot's name"),
        switch('composed', 'false', 'All nodes in one process, which costs less; false: one each, '
               'for as many cores'),
        switch('tracker', 'true', 'Follow the instances: ids that stay'),
        switch('overlay', 'true', 'Draw the result into the frames, for people'),
        switch('ground', 'false', 'Place the tracks on the floor, in metres, for navigation'),
        switch('scene', 'false', 'Select tracks by zones, lines and relations, and count them'),
        DeclareLaunchArgument(
            'scene_file', default_value=get_package_share_directory('instseg_ros')
            + '/config/scene.yaml', description='Parameters of scene_node (YAML)'),
        switch('record', 'false', 'Record all topics with `ros2 bag record` (MCAP)'),
        DeclareLaunchArgument('log_level', default_value='info',
                              choices=['debug', 'info', 'warn', 'error', 'fatal'],
                              description='Least severity of what the nodes log'),
        switch('respawn', 'false', 'Start a node again that has died'),
        DeclareLaunchArgument('use_sim_time', default_value='', choices=['', *_SWITCH],
                              description='Take the time from /clock; empty: as in params_file'),
    ]


def start_pipeline(camera: Mapping[str, str], bag: str) -> OpaqueFunction:
    """
    Return the action that starts the pipeline as the launch arguments say.

    Parameters
    ----------
    camera : mapping of str to str
        Parameters of the camera node, each with the launch argument that holds its value; an
        empty value leaves the parameter as the file has it.
    bag : str
        The launch argument that holds the folder to record to.

    """
    return OpaqueFunction(function=lambda context: _pipeline(
        context, camera, context.launch_configurations[bag]))


def _pipeline(context: LaunchContext, camera: Mapping[str, str], bag: str) -> list[Action]:
    given = context.launch_configurations
    actions: list[Action] = [SetEnvironmentVariable(name, value) for name, value
                             in transport_variables(context.environment).items()]
    programs = ['camera_node', 'instance_segmentation_node']
    programs += [f'{name}_node' for name in ('tracker', 'overlay', 'ground', 'scene')
                 if given[name] == 'true']
    arguments = ros_arguments(given, camera, programs)
    processes = ([('pipeline', programs)] if given['composed'] == 'true'
                 else [(program, []) for program in programs])
    actions += [Node(package='instseg_ros', executable=program, arguments=names,
                     namespace=given['namespace'], output='screen', emulate_tty=True,
                     respawn=given['respawn'] == 'true', respawn_delay=RESPAWN_S,
                     ros_arguments=arguments)
                for program, names in processes]
    if given['record'] == 'true':
        recorded = RECORDED | (RECORDED_GROUND if given['ground'] == 'true' else {})
        actions += recorder(absolute_namespace(given), bag, recorded)
    return actions


def recorder(namespace: str, bag: str, recorded: Iterable[str] = RECORDED) -> list[Action]:
    """
    Return the actions that record the topics of a namespace to a new folder.

    `ros2 bag record` takes no namespace: where there is one, its node is named by it.
    """
    words = namespace.strip('/').split('/') if namespace.strip('/') else []
    folder = bag or '_'.join(['instseg', *words, time.strftime('%Y%m%d_%H%M%S')])
    prefix = ''.join(f'/{word}' for word in words) + '/'
    if Path(folder).exists():
        raise RuntimeError(f'bag: expected a folder that does not exist yet, got {folder}')
    return [
        LogInfo(msg=f'recording to {os.path.abspath(folder)}'),
        ExecuteProcess(cmd=['ros2', 'bag', 'record', '--storage', 'mcap', '--output', folder,
                            '--node-name', '_'.join([*words, 'rosbag2_recorder']),
                            '--topics', *(topic if topic.startswith('/') else prefix + topic
                                          for topic in recorded)], output='screen')]
