"""The words of OpenCV and the libraries under it: callers say in their own what went wrong."""

from __future__ import annotations

import os
import re

import cv2


def silence_libraries() -> None:
    """Keep the lines of OpenCV and FFmpeg out of the log; their errors are raised all the same."""
    # Read when FFmpeg is used first; -8 is its AV_LOG_QUIET.
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    if 'OPENCV_LOG_LEVEL' not in os.environ:
        # OpenCV 5 has it in cv2.utils.logging, 4.6 (that of Debian and Ubuntu) in cv2.
        logging = getattr(cv2.utils, 'logging', cv2)
        logging.setLogLevel(0)  # LOG_LEVEL_SILENT


def cause(error: Exception) -> str:
    """Return what an error of OpenCV says, without files and lines of its sources."""
    text = re.sub(r'OpenCV\(\S+\) \S+|error: \(\S+ [^)]*\)', '',
                  str(getattr(error, 'err', '') or error))
    text = ' '.join(text.split())
    return text[:200] or type(error).__name__
