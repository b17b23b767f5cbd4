"""Small recordings for the tests: drawn masks in any form that recorders use."""

from pathlib import Path

from instseg_ros.messages import typestore
from instseg_ros.messages.detections import label_info
from instseg_ros.messages.encodings import encode
from instseg_ros.recordings.frames import header_of
from instseg_ros.recordings.writer import BagWriter
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

START_NS = 1_700_000_000 * 10**9
STEP_NS = 10**8
SAMPLE = Path(__file__).parent.parent / 'sample'
IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
NAMES = {0: 'background', 7: 'car', 15: 'person'}


def masks(count=6, height=60, width=80):
    """Two people that walk towards each other, and a car."""
    drawn = []
    for k in range(count):
        mask = np.zeros((height, width), np.uint8)
        mask[10:40, 2 + 2 * k:14 + 2 * k] = 15
        mask[12:44, 60 - 2 * k:72 - 2 * k] = 15
        mask[50:58, 30:50] = 7
        drawn.append(mask)
    return drawn


def header(k):
    stamp_ns = START_NS + k * STEP_NS
    return header_of(stamp_ns // 10**9, stamp_ns % 10**9, 'optical')


def raw(k, pixels, encoding, step=None, data=None):
    row = pixels[0].nbytes
    padded = np.zeros((len(pixels), step or row), np.uint8)
    padded[:, :row] = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), row)
    return typestore().types[IMAGE](
        header(k), pixels.shape[0], pixels.shape[1], encoding, 0, padded.shape[1],
        padded.ravel() if data is None else data)


def compressed(k, pixels, jpeg_quality=0):
    return typestore().types[COMPRESSED](header(k), 'png', encode(pixels, jpeg_quality).ravel())


def frame(mask):
    return np.repeat((mask * 10)[..., np.newaxis], 3, axis=2)


def write(path, topics, messages):
    """
    Write a recording.

    `topics` maps a name to its type, `messages` are of (topic, number of the frame, message).
    """
    writer = BagWriter(path)
    for name, kind in topics.items():
        writer.add_topic(name, kind)
    for topic, k, message in messages:
        writer.write(topic, START_NS + k * STEP_NS, message)
    writer.close()
    return path


def record(path, drawn=None, frames=True, names=True):
    """Write a recording as `instseg record` makes them."""
    drawn = masks() if drawn is None else drawn
    topics = {'/camera/semantic_mask/compressed': COMPRESSED}
    messages = []
    if names:
        topics['/camera/label_info'] = 'vision_msgs/msg/LabelInfo'
        messages.append(('/camera/label_info', 0, label_info(typestore().types, NAMES, header(0))))
    if frames:
        topics['/camera/image_raw/compressed'] = COMPRESSED
    for k, mask in enumerate(drawn):
        if frames:
            messages.append(('/camera/image_raw/compressed', k, compressed(k, frame(mask), 90)))
        messages.append(('/camera/semantic_mask/compressed', k, compressed(k, mask)))
    return write(path, topics, messages)


def write_sqlite(path, topic, kind, messages):
    with Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection(topic, kind, typestore=typestore())
        for k, message in enumerate(messages):
            writer.write(connection, START_NS + k * STEP_NS,
                         typestore().serialize_cdr(message, kind))
    return path
