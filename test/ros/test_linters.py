"""The linters of ROS 2 packages; like the rest of ament they come with ROS."""

from pathlib import Path

from ament_flake8.main import main_with_errors as flake8
from ament_pep257.main import main as pep257

ROOT = str(Path(__file__).parent.parent.parent)


def test_flake8():
    code, errors = flake8(argv=[ROOT])
    assert code == 0, '\n'.join(errors)


def test_pep257():
    folders = ('instseg_ros', 'launch', 'scripts')
    assert pep257(argv=[f'{ROOT}/{folder}' for folder in folders]) == 0
