"""
The pictures of docs/tuning.md, from the page in a browser.

``python benchmarks/tuning_pictures.py`` plays what the page tells: it opens the sample, marks six
pairs of people who were seen as one, searches, applies and saves. It takes Debian's chromium and
chromium-driver.
"""

from __future__ import annotations

from pathlib import Path
import sys
import tempfile
import time

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'test'), str(ROOT / 'test' / 'tuning')]

from chromium import NARROW, open_browser, resize, tune, WIDE  # noqa: E402, I100
from test_tuning_page import Street  # noqa: E402

PICTURES = ROOT / 'docs' / 'images' / 'tuning'
# Frames, and lines between people who touch there.
MARKS = {18: ((490, 231), (472, 304)), 28: ((545, 248), (524, 317)), 44: ((520, 232), (564, 240)),
         84: ((165, 331), (197, 420)), 112: ((534, 172), (530, 234)),
         143: ((515, 234), (498, 286))}
SHOWN = 44


def go_to(page: Street, number: int) -> None:
    """Step to a frame."""
    while not page.one('.where').text.startswith(f'frame {number} '):
        ahead = int(page.one('.where').text.split()[1]) < number
        page.press('one frame on' if ahead else 'one frame back')
        time.sleep(0.08)
    time.sleep(0.5)


def beside(page: Street, what: str) -> None:
    """Choose what is shown on the right."""
    page.one('figcaption .q-select').click()
    page.wait(lambda: [e.click() or True for e in page.every('.q-menu .q-item')
                       if e.text == what], what)
    time.sleep(1.5)


def main() -> None:
    """Take the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, open_browser(Path(name)) as browser:
        folder = Path(name) / 'work'
        folder.mkdir()
        with tune('sample', cwd=folder) as (_, url):
            browser.get(url)
            page = Street(browser, folder, url)
            page.processed()
            go_to(page, SHOWN)
            beside(page, 'Why it is cut')
            browser.save_screenshot(str(PICTURES / 'cuts.png'))
            beside(page, 'Class mask')
            page.press('Marks and search')
            page.press('These are two')
            page.wait(lambda: page.one('.picture.main.drawing'), 'that it can be drawn on')
            for count, (number, line) in enumerate(MARKS.items(), 1):
                go_to(page, number)
                page.draw(*line)
                page.wait(lambda count=count: f'{count} marks on' in page.one('.right').text,
                          'the mark')
            go_to(page, SHOWN)
            page.press('Find settings')
            page.wait(lambda: 'frames change' in page.one('.found').text, 'what was found', 300)
            page.press('Show beside')
            time.sleep(2)
            browser.save_screenshot(str(PICTURES / 'found.png'))
            print(page.one('.found').text)
            page.press('Apply')
            time.sleep(1)
            page.processed()
            beside(page, 'Saved settings')
            browser.save_screenshot(str(PICTURES / 'page.png'))
            page.press('Save')
            page.press('File')
            time.sleep(6)
            resize(browser, NARROW)
            page.press('Settings')
            time.sleep(1)
            browser.execute_script('window.scrollTo(0, 420)')
            time.sleep(1)
            browser.save_screenshot(str(PICTURES / 'phone.png'))
            resize(browser, WIDE)


if __name__ == '__main__':
    main()
