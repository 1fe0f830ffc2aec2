"""Small images with much in them, for fuzzing: every kind of structure that an
image can have, in files of a few dozen KiB. And what becomes of them with one
thing wrong at a time, as inputs to choose from:

    rich_seeds.py FOLDER

writes all of those there; libFuzzer's -merge keeps the few that reach something
new. Needs qemu-img and qemu-io."""

import itertools
import os
import random
import struct
import sys
import zlib

import partition_tables
import qcow2_patcher as q
import workshop
from other_cases import SLOT_BYTES, SLOTS_OFFSET, luks_header

# A master key of one byte, in 4000 stripes: eight sectors a slot.
SLOT_SECTORS = 8
LUKS_SECTORS = 8 + 8 * SLOT_SECTORS


def _luks_area():
    header = luks_header(b'k', SLOT_SECTORS)
    area = header.ljust(8 * 512, b'\0') + b'\x5a' * (SLOT_SECTORS * 512)
    return area.ljust(LUKS_SECTORS * 512, b'\0')


def _everything(shop):
    shop.write_file('base.raw', bytes(512 << 10))
    shop.make(
        'cluster_size=1k,backing_file=base.raw,backing_fmt=raw', size='512k',
        commands=('write -P 0x61 0 3k', 'write -P 0x62 140k 2k',
                  'write -z 8k 2k', 'write -c -P 0x63 20k 1k',
                  'write -P 0x64 400k 1k'),
        then=(('snapshot', '-c', 'one', 'base.qcow2'),))
    shop.io('write -P 0x65 1k 1k', 'write -P 0x66 300k 1k')
    for words in (('snapshot', '-c', 'two', 'base.qcow2'),
                  ('bitmap', '--add', '-g', '1k', 'base.qcow2', 'b1'),
                  ('bitmap', '--add', '-g', '1k', 'base.qcow2', 'b2')):
        shop.run('qemu-img', *words)
    shop.io('write -P 0x67 64k 2k', 'write -P 0x68 0 1k')
    return shop.load()


def _extended(shop):
    return shop.make('cluster_size=16k,extended_l2=on', size='1M',
                     commands=('write -P 0x61 0 3k', 'write -P 0x62 40k 512',
                               'write -z 64k 16k', 'write -z 98k 1k',
                               'write -P 0x63 96k 512'))


def _luks(shop):
    image = shop.make('cluster_size=512', size='64k',
                      commands=('write -P 0x61 0 1k',))
    area = _luks_area()
    image.remove_extension(q.EXT_FEATURE_NAMES)
    offset = image.allocate(LUKS_SECTORS)
    image.put(offset, area)
    image.set('crypt_method', 2)
    image.add_extension(q.EXT_LUKS, struct.pack('>QQ', offset, len(area)))
    return image


def _data_file(shop):
    return shop.make('cluster_size=512,data_file=base.data', size='64k',
                     commands=('write -P 0x61 0 2k', 'write -z 40k 512'))


def _scattered(shop):
    """More pieces than the checker counts one by one."""
    places = list(range(300))
    random.Random(1).shuffle(places)
    image = shop.make('cluster_size=512', size='256k', commands=[
        f'write -P 0x61 {place * 512} 512' for place in places])
    # What is in the data does not matter; zeros make a smaller repository.
    for place in range(300):
        start = image.data_cluster(place) * 512
        image.put(start, bytes(512))
    return image


def _names(shop):
    """Names that are markup, wherever an image can have a name."""
    shop.write_file('<iframe src=x>.raw', bytes(64 << 10))
    shop.make('cluster_size=1k,backing_file=<iframe src=x>.raw,backing_fmt=raw',
              size='64k', commands=('write -P 0x61 0 2k',))
    for words in (('snapshot', '-c', '<script>alert(1)</script>',
                   'base.qcow2'),
                  ('bitmap', '--add', 'base.qcow2', '</script><script>b')):
        shop.run('qemu-img', *words)
    image = shop.load()
    # Damage that concerns them, so that they are named.
    image.set_snapshot_field(0, 'l1_table_offset', 0x100)
    image.set_bitmap_field(0, 'table_offset', 0x100)
    image.set('incompatible_features', 1 << 2)
    return image


def _markup_partitions(shop):
    image = shop.make('cluster_size=512', size='64k',
                      commands=('write -P 0 0 2k',))
    entry = bytes(range(1, 17)) + bytes(16) + struct.pack('<QQQ', 5, 9, 0)
    entry += '<script>p</script>'.encode('utf-16-le').ljust(72, b'\0')
    array = entry.ljust(512, b'\0')
    table = partition_tables
    for place, sector in enumerate((
            table.mbr(table.mbr_entry(0xee, 1, 31)),
            table.gpt_header(1, 31, 2, zlib.crc32(array)), array)):
        image.put(image.data_cluster(place) * 512, sector)
    return image


def _compressed(shop):
    """Compressed clusters that share host clusters, the last one at the end of
    the file."""
    return shop.make('cluster_size=4k', size='64k', commands=(
        'write -P 0x61 0 4k', 'write -c -P 0x62 8k 4k',
        'write -c -P 0x63 16k 4k', 'write -c -P 0x64 24k 4k'))


RICH = {
    'compressed': _compressed,
    'everything': _everything,
    'extended': _extended,
    'luks': _luks,
    'data-file': _data_file,
    'scattered': _scattered,
    'markup': _names,
    'markup-partitions': _markup_partitions,
}


def seeds(shop):
    """(name, bytes) of the images themselves."""
    for name, make in RICH.items():
        yield name, bytes(make(shop).data)


# ---- with one thing wrong ----------------------------------------------------


def _pointers(image):
    """(name, offset of the word, mask of the offset in it) of all that names a
    place in the file."""
    table = image.get('l1_table_offset')
    yield 'l1-offset', 40, ~0
    yield 'refcount-table', 48, ~0
    yield 'refcount-block', image.get('refcount_table_offset'), ~0
    yield 'refcount-block-1', image.get('refcount_table_offset') + 8, ~0
    if image.get('nb_snapshots'):
        yield 'snapshot-table', 64, ~0
        for i, snapshot in enumerate(image.snapshots()):
            yield f'snapshot-{i}', snapshot.offset, ~0
            yield (f'snapshot-{i}-l1', snapshot.l1_table_offset, q.OFFSET_MASK)
    for index in range(image.get('l1_size')):
        if not image.l2_table(index):
            continue
        yield f'l1-{index}', table + 8 * index, q.OFFSET_MASK
        first = index * image.l2_entries
        used = [guest for guest in range(first, first + image.l2_entries)
                if image.l2_entry(guest)]
        # Of each kind the first few.
        for compressed in (0, q.COMPRESSED):
            alike = (guest for guest in used
                     if image.l2_entry(guest) & q.COMPRESSED == compressed)
            for guest in itertools.islice(alike, 4):
                yield f'l2-{guest}', image.l2_entry_offset(guest), q.OFFSET_MASK
    if image.extension(q.EXT_BITMAPS):
        place = image.extension(q.EXT_BITMAPS).offset
        yield 'bitmap-directory', place + 16, ~0
        for i, bitmap in enumerate(image.bitmaps()):
            yield f'bitmap-{i}', bitmap.offset, ~0
            yield f'bitmap-{i}-0', bitmap.table_offset, q.OFFSET_MASK
    if image.extension(q.EXT_LUKS):
        yield 'luks', image.extension(q.EXT_LUKS).offset, ~0


def _retargeted(image):
    """Each pointer at what each other one names, and near its own place."""
    pointers = list(_pointers(image))
    targets = {0: 'header'}
    for name, at, mask in pointers:
        targets.setdefault(image.get64(at) & mask & q.OFFSET_MASK, name)
    for name, at, mask in pointers:
        word = image.get64(at)
        changes = [(f'to-{target}', (word & ~mask) | (offset & mask))
                   for offset, target in targets.items()]
        changes += [(f'bit-{bit}', word ^ (1 << bit))
                    for bit in (0, 1, 5, 8, 9, 10, 12, 13, 16, 20, 40, 54, 57,
                                58, 59, 60, 61, 62, 63)]
        changes += [('behind-end', (word & ~mask) |
                     (len(image.data) + 4 * image.cluster_size & mask)),
                    ('last', (word & ~mask) |
                     ((image.clusters - 1) * image.cluster_size & mask))]
        for change, value in changes:
            if value == word:
                continue
            damaged = image.copy()
            damaged.put64(at, value & (1 << 64) - 1)
            yield f'{name}-{change}', damaged


def _fields(image):
    """Numbers at other values."""
    places = [(name, *place) for name, place in q.HEADER_FIELDS.items()
              if name not in ('magic', 'version')]
    if image.get('nb_snapshots'):
        for i, snapshot in enumerate(image.snapshots()):
            places += [(f'snapshot-{i}-{name}', snapshot.offset + offset, size)
                       for name, (offset, size) in q.SNAPSHOT_FIELDS.items()]
            places += [(f'snapshot-{i}-extra-{k}', snapshot.offset + 40 + k, 8)
                       for k in (0, 8)]
    if image.extension(q.EXT_BITMAPS):
        for i, bitmap in enumerate(image.bitmaps()):
            places += [(f'bitmap-{i}-{name}', bitmap.offset + offset, size)
                       for name, (offset, size) in q.BITMAP_FIELDS.items()]
        place = image.extension(q.EXT_BITMAPS).offset
        places += [('bitmaps-count', place, 4), ('bitmaps-reserved', place + 4,
                                                 4),
                   ('bitmaps-size', place + 8, 8)]
    if image.extension(q.EXT_LUKS):
        area, _ = image.luks_pointer()
        places += [('luks-length', image.extension(q.EXT_LUKS).offset + 8, 8),
                   ('luks-version', area + 6, 2), ('luks-cipher', area + 8, 4),
                   ('luks-name-end', area + 36, 4),
                   ('luks-hash', area + 72, 4),
                   ('luks-payload', area + 104, 4), ('luks-key', area + 108, 4),
                   ('luks-digest', area + 112, 4),
                   ('luks-iterations', area + 164, 4)]
        for slot in range(3):
            at = area + SLOTS_OFFSET + slot * SLOT_BYTES
            places += [(f'slot-{slot}-{name}', at + offset, 4)
                       for name, offset in (('state', 0), ('iterations', 4),
                                            ('material', 40), ('stripes', 44))]
    for name, at, size in places:
        old = image.get_int(at, size)
        top = (1 << 8 * size) - 1
        for value in {0, 1, old + 1, max(old - 1, 0), old * 2, old // 2, 9, 16,
                      1000, top >> 1, top, old ^ (1 << 8 * size - 3)}:
            if value > top or value == old:
                continue
            damaged = image.copy()
            damaged.put_int(at, size, value)
            yield f'{name}-{value:x}', damaged


def _extensions(image):
    """Lengths, kinds and copies of header extensions."""
    found = image.extensions()
    for extension in found:
        for length in (0, 1, 5, len(extension.data) - 1,
                       len(extension.data) + 8, 40, 0x300, 0x4000, 0xffffffff):
            if length < 0:
                continue
            for content in (None, 0xff, 0):
                damaged = image.copy()
                damaged.put_int(extension.offset - 4, 4, length)
                if content is not None:
                    damaged.put(extension.offset,
                                bytes([content]) * len(extension.data))
                yield (f'{extension.type:x}-{length:x}-{content}', damaged)
        damaged = image.copy()
        try:
            damaged.add_extension(extension.type, extension.data)
            yield f'{extension.type:x}-twice', damaged
        except ValueError:
            pass
    feature = image.extension(q.EXT_FEATURE_NAMES)
    base = image.copy()
    if feature is not None:
        for row, value in ((0, 9), (1, 0x70)):
            damaged = image.copy()
            damaged.put_int(feature.offset + 48 + row, 1, value)
            yield f'feature-{row}', damaged
        base.remove_extension(q.EXT_FEATURE_NAMES)
    for kind, data in ((q.EXT_LUKS, struct.pack('>QQ', 0x400, 0x1000)),
                       (q.EXT_LUKS, struct.pack('>QQ', 1, 2)),
                       (q.EXT_DATA_FILE, b'other.data'),
                       (q.EXT_BACKING_FORMAT, b'qcow2'),
                       (q.EXT_BACKING_FORMAT, b'far too long a name of a format'),
                       (0x12345678, b'unknown')):
        for length in (None, 0x2000, 40, 3):
            damaged = base.copy()
            try:
                damaged.add_extension(kind, data)
            except ValueError:
                continue
            if length is not None:
                damaged.put_int(damaged.extension(kind).offset - 4, 4, length)
            yield f'{kind:x}-added-{length}-{data[:3].hex()}', damaged


def _counts(image):
    """Refcounts and leaks."""
    for cluster in range(min(image.clusters, 40)):
        for value in (0, 2, 3):
            damaged = image.copy()
            if damaged.refcount(cluster) == value:
                continue
            try:
                damaged.set_refcount(cluster, value)
            except (ValueError, TypeError):
                continue
            yield f'refcount-{cluster}-{value}', damaged
    for cluster in range(1, min(image.clusters, 60)):
        for filling in (0, 0xff):
            damaged = image.copy()
            damaged.put(cluster * image.cluster_size,
                        bytes([filling]) * image.cluster_size)
            yield f'cluster-{cluster}-{filling:x}', damaged
    for clusters in (1, 2, 5, image.clusters // 2, image.clusters - 3):
        damaged = image.copy()
        damaged.truncate(len(image.data) - clusters * image.cluster_size)
        if damaged.data:
            yield f'cut-{clusters}', damaged


def _subclusters(image):
    if not image.extended_l2:
        return
    for guest in range(8):
        for value in (0, 1, 1 << 32, 0x100000001, (1 << 64) - 1, 0xffffffff,
                      0xffffffff << 32):
            damaged = image.copy()
            damaged.set_subclusters(guest, value)
            yield f'subclusters-{guest}-{value:x}', damaged


def candidates(shop):
    """(name, bytes): with one thing wrong, and two at random."""
    makers = (_retargeted, _fields, _extensions, _counts, _subclusters)
    for seed, make in RICH.items():
        image = make(shop)
        bytes_of = [(f'{seed}-{name}', damaged.data) for maker in makers
                    for name, damaged in maker(image)]
        for number, (name, data) in enumerate(bytes_of):
            # The last byte chooses how it is repaired.
            choice = (0, 3, number // 3 % 16)[number % 3]
            yield f'{name}-{choice:x}', bytes(data) + bytes([choice])
        rng = random.Random(seed)
        for number in range(len(bytes_of)):
            first = bytearray(rng.choice(bytes_of)[1])
            second = rng.choice(bytes_of)[1]
            # The differences of the second on top of the first.
            for at, (old, new) in enumerate(zip(image.data, second)):
                if old != new and at < len(first):
                    first[at] = new
            yield (f'{seed}-pair-{number}',
                   bytes(first) + bytes([rng.randrange(16)]))


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, data in candidates(workshop.Workshop()):
        with open(os.path.join(sys.argv[1], name), 'wb') as file:
            file.write(data)


if __name__ == '__main__':
    main()
