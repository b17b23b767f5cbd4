"""
Runs one tracker of another package over the detections in a file.

``python tracker_peers.py NAME IN OUT``

It is started with the Python of that package's own environment (their NumPy and OpenCV differ
from each other's), so it imports nothing of this project. IN is an npz of all detections of all
frames; OUT gets one track id for each of them, -1 for none.
"""

import sys
import warnings

import numpy as np

SCORE = 0.9  # every detection is a good one: their thresholds are made for detectors' scores


class ModlibByteTrack:
    """Sony modlib's ByteTrack with the arguments of its examples."""

    class Arguments:  # noqa: D106
        track_thresh = 0.25
        track_buffer = 30
        match_thresh = 0.8
        aspect_ratio_thresh = 3.0
        min_box_area = 1.0
        mot20 = False

    class Frame:  # noqa: D106
        width = height = 1

    def __init__(self, fps):
        from modlib.apps import BYTETracker
        from modlib.models import Detections
        self._tracker = BYTETracker(self.Arguments(), frame_rate=max(1, round(fps)))
        self._detections = Detections

    def update(self, boxes, classes, size, stamp):
        """Return a track id for each box, -1 for none."""
        self.Frame.width, self.Frame.height = size
        # Boxes relative to the frame, as the library's cameras give them.
        found = self._detections(boxes / np.tile(size, 2), np.full(len(boxes), SCORE),
                                 classes.astype(np.int64))
        return self._tracker.update(self.Frame, found).tracker_id


class Roboflow:
    """A tracker of roboflow's package, told the frame rate and the time of each frame."""

    def __init__(self, name, fps):
        import trackers
        self._tracker = getattr(trackers, name)(frame_rate=fps)

    def update(self, boxes, classes, size, stamp):
        """Return a track id for each box, -1 for none."""
        import supervision as sv
        found = sv.Detections(xyxy=boxes.astype(np.float32), class_id=classes.astype(int),
                              confidence=np.full(len(boxes), SCORE, np.float32),
                              data={'row': np.arange(len(boxes))})
        followed = self._tracker.update(found, timestamp=stamp)
        ids = np.full(len(boxes), -1)
        if len(followed):
            ids[followed.data['row']] = followed.tracker_id
        return ids


PEERS = {'modlib ByteTrack': ('modlib', ModlibByteTrack),
         'SORT': ('trackers', lambda fps: Roboflow('SORTTracker', fps)),
         'ByteTrack': ('trackers', lambda fps: Roboflow('ByteTrackTracker', fps)),
         'OC-SORT': ('trackers', lambda fps: Roboflow('OCSORTTracker', fps)),
         'C-BIoU': ('trackers', lambda fps: Roboflow('CBIoUTracker', fps))}


def main(name, source, target):
    warnings.simplefilter('ignore')
    data = np.load(source)
    result = np.full(len(data['boxes']), -1, np.int64)
    for sequence in range(len(data['sizes'])):
        tracker = PEERS[name][1](float(data['fps'][sequence]))
        frames = np.flatnonzero(data['frame_sequence'] == sequence)
        for frame in frames:
            rows = slice(data['starts'][frame], data['starts'][frame + 1])
            result[rows] = tracker.update(data['boxes'][rows].astype(np.float64),
                                          data['classes'][rows], data['sizes'][sequence],
                                          float(data['stamps'][frame]))
    np.save(target, result)


if __name__ == '__main__':
    main(*sys.argv[1:])
