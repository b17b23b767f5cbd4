"""
Runs what another package has for zones, lines and relations over the tracks in a file.

``python scene_peers.py NAME IN OUT``

It is started with the Python of that package's own environment, so it imports nothing of this
project. IN is an npz of all tracks of all frames of one street; OUT gets a column for each zone,
line (1 forward, -1 backward) or relation, with a row for each track in each frame.
"""

import sys
import warnings

import numpy as np

SCORE = 0.9


def _supervision(data, rows):
    import supervision as sv
    return sv.Detections(xyxy=data['boxes'][rows].astype(np.float32),
                         class_id=data['classes'][rows].astype(int),
                         confidence=np.full(rows.stop - rows.start, SCORE, np.float32),
                         tracker_id=data['ids'][rows].astype(int))


def polygon_zones(data):
    """Return a function from the rows of a frame to who is in each zone."""
    import supervision as sv
    zones = [sv.PolygonZone(np.rint(polygon).astype(int)) for polygon in data['zones']]

    def frame(rows):
        found = _supervision(data, rows)
        return np.stack([zone.trigger(found) for zone in zones], axis=1)
    return frame


def line_zones(**options):
    """Return a function as above, for who crossed each line."""
    def prepared(data):
        import supervision as sv
        if options.get('anchor'):
            options['triggering_anchors'] = [getattr(sv.Position, options.pop('anchor'))]
        zones = [sv.LineZone(sv.Point(*a), sv.Point(*b), **options)
                 for a, b in data['lines'].tolist()]

        def frame(rows):
            found = _supervision(data, rows)
            moves = [zone.trigger(found) for zone in zones]
            # Their "in" is from the right of the line to its left, as seen on the screen.
            return np.stack([out.astype(int) - into for into, out in moves], axis=1)
        return frame
    return prepared


def matcher(**options):
    """Return a function as above, for who has a relation to one of other classes."""
    def prepared(data):
        from modlib.apps import Matcher
        from modlib.models import Detections
        matchers = [Matcher(**options) for _ in data['relations']]

        def frame(rows):
            boxes, classes, ids = (data[k][rows] for k in ('boxes', 'classes', 'ids'))
            result = np.zeros((len(boxes), len(matchers)), int)
            for k, (own, other, negated) in enumerate(data['relations'].tolist()):
                parts = [Detections(boxes[classes == c] / np.tile(data['size'], 2),
                                    np.full((classes == c).sum(), SCORE),
                                    np.full((classes == c).sum(), c)) for c in (own, other)]
                for part, c in zip(parts, (own, other), strict=True):
                    part.tracker_id = ids[classes == c]
                if len(parts[0]):
                    result[classes == own, k] = np.array(matchers[k].match(*parts)) ^ negated
            return result
        return frame
    return prepared


PEERS = {
    'supervision PolygonZone': ('supervision', polygon_zones),
    'supervision LineZone': ('supervision', line_zones()),
    'supervision LineZone, foot': ('supervision', line_zones(anchor='BOTTOM_CENTER')),
    'supervision LineZone, foot, 3 frames': ('supervision', line_zones(
        anchor='BOTTOM_CENTER', minimum_crossing_threshold=3)),
    'modlib Matcher': ('modlib', matcher()),
    'modlib Matcher, quick': ('modlib', matcher(
        max_missing_overlap=5, max_missing_tracker=5, min_overlap_threshold=0.1,
        hysteresis=0.1))}


def main(name, source, target):
    warnings.simplefilter('ignore')
    data = dict(np.load(source))
    frame = PEERS[name][1](data)
    starts = data['starts']
    np.save(target, np.concatenate([frame(slice(a, b)) for a, b in zip(
        starts[:-1].tolist(), starts[1:].tolist(), strict=True)]))


if __name__ == '__main__':
    main(*sys.argv[1:])
