"""
End a recording that was never ended: its recorder was killed, or the power failed.

`instseg` itself reads such a recording as it is; other programs want it ended.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..recordings.bag import Bag
from ..recordings.writer import repair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('bag', metavar='BAG', type=Path, help='folder of the recording')


def run(options: argparse.Namespace) -> int:
    """Repair a recording."""
    repair(options.bag)
    with Bag(options.bag) as bag:
        count = sum(t.count for t in bag.topics.values())
        print(f'{options.bag}: whole, {count} messages in {(bag.end_ns - bag.start_ns) / 1e9:.1f} '
              's')
    return 0
