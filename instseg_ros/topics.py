"""The topics of the pipeline, as recordings hold them: relative names and types."""

IMAGE = 'camera/image_raw'
MASK = 'camera/semantic_mask'
LABEL_INFO = 'camera/label_info'

# Compressed where there is an image: about the size of the JPEGs.
RECORDED = {
    f'{IMAGE}/compressed': 'sensor_msgs/msg/CompressedImage',
    'camera/camera_info': 'sensor_msgs/msg/CameraInfo',
    f'{MASK}/compressed': 'sensor_msgs/msg/CompressedImage',
    LABEL_INFO: 'vision_msgs/msg/LabelInfo',
    'instance_segmentation/detections': 'vision_msgs/msg/Detection2DArray',
    'instance_segmentation/instance_mask/compressed': 'sensor_msgs/msg/CompressedImage',
    'tracker/tracks': 'vision_msgs/msg/Detection2DArray',
    '/diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
    '/parameter_events': 'rcl_interfaces/msg/ParameterEvent',
}
LATCHED = {LABEL_INFO}
