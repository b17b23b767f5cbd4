"""The executor of a program, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

# Forever, in one piece: the EventsExecutor wakes by itself. Its spin() and an endless spin_once()
# hang where it was built with a C++ library that cannot wait until the end of time.
_LONG_S = 3600.0


def new_executor() -> Any:
    """
    Return the executor that takes least time: the EventsExecutor where rclpy has one.

    It calls back when something comes, where the other one goes through all topics, timers and
    services of all nodes each time. It is experimental, and in Jazzy from 7.1.4 on.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


class Spinner:
    """
    Runs an executor in a thread, so that the main thread is free to hear signals at once.

    Parameters
    ----------
    executor : rclpy.executors.Executor
        What runs.
    ended : callable
        Called when it has ended: ROS was shut down by others, or a callback failed.

    Attributes
    ----------
    failure : BaseException or None
        What a callback has raised.

    """

    def __init__(self, executor: Any, ended: Callable[[], None]) -> None:
        self._executor = executor
        self._ended = ended
        self._stopping = False
        self._thread = threading.Thread(target=self._spin, name='executor')
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Start to call back."""
        self._thread.start()

    def end(self) -> None:
        """End the thread, if it has begun."""
        self._stopping = True
        if self._thread.is_alive():
            self._executor.create_task(lambda: None)  # wakes it
            self._thread.join()

    def _spin(self) -> None:
        try:
            while not self._stopping and rclpy.ok():
                self._executor.spin_once(timeout_sec=_LONG_S)
        except ExternalShutdownException:
            pass
        except BaseException as error:
            self.failure = error
        finally:
            self._ended()
