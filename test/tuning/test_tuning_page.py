"""The page in a real browser: what a person does with it, from a recording to a better file."""

import http.client
import json
from pathlib import Path
import shutil
import signal
import time
import urllib.error
import urllib.parse
import urllib.request

from chromium import NARROW, resize, tune, WIDE
from instseg_ros.cli import main
from instseg_ros.recordings.marks import read_marks
from instseg_ros.recordings.parameters import read_settings
import pytest
import recorded

pytest.importorskip('nicegui', reason='pip install "instseg_ros[tune]" brings NiceGUI')
pytest.importorskip('selenium', reason='selenium drives the browser')
from selenium.webdriver import ActionChains  # noqa: E402, I100
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

SEGMENTATION = 'instance_segmentation_node'
PROCESSED = '.numbers .head:nth-child(11) + *'  # instances of the whole recording


class Street:
    """A page of four seconds of the sample, and where it keeps what it writes."""

    def __init__(self, browser, folder, url):
        self.browser, self.url = browser, url
        self.recording = folder / 'street'
        self.marks, self.params = folder / 'street.marks.json', folder / 'street.params.yaml'

    def every(self, css):
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        return self.browser.find_element(By.CSS_SELECTOR, css)

    def wait(self, condition, what, longest_s=40):
        """Wait until something holds; what fails meanwhile does not hold yet."""
        until = time.monotonic() + longest_s
        while time.monotonic() < until:
            try:
                if value := condition():
                    return value
            except Exception as error:
                what = f'{what} ({error})'.split('\n')[0]
            time.sleep(0.05)
        raise AssertionError(f'not seen in {longest_s} s: {what}; {self.one("body").text}')

    def press(self, text):
        self.wait(lambda: self.browser.execute_script(
            'const b = [...document.querySelectorAll("button, .q-tab, [role=tab]")].find('
            'b => (b.getAttribute("aria-label") || b.innerText).trim().replace(/^\\w+\\n/, "") '
            '=== arguments[0] && b.offsetParent && !b.disabled);'
            'if (b) b.click(); return !!b;', text), f'a button "{text}"')

    def picture(self, which='main'):
        """Return the address of a picture that is there."""
        image = self.one(f'.picture.{which} img')
        return self.browser.execute_script(
            'return arguments[0].naturalWidth > 1 && arguments[0].complete', image) and \
            image.get_attribute('src')

    def cell(self, row, column=1):
        """Return a number of the table: row 1 this frame, 2 the recording, 3 saved settings."""
        return self.one(f'.left .numbers > :nth-child({5 * row + 1 + column})').text

    def processed(self):
        self.wait(lambda: self.cell(2).isdigit() and self.one('.state').text == '',
                  'the recording processed')

    def value(self, name):
        field = f'[data-setting={name}] input'
        return self.wait(lambda: self.every(field), field)[0].get_attribute('value')

    def slide(self, name, share):
        """Click on a slider at a share of its length."""
        slider = self.one(f'[data-setting={name}] .q-slider')
        self.browser.execute_script('arguments[0].scrollIntoView({block: "center"})', slider)
        width = slider.size['width']
        ActionChains(self.browser).move_to_element_with_offset(
            slider, round(width * (share - 0.5)), 0).click().perform()

    def enter(self, name, text):
        field = self.one(f'[data-setting={name}] input')
        field.send_keys(Keys.CONTROL, 'a')
        field.send_keys(text, Keys.ENTER)

    def draw(self, *points):
        """Draw a stroke over the picture, in its pixels."""
        image = self.one('.picture.main img')
        scale = image.size['width'] / 640
        pen = ActionChains(self.browser, duration=20)
        for k, (x, y) in enumerate(points):
            pen.move_to_element_with_offset(image, round((x - 320) * scale),
                                            round((y - 240) * scale))
            if k == 0:
                pen.click_and_hold()
        pen.release().perform()

    def said(self):
        return ' '.join(e.text for e in self.every('.q-notification'))


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tune')
    shutil.copytree(recorded.SAMPLE, folder / 'street')
    with tune(folder / 'street', '--duration', 4, cwd=folder) as (_, url):
        yield folder, url


@pytest.fixture
def street(browser, server):
    folder, url = server
    browser.get(url)
    page = Street(browser, folder, url)
    page.wait(page.picture, 'a picture')
    page.processed()
    return page


def test_page_opens(street):
    """Both pictures and all controls are there; nothing is fetched from anywhere else."""
    assert street.wait(lambda: street.picture('side'), 'the class mask')
    assert street.cell(1) == '4' and int(street.cell(2)) > 100
    assert [street.cell(2, k) for k in range(1, 4)] == [street.cell(3, k) for k in range(1, 4)]
    shown = [e.get_attribute('data-setting') for e in street.every('.setting')]
    settings = read_settings()
    assert shown == [name for node in (SEGMENTATION, 'tracker_node')
                     for name, declared in settings[node].parameters().items() if declared.live]
    text = street.one('[data-setting=max_lost_s]').text
    assert 'max_lost_s [s]' in text and 'How long an object may stay unseen' in text
    assert 'a number in [0, 60], default 2.0' in text
    fetched = street.browser.execute_script(
        'return performance.getEntriesByType("resource").map(r => r.name)')
    assert fetched and all(address.startswith(street.url) for address in fetched)
    assert [e for e in street.browser.get_log('browser') if e['level'] == 'SEVERE'] == []
    assert set(street.recording.parent.iterdir()) <= {
        street.recording, street.marks, street.params, street.recording.parent / 'stderr.txt'}


def test_moved_slider_shows_its_result(street):
    before = street.picture()
    street.slide('dist_threshold', 0.05)
    street.wait(lambda: street.picture() != before and street.cell(1) == '3',
                'fewer instances in another picture')
    assert float(street.value('dist_threshold')) < 0.1
    assert '1 not saved' in street.one('.unsaved').text
    street.processed()
    assert street.cell(2) != street.cell(3)
    street.press('dist_threshold: back to the default')
    street.wait(lambda: street.value('dist_threshold') == '0.5' and street.cell(1) == '4',
                'the default')


def test_fast_slider_shows_the_last_value(street):
    """However fast it is moved: what is shown at the end is the value at the end."""
    slider = street.one('[data-setting=dist_threshold] .q-slider')
    hand = ActionChains(street.browser, duration=2)
    hand.move_to_element(slider).click_and_hold()
    for k in range(60):
        hand.move_by_offset(5 if k // 10 % 2 else -5, 0)
    hand.move_to_element_with_offset(slider, round(-slider.size['width'] / 2) + 1, 0)
    hand.release().perform()
    street.wait(lambda: street.cell(1) == '3', 'the people who touch as one: never cut')
    street.press('dist_threshold: back to the default')
    street.wait(lambda: street.cell(1) == '4', 'the default')


def test_what_may_not_be_is_refused_with_the_reason(street):
    street.enter('erosion_iteration', '99')
    street.wait(lambda: 'erosion_iteration: expected an integer in [0, 50], got 99'
                in street.one('[data-setting=erosion_iteration]').text, 'the reason')
    assert street.value('erosion_iteration') == '0'


def test_timeline(street):
    where = street.one('.where')
    street.press('one frame on')
    street.wait(lambda: where.text.startswith('frame 1 of 41'), 'the next frame')
    street.press('the next jump')
    street.wait(lambda: not where.text.startswith('frame 1 '), 'a jump')
    street.press('play')
    before = where.text
    street.wait(lambda: where.text != before, 'frames that go by')
    street.press('play')
    ActionChains(street.browser).move_to_element_with_offset(
        street.one('.time .q-slider'), -street.one('.time .q-slider').size['width'] // 2 + 1, 0
    ).click().perform()
    street.wait(lambda: where.text.startswith('frame 0 '), 'the first frame')


def test_what_is_beside(street):
    street.one('figcaption .q-select').click()
    why = street.wait(lambda: [e for e in street.every('.q-menu .q-item')
                               if e.text == 'Why it is cut'], 'the choice')
    before = street.picture('side')
    why[0].click()
    street.wait(lambda: 'neck ratio' in street.one('.reasons').text, 'the reason of a cut')
    assert street.wait(lambda: street.picture('side') != before, 'the picture of the cuts')


def test_second_user_sees_the_same(street):
    first = street.browser.current_window_handle
    street.browser.switch_to.new_window('tab')
    try:
        street.browser.get(street.url)
        street.processed()
        street.enter('max_lost_s', '7.5')
        street.wait(lambda: '1 not saved' in street.one('.unsaved').text, 'the change')
        street.browser.switch_to.window(first)
        street.wait(lambda: street.value('max_lost_s') == '7.5', 'the same in the first tab')
        street.press('max_lost_s: back to the default')
        street.wait(lambda: street.value('max_lost_s') == '2', 'the default')
    finally:
        for handle in street.browser.window_handles:
            if handle != first:
                street.browser.switch_to.window(handle)
                street.browser.close()
        street.browser.switch_to.window(first)


def test_from_marks_to_a_better_file(street, tmp_path):
    """Mark what is wrong, search, apply, save; `instseg process` takes the file."""
    street.enter('dist_threshold', '0')
    street.processed()
    street.wait(lambda: street.cell(1) == '3', 'two people as one')
    street.press('Marks and search')
    street.press('These are two')
    street.wait(lambda: street.one('.picture.main.drawing'), 'that it can be drawn on')
    street.draw((10, 400), (60, 420))
    street.wait(lambda: 'something must be on both sides' in street.said(), 'what is wrong')
    shown = 0
    for number, line in ((0, ((609, 54), (613, 69))), (20, ((500, 236), (509, 316)))):
        while shown < number:
            street.press('one frame on')
            shown += 1
            street.wait(lambda shown=shown: street.one('.where').text.startswith(
                f'frame {shown} '), 'the next frame')
        street.draw(*line)
        street.wait(lambda number=number: f'{1 + number // 20} marks on' in
                    street.one('.right').text, 'the mark')
    assert [m.kind for m in read_marks(street.marks)] == ['two', 'two']
    assert len(street.every('.picture.main polyline.stroke.two')) == 1
    street.press('Find settings')
    found = street.wait(lambda: 'frames change' in street.one('.found').text
                        and street.one('.found').text, 'what was found')
    assert 'marks used\n0 of 1\n1 of 1' in found and 'marks not used\n0 of 1\n1 of 1' in found
    assert 'dist_threshold: 0.0 →' in found
    street.press('Settings')
    assert street.value('dist_threshold') == '0'  # nothing is applied without a click
    street.press('Marks and search')
    street.press('Apply')
    street.press('Settings')
    street.wait(lambda: float(street.value('dist_threshold')) > 0.1, 'the value that was found')
    street.press('File')
    street.wait(lambda: f'params_file:={street.params}' in street.one('.right').text,
                'the command to launch')
    assert f'ros2 param set /{SEGMENTATION} dist_threshold' in street.wait(
        lambda: street.one('.lines').text, 'lines to copy')
    street.press('Save')
    street.wait(street.params.exists, 'the file')
    street.wait(lambda: 'all saved' in street.one('.unsaved').text, 'that it is saved')
    assert read_settings([street.params])[SEGMENTATION].dist_threshold > 0.1
    assert '# Where touching objects are cut' in street.params.read_text()
    assert main(['process', str(street.recording), str(tmp_path / 'out'), '--params',
                 str(street.params), '--workers', '0']) == 0


def test_download_and_load(street, tmp_path):
    street.press('File')
    street.press('Download')
    file = street.wait(lambda: next(street.browser.downloads.glob('*.yaml'), None), 'a download')
    changed = tmp_path / 'mine.yaml'
    text = file.read_text()
    assert 'retune_frames: 10' in text
    changed.write_text(text.replace('retune_frames: 10', 'retune_frames: 33'))
    street.one('input[type=file]').send_keys(str(changed))
    street.wait(lambda: 'loaded: mine.yaml' in street.said(), 'that it is loaded')
    street.press('Settings')
    street.wait(lambda: street.value('retune_frames') == '33', 'the value of the file')
    changed.write_text('/**/tracker_node:\n  ros__parameters:\n    retune_frames: many\n')
    street.press('File')
    street.one('input[type=file]').send_keys(str(changed))
    street.wait(lambda: 'mine.yaml: /**/tracker_node: retune_frames: expected' in
                street.said().replace('//', '/'), 'what is wrong with it')


@pytest.mark.parametrize('size', [WIDE, NARROW], ids=['wide', 'narrow'])
def test_everything_has_room(street, size):
    resize(street.browser, size)
    try:
        for tab in ('Settings', 'Marks and search', 'File'):
            street.press(tab)
            time.sleep(0.4)  # the panel slides in
            assert street.browser.execute_script(
                'return document.documentElement.scrollWidth') <= size[0]
            cut_off = street.browser.execute_script(
                'return [...document.querySelectorAll(".right button, .right input, .right .name, '
                '.top *, .time button")].filter(e => e.offsetParent && '
                '(e.getBoundingClientRect().right > innerWidth + 1 || '
                'e.getBoundingClientRect().left < -1)).map(e => e.outerHTML.slice(0, 100))')
            assert cut_off == []
    finally:
        resize(street.browser, WIDE)


def answer(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize('path', [
    'picture/main/../../../etc/passwd', 'picture/..%2f..%2fetc%2fpasswd/1', 'etc/passwd',
    'street/metadata.yaml', '_nicegui/..%2f..%2f..%2fetc/passwd', 'docs', 'openapi.json'])
def test_no_file_is_served(server, path):
    status, body = answer(server[1] + path)
    assert status == 404 or b'root:' not in body and path.startswith('picture')
    assert b'root:' not in body and b'rosbag2' not in body


def test_pages_of_others_are_refused(server):
    port = server[1].split(':')[2].strip('/')
    assert answer(server[1])[0] == 200
    assert answer(server[1], Host=f'localhost:{port}')[0] == 200
    assert answer(server[1], Host=f'rebound.example:{port}')[0] == 403
    assert answer(server[1], Origin='http://other.example')[0] == 403


def test_other_machines_need_the_token(browser, tmp_path):
    recording = recorded.record(tmp_path / 'small')
    with tune(recording, '--host', '0.0.0.0', cwd=tmp_path) as (_, url):
        address, _, token = url.partition('?token=')
        assert len(token) > 15
        address = address.replace(address.split('/')[2].split(':')[0], '127.0.0.1')
        assert answer(address)[0] == 403
        assert answer(address + 'picture/main/1')[0] == 403
        assert answer(f'{address}?token=guess')[0] == 403
        browser.get(f'{address}?token={token}')
        page = Street(browser, tmp_path, address)
        page.wait(page.picture, 'a picture')
        assert 'token' not in browser.current_url
        browser.delete_all_cookies()


@pytest.mark.parametrize('ending', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_end_of_the_terminal_ends_everything(tmp_path, ending):
    recording = recorded.record(tmp_path / 'small')
    with tune(recording, cwd=tmp_path, ending=ending) as (process, url):
        assert answer(url)[0] == 200
        group = process.pid
    until = time.monotonic() + 10
    while (left := _members(group)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def test_requests_cut_off_by_the_end_are_no_error(tmp_path):
    with tune(recorded.record(tmp_path / 'small'), cwd=tmp_path) as (_, url):
        assert answer(url)[0] == 200
        polling = f'{url}_nicegui_ws/socket.io/?EIO=4&transport=polling'
        with urllib.request.urlopen(polling) as opened:
            name = json.loads(opened.read()[1:])['sid']
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
        # The server answers this one when it has something to say.
        connection.request('GET', f'{polling}&sid={name}')
        assert answer(url)[0] == 200
    connection.close()


def _members(group):
    """Return the processes of a group that are left."""
    found = []
    for file in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = file.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != 'Z':
            found.append(int(file.parent.name))
    return found


def test_broken_recording_is_said_and_the_page_goes_on(browser, tmp_path):
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / 'broken_0.mcap').write_bytes(b'this is no recording')
    (tmp_path / 'frames').mkdir()
    import cv2
    cv2.imwrite(str(tmp_path / 'frames' / '1.jpg'), recorded.frame(recorded.masks()[0]))
    for name, said in (('broken', 'broken_0.mcap'), ('frames', '--set network=FILE names')):
        with tune(tmp_path / name, cwd=tmp_path) as (_, url):
            browser.get(url)
            page = Street(browser, tmp_path, url)
            page.wait(lambda page=page, said=said: said in page.one('.notes').text, said)
            assert page.one('.empty').text == 'no frame to show'
            page.enter('max_lost_s', '3')
            page.wait(lambda page=page: '1 not saved' in page.one('.unsaved').text, 'the change')
            page.press('File')
            page.press('Save')
            page.wait(lambda name=name: (tmp_path / f'{name}.params.yaml').exists(), 'the file')
