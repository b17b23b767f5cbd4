"""
Make the tables of ``docs/method.md`` from ``benchmarks/results/*.json``.

``python benchmarks/tables.py`` replaces what is between ``<!-- NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METHOD = ROOT / 'docs' / 'method.md'


def results(name: str) -> list | dict:
    """Return the figures of one benchmark."""
    return json.loads((ROOT / 'benchmarks' / 'results' / f'{name}.json').read_text())


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


def main() -> None:
    """Write the tables into the page."""
    text = METHOD.read_text()
    for name, table in (('quality', quality_table), ('halves', halves_table),
                        ('boxes', boxes_table), ('sensitivity', sensitivity_table),
                        ('speed', speed_table)):
        before, rest = text.split(f'<!-- {name} -->\n')
        text = f'{before}<!-- {name} -->\n\n{table()}\n\n' + rest[rest.index('<!-- end -->'):]
    METHOD.write_text(text)


if __name__ == '__main__':
    main()
