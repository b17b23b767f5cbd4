"""The topics of the pipeline, as recordings hold them: relative names and types."""

IMAGE = 'camera/image_raw'
MASK = 'camera/semantic_mask'
LABEL_INFO = 'camera/label_info'
CAMERA_INFO = 'camera/camera_info'
DETECTIONS = 'instance_segmentation/detections'
INSTANCE_MASK = 'instance_segmentation/instance_mask'
DEBUG = 'instance_segmentation/debug'
TRACKS = 'tracker/tracks'
OVERLAY = 'overlay/image'
CLASSES = 'overlay/classes'

# Compressed where there is an image: about the size of the JPEGs.
RECORDED = {
    f'{IMAGE}/compressed': 'sensor_msgs/msg/CompressedImage',
    CAMERA_INFO: 'sensor_msgs/msg/CameraInfo',
    f'{MASK}/compressed': 'sensor_msgs/msg/CompressedImage',
    LABEL_INFO: 'vision_msgs/msg/LabelInfo',
    DETECTIONS: 'vision_msgs/msg/Detection2DArray',
    f'{INSTANCE_MASK}/compressed': 'sensor_msgs/msg/CompressedImage',
    TRACKS: 'vision_msgs/msg/Detection2DArray',
    '/diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
    '/parameter_events': 'rcl_interfaces/msg/ParameterEvent',
}
LATCHED = {LABEL_INFO}
