"""Where frames and masks come from. No ROS; a driver is imported when its camera is chosen."""
