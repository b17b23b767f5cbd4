"""
How fast `instseg process` is, and how much memory it takes, for 640x480 at 30 frames a second.

    python3 benchmarks/process.py [--seconds 60 240] [--workers 0 2] [--set memory=true ...]

Each row is a run of its own: the speed includes the start of the workers, the memory is the peak
of the process and of its largest worker. CPU time is that of the process and of all its workers:
on a machine that does something else too it tells more than the speed.
"""

import argparse
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

RATE_HZ = 30
RUN = """
import multiprocessing.forkserver, resource, sys
from instseg_ros.cli import main
if __name__ == '__main__':
    code = main(['process', *sys.argv[1:]])
    multiprocessing.forkserver._forkserver._stop()  # what workers used is known when it has ended
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(*(u.ru_maxrss / 1e3 for u in used), *(u.ru_utime + u.ru_stime for u in used))
    sys.exit(code)
"""


def make_recording(path, seconds):
    """Repeat the frames and masks of the sample, 30 a second."""
    from instseg_ros.cameras.recording import find_sample
    from instseg_ros.messages import typestore
    from instseg_ros.recordings import Bag
    from instseg_ros.recordings.writer import BagWriter
    types = typestore()
    writer = BagWriter(path)
    with Bag(find_sample()) as sample:
        for name in sample.topics:
            writer.copy_topic(sample, name)
        recorded = list(sample.messages(sample.topics))
        first_ns, last_ns = sample.start_ns, sample.end_ns
        names = {name: topic.msgtype for name, topic in sample.topics.items()}
    frames = round((last_ns - first_ns) / 1e8) + 1  # the sample has ten a second
    for start in range(0, seconds * RATE_HZ, frames):
        for topic, time_ns, data in recorded:
            number = start + round((time_ns - first_ns) / 1e8)
            if number >= seconds * RATE_HZ or topic == '/camera/label_info' and start:
                continue
            stamp_ns = first_ns + number * 10**9 // RATE_HZ
            message = types.deserialize_cdr(data, names[topic])
            message.header.stamp.sec = stamp_ns // 10**9
            message.header.stamp.nanosec = stamp_ns % 10**9
            writer.write(topic, stamp_ns, message)
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=int, nargs='+', default=[60, 240])
    parser.add_argument('--workers', type=int, nargs='+', default=[0, os.cpu_count()])
    parser.add_argument('--set', metavar='NAME=VALUE', nargs='+', default=[])
    options = parser.parse_args()
    settings = [word for pair in options.set for word in ('--set', pair)]
    print(f'{"recording":>10} {"workers":>8} {"time":>8} {"real time":>10} {"frames/s":>9} '
          f'{"memory":>8} {"worker":>8} {"CPU per frame":>15}')
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / 'run.py'
        program.write_text(RUN)
        for seconds in options.seconds:
            source = Path(name) / str(seconds)
            make_recording(source, seconds)
            for workers in options.workers:
                out = Path(name) / f'{seconds}-{workers}'
                started = time.monotonic()
                done = subprocess.run(
                    [sys.executable, program, source, out, '--workers', str(workers), *settings],
                    capture_output=True, text=True)
                taken = time.monotonic() - started
                if done.returncode:
                    sys.exit(done.stderr)
                own, worker, *cpu_s = (float(v) for v in done.stdout.splitlines()[-1].split())
                print(f'{seconds:8d} s {workers:8d} {taken:6.1f} s {seconds / taken:9.1f}x '
                      f'{seconds * RATE_HZ / taken:9.0f} {own:5.0f} MB {worker:5.0f} MB '
                      f'{1e3 * cpu_s[0] / (seconds * RATE_HZ):5.1f} + '
                      f'{1e3 * cpu_s[1] / (seconds * RATE_HZ):4.1f} ms',
                      flush=True)


if __name__ == '__main__':
    main()
