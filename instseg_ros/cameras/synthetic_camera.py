"""The synthetic camera: a drawn scene at any size and rate."""

from __future__ import annotations

import time

from .camera import Camera, CameraSettings, Capture
from .pace import Pace
from .synthetic import SyntheticScene
from ..errors import CameraError


class SyntheticCamera(Camera):
    """Draws the scene of ``settings.seed``, stamped with the time of drawing."""

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings)
        self._scene = SyntheticScene(settings.width, settings.height, settings.seed)
        self._pace = Pace()
        self._time_s = 0.0

    def read(self, timeout_s: float) -> Capture | None:
        """Return the next frame and its exact mask."""
        if self._pace.closed:
            raise CameraError('the camera is closed')
        if not self._pace.wait(self._time_s, 1.0, timeout_s):
            return None
        stamp_ns = time.time_ns()
        scene = self._scene.at(self._time_s)
        self._time_s += 1 / (self.settings.frame_rate or 30.0)
        return Capture(stamp_ns, scene.frame, scene.mask)

    def close(self) -> None:
        """Stop drawing."""
        self._pace.close()
