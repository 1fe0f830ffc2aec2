"""Sectors of partition tables, as values go into them and without a look at
whether they make sense: for seeds and cases."""

import struct
import zlib


def mbr_entry(kind, first, sectors):
    return struct.pack('<4B4BII', 0x80, 1, 1, 0, kind, 254, 63, 255, first,
                       sectors)


def mbr(*entries):
    return bytes(446) + b''.join(entries).ljust(64, b'\0') + b'\x55\xaa'


def gpt_header(own, other, array, crc):
    header = struct.pack('<8sIIIIQQQQ16sQIII', b'EFI PART', 0x10000, 92, 0, 0,
                         own, other, 4, 30, bytes(range(16)), array, 4, 128,
                         crc)
    crc = zlib.crc32(header)
    return (header[:16] + struct.pack('<I', crc) + header[20:]).ljust(
        512, b'\0')
