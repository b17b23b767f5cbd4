"""Recordings as a camera: what is odd about their times, their masks and single messages."""

import time

from instseg_ros.cameras import CameraSettings, EndOfStream, open_camera
from instseg_ros.cli import main
from instseg_ros.messages.stamps import stamp_ns
from instseg_ros.recordings import Bag
from instseg_ros.recordings.processing import Options, process
from instseg_ros.recordings.results import read_results
import numpy as np
import pytest
import recorded
from recorded import COMPRESSED, IMAGE, START_NS, STEP_NS

MASK, FRAME = '/camera/semantic_mask', '/camera/image_raw/compressed'
YEARS_NS = 50 * 365 * 86400 * 10**9


def stamped(message, stamp_ns):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def walk(path, mask_ns=lambda k, ns: ns, frame_ns=None, order=range(6), mask=lambda k, m: m,
         frames=True):
    """Write a recording of six frames and masks with other stamps, in another order."""
    drawn, messages = recorded.masks(), []
    for place, k in enumerate(order):
        ns = START_NS + k * STEP_NS
        if frames:
            messages.append((FRAME, place, stamped(
                recorded.compressed(k, recorded.frame(drawn[k]), 90),
                (frame_ns or mask_ns)(k, ns))))
        made = mask(k, drawn[k])
        messages.append((MASK, place, made if isinstance(made, bytes) else stamped(
            recorded.raw(k, made, 'mono8'), mask_ns(k, ns))))
    return recorded.write(path, {MASK: IMAGE, FRAME: COMPRESSED}, messages)


def play(path, count=None, **settings):
    """Return all captures of a recording, how long it took, and what was said."""
    camera = open_camera(CameraSettings(source=str(path), **{'loop': False, **settings}))
    captures, said = [], []
    camera.report = said.append
    start = time.monotonic()
    try:
        while count is None or len(captures) < count:
            if capture := camera.read(5.0):
                captures.append(capture)
            assert time.monotonic() - start < 20, 'waits for a gap'
    except EndOfStream:
        pass
    camera.close()
    return captures, time.monotonic() - start, said


def steps(captures):
    return [(c.stamp_ns - START_NS) / STEP_NS for c in captures]


def offline(path, out, **options):
    summary = process(path, out, Options(**options))
    with Bag(out) as bag:
        return list(read_results(bag)), summary


def test_messages_that_overtook_each_other_are_put_in_order(tmp_path):
    path = walk(tmp_path / 'in', order=[0, 1, 3, 2, 4, 5])
    captures, _, said = play(path, playback_rate=50.0)
    assert steps(captures) == [0, 1, 2, 3, 4, 5]
    for capture, mask in zip(captures, recorded.masks(), strict=True):
        assert np.array_equal(capture.mask, mask)
        assert capture.frame is not None
    assert said == []
    found, summary = offline(path, tmp_path / 'out')
    assert summary.complete
    assert [r.stamp_ns for r in found] == [c.stamp_ns for c in captures]
    straight, _ = offline(walk(tmp_path / 'straight'), tmp_path / 'out2')
    assert [r.ids for r in found] == [r.ids for r in straight]
    assert any(found[-1].ids)


def test_a_window_of_nothing_leaves_out_what_is_late(tmp_path):
    path = walk(tmp_path / 'in', order=[0, 1, 3, 2, 4, 5])
    captures, _, said = play(path, playback_rate=50.0, reorder_window=0.0)
    assert 2 not in [step for step, c in zip(steps(captures), captures, strict=True)
                     if c.mask is not None]
    assert any('message 3' in s and 'left out' in s for s in said)


@pytest.mark.parametrize('late_ms', [3, -3, 40])
def test_masks_a_little_after_their_frames(tmp_path, late_ms):
    path = walk(tmp_path / 'in', frame_ns=lambda k, ns: ns - late_ms * 10**6)
    captures, _, _ = play(path, playback_rate=50.0)
    assert len(captures) == 6
    assert all(c.frame is not None and c.mask is not None for c in captures)
    for capture, mask in zip(captures, recorded.masks(), strict=True):
        assert np.abs(capture.frame.astype(int) - recorded.frame(mask)).max() < 30
    _, summary = offline(path, tmp_path / 'out', overlays=True)
    assert summary.overlays == 6
    with Bag(tmp_path / 'out') as bag:
        overlay = bag.decode(*next(iter(bag.messages(['/overlay/image/compressed']))))
    assert stamp_ns(overlay) == captures[0].stamp_ns  # that of the mask
    assert f'up to {abs(late_ms)}.0 ms apart' in ' '.join(summary.notes)


def test_tolerance_is_a_setting(tmp_path):
    path = walk(tmp_path / 'in', frame_ns=lambda k, ns: ns - 20 * 10**6)
    captures, _, _ = play(path, playback_rate=50.0, stamp_tolerance=0.01)
    assert [c.frame is None for c in captures] == [c.mask is not None for c in captures]
    assert main(['process', str(path), str(tmp_path / 'out'), '--mp4', str(tmp_path / 'a.mp4'),
                 '--set', 'stamp_tolerance=0.01', '--workers', '0']) == 0
    assert (tmp_path / 'out').is_dir() and not (tmp_path / 'a.mp4').exists()


def test_sentence_about_overlays_names_a_cure_that_works(tmp_path, capsys):
    path = walk(tmp_path / 'in', frame_ns=lambda k, ns: ns - 60 * 10**6, order=[0])
    for tolerance, overlays in (('0.05', 0), ('0.1', 1)):
        main(['process', str(path), str(tmp_path / tolerance), '--overlays', '--workers', '0',
              '--set', f'stamp_tolerance={tolerance}'])
        said = capsys.readouterr()
        assert f'{overlays} overlays' in said.out
        assert ('--set stamp_tolerance=' in said.err) == (not overlays)


@pytest.mark.parametrize('which', ['all', 'first', 'one'])
def test_stamps_of_zero_are_those_of_the_recording(tmp_path, which):
    zero = {'all': range(6), 'first': [0], 'one': [3]}[which]
    path = walk(tmp_path / 'in', mask_ns=lambda k, ns: 0 if k in zero else ns)
    captures, took_s, said = play(path)
    assert steps(captures) == [0, 1, 2, 3, 4, 5]
    assert took_s > 0.45
    assert all(c.frame is not None and c.mask is not None for c in captures)
    assert f'{MASK}: {len(zero)} of 6 stamps are zero' in ' '.join(said)
    found, summary = offline(path, tmp_path / 'out')
    assert [r.stamp_ns for r in found] == [c.stamp_ns for c in captures]
    assert any('stamps are zero' in n for n in summary.notes)


def test_zero_among_stamps_of_a_simulation(tmp_path):
    """Their clock has nothing to do with the time of recording."""
    path = walk(tmp_path / 'in', mask_ns=lambda k, ns: 0 if k < 2 else 10**10 + k * STEP_NS)
    captures, _, _ = play(path, playback_rate=50.0)
    assert [c.stamp_ns for c in captures] == [10**10 + k * STEP_NS for k in range(6)]


@pytest.mark.parametrize('jump_ns', [YEARS_NS, -YEARS_NS, 3600 * 10**9])
def test_clock_that_was_set(tmp_path, jump_ns):
    path = walk(tmp_path / 'in', mask_ns=lambda k, ns: ns + (jump_ns if k > 2 else 0)
                - (YEARS_NS if jump_ns > 0 else 0))
    captures, took_s, said = play(path)
    assert len(captures) == 6
    assert took_s < 3
    assert captures[3].stamp_ns - captures[2].stamp_ns == STEP_NS + jump_ns  # real times
    assert sum('max_gap is 10 s' in s for s in said) == 1
    found, _ = offline(path, tmp_path / 'out', mp4=tmp_path / 'a.mp4')
    assert [r.stamp_ns for r in found] == [c.stamp_ns for c in captures]
    assert (tmp_path / 'a.mp4').stat().st_size > 0


def test_stamps_of_a_loop_rise_by_the_step_of_frames(tmp_path):
    path = walk(tmp_path / 'in', mask_ns=lambda k, ns: ns if k > 2 else ns - YEARS_NS)
    captures, _, said = play(path, count=20, loop=True, playback_rate=50.0)
    stamps = [c.stamp_ns for c in captures]
    assert all(b > a for a, b in zip(stamps, stamps[1:], strict=False))
    assert stamps[-1] - stamps[5] == 14 * STEP_NS
    assert len(said) == 1


def test_a_gap_shorter_than_max_gap_is_waited_for(tmp_path):
    path = walk(tmp_path / 'in', mask_ns=lambda k, ns: ns + (10**9 if k > 2 else 0))
    assert play(path)[1] > 1.4
    _, took_s, said = play(path, max_gap=0.5)
    assert took_s < 1.2
    assert len(said) == 1 and 'max_gap is 0.5 s' in said[0]


def test_time_starts_with_the_first_read(tmp_path):
    camera = open_camera(CameraSettings(source=str(walk(tmp_path / 'in')), loop=False))
    time.sleep(0.5)
    start, captures = time.monotonic(), 0
    with pytest.raises(EndOfStream):
        while True:
            captures += camera.read(1.0) is not None
    assert captures == 6
    assert time.monotonic() - start > 0.45


def test_masks_of_another_grid_are_registered_to_the_frames(tmp_path):
    path = walk(tmp_path / 'in', mask=lambda k, m: m[::2, ::4])
    captures, _, _ = play(path, playback_rate=50.0)
    assert {c.mask.shape for c in captures} == {(60, 80)}
    agree = [np.mean(c.mask == m) for c, m in zip(captures, recorded.masks(), strict=True)]
    assert min(agree) > 0.9
    found, summary = offline(path, tmp_path / 'out', overlays=True)
    assert found[0].instances.labels.shape == (60, 80)
    assert summary.overlays == 6
    alone, _ = offline(path, tmp_path / 'alone', image='none')
    assert alone[0].instances.labels.shape == (30, 20)


def test_masks_of_another_size_without_frames(tmp_path):
    path = walk(tmp_path / 'in', mask=lambda k, m: m[::2, ::2], frames=False)
    found, summary = offline(path, tmp_path / 'out')
    assert summary.complete and found[0].instances.labels.shape == (30, 40)


def test_one_bad_item_is_left_out_and_the_rest_is_played(tmp_path):
    path = walk(tmp_path / 'in', mask=lambda k, m: b'\0\1\0\0' if k == 2 else m)
    captures, _, said = play(path, playback_rate=50.0)
    assert steps(captures) == [0, 1, 2, 3, 4, 5]
    assert [k for k, c in enumerate(captures) if c.mask is None] == [2]
    assert sum(f'{MASK}: message 2 at' in s for s in said) == 1


def test_names_are_those_of_the_recording_or_the_labels_file(tmp_path):
    labels = tmp_path / 'labels.txt'
    labels.write_bytes('\ufeff'.encode() + b'road\r\nsidewalk\r\n')

    def names(source, **settings):
        return dict(open_camera(CameraSettings(source=str(source), **settings)).class_names)

    named, nameless = recorded.record(tmp_path / 'a'), recorded.record(tmp_path / 'b', names=False)
    assert names(named) == recorded.NAMES
    assert names(nameless) == {}
    for source in (named, nameless):
        assert names(source, labels_file=str(labels)) == {0: 'road', 1: 'sidewalk'}
        main(['process', str(source), str(tmp_path / (source.name + 'out')), '--workers', '0',
              '--set', f'labels_file={labels}', '--csv', str(tmp_path / 'a.csv')])
        assert 'person' not in (tmp_path / 'a.csv').read_text()
        (tmp_path / 'a.csv').unlink()


def test_masks_that_are_jpeg_are_named_with_what_they_invent(tmp_path, capsys):
    topic = MASK + '/compressed'
    path = recorded.write(tmp_path / 'in', {topic: COMPRESSED}, [
        (topic, k, recorded.compressed(k, m * 10, 80)) for k, m in enumerate(recorded.masks())])
    assert main(['info', str(path)]) == 0
    assert 'lossy: 6 masks are JPEG, which invented' in capsys.readouterr().out
    assert main(['process', str(path), str(tmp_path / 'out'), '--workers', '0']) == 0
    assert f'{topic}: 6 masks are JPEG, which is lossy' in capsys.readouterr().err


def test_info_says_what_is_odd(tmp_path, capsys):
    assert main(['info', str(walk(tmp_path / 'a', mask=lambda k, m: m[::2, ::2]))]) == 0
    assert 'sizes: frames are 80x60, masks 40x30' in capsys.readouterr().out
    path = walk(tmp_path / 'b', frame_ns=lambda k, ns: ns - 3 * 10**6)
    assert main(['info', str(path)]) == 0
    assert 'every mask has a frame, up to 3.0 ms off' in capsys.readouterr().out
    assert main(['info', str(walk(tmp_path / 'c', mask_ns=lambda k, ns: 0))]) == 0
    assert '6 of 6 stamps are zero' in capsys.readouterr().out
