"""What `record:=true` records."""

from instseg_ros.messages.topics import RECORDED
from instseg_ros.ros.launching import recorder
from launch import LaunchContext
from launch.utilities import perform_substitutions
import pytest


def test_recorder_takes_every_topic_and_keeps_what_is_there(tmp_path):
    with pytest.raises(RuntimeError, match='does not exist yet'):
        recorder('robot', str(tmp_path))
    _, process = recorder('robot', str(tmp_path / 'new'))
    command = [perform_substitutions(LaunchContext(), word) for word in process.cmd]
    assert command[:5] == ['ros2', 'bag', 'record', '--storage', 'mcap']
    assert command[command.index('--node-name') + 1] == 'robot_rosbag2_recorder'
    assert set(command[command.index('--topics') + 1:]) == {
        topic if topic.startswith('/') else f'/robot/{topic}' for topic in RECORDED}
