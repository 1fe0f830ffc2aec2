"""Writes and patches the metadata of benchmark images.

Only what qemu-img cannot make itself: an image whose guest clusters lie in
random order, and damage done to a sound image. Nothing here is careful with
strange input; it works on images that make_images.py has just made.
"""

import array
import random
import struct
import sys

L1_OFFSET_MASK = 0x00FFFFFFFFFFFE00
REFCOUNT_TABLE_OFFSET_MASK = 0xFFFFFFFFFFFFFE00
COPIED = 1 << 63


def words_to_bytes(words, typecode="Q"):
    """The integers as big-endian bytes."""
    packed = array.array(typecode, words)
    if sys.byteorder == "little":
        packed.byteswap()
    return packed.tobytes()


def bytes_to_words(data, typecode="Q"):
    """Big-endian bytes as integers."""
    words = array.array(typecode, data)
    if sys.byteorder == "little":
        words.byteswap()
    return words


def round_up(value, unit):
    return (value + unit - 1) // unit * unit


class Header:
    """The header fields that lead to the tables."""

    def __init__(self, file):
        file.seek(0)
        data = file.read(104)
        (self.version,) = struct.unpack_from(">I", data, 4)
        (cluster_bits,) = struct.unpack_from(">I", data, 20)
        self.cluster_size = 1 << cluster_bits
        (self.l1_entries, self.l1_offset, self.refcount_table_offset,
         self.refcount_table_clusters) = struct.unpack_from(">IQQI", data, 36)


def read_table(file, offset, entries, mask):
    """The offsets in a table of 64-bit entries; 0 where there is none."""
    file.seek(offset)
    return [word & mask for word in bytes_to_words(file.read(entries * 8))]


def l2_tables(file, header):
    """Host offsets of the active L2 tables, in guest order."""
    return read_table(file, header.l1_offset, header.l1_entries, L1_OFFSET_MASK)


def refcount_blocks(file, header):
    """Host offsets of the refcount blocks that exist."""
    entries = header.refcount_table_clusters * header.cluster_size // 8
    table = read_table(file, header.refcount_table_offset, entries,
                       REFCOUNT_TABLE_OFFSET_MASK)
    return [offset for offset in table if offset]


def leak_scattered(path, count, seed):
    """Unmaps `count` clusters picked at random; their refcounts stay 1.

    The image must be preallocated in full with standard L2 entries.
    """
    with open(path, "r+b") as file:
        header = Header(file)
        tables = l2_tables(file, header)
        entries = header.cluster_size // 8
        picked = random.Random(seed).sample(range(len(tables) * entries), count)
        by_table = {}
        for cluster in picked:
            by_table.setdefault(cluster // entries, []).append(cluster % entries)
        for table, indices in sorted(by_table.items()):
            file.seek(tables[table])
            words = bytes_to_words(file.read(header.cluster_size))
            for index in indices:
                words[index] = 0
            file.seek(tables[table])
            file.write(words_to_bytes(words))


def zero_refcounts(path):
    """Sets every refcount in the image to 0; the blocks stay where they are."""
    with open(path, "r+b") as file:
        header = Header(file)
        zeros = bytes(header.cluster_size)
        for offset in refcount_blocks(file, header):
            file.seek(offset)
            file.write(zeros)


class RandomLayout:
    """Where everything lies in an image with its data in random order.

    Header, refcount table, refcount blocks, L1 table and L2 tables follow one
    another from cluster 0; every cluster after them is guest data.
    """

    def __init__(self, disk_size, cluster_bits):
        self.cluster_bits = cluster_bits
        self.cluster_size = 1 << cluster_bits
        self.data_clusters = disk_size // self.cluster_size
        self.l2_entries = self.cluster_size // 8
        self.l2_count = -(-self.data_clusters // self.l2_entries)
        self.l1_clusters = -(-self.l2_count * 8 // self.cluster_size)
        self._place_refcounts()
        self.l1_cluster = 1 + self.table_clusters + self.block_count
        self.l2_cluster = self.l1_cluster + self.l1_clusters
        self.data_cluster = self.l2_cluster + self.l2_count

    def _place_refcounts(self):
        """Refcount blocks count themselves: grow until they cover the file."""
        per_block = self.cluster_size // 2
        others = 1 + self.l1_clusters + self.l2_count + self.data_clusters
        self.block_count = 0
        self.table_clusters = 1
        self.clusters = others + 1
        while self.block_count * per_block < self.clusters:
            self.block_count += 1
            self.table_clusters = -(-self.block_count * 8 // self.cluster_size)
            self.clusters = others + self.table_clusters + self.block_count

    def offset(self, cluster):
        return cluster << self.cluster_bits


def random_order_header(layout, disk_size):
    fields = struct.pack(
        ">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, layout.cluster_bits,
        disk_size, 0, layout.l2_count, layout.offset(layout.l1_cluster),
        layout.offset(1), layout.table_clusters, 0, 0, 0, 0, 0, 4, 104)
    return fields


def write_random_order(path, disk_size, cluster_bits, seed):
    """A full image whose guest clusters are a random permutation on the host.

    Every cluster of the file is used once and has refcount 1.
    """
    layout = RandomLayout(disk_size, cluster_bits)
    hosts = list(range(layout.data_cluster, layout.clusters))
    random.Random(seed).shuffle(hosts)
    entries = words_to_bytes(
        COPIED | host << cluster_bits for host in hosts)
    with open(path, "w+b") as file:
        file.truncate(layout.offset(layout.clusters))
        file.write(random_order_header(layout, disk_size))
        file.seek(layout.offset(1))
        first_block = 1 + layout.table_clusters
        file.write(words_to_bytes(
            layout.offset(first_block + i) for i in range(layout.block_count)))
        file.seek(layout.offset(first_block))
        file.write(words_to_bytes([1], "H") * layout.clusters)
        file.seek(layout.offset(layout.l1_cluster))
        file.write(words_to_bytes(
            COPIED | layout.offset(layout.l2_cluster + i)
            for i in range(layout.l2_count)))
        file.seek(layout.offset(layout.l2_cluster))
        file.write(entries)
