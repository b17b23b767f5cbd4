"""camera_node: publishes what a camera gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import threading
from typing import Any

from instseg_ros.cameras import (Camera, CameraError, CameraSettings, Capture, EndOfStream,
                                 open_camera)
from instseg_ros.cameras.calibration import Calibration, load_calibration
from instseg_ros.cameras.capture_client import open_elsewhere
from instseg_ros.core.settings import SettingsError
from instseg_ros.messages import topics
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from vision_msgs.msg import LabelInfo, VisionClass

from .conversions import ns_to_stamp
from .stage_node import ImagePublisher, LATCHED, StageNode

READ_TIMEOUT_S = 0.2  # how soon a change or Ctrl-C is noticed
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 8.0  # before what failed without a single frame is tried again


class CameraNode(StageNode[CameraSettings]):
    """Reads the camera in a thread of its own and publishes frames, masks and class names."""

    def __init__(self, **options: Any) -> None:
        super().__init__('camera_node', CameraSettings, **options)
        self._image = ImagePublisher(self, topics.IMAGE, 'bgr8')
        self._mask = ImagePublisher(self, topics.MASK, 'mono8')
        self._info = self.offer(CameraInfo, topics.CAMERA_INFO)
        self._labels = self.offer(LabelInfo, topics.LABEL_INFO, LATCHED)
        self._calibration = self._load_calibration()
        self._camera: Camera | None = None
        self._camera_details: dict[str, str] = {}
        self._frames = 0
        self._rest_s = 0.0
        self.health.details = lambda: self._camera_details
        self.report_unknown_parameters()
        self._stop = threading.Event()
        self._wake = threading.Event()  # ends a pause
        self._streaming = True
        self.create_service(SetBool, '~/set_streaming', self._set_streaming)
        self._thread = threading.Thread(target=self._run, name='camera')
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop the camera, then the node."""
        self._stop.set()
        self._wake.set()
        self._thread.join()
        super().destroy_node()

    def _set_streaming(self, request: SetBool.Request, response: SetBool.Response
                       ) -> SetBool.Response:
        self._streaming = request.data
        self._wake.set()
        response.success = True
        response.message = 'the camera is being ' + ('opened' if request.data else 'closed')
        return response

    def _run(self) -> None:
        """Open the camera and publish its captures, again and again, until told to stop."""
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            self._wake.clear()
            if not self._streaming:
                self._camera_details = {'camera': 'closed by set_streaming'}
                self._wake.wait()
                continue
            frames = self._frames
            try:
                self._publish_captures()
            except EndOfStream as end:
                self.get_logger().info(str(end))
                self._camera_details['camera'] = str(end)
                return
            except CameraError as error:
                self.health.problem(str(error))
                self.health.count('camera restarts')
                if self._frames == frames:
                    self._wake.wait(max(pause_s, self._rest_s))
                    pause_s = min(2 * pause_s, LAST_PAUSE_S)
                else:  # what worked until now is opened again at once
                    self._wake.wait(self._rest_s)
                    pause_s = FIRST_PAUSE_S

    def _open(self, settings: CameraSettings) -> Camera:
        if settings.own_process or settings.capture_address:
            return open_elsewhere(settings, self.health.problem)
        return open_camera(settings)

    def _publish_captures(self) -> None:
        self._rest_s, settings = 0.0, self.settings
        camera, names = self._open(settings), None
        self._rest_s = camera.rest_s
        try:
            while not self._stop.is_set() and self._streaming:
                if settings is not self.settings:
                    settings = self.settings
                    self._change(camera, settings)
                capture = camera.read(READ_TIMEOUT_S)
                self._camera_details = camera.details()
                if camera.class_names and names is not camera.class_names:
                    names = camera.class_names
                    self._publish_names(names)
                if capture and not self._stop.is_set():
                    self._publish(capture, settings)
                    self._frames += 1
        finally:
            if self._streaming:
                camera.close()
            else:
                camera.release()

    def _change(self, camera: Camera, settings: CameraSettings) -> None:
        try:
            camera.settings = settings
        except SettingsError as error:
            self.health.problem(f'the camera refuses a setting: {error}')

    def _publish(self, capture: Capture, settings: CameraSettings) -> None:
        header = Header(stamp=ns_to_stamp(capture.stamp_ns), frame_id=settings.frame_id)
        pixels = capture.mask if capture.frame is None else capture.frame
        if pixels is not None:
            self._publish_info(header, pixels.shape[1], pixels.shape[0])
        # The mask first, since the longest chain hangs on it; and raw images before compressed
        # ones, since nobody waits for a compression that another one asked for.
        if capture.mask is not None:
            self._mask.publish(capture.mask, header)
        if capture.frame is not None:
            self._image.publish(capture.frame, header)
        if capture.mask is not None:
            self._mask.publish_compressed(capture.mask, header)
        if capture.frame is not None:
            self._image.publish_compressed(capture.frame, header, settings.jpeg_quality)
        self.health.frame(capture.stamp_ns)

    def _publish_info(self, header: Header, width: int, height: int) -> None:
        message = CameraInfo(header=header, width=width, height=height)
        found = self._calibration
        if found and (found.width, found.height) != (width, height):
            self.health.problem(
                f'expected a calibration for {width}x{height} pixels, got one for '
                f'{found.width}x{found.height}; it is not used', 'parameter calibration_file')
            self._calibration = None
        elif found:
            message.distortion_model, message.d = found.distortion_model, list(found.d)
            message.k, message.r, message.p = found.k, found.r, found.p
        self._info.publish(message)

    def _load_calibration(self) -> Calibration | None:
        if not self.settings.calibration_file:
            return None
        try:
            return load_calibration(Path(self.settings.calibration_file).expanduser())
        except CameraError as error:
            self.health.problem(str(error), 'parameter calibration_file')
            return None

    def _publish_names(self, names: Mapping[int, str]) -> None:
        message = LabelInfo(class_map=[VisionClass(class_id=k, class_name=name)
                                       for k, name in sorted(names.items())])
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self.settings.frame_id
        self._labels.publish(message)
