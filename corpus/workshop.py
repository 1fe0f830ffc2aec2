"""What the case scripts share: base images made by qemu-img and qemu-io, the
register of cases, and the record of what `qemu-img check` says of each.

Writes to a temporary directory of its own only; make_corpus.py stores the
results.
"""

import dataclasses
import functools
import json
import os
import re
import resource
import subprocess
import tempfile

import qcow2_patcher

KIB = 1 << 10
MIB = 1 << 20

# Dates in snapshot tables, so that two runs make the same bytes.
FIXED_DATE = 1262304000  # 2010-01-01

_HERE = os.path.dirname(os.path.abspath(__file__))
_TABLE = os.path.join(_HERE, '..', 'checker', 'problem_table.inc')


@functools.lru_cache(maxsize=None)
def severities():
    """Problem code -> severity, as the problem table has them."""
    with open(_TABLE, encoding='utf-8') as file:
        text = file.read()
    rows = re.findall(r'^PROBLEM\(\w+,\s*\d+,\s*"([^"]+)",\s*\w+,\s*(\w+),',
                      text, re.MULTILINE)
    return dict(rows)


@dataclasses.dataclass
class Case:
    """One corpus image, the files it needs beside it, and what is expected."""
    name: str
    description: str
    image: qcow2_patcher.Image = None
    problems: list = dataclasses.field(default_factory=list)
    status: str = None           # None: follows from the problems
    files: dict = dataclasses.field(default_factory=dict)  # name -> bytes
    deep: bool = False           # checked with --deep
    qemu_options: list = dataclasses.field(default_factory=list)
    qemu: dict = None
    # Why the counts of `qemu-img check` are not compared, where they are not.
    qemu_differs: str = None
    # Keep the stored image when there is one: qemu-img draws random keys.
    random: bool = False
    # The image before it was damaged, where that is not the last one the
    # workshop handed out; and the name it is stored under.
    original: qcow2_patcher.Image = None
    original_name: str = None

    def expect(self, code, count=None, **details):
        """A problem this image raises; details as in the JSON report."""
        if code not in severities():
            raise ValueError(f'{self.name}: no problem is called {code}')
        problem = {'code': code}
        if count is not None:
            problem['count'] = count
        problem.update(details)
        self.problems.append(problem)

    def final_status(self):
        if self.status:
            return self.status
        found = {severities()[p['code']] for p in self.problems}
        if 'Corruption' in found:
            return 'corrupt'
        return 'leaks' if 'Leak' in found else 'clean'

    def exit_code(self):
        status = self.final_status()
        if status == 'error':  # could not be checked, and that is damage
            return 12 if self.problems else 8
        return {'clean': 0, 'leaks': 4, 'corrupt': 4, 'inconclusive': 8}[status]

    def as_json(self):
        result = {
            'description': self.description,
            'status': self.final_status(),
            'exit_code': self.exit_code(),
            'problems': self.problems,
            'qemu': self.qemu,
        }
        if self.deep:
            result['deep'] = True
        if self.files:
            result['files'] = sorted(self.files)
        if self.original_name:
            result['original'] = self.original_name
        if self.qemu_options:
            result['qemu_options'] = self.qemu_options
        if self.qemu_differs:
            result['qemu_differs'] = self.qemu_differs
        return result


REGISTER = []


def case(name, description, **fields):
    """Registers `make(case, shop) -> Image` as the maker of a corpus case."""
    def decorate(make):
        REGISTER.append((name, description, fields, make))
        return make
    return decorate


class Workshop:
    """Makes base images and asks qemu-img about finished ones."""

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory()
        self._bases = {}
        # A copy of the image handed out last, as sound as qemu-img made it.
        self.original = None

    @property
    def directory(self):
        return self._directory.name

    def path(self, name):
        return os.path.join(self.directory, name)

    def run(self, *command):
        subprocess.run(command, check=True, cwd=self.directory,
                       stdout=subprocess.DEVNULL)

    def write_file(self, name, data):
        with open(self.path(name), 'wb') as file:
            file.write(data)

    def read_file(self, name):
        with open(self.path(name), 'rb') as file:
            return file.read()

    def make(self, options='', size='4M', commands=(), create=(), then=()):
        """A fresh image: `qemu-img create -o options`, qemu-io commands, then
        further qemu-img commands with the image's name appended."""
        self.run('qemu-img', 'create', '-q', '-f', 'qcow2', *create,
                 *(['-o', options] if options else []), 'base.qcow2',
                 str(size))
        self.io(*commands)
        for words in then:
            self.run('qemu-img', *words)
        return self.load()

    def io(self, *commands):
        if commands:
            words = [w for c in commands for w in ('-c', c)]
            self.run('qemu-io', '-f', 'qcow2', *words, 'base.qcow2')

    def load(self):
        image = qcow2_patcher.Image.load(self.path('base.qcow2'))
        freeze_dates(image)
        self.original = image.copy()
        return image

    def base(self, key):
        """A copy of one of the shared base images."""
        if key not in self._bases:
            self._bases[key] = _BASES[key](self)
        self.original = self._bases[key].copy()
        return self._bases[key].copy()

    def ask_qemu(self, made):
        """What `qemu-img check` says of a finished case."""
        name = made.name + '.qcow2'
        command = ['qemu-img', 'check', '--output=json']
        if made.qemu_options:
            command += made.qemu_options
        else:
            command += ['-f', 'qcow2', name]
        with tempfile.TemporaryDirectory() as directory:
            made.image.save(os.path.join(directory, name))
            for file, data in made.files.items():
                with open(os.path.join(directory, file), 'wb') as out:
                    out.write(data)
            # Without the limit a backing chain that is a ring is opened for
            # as long as there is memory.
            done = subprocess.run(command, cwd=directory, check=False,
                                  capture_output=True, timeout=60,
                                  preexec_fn=_limit_open_files)
        return qemu_record(done.returncode, done.stdout)


def _limit_open_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))


def qemu_record(exit_code, output):
    """The part of a `qemu-img check` run that a case keeps."""
    classes = {0: 'clean', 1: 'error', 2: 'corrupt', 3: 'leaks'}
    report = json.loads(output) if output.strip() else None
    record = {'class': classes[exit_code], 'refused': report is None}
    for key in ('corruptions', 'leaks', 'check-errors'):
        record[key.replace('-', '_')] = (report or {}).get(key, 0)
    return record


def freeze_dates(image):
    """Sets the dates in the snapshot table to a fixed one."""
    if image.get('nb_snapshots'):
        snapshots = image.snapshots()
        for snapshot in snapshots:
            snapshot.date_sec = FIXED_DATE
            snapshot.date_nsec = 0
        image.set_snapshots(snapshots)


# ---- base images -------------------------------------------------------------
# 4 KiB clusters: an L2 table maps 2 MiB, a 4 MiB disk needs two L1 entries.


def _empty(shop):
    """No guest data: clusters 0 header, 1 refcount table, 2 block, 3 L1."""
    return shop.make('cluster_size=4k')


def _plain(shop):
    """Three guest clusters (0, 1 and 512) under two L2 tables:
    4 L2, 5-6 data, 7 L2, 8 data behind the four clusters of `empty`."""
    return shop.make('cluster_size=4k', commands=[
        'write -P 0x61 0 8k', 'write -P 0x62 2M 4k'])


def _plain_v2(shop):
    return shop.make('cluster_size=4k,compat=0.10', commands=[
        'write -P 0x61 0 8k', 'write -P 0x62 2M 4k'])


def _filled(shop):
    """64 guest clusters under the second L2 table, one under the first."""
    return shop.make('cluster_size=4k', commands=[
        'write -P 0x61 0 4k', 'write -P 0x62 2M 256k'])


def _one_bit(shop):
    return shop.make('cluster_size=4k,refcount_bits=1', commands=[
        'write -P 0x61 0 8k'])


def _snapshot(shop):
    """One snapshot that shares everything with the active disk."""
    return shop.make('cluster_size=4k', commands=['write -P 0x61 0 8k'],
                     then=[('snapshot', '-c', 'before', 'base.qcow2')])


def _two_snapshots(shop):
    shop.make('cluster_size=4k', commands=['write -P 0x61 0 8k'],
              then=[('snapshot', '-c', 'first', 'base.qcow2')])
    shop.io('write -P 0x62 0 4k')
    shop.run('qemu-img', 'snapshot', '-c', 'second', 'base.qcow2')
    shop.io('write -P 0x63 4k 4k')
    return shop.load()


def _empty_snapshot(shop):
    """A snapshot of an empty disk: its L1 names nothing."""
    return shop.make('cluster_size=4k',
                     then=[('snapshot', '-c', 'before', 'base.qcow2')])


def _bitmap(shop):
    """A bitmap whose first and last bits are set, with one data cluster."""
    shop.make('cluster_size=4k', then=[
        ('bitmap', '--add', '-g', '64k', 'base.qcow2', 'nightly')])
    shop.io('write -P 0x61 0 4k')
    return shop.load()


def _compressed(shop):
    """Two compressed guest clusters that share one host cluster."""
    return shop.make('cluster_size=4k', commands=[
        'write -c -P 0x61 0 4k', 'write -c -P 0x62 4k 4k'])


def _extended(shop):
    """Extended L2 entries: one cluster with 4 of 32 subclusters written."""
    return shop.make('cluster_size=16k,extended_l2=on', commands=[
        'write -P 0x61 0 2k', 'write -P 0x62 16k 16k'])


def _data_file(shop):
    image = shop.make('cluster_size=4k,data_file=disk.data', commands=[
        'write -P 0x61 0 8k', 'write -P 0x62 2M 4k'])
    shop.data_file_bytes = shop.read_file('disk.data')
    return image


def _raw_data_file(shop):
    return shop.make('cluster_size=4k,data_file=disk.data,data_file_raw=on',
                     commands=['write -P 0x61 0 8k', 'write -P 0x62 2M 4k'])


def _backing(shop):
    shop.write_file('base.raw', bytes(4 * MIB))
    return shop.make('cluster_size=4k', commands=['write -P 0x61 0 4k'],
                     create=('-b', 'base.raw', '-F', 'raw'))


_BASES = {
    'empty': _empty,
    'plain': _plain,
    'plain-v2': _plain_v2,
    'filled': _filled,
    'one-bit': _one_bit,
    'snapshot': _snapshot,
    'two-snapshots': _two_snapshots,
    'empty-snapshot': _empty_snapshot,
    'bitmap': _bitmap,
    'compressed': _compressed,
    'extended': _extended,
    'data-file': _data_file,
    'raw-data-file': _raw_data_file,
    'backing': _backing,
}
