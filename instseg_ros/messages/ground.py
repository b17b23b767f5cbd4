"""
Objects on the floor as messages, written once for the nodes and for recordings.

Every function takes the message classes as :mod:`.detections` does, and a header with the stamp
of the mask and the frame of the floor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .detections import Types
from .stamps import stamp_ns
from ..core.ground import free_space, GroundObjects, TransformTree

_LOWEST, _STEP, _HIGHEST = 0.05, 0.2, 2.0  # metres: heights of obstacle points
_CELL = 0.05     # metres between obstacle points
_THIN = 0.02     # metres: height of what lies flat
_UNKNOWN = 0.5   # metres: height of what does not show its top, for obstacles and boxes
_SHOWN_S = 1     # how long markers stay if no more come
_SLOW = 0.15     # m/s: arrows are not drawn of less
_ARROW, _LINE_STRIP, _TEXT, _DELETE_ALL = 0, 4, 9, 3  # of visualization_msgs/Marker
_FLOAT32 = 7  # of sensor_msgs/PointField
_COLOURS = ((0.90, 0.10, 0.29), (0.24, 0.71, 0.29), (0.26, 0.39, 0.85), (0.96, 0.51, 0.19),
            (0.57, 0.12, 0.71), (0.27, 0.60, 0.56), (0.94, 0.20, 0.90), (0.60, 0.39, 0.14))


def _pose(types: Types, x: float, y: float, z: float, yaw: float) -> Any:
    return types['geometry_msgs/msg/Pose'](
        position=types['geometry_msgs/msg/Point'](x=x, y=y, z=z),
        orientation=types['geometry_msgs/msg/Quaternion'](
            x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2)))


def _tall(found: GroundObjects) -> npt.NDArray[np.float64]:
    """Return heights for boxes and obstacles, also of what does not show its top."""
    heights = np.where(np.isnan(found.measured.heights), _UNKNOWN, found.measured.heights)
    return np.maximum(heights, _THIN)


def objects(types: Types, found: GroundObjects, header: Any) -> Any:
    """
    Return a vision_msgs/Detection3DArray: what has a place on the floor, in the order of labels.

    The box stands on the floor, x along the heading of what lies flat, else away from the camera.
    """
    detections, tall = [], _tall(found)
    for k in found.placed.tolist():
        length, breadth, yaw = found.measured.boxes[k].tolist()
        covariance = np.zeros((6, 6))
        covariance[:2, :2] = found.covariances[k, :2, :2]
        height_noise = float(found.measured.height_noise[k])
        covariance[2, 2] = (height_noise / 2 if math.isfinite(height_noise) else tall[k]) ** 2
        covariance[5, 5] = 0.1 ** 2 if found.measured.flat[k] else math.pi ** 2 / 3
        x, y = found.positions[k].tolist()
        pose = _pose(types, x, y, float(tall[k]) / 2, yaw)
        detections.append(types['vision_msgs/msg/Detection3D'](
            header=header,
            results=[types['vision_msgs/msg/ObjectHypothesisWithPose'](
                hypothesis=types['vision_msgs/msg/ObjectHypothesis'](
                    class_id=str(found.instances.class_ids[k]),
                    score=float(found.instances.scores[k])),
                pose=types['geometry_msgs/msg/PoseWithCovariance'](
                    pose=pose, covariance=covariance.ravel()))],
            bbox=types['vision_msgs/msg/BoundingBox3D'](
                center=pose, size=types['geometry_msgs/msg/Vector3'](
                    x=length, y=breadth, z=float(tall[k]))),
            id=str(found.ids[k] or '')))
    return types['vision_msgs/msg/Detection3DArray'](header=header, detections=detections)


def obstacle_points(found: GroundObjects) -> npt.NDArray[np.float32]:
    """
    Return obstacles as points: contact edges, one each 5 cm, and above them up to the height.

    What does not show its foot is as wide as its footprint, where it is believed to stand.

    Returns
    -------
    ndarray of shape (P, 3), float32
        x, y, z in metres; heights begin at 5 cm, since costmaps drop what is below the floor.

    """
    points, tall = [np.zeros((0, 3), np.float32)], _tall(found)
    for k in found.placed.tolist():
        hides = found.measured.cut[k] or found.measured.hidden[k] or found.measured.flat[k]
        edge = found.footprint(k) if hides else found.contact(k)
        cells = np.unique(np.round(edge / _CELL).astype(np.int64), axis=0) * _CELL
        heights = np.arange(_LOWEST, max(min(tall[k], _HIGHEST), 2 * _LOWEST), _STEP)
        column = np.repeat(cells, len(heights), axis=0)
        points.append(np.column_stack([column, np.tile(heights, len(cells))]).astype(np.float32))
    return np.concatenate(points)


def free_space_points(found: GroundObjects) -> npt.NDArray[np.float32]:
    """Return where free sight ends in each direction, (K, 3), just above the floor."""
    ends = free_space(found)
    return np.column_stack([ends, np.full(len(ends), _LOWEST)]).astype(np.float32)


def point_cloud(types: Types, points: npt.NDArray[np.float32], header: Any,
                as_bytes: Callable[[bytes], Any]) -> Any:
    """Return points (P, 3) as a sensor_msgs/PointCloud2; ``as_bytes`` makes a uint8[] of bytes."""
    field = types['sensor_msgs/msg/PointField']
    return types['sensor_msgs/msg/PointCloud2'](
        header=header, height=1, width=len(points), is_bigendian=False, point_step=12,
        row_step=12 * len(points), is_dense=True, data=as_bytes(points.astype('<f4').tobytes()),
        fields=[field(name=name, offset=4 * i, datatype=_FLOAT32, count=1)
                for i, name in enumerate('xyz')])


def footprints(types: Types, found: GroundObjects, header: Any) -> list[Any]:
    """
    Return a geometry_msgs/PolygonInstanceStamped for each track, and an empty one with id 0.

    Nav2's collision monitor stops the robot when a source knows no polygon at all: the empty one
    says that the camera sees, and that nobody is there.
    """
    polygons = {0: [], **{int(found.ids[k]): found.footprint(k).tolist()
                          for k in found.placed[found.ids[found.placed] > 0].tolist()}}
    return [types['geometry_msgs/msg/PolygonInstanceStamped'](
        header=header, polygon=types['geometry_msgs/msg/PolygonInstance'](
            id=track, polygon=types['geometry_msgs/msg/Polygon'](
                points=[types['geometry_msgs/msg/Point32'](x=x, y=y, z=0.0)
                        for x, y in corners])))
            for track, corners in polygons.items()]


def target_pose(types: Types, found: GroundObjects, k: int, header: Any) -> Any:
    """Return where a target is as a geometry_msgs/PoseStamped; it looks where it goes."""
    x, y = found.positions[k].tolist()
    velocity = found.velocities[k]
    moves = np.hypot(*velocity) > _SLOW
    yaw = math.atan2(velocity[1], velocity[0]) if moves else math.atan2(y, x)
    return types['geometry_msgs/msg/PoseStamped'](
        header=header, pose=_pose(types, x, y, 0.0, yaw))


def markers(types: Types, found: GroundObjects, names: Mapping[int, str], header: Any,
            as_bytes: Callable[[bytes], Any]) -> Any:
    """Return a visualization_msgs/MarkerArray: footprints, names and velocities."""
    vector, colour_of = types['geometry_msgs/msg/Vector3'], types['std_msgs/msg/ColorRGBA']
    duration = types['builtin_interfaces/msg/Duration']
    unused = {
        'colors': [], 'texture_resource': '', 'uv_coordinates': [], 'mesh_resource': '',
        'frame_locked': False, 'mesh_use_embedded_materials': False,
        'texture': types['sensor_msgs/msg/CompressedImage'](
            header=header, format='', data=as_bytes(b'')),
        'mesh_file': types['visualization_msgs/msg/MeshFile'](filename='', data=as_bytes(b''))}

    def marker(space: str, number: int, kind: int, colour: tuple[float, ...],
               scale: tuple[float, float, float], pose: Any, points: list[Any],
               text: str = '', action: int = 0) -> Any:
        return types['visualization_msgs/msg/Marker'](
            header=header, ns=space, id=number, type=kind, action=action, pose=pose,
            scale=vector(x=scale[0], y=scale[1], z=scale[2]),
            color=colour_of(r=colour[0], g=colour[1], b=colour[2], a=1.0),
            lifetime=duration(sec=_SHOWN_S, nanosec=0), points=points, text=text, **unused)

    def point(x: float, y: float, z: float) -> Any:
        return types['geometry_msgs/msg/Point'](x=x, y=y, z=z)

    grey, origin, tall = (0.6, 0.6, 0.6), _pose(types, 0.0, 0.0, 0.0, 0.0), _tall(found)
    # What is no longer there goes at once.
    shown = [marker('', 0, _ARROW, grey, (0.0, 0.0, 0.0), origin, [], action=_DELETE_ALL)]
    for k in found.placed.tolist():
        track = int(found.ids[k])
        number = track % 2**31 if track else -k - 1
        colour = _COLOURS[track % len(_COLOURS)] if track else grey
        x, y = found.positions[k].tolist()
        corners = found.footprint(k).tolist()
        shown.append(marker('footprints', number, _LINE_STRIP, colour, (0.03, 0.0, 0.0), origin,
                            [point(a, b, 0.01) for a, b in (*corners, corners[0])]))
        speed = float(np.hypot(*found.velocities[k]))
        class_id = int(found.instances.class_ids[k])
        words = [names.get(class_id, str(class_id)), *([str(track)] if track else []),
                 f'{math.hypot(x, y):.1f} m']
        if speed > _SLOW:  # which NaN is not
            words.append(f'{speed:.1f} m/s')
            vx, vy = found.velocities[k].tolist()
            shown.append(marker('velocities', number, _ARROW, colour, (0.05, 0.1, 0.1), origin,
                                [point(x, y, 0.05), point(x + vx, y + vy, 0.05)]))
        shown.append(marker('names', number, _TEXT, colour, (0.0, 0.0, 0.2),
                            _pose(types, x, y, float(tall[k]) + 0.2, 0.0), [], ' '.join(words)))
    return types['visualization_msgs/msg/MarkerArray'](markers=shown)


def add_transforms(tree: TransformTree, message: Any, static: bool) -> None:
    """Take in what a tf2_msgs/TFMessage says; ``static`` is what holds at every time."""
    for entry in message.transforms:
        place, turn = entry.transform.translation, entry.transform.rotation
        tree.add(entry.header.frame_id, entry.child_frame_id, stamp_ns(entry),
                 (place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w), static)
