"""camera_node: publishes what a camera gives."""

from __future__ import annotations

from pathlib import Path
import threading

from instseg_ros.cameras import (Camera, CameraError, CameraSettings, Capture, EndOfStream,
                                 open_camera)
from instseg_ros.cameras.calibration import Calibration, load_calibration
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass

from .conversions import ns_to_stamp
from .stage_node import ImagePublisher, LATCHED, StageNode

READ_TIMEOUT_S = 0.2  # how soon a change or Ctrl-C is noticed
RETRY_S = 2.0


class CameraNode(StageNode[CameraSettings]):
    """Reads the camera in a thread of its own and publishes frames, masks and class names."""

    def __init__(self) -> None:
        super().__init__('camera_node', CameraSettings)
        self._image = ImagePublisher(self, 'camera/image_raw', 'bgr8')
        self._mask = ImagePublisher(self, 'camera/semantic_mask', 'mono8')
        self._info = self.offer(CameraInfo, 'camera/camera_info')
        self._labels = self.offer(LabelInfo, 'camera/label_info', LATCHED)
        self._calibration = self._load_calibration()
        self._camera: Camera | None = None
        self.health.details = lambda: self._camera.details() if self._camera else {}
        self.report_unknown_parameters()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name='camera')
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop the camera, then the node."""
        self._stop.set()
        self._thread.join()
        super().destroy_node()

    def _run(self) -> None:
        """Open the camera and publish its captures, again and again, until told to stop."""
        while not self._stop.is_set():
            try:
                self._camera = open_camera(self.settings)
                self._publish_names(self._camera)
                self._publish_captures(self._camera)
            except EndOfStream as end:
                self.get_logger().info(str(end))
                return
            except CameraError as error:
                self.health.problem(str(error))
                self._stop.wait(RETRY_S)
            finally:
                if self._camera:
                    self._camera.close()

    def _publish_captures(self, camera: Camera) -> None:
        while not self._stop.is_set():
            settings = camera.settings = self.settings
            capture = camera.read(READ_TIMEOUT_S)
            if capture and not self._stop.is_set():
                self._publish(capture, settings)

    def _publish(self, capture: Capture, settings: CameraSettings) -> None:
        header = Header(stamp=ns_to_stamp(capture.stamp_ns), frame_id=settings.frame_id)
        pixels = capture.mask if capture.frame is None else capture.frame
        if pixels is not None:
            self._publish_info(header, pixels.shape[1], pixels.shape[0])
        # Raw images first: nobody waits for a compression that another one asked for.
        if capture.frame is not None:
            self._image.publish(capture.frame, header)
        if capture.mask is not None:
            self._mask.publish(capture.mask, header)
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

    def _publish_names(self, camera: Camera) -> None:
        message = LabelInfo(class_map=[VisionClass(class_id=k, class_name=name)
                                       for k, name in sorted(camera.class_names.items())])
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self.settings.frame_id
        self._labels.publish(message)
