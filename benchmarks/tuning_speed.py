"""
How soon a moved slider shows its result: from the press of the mouse to the loaded picture.

A headless Chromium, which draws with the processor, shows `instseg tune sample` and is clicked on
the slider of dist_threshold, at random places and after random pauses. A picture is there when the
browser has loaded the one that follows the click.

    scripts/environment python benchmarks/tuning_speed.py [--clicks N]
"""

import argparse
from pathlib import Path
import random
import sys
import tempfile
import time

import numpy as np
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'test' / 'tuning'))
from chromium import open_browser, tune  # noqa: E402, I100

SLIDER = '[data-setting=dist_threshold] .q-slider'
PAUSES_S = (0.15, 0.4, 0.8)
LIMIT_MS = 150
# Asks every 2 ms for what belongs to the last click.
WATCH = """
window.taken = [];
let pressed = 0, before = '';
const picture = () => document.querySelector('.picture.main img');
arguments[0].addEventListener('mousedown', () => {
  pressed = performance.now(); before = picture().src; }, true);
setInterval(() => {
  if (pressed && picture().src !== before && picture().complete) {
    window.taken.push(performance.now() - pressed); pressed = 0; } }, 2);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--clicks', type=int, default=100, metavar='N')
    options = parser.parse_args()
    dice = random.Random(1)
    with tempfile.TemporaryDirectory() as folder, open_browser(Path(folder)) as browser, \
            tune(ROOT / 'sample', cwd=Path(folder)) as (_, address):
        browser.get(address)
        time.sleep(8)  # until the recording was processed once
        slider = browser.find_element(By.CSS_SELECTOR, SLIDER)
        browser.execute_script('arguments[0].scrollIntoView({block: "center"})', slider)
        browser.execute_script(WATCH, slider)
        share = 0.5
        for _ in range(options.clicks):
            share = dice.choice([k / 20 for k in range(1, 20) if abs(k / 20 - share) > 0.1])
            ActionChains(browser, duration=0).move_to_element_with_offset(
                slider, round(slider.size['width'] * (share - 0.5)), 0).click().perform()
            time.sleep(dice.choice(PAUSES_S))
        time.sleep(1)
        taken = np.array(browser.execute_script('return window.taken'))
    print(f'{len(taken)} of {options.clicks} clicks: median {np.median(taken):.0f} ms, '
          f'p95 {np.percentile(taken, 95):.0f} ms, largest {taken.max():.0f} ms, '
          f'{(taken > LIMIT_MS).sum()} over {LIMIT_MS} ms')


if __name__ == '__main__':
    main()
