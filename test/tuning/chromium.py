"""A real browser, and the real command behind the page that it shows."""

from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import threading

import pytest

WIDE, NARROW = (1280, 800), (390, 844)
_BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
_NEEDED = ('the tests of the page need a browser and its driver: "sudo apt-get install chromium '
           'chromium-driver" (Debian) installs them')


@contextmanager
def open_browser(folder):
    """Give a headless Chromium; where there is none, say what to install."""
    webdriver = pytest.importorskip('selenium.webdriver', reason='selenium is not installed')
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which('chromedriver')
    if not program or not driver:
        # Where tests are counted on, one that is not run is one that failed.
        (pytest.fail if os.environ.get('CI') else pytest.skip)(_NEEDED)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ('--headless=new', '--no-sandbox', '--disable-gpu',
                     '--disable-dev-shm-usage', '--hide-scrollbars',
                     f'--user-data-dir={folder / "profile"}'):
        options.add_argument(argument)
    options.add_experimental_option('prefs', {'download.default_directory': str(folder)})
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    browser.set_script_timeout(60)
    resize(browser, WIDE)
    try:
        yield browser
    finally:
        browser.quit()


def resize(browser, size):
    """Show the page as a screen of a size in pixels does, on a phone with a finger."""
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
        'width': size[0], 'height': size[1], 'deviceScaleFactor': 1, 'mobile': size == NARROW})


@contextmanager
def tune(*arguments, cwd, ending=signal.SIGINT):
    """Run `instseg tune`, give the process and its address, and end it as Ctrl-C does."""
    program = Path(sys.executable).with_name('instseg')
    command = [str(program)] if program.exists() else [
        sys.executable, '-c', 'from instseg_ros.cli import main; raise SystemExit(main())']
    # NiceGUI looks whether it is tested by this variable.
    environment = {k: v for k, v in os.environ.items() if k != 'PYTEST_CURRENT_TEST'}
    with open(cwd / 'stderr.txt', 'w+') as errors:
        process = subprocess.Popen(
            [*command, 'tune', *map(str, arguments), '--no-browser'], cwd=cwd, env=environment,
            stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
            # nohup before the tests would have this signal ignored in here too.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
        starting = threading.Timer(60, process.kill)
        starting.start()
        try:
            address = process.stdout.readline().split(' ')[0]
            starting.cancel()
            yield process, address
        finally:
            starting.cancel()
            if process.poll() is None:
                os.killpg(process.pid, ending)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        errors.seek(0)
        said = errors.read()
    (cwd / 'stderr.txt').unlink()
    assert process.returncode != -signal.SIGKILL, 'it did not end when it was told to'
    assert 'Traceback' not in said, said
