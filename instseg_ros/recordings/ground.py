"""The floor in recordings: what the ground node publishes, from a recording's own transforms."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .bag import Bag
from .frames import header_of
from ..core.ground import (camera_pose, CameraModel, GroundObjects, GroundSettings,
                           GroundTracker, motion, Target, TransformTree)
from ..core.instances import Instances
from ..errors import CalibrationError, TransformError
from ..messages import ground, topics, typestore

TYPES = {topics.OBJECTS: 'vision_msgs/msg/Detection3DArray',
         topics.OBSTACLES: 'sensor_msgs/msg/PointCloud2',
         topics.FREE_SPACE: 'sensor_msgs/msg/PointCloud2',
         topics.FOOTPRINTS: 'geometry_msgs/msg/PolygonInstanceStamped',
         topics.TARGET: 'geometry_msgs/msg/PoseStamped',
         topics.MARKERS: 'visualization_msgs/msg/MarkerArray'}
_INFO, _TF = 'sensor_msgs/msg/CameraInfo', 'tf2_msgs/msg/TFMessage'


@dataclass(frozen=True)
class Placed:
    """What is written of a frame: messages, and x, y, speed of each instance (N, 3)."""

    messages: tuple[tuple[str, bytes], ...]
    floor: npt.NDArray[np.float64]


class GroundStage:
    """
    Places the instances of a recording on the floor, where its camera and pose are known.

    Parameters
    ----------
    bag : Bag
        The recording.
    settings : GroundSettings
        Of the stage.
    front : str
        What is in front of the names of its topics.
    names : mapping of int to str
        Names of the classes.

    Attributes
    ----------
    active : bool
        Whether results are to be expected.
    notes : list of str
        Why there are none, where somebody seems to want some.

    """

    def __init__(self, bag: Bag, settings: GroundSettings, front: str,
                 names: Mapping[int, str]) -> None:
        self._settings, self._names = settings, names
        self._tracker, self._target = GroundTracker(settings), Target()
        self._tree = TransformTree(kept_ns=None)
        self._camera: CameraModel | None = None
        self._lost: dict[str, int] = {}
        self.notes: list[str] = []
        moves = self._read_transforms(bag)
        known = bool(moves or settings.camera_height)
        calibrated = known and (self._read_camera(bag, front) or settings.horizontal_fov > 0)
        self.active = calibrated and not self.notes
        if settings.camera_height and not calibrated:
            self.notes.append(f'ground: {topics.CAMERA_INFO} is not calibrated, so nothing can be '
                              'said in metres; --set ground_node.horizontal_fov=66 approximates '
                              'the Raspberry Pi AI Camera')

    def _read_camera(self, bag: Bag, front: str) -> bool:
        """Take the first calibration of the recording; return whether there is one."""
        topic = bag.find(front + topics.CAMERA_INFO)
        if topic is None or topic.msgtype != _INFO:
            return False
        for name, time_ns, data in bag.messages([topic.name]):
            info = bag.decode(name, time_ns, data)
            if info.k[0]:
                try:
                    self._camera = CameraModel(info.width, info.height, info.k, info.d.tolist(),
                                               info.distortion_model)
                except CalibrationError as error:
                    self.notes.append(f'ground: {topic.name}: {error}')
                return True
        return False

    def _read_transforms(self, bag: Bag) -> bool:
        found = [t.name for t in bag.topics.values() if t.msgtype == _TF]
        for topic, time_ns, data in bag.messages(found) if found else ():
            ground.add_transforms(self._tree, bag.decode(topic, time_ns, data),
                                  topic.endswith(topics.TF_STATIC))
        return bool(found)

    def place(self, instances: Instances, ids: npt.NDArray[np.int64], stamp_ns: int,
              frame_id: str) -> Placed | None:
        """
        Return what is written of a frame; None where it cannot be placed, which is noted.

        ``ids`` are as :meth:`Tracker.update` returns them.
        """
        settings, moved = self._settings, None
        height, width = instances.labels.shape
        try:
            pose = camera_pose(settings, self._tree.lookup, frame_id, stamp_ns)
            with suppress(TransformError):
                moved = motion(settings, self._tree.lookup, stamp_ns)
            if self._camera is None:
                self._camera = CameraModel.from_field_of_view(
                    width, height, settings.horizontal_fov)
            found = self._tracker.update(
                instances, ids, stamp_ns, self._camera, pose, moved, self._names)
        except (TransformError, CalibrationError) as error:
            self._lost[str(error)] = self._lost.get(str(error), 0) + 1
            return None
        floor = np.column_stack([found.positions, np.hypot(*found.velocities.T)])
        return Placed(tuple(self._messages(found, stamp_ns)), floor)

    def _messages(self, found: GroundObjects, stamp_ns: int) -> list[tuple[str, bytes]]:
        store, settings = typestore(), self._settings
        types = store.types
        header = header_of(*divmod(stamp_ns, 10**9), settings.ground_frame)
        made = [(topics.OBJECTS, ground.objects(types, found, header)),
                (topics.OBSTACLES, ground.point_cloud(
                    types, ground.obstacle_points(found), header, _as_bytes)),
                (topics.FREE_SPACE, ground.point_cloud(
                    types, ground.free_space_points(found), header, _as_bytes)),
                *((topics.FOOTPRINTS, polygon)
                  for polygon in ground.footprints(types, found, header)),
                (topics.MARKERS, ground.markers(types, found, self._names, header, _as_bytes))]
        row, _ = self._target.find(settings.target, found, self._names, stamp_ns,
                                   settings.max_lost_s)
        if row is not None:
            made.append((topics.TARGET, ground.target_pose(types, found, row, header)))
        return [(topic, bytes(store.serialize_cdr(message, TYPES[topic])))
                for topic, message in made]

    def lines(self) -> list[str]:
        """Return what was odd, when all is done."""
        lost = sum(self._lost.values())
        first = [f'ground: {lost} frames have no place on the floor: {next(iter(self._lost))}'
                 ] if lost else []
        return self.notes + first


def _as_bytes(content: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)
