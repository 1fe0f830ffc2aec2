"""Encryption and other files: problems 901 to 907 and 1001 to 1013."""

import hashlib
import struct

import qcow2_patcher as q
from workshop import KIB, MIB, case

SECTOR = 512
SLOT_SECTORS = 128           # 16 key bytes in 4000 stripes, aligned to 4 KiB
LUKS_BYTES = (8 + 8 * SLOT_SECTORS) * SECTOR
SLOTS_OFFSET = 208           # of the key slots in a LUKS1 header
SLOT_BYTES = 48
ACTIVE, INACTIVE = 0x00AC71F3, 0x0000DEAD
NEEDS_KEY = 'qemu-img does not open an encrypted image without its key'


def luks_header(key=bytes(range(16)), slot_sectors=SLOT_SECTORS):
    """A LUKS1 header for AES in CBC mode with one active slot. The digest is
    that of `key`; the key material is left as zeros."""
    salt = bytes(range(32))
    digest = hashlib.pbkdf2_hmac('sha256', key, salt, 1000, 20)
    header = struct.pack(
        '>6sH32s32s32sII20s32sI40s', b'LUKS\xba\xbe', 1, b'aes', b'cbc-plain64',
        b'sha256', 8 + 8 * slot_sectors, len(key), digest, salt, 1000,
        b'00112233-4455-6677-8899-aabbccddeeff')
    for slot in range(8):
        active = ACTIVE if slot == 0 else INACTIVE
        header += struct.pack('>II32sII', active, 1000 if slot == 0 else 0,
                              salt if slot == 0 else bytes(32),
                              8 + slot * slot_sectors, 4000)
    return header


def _luks(shop):
    """An image with a LUKS header and no guest data; (image, its offset)."""
    image = shop.make('cluster_size=64k')
    clusters = q.round_up(LUKS_BYTES, image.cluster_size) // image.cluster_size
    offset = image.allocate(clusters)
    image.put(offset, luks_header())
    # Key material of slot 0: no key is in it, but it is not wiped either.
    image.put(offset + 8 * SECTOR, b'\x5a' * (16 * 4000))
    image.set('crypt_method', 2)
    image.add_extension(q.EXT_LUKS, struct.pack('>QQ', offset, LUKS_BYTES))
    return image, offset


@case('healthy-luks-header', 'A LUKS header with made-up key material: sound '
      'in its structure, but no password opens it.', deep=True,
      qemu_differs=NEEDS_KEY)
def _(c, shop):
    return _luks(shop)[0]


@case('luks-pointer-missing',
      'crypt_method is LUKS, but no extension tells where its header is.')
def _(c, shop):
    image = shop.base('plain')
    image.set('crypt_method', 2)
    c.expect('luks-pointer-missing')
    return image


@case('luks-pointer-unaligned', 'The LUKS header is not cluster aligned.')
def _(c, shop):
    image = shop.base('plain')
    image.set('crypt_method', 2)
    image.add_extension(q.EXT_LUKS, struct.pack('>QQ', 0x2100, LUKS_BYTES))
    c.expect('luks-pointer', actual=0x2100, expected=LUKS_BYTES)
    return image


@case('luks-pointer-past-end', 'The LUKS header lies past the end.')
def _(c, shop):
    image = shop.base('plain')
    image.set('crypt_method', 2)
    image.add_extension(q.EXT_LUKS, struct.pack('>QQ', MIB, LUKS_BYTES))
    c.expect('luks-pointer', actual=MIB, expected=LUKS_BYTES)
    return image


@case('luks-magic', 'The LUKS header was overwritten with zeros.')
def _(c, shop):
    image, offset = _luks(shop)
    image.put(offset, bytes(len(luks_header())))
    c.expect('luks-magic', actual=offset)
    return image


@case('luks-key-slot-offset', 'The key material of slot 0 lies past the end '
      'of the LUKS header.')
def _(c, shop):
    image, offset = _luks(shop)
    image.put_int(offset + SLOTS_OFFSET + 40, 4, 0x10000)
    c.expect('luks-key-slot', count=1)
    return image


@case('luks-key-slot-stripes', 'Key slot 1 has 3 stripes instead of 4000.')
def _(c, shop):
    image, offset = _luks(shop)
    image.put_int(offset + SLOTS_OFFSET + SLOT_BYTES + 44, 4, 3)
    c.expect('luks-key-slot', count=1)
    return image


@case('luks-key-slot-wiped', 'The key material of slot 0 is zeros; only '
      '--deep reads it.', deep=True, qemu_differs=NEEDS_KEY)
def _(c, shop):
    image, offset = _luks(shop)
    image.put(offset + 8 * SECTOR, bytes(16 * 4000))
    c.expect('luks-key-slot', count=1)
    return image


@case('luks-digest', 'The digest that verifies passwords is zeros, with no '
      'iterations.', deep=True, qemu_differs=NEEDS_KEY)
def _(c, shop):
    image, offset = _luks(shop)
    image.put(offset + 112, bytes(20 + 32 + 4))
    c.expect('luks-digest', actual=offset)
    return image


@case('luks-unexpected',
      'A LUKS header extension in an image that is not encrypted.')
def _(c, shop):
    image, _ = _luks(shop)
    image.set('crypt_method', 0)
    c.expect('luks-unexpected', actual=0)
    return image


@case('compressed-encrypted', 'A compressed cluster in an encrypted image.',
      qemu_options=['--object', 'secret,id=key,data=secret', '--image-opts',
                    'driver=qcow2,file.filename=compressed-encrypted.qcow2,'
                    'encrypt.format=aes,encrypt.key-secret=key'])
def _(c, shop):
    image = shop.base('compressed')
    image.set('crypt_method', 1)
    c.expect('compressed-encrypted', count=2)
    return image


# ---- the external data file ---------------------------------------------------------


@case('data-file-missing', 'The external data file is not there.')
def _(c, shop):
    c.expect('data-file-missing')
    return shop.base('data-file')


@case('data-file-size', 'A raw data file shorter than the disk; nothing is '
      'allocated past its end.')
def _(c, shop):
    image = shop.base('raw-data-file')
    for guest in range(3 * MIB // image.cluster_size,
                       4 * MIB // image.cluster_size):
        image.set_l2_entry(guest, 0)
    c.files['disk.data'] = bytes(3 * MIB)
    c.expect('data-file-size', actual=3 * MIB, expected=4 * MIB)
    return image


@case('data-file-size-long', 'A raw data file 1 MiB longer than the disk.')
def _(c, shop):
    c.files['disk.data'] = bytes(5 * MIB)
    c.expect('data-file-size', actual=5 * MIB, expected=4 * MIB)
    return shop.base('raw-data-file')


@case('data-file-size-short', 'A raw data file shorter than the disk; the '
      'last quarter of the preallocated entries lies past its end.')
def _(c, shop):
    c.files['disk.data'] = bytes(3 * MIB)
    c.expect('data-file-size', actual=3 * MIB, expected=4 * MIB)
    c.expect('data-file-entry-past-end', count=256)
    return shop.base('raw-data-file')


@case('raw-without-data-file',
      'The raw bit is set in an image without an external data file.')
def _(c, shop):
    image = shop.base('plain')
    image.set_bits('autoclear_features', q.RAW_DATA_FILE)
    c.expect('raw-without-data-file')
    return image


@case('raw-with-backing', 'A raw data file and a backing file.')
def _(c, shop):
    image = shop.base('raw-data-file')
    c.files['disk.data'] = bytes(4 * MIB)
    c.files['base.raw'] = bytes(4 * MIB)
    image.set('backing_file_offset', 2 * KIB)
    image.set('backing_file_size', 8)
    image.put(2 * KIB, b'base.raw')
    image.add_extension(q.EXT_BACKING_FORMAT, b'raw')
    c.expect('raw-with-backing')
    return image


@case('data-file-name-missing',
      'An external data file, but no extension that names it.')
def _(c, shop):
    image = shop.base('data-file')
    image.remove_extension(q.EXT_DATA_FILE)
    c.expect('data-file-name-missing')
    return image


@case('data-file-name-unexpected',
      'A data file name in an image whose data-file bit is clear.')
def _(c, shop):
    image = shop.base('plain')
    image.add_extension(q.EXT_DATA_FILE, b'disk.data')
    c.expect('data-file-name-unexpected')
    return image


@case('data-file-bit-lost',
      'The data-file bit was lost: places in the data file are taken for places '
      'in the image.')
def _(c, shop):
    image = shop.make('cluster_size=4k,data_file=disk.data',
                      commands=['write -P 0x61 0 32k'])
    c.files['disk.data'] = shop.read_file('disk.data')
    image.clear_bits('incompatible_features', q.DATA_FILE)
    for code in ('overlap-guest-data', 'refcount-block-shared',
                 'refcount-too-low', 'l1-copied-wrong', 'l2-copied-wrong',
                 'l2-entry-past-end'):
        c.expect(code)
    c.expect('data-file-name-unexpected')
    return image


# ---- the backing file -----------------------------------------------------------------


@case('backing-missing', 'The backing file is not there.')
def _(c, shop):
    c.expect('backing-missing')
    return shop.base('backing')


def _overlay(shop, backing):
    """A small image over the qcow2 file `backing`, not yet looked at."""
    return shop.make('cluster_size=4k', create=('-u', '-b', backing, '-F',
                                                'qcow2'))


@case('backing-cycle', 'An image that is its own backing file.', deep=True)
def _(c, shop):
    c.expect('backing-cycle')
    return _overlay(shop, 'backing-cycle.qcow2')


@case('backing-cycle-long', 'Three images that back each other in a ring.',
      deep=True)
def _(c, shop):
    for name, backing in (('b.qcow2', 'c.qcow2'),
                          ('c.qcow2', 'backing-cycle-long.qcow2')):
        c.files[name] = bytes(_overlay(shop, backing).data)
    c.expect('backing-cycle')
    return _overlay(shop, 'b.qcow2')


@case('backing-damaged', 'The backing file should be qcow2, but its header '
      'was overwritten.', deep=True)
def _(c, shop):
    c.files['lower.qcow2'] = b'garbage ' * 1024
    c.expect('backing-damaged')
    return _overlay(shop, 'lower.qcow2')


@case('backing-format', 'The backing file format is the name of no format.')
def _(c, shop):
    c.files['lower.qcow2'] = b'raw data' * 1024
    image = _overlay(shop, 'lower.qcow2')
    image.put(image.extension(q.EXT_BACKING_FORMAT).offset, b'qcowx')
    c.expect('backing-format')
    return image


@case('backing-format-of-qcow2', 'The backing file format is the name of no '
      'format, and the backing file is qcow2.')
def _(c, shop):
    c.files['lower.qcow2'] = bytes(shop.base('empty').data)
    image = _overlay(shop, 'lower.qcow2')
    image.put(image.extension(q.EXT_BACKING_FORMAT).offset, b'qcowx')
    c.expect('backing-format')
    return image
