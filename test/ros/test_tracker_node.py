"""The tracker node: ids through retuning, resets and jumps of time."""

from instseg_ros.cameras.synthetic import SyntheticScene
from instseg_ros.messages.stamps import stamp_to_ns
from instseg_ros.ros.conversions import array_to_image, ns_to_stamp
from instseg_ros.ros.instance_segmentation_node import InstanceSegmentationNode
from instseg_ros.ros.tracker_node import TrackerNode
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

RATE = 20
START_NS = 10**12
SEGMENTATION = 'instance_segmentation_node'


class Street:
    """The synthetic scene through both nodes, a frame at a time: nothing depends on the load."""

    def __init__(self, rig):
        self._rig = rig
        self._scene = SyntheticScene(320, 240, seed=3)
        self.index = 0
        self._tracks = {}
        rig.add(InstanceSegmentationNode())
        self.tracker = rig.add(TrackerNode())
        rig.listen(Detection2DArray, 'tracker/tracks', lambda m: self._tracks.update(
            {stamp_to_ns(m.header.stamp): m}))
        self._masks = rig.publisher(Image, 'camera/semantic_mask')
        rig.until(lambda: self._tracks, self._send)  # every subscription is matched
        rig.until(lambda: any('instance_segmentation_node' in name for name in rig.diagnostics))

    def _send(self):
        self.index += 1
        stamp = START_NS + self.index * 10**9 // RATE
        self._masks.publish(array_to_image(self._scene.at(self.index / RATE).mask, 'mono8',
                                           Header(stamp=ns_to_stamp(stamp))))
        return stamp

    def step(self):
        """Send a frame; return the truth and the tracks of it."""
        self._tracks.clear()
        stamp = self._send()
        self._rig.until(lambda: stamp in self._tracks)
        return self._scene.at(self.index / RATE), self._tracks[stamp]

    def owners(self):
        """
        Send a frame; return the ids found on each large object that nothing touches.

        More than one where the parameters cut it into parts, none where they drop it.
        """
        truth, tracks = self.step()
        found = {}
        for label, object_id in enumerate(truth.track_ids.tolist(), 1):
            rows, columns = (truth.labels == label).nonzero()
            around = truth.mask[max(0, rows.min() - 4):rows.max() + 5,
                                max(0, columns.min() - 4):columns.max() + 5]
            if len(rows) < 800 or np.count_nonzero(around) > len(rows) or 0 in columns:
                continue
            found[object_id] = {
                d.id for d in tracks.detections
                if d.id and columns.min() <= d.bbox.center.position.x <= columns.max()
                and rows.min() <= d.bbox.center.position.y <= rows.max()}
        return found


@pytest.fixture
def street(rig):
    return Street(rig)


def set_segmentation(rig, **values):
    parameters = [Parameter(n, value=v).to_parameter_msg() for n, v in values.items()]
    answer = rig.call(SetParameters, f'{SEGMENTATION}/set_parameters',
                      SetParameters.Request(parameters=parameters))
    assert all(r.successful for r in answer.results)


@pytest.mark.parametrize('sweep', [
    [{'dist_threshold': v} for v in (0.1, 0.3, 0.5, 0.7, 0.9, 0.2)],
    [{'size_threshold': v} for v in (0, 100, 300, 600, 50)],
], ids=['dist_threshold', 'size_threshold'])
def test_retuning_changes_no_id_of_what_stays_visible(rig, street, sweep):
    for _ in range(10):
        before = street.owners()
    known = {o: ids for o, ids in before.items() if len(ids) == 1}
    assert known, 'objects that can be followed'
    compared = 0
    for values in sweep:
        set_segmentation(rig, **values)
        for _ in range(6):
            now = street.owners()
            for o in known.keys() & now.keys():
                assert known[o] <= now[o] or not now[o], (values, o)
                compared += bool(now[o])
            known = {o: known.get(o) or ids for o, ids in now.items() if len(ids) == 1}
    assert compared > 20


def test_tracker_knows_the_segmentation_parameters(rig, street):
    seen = []
    street.tracker._segmentation._changed = seen.append
    rig.until(lambda: street.tracker._segmentation._current is not None)
    set_segmentation(rig, size_threshold=123)
    rig.until(lambda: seen and seen[-1].size_threshold == 123)


def ids_of(owners):
    return set().union(*owners.values())


def test_reset_forgets_and_never_uses_an_id_again(rig, street):
    for _ in range(12):
        before = street.owners()
    answer = rig.call(Trigger, 'tracker_node/reset', Trigger.Request())
    assert answer.success
    for _ in range(12):
        after = street.owners()
    assert ids_of(before)
    assert ids_of(after)
    assert not ids_of(before) & ids_of(after)


def test_time_that_jumps_back_resets_with_one_line(rig, street):
    for _ in range(12):
        before = street.owners()
    street.index = 0
    for _ in range(12):
        after = street.owners()
    assert ids_of(before)
    assert ids_of(after)
    assert not ids_of(before) & ids_of(after)
    rig.until(lambda: any('every track was forgotten' in line for line in rig.logs))
    assert sum('every track was forgotten' in line for line in rig.logs) == 1
