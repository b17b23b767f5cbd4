"""
A fake of picamera2 with one AI Camera, faithful in what is easily done wrong.

Frames come as soon as they are asked for, unless the world is in real time. It behaves as
picamera2 0.3.38 does; test_cameras_imx500_contract.py holds its IMX500 to the real one.
"""
from concurrent.futures import CancelledError, Future
import threading
import time

import numpy as np

from .world import world


class Job:
    """A wish for a request; stays in the queue until a frame comes or all are cancelled."""

    def __init__(self):
        self._future = Future()
        self._future.set_running_or_notify_cancel()

    def finish(self, request):
        self._future.set_result(request)

    def cancel(self):
        self._future.set_exception(CancelledError())

    def get_result(self, timeout=None):
        return self._future.result(timeout=timeout)


class CompletedRequest:

    def __init__(self, camera, buffer, metadata):
        self._camera, self.buffer, self._metadata = camera, buffer, metadata
        self._references = 1
        self._calls = 0
        world.unreleased += 1

    def get_metadata(self):
        assert self._references > 0
        self._calls += 1
        world.metadata_calls.append(self._calls)
        return dict(self._metadata)

    def release(self):
        self._references -= 1
        if self._references < 0:
            raise RuntimeError('CompletedRequest: lock now has negative ref_count')
        world.unreleased -= 1
        self.buffer[:] = 99  # the camera writes into it again


class MappedArray:

    def __init__(self, request, stream, reshape=True, write=True):
        assert stream == 'main'
        self._request = request

    def __enter__(self):
        assert self._request._references > 0
        width, height = self._request._camera.camera_configuration()['main']['size']
        buffer = self._request.buffer
        self.array = np.lib.stride_tricks.as_strided(
            buffer, (height, width, 3), (buffer.strides[0], 3, 1))
        return self

    def __exit__(self, *_):
        del self.array


class Picamera2:

    @staticmethod
    def global_camera_info():
        listed = {'Num': 0, 'Model': 'imx500', 'Id': '/base/soc/i2c0mux/i2c@1/imx500@1a'}
        return [listed] if world.listed else []

    def __init__(self, camera_num=0):
        world.fail('open')
        if world.users:
            raise RuntimeError('Camera __init__ sequence did not complete.') from RuntimeError(
                'Failed to acquire camera: Device or resource busy')
        world.users += 1
        self._open = True
        self._configuration = None
        self._jobs = []
        self._lock = threading.RLock()
        self._thread = None

    def create_video_configuration(self, main=None, buffer_count=6, controls=None, sensor=None):
        unknown = set(main) - {'size', 'format'}
        if unknown:
            raise ValueError(f'Bad key {unknown.pop()!r} in stream configuration')
        return {'main': dict(main), 'buffer_count': buffer_count, 'controls': dict(controls or {}),
                'raw': {'size': (2028, 1520)}, 'sensor': sensor}

    def configure(self, configuration):
        world.fail('configure')
        width, height = world.offered or configuration['main']['size']
        width, height = width // 2 * 2, height // 2 * 2  # odd sizes are rounded down
        main = {'size': (width, height), 'format': configuration['main']['format'],
                'stride': 3 * width + world.padding}
        self._configuration = {**configuration, 'main': main}
        world.controls.clear()
        self.set_controls(configuration['controls'])

    def camera_configuration(self):
        return self._configuration

    def set_controls(self, controls):
        for name, value in controls.items():
            if name == 'FrameRate':
                name, value = 'FrameDurationLimits', (int(1e6 / value),) * 2
            if name in world.unknown_controls:
                raise RuntimeError(f'Control {name} is not advertised by libcamera')
            world.controls[name] = value

    def start(self):
        world.start()
        if world.real_time:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def _run(self):
        while world.streaming:
            time.sleep(world.period_us / 1e6)
            self._process()

    def _process(self):
        """Let a frame come, if one can: it goes to whoever has waited longest."""
        with self._lock:
            ready = (world.streaming and not world.stalled and self._jobs
                     and world.unreleased < self._configuration['buffer_count'])
            if ready:
                main = self._configuration['main']
                self._jobs.pop(0).finish(
                    CompletedRequest(self, *world.next_frame(main['size'], main['stride'])))

    def capture_request(self, wait=None, signal_function=None, flush=None):
        job = Job()
        with self._lock:
            self._jobs.append(job)
        if not world.real_time:
            self._process()
        if wait is False:
            return job
        return job.get_result(timeout=None if wait in (None, True) else wait)

    def wait(self, job, timeout=None):
        if not world.real_time:
            self._process()
        return job.get_result(timeout=timeout)

    def cancel_all_and_flush(self):
        with self._lock:
            for job in self._jobs:
                job.cancel()
            self._jobs = []

    def close(self):
        if self._open:
            self._open = False
            world.stop()
            world.users -= 1
            if self._thread:
                self._thread.join()
