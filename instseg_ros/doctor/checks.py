"""The table of all checks, and how they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO

from . import (ai_camera, devices, python_packages, resources, ros_installation,
               shared_memory)
from .finding import FAIL, Finding, Machine, SKIP

MACHINE_CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    python_packages.python_version,
    python_packages.packages,
    python_packages.several_opencvs,
    python_packages.opencv,
    python_packages.cpu_networks,
    ros_installation.ros,
    ros_installation.discovery,
    shared_memory.profile,
    shared_memory.shared_memory,
    shared_memory.leftover_segments,
    devices.video_devices,
    ai_camera.kernel_driver,
    ai_camera.device_rights,
    ai_camera.firmware_and_network,
    ai_camera.libcamera,
    ai_camera.picamera2,
    resources.free_disk,
    resources.free_memory,
    resources.power,
    resources.clock,
)


def examine_machine(machine: Machine) -> Iterator[Finding]:
    """Yield what is found on a machine."""
    for check in MACHINE_CHECKS:
        try:
            # OpenCV without NumPy prints advice of its own.
            with redirect_stdout(StringIO()):
                found = list(check(machine))
            yield from found
        except ImportError as error:  # what is missing is named by another check
            yield Finding(check.__name__.replace('_', ' '), SKIP, f'not looked at: {error}')
        except Exception as error:  # one check that fails is not to hide the others
            yield Finding(check.__name__.replace('_', ' '), FAIL,
                          f'it cannot be looked at: {type(error).__name__}: {error}',
                          'run the command as the user of the nodes')


def examine_pipeline(duration_s: float, namespace: str) -> Iterator[Finding]:
    """Listen to what runs in this ROS domain, and yield what is found."""
    # A middleware that is not there ends the process that asks for it.
    if python_packages.try_imports(['rclpy'])['rclpy'][1]:
        yield Finding('pipeline', SKIP, 'not looked at, since ROS 2 does not load in this shell')
        return
    try:
        from . import pipeline
        # By name: nothing outside of ros/ depends on ROS, and this only uses it where it is.
        observe = import_module('..ros.observer', __package__).observe
    except ImportError as error:  # named by the check of ROS 2 or of the packages
        yield Finding('pipeline', SKIP, f'not looked at: {error}')
        return
    try:
        graph = observe(duration_s, namespace)
    except Exception as error:  # rclpy has its own for each
        yield Finding('pipeline', FAIL, f'ROS does not start: {type(error).__name__}: {error}',
                      'mend what is said of ROS 2 and the middleware above; if nothing is, unset '
                      'RMW_IMPLEMENTATION and ROS_DISCOVERY_SERVER')
        return
    for check in pipeline.CHECKS:
        yield from check(graph)
