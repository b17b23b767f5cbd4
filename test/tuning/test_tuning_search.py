"""The search: real masks with known instances, marked as a person would."""

from typing import NamedTuple

from instseg_ros.cameras import CameraSettings
from instseg_ros.cameras.recording import RecordingCamera
from instseg_ros.cli import main
from instseg_ros.core import segment_instances, SegmentationSettings
from instseg_ros.core.class_names import VOC_NAMES
from instseg_ros.errors import RecordingError
from instseg_ros.recordings.marks import Mark, write_marks
from instseg_ros.recordings.parameters import read_settings
from instseg_ros.recordings.search import find_settings, instances_at
import numpy as np
import pytest
import recorded

# Lines between two cars and between two people who touch, in frames of the sample.
CARS, PEOPLE = (0, ((609.0, 54.0), (613.0, 69.0))), (20, ((500.0, 236.0), (509.0, 316.0)))
NEVER = SegmentationSettings(dist_threshold=0.0)


class Still(NamedTuple):
    """A frame that was made here."""

    stamp_ns: int
    mask: np.ndarray


@pytest.fixture(scope='module')
def street():
    return list(RecordingCamera(CameraSettings(source='sample')).captures())[:30]


def two(frames, *lines):
    return [Mark(frames[k].stamp_ns, 'two', points) for k, points in lines]


def test_it_finds_what_cuts(street):
    shares = []
    found = find_settings(street, VOC_NAMES, two(street, CARS, PEOPLE), NEVER, shares.append)
    assert list(found.changes) == ['dist_threshold']
    assert found.changes['dist_threshold'][0] == 0.0
    assert [str(a) for a in (*found.used, *found.held_out)] == ['0 of 1', '1 of 1'] * 2
    assert found.doubt == ''
    assert shares == sorted(shares) and shares[-1] == 1.0
    # The frames that change are those in which there are others now.
    for k, frame in enumerate(street):
        counts = {len(segment_instances(frame.mask, s)) for s in (NEVER, found.settings)}
        assert (len(counts) == 2) <= (k in found.changed_frames)
    assert 0 in found.changed_frames and 20 in found.changed_frames


def test_what_is_right_stays(street):
    """Marks with which the settings agree change nothing, and the middle is not preferred."""
    begin = SegmentationSettings(dist_threshold=0.43)
    found = find_settings(street, VOC_NAMES, two(street, CARS, PEOPLE), begin)
    assert found.settings == begin and found.changes == {} and found.changed_frames == ()
    assert found.doubt == ''


def test_a_mark_may_not_spoil_what_nobody_marked(street):
    """One wrong thing among many right ones in a frame: the others count, too."""
    cut_once = Mark(street[20].stamp_ns, 'one', ((480.0, 270.0), (530.0, 290.0)))
    begin = SegmentationSettings()
    found = find_settings(street, VOC_NAMES, [cut_once], begin)
    before = instances_at(street, 20, VOC_NAMES, begin)
    assert found.used[0].unmarked == len(before) - 2  # the two that it calls one
    assert found.used[1].kept + found.used[1].agreed >= found.used[0].kept
    assert 'of one moment' in found.doubt or not found.changes


def test_specks_that_are_nothing():
    """Small false pieces in every frame: the size below which instances are dropped."""
    frames, marks = [], []
    for k in range(8):
        mask = np.zeros((120, 160), np.uint8)
        mask[20:100, 20:50] = 15
        mask[60:67, 100 + k:106 + k] = 7
        frames.append(Still((k + 1) * 2 * 10**9, mask))
        marks.append(Mark(frames[-1].stamp_ns, 'nothing', ((103.0 + k, 63.0),)))
    found = find_settings(frames, VOC_NAMES, marks, SegmentationSettings())
    assert list(found.changes) == ['size_threshold']
    assert str(found.held_out[1]) == '4 of 4'
    assert found.used[1].kept == found.used[1].unmarked == 4  # the person
    assert [len(segment_instances(f.mask, found.settings)) for f in frames] == [1] * 8


def test_memory_is_tried_with_the_frames_before():
    """Two who meet: where they are one blob, no cut is right, and only memory knows."""
    frames = [Still((k + 1) * 10**8, mask) for k, mask in enumerate(recorded.masks(26))]
    begin = SegmentationSettings(dist_threshold=0.0, upright_classes=())
    alone = [len(segment_instances(f.mask, begin)) for f in frames]
    remembered = [len(instances_at(frames, k, VOC_NAMES, begin.changed(memory=True)))
                  for k in range(len(frames))]
    assert alone != remembered


def test_without_marks(street):
    for marks in ([], [Mark(12345, 'one', ((1.0, 1.0),))]):
        with pytest.raises(RecordingError, match='expected marks on frames of this recording'):
            find_settings(street, VOC_NAMES, marks, NEVER)


def test_command(street, tmp_path, capsys, monkeypatch):
    """Machines without a browser search too, and write nothing but what they are told to."""
    monkeypatch.chdir(tmp_path)
    write_marks(tmp_path / 'marks.json', two(street, CARS, PEOPLE))
    arguments = ['tune', 'sample', '--search', '--marks', 'marks.json', '--duration', '3',
                 '--set', 'dist_threshold=0.0']
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert 'marks not used by it: 0 of 1 agreed with before, 1 of 1 after' in said
    assert 'ros2 param set /instance_segmentation_node dist_threshold 0.' in said
    assert [f.name for f in tmp_path.iterdir()] == ['marks.json']
    assert main([*arguments, '--output', 'better.yaml']) == 0
    found = read_settings([tmp_path / 'better.yaml'])['instance_segmentation_node']
    assert found.dist_threshold > 0.1
    assert main(['tune', 'sample', '--search', '--marks', 'none.json']) == 2
    assert 'none.json: cannot be read' in capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'said'), [
    ([], 'expected a SOURCE (such as "instseg tune sample") or --live, got neither'),
    (['sample', '--live'], 'got both'),
    (['nowhere'], 'nowhere: there is nothing of that name'),
    (['sample', '--params', 'none.yaml'], 'none.yaml: cannot be read'),
    (['sample', '--set', 'dist_threshold=2'], 'expected a number in [0, 1], got 2'),
    (['synthetic'], 'a camera, which goes on for ever'),
    (['sample', '--search', '--marks', 'x'], 'x: cannot be read')])
def test_what_cannot_be_tuned(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(['tune', *arguments]) == 2
    assert said in capsys.readouterr().err
