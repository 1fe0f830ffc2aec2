"""Opens the page of `qcow2-fsck --html` in Chromium, zooms, hovers and reads.

  page_test.py QCOW2-FSCK

Screenshots go to the test's outputs.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import images

PROGRAM = ''
SWITCHES = [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
    '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
    '--window-size=1500,1600', '--force-device-scale-factor=1',
]


def start_browser(profile):
    options = Options()
    options.binary_location = '/usr/bin/chromium'
    for switch in SWITCHES:
        options.add_argument(switch)
    options.add_argument('--user-data-dir=' + profile)
    options.set_capability('goog:loggingPrefs',
                           {'browser': 'ALL', 'performance': 'ALL'})
    return webdriver.Chrome(service=Service('/usr/bin/chromedriver'),
                            options=options)


class PageTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.browser = start_browser(cls.path('profile'))
        cls.addClassCleanup(cls.browser.quit)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    def open(self, image):
        page = self.path('page.html')
        subprocess.run([PROGRAM, '--html=' + page, image], check=False,
                       stdout=subprocess.DEVNULL)
        self.browser.get_log('performance')
        self.browser.get('file://' + page)

    def open_overlapping(self):
        image = self.path('overlap.qcow2')
        if not os.path.exists(image):
            type(self).overlap = images.overlapping(image, self.path('sector'))
        self.open(image)
        return self.overlap

    def tearDown(self):
        # Whatever a test did: no errors, and nothing but the page was loaded.
        messages = [entry['message'] for entry in
                    self.browser.get_log('browser')]
        self.assertEqual(messages, [])
        requests = []
        for entry in self.browser.get_log('performance'):
            message = json.loads(entry['message'])['message']
            if message['method'] == 'Network.requestWillBeSent':
                requests.append(message['params']['request']['url'])
        # The browser's own first page, and the pictures written out in it, are
        # still loading when it is left.
        others = [url for url in requests
                  if url != 'file://' + self.path('page.html')
                  and not url.startswith(('chrome://', 'data:'))]
        self.assertEqual(others, [])

    def save_picture(self, name):
        folder = os.environ.get('TEST_UNDECLARED_OUTPUTS_DIR', self.folder.name)
        self.browser.save_screenshot(os.path.join(folder, name + '.png'))

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def hover(self, grid, cluster):
        """Moves the mouse to the cell of a cluster; the lines of the tooltip."""
        canvas = self.find(f'#{grid}-map .cells')
        number = {'file': 0, 'guest': 1}[grid]
        x, y = self.browser.execute_script(
            f'const grid = grids[{number}];'
            f'const cell = Math.floor(({cluster} - grid.begin) / grid.perCell);'
            'const [x, y] = grid.place(cell);'
            'const box = grid.canvas.getBoundingClientRect();'
            'return [x + grid.size / 2 - box.width / 2,'
            '        y + grid.size / 2 - box.height / 2];')
        ActionChains(self.browser).move_to_element_with_offset(
            canvas, round(x), round(y)).perform()
        tip = self.find(f'#{grid}-map .tip')
        self.assertTrue(tip.is_displayed())
        return tip.text.split('\n')

    def press(self, grid, *keys):
        canvas = self.find(f'#{grid}-map .cells')
        self.browser.execute_script('arguments[0].focus()', canvas)
        for key in keys:
            canvas.send_keys(key)

    def view(self, grid):
        return self.find(f'#{grid}-map .view').text

    def test_names_the_partition_that_is_hit(self):
        self.open_overlapping()
        self.assertIn('CORRUPT', self.find('.verdict').text)
        hit = [item.text for item in
               self.browser.find_elements(By.CSS_SELECTOR, '.hits li.hit')]
        self.assertEqual(len(hit), 1, hit)
        self.assertIn('partition 2 (Linux swap), 20 MiB: HIT: 64 KiB', hit[0])
        rows = [row.text for row in
                self.browser.find_elements(By.CSS_SELECTOR, '.partitions li')]
        self.assertEqual([row.endswith('HIT') for row in rows],
                         [False, True, False], rows)
        self.save_picture('overlap')

    def test_hovering_over_the_overlap_tells_its_owners(self):
        overlap = self.open_overlapping()
        lines = self.hover('file', overlap)
        self.save_picture('tooltip')
        self.assertIn(f'cluster {overlap}', lines[0])
        self.assertIn('active L2 (L1 entry 0)', lines)
        self.assertIn('guest data: 64 KiB of the disk at 0x6a00000', lines)
        self.assertIn('OVERLAP: metadata and a second owner', lines)
        self.assertTrue(any('overlap-guest-data' in line for line in lines))
        # The other map points at the guest's cluster, which says the same.
        linked = self.browser.execute_script('return grids[1].linked')
        self.assertEqual(linked, [[106 << 4, 1]])
        lines = self.hover('guest', 106 << 4)
        self.assertTrue(any('partition 2 (Linux swap)' in line
                            for line in lines), lines)
        self.assertIn('DAMAGED', lines)

    def test_names_from_the_image_are_text(self):
        self.open_overlapping()
        # Data that only the snapshot has.
        cluster = self.browser.execute_script(
            'const cls = data.classes.findIndex((c) => c.key === "snapdata");'
            'return data.segments.find((s) => s[2] === cls)[0];')
        lines = self.hover('file', cluster)
        self.assertTrue(any(images.HOSTILE_NAME in line for line in lines),
                        lines)
        self.assertEqual(self.browser.find_elements(By.TAG_NAME, 'img'), [])
        self.assertIn('overlap.qcow2', self.browser.title)

    def test_the_keyboard_zooms_and_goes_from_damage_to_damage(self):
        overlap = self.open_overlapping()
        self.assertTrue(self.view('file').startswith('all'))
        self.press('file', '+', '+')
        self.assertFalse(self.view('file').startswith('all'))
        self.press('file', '0')
        self.assertTrue(self.view('file').startswith('all'))
        self.press('file', 'n')
        begin, end = self.browser.execute_script(
            'return [grids[0].begin, grids[0].end]')
        self.assertLessEqual(begin, overlap)
        self.assertLess(overlap, end)
        self.assertLess(end - begin, 200)
        live = self.find('#file-map .live').get_attribute('textContent')
        self.assertIn('OVERLAP', live)
        self.press('file', Keys.ARROW_RIGHT)
        live = self.find('#file-map .live').get_attribute('textContent')
        self.assertIn(f'cluster {overlap + 1},', live)
        self.save_picture('zoomed')

    def test_dragging_and_buttons_zoom(self):
        self.open_overlapping()
        canvas = self.find('#file-map .cells')
        ActionChains(self.browser).move_to_element_with_offset(
            canvas, 0, 0).click_and_hold().move_by_offset(40, 20).release(
            ).perform()
        self.assertFalse(self.view('file').startswith('all'))
        self.find('#file-map button[data-do="all"]').click()
        self.assertTrue(self.view('file').startswith('all'))
        self.find('button[data-partition="1"]').click()
        self.assertIn('at 0x', self.view('guest'))
        self.find('button[data-cluster]').click()
        self.assertFalse(self.view('file').startswith('all'))

    def test_what_reaches_past_the_end_of_a_map_is_cut(self):
        self.open_overlapping()
        total = self.browser.execute_script('return grids[0].source.total')
        for place, length, cursor in ((2 ** 40, 2 ** 40, total - 1),
                                      (total - 3, 2 ** 40, total - 3),
                                      (0, 2 ** 40, 0)):
            self.browser.execute_script(
                f'grids[0].focusOn({place}, {length})')
            begin, end, at = self.browser.execute_script(
                'const grid = grids[0];'
                'return [grid.begin, grid.end, grid.range(grid.cursor)[0]]')
            self.assertGreaterEqual(begin, 0)
            self.assertLessEqual(end, total)
            self.assertLess(begin, end)
            self.assertEqual(at, cursor)

    def test_a_legend_entry_is_seen_alone(self):
        self.open_overlapping()
        button = self.find('.legend button[data-key="l2"]')
        button.click()
        self.assertEqual(button.get_attribute('aria-pressed'), 'true')
        faded = 'return grids[0].source.look(%d, %d).faded'
        self.assertTrue(self.browser.execute_script(faded % (20, 21)))
        self.assertFalse(self.browser.execute_script(
            faded % (self.overlap, self.overlap + 1)))
        button.click()
        self.assertFalse(self.browser.execute_script(faded % (20, 21)))

    def emulate(self, media='', scheme='light'):
        self.browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {
            'media': media,
            'features': [{'name': 'prefers-color-scheme', 'value': scheme}]})

    def test_light_dark_and_paper(self):
        self.addCleanup(self.emulate)
        self.open_overlapping()
        # What the cells were drawn with.
        cells = 'return colours.get("--c-header")'
        background = 'return getComputedStyle(document.body).backgroundColor'
        light = [self.browser.execute_script(what)
                 for what in (cells, background)]
        self.emulate(scheme='dark')
        self.save_picture('dark')
        dark = [self.browser.execute_script(what)
                for what in (cells, background)]
        self.assertNotEqual(light[0], dark[0])
        self.assertNotEqual(light[1], dark[1])
        self.assertFalse(self.find('.static').is_displayed())
        self.emulate(media='print')
        self.assertTrue(self.find('.static svg').is_displayed())
        self.assertFalse(self.find('.interactive').is_displayed())
        self.save_picture('print')

    def test_an_aggregated_map_is_exact_where_there_is_damage(self):
        image = self.path('reversed.qcow2')
        damaged = images.reversed_order(image, 60000)
        self.open(image)
        self.assertIn('too many runs to draw each',
                      self.find('main').text)
        lines = self.hover('file', damaged + 5000)
        self.assertTrue(any(line.startswith('guest data') for line in lines))
        self.press('file', 'n')
        live = self.find('#file-map .live').get_attribute('textContent')
        self.assertIn('DAMAGED', live)
        self.press('file', '+', '+', '+')
        lines = self.hover('file', damaged)
        guest = hex((60000 - 1 - 60000 // 3) * 512)
        self.assertIn(f'guest data: 512 bytes of the disk at {guest}', lines)
        self.assertTrue(any('refcount-too-low' in line for line in lines))
        self.save_picture('aggregated')

    def test_64_tib(self):
        image = self.path('large.qcow2')
        images.quietly('qemu-img', 'create', '-q', '-f', 'qcow2', image, '64T')
        images.qemu_io(image, 'write 63T 1M')
        self.open(image)
        lines = self.hover('guest', 63 << 24)
        self.assertTrue(any('of the file' in line for line in lines), lines)
        self.save_picture('large')
        # Down to the clusters.
        self.browser.execute_script(
            'grids[1].focusOn(63 * 2 ** 24, 16)')
        lines = self.hover('guest', 63 << 24)
        self.assertEqual(lines[0], '64 KiB of the disk at 0x3f0000000000')
        self.assertIn('in the file: 100 %', lines)

    def test_a_page_without_a_map(self):
        self.open(self.path('missing.qcow2'))
        self.assertIn('There is no map', self.find('main').text)
        self.assertFalse(self.find('.interactive').is_displayed())


if __name__ == '__main__':
    PROGRAM = os.path.abspath(sys.argv[1])
    unittest.main(argv=sys.argv[:1])
