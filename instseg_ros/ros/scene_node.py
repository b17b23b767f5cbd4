"""scene_node: which tracks are where, with whom, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from instseg_ros.core.scene import Event, Scene, SceneSettings
from instseg_ros.core.scene.heatmap import Heatmap
from instseg_ros.errors import MessageError
from instseg_ros.messages import topics
from instseg_ros.messages.detections import (class_names, detections_to_instances,
                                             texts_of_ids, track_ids)
from instseg_ros.messages.scene import ARRAY, COUNT, is_latched, SceneMessages, topics_of
from instseg_ros.messages.stamps import stamp_ns, StampPairing
from instseg_ros.recordings.event_recorder import EventRecorder
import numpy as np
import numpy.typing as npt
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header, UInt32
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray, Detection3DArray, LabelInfo

from .conversions import array_to_image, image_to_array, TYPES
from .stage_node import LATCHED, OFFERED, REQUESTED, StageNode

_KINDS = {ARRAY: Detection2DArray, COUNT: UInt32}
# What is saved around an event, besides the topics of the selections.
_SAVED = {f'{topics.IMAGE}/compressed': CompressedImage, topics.CAMERA_INFO: CameraInfo,
          f'{topics.MASK}/compressed': CompressedImage, topics.LABEL_INFO: LabelInfo,
          f'{topics.NETWORK_MASK}/compressed': CompressedImage,
          topics.NETWORK_INSTANCES: Detection2DArray,
          f'{topics.INSTANCE_MASK}/compressed': CompressedImage,
          topics.DETECTIONS: Detection2DArray, topics.TRACKS: Detection2DArray}
_MIB = 1 << 20


class SceneNode(StageNode[SceneSettings]):
    """
    Applies named selections to tracks; publishes who is selected and what happens.

    Parameters
    ----------
    **options
        As for :class:`rclpy.node.Node`.

    """

    def __init__(self, **options: Any) -> None:
        super().__init__('scene_node', SceneSettings, **options)
        self._scene = Scene(self.settings)
        self._messages = SceneMessages(TYPES)
        self._heatmap = Heatmap()
        self._heat_s = 0
        self._topics: dict[str, Publisher] = {}
        self._applied: SceneSettings | None = None
        self._floor: Subscription | None = None
        self._recorder: EventRecorder | None = None
        self._saved: list[Subscription] = []
        self._pairing = StampPairing()
        self._heat = self.offer(Image, topics.HEATMAP)
        self._labels = self.request(LabelInfo, topics.LABEL_INFO, self._on_names, LATCHED)
        self._masks = self.request(Image, topics.INSTANCE_MASK, lambda m: self._on_part(0, m))
        self._tracks = self.request(Detection2DArray, topics.TRACKS,
                                    lambda m: self._on_part(1, m))
        self._reset = self.create_service(Trigger, '~/reset', self._on_reset)
        self._timer = self.create_timer(0.5, self._on_time)
        self._apply_settings()
        self.report_unknown_parameters()

    def destroy_node(self) -> None:
        """End the recording of an event, if there is one."""
        if self._recorder:
            self._recorder.close()
            self._recorder = None
        super().destroy_node()

    def _on_names(self, message: LabelInfo) -> None:
        self._scene.names = class_names(message)
        self._report_classes()

    def _report_classes(self) -> None:
        for name, text in self._scene.unknown_classes if self._scene.names else ():
            self.health.problem(f'expected one of {", ".join(self._scene.names.values())}, or the '
                                f'id of a class, got {text!r}: nothing has it',
                                f'parameters of {name}')

    def _on_time(self) -> None:
        self._apply_settings()
        if self._recorder:
            self._recorder.tick(self.get_clock().now().nanoseconds)

    def _apply_settings(self) -> None:
        """Make topics and subscriptions fit the settings, when these have changed."""
        settings = self.settings
        if settings is self._applied:
            return
        self._applied = self._scene.settings = settings
        wanted = topics_of(settings)
        for topic in self._topics.keys() - wanted.keys():
            publisher = self._topics.pop(topic)
            self._outputs.remove(publisher)
            self.destroy_publisher(publisher)
            self._messages.forget(topic)
        for topic, kind in wanted.items():
            if topic not in self._topics:
                self._topics[topic] = self.offer(
                    _KINDS[kind], topic, LATCHED if is_latched(topic) else OFFERED)
        self._listen_to_floor(any(s.units == 'metres' and (s.zone or s.line)
                                  for s in settings.named.values()))
        self._save(settings)
        self._report_classes()

    def _listen_to_floor(self, wanted: bool) -> None:
        if wanted and self._floor is None:
            self._floor = self.request(Detection3DArray, topics.OBJECTS,
                                       lambda m: self._on_part(2, m))
        elif self._floor is not None and not wanted:
            self.dismiss(self._floor)
            self._floor = None
        self._pairing = StampPairing(2)

    def _save(self, settings: SceneSettings) -> None:
        """Listen to what is saved around events, if any selection wants that."""
        for subscription in self._saved:
            self.dismiss(subscription)
        self._saved = []
        if self._recorder:
            self._recorder.close()
            self._recorder = None
        if not any(s.saves for s in settings.named.values()):
            return
        own = {self.resolve_topic_name(t): (kind, is_latched(t))
               for t, kind in topics_of(settings).items()}
        listened = {self.resolve_topic_name(t): (_full_name(kind), t == topics.LABEL_INFO)
                    for t, kind in _SAVED.items()}
        self._recorder = EventRecorder(Path(settings.folder).expanduser(), listened | own,
                                       self._on_saved)
        for topic, kind in _SAVED.items():
            qos = LATCHED if topic == topics.LABEL_INFO else REQUESTED
            self._saved.append(self.request(
                kind, topic, partial(self._keep, self.resolve_topic_name(topic)), qos, raw=True))

    def _keep(self, topic: str, data: bytes) -> None:
        if self._recorder:
            settings = self.settings
            self._recorder.add(
                topic, self.get_clock().now().nanoseconds, data,
                max((s.save_before_s for s in settings.named.values()), default=0.0),
                settings.max_memory * _MIB)

    def _on_saved(self, said: str, well: bool) -> None:
        if well:
            self.get_logger().info(said)
        else:
            self.health.problem(said)

    def _on_part(self, topic: int, message: Any) -> None:
        count = 3 if self._floor is not None and self._floor.get_publisher_count() else 2
        if count != self._pairing.count:
            self._pairing = StampPairing(count)
        if topic >= count:
            return
        for stamp, parts in self._pairing.add(topic, stamp_ns(message), message):
            if parts[0] is None or parts[1] is None:
                self.health.count('frames without ' + (
                    self._masks if parts[0] is None else self._tracks).topic_name)
                continue
            try:
                self._on_frame(stamp, *parts)
            except MessageError as error:
                self.health.refuse(str(error), stamp, self._tracks.topic_name)

    def _on_frame(self, stamp: int, mask: Image, tracks: Detection2DArray,
                  objects: Detection3DArray | None = None) -> None:
        self._apply_settings()
        settings = self._scene.settings
        if self._floor is not None and objects is None:
            self.health.problem('expected places on the floor for selections in metres, got none; '
                                'start ground_node (ground:=true)', self._floor.topic_name)
        if not self._scene.names and self._scene.unknown_classes:
            self.health.count('frames without names of classes')
            self.health.problem('expected names for the classes of the selections, got none yet; '
                                'name classes by their ids where nobody publishes them',
                                self._labels.topic_name)
            return
        instances = detections_to_instances(tracks, image_to_array(mask, '16UC1'))
        ids = track_ids(tracks)
        selected, events = self._scene.update(instances, ids, stamp, _places(tracks, objects))
        for topic, message in self._messages.of(
                settings, selected, events, instances, texts_of_ids(tracks),
                tracks.header):
            self._topics[topic].publish(message)
            if self._recorder:
                self._keep(self.resolve_topic_name(topic), serialize_message(message))
        self._save_events(events)
        self._heatmap.add(instances, ids, stamp, settings.heatmap_half_life_s)
        self._publish_heatmap(stamp, tracks.header)
        self.health.frame(stamp)

    def _save_events(self, events: Sequence[Event]) -> None:
        for event in events:
            selection = self._scene.settings.named[event.selection]
            if self._recorder and selection.saves:
                self._recorder.happened(event.selection, self.get_clock().now().nanoseconds,
                                        selection.save_before_s, selection.save_after_s)

    def _publish_heatmap(self, stamp: int, header: Header) -> None:
        """Publish the heatmap once a second, while somebody looks."""
        seconds = self._heatmap.seconds
        if (self._heat.get_subscription_count() and seconds is not None
                and stamp // 10**9 != self._heat_s):
            self._heat_s = stamp // 10**9
            self._heat.publish(array_to_image(seconds, '32FC1', header))

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._scene.reset()
        self._heatmap = Heatmap()
        response.success, response.message = True, 'every track and every count was forgotten'
        return response


def _places(tracks: Detection2DArray, objects: Detection3DArray | None
            ) -> npt.NDArray[np.float64] | None:
    """Return where each track stands on the floor, (N, 2); NaN where that is not known."""
    if objects is None:
        return None
    known = {d.id: (d.bbox.center.position.x, d.bbox.center.position.y)
             for d in objects.detections if d.id}
    return np.array([known.get(i, (np.nan, np.nan)) for i in texts_of_ids(tracks)],
                    np.float64).reshape(-1, 2)


def _full_name(kind: type) -> str:
    return f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
