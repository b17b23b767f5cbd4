"""Tuning of nodes that run: what the page of `instseg tune --live` stands on."""

import asyncio
import time

from instseg_ros.core import SettingsError
from instseg_ros.ros.live_tuning import LiveTuning
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

SEGMENTATION, TRACKER = 'instance_segmentation_node', 'tracker_node'
TIMEOUT_S = 30.0


async def until(condition):
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, 'expected something that did not happen'
        await asyncio.sleep(0.01)


def run(test, namespace=''):
    async def whole():
        live = LiveTuning(namespace)
        live.start()
        try:
            await test(live)
        finally:
            live.close()
    asyncio.run(whole())


def test_pictures_settings_and_refusals(start, rig):
    import cv2
    pipeline = start('pipeline', '--ros-args', '-r', '__ns:=/robot1', '-p', 'source:=synthetic',
                     '-p', 'own_process:=false', '-p', 'size_threshold:=77')
    told = []

    async def test(live):
        live.listeners.append(told.append)
        assert len(live.notes) == 2 and '/robot1/tracker_node does not answer' in live.notes[1]
        await until(lambda: not live.notes)
        assert live.settings[SEGMENTATION].size_threshold == 77
        assert live.saved[SEGMENTATION].size_threshold == 77 and not live.unsaved
        await until(lambda: live.main and live.side and live.figures()[0])
        picture = cv2.imdecode(np.frombuffer(live.main.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (480, 640, 3)
        # Moved here: the node has it.
        await live.change(SEGMENTATION, {'dist_threshold': 0.7, 'ignored_classes': (7,)})
        # Events of the node's start may still be on their way, and tell what was then.
        await until(lambda: live.unsaved == {SEGMENTATION: {
            'dist_threshold': 0.7, 'ignored_classes': (7,)}})
        await live.change(SEGMENTATION, {'upright_classes': ()})
        await until(lambda: live.settings[SEGMENTATION].upright_classes == ())
        # Refused by the node, with its reason.
        with pytest.raises(SettingsError, match=r'dist_threshold: expected a number in \[0, 1\]'):
            await live.change(SEGMENTATION, {'dist_threshold': 1})
            await live.change(SEGMENTATION, {'dist_threshold': 2})
        await until(lambda: live.settings[SEGMENTATION].dist_threshold == 1.0)
        # Changed elsewhere: it appears.
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, lambda: rig.call(
            SetParameters, f'/robot1/{TRACKER}/set_parameters', SetParameters.Request(
                parameters=[Parameter('max_lost_s', value=9.0).to_parameter_msg()])))
        await until(lambda: live.settings[TRACKER].max_lost_s == 9.0)
        assert f'ros2 param set /robot1/{TRACKER} max_lost_s 9.0' in live.set_lines()
        assert 'namespace:=robot1' in live.launch_command
        # The debug pictures come with config_mode.
        shown = live.side.version
        live.show_beside('cuts')
        await live.change(SEGMENTATION, {'config_mode': True})
        await until(lambda: live.side.version > shown + 2)

    run(test, '/robot1')
    assert {'picture', 'side', 'settings', 'notes'} <= set(told)
    assert pipeline.end()[0] == 0


def test_no_node_is_said(domain):
    async def test(live):
        with pytest.raises(SettingsError, match='tracker_node does not answer; is it running'):
            await live.change(TRACKER, {'max_lost_s': 3.0})
        assert 'no picture on overlay/image yet' in live.waiting
        assert 'retune_frames' in live.text()

    run(test, 'nobody')
