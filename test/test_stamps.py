"""Frames and masks find each other, in the order in which they were taken."""

from instseg_ros.messages.stamps import LateStamps, StampOrder, StampPairing
import pytest

MS = 10**6


def paired(messages, tolerance=0, flush=False, capacity=3):
    """Return what comes of messages such as 'f10 m12': topics, and stamps in ms."""
    pairing = StampPairing(2, tolerance * MS, capacity)
    found = []
    for message in messages.split():
        found += pairing.add('fm'.index(message[0]), int(message[1:]) * MS, message)
    return ' '.join('+'.join(p or '-' for p in parts)
                    for _, parts in found + (pairing.flush() if flush else []))


@pytest.mark.parametrize(('messages', 'expected'), [
    ('f1 m1', 'f1+m1'),
    ('m1 f1', 'f1+m1'),
    ('f1 f2 m1 m2', 'f1+m1 f2+m2'),
    ('f1 f2 m2', 'f1+- f2+m2'),                       # m1 was lost: m2 came after it
    ('f1 m2 f3 m3', 'f1+- -+m2 f3+m3'),
    ('f1 f2 f3 f4 m4', 'f1+- f2+- f3+- f4+m4'),       # the first for want of room
    ('f5000 m5000 f1 m1', 'f5000+m5000 f1+m1'),       # time that goes back is no loss
    ('f9000 m9100 f1 m1 m2 f2', 'f9000+- -+m9100 f1+m1 f2+m2'),
    ('m1 f1 m3 f3 m2 f2 m4 f4', 'f1+m1 f3+m3 f2+m2 f4+m4'),  # some overtook others
    ('m1 f1 m3 f3 m2 m4 f4', 'f1+m1 f3+m3 -+m2 f4+m4'),
])
def test_equal_stamps(messages, expected):
    assert paired(messages) == expected


@pytest.mark.parametrize(('messages', 'expected'), [
    ('f0 m3 f33 m36 f66', 'f0+m3 f33+m36'),           # masks a little later
    ('m0 f3 m33 f36 m66', 'f3+m0 f36+m33'),           # a little earlier
    ('f0 f33 f66 m3 m36 m69', 'f0+m3 f33+m36'),       # by the time of a network later
    ('m3 m36 f0 f33 f66', 'f0+m3 f33+m36'),
    ('f0 m0 m33 f66 m66', 'f0+m0 -+m33 f66+m66'),     # f33 was lost; its mask takes no other's
    ('f0 f17 f34 m17 f51', 'f0+- f17+m17'),           # more frames than masks
    ('f0 m60 f100 m160 f200 m260', 'f0+- f100+m60 f200+m160'),
    ('f0 m60 f200 m260', 'f0+- -+m60'),               # nothing within the tolerance
    ('f33 f0 m0 m33', 'f0+m0 f33+m33'),               # frames that overtook each other
])
def test_nearest_stamps(messages, expected):
    assert paired(messages, tolerance=50, capacity=30) == expected


def test_what_waits_at_the_end_is_settled():
    assert paired('f0 m3 f33 m36', tolerance=50) == 'f0+m3'
    assert paired('f0 m3 f33 m36 f99', tolerance=50, flush=True) == 'f0+m3 f33+m36 f99+-'


def test_further_topics_have_equal_stamps():
    pairing = StampPairing(3, 50 * MS)
    found = []
    for topic, stamp in ((0, 0), (1, 3), (1, 36), (0, 33), (2, 36), (0, 66)):
        found += pairing.add(topic, stamp * MS, stamp)
    assert found == [(0, [0, None, None]), (3 * MS, [None, 3, None]), (36 * MS, [33, 36, 36])]


def ordered(stamps, window=100):
    """Return stamps (ms) as they are given, those left out, and those of jumps back."""
    order = StampOrder(window * MS)
    given = [item for s in stamps for _, item in order.add(s * MS, s)]
    given += [item for _, item in order.flush()]
    return given, [item for item, _ in order.left_out], [item for item, _ in order.jumps]


@pytest.mark.parametrize(('stamps', 'given', 'left_out', 'jumps'), [
    ([0, 33, 66, 99, 132, 165], [0, 33, 66, 99, 132, 165], [], []),
    ([0, 33, 99, 66, 132], [0, 33, 66, 99, 132], [], []),                   # swapped
    ([0, 33, 33, 66], [0, 33, 66], [33], []),                               # twice
    ([0, 400, 800, 100, 1200], [0, 400, 800, 1200], [100], []),             # too late
    ([0, 33, 9 * 10**11, 66, 99], [0, 33, 66, 99], [9 * 10**11], []),       # a stray stamp
    ([0, 33, 9 * 10**11, 9 * 10**11 + 33], [0, 33, 9 * 10**11, 9 * 10**11 + 33], [], []),
    ([9 * 10**11, 9 * 10**11 + 33, 0, 33], [9 * 10**11, 9 * 10**11 + 33, 0, 33], [], [0]),
    ([5000, 5033, 0], [5000, 5033], [0], []),
    ([0, 33, 60000], [0, 33, 60000], [], []),
])
def test_order_of_stamps(stamps, given, left_out, jumps):
    assert ordered(stamps) == (given, left_out, jumps)


def test_order_gives_what_can_be_overtaken_no_more():
    order = StampOrder(100 * MS)
    assert order.add(0, 'a') == []
    assert order.add(90 * MS, 'b') == []
    assert order.add(150 * MS, 'c') == [(0, 'a')]
    assert order.add(80 * MS, 'd') == []
    assert order.flush() == [(80 * MS, 'd'), (90 * MS, 'b'), (150 * MS, 'c')]


@pytest.mark.parametrize(('stamps', 'late'), [
    ([0, 33, 66, 99], []), ([0, 33, 99, 66, 132], [66]), ([0, 99, 66, 132, 120, 150], [66, 120]),
    ([5000, 5033, 0, 33], []),                       # a recording that starts again
    ([0, 33, 66, 0, 33, 66], [0]), ([0, 0, 0], []),  # a short one; stamps that were never set
])
def test_what_was_overtaken_is_late(stamps, late):
    order = LateStamps()
    assert [s for s in stamps if order.late(s * MS)] == late


def test_order_without_a_window():
    assert ordered([0, 33, 33, 66], window=0) == ([0, 33, 66], [33], [])
