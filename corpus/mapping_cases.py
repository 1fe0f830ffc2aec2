"""Damaged L1 and L2 tables: problems 401 to 523 and, with --deep, 1101.

Where an entry no longer leads to its cluster the refcounts are brought in line
afterwards, so that the cluster it named is free and not leaked."""

import qcow2_patcher as q
from workshop import KIB, MIB, case

PAST_END = 1 * MIB


# ---- L1 ----------------------------------------------------------------------


@case('l1-entry-unaligned', 'An L1 entry with a bit below the cluster size.')
def _(c, shop):
    image = shop.base('plain')
    offset = image.l2_table(1) | 0x200
    image.set_l1_entry(1, offset)
    image.fix_refcounts()
    c.expect('l1-entry-unaligned', count=1, actual=offset,
             location={'index': 1})
    return image


@case('l1-entry-unaligned-snapshot', 'A snapshot\'s L1 entry is unaligned.')
def _(c, shop):
    image = shop.base('two-snapshots')
    table = image.snapshots()[0].l1_table_offset
    image.put64(table, image.get64(table) & ~q.COPIED | 0x400)
    image.fix_refcounts()
    image.fix_copied()
    c.expect('l1-entry-unaligned', count=1,
             location={'table_offset': table, 'index': 0,
                       'snapshot': 'first'})
    return image


@case('l1-entry-reserved', 'A reserved bit in an L1 entry.')
def _(c, shop):
    image = shop.base('plain')
    entry = image.l1_entry(1) | 1 << 57
    image.set_l1_entry(1, entry)
    c.expect('l1-entry-reserved', count=1, actual=entry,
             location={'index': 1})
    return image


@case('l1-entry-past-end', 'An L2 table past the end of the file.')
def _(c, shop):
    image = shop.base('plain')
    image.set_l1_entry(1, PAST_END)
    image.fix_refcounts()
    c.expect('l1-entry-past-end', count=1, actual=PAST_END,
             location={'index': 1})
    return image


@case('l1-copied-wrong', 'COPIED is set on an L2 table shared with a snapshot.')
def _(c, shop):
    image = shop.base('snapshot')
    image.set_l1_entry(0, image.l1_entry(0) | q.COPIED)
    c.expect('l1-copied-wrong', count=1, actual=2, location={'index': 0})
    return image


@case('l1-copied-missing', 'COPIED is clear on an L2 table used once.')
def _(c, shop):
    image = shop.base('plain')
    image.set_l1_entry(0, image.l1_entry(0) & ~q.COPIED)
    c.expect('l1-copied-missing', count=1, location={'index': 0})
    return image


@case('l2-table-referenced-twice', 'Two L1 entries name one L2 table; the '
      'stored refcounts agree.')
def _(c, shop):
    image = shop.base('plain')
    table = image.l2_table(0)
    image.set_l1_entry(1, table)
    image.set_l1_entry(0, table)
    image.fix_refcounts()
    image.fix_copied()
    c.expect('l2-table-referenced-twice', count=1, actual=table, expected=0,
             location={'index': 1})
    return image


@case('l1-entry-no-offset', 'An L1 entry that is COPIED and nothing else.')
def _(c, shop):
    image = shop.base('empty')
    image.set_l1_entry(1, q.COPIED)
    c.expect('l1-entry-no-offset', count=1, actual=q.COPIED,
             location={'index': 1})
    return image


# ---- L2 ----------------------------------------------------------------------


@case('l2-entry-unaligned', 'An L2 entry with a bit below the cluster size.')
def _(c, shop):
    image = shop.base('plain')
    offset = (image.l2_entry(1) & q.OFFSET_MASK) | 0x800
    image.set_l2_entry(1, offset)
    image.fix_refcounts()
    c.expect('l2-entry-unaligned', count=1, actual=offset,
             location={'table_offset': image.l2_table(0), 'index': 1},
             guest=[{'offset': 4096, 'length': 4096}])
    return image


@case('l2-entry-unaligned-snapshot',
      'An unaligned entry in an L2 table that only a snapshot uses.')
def _(c, shop):
    image = shop.base('two-snapshots')
    table = image.get64(image.snapshots()[0].l1_table_offset) & q.OFFSET_MASK
    offset = (image.get64(table + 8) & q.OFFSET_MASK) | 0x800
    image.put64(table + 8, offset)
    image.fix_refcounts()
    image.fix_copied()
    c.expect('l2-entry-unaligned', count=1, actual=offset,
             location={'table_offset': table, 'index': 1},
             guest=[{'offset': 4096, 'length': 4096, 'snapshot': 'first'}])
    return image


@case('l2-entry-reserved', 'A reserved bit in an L2 entry.')
def _(c, shop):
    image = shop.base('plain')
    entry = image.l2_entry(1) | 1 << 57
    image.set_l2_entry(1, entry)
    c.expect('l2-entry-reserved', count=1, actual=entry,
             location={'table_offset': image.l2_table(0), 'index': 1},
             guest=[{'offset': 4096, 'length': 4096}])
    return image


@case('l2-entry-past-end', 'A guest cluster past the end of the file.')
def _(c, shop):
    image = shop.base('plain')
    image.set_l2_entry(1, PAST_END)
    image.fix_refcounts()
    c.expect('l2-entry-past-end', count=1, actual=PAST_END,
             location={'table_offset': image.l2_table(0), 'index': 1},
             guest=[{'offset': 4096, 'length': 4096}])
    return image


@case('l2-entry-past-end-orphan', 'A bit of an L2 entry has flipped: it names '
      'a cluster past the end, and the one it named is leaked.')
def _(c, shop):
    image = shop.base('plain')
    cluster = image.data_cluster(1)
    image.set_l2_entry(1, image.l2_entry(1) ^ 1 << 30)
    c.expect('l2-entry-past-end', count=1, location={'index': 1})
    c.expect('cluster-leaked', count=1, host={'first_cluster': cluster})
    return image


@case('file-cut-off', 'The file lost its last three clusters: an L2 table '
      'and its data are gone, and their counts are left.')
def _(c, shop):
    image = shop.base('plain')
    table = image.l2_table(1)
    image.truncate(table - 4096)
    c.expect('l1-entry-past-end', count=1, actual=table)
    c.expect('l2-entry-past-end', count=1)
    c.expect('refcount-past-end', count=3)
    return image


@case('l2-copied-wrong', 'COPIED is set on a cluster shared with a snapshot.')
def _(c, shop):
    image = shop.base('snapshot')
    image.set_l2_entry(1, image.l2_entry(1) | q.COPIED)
    c.expect('l2-copied-wrong', count=1, expected=2,
             location={'table_offset': image.l2_table(0), 'index': 1})
    return image


@case('l2-copied-missing', 'COPIED is clear on clusters used once.')
def _(c, shop):
    image = shop.base('plain')
    for guest in (0, 1):
        image.set_l2_entry(guest, image.l2_entry(guest) & ~q.COPIED)
    c.expect('l2-copied-missing', count=2)
    return image


@case('compressed-copied', 'A compressed cluster with COPIED set.')
def _(c, shop):
    image = shop.base('compressed')
    entry = image.l2_entry(1) | q.COPIED
    image.set_l2_entry(1, entry)
    c.expect('compressed-copied', count=1, actual=entry,
             location={'index': 1})
    return image


@case('compressed-past-end', 'Compressed data past the end of the file.')
def _(c, shop):
    image = shop.base('compressed')
    image.set_l2_entry(1, image.compressed_entry(PAST_END + 100, 0))
    image.fix_refcounts()
    c.expect('compressed-past-end', count=1, location={'index': 1})
    return image


@case('zero-flag-version-2', 'The zero flag in a version 2 image.')
def _(c, shop):
    image = shop.base('plain-v2')
    image.set_l2_entry(1, image.l2_entry(1) | q.ZERO_FLAG)
    c.expect('zero-flag-version-2', count=1, location={'index': 1})
    return image


@case('zero-flag-extended-l2', 'The zero flag in an extended L2 entry.')
def _(c, shop):
    image = shop.base('extended')
    image.set_l2_entry(1, image.l2_entry(1) | q.ZERO_FLAG)
    c.expect('zero-flag-extended-l2', count=1, location={'index': 1})
    return image


@case('subcluster-contradiction',
      'Subcluster 2 is both allocated and zero.')
def _(c, shop):
    image = shop.base('extended')
    image.set_subclusters(0, image.subclusters(0) | 1 << 34)
    c.expect('subcluster-contradiction', count=1, location={'index': 0})
    return image


@case('subcluster-without-offset',
      'Subclusters are allocated, but the entry names no cluster.')
def _(c, shop):
    image = shop.base('extended')
    image.set_l2_entry(0, 0)
    image.fix_refcounts()
    c.expect('subcluster-without-offset', count=1, location={'index': 0})
    return image


@case('compressed-bitmap', 'A compressed cluster with a subcluster bitmap.')
def _(c, shop):
    image = shop.make('cluster_size=16k,extended_l2=on',
                      commands=['write -c -P 0x61 0 16k'])
    image.set_subclusters(0, 1)
    c.expect('compressed-bitmap', count=1, actual=1, location={'index': 0})
    return image


@case('compressed-data-file',
      'A compressed cluster in an image with an external data file.')
def _(c, shop):
    image = shop.base('data-file')
    c.files['disk.data'] = shop.data_file_bytes
    data = image.allocate(1, refcount=0)
    image.set_l2_entry(7, image.compressed_entry(data, 0))
    c.expect('compressed-data-file', count=1, location={'index': 7})
    return image


@case('guest-cluster-shared', 'Two guest clusters on one host cluster, both '
      'with COPIED; the stored refcount agrees.')
def _(c, shop):
    image = shop.base('plain')
    image.set_l2_entry(1, image.l2_entry(0))
    image.fix_refcounts()
    c.expect('guest-cluster-shared', expected=2)
    c.expect('l2-copied-wrong', count=2, expected=2)
    return image


@case('data-file-offset', 'With a raw data file an entry names another '
      'offset than its own.')
def _(c, shop):
    image = shop.base('raw-data-file')
    c.files['disk.data'] = bytes(4 * MIB)
    image.set_l2_entry(1, q.COPIED | 64 * KIB)
    c.expect('data-file-offset', count=1, actual=64 * KIB, expected=4 * KIB,
             location={'index': 1})
    return image


@case('data-file-entry-past-end', 'An entry past the end of the data file.')
def _(c, shop):
    image = shop.base('data-file')
    c.files['disk.data'] = shop.data_file_bytes
    image.set_l2_entry(1, q.COPIED | 64 * MIB)
    c.expect('data-file-entry-past-end', count=1, actual=64 * MIB,
             location={'index': 1})
    return image


# ---- patterns seen in the field --------------------------------------------------


@case('l2-table-is-refcount-block', 'A refcount block was written over an L2 '
      'table; every word of it names a cluster far past the end.')
def _(c, shop):
    image = shop.base('plain')
    table = image.l2_table(1)
    image.put(table, b'\0\1' * (image.cluster_size // 2))
    image.fix_refcounts()
    c.expect('l2-table-is-refcount-block', count=1)
    c.expect('l2-entry-past-end', count=512)
    return image


@case('l2-table-is-guest-data',
      'Text was written over an L2 table that mapped one guest cluster.')
def _(c, shop):
    image = shop.base('plain')
    table = image.l2_table(1)
    text = b'The quick brown fox jumps over the lazy dog. '
    image.put(table, (text * 100)[:image.cluster_size])
    image.fix_refcounts()
    c.expect('l2-table-is-guest-data', count=1)
    c.expect('compressed-past-end')
    c.expect('l2-entry-past-end')
    c.expect('l2-entry-unaligned')
    c.expect('l2-entry-reserved')
    return image


@case('l2-table-wiped', 'An L2 table that mapped 64 guest clusters is all '
      'zeros; its clusters are leaked.')
def _(c, shop):
    image = shop.base('filled')
    image.put(image.l2_table(1), bytes(image.cluster_size))
    c.expect('l2-table-wiped', count=1)
    c.expect('cluster-leaked', count=64)
    return image


@case('orphan-l2-table', 'The L1 entry of an L2 table that maps 64 guest '
      'clusters was cleared: all of them and the table are leaked.')
def _(c, shop):
    image = shop.base('filled')
    image.set_l1_entry(1, 0)
    c.expect('orphan-l2-table', count=1)
    c.expect('cluster-leaked', count=65)
    return image


# ---- --deep -----------------------------------------------------------------------


@case('compressed-undecodable', 'Compressed data overwritten with zeros '
      'decodes to no cluster.', deep=True)
def _(c, shop):
    image = shop.base('compressed')
    offset, length = image.compressed_range(image.l2_entry(1))
    image.put(offset, b'\xff' * min(length, 16))
    c.expect('compressed-undecodable', count=1, location={'index': 1})
    return image


@case('compressed-undecodable-zstd',
      'A zstd frame whose first bytes were overwritten.', deep=True)
def _(c, shop):
    image = shop.make('cluster_size=4k,compression_type=zstd', commands=[
        'write -c -P 0x61 0 4k', 'write -c -P 0x62 4k 4k'])
    offset, _ = image.compressed_range(image.l2_entry(0))
    image.put(offset, bytes(8))
    c.expect('compressed-undecodable', count=1, location={'index': 0})
    return image
