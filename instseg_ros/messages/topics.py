"""The topics of the pipeline, as recordings hold them: relative names and types."""

import re

IMAGE = 'camera/image_raw'
MASK = 'camera/semantic_mask'
NETWORK_MASK = 'camera/instance_mask'
NETWORK_INSTANCES = 'camera/instances'
LABEL_INFO = 'camera/label_info'
CAMERA_INFO = 'camera/camera_info'
DETECTIONS = 'instance_segmentation/detections'
INSTANCE_MASK = 'instance_segmentation/instance_mask'
DEBUG = 'instance_segmentation/debug'
TRACKS = 'tracker/tracks'
OVERLAY = 'overlay/image'
CLASSES = 'overlay/classes'
OBJECTS = 'ground/objects'
OBSTACLES = 'ground/obstacles'
FREE_SPACE = 'ground/free_space'
FOOTPRINTS = 'ground/footprints'
TARGET = 'ground/target'
MARKERS = 'ground/markers'
HEATMAP = 'scene/heatmap'
TF = '/tf'
TF_STATIC = '/tf_static'

# Compressed where there is an image: about the size of the JPEGs.
RECORDED = {
    f'{IMAGE}/compressed': 'sensor_msgs/msg/CompressedImage',
    CAMERA_INFO: 'sensor_msgs/msg/CameraInfo',
    f'{MASK}/compressed': 'sensor_msgs/msg/CompressedImage',
    f'{NETWORK_MASK}/compressed': 'sensor_msgs/msg/CompressedImage',
    NETWORK_INSTANCES: 'vision_msgs/msg/Detection2DArray',
    LABEL_INFO: 'vision_msgs/msg/LabelInfo',
    DETECTIONS: 'vision_msgs/msg/Detection2DArray',
    f'{INSTANCE_MASK}/compressed': 'sensor_msgs/msg/CompressedImage',
    TRACKS: 'vision_msgs/msg/Detection2DArray',
    '/diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
    '/parameter_events': 'rcl_interfaces/msg/ParameterEvent',
}
# Where ground_node runs too: the transforms, so that a recording can be placed on the floor again.
RECORDED_GROUND = {
    OBJECTS: 'vision_msgs/msg/Detection3DArray',
    TF: 'tf2_msgs/msg/TFMessage',
    TF_STATIC: 'tf2_msgs/msg/TFMessage',
}
LATCHED = {LABEL_INFO, TF_STATIC}
# Only from networks that give instances by themselves: nobody waits for them.
OPTIONAL = (NETWORK_MASK, f'{NETWORK_MASK}/compressed', NETWORK_INSTANCES)
_OCCASIONAL = re.compile(rf'(.*/)?({TARGET}|scene/[^/]+/(entered|left|forward|backward))')


def is_occasional(name: str) -> bool:
    """Return whether a topic, with or without a namespace, is silent while nothing happens."""
    return _OCCASIONAL.fullmatch(name) is not None


def is_optional(name: str) -> bool:
    """Return whether a topic, with or without a namespace, is there with some networks only."""
    return f'/{name}'.endswith(tuple(f'/{topic}' for topic in OPTIONAL))
