"""Seed inputs for the fuzzing targets: one folder a decoder, and small whole
images with 512-byte clusters for the check."""

import struct

import other_cases
import qcow2_patcher as q

SMALL_IMAGES = {
    'empty': ('', (), ()),
    'plain': ('', ('write -P 0x61 0 2k', 'write -P 0x62 40k 512'), ()),
    'zero': ('', ('write -P 0x61 0 2k', 'write -z 0 1k', 'write -z 8k 1k'),
             ()),
    'compressed': ('', ('write -c -P 0x61 0 512', 'write -c -P 0x62 512 512'),
                   ()),
    'zstd': ('compression_type=zstd', ('write -c -P 0x61 0 512',), ()),
    'narrow': ('refcount_bits=1', ('write -P 0x61 0 2k',), ()),
    'wide': ('refcount_bits=64', ('write -P 0x61 0 2k',), ()),
    'v2': ('compat=0.10', ('write -P 0x61 0 2k',), ()),
    'snapshot': ('', ('write -P 0x61 0 1k',),
                 (('snapshot', '-c', 's', 'base.qcow2'),)),
    'bitmap': ('', ('write -P 0x61 0 1k',),
               (('bitmap', '--add', 'base.qcow2', 'b'),)),
}


def _images(shop):
    for name, (options, commands, then) in SMALL_IMAGES.items():
        text = 'cluster_size=512' + (',' + options if options else '')
        image = shop.make(text, size='64k', commands=commands, then=then)
        yield name, bytes(image.data)
        # The same with one thing wrong, so that damage is where it starts.
        damaged = image.copy()
        table = damaged.get('l1_table_offset')
        damaged.put64(table, damaged.get64(table) ^ 0x4000_0000_0000_0200)
        yield name + '-damaged', bytes(damaged.data)


def _headers(shop):
    for name in ('plain', 'plain-v2', 'extended', 'raw-data-file'):
        yield name, bytes(shop.base(name).data[:112])
    draft = shop.base('plain-v2')
    draft.set('version', 3)
    draft.put(72, struct.pack('>IIII', 0, 0, 0, 16))
    yield 'draft', bytes(draft.data[:88])


def _extensions(shop):
    for name in ('plain', 'bitmap', 'backing', 'data-file'):
        image = shop.base(name)
        start = image.get('header_length')
        end = start + 8 + sum(8 + q.round_up(len(e.data), 8)
                              for e in image.extensions())
        yield name, bytes(image.data[start:end])
    names = struct.pack('>BB46s', 0, 0, b'dirty bit')
    yield 'names', (struct.pack('>II', q.EXT_FEATURE_NAMES, len(names)) +
                    names + bytes(8))
    yield 'luks', struct.pack('>IIQQQ', q.EXT_LUKS, 16, 0x10000, 0x81000, 0)


def _snapshot_tables(shop):
    for name in ('snapshot', 'two-snapshots'):
        yield name, b''.join(s.encode() for s in shop.base(name).snapshots())
    yield 'bare', q.Snapshot(0x4000, 1, b'1', b'bare').encode()
    yield 'long', q.Snapshot(0x4000, 1, b'1', b'long', bytes(1024)).encode()


def _bitmap_directories(shop):
    entries = [b.encode() for b in shop.base('bitmap').bitmaps()]
    yield 'one', entries[0]
    extra = q.Bitmap(0x5000, 2, 7, 9, b'extra', extra=b'12345').encode()
    yield 'two', entries[0] + extra


def _luks_headers(shop):
    header = other_cases.luks_header()
    yield 'sound', header
    yield 'short', header[:300]


GROUPS = {
    'header': _headers,
    'extensions': _extensions,
    'snapshot_table': _snapshot_tables,
    'bitmap_directory': _bitmap_directories,
    'luks_header': _luks_headers,
    'image': _images,
}


def seeds(shop):
    """(path below corpus/fuzz, bytes) of every seed."""
    for group, make in GROUPS.items():
        for name, data in make(shop):
            yield f'{group}/{name}', data
