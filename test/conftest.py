"""What the tests of several files share."""

from contextlib import ExitStack
from importlib.util import find_spec
import os
from pathlib import Path
import sys

import pytest


def pytest_configure(config):
    """
    Give the run a ROS domain of its own, on this machine only.

    No other robot hears the tests or is heard by them, nor do two processes that run tests at the
    same time.
    """
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    if find_spec('domain_coordinator'):
        from domain_coordinator import domain_id
        held = ExitStack()
        os.environ['ROS_DOMAIN_ID'] = str(held.enter_context(domain_id()))
        config.add_cleanup(held.close)


@pytest.fixture
def ai_camera(monkeypatch):
    """Put a fake in the place of picamera2, and give the test the world behind it."""
    monkeypatch.syspath_prepend(Path(__file__).parent / 'fakes')
    before = _take_out_picamera2()
    from picamera2.world import reset
    from instseg_ros.cameras import imx500
    monkeypatch.setattr(imx500.packages, 'version', lambda name: '0.3.38')
    yield reset()
    _take_out_picamera2()
    sys.modules.update(before)


def _take_out_picamera2():
    return {name: sys.modules.pop(name) for name in list(sys.modules)
            if name.split('.')[0] == 'picamera2'}


@pytest.fixture
def ai_settings(tmp_path):
    """Give the settings of an AI Camera with a network file that its driver reads."""
    from fakes.rpk import make_rpk
    from instseg_ros.cameras import CameraSettings
    return CameraSettings(source='imx500', model=str(make_rpk(tmp_path / 'network.rpk')))
