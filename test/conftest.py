"""What the tests of several files share."""

from pathlib import Path
import sys

import pytest


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
