"""What the tests of the page share: one browser."""

from chromium import open_browser
import pytest


@pytest.fixture(scope='session')
def browser(tmp_path_factory):
    """Give a headless Chromium, which keeps what it downloads in ``browser.downloads``."""
    folder = tmp_path_factory.mktemp('browser')
    with open_browser(folder) as browser:
        browser.downloads = folder
        yield browser
