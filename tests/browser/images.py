"""Images for the browser test: a partitioned one with an overlap, and one with
more runs than a picture keeps."""

import struct
import subprocess

CLUSTER = 65536
COPIED = 1 << 63
OFFSET_MASK = 0x00fffffffffffe00
HOSTILE_NAME = '<img src=x onerror=document.title=1></script>'


def quietly(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def qemu_io(path, *commands):
    arguments = [word for command in commands for word in ('-c', command)]
    quietly('qemu-io', '-f', 'qcow2', *arguments, path)


def master_boot_record(partitions):
    """Sector 0 for partitions given as (type, first sector, sectors)."""
    sector = bytearray(512)
    for i, (kind, first, count) in enumerate(partitions):
        struct.pack_into('<4xB3xII', sector, 446 + 16 * i, kind, first, count)
    sector[510:] = b'\x55\xaa'
    return bytes(sector)


class Patch:
    """Changes words of an image's metadata."""

    def __init__(self, path):
        self.file = open(path, 'r+b')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def get(self, offset, length=8):
        self.file.seek(offset)
        return int.from_bytes(self.file.read(length), 'big')

    def put(self, offset, value, length=8):
        self.file.seek(offset)
        self.file.write(value.to_bytes(length, 'big'))

    def l2_table(self, index=0):
        return self.get(self.get(40) + 8 * index) & OFFSET_MASK

    def entry(self, guest_offset):
        """Where the L2 entry of a guest offset is."""
        return self.l2_table() + 8 * (guest_offset // CLUSTER)

    def set_count(self, cluster, count):
        block = self.get(self.get(48))
        self.put(block + 2 * cluster, count, 2)


def overlapping(path, sector_file):
    """Partitions of 100, 20 and 60 MiB. The second one's data is the active L2
    table. Returns the cluster where they meet."""
    mib = 2048
    with open(sector_file, 'wb') as file:
        file.write(master_boot_record([
            (0x83, mib, 100 * mib), (0x82, 101 * mib, 20 * mib),
            (0x07, 121 * mib, 60 * mib)]))
    quietly('qemu-img', 'create', '-q', '-f', 'qcow2', path, '192M')
    qemu_io(path, f'write -s {sector_file} 0 512', 'write 1M 40M',
            'write 105M 8M', 'write 130M 10M')
    quietly('qemu-img', 'snapshot', '-c', HOSTILE_NAME, path)
    qemu_io(path, 'write 10M 4M', 'write 106M 1M')
    with Patch(path) as patch:
        table = patch.l2_table()
        patch.put(patch.entry(106 << 20), table | COPIED)
        return table // CLUSTER


def reversed_order(path, clusters):
    """Clusters of 512 bytes, the guest's in reverse order, so that each is a run
    of its own; the refcount of one is wrong. Returns that cluster."""
    size = 512
    l2_tables = -(-clusters // 64)
    l1_clusters = -(-l2_tables * 8 // size)
    blocks = (clusters + 8000) // 256
    table_clusters = -(-blocks * 8 // size)
    first_block = 1 + table_clusters
    l1 = first_block + blocks
    first_l2 = l1 + l1_clusters
    first_data = first_l2 + l2_tables
    end = first_data + clusters
    header = struct.pack(
        '>4sIQIIQIIQQIIQQQQII', b'QFI\xfb', 3, 0, 0, 9, clusters * size, 0,
        l2_tables, l1 * size, size, table_clusters, 0, 0, 0, 0, 0, 4, 104)

    def words(values, count):
        return struct.pack(f'>{count}Q', *values)

    damaged = first_data + clusters // 3
    counts = [1] * end + [0] * (blocks * 256 - end)
    counts[damaged] = 0
    with open(path, 'wb') as file:
        file.write(header)
        file.seek(size)
        file.write(words(((first_block + i) * size for i in range(blocks)),
                         blocks))
        file.seek(first_block * size)
        file.write(struct.pack(f'>{len(counts)}H', *counts))
        file.seek(l1 * size)
        file.write(words(((first_l2 + i) * size | COPIED
                          for i in range(l2_tables)), l2_tables))
        file.seek(first_l2 * size)
        file.write(words(((end - 1 - i) * size | COPIED
                          for i in range(clusters)), clusters))
        file.truncate(end * size)
    return damaged
