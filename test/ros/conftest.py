"""What the tests share: a domain of their own, and nodes that are spun until something happens."""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
import os
import queue
import signal
import subprocess
import threading
import time

import pytest

TIMEOUT_S = 30.0  # only a test that fails waits this long

collect_ignore_glob = [] if find_spec('rclpy') else ['test_*.py']
if not (find_spec('launch_ros') and find_spec('launch_testing')):  # they have no wheels
    collect_ignore_glob += ['test_launch.py', 'test_recorder.py']


def pytest_report_header():
    """Say what is left out, and why."""
    if collect_ignore_glob:
        return (f'left out: {", ".join(collect_ignore_glob)} of test/ros, which need '
                'rclpy, launch_ros and launch_testing')
    return None


@pytest.fixture(scope='session')
def domain():
    """Give the ROS domain of this run, with the transport that the launch files choose."""
    from instseg_ros.ros.transport import transport_variables
    os.environ.update(transport_variables(os.environ))
    return int(os.environ['ROS_DOMAIN_ID'])


class Rig:
    """Nodes in this process, spun by the test itself: nothing runs behind its back."""

    def __init__(self):
        from rclpy.executors import SingleThreadedExecutor
        self._executor = SingleThreadedExecutor()
        self._nodes = []
        self.tester = self.add(_tester())
        self.logs = []
        self.diagnostics = {}
        from diagnostic_msgs.msg import DiagnosticArray
        from rcl_interfaces.msg import Log
        self.listen(Log, '/rosout', lambda m: self.logs.append(m.msg), 100)
        self.listen(DiagnosticArray, '/diagnostics', self._on_diagnostics, 100)

    def _on_diagnostics(self, message):
        for status in message.status:
            self.diagnostics.setdefault(status.name, []).append(status)

    def add(self, node):
        self._nodes.append(node)
        self._executor.add_node(node)
        return node

    def listen(self, kind, topic, callback, qos=30):
        return self.tester.create_subscription(kind, topic, callback, qos)

    def collect(self, kind, topic, qos=30):
        """Return the list to which the messages of a topic are added."""
        messages = []
        self.listen(kind, topic, messages.append, qos)
        return messages

    def publisher(self, kind, topic, qos=30, subscribers=1):
        """Return a publisher to which the subscribers have found their way."""
        publisher = self.tester.create_publisher(kind, topic, qos)
        self.until(lambda: publisher.get_subscription_count() >= subscribers)
        return publisher

    def until(self, happened, meanwhile=lambda: None, timeout_s=TIMEOUT_S):
        """Spin, and act meanwhile, until something happened; fail when it does not."""
        deadline = time.monotonic() + timeout_s
        while not happened():
            assert time.monotonic() < deadline, 'expected something that did not happen'
            meanwhile()
            self._executor.spin_once(timeout_sec=0.05)

    def call(self, kind, name, request):
        """Return a service's answer."""
        client = self.tester.create_client(kind, name)
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        self.tester.destroy_client(client)
        return future.result()

    def close(self):
        for node in self._nodes:
            self._executor.remove_node(node)
            node.destroy_node()
        self._executor.shutdown()


def _tester():
    from rclpy.node import Node
    return Node('tester')


@pytest.fixture
def rig(domain):
    import rclpy
    rclpy.init()
    with contextlib.ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        rig = Rig()
        stack.callback(rig.close)
        yield rig


class Program:
    """A program of the package, read line by line."""

    def __init__(self, name, *arguments):
        from instseg_ros.ros.main import command
        self._process = subprocess.Popen(
            [*command(name), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._coming = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.lines = []

    def _read(self):
        with self._process.stdout as output:
            for line in output:
                self._coming.put(line)
        self._coming.put(None)

    def until(self, part):
        """Read until a line holds a part; fail when it does not come."""
        deadline = time.monotonic() + TIMEOUT_S
        while (line := self._coming.get(timeout=TIMEOUT_S)) is not None:
            self.lines.append(line)
            if part in line:
                return line
            if time.monotonic() > deadline:
                break
        raise AssertionError(f'expected {part!r}, got {"".join(self.lines)}')

    def end(self, how=signal.SIGINT):
        """
        End the program; return its exit code, the seconds it took and its last words.

        None waits for one that ends by itself.
        """
        started = time.monotonic()
        if how is not None:
            self._process.send_signal(how)
        code = self._process.wait(TIMEOUT_S)
        seconds = time.monotonic() - started
        self._reader.join()
        while (line := self._coming.get(timeout=TIMEOUT_S)) is not None:
            self.lines.append(line)
        return code, seconds, ''.join(self.lines)

    def terminate(self):
        self._process.terminate()

    def close(self):
        """Wait for the end: who is killed leaves shared memory behind."""
        try:
            self._process.wait(TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()


@pytest.fixture
def start(domain):
    programs = []
    with contextlib.ExitStack() as stack:
        def start(*arguments):
            programs.append(Program(*arguments))
            stack.callback(programs[-1].close)
            return programs[-1]

        yield start
        for program in programs:
            program.terminate()
