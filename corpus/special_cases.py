"""Images with a story: those rebuilt from published dumps, and the README's
sample."""

import qcow2_patcher as q
from workshop import KIB, MIB, case

# ---- rebuilt from dumps ------------------------------------------------------------
# Two dumps of a 2 MiB disk with 4 KiB clusters, one of them printed as values,
# the other as the bytes of the header, L1 table, refcount table and L2 table.

DUMPED_HEADER = bytes.fromhex(
    '514649FB 00000002 0000000000000000 00000000 0000000C 0000000000200000'
    '00000000 00000001 0000000000001000 0000000000002000 00000001 00000000'
    '0000000000000000')
L1_TABLE, REFCOUNT_TABLE, REFCOUNT_BLOCK, L2_TABLE = (
    0x1000, 0x2000, 0x3000, 0x4000)

# The dumped L2 table after formatting: the host cluster of each guest cluster,
# `0` where the entry is zero. Every entry has COPIED set.
FORMATTED_L2 = '''
E 0 0 0 0 0 0 5 F 10 11 12 13 14 15 6 16 17 18 19 1A 1B 1C 7 1D 1E 1F 20 21
22 23 8 24 25 26 27 28 29 2A 9 2B 2C 2D 2E 2F 30 31 A 32 33 34 35 36 37 38 B
39 3A 3B 3C 3D 3E 3F C 40 41 42 43 44 45 D 46 47 48 49 4A 4B 4C 4D 4E 4F 50
51 52 53 54 55 56 57 58 59 5A 5B 5C 5D 5E 5F 60 61 62 63 64 65 66 67 68 69
6A 6B 6C
'''


def _dumped(table):
    """The dumped tables around an L2 table given as host cluster numbers."""
    image = q.Image(DUMPED_HEADER)
    image.truncate(0x4000)
    image.put64(REFCOUNT_TABLE, REFCOUNT_BLOCK)
    for cluster in range(4):
        image.set_refcount(cluster, 1)
    if table:
        image.put64(L1_TABLE, q.COPIED | L2_TABLE)
        image.truncate((max(table.values()) + 1) * 4 * KIB)
        for guest, cluster in table.items():
            image.set_l2_entry(guest, q.COPIED | cluster * 4 * KIB)
        image.fix_refcounts()
    return image


@case('dump-empty', 'Rebuilt from a dump: version 2, a 2 MiB disk, an empty '
      'L1 table, the first four refcounts 1. It is healthy.')
def _(c, shop):
    return _dumped({})


@case('dump-partitioned', 'The same image after the writes that the dump '
      'lists: a chain of partition tables. It is healthy.')
def _(c, shop):
    guests = [7, 15, 23, 31, 39, 47, 55, 63, 70, 0]
    return _dumped({guest: 5 + i for i, guest in enumerate(guests)})


@case('dump-formatted', 'Rebuilt from a dump, byte by byte: header, L1 table, '
      'refcount table and L2 table of the same disk after formatting. The '
      'dump leaves the refcount block out; 1 for each cluster in use makes '
      'the image healthy.')
def _(c, shop):
    clusters = [int(word, 16) for word in FORMATTED_L2.split()]
    return _dumped({g: n for g, n in enumerate(clusters) if n})


@case('dump-formatted-refcounts-of-empty', 'The formatted image with the '
      'refcount block of the empty one, the only one the dumps show: every '
      'cluster allocated since is counted too low.')
def _(c, shop):
    clusters = [int(word, 16) for word in FORMATTED_L2.split()]
    image = _dumped({g: n for g, n in enumerate(clusters) if n})
    for cluster in range(4, image.clusters):
        image.set_refcount(cluster, 0)
    c.expect('refcount-too-low', count=image.clusters - 4, actual=0,
             expected=1, host={'first_cluster': 4})
    return image


# ---- the sample of the README ---------------------------------------------------------


@case('sample-damaged', 'A small machine\'s disk of 64 MiB with a snapshot '
      'and a bitmap, after a bad day: leaks, a refcount too low, a guest '
      'cluster on top of an L2 table that was counted for both, and an L2 '
      'entry that names no cluster.')
def _(c, shop):
    shop.make('cluster_size=64k', size='64M', commands=[
        'write -P 0x01 0 64k', 'write -P 0x11 1M 1M', 'write -P 0x12 8M 512k',
        'write -c -P 0x13 16M 64k'],
        then=[('snapshot', '-c', 'before-upgrade', 'base.qcow2'),
              ('bitmap', '--add', 'base.qcow2', 'nightly')])
    shop.io('write -P 0x21 1M 256k', 'write -P 0x22 32M 1M',
            'write -z 9M 1M')
    image = shop.load()
    size = image.cluster_size

    leak = image.allocate(3) // size
    c.expect('cluster-leaked', count=3,
             host={'first_cluster': leak, 'clusters': 3})

    # Freed while in use: the next write would hand it out again.
    low = image.data_cluster(32 * MIB // size + 3)
    image.set_refcount(low, 0)
    c.expect('refcount-too-low', count=1, actual=0, expected=1,
             host={'first_cluster': low, 'clusters': 1},
             guest=[{'offset': 32 * MIB + 3 * size, 'length': size}])

    # One guest cluster names the snapshot's L2 table, and the count agrees.
    snapshot_l1 = image.snapshots()[0].l1_table_offset
    table = image.get64(snapshot_l1) & q.OFFSET_MASK
    guest = 40 * MIB // size
    image.set_l2_entry(guest, table)
    image.set_refcount(table // size, image.refcount(table // size) + 1)
    c.expect('overlap-guest-data', count=1, host={'offset': table},
             guest=[{'offset': 40 * MIB, 'length': size}])

    # A flipped bit: the cluster it named is orphaned, not merely leaked.
    bad = 32 * MIB // size + 9
    orphan = image.data_cluster(bad)
    image.set_l2_entry(bad, image.l2_entry(bad) | 0x2000)
    c.expect('l2-entry-unaligned', count=1,
             guest=[{'offset': bad * size, 'length': size}])
    c.expect('cluster-leaked', count=1,
             host={'first_cluster': orphan, 'clusters': 1})
    return image
