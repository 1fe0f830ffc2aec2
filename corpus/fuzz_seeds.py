"""Seed inputs for the fuzzing targets: one folder a target, and small whole
images with 512-byte clusters for the check. Where a target takes its first
byte as a choice (cluster size, width, ...) the seed begins with that byte."""

import random
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
    # The first byte: how far the area reaches past the input.
    for name in ('plain', 'bitmap', 'backing', 'data-file'):
        image = shop.base(name)
        start = image.get('header_length')
        end = start + 8 + sum(8 + q.round_up(len(e.data), 8)
                              for e in image.extensions())
        yield name, b'\0' + bytes(image.data[start:end])
    names = struct.pack('>BB46s', 0, 0, b'dirty bit')
    yield 'names', (b'\0' + struct.pack('>II', q.EXT_FEATURE_NAMES, len(names))
                    + names + bytes(8))
    yield 'luks', b'\0' + struct.pack('>IIQQQ', q.EXT_LUKS, 16, 0x10000,
                                      0x81000, 0)
    yield 'overflow', b'\x40' + struct.pack('>II', 0x12345678, 64) + b'short'


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


def _l2_entries(shop):
    # The first byte: cluster_bits - 9, and the top bit for extended L2.
    for name, choice in (('plain', 3), ('compressed', 3), ('snapshot', 3),
                         ('data-file', 3), ('extended', 0x80 | 5 + 13)):
        image = shop.base(name)
        table = image.l2_table(0)
        yield name, bytes([choice]) + bytes(image.data[table:table + 64])


def _refcount_blocks(shop):
    # The first byte: refcount_order.
    for name in ('plain', 'one-bit', 'snapshot'):
        image = shop.base(name)
        block = image.refcount_table_entry(0)
        yield name, (bytes([image.get('refcount_order')]) +
                     bytes(image.data[block:block + 64]))


def _compressed_clusters(shop):
    # The first byte: the compression type, and 512 << n bytes a cluster.
    for name, kind in (('deflate', 0), ('zstd', 1)):
        image = shop.make(f'cluster_size=4k,compression_type={name}'
                          if kind else 'cluster_size=4k',
                          commands=['write -c -P 0x61 0 4k'])
        offset, length = image.compressed_range(image.l2_entry(0))
        yield name, (bytes([3 << 1 | kind]) +
                     bytes(image.data[offset:offset + length]))


def _engine_scripts(_):
    # The first byte: the kind of image; then three bytes a request.
    dice = random.Random(5)
    for name, kind in (('small-clusters', 0), ('narrow', 2), ('lazy', 11),
                       ('extended', 13), ('aes', 15)):
        yield name, bytes([kind]) + dice.randbytes(3 * 60)
    yield 'snapshots', bytes([0] + [6, 0, 1, 0, 0, 1, 7, 0, 2, 0, 0, 2, 1, 0, 0,
                                    5, 0, 0, 3, 0, 9, 2, 0, 0, 5, 0, 1])
    yield 'bitmaps', bytes([4] + [4, 0, 0, 6, 0, 1, 4, 0, 1, 3, 0, 90, 6, 0, 5,
                                  5, 0, 0, 4, 0, 8, 5, 0, 0])


def _luks_changes(_):
    # What is changed, bit by bit, in the header of a sound area.
    yield 'sound', bytes(592)
    yield 'iterations', bytes(108 + 104) + bytes([0xff, 0xff, 0xff, 0xff])
    yield 'stripes', bytes(208 + 44) + bytes([0xff, 0xff, 0xff, 0xff])
    yield 'second-slot', bytes(256) + struct.pack('>I', 0xdead ^ 0xac71f3)


def _journals(_):
    # Two bytes: how things stand, and what the journal says of itself; then
    # six bytes an entry.
    entries = bytes([2, 0, 0, 1, 1, 0x11, 2, 4, 0, 2, 2, 0x22,
                     1, 8, 0, 100, 0, 0])
    for name, stands, says in (('committed', 0, 0x11), ('applied', 4, 0x13),
                               ('undo', 2 | 4 | 16, 0x13),
                               ('between', 8, 0x01), ('undoing', 8, 0x17),
                               ('grown', 0, 0x31), ('shrunk', 0, 0x51)):
        yield name, bytes([stands, says]) + entries


GROUPS = {
    'decode_header': _headers,
    'decode_extensions': _extensions,
    'decode_snapshot_table': _snapshot_tables,
    'decode_bitmap_directory': _bitmap_directories,
    'decode_luks_header': _luks_headers,
    'decode_l2_entry': _l2_entries,
    'decode_refcount_block': _refcount_blocks,
    'inflate_cluster': _compressed_clusters,
    'check_image': _images,
    'drive_engine': _engine_scripts,
    'open_luks': _luks_changes,
    'recover_journal': _journals,
}


def seeds(shop):
    """(path below corpus/fuzz, bytes) of every seed."""
    for group, make in GROUPS.items():
        for name, data in make(shop):
            yield f'{group}/{name}', data
