"""Tuning of nodes that run: pictures from their topics, settings through their services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
import os
import shlex
import threading
import time
from typing import Any

from instseg_ros.core.settings import Setting, Settings
from instseg_ros.errors import MessageError, SettingsError
from instseg_ros.messages import topics
from instseg_ros.messages.detections import class_names
from instseg_ros.messages.encodings import encode
from instseg_ros.reference import STAGES
from instseg_ros.tuning.knobs import Knobs, TUNED
from instseg_ros.tuning.pictures import Shown, SIDES
import rclpy
from rclpy.executors import (ExternalShutdownException, ShutdownException,
                             SingleThreadedExecutor)
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from .conversions import image_to_array
from .remote_settings import RemoteSettings
from .stage_node import LATCHED
from .transport import transport_variables

ANSWER_S = 5.0  # a node that takes longer to answer is not there
_QUALITY = 85
# The newest picture is the one to see.
_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_LISTS = {int: Parameter.Type.INTEGER_ARRAY, float: Parameter.Type.DOUBLE_ARRAY,
          str: Parameter.Type.STRING_ARRAY}


class LiveTuning(Knobs):
    """
    The state behind the page where nodes run, with the interface of ``tuning.state.Tuning``.

    Parameters
    ----------
    namespace : str
        Of the nodes; '' where they have none.

    """

    columns = ('instances', 'ids', 'ids ever', 'frames a second')

    def __init__(self, namespace: str) -> None:
        super().__init__({node: stage() for node, stage in STAGES.items()}, None)
        self.namespace = namespace.strip('/')
        self.title = f'running nodes in /{self.namespace}'
        self.sides = {k: SIDES[k] for k in ('mask', 'cuts')}
        self.beside = 'mask'
        self.names: Mapping[int, str] = {}
        self.main: Shown | None = None
        self.side: Shown | None = None
        self._known: set[str] = set()
        self._counts = (0, 0)
        self._ever: set[str] = set()
        self._times: list[float] = []

    def start(self) -> None:
        """Join the nodes; in the event loop."""
        self._loop = asyncio.get_running_loop()
        # Before rclpy loads the middleware: no image is to be lost. Ctrl-C is the server's.
        os.environ.update(transport_variables(os.environ))
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = node = Node('instseg_tune', namespace=self.namespace, context=self._context,
                                 start_parameter_services=False, enable_rosout=False)
        self._clients = {name: AsyncParameterClient(node, name) for name in TUNED}
        self._remotes = [
            RemoteSettings(node, name, stage, partial(self._in_loop, self._told, name))
            for name, stage in STAGES.items()]
        node.create_subscription(CompressedImage, f'{topics.OVERLAY}/compressed',
                                 partial(self._in_loop, self._picture), _NEWEST)
        node.create_subscription(Detection2DArray, topics.TRACKS,
                                 partial(self._in_loop, self._tracks), _NEWEST)
        node.create_subscription(LabelInfo, topics.LABEL_INFO,
                                 partial(self._in_loop, self._labels), LATCHED)
        self._beside: Subscription = self._listen_beside()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name='ros', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the nodes."""
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _spin(self) -> None:
        with suppress(ExternalShutdownException, ShutdownException):
            self._executor.spin()

    def _in_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(call, *arguments)

    # What the nodes say

    @property
    def notes(self) -> list[str]:
        """Return which nodes do not answer."""
        return [f'/{self.namespace}/{name} does not answer yet (ROS domain '
                f'{os.environ.get("ROS_DOMAIN_ID") or 0})'.replace('//', '/')
                for name in TUNED if name not in self._known]

    @property
    def waiting(self) -> str:
        """Return what is said while there is no picture."""
        return (f'no picture on {topics.OVERLAY} yet; "ros2 launch instseg_ros '
                'pipeline.launch.py" starts all nodes, "instseg doctor" says what is wrong')

    def _told(self, node: str, settings: Settings) -> None:
        """Take the settings of a node, as it told them: changes made elsewhere too."""
        self.settings[node] = settings
        if node not in self._known:
            self._known.add(node)
            self.saved[node] = settings
            self.tell('notes')
        self.tell('settings')

    def _labels(self, message: LabelInfo) -> None:
        self.names = class_names(message)
        self.tell('notes')

    def _tracks(self, message: Detection2DArray) -> None:
        ids = [d.id for d in message.detections if d.id]
        self._counts = len(message.detections), len(ids)
        self._ever.update(ids)
        self._times = [*self._times[-29:], time.monotonic()]

    def figures(self) -> tuple[Any, ...]:
        """Return the numbers of now, as ``columns`` names them."""
        spent = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        rate = (len(self._times) - 1) / spent if spent else 0.0
        return *self._counts, len(self._ever), rate

    def _picture(self, message: CompressedImage) -> None:
        self.main = Shown(0, bytes(message.data), settled=True)
        self.tell('picture')

    def _side_picture(self, message: CompressedImage | Image) -> None:
        try:
            data = (bytes(message.data) if isinstance(message, CompressedImage) else
                    encode(image_to_array(message, 'bgr8'), _QUALITY).tobytes())
        except MessageError:
            return
        self.side = Shown(0, data)
        self.tell('side')

    def _listen_beside(self) -> Subscription:
        kind, topic = ((CompressedImage, f'{topics.CLASSES}/compressed') if self.beside == 'mask'
                       else (Image, f'{topics.DEBUG}/basins'))
        return self._node.create_subscription(
            kind, topic, partial(self._in_loop, self._side_picture), _NEWEST)

    def show_beside(self, side: str) -> None:
        """Show something else beside the overlay; the cuts need ``config_mode``."""
        if side != self.beside:
            self.beside = side
            self._node.destroy_subscription(self._beside)
            self._beside = self._listen_beside()
            self.tell('position')

    # What the nodes are told

    async def change(self, node: str, changes: Mapping[str, Any]) -> None:
        """Set parameters of a node; SettingsError with its reason when it refuses."""
        declared = self.settings[node].parameters()
        parameters = [_parameter(declared[name], value) for name, value in changes.items()]
        client = self._clients[node]
        if not client.services_are_ready():
            raise SettingsError(f'{node} does not answer; is it running?')
        answered: asyncio.Future[Any] = self._loop.create_future()

        def take(future: Future) -> None:
            self._in_loop(answered.set_result, future.result())

        client.set_parameters(parameters).add_done_callback(take)
        done, _ = await asyncio.wait({answered}, timeout=ANSWER_S)
        if not done:
            raise SettingsError(f'{node} did not answer for {ANSWER_S:g} s')
        reasons = [result.reason or 'refused' for result in answered.result().results
                   if not result.successful]
        if reasons:
            raise SettingsError('; '.join(reasons))

    # The file

    @property
    def file_name(self) -> str:
        """Return a name for the parameter file."""
        return f'{self.namespace.replace("/", "_") or "pipeline"}.yaml'

    @property
    def launch_command(self) -> str:
        """Return what launches the pipeline with the file."""
        space = f' namespace:={shlex.quote(self.namespace)}' if self.namespace else ''
        return (f'ros2 launch instseg_ros pipeline.launch.py{space} '
                f'params_file:=PATH/{self.file_name}')

    def set_lines(self, namespace: str = '') -> list[str]:
        """Return the ``ros2 param set`` lines of these nodes."""
        return super().set_lines(namespace or self.namespace)


def _parameter(declared: Setting, value: Any) -> Parameter:
    """Return a value as a parameter of the declared type; what is allowed, the node says."""
    if declared.kind is tuple and isinstance(value, (tuple, list)):
        return Parameter(declared.name, _LISTS[declared.item], list(value))
    if declared.kind is float and type(value) is int:
        value = float(value)
    if type(value) is not declared.kind:
        declared.checked(value)
    return Parameter(declared.name, value=value)
