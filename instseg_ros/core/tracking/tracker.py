"""Tracking: one id for each object for as long as a person would say it is the same."""

from __future__ import annotations

from dataclasses import dataclass
import os, json

import numpy as np
import numpy.typing as npt

from ..instances import Instances
from ..segmentation import SegmentationSettings
from ..settings import setting, Settings
from . import kalman
from .matching import assign, buffered_iou, common_shift, edge_affinity, mask_overlap
from .measurement import Measurement
from .track_table import TrackTable

O = dict(mix='mean', margin=0.3, tremble=0.12, clear=0.6, least=0.2, least_lost=0.2, joint=0, ocr=1,
         cov=0.25, covdoubt=4.0, crowd=0.6, crowdarea=1.25, camera=1, huber=0, firstboth=1, classless=0.4,
         leave='centre', lostboost=1.0, shrink=1, flow=0, candlife=0, frag=0.0, hidden=3.0, velage=0, sizegate=0, camq=0.6, whole=0, inward=0.0, indoubt=4.0, part=0.0, partpresent=0, iso=0, blobskip=0)
O.update(json.loads(os.environ.get('OPT', '{}')))


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """How instances are followed from frame to frame."""

    min_overlap: float = setting(
        0.2, 'Smallest likeness (overlap, or nearness in place, size and angle) of two masks '
        'that are the same object', low=0, high=1)
    confirm_frames: int = setting(
        2, 'Frames in which an object must be seen before it gets an id; the first ever '
        'seen have one at once', unit='frames', low=1, high=100)
    max_lost_s: float = setting(
        1.0, 'How long an object may stay unseen and keep its id', unit='s', low=0, high=60)
    max_gap_s: float = setting(
        5.0, 'Longest time without a frame; after a longer one everything starts anew',
        unit='s', low=0.01, high=3600)
    retune_frames: int = setting(
        10, 'Frames for which no track is dropped or renumbered after segmentation parameters '
        'changed', unit='frames', low=0, high=1000)

class Tracker:
    """Follows instances."""

    def __init__(self, settings: TrackingSettings) -> None:
        self.settings = settings
        self.reset_cause = ''
        self._next_id = 1
        self._segmentation = None
        self._forget()

    def _forget(self) -> None:
        self._table = None
        self._shape = None
        self._stamp_ns = 0
        self._begun = False
        self._tolerant_frames = 0

    def reset(self) -> None:
        self._forget()

    def tolerate(self, frames=None):
        self._tolerant_frames = self.settings.retune_frames if frames is None else frames

    def follow(self, segmentation):
        before = self._segmentation
        self._segmentation = segmentation
        if before is not None and before.changed(config_mode=segmentation.config_mode) \
                != segmentation:
            self.tolerate()

    def update(self, instances, stamp_ns):
        seen = Measurement.of(instances)
        self._has_masks = bool(seen.labels.size)
        if self._table is None:
            self._table = TrackTable.begun(seen, np.zeros(0, np.intp))
        t = self._table
        dt = (stamp_ns - self._stamp_ns) * 1e-9 if len(t) else 0.0
        self._shape, self._stamp_ns = instances.labels.shape, stamp_ns
        t.predict(dt)
        t.unseen_s = t.unseen_s + dt
        iou, inside = self._overlap(seen)
        if O['camera'] and self._compensate(seen, iou):
            iou, inside = self._overlap(seen)
        rows, columns = self._associate(seen, iou, inside)
        return self._finish(seen, rows, columns, inside, dt)

    def _overlap(self, seen):
        t = self._table
        if not self._has_masks:
            iou = buffered_iou(t.boxes, seen.boxes, 0)
            return iou, np.zeros_like(iou)
        return mask_overlap(t, seen)

    def _compensate(self, seen, iou):
        t = self._table
        known = (t.ids > 0) & (t.unseen_s <= t.unseen_s.min(initial=9))
        if known.sum() < 3 or len(seen.areas) < 3:
            return False
        if (iou[known].max(axis=1) >= 0.4).mean() >= 0.5:
            return False
        b = t.seen_boxes_now[known]
        expected, area = (b[:, :2] + b[:, 2:]) / 2, t.areas[known]
        centres = (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2
        ratio = area[:, None] / np.maximum(seen.areas[None], 1)
        distance = np.abs(centres[None] - expected[:, None]).max(axis=2)
        reach = 0.25 * (max(self._shape) if max(self._shape) else np.inf)
        possible = ((ratio > 2 / 3) & (ratio < 3 / 2) & (distance < reach)
                    & (t.class_ids[known][:, None] == seen.class_ids[None]))
        shift = common_shift(expected, centres, possible,
                             cell=max(4.0, 0.25 * float(np.sqrt(np.median(area)))))
        t.state[:, :, 0] += shift
        return bool(shift.any())

    def _affinity(self, seen, iou, inside):
        t = self._table
        same = t.class_ids[:, None] == seen.class_ids[None]
        box = np.maximum(buffered_iou(t.boxes, seen.boxes, O['margin']),
                         buffered_iou(t.seen_boxes_now, seen.boxes, O['margin']))
        if O['ocr']:
            last = buffered_iou(t.seen_boxes, seen.boxes, O['margin'])
            coasting = t.unseen_s > t.unseen_s.min(initial=9) + 1e-9
            box = np.where(coasting[:, None], np.maximum(box, last), box)
        if not self._has_masks:
            return np.where(same, box, 0), np.where(same, box, 0)
        if O['part']:
            dev = np.sqrt(t.covariance[:, :, 0, 0])
            b = t.boxes + 2 * np.concatenate([-dev, dev], axis=1)
            low = np.maximum(b[:, None, :2], seen.boxes[None, :, :2])
            high = np.minimum(b[:, None, 2:], seen.boxes[None, :, 2:])
            common = np.prod(np.clip(high - low, 0, None), axis=2)
            share = common / np.maximum(np.prod(seen.boxes[:, 2:] - seen.boxes[:, :2], axis=1), 1)[None]
            part = O['part'] * share * edge_affinity(t, seen, O['tremble']) * (seen.areas[None] < 1.5 * t.areas[:, None] * 3)
            coasting = t.unseen_s > t.unseen_s.min(initial=9) + 1e-9
            box = np.where(coasting[:, None] | bool(O['partpresent']), np.maximum(box, part), box)
        if self._tolerant_frames:
            areas = t.areas * t.moves[0].prod(axis=1)
            smaller = np.minimum(areas[:, None], seen.areas[None])
            share = inside * areas[:, None] / np.maximum(smaller, 1)
            iou = np.maximum(iou, 0.5 * np.clip(share, 0, 1))
        edge = edge_affinity(t, seen, O['tremble'])
        clear = (iou + edge) / 2 * (iou > 0.02)
        if O['mix'] == 'mean':
            weak = (iou + box) / 2
        elif O['mix'] == 'max':
            weak = np.maximum(iou, box)
        elif O['mix'] == 'box':
            weak = box
        elif O['mix'] == 'three':
            weak = (iou + box + edge) / 3 * (box > 0.02)
        weak = np.where(same, weak, np.where(iou >= O['classless'], 0.5 * iou, 0))
        clear = np.where(same, clear, 0.5 * clear * (iou >= O['classless']))
        return clear, weak

    def _associate(self, seen, iou, inside):
        t = self._table
        clear, weak = self._affinity(seen, iou, inside)
        confirmed = t.ids > 0
        present = t.unseen_s <= t.unseen_s.min(initial=9) + 1e-9
        least = O['least']
        stages = []
        if O['firstboth']:
            stages.append((confirmed & present, clear, O['clear']))
        if O['joint']:
            stages.append((confirmed, weak, least))
        else:
            stages += [(confirmed & present, weak, least), (confirmed & ~present, weak, O['least_lost'])]
        stages.append((~confirmed, weak, least))
        free, open_ = np.ones(len(seen.areas), bool), np.ones(len(t), bool)
        pairs = [(np.zeros(0, np.intp),) * 2]
        for who, affinity, limit in stages:
            r, c = np.flatnonzero(who & open_), np.flatnonzero(free)
            if len(r) and len(c):
                i, j = assign(affinity[np.ix_(r, c)], limit)
                pairs.append((r[i], c[j]))
                open_[r[i]], free[c[j]] = False, False
        return tuple(np.concatenate(p) for p in zip(*pairs))

    def _finish(self, seen, rows, columns, inside, dt):
        t = self._table
        count = len(seen.areas)
        confirmed = t.ids > 0
        lies_in = (inside >= O['crowd']) & confirmed[:, None]
        paired = np.zeros(len(t), bool)
        paired[rows] = True
        areas_now = t.areas * t.moves[0].prod(axis=1)
        crowded = (lies_in[:, columns].sum(axis=0) >= 2) & (seen.areas[columns] > O['crowdarea'] * areas_now[rows])
        hidden = ~paired & lies_in.any(axis=1)
        fragment = np.zeros(count, bool)
        if O['frag']:
            covered = (inside * areas_now[:, None])[paired & confirmed].max(axis=0, initial=0)
            fragment = covered > O['frag'] * seen.areas
        plain = ~crowded
        r, c = rows[plain], columns[plain]
        doubt = 1 + O['covdoubt'] * (seen.covered[c] > O['cov'])
        doubt = np.where(seen.cut[c], kalman.UNSEEN, doubt)
        if O['inward']:
            innov = seen.boxes[c] - t.boxes[r]
            dev = np.sqrt(kalman.edge_variances(t.covariance[r]) + (kalman.MODEL.edge * kalman.sizes(seen.boxes[c])[:, None])**2)
            inward = innov * np.array([1, 1, -1, -1]) / dev
            if O['indoubt'] > 0:
                doubt = doubt + O['indoubt'] * (inward > O['inward'])
            else:
                doubt = doubt * np.maximum(1, inward / O['inward'])**-O['indoubt']
        # both edges of an axis unseen: size stays, position is measured by centre of them
        both = (doubt[:, :2] > 100) & (doubt[:, 2:] > 100)
        doubt[np.tile(both, 2)] = 4
        if O['huber']:
            innov = seen.boxes[c] - t.boxes[r]
            dev = np.sqrt(kalman.edge_variances(t.covariance[r]) + (kalman.MODEL.edge * kalman.sizes(seen.boxes[c])[:, None])**2)
            doubt = doubt * np.maximum(1, np.abs(innov) / dev / O['huber'])
        t.state[r], t.covariance[r] = kalman.correct(t.state[r], t.covariance[r], seen.boxes[c], doubt)
        if O['iso']:
            rate = t.state[r, :, 3] / np.maximum(t.state[r, :, 2], 1)
            least = np.where(rate.prod(axis=1) > 0, np.sign(rate[:, 0]) * np.abs(rate).min(axis=1), 0)
            t.state[r, :, 3] = least[:, None] * t.state[r, :, 2]
        now = t.boxes
        t.seen_boxes[r], t.anchors[r], t.areas[r] = seen.boxes[c], now[r], seen.areas[c]
        t.class_ids[r] = seen.class_ids[c]
        t.unseen_s[rows] = 0
        hit = rows[~(fragment[columns] & (t.ids[rows] == 0))]
        t.hits[hit] += 1
        # masks
        from_before = np.arange(len(t)); from_before[r] = -1
        from_view = np.full(count, -1, np.intp); from_view[c] = r
        a = t.footprints.placed(from_before, len(t)); b = seen.footprints.placed(from_view, len(t))
        from .footprints import Footprints
        t.footprints = Footprints(*(np.concatenate([getattr(a, k), getattr(b, k)]) for k in ('x', 'y', 'owner')), a.counts + b.counts)
        limit = self.settings.max_lost_s * np.where(hidden, O['hidden'], 1)
        waiting = (t.unseen_s <= limit) | (self._tolerant_frames > 0)
        if self._has_masks and O['leave']:
            h, w = self._shape
            ctr = t.state[:, :, 0]
            waiting &= ((ctr >= 0) & (ctr <= (w, h))).all(axis=1)
        if self._segmentation is not None:
            waiting &= t.areas >= self._segmentation.size_threshold
            waiting &= ~np.isin(t.class_ids, self._segmentation.ignored_classes)
        kept = paired | (confirmed & waiting) | (~confirmed & (t.unseen_s <= O['candlife']))
        fresh = np.ones(count, bool)
        fresh[columns] = False
        fresh = np.flatnonzero(fresh)
        now_row = np.where(kept, np.cumsum(kept) - 1, -1)
        new = TrackTable.begun(seen, fresh)
        if O['flow']:
            self._start_velocity(t, new)
        self._table = t = t.kept(kept).joined(new)
        if not self._tolerant_frames:
            ready = (t.ids == 0) & ((not self._begun) | (t.hits >= self.settings.confirm_frames))
            t.ids[ready] = self._next_id + np.arange(ready.sum())
            self._next_id += int(ready.sum())
        self._begun |= count > 0
        self._tolerant_frames = max(0, self._tolerant_frames - 1)
        ids = np.zeros(count, np.int64)
        ids[columns] = t.ids[now_row[rows]]
        ids[fresh] = t.ids[int(kept.sum()):]
        return ids

    def _start_velocity(self, t, new):
        good = (t.ids > 0) & (t.hits > 3) & (t.unseen_s == 0)
        if good.sum() >= 3 and len(new):
            new.state[:, :, 1] = np.median(t.state[good, :, 1], axis=0)
