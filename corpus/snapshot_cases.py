"""Damaged snapshot tables and bitmaps: problems 701 to 812.

Where a table is not reached any more its clusters are freed, so that only the
damage itself is left."""

import struct

import qcow2_patcher as q
from workshop import MIB, case

PAST_END = 1 * MIB


def _with_field(shop, field, value):
    """The snapshot of an empty disk with one field of its entry changed."""
    image = shop.base('empty-snapshot')
    image.set_snapshot_field(0, field, value)
    image.fix_refcounts()
    return image


@case('snapshot-table-past-end-name', 'The second snapshot\'s name reaches '
      'past the end of the file, and the table with it.')
def _(c, shop):
    image = shop.make('cluster_size=4k', then=[
        ('snapshot', '-c', 'first', 'base.qcow2'),
        ('snapshot', '-c', 'second', 'base.qcow2')])
    image.set_snapshot_field(1, 'name_size', 0xffff)
    c.expect('snapshot-table-past-end', count=1)
    return image


@case('snapshot-l1-unaligned', 'A snapshot\'s L1 table is not aligned.')
def _(c, shop):
    image = shop.base('empty-snapshot')
    offset = image.snapshots()[0].l1_table_offset + 512
    c.expect('snapshot-l1-unaligned', count=1, actual=offset)
    return _with_field(shop, 'l1_table_offset', offset)


@case('snapshot-l1-unaligned-and-bitmap', 'Neither a snapshot\'s L1 table nor '
      'a bitmap\'s table is aligned. What the bitmap leaves behind may be the '
      'snapshot\'s.')
def _(c, shop):
    image = shop.make('cluster_size=4k', commands=['write -P 0x61 0 8k'],
                      then=[('snapshot', '-c', 'before', 'base.qcow2'),
                            ('bitmap', '--add', 'base.qcow2', 'b')])
    image.set_snapshot_field(0, 'l1_table_offset', 0x100)
    image.set_bitmap_field(0, 'table_offset', 0x100)
    c.expect('snapshot-l1-unaligned', count=1, actual=0x100)
    c.expect('bitmap-directory-entry', count=1)
    c.expect('orphan-l2-table')
    c.expect('cluster-leaked')
    c.expect('refcount-too-high')
    return image


@case('snapshot-l1-is-guest-data', 'A snapshot\'s L1 table lies where guest data '
      'does, which it shares with the disk; which of its L2 tables was which is '
      'open.')
def _(c, shop):
    shop.make('cluster_size=4k',
              commands=['write -P 0x61 0 8k', 'write -P 0x62 2M 8k'],
              then=[('snapshot', '-c', 'before', 'base.qcow2')])
    shop.io('write -P 0x63 0 4k', 'write -P 0x64 2M 4k')
    image = shop.load()
    image.set_snapshot_field(0, 'l1_table_offset', image.data_cluster(1) *
                             image.cluster_size)
    c.expect('l1-entry-past-end')
    c.expect('l1-entry-reserved')
    c.expect('overlap-guest-data')
    c.expect('orphan-l2-table')
    c.expect('cluster-leaked')
    c.expect('refcount-too-high')
    return image


@case('snapshot-l1-past-end',
      'A snapshot\'s L1 table lies past the end of the file.')
def _(c, shop):
    c.expect('snapshot-l1-past-end', count=1, actual=PAST_END)
    return _with_field(shop, 'l1_table_offset', PAST_END)


@case('snapshot-l1-too-large', 'A snapshot\'s L1 table claims 2^31 entries.')
def _(c, shop):
    c.expect('snapshot-l1-too-large', count=1, actual=1 << 31,
             expected=(32 * MIB) // 8)
    return _with_field(shop, 'l1_size', 1 << 31)


@case('snapshot-l1-too-small',
      'A snapshot\'s L1 table has one entry where its disk needs two.')
def _(c, shop):
    c.expect('snapshot-l1-too-small', count=1, actual=1, expected=2)
    return _with_field(shop, 'l1_size', 1)


@case('snapshot-l1-cut-short', 'A snapshot\'s L1 table is half as long as its '
      'disk needs, and guest data lies where it would go on.')
def _(c, shop):
    image = shop.make('cluster_size=512', commands=['write -P 0x61 0 512'],
                      then=[('snapshot', '-c', 'before', 'base.qcow2')])
    image.set_snapshot_field(0, 'l1_size', 64)
    behind = image.snapshots()[0].l1_table_offset + 512
    image.set_l2_entry(1, behind)
    image.put(behind, b'b' * 512)
    image.fix_refcounts()
    c.expect('snapshot-l1-too-small', count=1, actual=64, expected=128)
    return image


def _with_snapshots(image, snapshots):
    """Writes a changed table over the old one and frees what is not named."""
    start = image.get('snapshots_offset')
    image.put(start, bytes(image.cluster_size))
    image.set_snapshots(snapshots)
    image.fix_refcounts()
    return image


@case('snapshot-extra-short',
      'A snapshot of a version 3 image with 8 bytes of extra data.')
def _(c, shop):
    image = shop.base('empty-snapshot')
    snapshots = image.snapshots()
    snapshots[0].extra = snapshots[0].extra[:8]
    c.expect('snapshot-extra-short', count=1, actual=8, expected=16)
    return _with_snapshots(image, snapshots)


@case('snapshot-extra-long', 'A snapshot with 2000 bytes of extra data.')
def _(c, shop):
    image = shop.base('empty-snapshot')
    snapshots = image.snapshots()
    snapshots[0].extra = snapshots[0].extra.ljust(2000, b'\0')
    c.expect('snapshot-extra-long', count=1, actual=2000, expected=1024)
    return _with_snapshots(image, snapshots)


@case('snapshot-duplicate-id', 'Two snapshots with the ID 1.')
def _(c, shop):
    image = shop.base('two-snapshots')
    snapshots = image.snapshots()
    snapshots[1].id = snapshots[0].id
    c.expect('snapshot-duplicate-id', count=1)
    return _with_snapshots(image, snapshots)


@case('snapshot-disk-size', 'A snapshot of a disk of 4 EiB.')
def _(c, shop):
    image = shop.base('empty-snapshot')
    snapshots = image.snapshots()
    extra = snapshots[0].extra
    snapshots[0].extra = extra[:8] + struct.pack('>Q', 1 << 62) + extra[16:]
    c.expect('snapshot-disk-size', count=1, actual=1 << 62)
    return _with_snapshots(image, snapshots)


@case('snapshot-data-file',
      'A snapshot in an image with an external data file.')
def _(c, shop):
    image = shop.base('data-file')
    c.files['disk.data'] = shop.data_file_bytes
    table = image.allocate(1)
    l1_table = image.allocate(1)
    image.set('snapshots_offset', table)
    image.set_snapshots([q.Snapshot(l1_table, 2, b'1', b'before',
                                    struct.pack('>QQ', 0, 4 * MIB))])
    c.expect('snapshot-data-file', actual=1)
    return image


@case('snapshot-table-too-large', 'Snapshots with names of 65535 bytes make '
      'a table of more than 64 MiB.')
def _(c, shop):
    image = shop.make('cluster_size=64k')
    # Entries with an L1 table of no length: nothing is counted but the table.
    size = len(q.Snapshot(0, 0, bytes(0xffff), bytes(0xffff),
                          bytes(16)).encode())
    number = 64 * MIB // size + 1
    table = image.clusters * image.cluster_size
    image.truncate(table + number * size)
    for index in range(number):
        entry = table + index * size
        struct.pack_into('>QIHH', image.data, entry, 0, 0, 0xffff, 0xffff)
        struct.pack_into('>I', image.data, entry + 36, 16)
        struct.pack_into('>I', image.data, entry + 40 + 16, index + 1)  # ID
    # What lies within the limit is counted.
    first = table // image.cluster_size
    last = (table + (number - 1) * size - 1) // image.cluster_size
    for cluster in range(first, last + 1):
        image.set_refcount(cluster, 1)
    image.set('snapshots_offset', table)
    image.set('nb_snapshots', number)
    c.expect('snapshot-table-too-large', expected=64 * MIB)
    return image


# ---- bitmaps ------------------------------------------------------------------------


def _retire(image):
    """Frees what belongs to the bitmaps; they are reached no more."""
    image.clear_bits('autoclear_features', q.BITMAPS_CONSISTENT)
    image.fix_refcounts()
    image.set_bits('autoclear_features', q.BITMAPS_CONSISTENT)


@case('bitmaps-stale', 'A program without bitmap support cleared the '
      'autoclear bit: the bitmaps\' clusters are leaked.')
def _(c, shop):
    image = shop.base('bitmap')
    image.clear_bits('autoclear_features', q.BITMAPS_CONSISTENT)
    c.expect('bitmaps-stale', actual=1)
    c.expect('cluster-leaked', count=3)
    return image


@case('bitmap-extension-reserved',
      'The reserved word of the bitmaps extension is not zero.')
def _(c, shop):
    image = shop.base('bitmap')
    number, _, size, offset = image.bitmap_extension()
    image.set_bitmap_extension(number, 1, size, offset)
    c.expect('bitmap-extension')
    return image


@case('bitmap-extension-none', 'A bitmaps extension that says there are none, '
      'though the directory has one.')
def _(c, shop):
    image = shop.base('bitmap')
    _, _, size, offset = image.bitmap_extension()
    image.set_bitmap_extension(0, 0, size, offset)
    c.expect('bitmap-extension')
    c.expect('bitmap-count', actual=1, expected=0)
    return image


@case('bitmap-extension-unaligned',
      'The bitmap directory offset is not cluster aligned.')
def _(c, shop):
    image = shop.base('bitmap')
    number, _, size, offset = image.bitmap_extension()
    _retire(image)
    image.set_bitmap_extension(number, 0, size, offset + 8)
    c.expect('bitmap-extension')
    return image


@case('bitmap-directory-past-end', 'The bitmap directory lies past the end.')
def _(c, shop):
    image = shop.base('bitmap')
    number, _, size, _ = image.bitmap_extension()
    _retire(image)
    image.set_bitmap_extension(number, 0, size, PAST_END)
    c.expect('bitmap-directory-past-end', actual=PAST_END)
    return image


def _directory_entry_case(name, description, field, value):
    @case(name, description)
    def _(c, shop):
        image = shop.base('bitmap')
        image.set_bitmap_field(0, field, value)
        c.expect('bitmap-directory-entry', count=1)
        return image


_directory_entry_case('bitmap-directory-entry-granularity',
                      'A granularity of 2^40 bytes.', 'granularity_bits', 40)
_directory_entry_case('bitmap-directory-entry-flags',
                      'An unknown flag on a bitmap.', 'flags', 0x80)


@case('bitmap-directory-entry-name', 'A bitmap without a name.')
def _(c, shop):
    image = shop.base('bitmap')
    image.set_bitmap_field(0, 'name_size', 0)
    number, _, _, offset = image.bitmap_extension()
    image.set_bitmap_extension(number, 0, q.BITMAP_FIXED_BYTES, offset)
    c.expect('bitmap-directory-entry', count=1)
    return image


@case('bitmap-directory-entry-cut', 'The directory ends inside the name of '
      'its only bitmap, whose clusters are lost with it.')
def _(c, shop):
    image = shop.base('bitmap')
    number, _, _, offset = image.bitmap_extension()
    _retire(image)
    image.set_refcount(offset // image.cluster_size, 1)
    image.set_bitmap_extension(number, 0, q.BITMAP_FIXED_BYTES, offset)
    c.expect('bitmap-directory-entry', count=1)
    c.expect('bitmap-count', actual=0, expected=1)
    return image


@case('bitmap-count', 'The extension says 2 bitmaps, the directory has one.')
def _(c, shop):
    image = shop.base('bitmap')
    _, _, size, offset = image.bitmap_extension()
    image.set_bitmap_extension(2, 0, size, offset)
    c.expect('bitmap-count', actual=1, expected=2)
    return image


@case('bitmap-table-past-end', 'A bitmap table past the end of the file.')
def _(c, shop):
    image = shop.base('bitmap')
    image.set_bitmap_field(0, 'table_offset', PAST_END)
    image.fix_refcounts()
    c.expect('bitmap-table-past-end', count=1, actual=PAST_END)
    return image


@case('bitmap-table-entry', 'A reserved bit in a bitmap table entry.')
def _(c, shop):
    image = shop.base('bitmap')
    table = image.bitmaps()[0].table_offset
    image.put64(table, 1 << 57)
    image.fix_refcounts()
    c.expect('bitmap-table-entry', count=1, actual=1 << 57)
    return image


@case('bitmap-data-past-end', 'Bitmap data past the end of the file.')
def _(c, shop):
    image = shop.base('bitmap')
    image.put64(image.bitmaps()[0].table_offset, PAST_END)
    image.fix_refcounts()
    c.expect('bitmap-data-past-end', count=1, actual=PAST_END)
    return image


@case('bitmap-size', 'A bitmap table of two entries where the disk needs one.')
def _(c, shop):
    image = shop.base('bitmap')
    image.set_bitmap_field(0, 'table_size', 2)
    c.expect('bitmap-size', count=1, actual=2, expected=1)
    return image


@case('bitmap-duplicate-name', 'Two bitmaps of one name.')
def _(c, shop):
    image = shop.make('cluster_size=4k', then=[
        ('bitmap', '--add', 'base.qcow2', 'nightly'),
        ('bitmap', '--add', 'base.qcow2', 'weekly_')])
    second = image.bitmaps()[1]
    image.put(second.offset + q.BITMAP_FIXED_BYTES, b'nightly')
    c.expect('bitmap-duplicate-name', count=1)
    return image


@case('bitmap-in-use', 'A bitmap marked as in use: worth a note.')
def _(c, shop):
    image = shop.base('bitmap')
    image.set_bitmap_field(0, 'flags', image.bitmaps()[0].flags | 1)
    c.expect('bitmap-in-use', count=1)
    return image


@case('bitmap-tail', 'Bits past the end of the disk are set in a bitmap.',
      deep=True)
def _(c, shop):
    image = shop.base('bitmap')
    # 4 MiB in steps of 64 KiB: 64 bits, 8 bytes.
    data = image.get64(image.bitmaps()[0].table_offset) & q.OFFSET_MASK
    image.put(data + 8, b'\x01')
    c.expect('bitmap-tail', count=1)
    return image
