"""A recording waits for the nodes that follow, and loses nothing."""

import os
import signal
import time

from fakes.pictures import make_folder, make_recording
from instseg_ros.messages import topics
from instseg_ros.ros.camera_node import CameraNode, FIRST_PAUSE_S, POLL_S
from instseg_ros.ros.followers import Followers
from instseg_ros.ros.instance_segmentation_node import InstanceSegmentationNode
from instseg_ros.ros.tracker_node import TrackerNode
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

NODES = 'instance_segmentation_node tracker_node'


@pytest.fixture
def camera(rig, tmp_path):
    """Return what adds a camera node that plays six frames once."""
    def add(**parameters):
        source = make_recording(tmp_path / 'bag', 'MCAP', False)
        return rig.add(CameraNode(parameter_overrides=[
            Parameter(k, value=v) for k, v in {
                'source': str(source), 'loop': False, **parameters}.items()]))
    return add


@pytest.mark.parametrize('order', [(InstanceSegmentationNode, TrackerNode),
                                   (TrackerNode, InstanceSegmentationNode)])
def test_every_mask_is_processed_however_late_the_nodes_come(rig, camera, order):
    tracks = rig.collect(Detection2DArray, topics.TRACKS)
    camera_node = camera(wait_for=NODES, wait_timeout=60.0)
    for kind in order:
        rig.until(lambda: any('waiting for' in line for line in rig.logs))
        spin_for(rig, 4 * POLL_S)
        assert not camera_node._frames
        rig.add(kind())
    rig.until(lambda: len(tracks) == 6)
    assert all(d.id for d in tracks[0].detections), 'the first masks are there too'


def spin_for(rig, seconds):
    until = time.monotonic() + seconds
    rig.until(lambda: time.monotonic() > until)


def test_without_names_it_waits_for_any_subscriber(rig, camera):
    camera_node = camera(wait_timeout=60.0)
    rig.until(lambda: any('waiting for a subscriber' in line for line in rig.logs))
    spin_for(rig, 4 * POLL_S)
    assert not camera_node._frames
    images = rig.collect(Image, topics.IMAGE)
    rig.until(lambda: len(images) == 6)


def test_the_wait_has_a_limit(rig, camera):
    camera_node = camera(wait_for=NODES, wait_timeout=0.5)
    rig.until(lambda: camera_node._frames == 6)
    rig.until(lambda: any('within 0.5 s, playing without' in line for line in rig.logs))
    assert any('tracker_node' in line for line in rig.logs)


def test_a_node_that_is_ended_at_once_does_not_wait(rig, camera):
    camera_node = camera(wait_for=NODES, wait_timeout=60.0)
    camera_node._stop.set()
    camera_node._wait_for_followers()
    assert not any('within 60 s' in line for line in rig.logs)


def test_a_device_is_not_held_back(rig):
    camera_node = rig.add(CameraNode(['tracker_node'], parameter_overrides=[
        Parameter('source', value='synthetic'), Parameter('wait_timeout', value=600.0)]))
    rig.until(lambda: camera_node._frames > 2)


def test_both_ends_of_a_topic_have_to_have_met(rig):
    followers = Followers(rig.tester, ['b'])
    assert followers.missing({}) == ['b']
    mask = '/camera/semantic_mask'
    followers._said['b'] = {f'publishers of {mask}': '1'}
    assert followers.missing({}) == [mask], 'the publisher does not know yet'
    assert followers.missing({f'subscribers of {mask}': '1'}) == []
    followers._said['b'] = {f'publishers of {mask}': '0'}
    assert followers.missing({f'subscribers of {mask}': '1'}) == [mask]


def test_topics_need_a_subscriber(rig):
    followers = Followers(rig.tester, [topics.MASK + '/compressed'])
    recorded = '/camera/semantic_mask/compressed'
    assert followers.missing({}) == [recorded]
    assert followers.missing({f'subscribers of {recorded}': '1'}) == []


def test_a_source_that_fails_for_good_is_said_once(rig, tmp_path):
    folder = make_folder(tmp_path / 'pictures')
    for file in folder.iterdir():
        file.write_bytes(b'no picture')
    camera_node = rig.add(CameraNode(parameter_overrides=[
        Parameter('source', value=str(folder)), Parameter('wait_timeout', value=0.0)]))
    rig.until(lambda: any('the camera stays closed' in line for line in rig.logs))
    spin_for(rig, 2 * FIRST_PAUSE_S)
    assert sum('the camera stays closed' in line for line in rig.logs) == 1
    assert camera_node._camera_details['camera'] == 'closed for good'
    last = rig.diagnostics['camera_node'][-1]
    assert 'got only files that are none' in last.message
    assert last.level == last.ERROR


def test_one_bad_picture_is_named_and_the_next_are_published(rig, tmp_path):
    folder = make_folder(tmp_path / 'pictures')
    (folder / '002.png').write_bytes(b'')
    images = rig.collect(Image, topics.IMAGE)
    rig.add(CameraNode(parameter_overrides=[
        Parameter('source', value=str(folder)), Parameter('loop', value=True)]))
    rig.until(lambda: len(images) > 5)
    rig.until(lambda: any('002.png: expected an image' in line for line in rig.logs))
    rig.until(lambda: any(v.key == 'items left out' and v.value == '1'
                          for s in rig.diagnostics.get('camera_node', ()) for v in s.values))


def test_stamps_go_on_rising_when_a_recording_starts_again(rig, camera):
    stamps = []
    rig.listen(Image, topics.IMAGE, lambda m: stamps.append(
        m.header.stamp.sec * 10**9 + m.header.stamp.nanosec))
    camera_node = camera(loop=True)
    rig.until(lambda: len(stamps) > 20)
    os.kill(int(camera_node._camera_details['capture process'].split()[1]), signal.SIGKILL)
    count = len(stamps)
    rig.until(lambda: len(stamps) > count + 20)
    rig.until(lambda: any('died (SIGKILL)' in line for line in rig.logs))
    assert all(a < b for a, b in zip(stamps, stamps[1:], strict=False))
