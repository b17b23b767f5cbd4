"""The ROS installation of this shell, and how its nodes find each other."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
import re
import sys

from .finding import FAIL, Finding, Machine, OK, SKIP, WARN
from .python_packages import try_imports

DEFAULT_MIDDLEWARE = 'rmw_fastrtps_cpp'
_TOO_OLD = {'kinetic', 'melodic', 'noetic', 'ardent', 'bouncy', 'crystal', 'dashing', 'eloquent',
            'foxy', 'galactic', 'humble', 'iron'}
_INTERFACES = ('sensor_msgs', 'std_msgs', 'std_srvs', 'geometry_msgs', 'diagnostic_msgs',
               'rcl_interfaces', 'vision_msgs')
_RANGES = ('', 'SUBNET', 'LOCALHOST', 'SYSTEM_DEFAULT', 'OFF')
_LAST_DOMAIN = 232  # the ports of later ones do not exist


def has_ros(machine: Machine) -> bool:
    """Say whether ROS 2 is meant to be here: in this shell or for this Python."""
    return bool(machine.environment.get('ROS_DISTRO')
                or (machine.is_this_one and find_spec('rclpy')))


def middleware_of(machine: Machine) -> str:
    """Return the name of the middleware that nodes of this shell load."""
    return machine.environment.get('RMW_IMPLEMENTATION') or DEFAULT_MIDDLEWARE


def ros(machine: Machine) -> Iterator[Finding]:
    """Look at the distribution, and load rclpy and the messages."""
    distro = machine.environment.get('ROS_DISTRO', '')
    installed = [file.parent.name for file in machine.find('/opt/ros/*/setup.bash')]
    usable = [name for name in installed if name not in _TOO_OLD]
    if not has_ros(machine):
        if usable:
            yield Finding('ROS 2', WARN, f'{" and ".join(usable)} is in /opt/ros, but not in '
                          'this shell', f'source /opt/ros/{usable[-1]}/setup.bash')
        else:
            yield Finding('ROS 2', SKIP, 'not in this shell; recording and processing do '
                          'without, the nodes do not')
        return
    if distro in _TOO_OLD:
        yield Finding('ROS 2', FAIL, f'{distro} is too old: Jazzy or newer is needed',
                      f'source /opt/ros/{usable[-1]}/setup.bash in a new terminal' if usable else
                      'install Lyrical, Kilted or Jazzy, or use the container ros:jazzy')
        return
    sourced = {found for prefix in machine.environment.get('AMENT_PREFIX_PATH', '').split(':')
               for found in re.findall(r'^/opt/ros/(\w+)/?$', prefix)}
    if len(sourced) > 1:
        yield Finding('ROS 2', FAIL,
                      f'two distributions in one shell: {", ".join(sorted(sourced))}',
                      f'open a new terminal and source /opt/ros/{distro}/setup.bash only; look '
                      'into ~/.bashrc for the other')
        return
    if not machine.is_this_one:
        yield Finding('ROS 2', OK, distro)
        return
    yield from _loads(machine, distro)


def _loads(machine: Machine, distro: str) -> Iterator[Finding]:
    imported = try_imports(['rclpy', *(f'{name}.{"srv" if name == "std_srvs" else "msg"}'
                                       for name in _INTERFACES)])
    error = imported.pop('rclpy')[1]
    if error:
        yield Finding('ROS 2', FAIL, f'{distro or "ROS 2"}: rclpy does not load: {error}',
                      _cure_of_rclpy(machine, distro, error))
        return
    missing = {name.split('.')[0]: error for name, (_, error) in imported.items() if error}
    for name, error in missing.items():
        yield Finding(name, FAIL, f'its messages do not load: {error}',
                      f'sudo apt install ros-{distro}-{name.replace("_", "-")}, and source the '
                      'setup file again')
    if not missing:
        yield Finding('ROS 2', OK, f'{distro or "no ROS_DISTRO"}; rclpy and all messages load')


def _cure_of_rclpy(machine: Machine, distro: str, error: str) -> str:
    middleware = middleware_of(machine)
    if 'librmw' in error or middleware in error:
        return ('unset RMW_IMPLEMENTATION, or sudo apt install '
                f'ros-{distro}-{middleware.replace("_", "-")}')
    built = {m.group(1) for prefix in machine.environment.get('AMENT_PREFIX_PATH', '').split(':')
             for path in machine.find(f'{prefix}/lib/python3*/site-packages/rclpy')
             if (m := re.search(r'python(3\.\d+)', str(path)))}
    ours = f'{sys.version_info[0]}.{sys.version_info[1]}'
    if built and ours not in built:
        return (f'it is built for Python {" and ".join(sorted(built))}, and this is {ours} '
                f'({sys.executable}): leave conda or the virtual environment, and install this '
                'package for the Python of ROS')
    return f'source /opt/ros/{distro or "DISTRO"}/setup.bash in a new terminal'


def discovery(machine: Machine) -> Iterator[Finding]:
    """Look at what decides which nodes find each other."""
    if not has_ros(machine):
        return
    given = machine.environment
    domain, reach = given.get('ROS_DOMAIN_ID', ''), given.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '')
    if domain and not (domain.isdecimal() and int(domain) <= _LAST_DOMAIN):
        yield Finding('middleware', FAIL, f'ROS_DOMAIN_ID is {domain!r}, expected a number of at '
                      f'most {_LAST_DOMAIN}', 'export ROS_DOMAIN_ID=0, the same for all nodes')
        return
    if reach.upper() not in _RANGES:
        yield Finding('middleware', FAIL, f'ROS_AUTOMATIC_DISCOVERY_RANGE is {reach!r}, expected '
                      f'one of {", ".join(filter(None, _RANGES))}',
                      'unset ROS_AUTOMATIC_DISCOVERY_RANGE')
        return
    if reach.upper() == 'OFF' and not given.get('ROS_STATIC_PEERS'):
        yield Finding('middleware', WARN, 'ROS_AUTOMATIC_DISCOVERY_RANGE is OFF: nodes do not '
                      'find each other', 'unset ROS_AUTOMATIC_DISCOVERY_RANGE')
        return
    alone = reach.upper() == 'LOCALHOST' or given.get('ROS_LOCALHOST_ONLY') == '1'
    server = given.get('ROS_DISCOVERY_SERVER', '')
    yield Finding('middleware', OK, f'{middleware_of(machine)}, domain {domain or 0}, '
                  + ('nodes of this machine only' if alone else 'nodes of the whole network')
                  + (f', discovery server {server}' if server else ''))
