"""Healthy images of every variant of the format. They raise nothing; the few
that are worth a note list it."""

import struct

import qcow2_patcher as q
from workshop import KIB, MIB, case

WRITES = ['write -P 0x61 0 8k', 'write -P 0x62 2M 4k', 'write -z 64k 64k']


@case('healthy-v2', 'Version 2, a few clusters of guest data.')
def _(c, shop):
    return shop.base('plain-v2')


@case('healthy-v3', 'Version 3, a few clusters of guest data.')
def _(c, shop):
    return shop.base('plain')


@case('healthy-empty', 'A fresh image: nothing allocated yet.')
def _(c, shop):
    return shop.base('empty')


@case('healthy-size-zero', 'A disk of no bytes; its L1 table has no entries.')
def _(c, shop):
    return shop.make('cluster_size=4k', size=0)


def _register_cluster_sizes():
    for bits in range(9, 22):
        size = 1 << bits

        @case(f'healthy-cluster-size-{size}',
              f'Clusters of {size} bytes, data under one or more L2 tables.')
        def _(c, shop, size=size):
            return shop.make(f'cluster_size={size}', commands=[
                'write -P 0x61 0 1k', 'write -P 0x62 1M 512'])


def _register_refcount_widths():
    for order in range(7):
        bits = 1 << order

        @case(f'healthy-refcount-bits-{bits}',
              f'Refcounts of {bits} bits' +
              (', shared with a snapshot.' if bits > 1 else '.'))
        def _(c, shop, bits=bits):
            shop.make(f'cluster_size=4k,refcount_bits={bits}', commands=WRITES)
            if bits > 1:
                shop.run('qemu-img', 'snapshot', '-c', 'one', 'base.qcow2')
                shop.io('write -P 0x63 0 4k')
            return shop.load()


_register_cluster_sizes()
_register_refcount_widths()


@case('healthy-many-refcount-blocks',
      'Small clusters and wide refcounts: several refcount blocks in use.')
def _(c, shop):
    return shop.make('cluster_size=512,refcount_bits=64', size='256k',
                     commands=['write -P 0x61 0 128k'])


@case('healthy-extended-l2', 'Extended L2 entries: subclusters allocated, '
      'zero and unallocated in one cluster.')
def _(c, shop):
    return shop.make('cluster_size=16k,extended_l2=on', commands=[
        'write -P 0x61 0 2k', 'write -z 4k 1k', 'write -P 0x62 16k 16k',
        'write -z 32k 16k'])


@case('healthy-extended-l2-compressed',
      'Extended L2 entries and compressed clusters.')
def _(c, shop):
    return shop.make('cluster_size=16k,extended_l2=on', commands=[
        'write -c -P 0x61 0 16k', 'write -P 0x62 16k 2k'])


@case('healthy-lazy-refcounts', 'Lazy refcounts, closed properly.')
def _(c, shop):
    return shop.make('cluster_size=4k,lazy_refcounts=on', commands=WRITES)


@case('healthy-compressed-deflate',
      'Deflate-compressed clusters that share host clusters.', deep=True)
def _(c, shop):
    return shop.make('cluster_size=4k', commands=[
        f'write -c -P {0x61 + i} {4 * i}k 4k' for i in range(8)])


@case('healthy-compressed-zstd', 'Zstandard-compressed clusters.', deep=True)
def _(c, shop):
    return shop.make('cluster_size=4k,compression_type=zstd', commands=[
        f'write -c -P {0x61 + i} {4 * i}k 4k' for i in range(8)])


@case('healthy-compressed-spanning',
      'Compressed data that spans two host clusters.', deep=True)
def _(c, shop):
    # Text of little redundancy: compresses, but to more than half a cluster.
    value, text = 1, bytearray()
    while len(text) < 3 * 4 * KIB:
        value = (value * 1103515245 + 12345) % (1 << 31)
        text += b'%x' % (value >> 8)
    shop.write_file('source.raw', bytes(text[:3 * 4 * KIB]))
    shop.run('qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o',
             'cluster_size=4k', 'source.raw', 'base.qcow2')
    return shop.load()


@case('healthy-zero-clusters',
      'Zero clusters, some with a host cluster kept allocated.')
def _(c, shop):
    return shop.make('cluster_size=4k', commands=[
        'write -P 0x61 0 16k', 'write -z 0 4k', 'write -z -u 4k 4k',
        'write -z 64k 4k'])


@case('healthy-snapshot', 'A snapshot that shares everything.')
def _(c, shop):
    return shop.base('snapshot')


@case('healthy-snapshots',
      'Two snapshots and an active disk that has moved on from both.')
def _(c, shop):
    return shop.base('two-snapshots')


@case('healthy-snapshots-v2',
      'Version 2 with two snapshots; their entries carry no extra data.')
def _(c, shop):
    shop.make('cluster_size=4k,compat=0.10', commands=WRITES[:2])
    shop.run('qemu-img', 'snapshot', '-c', 'first', 'base.qcow2')
    shop.io('write -P 0x63 0 4k')
    shop.run('qemu-img', 'snapshot', '-c', 'second', 'base.qcow2')
    image = shop.load()
    snapshots = image.snapshots()
    for snapshot in snapshots:
        snapshot.extra = b''
    end = image.get('snapshots_offset') + image.snapshot_table_bytes()
    start = image.get('snapshots_offset')
    image.put(start, bytes(end - start))
    image.set_snapshots(snapshots)
    return image


@case('healthy-snapshot-grown', 'A snapshot made before the disk grew: its L1 '
      'table is shorter than the active one.')
def _(c, shop):
    shop.make('cluster_size=4k', size='2M', commands=['write -P 0x61 0 4k'],
              then=[('snapshot', '-c', 'small', 'base.qcow2'),
                    ('resize', '-q', 'base.qcow2', '16M')])
    shop.io('write -P 0x62 12M 4k')
    return shop.load()


@case('healthy-vm-state', 'A snapshot with machine state behind the end of '
      'the disk; its L1 table is longer than the disk needs.')
def _(c, shop):
    shop.make('cluster_size=4k', commands=[
        'write -P 0x61 0 4k', 'write -b -P 0x70 0 12k'])
    shop.run('qemu-img', 'snapshot', '-c', 'running', 'base.qcow2')
    image = shop.load()
    snapshots = image.snapshots()
    for snapshot in snapshots:
        snapshot.vm_state_size = 12 * KIB
        snapshot.extra = struct.pack('>Q', 12 * KIB) + snapshot.extra[8:]
    image.set_snapshots(snapshots)
    return image


@case('healthy-bitmap-empty', 'A bitmap in which no bit is set.')
def _(c, shop):
    return shop.make('cluster_size=4k', then=[
        ('bitmap', '--add', 'base.qcow2', 'nightly')])


@case('healthy-bitmap', 'A bitmap with data of its own.')
def _(c, shop):
    return shop.base('bitmap')


@case('healthy-bitmaps', 'Three bitmaps: two granularities, one disabled.')
def _(c, shop):
    shop.make('cluster_size=4k', then=[
        ('bitmap', '--add', '-g', '64k', 'base.qcow2', 'nightly'),
        ('bitmap', '--add', '-g', '4k', 'base.qcow2', 'hourly'),
        ('bitmap', '--add', '--disable', 'base.qcow2', 'archived')])
    shop.io('write -P 0x61 0 4k', 'write -P 0x62 1M 64k')
    return shop.load()


@case('healthy-backing-raw', 'A raw backing file.')
def _(c, shop):
    image = shop.base('backing')
    c.files['base.raw'] = bytes(4 * MIB)
    return image


@case('healthy-backing-qcow2', 'A qcow2 backing file, without a format name.')
def _(c, shop):
    shop.base('plain').save(shop.path('lower.qcow2'))
    c.files['lower.qcow2'] = shop.read_file('lower.qcow2')
    image = shop.make('cluster_size=4k', commands=['write -P 0x63 4k 4k'],
                      create=('-b', 'lower.qcow2', '-F', 'qcow2'))
    image.remove_extension(q.EXT_BACKING_FORMAT)
    return image


@case('healthy-data-file', 'An external data file.')
def _(c, shop):
    image = shop.base('data-file')
    c.files['disk.data'] = bytes(4 * MIB)
    return image


@case('healthy-data-file-raw', 'An external data file that is a raw image.')
def _(c, shop):
    image = shop.base('raw-data-file')
    c.files['disk.data'] = bytes(4 * MIB)
    return image


@case('healthy-data-file-raw-longer', 'A raw data file longer than the disk '
      'by less than a cluster.')
def _(c, shop):
    c.files['disk.data'] = bytes(4 * MIB + 2 * KIB)
    return shop.base('raw-data-file')


@case('healthy-aes', 'Legacy AES encryption.',
      qemu_options=['--object', 'secret,id=key,data=secret', '--image-opts',
                    'driver=qcow2,file.filename=healthy-aes.qcow2,'
                    'encrypt.format=aes,encrypt.key-secret=key'])
def _(c, shop):
    shop.run('qemu-img', 'create', '-q', '-f', 'qcow2', '--object',
             'secret,id=key,data=secret', '-o', 'cluster_size=4k,'
             'encrypt.format=aes,encrypt.key-secret=key', 'base.qcow2', '4M')
    _encrypted_write(shop, 'aes')
    return shop.load()


@case('healthy-luks', 'LUKS encryption, password "secret".', deep=True,
      random=True,
      qemu_options=['--object', 'secret,id=key,data=secret', '--image-opts',
                    'driver=qcow2,file.filename=healthy-luks.qcow2,'
                    'encrypt.format=luks,encrypt.key-secret=key'])
def _(c, shop):
    # The shortest key keeps the key material, which does not compress, small.
    shop.run('qemu-img', 'create', '-q', '-f', 'qcow2', '--object',
             'secret,id=key,data=secret', '-o', 'cluster_size=4k,'
             'encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10,'
             'encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,'
             'encrypt.ivgen-alg=plain64', 'base.qcow2', '4M')
    _encrypted_write(shop, 'luks')
    return shop.load()


def _encrypted_write(shop, kind):
    shop.run('qemu-io', '--object', 'secret,id=key,data=secret',
             '--image-opts', '-c', 'write -P 0x61 0 4k',
             'driver=qcow2,file.filename=base.qcow2,'
             f'encrypt.format={kind},encrypt.key-secret=key')


@case('healthy-preallocated', 'Metadata preallocated.')
def _(c, shop):
    return shop.make('cluster_size=4k,preallocation=metadata', size='1M')


@case('healthy-preallocated-full', 'Metadata and data preallocated.')
def _(c, shop):
    return shop.make('cluster_size=4k,preallocation=full', size='256k')


@case('healthy-partial-last-cluster',
      'The file ends in the middle of its last data cluster.')
def _(c, shop):
    image = shop.base('plain')
    image.truncate(len(image.data) - 3 * KIB)
    return image


@case('healthy-size-odd-sectors',
      'The disk ends in the middle of a cluster.')
def _(c, shop):
    return shop.make('cluster_size=4k', size=2 * MIB + 1536, commands=[
        'write -P 0x61 2M 1536'])


@case('healthy-size-unaligned',
      'The virtual size is no multiple of 512 bytes: worth a note.')
def _(c, shop):
    image = shop.base('plain')
    image.set('size', 4 * MIB - 300)
    c.expect('header-size-unaligned', actual=4 * MIB - 300)
    return image


@case('healthy-header-104', 'A version 3 header of 104 bytes, as written '
      'before there was a choice of compression.')
def _(c, shop):
    image = shop.base('plain')
    extensions = image.extensions()
    image.set('header_length', 104)
    image.set_extensions(extensions)
    return image


@case('healthy-header-longer', 'A header longer than any known one; the bytes '
      'past the known fields belong to a later format.')
def _(c, shop):
    image = shop.base('plain')
    image.set('header_length', 128)
    image.put(112, b'\x01\x02\x03\x04\x05\x06\x07\x08' * 2)
    image.set_extensions([])
    return image


@case('healthy-unknown-extension', 'A header extension nobody knows, beside '
      'a feature name table.')
def _(c, shop):
    image = shop.base('plain')
    row = struct.pack('>BB46s', 1, 0, b'lazy refcounts')
    image.set_extensions([q.Extension(q.EXT_FEATURE_NAMES, row),
                          q.Extension(0x12345678, b'not known')])
    return image


@case('healthy-v2-extension', 'Version 2 with a backing format name: the '
      'extensions start at byte 72.')
def _(c, shop):
    shop.write_file('base.raw', bytes(4 * MIB))
    image = shop.make('cluster_size=4k,compat=0.10',
                      commands=['write -P 0x61 0 4k'],
                      create=('-b', 'base.raw', '-F', 'raw'))
    c.files['base.raw'] = bytes(4 * MIB)
    return image


@case('healthy-l1-longer', 'The active L1 table has more entries than the '
      'disk needs.')
def _(c, shop):
    image = shop.base('plain')
    image.set('l1_size', 40)
    return image


@case('healthy-refcount-table-larger',
      'A refcount table of two clusters where a part of one is needed.')
def _(c, shop):
    image = shop.base('plain')
    table = image.allocate(2)
    image.put64(table, image.refcount_table_entry(0))
    image.set('refcount_table_offset', table)
    image.set('refcount_table_clusters', 2)
    image.fix_refcounts()
    return image


@case('healthy-l1-two-clusters', 'An L1 table of more than one cluster.')
def _(c, shop):
    return shop.make('cluster_size=512', size='4M', commands=[
        'write -P 0x61 0 1k', 'write -P 0x62 3M 512'])


@case('healthy-trailing-zeros', 'The file goes on behind the last cluster in '
      'use; nothing counts or names what is there.')
def _(c, shop):
    image = shop.base('plain')
    image.truncate(len(image.data) + 3 * 4 * KIB)
    return image


@case('healthy-shared-data', 'Two guest clusters share a host cluster the '
      'legal way: counted twice and without COPIED.')
def _(c, shop):
    image = shop.base('plain')
    image.set_l2_entry(1, image.l2_entry(0))
    image.fix_refcounts()
    image.fix_copied()
    return image


@case('healthy-inactive-copied', 'COPIED flags in a snapshot\'s tables mean '
      'nothing and may be anything.')
def _(c, shop):
    image = shop.base('two-snapshots')
    snapshot = image.snapshots()[0]
    entry = image.get64(snapshot.l1_table_offset)
    image.put64(snapshot.l1_table_offset, entry ^ q.COPIED)
    table = entry & q.OFFSET_MASK
    image.put64(table, image.get64(table) ^ q.COPIED)
    return image
