"""
End a recording that was never ended: its recorder was killed, or the power failed.

`instseg` itself reads such a recording as it is; other programs want it ended. Each file is
written anew beside the old one, which goes when the new one holds as much.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..recordings.bag import Bag
from ..recordings.repairing import repair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('bag', metavar='BAG', type=Path, help='folder of the recording')


def run(options: argparse.Namespace) -> int:
    """Repair a recording."""
    done = repair(options.bag)
    for line in done:
        print(line)
    with Bag(options.bag) as bag:
        print(f'{options.bag}: whole{"" if done else " already"}, '
              f'{sum(t.count for t in bag.topics.values())} messages in '
              f'{(bag.end_ns - bag.start_ns) / 1e9:.1f} s')
    return 0
