"""Messages of one stamp find each other, and nobody waits for ever."""

from instseg_ros.ros.conversions import ns_to_stamp
from instseg_ros.ros.joining import StampJoin
import pytest
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray


class Joined:
    """Collects what a join of two topics gives; letters are topics, numbers stamps."""

    def __init__(self, capacity=3):
        self.complete, self.given_up = [], []
        self._join = StampJoin(2, lambda a, b: self.complete.append(a.header.stamp.sec),
                               lambda parts: self.given_up.append(
                                   next(p for p in parts if p).header.stamp.sec), capacity)

    def add(self, *messages):
        for message in messages:
            self._join.add('ab'.index(message[0]), Detection2DArray(
                header=Header(stamp=ns_to_stamp(int(message[1:]) * 10**9))))
        return self


@pytest.mark.parametrize(('messages', 'complete', 'given_up'), [
    ('a1 b1', [1], []),
    ('b1 a1', [1], []),
    ('a1 a2 b1 b2', [1, 2], []),
    ('a1 a2 b2', [2], [1]),              # b1 was lost: b2 came after it
    ('a1 b2 a3 b3', [3], [1, 2]),
    ('a1 a2 a3 a4 b4', [4], [1, 2, 3]),  # the first for want of room
    ('a5 b5 a1 b1', [5, 1], []),         # time that goes back is no loss
])
def test_sets_are_joined_in_any_order(messages, complete, given_up):
    joined = Joined().add(*messages.split())
    assert joined.complete == complete
    assert joined.given_up == given_up
