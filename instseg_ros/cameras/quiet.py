"""The words of OpenCV and the libraries under it: callers say in their own what went wrong."""

from __future__ import annotations

import os

import cv2


def silence_libraries() -> None:
    """Keep the lines of OpenCV and FFmpeg out of the log; their errors are raised all the same."""
    # Read when FFmpeg is used first; -8 is its AV_LOG_QUIET.
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    if 'OPENCV_LOG_LEVEL' not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def cause(error: Exception) -> str:
    """Return what an error of OpenCV says, without files and lines of its sources."""
    text = ' '.join(str(getattr(error, 'err', '') or error).split())
    return text[:200] or type(error).__name__
