"""Damaged headers and header extensions: problems 101 to 204.

Where a header field no longer leads to a table, the image is one without guest
data and its refcounts are brought in line, so that nothing else is wrong."""

import struct

import qcow2_patcher as q
from workshop import MIB, case

PAST_END = 1 * MIB  # of the small images here


@case('header-truncated', 'Only the first 40 bytes of an image.',
      status='error')
def _(c, shop):
    image = shop.base('plain')
    image.truncate(40)
    c.expect('header-truncated', actual=40)
    return image


@case('header-truncated-empty', 'An empty file.',
      status='error')
def _(c, shop):
    c.expect('header-truncated', actual=0)
    return q.Image()


@case('header-truncated-v3', 'A version 3 header cut off behind byte 80.',
      status='error')
def _(c, shop):
    image = shop.base('plain')
    image.truncate(80)
    c.expect('header-truncated', actual=80)
    return image


@case('header-magic', 'A text file.',
      status='error')
def _(c, shop):
    c.expect('header-magic')
    return q.Image(b'This is a note and no disk image at all.\n' * 200)


@case('header-overwritten', 'A boot sector written over the first cluster; '
      'the tables behind it are sound.')
def _(c, shop):
    image = shop.base('filled')
    boot_sector = b'\xeb\x63\x90' + bytes(507) + b'\x55\xaa'
    image.put(0, boot_sector + bytes(4096 - len(boot_sector)))
    c.expect('header-magic')
    c.expect('header-overwritten')
    return image


@case('header-version', 'Version 4.',
      status='error')
def _(c, shop):
    image = shop.base('empty')
    image.set('version', 4)
    c.expect('header-version', actual=4)
    return image


@case('header-draft-v3', 'A header laid out by the 2010 draft of version 3: '
      'three feature words of 32 bits, then refcount_bits.',
      status='error')
def _(c, shop):
    image = shop.base('plain-v2')
    image.set('version', 3)
    image.put(72, struct.pack('>IIII', 0, 0, 0, 16) + bytes(40))
    c.expect('header-draft-v3', actual=16)
    return image


def _cluster_bits_case(bits):
    @case(f'header-cluster-bits-{bits}', f'cluster_bits is {bits}.',
          status='error')
    def _(c, shop):
        image = shop.base('empty')
        image.set('cluster_bits', bits)
        c.expect('header-cluster-bits', actual=bits)
        return image


for _bits in (0, 8, 22, 0xffffffff):
    _cluster_bits_case(_bits)


@case('header-size-too-large', 'A virtual size of 4 EiB.')
def _(c, shop):
    image = shop.base('empty')
    image.set('size', 1 << 62)
    c.expect('header-size-too-large', actual=1 << 62)
    return image


@case('header-crypt-method', 'Encryption method 3.')
def _(c, shop):
    image = shop.base('plain')
    image.set('crypt_method', 3)
    c.expect('header-crypt-method', actual=3)
    return image


@case('l1-table-unaligned', 'The L1 table offset points into a cluster.')
def _(c, shop):
    image = shop.base('empty')
    offset = image.get('l1_table_offset') + 512
    image.set('l1_table_offset', offset)
    image.fix_refcounts()
    c.expect('l1-table-unaligned', actual=offset)
    return image


@case('l1-table-past-end', 'The L1 table lies past the end of the file.')
def _(c, shop):
    image = shop.base('empty')
    image.set('l1_table_offset', PAST_END)
    image.fix_refcounts()
    c.expect('l1-table-past-end', actual=PAST_END)
    return image


@case('l1-table-too-large', 'The L1 table claims 2^31 entries.')
def _(c, shop):
    image = shop.base('empty')
    image.set('l1_size', 1 << 31)
    c.expect('l1-table-too-large', actual=1 << 31, expected=(32 * MIB) // 8)
    return image


@case('l1-table-too-small', 'One L1 entry where the disk needs two.')
def _(c, shop):
    image = shop.base('empty')
    image.set('l1_size', 1)
    c.expect('l1-table-too-small', actual=1, expected=2)
    return image


@case('refcount-table-unaligned',
      'The refcount table offset points into a cluster.')
def _(c, shop):
    image = shop.base('plain')
    offset = image.get('refcount_table_offset') + 512
    image.set('refcount_table_offset', offset)
    c.expect('refcount-table-unaligned', actual=offset)
    return image


@case('refcount-table-past-end',
      'The refcount table lies past the end of the file.')
def _(c, shop):
    image = shop.base('plain')
    image.set('refcount_table_offset', PAST_END)
    c.expect('refcount-table-past-end', actual=PAST_END)
    # All counts read as zero: header, L1, two L2 tables, three of data.
    c.expect('refcount-too-low', count=7, actual=0, expected=1)
    return image


@case('refcount-table-too-large', 'The refcount table claims 2^31 clusters.')
def _(c, shop):
    image = shop.base('plain')
    image.set('refcount_table_clusters', 1 << 31)
    c.expect('refcount-table-too-large', actual=1 << 31)
    return image


@case('refcount-table-missing', 'refcount_table_clusters is 0.')
def _(c, shop):
    image = shop.base('plain')
    image.set('refcount_table_clusters', 0)
    c.expect('refcount-table-missing')
    c.expect('refcount-too-low', count=7, actual=0, expected=1)
    return image


@case('refcount-order', 'refcount_order is 7.')
def _(c, shop):
    image = shop.base('plain')
    image.set('refcount_order', 7)
    c.expect('refcount-order', actual=7)
    return image


@case('snapshot-table-unaligned',
      'A snapshot table at an offset that is not cluster aligned.')
def _(c, shop):
    image = shop.base('plain')
    image.set('nb_snapshots', 1)
    image.set('snapshots_offset', 0x1200)
    c.expect('snapshot-table-unaligned', actual=0x1200)
    return image


@case('snapshot-count', 'nb_snapshots is 65537, one more than allowed.')
def _(c, shop):
    image = shop.base('empty-snapshot')
    image.set('nb_snapshots', 65537)
    c.expect('snapshot-count', actual=65537, expected=65536)
    return image


def _snapshot_table_past_end(shop, base):
    image = shop.base(base)
    image.set('nb_snapshots', 1)
    image.set('snapshots_offset', PAST_END)
    return image


@case('snapshot-table-past-end', 'Version 2: the snapshot table lies past '
      'the end.')
def _(c, shop):
    c.expect('snapshot-table-past-end', actual=PAST_END)
    return _snapshot_table_past_end(shop, 'plain-v2')


@case('snapshot-table-past-end-v3', 'The snapshot table lies past the end; '
      'what reads as zeros there has no extra data.')
def _(c, shop):
    c.expect('snapshot-table-past-end', actual=PAST_END)
    c.expect('snapshot-extra-short', count=1, actual=0, expected=16)
    return _snapshot_table_past_end(shop, 'plain')


@case('unknown-incompatible-feature',
      'Incompatible bit 5, named in the feature name table.')
def _(c, shop):
    image = shop.base('plain')
    row = struct.pack('>BB46s', 0, 5, b'time travel')
    image.set_extensions([q.Extension(q.EXT_FEATURE_NAMES, row)])
    image.set_bits('incompatible_features', 1 << 5)
    c.expect('unknown-incompatible-feature', actual=1 << 5)
    return image


@case('dirty-bit', 'The dirty bit is set; the refcounts are right.')
def _(c, shop):
    image = shop.base('plain')
    image.set_bits('incompatible_features', q.DIRTY)
    image.set_bits('compatible_features', q.LAZY_REFCOUNTS)
    c.expect('dirty-bit')
    return image


@case('corrupt-bit', 'The corrupt bit is set; nothing else is wrong.')
def _(c, shop):
    image = shop.base('plain')
    image.set_bits('incompatible_features', q.CORRUPT)
    c.expect('corrupt-bit')
    return image


def _header_length_case(length, text, code='header-length'):
    @case(f'header-length-{length}', f'header_length is {length}, {text}.')
    def _(c, shop):
        image = shop.base('plain')
        image.set('header_length', length)
        c.expect(code, actual=length)
        return image


_header_length_case(96, 'less than version 3 has')
_header_length_case(109, 'no multiple of 8', 'header-length-unaligned')
_header_length_case(8192, 'past the end of the first cluster')


@case('header-padding', 'A byte of the header\'s padding is set.')
def _(c, shop):
    image = shop.base('plain')
    image.put(107, b'\x2a')
    c.expect('header-padding')
    return image


@case('compression-type-unknown', 'compression_type is 7.')
def _(c, shop):
    image = shop.base('plain')
    image.set('compression_type', 7)
    image.set_bits('incompatible_features', q.COMPRESSION_TYPE)
    c.expect('compression-type-unknown', actual=7)
    return image


@case('compression-type-bit-clear',
      'compression_type is zstd, but its incompatible bit is clear.')
def _(c, shop):
    image = shop.base('plain')
    image.set('compression_type', 1)
    c.expect('compression-type-bit', actual=1)
    return image


@case('compression-type-bit-set',
      'The compression bit is set, but compression_type is deflate.')
def _(c, shop):
    image = shop.base('plain')
    image.set_bits('incompatible_features', q.COMPRESSION_TYPE)
    c.expect('compression-type-bit', actual=0)
    return image


@case('backing-name-outside',
      'The backing file name lies behind the first cluster.')
def _(c, shop):
    image = shop.base('plain')
    image.set('backing_file_offset', 0x2000)
    image.set('backing_file_size', 8)
    c.expect('backing-name-outside')
    return image


@case('backing-name-too-long', 'A backing file name of 2000 bytes.')
def _(c, shop):
    image = shop.base('plain')
    image.put(1024, b'x' * 2000)
    image.set('backing_file_offset', 1024)
    image.set('backing_file_size', 2000)
    c.expect('backing-name-too-long', actual=2000, expected=1023)
    return image


@case('backing-name-invalid', 'A zero byte in the backing file name.')
def _(c, shop):
    image = shop.base('plain')
    image.put(1024, b'base\0raw')
    image.set('backing_file_offset', 1024)
    image.set('backing_file_size', 8)
    c.files['base'] = bytes(4 * MIB)
    c.expect('backing-name-invalid')
    return image


@case('autoclear-without-extension',
      'The bitmaps bit is set, but there is no bitmaps extension.')
def _(c, shop):
    image = shop.base('plain')
    image.set_bits('autoclear_features', q.BITMAPS_CONSISTENT)
    c.expect('autoclear-without-extension')
    return image


@case('autoclear-unknown', 'Autoclear bit 5: worth a note.')
def _(c, shop):
    image = shop.base('plain')
    image.set_bits('autoclear_features', 1 << 5)
    c.expect('autoclear-unknown', actual=1 << 5)
    return image


@case('extended-l2-cluster-size',
      'The extended L2 bit is set with 4 KiB clusters.')
def _(c, shop):
    image = shop.base('empty')
    image.set_bits('incompatible_features', q.EXTENDED_L2)
    c.expect('extended-l2-cluster-size', actual=12)
    return image


@case('compatible-unknown', 'Compatible bit 7: worth a note.')
def _(c, shop):
    image = shop.base('plain')
    image.set_bits('compatible_features', 1 << 7)
    c.expect('compatible-unknown', actual=1 << 7)
    return image


# ---- header extensions ---------------------------------------------------------


@case('extension-overflow',
      'An extension whose length reaches past the first cluster.')
def _(c, shop):
    image = shop.base('plain')
    image.add_extension(0x12345678, b'12345678')
    image.put_int(image.extensions()[-1].offset - 4, 4, 1 << 20)
    c.expect('extension-overflow')
    return image


@case('extension-duplicate', 'The backing format name occurs twice.')
def _(c, shop):
    image = shop.base('backing')
    c.files['base.raw'] = bytes(4 * MIB)
    image.add_extension(q.EXT_BACKING_FORMAT, b'raw')
    c.expect('extension-duplicate')
    return image


@case('extension-length', 'A bitmaps extension of 16 bytes.')
def _(c, shop):
    image = shop.base('plain')
    image.add_extension(q.EXT_BITMAPS, bytes(16))
    image.set_bits('autoclear_features', q.BITMAPS_CONSISTENT)
    c.expect('extension-length', actual=16, expected=24)
    return image


@case('feature-name-table',
      'A feature name table whose length is no multiple of 48.')
def _(c, shop):
    image = shop.base('plain')
    image.add_extension(q.EXT_FEATURE_NAMES, b'\x00\x00dirty bit'.ljust(50))
    c.expect('feature-name-table')
    return image
