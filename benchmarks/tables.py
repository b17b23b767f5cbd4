"""
Make the tables of ``docs/`` from ``benchmarks/results/*.json``.

``python benchmarks/tables.py`` replaces what is between ``<!-- NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

from collections.abc import Iterable
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _file(name: str) -> Path:
    return ROOT / 'benchmarks' / 'results' / f'{name}.json'


def results(name: str) -> list | dict:
    """Return the figures of one benchmark."""
    return json.loads(_file(name).read_text())


def write_part(name: str, part: str, figures: dict[str, dict], order: Iterable[str]) -> None:
    """Put figures in the place of earlier ones in a file of results, so that runs may be parts."""
    file = _file(name)
    written = json.loads(file.read_text()) if file.exists() else {}
    known = written.get(part, {}) | figures
    written[part] = {title: known[title] for title in order if title in known}
    file.write_text(json.dumps(written, indent=1) + '\n')


def markdown(head: list[str], rows: list[list]) -> str:
    """Return a table."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(str(cell) for cell in line) + ' |' for line in lines)


def quality_table() -> str:
    """Return panoptic quality of all splitters on all kinds of masks."""
    masks = results('quality')['masks']
    kinds = list(dict.fromkeys(row['kind'] for row in masks))
    splitters = list(dict.fromkeys(row['splitter'] for row in masks))
    found = {(row['splitter'], row['kind']): f'{row["pq"]:.3f}' for row in masks}
    return markdown(['splitter', *kinds], [
        [splitter, *(found.get((splitter, kind), '') for kind in kinds)]
        for splitter in splitters])


def halves_table() -> str:
    """Return what the defaults reach on each half, what matches, and the scores."""
    rows = [row for row in results('quality')['masks']
            if row['splitter'] == 'ours, dist_threshold 0.5']
    return markdown(
        ['masks', 'PQ, half 0', 'PQ, half 1', 'matched', 'merged', 'ROC area of scores'],
        [[row['kind'], f'{row["half 0"]:.3f}', f'{row["half 1"]:.3f}',
          f'{row["matched"]} of {row["true"]}', row['merged'], f'{row["roc area"]:.3f}']
         for row in rows])


def boxes_table() -> str:
    """Return how well oriented boxes fit."""
    rows = results('quality')['boxes']
    return markdown(list(rows[0]), [list(row.values()) for row in rows])


def sensitivity_table() -> str:
    """Return what 30 % less and more of each constant does."""
    rows = results('sensitivity')
    shown = []
    for row in rows:
        value = row['value']
        if isinstance(value, list):
            value = 'all'
        shown.append([row['constant'], '' if value is None else value if value == 'all'
                      else f'{value:.4g}', *(f'{row[kind]:.3f}' for kind in list(row)[2:])])
    return markdown(list(rows[0]), shown)


def speed_table() -> str:
    """Return milliseconds beside modlib and a labelling pass."""
    return markdown(
        ['scene', 'ours, ms', 'modlib, ms', 'times faster', 'labelling pass, ms', 'ours / pass'],
        [[row['scene'], f'{row["ours"]:.2f}', f'{row["modlib"]:.1f}',
          f'{row["modlib"] / row["ours"]:.1f}', f'{row["pass"]:.2f}',
          f'{row["ours"] / row["pass"]:.1f}'] for row in results('speed')])


def cost_table() -> str:
    """Return CPU time and memory of the pipeline beside those of the code before the bus."""
    rows = []
    for name, measured in results('cost')['rows'].items():
        now, before = measured['now'], measured['before']
        rows.append([*name.split(), *(
            text for run in (now, before) for text in (
                f'{run["cpu_ms"]:.1f}', f'{run["passes"]:.1f}', f'{run["memory_mb"]:.0f}')),
            f'{now["passes"] / before["passes"]:.2f}'])
    return markdown(['size', 'overlay', 'processes', 'ms', 'passes', 'MB', 'before: ms', 'passes',
                     'MB', 'passes, now / before'], rows)


def scene_table() -> str:
    """Return events and relations with the tracker's ids, beside others on the same tracks."""
    found: dict[tuple[str, str], dict[str, dict]] = {}
    for row in results('scene')['events']:
        if row['tracks'] == "true instances, tracker's ids":
            found.setdefault((row['what'], row['by']), {})[row['camera']] = row
    cameras = ('standing', 'moving')
    return markdown(
        ['', 'by', *(f'{camera}: {of}' for camera in cameras
                     for of in ('precision', 'recall', 'found of true'))],
        [[what, by, *(cell for camera in cameras for cell in _scored(rows[camera]))]
         for (what, by), rows in found.items()])


def _scored(row: dict) -> list[str]:
    return [f'{row["right"] / max(1, row["found"]):.3f}',
            f'{row["right"] / max(1, row["true"]):.3f}', f'{row["found"]} of {row["true"]}']


def memory_table() -> str:
    """Return in how many touching views two objects are two, without and with memory."""
    return markdown(
        ['scene', 'touching views', 'as two: splitter', 'with memory', 'F1: splitter',
         'with memory', 'pieces: splitter', 'with memory'],
        [[title, ways['splitter']['pairs'],
          *(f'{ways[way][figure]:.3f}' for figure in ('published as two', 'F1', 'pieces')
            for way in ('splitter', 'memory'))]
         for title, ways in results('occlusion')['rows'].items()])


def tracking_table() -> str:
    """Return IDF1 and id switches of every row, the best of each in bold."""
    rows = results('tracking')['rows']
    names = [name for name in next(iter(rows.values())) if not name.startswith('perfect')]
    lines = []
    for title, row in rows.items():
        best = max(row[name]['IDF1'] for name in names if name in row)
        cells = [f'{row[name]["IDF1"]:.3f} / {row[name]["switches"]}' if name in row else ''
                 for name in names]
        lines.append([title, *(f'**{cell}**' if name in row and row[name]['IDF1'] == best else cell
                               for name, cell in zip(names, cells, strict=True)),
                      f'{row["perfect"]["IDF1"]:.3f}'])
    return markdown(['detections', *names, 'perfect'], lines)


TABLES = {
    'method': {'quality': quality_table, 'halves': halves_table, 'boxes': boxes_table,
               'sensitivity': sensitivity_table, 'speed': speed_table},
    'performance': {'cost': cost_table},
    'scene': {'scene': scene_table},
    'tracking': {'memory': memory_table, 'tracking': tracking_table},
}


def main() -> None:
    """Write the tables into the pages."""
    for name, tables in TABLES.items():
        page = ROOT / 'docs' / f'{name}.md'
        text = page.read_text()
        for mark, table in tables.items():
            before, rest = text.split(f'<!-- {mark} -->\n')
            text = f'{before}<!-- {mark} -->\n\n{table()}\n\n' + rest[rest.index('<!-- end -->'):]
        page.write_text(text)


if __name__ == '__main__':
    main()
