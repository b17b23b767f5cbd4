"""The page: pictures, timeline, a control for each setting, marks, search, the file."""

from __future__ import annotations

from collections.abc import Callable
import html
from typing import Any

from nicegui import app, events, ui
from starlette.responses import Response

from .controls import Control
from .knobs import Knobs, TUNED
from .pictures import Shown
from .state import Tuning
from .style import CSS
from .timeline import draw_timeline
from ..errors import CameraError, SettingsError
from ..recordings.marks import KINDS, Mark
from ..reference import yaml_value

_TITLES = {TUNED[0]: 'Segmentation and memory', TUNED[1]: 'Tracker'}
_LOOK = 'look'
_MODES = {_LOOK: 'Look', 'one': 'These are one', 'two': 'These are two',
          'nothing': 'This is nothing'}
_HINTS = {
    _LOOK: 'Choose what to say, then draw on the left picture. Mark all that is wrong in a '
           'frame: what you do not mark there counts as right.',
    'one': 'Draw a stroke over all the pieces of one object.',
    'two': 'Draw a line between two objects, along the place where they touch.',
    'nothing': 'Draw over what is no object.',
}
_LARGEST_FILE = 1 << 20
# What is shown at once: the rest would only keep the browser from showing pictures.
_AT_ONCE = {'picture', 'side', 'position', 'mode', 'stroke', 'notes'}
_OTHERS_S = 0.25


def make_pages(tuning: Knobs) -> None:
    """Declare what the server answers: the page, and its two pictures."""

    @app.get('/picture/{which}/{version}')
    async def picture(which: str, version: str) -> Response:
        shown: Shown | None = getattr(tuning, 'side' if which == 'side' else 'main')
        if shown is None:
            return Response(status_code=404)
        # As it is: packing a JPEG again takes longer than to send it.
        return Response(shown.jpeg, media_type='image/jpeg', headers={
            'Cache-Control': 'no-store', 'Content-Encoding': 'identity'})

    @ui.page('/', title='instseg tune', dark=True)
    def page() -> None:
        Page(tuning)


class Page:
    """
    What one browser shows; the state behind is everybody's.

    Parameters
    ----------
    tuning : Knobs
        A :class:`.state.Tuning`, or the same of running nodes.

    """

    def __init__(self, tuning: Any) -> None:
        self._tuning = tuning
        self._recording: Tuning | None = tuning if isinstance(tuning, Tuning) else None
        self._client = ui.context.client
        self._mode = _LOOK
        self._stroke: list[tuple[float, float]] = []
        self._controls: dict[str, dict[str, Control]] = {node: {} for node in TUNED}
        self._refreshers: dict[str, list[Callable[[], None]]] = {}
        self._waiting: list[Callable[[], None]] = []
        ui.add_css(CSS)
        ui.colors(primary='#4db6ac', accent='#ffb74d')
        self._header()
        with ui.element('main').classes('page'):
            with ui.element('section').classes('left'):
                self._notes()
                self._pictures()
                self._numbers()
                if self._recording:
                    self._timeline(self._recording)
                self._reasons()
            with ui.element('section').classes('right'):
                self._tabs()
        for refreshers in list(self._refreshers.values()):
            for refresh in refreshers:
                refresh()
        ui.timer(_OTHERS_S, self._show_others)
        tuning.listeners.append(self._refresh)
        self._client.on_delete(lambda: tuning.listeners.remove(self._refresh))

    def _refresh(self, what: str) -> None:
        """Show what has changed, at once or soon."""
        refreshers = self._refreshers.get(what, [])
        if what not in _AT_ONCE:
            self._waiting += [r for r in refreshers if r not in self._waiting]
            return
        with self._client:
            for refresh in refreshers:
                refresh()

    def _show_others(self) -> None:
        waiting, self._waiting = self._waiting, []
        for refresh in waiting:
            refresh()

    def _on(self, *what: str) -> Callable[[Callable[[], None]], None]:
        """Return a decorator for what is to be done now and whenever something has changed."""
        def add(refresh: Callable[[], None]) -> None:
            for word in what:
                self._refreshers.setdefault(word, []).append(refresh)
        return add

    # Above

    def _header(self) -> None:
        tuning = self._tuning
        with ui.element('header').classes('top'):
            ui.label('instseg tune').classes('brand')
            ui.label(tuning.title).classes('source')
            unsaved = ui.label().classes('unsaved')
            if self._recording:
                ui.button('Save', icon='save', on_click=self._save).props(
                    'dense unelevated no-caps size=13px padding="2px 12px"')

        @self._on('settings', 'saved')
        def show() -> None:
            count = sum(map(len, tuning.unsaved.values()))
            unsaved.set_text(f'{count} not saved' if count else 'all saved')

    def _notes(self) -> None:
        notes = ui.column().classes('notes gap-1')

        @self._on('notes')
        def show() -> None:
            notes.clear()
            with notes:
                for note in self._tuning.notes:
                    ui.label(note)
            notes.set_visibility(bool(self._tuning.notes))

    # Pictures

    def _pictures(self) -> None:
        tuning = self._tuning
        with ui.element('div').classes('pictures'):
            with ui.element('figure'):
                with ui.element('figcaption'):
                    ui.label('Instances, boxes and ids')
                    state = ui.label().classes('state')
                main = ui.interactive_image(
                    events=['pointerdown', 'pointermove', 'pointerup', 'pointercancel'],
                    on_mouse=self._drawn_on).classes('picture main')
            with ui.element('figure'):
                with ui.element('figcaption'):
                    beside = ui.select(tuning.sides, value=tuning.beside, on_change=lambda e:
                                       tuning.show_beside(e.value)).props(
                        'dense options-dense borderless aria-label="what is shown beside"')
                side = ui.interactive_image().classes('picture side')
            empty = ui.label().classes('empty')
        self._main = main

        @self._on('picture')
        def show() -> None:
            if tuning.main:
                main.set_source(f'/picture/main/{tuning.main.version}')
                state.set_text('' if tuning.main.settled else 'ids as before; processing')
            empty.set_visibility(not tuning.main)

        @self._on('side')
        def show_side() -> None:
            if tuning.side:
                side.set_source(f'/picture/side/{tuning.side.version}')

        @self._on('frames', 'notes')
        def wait() -> None:
            empty.set_text(tuning.waiting)

        @self._on('position')
        def choose() -> None:
            beside.set_value(tuning.beside)

        @self._on('marks', 'position', 'mode', 'stroke')
        def draw() -> None:
            drawn = [(m.kind, m.points) for m in self._recording.marks_here()] \
                if self._recording else []
            if self._stroke:
                drawn.append((self._mode, tuple(self._stroke)))
            main.set_content(''.join(_svg(kind, points) for kind, points in drawn))
            main.classes(toggle=None, add='drawing' if self._mode != _LOOK else None,
                         remove='drawing' if self._mode == _LOOK else None)

    def _drawn_on(self, event: events.MouseEventArguments) -> None:
        """Follow the pointer over the picture: down, along, up is a mark."""
        if self._mode == _LOOK or not self._recording:
            return
        point = round(event.image_x, 1), round(event.image_y, 1)
        if event.type == 'pointerdown':
            self._stroke = [point]
        elif not self._stroke:
            return
        elif event.type == 'pointermove':
            if point != self._stroke[-1]:
                self._stroke.append(point)
        else:
            stroke, self._stroke = self._stroke, []
            if event.type == 'pointerup':
                self._try(lambda: self._recording.mark(self._mode, stroke))  # type: ignore
        self._refresh('stroke')

    def _try(self, call: Callable[[], Any]) -> Any:
        """Do something; say what was wrong where it cannot be done."""
        try:
            return call()
        except (CameraError, SettingsError) as error:
            ui.notify(str(error), type='warning', position='top', multi_line=True)
            return None

    # Numbers

    def _numbers(self) -> None:
        tuning = self._tuning
        rows = ('this frame', 'recording', 'saved settings') if self._recording else ('now',)
        cells: dict[str, list[ui.label]] = {}
        with ui.element('div').classes('numbers'):
            for title in ('', *tuning.columns):
                ui.label(title).classes('head')
            for row in rows:
                ui.label(row).classes('head')
                cells[row] = [ui.label('–') for _ in tuning.columns]

        def fill(row: str, *values: Any) -> None:
            for cell, value in zip(cells[row], values, strict=True):
                cell.set_text(f'{value:.1f}' if isinstance(value, float) else str(value))

        @self._on('picture')
        def frame() -> None:
            if tuning.main is not None:
                fill(rows[0], *tuning.figures())

        if not self._recording:
            return
        progress = ui.linear_progress(0, show_value=False, size='3px').props(
            'aria-label="processing of the recording"')

        @self._on('run', 'saved')
        def totals() -> None:
            for row, run in (('recording', tuning.run), ('saved settings', tuning.saved_run)):
                if run.complete:
                    total = run.summary()
                    fill(row, total.instances, total.ids, total.other_ids, total.ms)
                else:
                    fill(row, *(['…'] * len(tuning.columns)))
            progress.set_value(tuning.run.done / max(len(tuning.run.results), 1))

    # Timeline

    def _timeline(self, tuning: Tuning) -> None:
        with ui.element('div').classes('time'):
            with ui.element('div').classes('strip'):
                drawing = ui.html('', sanitize=False)
                cursor = ui.element('div').classes('cursor')
            slider = ui.slider(min=0, max=1, value=0,
                               on_change=lambda e: tuning.show(int(e.value))).props(
                'dense aria-label="frame"')
            with ui.row().classes('transport w-full items-center no-wrap gap-1'):
                _button('first_page', 'the jump before',
                        lambda: tuning.go_to(tuning.jumps(), False))
                _button('chevron_left', 'one frame back', lambda: tuning.show(tuning.position - 1))
                play = _button('play_arrow', 'play', lambda: tuning.play(not tuning.playing))
                _button('chevron_right', 'one frame on', lambda: tuning.show(tuning.position + 1))
                _button('last_page', 'the next jump', lambda: tuning.go_to(tuning.jumps(), True))
                where = ui.label().classes('where')
                ui.label('jump').classes('key jump')
                ui.label('mark').classes('key marked')
                ui.label('would change').classes('key changed')

        @self._on('position', 'frames')
        def place() -> None:
            last = max(len(tuning.frames) - 1, 1)
            slider.props(f'max={last}')
            slider.set_value(tuning.position)
            cursor.style(f'left: {100 * (tuning.position + 0.5) / (last + 1):.3f}%')
            play.props(f'icon={"pause" if tuning.playing else "play_arrow"}')
            if tuning.frames:
                seconds = (tuning.frames[tuning.position].stamp_ns
                           - tuning.frames[0].stamp_ns) / 1e9
                where.set_text(f'frame {tuning.position} of {len(tuning.frames)}, {seconds:.1f} s')

        @self._on('run', 'marks', 'search', 'frames')
        def redraw() -> None:
            found = tuning.search.found if tuning.search else None
            drawing.set_content(draw_timeline(
                tuning.run.counts or [None] * len(tuning.frames), tuning.jumps(),
                tuning.marked_frames(), found.changed_frames if found else ()))

        ui.keyboard(on_key=lambda event: self._key(tuning, event))

    @staticmethod
    def _key(tuning: Tuning, event: events.KeyEventArguments) -> None:
        """Step and play as players of videos do."""
        if event.action.keydown and event.key in (',', '.'):
            tuning.show(tuning.position + (1 if event.key == '.' else -1))
        elif event.action.keydown and not event.action.repeat and event.key == ' ':
            tuning.play(not tuning.playing)

    def _reasons(self) -> None:
        box = ui.column().classes('reasons gap-0')
        shown: list[Any] = [None]

        @self._on('side')
        def show() -> None:
            side = self._tuning.side
            reasons = side.reasons if side else ()
            if reasons == shown[0]:
                return
            shown[0] = reasons
            box.clear()
            with box:
                if reasons:
                    ui.label('Numbers in the picture; a cut is made where the ratio is below '
                             'dist_threshold.').classes('meaning')
                for text, is_cut in reasons:
                    ui.label(text).classes('cut' if is_cut else 'merged')

    # Right

    def _tabs(self) -> None:
        with ui.tabs().props('dense no-caps align=justify').classes('w-full') as tabs:
            knobs = ui.tab('Settings')
            marks = ui.tab('Marks and search') if self._recording else None
            file = ui.tab('File')
        with ui.tab_panels(tabs, value=knobs).classes('panels'):
            with ui.tab_panel(knobs):
                self._settings()
            if self._recording and marks:
                with ui.tab_panel(marks):
                    self._marks(self._recording)
            with ui.tab_panel(file):
                self._file()

    def _settings(self) -> None:
        tuning = self._tuning
        panel = ui.column().classes('w-full gap-0')
        built: list[Any] = [None]

        @self._on('notes', 'settings', 'saved')
        def show() -> None:
            if built[0] != dict(tuning.names):  # the lists of classes are those of the recording
                built[0] = dict(tuning.names)
                panel.clear()
                with panel:
                    for node, settings in tuning.tuned().items():
                        ui.label(_TITLES[node]).classes('group')
                        for name, declared in settings.items():
                            self._controls[node][name] = Control(
                                node, declared, tuning.names, tuning.change)
            for node, controls in self._controls.items():
                for name, control in controls.items():
                    control.show(tuning.settings[node].value(name))

    def _marks(self, tuning: Tuning) -> None:
        with ui.element('div').classes('modes'):
            buttons = {mode: ui.button(title, on_click=lambda mode=mode: self._set_mode(mode))
                       .props('unelevated no-caps dense') for mode, title in _MODES.items()}
        hint = ui.label().classes('meaning')
        here = ui.column().classes('w-full gap-1')
        with ui.row().classes('w-full items-center gap-1'):
            total = ui.label().classes('grow')
            _button('chevron_left', 'the marked frame before',
                    lambda: tuning.go_to(tuning.marked_frames(), False))
            _button('chevron_right', 'the next marked frame',
                    lambda: tuning.go_to(tuning.marked_frames(), True))
        where = ui.label().classes('meaning')
        find = ui.button('Find settings', icon='search', on_click=tuning.find_settings).props(
            'unelevated no-caps').classes('w-full')
        self._search_panel(tuning)

        @self._on('mode')
        def modes() -> None:
            for mode, button in buttons.items():
                button.props(f'color={"accent" if mode == self._mode else "grey-9"}')
                button.props(f'aria-pressed={str(mode == self._mode).lower()}')
            hint.set_text(_HINTS[self._mode])

        @self._on('marks', 'position', 'frames')
        def show() -> None:
            here.clear()
            with here:
                for mark in tuning.marks_here():
                    self._mark_row(tuning, mark)
            count, frames = len(tuning.marks), len(tuning.marked_frames())
            total.set_text(f'{count} marks on {frames} frames')
            where.set_text(f'kept in {tuning.marks_file}')
            find.set_enabled(bool(frames) and tuning.opened)

    def _mark_row(self, tuning: Tuning, mark: Mark) -> None:
        with ui.row().classes('w-full items-center no-wrap gap-2'):
            ui.element('div').classes(f'dot {mark.kind}')
            ui.label(f'{KINDS[mark.kind]}, at {mark.points[0][0]:.0f}, {mark.points[0][1]:.0f}'
                     ).classes('grow')
            _button('close', 'take this mark back', lambda: self._try(
                lambda: tuning.forget_mark(mark)))

    def _set_mode(self, mode: str) -> None:
        self._mode = mode
        self._refresh('mode')

    def _search_panel(self, tuning: Tuning) -> None:
        panel = ui.column().classes('found w-full gap-1')

        @self._on('search')
        def show() -> None:
            panel.clear()
            search = tuning.search
            if search is None:
                return
            with panel:
                if search.running:
                    ui.linear_progress(search.progress, show_value=False)
                    ui.button('Stop', on_click=tuning.stop_search).props('flat no-caps dense')
                elif search.found is None:
                    ui.label(search.failure).classes('refused')
                else:
                    self._found(tuning, search.found)

    def _found(self, tuning: Tuning, found: Any) -> None:
        """Show what a search found, to be applied or not."""
        used, held_out = found.used, found.held_out or ()
        with ui.element('div').classes('numbers'):
            for title in ('', 'before', 'after'):
                ui.label(title).classes('head')
            for title, results in (('marks used', used), ('marks not used', held_out)):
                ui.label(title).classes('head')
                for k in range(2):
                    ui.label(str(results[k]) if results else '–')
            for title, results in (('unmarked, used', used), ('unmarked, not used', held_out)):
                ui.label(title).classes('head')
                for k in range(2):
                    ui.label(f'{results[k].kept} of {results[k].unmarked}' if results else '–')
        if found.doubt:
            ui.label(f'Not sure: {found.doubt}.').classes('doubt')
        if not found.changes:
            ui.label('No settings agree better than these.')
            return
        for name, (before, after) in found.changes.items():
            ui.label(f'{name}: {yaml_value(before)} → {yaml_value(after)}').classes('name')
        with ui.row().classes('w-full items-center gap-1'):
            ui.label(f'{len(found.changed_frames)} of {len(tuning.frames)} frames change'
                     ).classes('grow')
            _button('chevron_left', 'the changed frame before',
                    lambda: tuning.go_to(found.changed_frames, False))
            _button('chevron_right', 'the next changed frame',
                    lambda: tuning.go_to(found.changed_frames, True))
        with ui.row().classes('w-full gap-2'):
            ui.button('Show beside', on_click=lambda: tuning.show_beside('found')).props(
                'outline no-caps dense').classes('grow')
            ui.button('Apply', icon='check', on_click=tuning.apply_found).props(
                'unelevated no-caps dense color=accent').classes('grow')

    # The file

    def _file(self) -> None:
        tuning = self._tuning
        if self._recording:
            ui.label('Save').classes('group')
            ui.label(f'{tuning.file}').classes('path')
            with ui.row().classes('w-full gap-2'):
                ui.button('Save', icon='save', on_click=self._save).props(
                    'unelevated no-caps dense').classes('grow')
                self._download_button()
        else:
            ui.label('Keep').classes('group')
            self._download_button()
        ui.label('Launch with it').classes('group')
        ui.code(tuning.launch_command, language='bash').classes('w-full')
        ui.label('Load').classes('group')
        ui.upload(label='a ROS parameter file', auto_upload=True, max_files=1,
                  max_file_size=_LARGEST_FILE, on_upload=self._load,
                  on_rejected=lambda: ui.notify('expected one file of up to 1 MB')).props(
            'accept=.yaml,.yml flat bordered').classes('w-full')
        ui.label('Copy to running nodes').classes('group')
        lines = ui.code('', language='bash').classes('w-full lines')

        @self._on('settings', 'saved')
        def show() -> None:
            lines.set_content('\n'.join(tuning.set_lines()))

    def _download_button(self) -> None:
        ui.button('Download', icon='download', on_click=lambda: ui.download.content(
            self._tuning.text(), self._tuning.file_name)).props(
                'outline no-caps dense').classes('grow')

    def _save(self) -> None:
        path = self._try(self._tuning.save)
        if path:
            ui.notify(f'saved: {path}', type='positive', position='top')

    async def _load(self, event: events.UploadEventArguments) -> None:
        event.sender.reset()  # type: ignore[attr-defined]
        try:
            await self._tuning.load(event.file.name, await event.file.text())
        except UnicodeDecodeError:
            ui.notify(f'{event.file.name}: expected a text, got something else', type='warning',
                      position='top')
        except SettingsError as error:
            ui.notify(str(error), type='warning', position='top', multi_line=True)
        else:
            ui.notify(f'loaded: {event.file.name}', type='positive', position='top')


def _button(icon: str, meaning: str, on_click: Callable[[], Any]) -> ui.button:
    return ui.button(icon=icon, on_click=lambda: on_click()).props(
        f'flat dense round aria-label="{html.escape(meaning)}" title="{html.escape(meaning)}"')


def _svg(kind: str, points: tuple[tuple[float, float], ...]) -> str:
    """Return a stroke as SVG, in pixels of the picture."""
    if len(points) == 1:
        x, y = points[0]
        return f'<circle class="stroke {kind}" cx="{x}" cy="{y}" r="4"/>'
    line = ' '.join(f'{x},{y}' for x, y in points)
    return f'<polyline class="stroke {kind}" points="{line}"/>'
