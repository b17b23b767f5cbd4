"""The messages built here are everybody's: the type hashes say so."""

from importlib import resources
import json

from instseg_ros.messages import typestore
import pytest

INTERFACES = resources.files('instseg_ros') / 'interfaces'
HASHES = {f'{package}/msg/{name}': value for package in ('tf2_msgs', 'vision_msgs')
          for name, value in json.loads(
              (INTERFACES / package / 'type_hashes.json').read_text()).items()}


@pytest.mark.parametrize('name', HASHES)
def test_type_hash_of_the_definitions(name):
    assert typestore().hash_rihs01(name) == HASHES[name]


@pytest.mark.parametrize('name', HASHES)
def test_type_hash_of_the_installed_messages(name):
    pytest.importorskip('rclpy', reason='needs ROS 2')
    from ament_index_python import get_package_share_directory
    package, _, kind = name.split('/')
    with open(f'{get_package_share_directory(package)}/msg/{kind}.json') as file:
        hashes = {e['type_name']: e['hash_string'] for e in json.load(file)['type_hashes']}
    assert hashes[name] == HASHES[name]
