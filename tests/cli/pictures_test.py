"""What `qcow2-fsck --map` and `--html` write is well-formed, bounded and never
written over the image.

  pictures_test.py QCOW2-FSCK IMAGE...
"""

import html.parser
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

PROGRAM = ''
IMAGES = []
SVG = '{http://www.w3.org/2000/svg}'
USAGE_ERROR = 16
# More than any picture of an image of the corpus needs.
LARGEST_BYTES = 4 << 20


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True,
                          text=True, errors='replace', check=False)


class Page(html.parser.HTMLParser):
    """Complains of tags that do not match; keeps the JSON of the maps."""

    EMPTY = {'meta', 'link'}

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.scripts = []
        self.feed(text)
        self.close()
        assert not self.open, self.open
        self.data = json.loads(self.scripts[0])

    def handle_starttag(self, tag, attrs):
        if tag == 'script':
            self.scripts.append('')
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_data(self, data):
        if self.open and self.open[-1] == 'script':
            self.scripts[-1] += data


def text_of(svg):
    return ' '.join(text for text in svg.itertext())


class PicturesTest(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def draw(self, image, *options):
        """The parsed picture of `image`, and the result of the program."""
        path = self.path('map.svg')
        page = self.path('page.html')
        result = run('--map=' + path, '--html=' + page, *options, image)
        self.assertLess(os.path.getsize(path), LARGEST_BYTES, image)
        self.assertLess(os.path.getsize(page), LARGEST_BYTES, image)
        with open(page, encoding='utf-8') as file:
            self.page = Page(file.read())
        return ElementTree.parse(path).getroot(), result

    def test_every_image_has_a_picture(self):
        for image in IMAGES:
            with self.subTest(image=image):
                plain = run('--force-share', image)
                svg, drawn = self.draw(image, '--force-share')
                self.assertEqual(svg.tag, SVG + 'svg')
                # The picture changes nothing about the check.
                self.assertEqual(drawn.returncode, plain.returncode)
                self.assertEqual(drawn.stderr, plain.stderr)
                self.assertIsNone(svg.find('.//' + SVG + 'script'))
                self.assertEqual(len(self.page.scripts), 2)

    def test_64_tib(self):
        image = self.path('large.qcow2')
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', image,
                        '64T'], check=True)
        subprocess.run(['qemu-io', '-f', 'qcow2', '-c', 'write 63T 1M', image],
                       check=True, stdout=subprocess.DEVNULL)
        svg, result = self.draw(image)
        self.assertEqual(result.returncode, 0)
        self.assertIn('64 TiB', text_of(svg))
        self.assertIn('guest data: 1 MiB', text_of(svg))
        self.assertEqual(self.page.data['guest']['clusters'], 1 << 30)

    def test_not_over_the_image(self):
        for start in (b'QFI\xfb', b'\0\0\0\0'):
            image = self.path('image')
            with open(image, 'wb') as file:
                file.write(start + bytes(65536))
            link = self.path('link')
            if not os.path.lexists(link):
                os.symlink(image, link)
            for target in (image, link):
                for option in ('--html=', '--map=', '--report=', '--metrics='):
                    result = run(option + target, image)
                    self.assertEqual(result.returncode, USAGE_ERROR)
                    self.assertIn('not overwriting it', result.stderr)
            with open(image, 'rb') as file:
                self.assertEqual(file.read(), start + bytes(65536))

    def test_failed_check_leaves_a_picture_that_says_so(self):
        svg, result = self.draw(self.path('missing'))
        self.assertEqual(result.returncode, 8)
        self.assertIn('There is no map', text_of(svg))

    def test_repair_draws_what_was_found(self):
        image = self.path('image')
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', image,
                        '64M'], check=True)
        subprocess.run(['qemu-io', '-f', 'qcow2', '-c', 'write 0 1M', image],
                       check=True, stdout=subprocess.DEVNULL)
        with open(image, 'r+b') as file:
            def word(offset):
                file.seek(offset)
                return int.from_bytes(file.read(8), 'big')
            block = word(word(48))
            # Cluster 5 is the first one of the guest's; 10 of it.
            file.seek(block + 2 * 10)
            file.write(b'\0\0')
        svg, result = self.draw(image, '--repair')
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn('REPAIRED', text_of(svg))
        self.assertIn('damaged: 64 KiB', text_of(svg))
        svg, result = self.draw(image)
        self.assertEqual(result.returncode, 0)
        self.assertNotIn('damaged: ', text_of(svg))


if __name__ == '__main__':
    PROGRAM = sys.argv[1]
    IMAGES = sys.argv[2:]
    unittest.main(argv=sys.argv[:1])
