"""core/ and cameras/ know nothing of ROS, and need none of it."""

import ast
from pathlib import Path
import subprocess
import sys

import pytest

PACKAGE = Path(__file__).parent.parent / 'instseg_ros'
OUTSIDE = sorted(f for f in PACKAGE.rglob('*.py') if f.relative_to(PACKAGE).parts[0] != 'ros')
ROS = {'rclpy', 'launch', 'launch_ros', 'ament_index_python', 'cv_bridge', 'rcl_interfaces',
       'builtin_interfaces', 'sensor_msgs', 'std_msgs', 'std_srvs', 'vision_msgs',
       'geometry_msgs', 'diagnostic_msgs', 'message_filters', 'domain_coordinator'}


@pytest.mark.parametrize('file', OUTSIDE, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_nothing_outside_ros_imports_ros(file):
    imported = set()
    for statement in ast.walk(ast.parse(file.read_text())):
        if isinstance(statement, ast.Import):
            imported |= {name.name.split('.')[0] for name in statement.names}
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            imported.add(statement.module.split('.')[0])
        elif isinstance(statement, ast.ImportFrom):
            assert 'ros' not in (statement.module or '').split('.')
    assert not imported & ROS


def test_package_works_where_ros_is_not_installed():
    # None in sys.modules makes an import fail as if the package were not there.
    program = (f'import sys; sys.modules.update(dict.fromkeys({sorted(ROS)}))\n'
               'import instseg_ros.core, instseg_ros.cameras\n'
               'from instseg_ros.cli import main\n'
               'try:\n    main(["--help"])\nexcept SystemExit as done:\n'
               '    sys.exit(done.code)')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'usage: instseg' in done.stdout


def test_node_without_ros_says_what_it_needs():
    program = (f'import sys; sys.modules.update(dict.fromkeys({sorted(ROS)}))\n'
               'from instseg_ros.ros.main import camera_node; camera_node()')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith('camera_node needs ROS 2')
    assert 'Traceback' not in done.stderr
