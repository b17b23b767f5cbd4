"""The ROS 2 side: live settings, conversions, quality of service and the nodes."""
