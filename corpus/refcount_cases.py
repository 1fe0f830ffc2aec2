"""Damaged refcount structures and overlaps: problems 301 to 314, 601, 602."""

import qcow2_patcher as q
from workshop import MIB, case

PAST_END = 1 * MIB


def _spare_table_entry(value):
    """Puts a value into a refcount table entry that nothing needs."""
    def change(shop):
        image = shop.base('plain')
        image.set_refcount_table_entry(1, value)
        return image
    return change


@case('refcount-table-entry-reserved',
      'A reserved bit in an unused refcount table entry.')
def _(c, shop):
    c.expect('refcount-table-entry-reserved', actual=1, location={'index': 1})
    return _spare_table_entry(1)(shop)


@case('refcount-block-unaligned',
      'A refcount table entry that is not cluster aligned.')
def _(c, shop):
    c.expect('refcount-block-unaligned', actual=0x3200, location={'index': 1})
    return _spare_table_entry(0x3200)(shop)


@case('refcount-block-past-end',
      'A refcount block past the end of the file.')
def _(c, shop):
    c.expect('refcount-block-past-end', actual=PAST_END,
             location={'index': 1})
    return _spare_table_entry(PAST_END)(shop)


@case('refcount-block-duplicate', 'Two refcount table entries name one block; '
      'the stored refcount agrees.')
def _(c, shop):
    image = shop.base('plain')
    block = image.refcount_table_entry(0)
    image.set_refcount_table_entry(1, block)
    image.fix_refcounts()
    c.expect('refcount-block-duplicate', actual=block, expected=0,
             location={'index': 1})
    return image


@case('refcount-block-shared', 'The refcount block is guest data, too, and '
      'the stored refcount agrees.')
def _(c, shop):
    image = shop.base('plain')
    block = image.refcount_table_entry(0)
    image.set_l2_entry(7, block)
    image.fix_refcounts()
    c.expect('refcount-block-shared', actual=block)
    c.expect('overlap-guest-data', host={'offset': block},
             owners=['refcount block', 'guest data'])
    return image


@case('refcount-block-missing',
      'The refcount table entry of the only block is zero.')
def _(c, shop):
    image = shop.base('plain')
    image.set_refcount_table_entry(0, 0)
    c.expect('refcount-block-missing')
    # Header, refcount table, L1, two L2 tables, three data clusters.
    c.expect('refcount-too-low', count=8, actual=0, expected=1)
    return image


@case('refcount-too-low', 'The refcount of a guest cluster in use is 0.')
def _(c, shop):
    image = shop.base('plain')
    cluster = image.data_cluster(1)
    image.set_refcount(cluster, 0)
    c.expect('refcount-too-low', count=1, actual=0, expected=1,
             host={'first_cluster': cluster, 'clusters': 1})
    return image


@case('refcount-too-low-metadata', 'The refcount of an L2 table is 0.')
def _(c, shop):
    image = shop.base('plain')
    cluster = image.l2_table(1) // image.cluster_size
    image.set_refcount(cluster, 0)
    c.expect('refcount-too-low', count=1, actual=0, expected=1,
             host={'first_cluster': cluster, 'clusters': 1})
    return image


@case('refcount-too-low-snapshot',
      'A cluster shared with a snapshot is counted once.')
def _(c, shop):
    image = shop.base('snapshot')
    cluster = image.data_cluster(0)
    image.set_refcount(cluster, 1)
    c.expect('refcount-too-low', count=1, actual=1, expected=2,
             host={'first_cluster': cluster, 'clusters': 1})
    return image


@case('refcount-too-high', 'The refcount of a guest cluster is 3 for one '
      'reference.')
def _(c, shop):
    image = shop.base('plain')
    cluster = image.data_cluster(0)
    image.set_refcount(cluster, 3)
    c.expect('refcount-too-high', count=1, actual=3, expected=1,
             host={'first_cluster': cluster, 'clusters': 1})
    return image


def _narrow_case(bits):
    @case(f'refcount-too-low-{bits}-bits',
          f'A count of 0 for a cluster in use, with refcounts of {bits} bits.')
    def _(c, shop):
        image = shop.make(f'cluster_size=4k,refcount_bits={bits}',
                          commands=['write -P 0x61 0 16k'])
        cluster = image.data_cluster(2)
        image.set_refcount(cluster, 0)
        c.expect('refcount-too-low', count=1, actual=0, expected=1,
                 host={'first_cluster': cluster, 'clusters': 1})
        return image


for _bits in (1, 2, 4, 8, 32, 64):
    _narrow_case(_bits)


@case('refcount-too-high-64-bits', 'The largest refcount there can be.')
def _(c, shop):
    image = shop.make('cluster_size=4k,refcount_bits=64',
                      commands=['write -P 0x61 0 16k'])
    cluster = image.data_cluster(2)
    image.set_refcount(cluster, (1 << 64) - 1)
    c.expect('refcount-too-high', count=1, actual=(1 << 64) - 1, expected=1,
             host={'first_cluster': cluster, 'clusters': 1})
    return image


@case('cluster-leaked', 'Two clusters counted and used by nothing.')
def _(c, shop):
    image = shop.base('plain')
    first = image.allocate(2) // image.cluster_size
    c.expect('cluster-leaked', count=2,
             host={'first_cluster': first, 'clusters': 2})
    return image


@case('cluster-leaked-apart', 'Three leaks, no two of them neighbours.')
def _(c, shop):
    image = shop.base('plain')
    first = image.allocate(6) // image.cluster_size
    for cluster in (first, first + 2, first + 4):
        image.set_refcount(cluster, 0)
    c.expect('cluster-leaked', count=3)
    return image


@case('refcount-past-end', 'A count for a cluster past the end of the file.')
def _(c, shop):
    image = shop.base('plain')
    image.set_refcount(100, 1)
    c.expect('refcount-past-end', count=1, actual=1,
             host={'first_cluster': 100, 'clusters': 1})
    return image


@case('refcount-overflow', 'Two references to a cluster with refcounts of '
      'one bit.')
def _(c, shop):
    image = shop.base('one-bit')
    free = image.data_cluster(1)
    image.set_l2_entry(1, image.l2_entry(0) & ~q.COPIED)
    image.set_l2_entry(0, image.l2_entry(0) & ~q.COPIED)
    image.set_refcount(free, 0)
    c.expect('refcount-overflow', count=1, actual=2, expected=1)
    return image


# ---- overlaps ---------------------------------------------------------------------


@case('overlap-metadata', 'A snapshot names the active L1 table as its own; '
      'the stored refcounts agree.')
def _(c, shop):
    image = shop.base('snapshot')
    table = image.get('l1_table_offset')
    image.set_snapshot_field(0, 'l1_table_offset', table)
    image.fix_refcounts()
    image.fix_copied()
    c.expect('overlap-metadata', count=1, host={'offset': table},
             owners=['active L1', 'inactive L1'])
    return image


@case('overlap-metadata-l2', 'An L1 entry names the L1 table of a snapshot as '
      'an L2 table; the stored refcounts agree.')
def _(c, shop):
    # The snapshot is of an empty disk: its L1 table reads as an empty L2.
    image = shop.base('empty-snapshot')
    table = image.snapshots()[0].l1_table_offset
    image.set_l1_entry(1, table)
    image.fix_refcounts()
    c.expect('overlap-metadata', count=1, host={'offset': table},
             owners=['inactive L1', 'active L2'])
    return image


@case('overlap-guest-data', 'A guest cluster lies on the L1 table; the '
      'stored refcount agrees.')
def _(c, shop):
    image = shop.base('plain')
    table = image.get('l1_table_offset')
    image.set_l2_entry(9, table)
    image.fix_refcounts()
    c.expect('overlap-guest-data', count=1, host={'offset': table},
             owners=['active L1', 'guest data'],
             guest=[{'offset': 9 * 4096, 'length': 4096}])
    return image


@case('overlap-guest-data-l2', 'A guest cluster lies on the L2 table that '
      'maps it; the stored refcount agrees.')
def _(c, shop):
    image = shop.base('plain')
    table = image.l2_table(0)
    image.set_l2_entry(9, table)
    image.fix_refcounts()
    image.fix_copied()
    c.expect('overlap-guest-data', count=1, host={'offset': table},
             owners=['active L2', 'guest data'])
    return image


@case('overlap-guest-data-header', 'A snapshot\'s guest cluster lies on the '
      'header; the stored refcount agrees.')
def _(c, shop):
    # Offset 0 cannot be named by an L2 entry: compressed data can.
    image = shop.base('compressed')
    image.set_l2_entry(0, image.compressed_entry(1024, 0))
    image.fix_refcounts()
    c.expect('overlap-guest-data', count=1, host={'offset': 0},
             owners=['header', 'compressed data'])
    return image


@case('overlap-refcount-table', 'A guest cluster lies on the refcount table '
      'and its count says so.')
def _(c, shop):
    image = shop.base('plain')
    table = image.get('refcount_table_offset')
    image.set_l2_entry(9, table)
    image.fix_refcounts()
    c.expect('overlap-guest-data', count=1, host={'offset': table},
             owners=['refcount table', 'guest data'])
    return image


@case('overlap-refcount-low', 'A guest cluster lies on the refcount table, '
      'which is counted once.')
def _(c, shop):
    image = shop.base('plain')
    table = image.get('refcount_table_offset')
    image.set_l2_entry(9, table)
    c.expect('overlap-guest-data', count=1, host={'offset': table})
    c.expect('refcount-too-low', count=1, actual=1, expected=2)
    return image


@case('refcount-block-shared-l2', 'The refcount block is named as an L2 '
      'table; the stored refcount agrees.')
def _(c, shop):
    # With 64-bit counts of at most 2 a block reads as an L2 table of
    # unallocated entries with reserved bits, or the zero flag, set.
    image = shop.make('cluster_size=4k,refcount_bits=64')
    block = image.refcount_table_entry(0)
    image.set_l1_entry(1, block)
    image.fix_refcounts()
    c.expect('refcount-block-shared', actual=block)
    c.expect('overlap-metadata', host={'offset': block},
             owners=['active L2', 'refcount block'])
    c.expect('l2-entry-reserved', count=1, actual=2)
    return image
