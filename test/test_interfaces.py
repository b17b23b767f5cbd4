"""Our vision_msgs are everybody's: the type hashes say so."""

from importlib import resources
import json

from instseg_ros.messages import typestore
import pytest

HASHES = json.loads((resources.files('instseg_ros') / 'interfaces' / 'vision_msgs'
                     / 'type_hashes.json').read_text())


@pytest.mark.parametrize('name', HASHES)
def test_type_hash_of_the_definitions(name):
    assert typestore().hash_rihs01(f'vision_msgs/msg/{name}') == HASHES[name]


@pytest.mark.parametrize('name', HASHES)
def test_type_hash_of_the_installed_messages(name):
    pytest.importorskip('rclpy', reason='needs ROS 2')
    from ament_index_python import get_package_share_directory
    with open(f'{get_package_share_directory("vision_msgs")}/msg/{name}.json') as file:
        hashes = {e['type_name']: e['hash_string'] for e in json.load(file)['type_hashes']}
    assert hashes[f'vision_msgs/msg/{name}'] == HASHES[name]
