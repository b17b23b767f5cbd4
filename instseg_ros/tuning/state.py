"""What the page shows of a recording: one state for everybody who looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
import shlex
import statistics
import time
from typing import Any

from .background import Background, Job, Opened, Processed, read_and_process, search
from .knobs import Knobs, TUNED
from .latest import Latest
from .pictures import draw_cuts, draw_mask, draw_result, Shown, SIDES
from .source import Frame, Source
from .timeline import jumps
from ..core import SegmentationSettings, TrackingSettings
from ..core.class_names import VOC_NAMES
from ..core.settings import Settings
from ..errors import RecordingError
from ..recordings.marks import KINDS, Mark, read_marks, write_marks
from ..recordings.search import Found, instances_at

_NOT_OFTENER_S = 0.2  # progress is told
_SLOWEST_S = 1.0  # a gap in the recording is played no longer


@dataclass
class Run:
    """The whole recording with one choice of settings, as far as it is processed."""

    number: int
    segmentation: SegmentationSettings
    tracking: TrackingSettings
    results: list[Processed | None]
    done: int = 0

    @property
    def complete(self) -> bool:
        """Whether every frame is there."""
        return self.done == len(self.results) > 0

    @property
    def counts(self) -> list[int | None]:
        """Return the number of instances of each frame, None while it is not known."""
        return [None if r is None else len(r.ids) for r in self.results]

    def summary(self) -> Totals:
        """Return the numbers of what is processed."""
        there = [r for r in self.results if r is not None]
        return Totals(sum(len(r.ids) for r in there), len({i for r in there for i in r.ids if i}),
                      sum(r.other_ids for r in there),
                      statistics.median([r.ms for r in there]) if there else 0.0)


@dataclass(frozen=True)
class Totals:
    """Numbers of a run: instances, ids, ids that changed in place, and ms a frame (median)."""

    instances: int
    ids: int
    other_ids: int
    ms: float


@dataclass
class Search:
    """A search that runs or has ended."""

    settings: SegmentationSettings
    progress: float = 0.0
    found: Found | None = None
    failure: str = ''

    @property
    def running(self) -> bool:
        """Whether it still searches."""
        return self.found is None and not self.failure


@dataclass(frozen=True)
class _Wanted:
    """A picture to draw: everything it depends on."""

    number: int
    frame: Frame
    names: Mapping[int, str]
    settings: SegmentationSettings
    result: Processed | None
    before: Processed | None
    side: str


class Tuning(Knobs):
    """
    The state behind the page: a recording, settings, what they give, and marks.

    All methods are called in the event loop, and none takes long: frames are read and processed
    in another process, pictures drawn in threads.

    Parameters
    ----------
    source : Source
        What is tuned on.
    settings : mapping of str to Settings
        Of every node, as they were saved.
    file, marks_file : Path
        Where settings and marks are kept.

    Attributes
    ----------
    frames : list of Frame
        Read so far; ``opened`` says that these are all.
    notes : list of str
        What is to be said: what was left out, what failed.
    position : int
        Which frame is shown.
    playing : bool
        Whether it goes on by itself.
    main, side : Shown or None
        The pictures.
    beside : str
        What ``side`` shows, one of ``pictures.SIDES``.
    run, saved_run : Run
        What the settings in force, and those saved, give; as far as it is known.
    marks : list of Mark
        What was said, oldest first.
    search : Search or None
        The last one.
    listeners : list of callable
        Called with ``frames``, ``picture``, ``side``, ``position``, ``settings``, ``saved``,
        ``run``, ``marks``, ``search`` or ``notes``: what has changed.

    """

    columns = ('instances', 'ids', 'ids that changed', 'ms a frame')

    def __init__(self, source: Source, settings: Mapping[str, Settings], file: Path,
                 marks_file: Path) -> None:
        super().__init__(settings, file)
        self.source, self.marks_file = source, marks_file
        self.sides = SIDES
        self.title = source.camera.source
        self.names: Mapping[int, str] = {}
        self.frames: list[Frame] = []
        self.opened = False
        self.notes: list[str] = []
        self.position = 0
        self.playing = False
        self.main: Shown | None = None
        self.side: Shown | None = None
        self.beside = 'mask'
        self.search: Search | None = None
        self.marks: list[Mark] = []
        self._marks_refused = ''
        self._read_marks()
        self.run = self._new_run(0)
        self.saved_run = self.run
        self._before = self.run
        self._told_s = 0.0
        self._side_wanted: _Wanted | None = None
        self._searcher: Background | None = None

    def start(self) -> None:
        """Begin to read; in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._draw_main = Latest('picture', self._make_main)
        self._draw_side = Latest('side picture', self._make_side)
        self._background = Background(read_and_process, (self.source,),
                                      self._in_loop(self._received))
        self._player = asyncio.create_task(self._play())

    def close(self) -> None:
        """End everything that was started."""
        self._player.cancel()
        self.stop_search()
        self._background.close()
        self._draw_main.close()
        self._draw_side.close()

    def _in_loop(self, call: Callable[[Any], None]) -> Callable[[Any], None]:
        def later(thing: Any) -> None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(call, thing)
        return later

    # Reading and processing

    @property
    def waiting(self) -> str:
        """Return what is said while there is no picture."""
        return 'no frame to show' if self.opened else 'reading the first frame …'

    @property
    def file_name(self) -> str:
        """Return a name for the parameter file where it is downloaded."""
        return self.file.name if self.file else 'pipeline.yaml'

    @property
    def launch_command(self) -> str:
        """Return what launches the pipeline with the saved file."""
        return ('ros2 launch instseg_ros pipeline.launch.py '
                f'params_file:={shlex.quote(str(self.file))}')

    @property
    def segmentation(self) -> SegmentationSettings:
        """Return the settings of the segmentation in force."""
        settings = self.settings[TUNED[0]]
        assert isinstance(settings, SegmentationSettings)
        return settings

    def _new_run(self, number: int) -> Run:
        tracking = self.settings[TUNED[1]]
        assert isinstance(tracking, TrackingSettings)
        return Run(number, self.segmentation, tracking, [None] * len(self.frames))

    def _received(self, thing: Any) -> None:
        """Take what the background sends."""
        if isinstance(thing, Frame):
            self.frames.append(thing)
            if len(self.frames) == 1:
                self._draw()
            self._tell_now_and_then('frames')
        elif isinstance(thing, Opened):
            self.names, self.opened = thing.names, True
            self.notes += ([thing.failure] if thing.failure else []) + list(thing.notes)
            self.tell('notes')
            self.tell('frames')
            if self.frames:
                self._process()
                self._draw()
        elif isinstance(thing, Processed):
            self._processed(thing)
        else:
            self.notes.append('the process that works in the background was ended from outside '
                              '(out of memory?); start `instseg tune` again')
            self.tell('notes')

    def _process(self) -> None:
        """Process the whole recording with the settings in force, instead of what is running."""
        if not self.opened or not self.frames:
            return
        if self.run.done:
            self._before = self.run
        self.run = self._new_run(self.run.number + 1)
        self._background.send(Job(self.run.number, self.run.segmentation, self.run.tracking))
        self.tell('run')

    def _processed(self, result: Processed) -> None:
        run = self.run
        if result.job != run.number:
            return  # of a job that was given up
        run.results[result.frame] = result
        run.done += 1
        if run.complete:
            self._note_saved_run()
            self.tell('run')
        self._tell_now_and_then('run')
        if result.frame == self.position:
            self._draw()

    def _note_saved_run(self) -> None:
        saved = tuple(self.saved[node] for node in TUNED)
        if self.run.complete and saved == (self.run.segmentation, self.run.tracking):
            self.saved_run = self.run

    def _tell_now_and_then(self, what: str) -> None:
        if time.monotonic() - self._told_s > _NOT_OFTENER_S:
            self._told_s = time.monotonic()
            self.tell(what)

    def tell(self, what: str) -> None:
        """Do what follows from a change, and tell everybody."""
        if what == 'settings':
            self._process()
            self._draw()
        elif what == 'saved':
            self._note_saved_run()
            self._draw()
        super().tell(what)

    # Pictures

    def _draw(self) -> None:
        """Draw the shown frame; of many calls at once only the last is followed."""
        if not self.frames:
            return
        k = self.position

        def of(run: Run) -> Processed | None:
            return run.results[k] if k < len(run.results) else None

        settings, result, before = self.segmentation, of(self.run), of(self._before)
        self._draw_main.ask(_Wanted(k, self.frames[k], self.names, settings, result, before, ''))
        if self.beside == 'saved':
            saved = self.saved[TUNED[0]]
            assert isinstance(saved, SegmentationSettings)
            same = (self.saved_run.segmentation, self.saved_run.tracking) == (
                saved, self.saved[TUNED[1]])
            settings, result, before = saved, of(self.saved_run) if same else None, None
        elif self.beside == 'found' and self.search and self.search.found:
            settings, before, result = self.search.found.settings, result, None
        # The class mask is the same whatever the settings are.
        wanted = _Wanted(k, self.frames[k], self.names, settings, result, before, self.beside)
        if self.beside == 'mask':
            wanted = replace(wanted, settings=SegmentationSettings(), result=None, before=None)
        elif self.beside == 'cuts':
            wanted = replace(wanted, result=None, before=None)
        if wanted != self._side_wanted:
            self._side_wanted = wanted
            self._draw_side.ask(wanted)

    def _make_main(self, wanted: _Wanted) -> None:
        shown = draw_result(wanted.number, wanted.frame, wanted.names, wanted.settings,
                            wanted.result, wanted.before)
        self._in_loop(self._drawn)((False, shown))

    def _make_side(self, wanted: _Wanted) -> None:
        if wanted.side == 'mask':
            shown = draw_mask(wanted.number, wanted.frame)
        elif wanted.side == 'cuts':
            shown = draw_cuts(wanted.number, wanted.frame, wanted.names, wanted.settings)
        else:
            # What memory would do takes the frames before; there is time for that on this side.
            instances = None if wanted.result else instances_at(
                self.frames, wanted.number, wanted.names or VOC_NAMES, wanted.settings)
            shown = draw_result(wanted.number, wanted.frame, wanted.names, wanted.settings,
                                wanted.result, wanted.before, instances)
        self._in_loop(self._drawn)((True, shown))

    def _drawn(self, drawn: tuple[bool, Shown]) -> None:
        is_side, shown = drawn
        if is_side:
            self.side = shown
        else:
            self.main = shown
        self.tell('side' if is_side else 'picture')

    def figures(self) -> tuple[int, int, int, float]:
        """Return the numbers of the shown frame, as ``columns`` names them."""
        assert self.main
        return self.main.instances, self.main.ids, self.main.other_ids, self.main.ms

    def show_beside(self, side: str) -> None:
        """Show something else beside the instances, one of ``pictures.SIDES``."""
        if side != self.beside:
            self.beside = side
            self._draw()
            self.tell('position')

    # The timeline

    def show(self, position: int) -> None:
        """Show another frame; what is before the first or after the last is that one."""
        position = max(0, min(position, len(self.frames) - 1))
        if position != self.position:
            self.position = position
            self._draw()
            self.tell('position')

    def play(self, playing: bool) -> None:
        """Go on by itself, or stop."""
        self.playing = playing and len(self.frames) > 1
        self.tell('position')

    async def _play(self) -> None:
        """Show the frames at the speed at which they were recorded, in a loop."""
        while True:
            k = self.position
            step_s = 0.05
            if self.playing:
                last = k + 1 >= len(self.frames)
                if not last:
                    step_s = (self.frames[k + 1].stamp_ns - self.frames[k].stamp_ns) / 1e9
                self.show(0 if last else k + 1)
            await asyncio.sleep(min(max(step_s, 0.02), _SLOWEST_S))

    def jumps(self) -> list[int]:
        """Return the frames where the number of instances jumps."""
        counts = self.run.counts[:self.run.done]
        return jumps([c for c in counts if c is not None])

    def go_to(self, frames: Sequence[int], forward: bool) -> None:
        """Show the next of some frames, or the one before; from the end it starts again."""
        if forward:
            later = [k for k in frames if k > self.position] or list(frames)
            self.show(min(later, default=self.position))
        else:
            earlier = [k for k in frames if k < self.position] or list(frames)
            self.show(max(earlier, default=self.position))

    # Marks

    def _read_marks(self) -> None:
        if self.marks_file.exists():
            try:
                self.marks = read_marks(self.marks_file)
            except RecordingError as error:
                self._marks_refused = f'{error}; marks are not kept until it is moved away'
                self.notes.append(self._marks_refused)

    def marks_here(self) -> list[Mark]:
        """Return the marks on the frame that is shown."""
        if not self.frames:
            return []
        stamp_ns = self.frames[self.position].stamp_ns
        return [mark for mark in self.marks if mark.stamp_ns == stamp_ns]

    def marked_frames(self) -> list[int]:
        """Return the frames that have marks."""
        stamps = {mark.stamp_ns for mark in self.marks}
        return [k for k, frame in enumerate(self.frames) if frame.stamp_ns in stamps]

    def mark(self, kind: str, points: Sequence[tuple[float, float]]) -> None:
        """
        Say something about the frame that is shown.

        Raises
        ------
        RecordingError
            There is nothing under the stroke that it could speak of, or it cannot be kept.

        """
        frame = self.frames[self.position]
        mark = Mark(frame.stamp_ns, kind, tuple(points))
        if not mark.touches(frame.mask):
            raise RecordingError(
                'draw the line between two objects: something must be on both sides of it'
                if kind == 'two' else f'"{KINDS[kind]}": draw over instances, there is none')
        self._keep([*self.marks, mark])

    def forget_mark(self, mark: Mark) -> None:
        """Take a mark back; RecordingError where that cannot be kept."""
        self._keep([other for other in self.marks if other is not mark])

    def _keep(self, marks: list[Mark]) -> None:
        if self._marks_refused:
            raise RecordingError(self._marks_refused)
        write_marks(self.marks_file, marks)
        self.marks = marks
        self.tell('marks')

    # Search

    def find_settings(self) -> None:
        """Search for the settings that agree best with the marks, in the background."""
        self.stop_search()
        self.search = Search(self.segmentation)
        self._searcher = Background(
            search, (self.frames, self.names, self.marks, self.segmentation),
            self._in_loop(self._searched))
        self.tell('search')

    def stop_search(self) -> None:
        """End a search that runs."""
        if self._searcher:
            self._searcher.close()
            self._searcher = None
        if self.search and self.search.running:
            self.search = None
            self.tell('search')

    def _searched(self, thing: float | Found | str | None) -> None:
        if not self.search or not self.search.running:
            return
        if isinstance(thing, float):
            self.search.progress = thing
        else:
            if isinstance(thing, Found):
                self.search.found = thing
            else:
                self.search.failure = thing or 'the search was ended from outside'
            if self._searcher:
                self._searcher.close()
                self._searcher = None
        self.tell('search')

    async def apply_found(self) -> None:
        """Put the settings that were found in force."""
        if self.search and self.search.found:
            found = self.search.found
            await self.change(TUNED[0], {name: after for name, (_, after)
                                         in found.changes.items()})
