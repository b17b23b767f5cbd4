"""Real-time instance segmentation for robots from a camera that gives class masks."""
