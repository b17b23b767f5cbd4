"""Marks: what they say of instances, and the file that keeps them."""

from instseg_ros.errors import RecordingError
from instseg_ros.recordings.marks import (AGREED, groups, KINDS, Mark, read_marks, write_marks)
import numpy as np
import pytest

LEFT, RIGHT = (slice(20, 60), slice(20, 50)), (slice(20, 60), slice(50, 80))


@pytest.fixture
def mask():
    """Two people who touch along x = 50."""
    drawn = np.zeros((100, 100), np.uint8)
    drawn[LEFT] = drawn[RIGHT] = 15
    return drawn


def labels(left, right):
    drawn = np.zeros((100, 100), np.uint16)
    drawn[LEFT], drawn[RIGHT] = left, right
    return drawn


ACROSS = ((25.0, 40.0), (75.0, 40.0))
BETWEEN = ((50.0, 22.0), (51.0, 58.0))
OVER_LEFT = ((25.0, 30.0), (45.0, 50.0))


@pytest.mark.parametrize(('kind', 'points', 'left', 'right', 'agreed'), [
    ('one', ACROSS, 1, 1, True),
    ('one', ACROSS, 1, 2, False),
    ('one', ACROSS, 1, 0, False),
    ('one', ACROSS, 0, 0, False),
    ('one', OVER_LEFT, 1, 2, True),
    ('two', BETWEEN, 1, 2, True),
    ('two', BETWEEN, 1, 1, False),
    ('two', BETWEEN, 1, 0, False),
    ('two', BETWEEN[::-1], 2, 1, True),
    ('nothing', OVER_LEFT, 0, 1, True),
    ('nothing', OVER_LEFT, 1, 0, False),
    ('nothing', ((30.0, 30.0),), 0, 1, True),
    ('nothing', ((30.0, 30.0),), 1, 1, False),
])
def test_agreement(mask, kind, points, left, right, agreed):
    found = Mark(1, kind, points).agreement(labels(left, right), mask)
    assert (found >= AGREED) == agreed
    assert 0 <= found <= 1


def test_line_need_not_be_exact(mask):
    """A hand misses the boundary by some pixels; a cut elsewhere is another cut."""
    two = Mark(1, 'two', ((46.0, 20.0), (53.0, 60.0)))
    assert two.agreement(labels(1, 2), mask) >= AGREED
    elsewhere = np.where(np.arange(100) < 40, 1, 2).astype(np.uint16) * (mask > 0)
    assert two.agreement(elsewhere.astype(np.uint16), mask) < AGREED


def test_gap_between_the_pieces_of_one_does_not_count(mask):
    mask[:, 45:55] = 0
    one = labels(1, 1) * (mask > 0).astype(np.uint16)
    assert Mark(1, 'one', ACROSS).agreement(one, mask) >= AGREED


@pytest.mark.parametrize(('kind', 'points', 'touches'), [
    ('one', ACROSS, True), ('one', ((1.0, 1.0), (9.0, 9.0)), False),
    ('one', ((-50.0, -50.0), (500.0, 500.0)), True), ('nothing', ((400.0, 400.0),), False),
    ('two', BETWEEN, True), ('two', ((20.0, 20.0), (20.0, 60.0)), False),
])
def test_a_mark_must_touch_something(mask, kind, points, touches):
    assert Mark(1, kind, points).touches(mask) == touches


@pytest.mark.parametrize(('kind', 'points', 'said'), [
    ('three', ACROSS, 'expected one of one, two, nothing'),
    ('one', (), 'expected 1 points or more, got 0'),
    ('two', ((3.0, 3.0), (3.0, 3.0)), 'expected 2 points or more, got 1'),
])
def test_what_is_no_mark(kind, points, said):
    with pytest.raises(RecordingError, match=said):
        Mark(1, kind, points)


def test_file_keeps_them(tmp_path):
    marks = [Mark(7 * 10**9, 'two', BETWEEN), Mark(10**9, 'one', ACROSS),
             Mark(10**9, 'nothing', ((1.5, 2.0),))]
    write_marks(tmp_path / 'marks.json', marks)
    assert read_marks(tmp_path / 'marks.json') == [marks[1], marks[2], marks[0]]
    write_marks(tmp_path / 'marks.json', [])
    assert read_marks(tmp_path / 'marks.json') == []
    assert [f.name for f in tmp_path.iterdir()] == ['marks.json']


@pytest.mark.parametrize('text', [
    '', '[]', '{"marks": []}', '{"format": "instseg marks 2", "marks": []}',
    '{"format": "instseg marks 1", "marks": [{"stamp_ns": 1, "kind": "x", "points": [[1, 2]]}]}',
    '{"format": "instseg marks 1", "marks": [{"stamp_ns": 1, "kind": "one"}]}',
    '{"format": "instseg marks 1", "marks": [{"stamp_ns": 1, "kind": "one", "points": [[1]]}]}'])
def test_file_of_something_else(tmp_path, text):
    (tmp_path / 'marks.json').write_text(text)
    with pytest.raises(RecordingError, match=r'marks.json: expected marks as `instseg tune`'):
        read_marks(tmp_path / 'marks.json')


def test_file_that_cannot_be(tmp_path):
    with pytest.raises(RecordingError, match='cannot be read: No such file'):
        read_marks(tmp_path / 'none.json')
    with pytest.raises(RecordingError, match='cannot be written: No such file'):
        write_marks(tmp_path / 'none' / 'marks.json', [])


def test_marks_of_one_moment_go_together():
    marks = [Mark(int(s * 1e9), kind, ACROSS) for s, kind in zip(
        (5.0, 0.0, 0.4, 2.0, 5.9), (*KINDS, 'one', 'two'), strict=True)]
    assert [[m.stamp_ns / 1e9 for m in group] for group in groups(marks, 10**9)] == [
        [0.0, 0.4], [2.0], [5.0, 5.9]]
