"""Pixels of image messages to arrays, whoever made the message."""  # noqa: A005

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import MessageError


# encoding: (dtype, channels)
ENCODINGS: dict[str, tuple[type[np.generic], int]] = {
    'bgr8': (np.uint8, 3),
    'rgb8': (np.uint8, 3),
    'bgra8': (np.uint8, 4),
    'rgba8': (np.uint8, 4),
    '8UC3': (np.uint8, 3),
    '8UC4': (np.uint8, 4),
    'mono8': (np.uint8, 1),
    '8UC1': (np.uint8, 1),
    '8SC1': (np.int8, 1),
    'mono16': (np.uint16, 1),
    '16UC1': (np.uint16, 1),
    '16SC1': (np.int16, 1),
    '32SC1': (np.int32, 1),
    '32FC1': (np.float32, 1),
}
# What masks may be in, live, in recordings and for `instseg info`: class ids as numbers, or as
# grey in every channel, as simulators write their label maps.
MASK_ENCODINGS = tuple(name for name, (kind, _) in ENCODINGS.items() if kind is not np.float32)
# What an image in the first encoding needs to be one in the second; None: nothing.
_CHANGES = {('rgb8', 'bgr8'): cv2.COLOR_RGB2BGR, ('bgr8', 'rgb8'): cv2.COLOR_BGR2RGB,
            ('bgra8', 'bgr8'): cv2.COLOR_BGRA2BGR, ('rgba8', 'bgr8'): cv2.COLOR_RGBA2BGR,
            ('8UC3', 'bgr8'): None, ('8UC4', 'bgr8'): cv2.COLOR_BGRA2BGR,
            ('mono8', 'bgr8'): cv2.COLOR_GRAY2BGR, ('mono8', 'rgb8'): cv2.COLOR_GRAY2RGB,
            ('8UC1', 'bgr8'): cv2.COLOR_GRAY2BGR,
            ('8UC1', 'mono8'): None, ('mono8', '8UC1'): None,
            ('mono16', '16UC1'): None, ('16UC1', 'mono16'): None}
_PNG_START = b'\x89PNG\r\n\x1a\n'
# For label images, which are flat: with OpenCV 5 three times as fast as the lowest level alone
# (2.0 instead of 6.3 ms for 640x480 of uint16) and half as large. OpenCV 4 offers no filter.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, 'IMWRITE_PNG_FILTER_UP'):
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]


class ImageMessage(Protocol):
    """The fields of sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


def unpack(message: ImageMessage, encoding: str) -> npt.NDArray[Any]:
    """
    Return the pixels of a raw image in one of :data:`ENCODINGS`.

    Parameters
    ----------
    message : ImageMessage
        Its own encoding is one of :data:`ENCODINGS` too.
    encoding : str
        The encoding wanted.

    Returns
    -------
    ndarray of shape (H, W) or (H, W, channels)
        In native byte order; a read-only view of the data where nothing had to change, else one
        copy.

    Raises
    ------
    MessageError
        The message has no pixels, too small a step, too few bytes or an encoding that cannot
        become the one wanted.

    """
    if message.height == 0 or message.width == 0:
        raise MessageError(f'expected at least 1x1 pixels, got {message.width}x{message.height}')
    if message.encoding not in ENCODINGS:
        raise MessageError(f'expected one of {", ".join(ENCODINGS)}, got {message.encoding!r}')
    dtype, channels = np.dtype(ENCODINGS[message.encoding][0]), ENCODINGS[message.encoding][1]
    row = message.width * channels * dtype.itemsize
    if message.step < row:
        raise MessageError(
            f'expected a step of at least {row} bytes for {message.width} pixels of '
            f'{message.encoding}, got {message.step}')
    if len(message.data) < message.height * message.step:
        raise MessageError(
            f'expected {message.height * message.step} bytes (height {message.height} x step '
            f'{message.step}), got {len(message.data)}')
    if message.encoding != encoding and (message.encoding, encoding) not in _CHANGES:
        raise MessageError(f'expected {encoding}, got {message.encoding}')
    pixels: npt.NDArray[Any] = np.ndarray(
        (message.height, message.width, channels),
        dtype.newbyteorder('>' if message.is_bigendian else '<'), message.data,
        strides=(message.step, channels * dtype.itemsize, dtype.itemsize))
    pixels.flags.writeable = False
    if channels == 1:
        pixels = pixels[..., 0]
    if not pixels.dtype.isnative:
        pixels = pixels.astype(dtype)
    change = _CHANGES.get((message.encoding, encoding))
    return pixels if change is None else cv2.cvtColor(pixels, change)


def decode(data: Any, encoding: str) -> npt.NDArray[Any]:
    """
    Return the pixels of a JPEG or PNG.

    Parameters
    ----------
    data : buffer
        The bytes of the file.
    encoding : str
        ``bgr8`` or what the image holds: ``mono8``, ``16UC1``; '' takes any but ``bgr8``.

    Raises
    ------
    MessageError
        The data is no image, or one of another encoding.

    """
    # OpenCV would fill up what is cut off, with a line of libjpeg's own on stderr.
    start, end = bytes(data[:8]), bytes(data[-1024:])
    whole = (b'IEND' in end if start == _PNG_START else b'\xff\xd9' in end if is_jpeg(data)
             else len(data) > 0)
    flags = cv2.IMREAD_COLOR if encoding == 'bgr8' else cv2.IMREAD_UNCHANGED
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if whole else None
    if pixels is None:
        raise MessageError(f'expected a whole JPEG or PNG, got {len(data)} bytes that are '
                           + ('none' if whole or not len(data) else 'cut off'))
    if encoding:
        check_pixels(pixels, encoding)
    return pixels


def read_image(message: Any, encoding: str) -> npt.NDArray[Any]:
    """
    Return the pixels of a sensor_msgs/Image or CompressedImage in one of :data:`ENCODINGS`.

    Raises
    ------
    MessageError
        The message has no such pixels.

    """
    if hasattr(message, 'encoding'):
        return unpack(message, encoding)
    return decode(message.data, encoding)


def read_mask(message: Any) -> npt.NDArray[np.uint8]:
    """
    Return the class ids of a mask, a sensor_msgs/Image or CompressedImage.

    Parameters
    ----------
    message : sensor_msgs/Image or sensor_msgs/CompressedImage
        In one of :data:`MASK_ENCODINGS`, or a PNG or JPEG of such pixels.

    Returns
    -------
    ndarray of shape (H, W), uint8

    Raises
    ------
    MessageError
        The message is no such image, its channels differ, or an id does not fit: those that are
        known are 0 to 254, and 255 for no data.

    """
    if not hasattr(message, 'encoding'):
        pixels = decode(message.data, '')
    elif message.encoding in MASK_ENCODINGS:
        pixels = unpack(message, message.encoding)
    else:
        raise MessageError(f'expected a mask in one of {", ".join(MASK_ENCODINGS)}, got '
                           f'{message.encoding!r}')
    return class_ids(pixels)


def class_ids(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """
    Return a mask of any integer type as the class ids that the rest works with.

    Parameters
    ----------
    pixels : ndarray of shape (H, W) or (H, W, C), integers
        With channels, the first three are the same; a fourth is opacity.

    Returns
    -------
    ndarray of shape (H, W), uint8

    Raises
    ------
    MessageError
        The channels differ, or an id is not in 0..255.

    """
    if pixels.ndim == 3:
        first, others = pixels[..., 0], pixels[..., 1:3]
        if (differ := (others != first[..., np.newaxis]).any(2)).any():
            row, column = np.unravel_index(differ.argmax(), differ.shape)
            raise MessageError(
                'expected a class id in every pixel, the same in each channel, got colours: '
                f'{pixels[row, column, :3].tolist()} at row {row}, column {column}')
        pixels = first
    if pixels.dtype != np.uint8:
        for value in (int(pixels.min(initial=0)), int(pixels.max(initial=0))):
            if not 0 <= value <= 255:
                raise MessageError(f'expected class ids in 0..255, got {value}')
    return np.ascontiguousarray(pixels, np.uint8)


def is_jpeg(data: Any) -> bool:
    """Return whether the bytes of an image are a JPEG, which keeps no ids."""
    return bytes(data[:2]) == b'\xff\xd8'


def invented_ids(mask: npt.NDArray[np.uint8]) -> set[int]:
    """
    Return the ids of a mask that fill no 3x3 pixels anywhere: what JPEG makes at borders.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Class ids.

    """
    kernel = np.ones((3, 3), np.uint8)
    flat = cv2.erode(mask, kernel) == cv2.dilate(mask, kernel)
    return set(np.unique(mask).tolist()) - set(np.unique(mask[flat]).tolist())


def encode(pixels: npt.NDArray[Any], jpeg_quality: int = 0) -> npt.NDArray[np.uint8]:
    """
    Return an image as the bytes of a JPEG or PNG.

    Parameters
    ----------
    pixels : ndarray of shape (H, W) or (H, W, 3)
        uint8 (BGR where it has colours) or, for PNG, uint16.
    jpeg_quality : int
        1 to 100 for JPEG; 0 for PNG, which keeps every label.

    """
    if jpeg_quality:
        _, data = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    else:
        _, data = cv2.imencode('.png', pixels, _PNG)
    return data


def check_pixels(pixels: npt.NDArray[Any], encoding: str) -> None:
    """Raise MessageError when an array does not have the dtype and channels of its encoding."""
    dtype, channels = ENCODINGS[encoding]
    if pixels.dtype != dtype or pixels.shape[2:] != ((channels,) if channels > 1 else ()):
        raise MessageError(f'expected {encoding} ({np.dtype(dtype)}, {channels} channels), got '
                           f'{pixels.dtype} of shape {pixels.shape}')
