"""camera_node: publishes what a camera gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
import threading
import time
from typing import Any

from instseg_ros.cameras import Camera, CameraSettings, Capture, open_camera
from instseg_ros.cameras.calibration import Calibration, load_calibration
from instseg_ros.cameras.camera import fails_for_good, is_played
from instseg_ros.cameras.capture_client import open_elsewhere
from instseg_ros.errors import CameraError, EndOfStream, SettingsError, SourceError
from instseg_ros.messages import topics
from instseg_ros.messages.detections import label_info
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray, LabelInfo

from .conversions import InstanceDetections, ns_to_stamp, TYPES
from .followers import Followers
from .stage_node import ImagePublisher, LATCHED, StageNode

POLL_S = 0.1  # how soon it is noticed that the nodes that follow are there
RESTART_STEP_NS = 100_000_000  # between the frames before and after a restart of a recording
READ_TIMEOUT_S = 0.2  # how soon a change or Ctrl-C is noticed
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 8.0  # before what failed without a single frame is tried again


class CameraNode(StageNode[CameraSettings]):
    """
    Reads the camera in a thread of its own and publishes frames, masks and class names.

    What a network knows of instances by itself is published too, with the stamp of the mask.

    Parameters
    ----------
    followers : sequence of str
        Nodes of the same process that a recording waits for, where ``wait_for`` names none.
    **options
        As for :class:`rclpy.node.Node`.

    """

    def __init__(self, followers: Sequence[str] = (), **options: Any) -> None:
        super().__init__('camera_node', CameraSettings, **options)
        self._image = ImagePublisher(self, topics.IMAGE, 'bgr8')
        self._mask = ImagePublisher(self, topics.MASK, 'mono8')
        # Offered with the first instances: a network that gives none has no such topics.
        self._network: tuple[ImagePublisher, Publisher] | None = None
        self._info = self.offer(CameraInfo, topics.CAMERA_INFO)
        self._labels = self.offer(LabelInfo, topics.LABEL_INFO, LATCHED)
        self._calibration = self._load_calibration()
        self._camera: Camera | None = None
        self._camera_details: dict[str, str] = {}
        self._frames = 0
        self._last_ns = 0  # the stamp that was published last
        self._rest_s = 0.0
        self._followers = self.settings.wait_for.split() or [
            name for name in followers if name in ('instance_segmentation_node', 'tracker_node')]
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
        if is_played(self.settings.source) and not self.settings.capture_address:
            self._wait_for_followers()
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
                self._wake.wait()  # until set_streaming wants it again
            except CameraError as error:
                # Of a capture process, only what it says itself is about the source.
                if isinstance(error, SourceError) or (not self._is_elsewhere(self.settings)
                                                      and fails_for_good(self.settings)):
                    self._give_up(str(error))
                    continue
                self.health.problem(str(error))
                self.health.count('camera restarts')
                if self._frames == frames:
                    self._wake.wait(max(pause_s, self._rest_s))
                    pause_s = min(2 * pause_s, LAST_PAUSE_S)
                else:  # what worked until now is opened again at once
                    self._wake.wait(self._rest_s)
                    pause_s = FIRST_PAUSE_S

    def _give_up(self, why: str) -> None:
        """Say once that the source will not do, and wait until set_streaming wants it again."""
        self.health.failure = why
        self.get_logger().error(f'{why}; the camera stays closed')
        self._camera_details['camera'] = 'closed for good'
        self._wake.wait()
        self.health.failure = ''

    def _wait_for_followers(self, further: Sequence[str] = ()) -> None:
        """Hold a recording back until the nodes that follow are connected: they lose nothing."""
        until, said = time.monotonic() + self.settings.wait_timeout, False
        missing: list[str] = []
        followers = Followers(self, [*self._followers, *further])
        while not self._stop.is_set():
            missing = followers.missing(self.connections())
            if not self._followers and not (self._image.wanted or self._mask.wanted):
                missing.append(f'a subscriber of {topics.IMAGE} or {topics.MASK}')
            if not missing or time.monotonic() > until:
                break
            if not said:
                self.get_logger().info(f'waiting for {", ".join(missing)} before the source is '
                                       'played')
                said = True
            self._stop.wait(POLL_S)
        followers.close()
        if missing and self.settings.wait_timeout and not self._stop.is_set():
            self.health.problem(
                f'expected {", ".join(missing)} within {self.settings.wait_timeout:g} s, playing '
                'without; the first masks may be lost (parameters wait_for, wait_timeout)')

    def _is_elsewhere(self, settings: CameraSettings) -> bool:
        return bool(settings.own_process or settings.capture_address)

    def _open(self, settings: CameraSettings) -> Camera:
        if self._is_elsewhere(settings):
            return open_elsewhere(settings, self.health.problem, self.get_logger().name)
        camera = open_camera(settings)
        camera.report = self.health.problem
        return camera

    def _publish_captures(self) -> None:
        self._rest_s, settings = 0.0, self.settings
        camera, names, shift_ns = self._open(settings), None, None
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
                    if shift_ns is None:
                        shift_ns = self._shift_after_restart(capture)
                    capture = replace(capture, stamp_ns=capture.stamp_ns + shift_ns)
                    self._publish(capture, settings)
                    self._last_ns = capture.stamp_ns
                    self._frames += 1
        finally:
            if self._streaming:
                camera.close()
            else:
                camera.release()

    def _shift_after_restart(self, first: Capture) -> int:
        """Return what keeps the stamps rising where a recording starts again after a failure."""
        if not is_played(self.settings.source) or first.stamp_ns > self._last_ns:
            return 0
        return self._last_ns + RESTART_STEP_NS - first.stamp_ns

    def _change(self, camera: Camera, settings: CameraSettings) -> None:
        try:
            camera.settings = settings
        except SettingsError as error:
            self.health.problem(f'the camera refuses a setting: {error}')

    def _offer_instances(self) -> tuple[ImagePublisher, Publisher]:
        """Offer the topics of a network's own instances; a recording waits for who wants them."""
        offered = (ImagePublisher(self, topics.NETWORK_MASK, '16UC1'),
                   self.offer(Detection2DArray, topics.NETWORK_INSTANCES))
        recorded = topics.RECORDED if f'{topics.MASK}/compressed' in self._followers else ()
        wanted = [t for t in topics.OPTIONAL if t in recorded or self.count_subscribers(t)]
        if wanted and is_played(self.settings.source):
            self._wait_for_followers(wanted)
        return offered

    def _publish(self, capture: Capture, settings: CameraSettings) -> None:
        found = capture.instances
        if found is not None and self._network is None:
            self._network = self._offer_instances()
        header = Header(stamp=ns_to_stamp(capture.stamp_ns), frame_id=settings.frame_id)
        pixels = capture.mask if capture.frame is None else capture.frame
        if pixels is not None:
            self._publish_info(header, pixels.shape[1], pixels.shape[0])
        # What the longest chain hangs on first: instances or the mask; and raw images before
        # compressed ones, since nobody waits for a compression that another one asked for.
        if found is not None and self._network:
            self._network[0].publish(found.labels, header)
            if self._network[1].get_subscription_count():
                self._network[1].publish(InstanceDetections(found, header))
        if capture.mask is not None:
            self._mask.publish(capture.mask, header)
        if capture.frame is not None:
            self._image.publish(capture.frame, header)
        if found is not None and self._network:
            self._network[0].publish_compressed(found.labels, header)
        if capture.mask is not None:
            self._mask.publish_compressed(capture.mask, header)
        if capture.frame is not None:
            self._image.publish_compressed(capture.frame, header, settings.jpeg_quality)
        self.health.frame(capture.stamp_ns)

    def _publish_info(self, header: Header, width: int, height: int) -> None:
        found = self._calibration
        if found and (found.width, found.height) != (width, height):
            self.health.problem(
                f'expected a calibration for {width}x{height} pixels, got one for '
                f'{found.width}x{found.height}; it is not used', 'parameter calibration_file')
            found = self._calibration = None
        if self._info.get_subscription_count():
            message = CameraInfo(header=header, width=width, height=height)
            if found:
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
        self._labels.publish(label_info(TYPES, names, Header(
            stamp=self.get_clock().now().to_msg(), frame_id=self.settings.frame_id)))
