"""Reads and patches qcow2 images held in memory.

A second implementation of the format, written apart from the C++ one so that a
misreading in one of them shows. It serves the corpus scripts and tests only:
it is small and obvious rather than fast, and it lets the caller write any
value anywhere, because making damaged images is its purpose.

Only Python's standard library is used. Nothing here opens an image by itself
except Image.load and Image.save.

Conventions
  * offsets are bytes, clusters are counted from 0, tables are named by their
    host offset;
  * geometry (cluster size, refcount width, ...) is read from the header each
    time, so damage the header last;
  * `references()` counts by the rules of the checker: entries that are
    unaligned or that lie past the end of the file are not followed and not
    counted, and neither is a region that reaches past the end by a cluster or
    more.
"""

import collections
import dataclasses
import struct

MAGIC = 0x514649FB

COPIED = 1 << 63
COMPRESSED = 1 << 62
ZERO_FLAG = 1
OFFSET_MASK = 0x00FFFFFFFFFFFE00  # bits 9 to 55

# Incompatible feature bits.
DIRTY = 1 << 0
CORRUPT = 1 << 1
DATA_FILE = 1 << 2
COMPRESSION_TYPE = 1 << 3
EXTENDED_L2 = 1 << 4
# Compatible feature bits.
LAZY_REFCOUNTS = 1 << 0
# Autoclear feature bits.
BITMAPS_CONSISTENT = 1 << 0
RAW_DATA_FILE = 1 << 1

EXT_END = 0
EXT_BACKING_FORMAT = 0xE2792ACA
EXT_FEATURE_NAMES = 0x6803F857
EXT_BITMAPS = 0x23852875
EXT_LUKS = 0x0537BE77
EXT_DATA_FILE = 0x44415441

# Header fields: name -> (offset, bytes). Those from 72 on exist in version 3.
HEADER_FIELDS = {
    'magic': (0, 4),
    'version': (4, 4),
    'backing_file_offset': (8, 8),
    'backing_file_size': (16, 4),
    'cluster_bits': (20, 4),
    'size': (24, 8),
    'crypt_method': (32, 4),
    'l1_size': (36, 4),
    'l1_table_offset': (40, 8),
    'refcount_table_offset': (48, 8),
    'refcount_table_clusters': (56, 4),
    'nb_snapshots': (60, 4),
    'snapshots_offset': (64, 8),
    'incompatible_features': (72, 8),
    'compatible_features': (80, 8),
    'autoclear_features': (88, 8),
    'refcount_order': (96, 4),
    'header_length': (100, 4),
    'compression_type': (104, 1),
}

# The fixed part of a snapshot table entry: name -> (offset, bytes).
SNAPSHOT_FIELDS = {
    'l1_table_offset': (0, 8),
    'l1_size': (8, 4),
    'id_size': (12, 2),
    'name_size': (14, 2),
    'date_sec': (16, 4),
    'date_nsec': (20, 4),
    'vm_clock_nsec': (24, 8),
    'vm_state_size': (32, 4),
    'extra_data_size': (36, 4),
}
SNAPSHOT_FIXED_BYTES = 40

# The fixed part of a bitmap directory entry: name -> (offset, bytes).
BITMAP_FIELDS = {
    'table_offset': (0, 8),
    'table_size': (8, 4),
    'flags': (12, 4),
    'type': (16, 1),
    'granularity_bits': (17, 1),
    'name_size': (18, 2),
    'extra_data_size': (20, 4),
}
BITMAP_FIXED_BYTES = 24


def round_up(value, unit):
    return (value + unit - 1) // unit * unit


@dataclasses.dataclass
class Extension:
    """A header extension: its type, its data and where its data starts."""
    type: int
    data: bytes
    offset: int = 0


@dataclasses.dataclass
class Snapshot:
    """A snapshot table entry as a value."""
    l1_table_offset: int
    l1_size: int
    id: bytes
    name: bytes
    extra: bytes = b''
    date_sec: int = 0
    date_nsec: int = 0
    vm_clock_nsec: int = 0
    vm_state_size: int = 0
    offset: int = 0  # of the entry in the file, when it was read from one

    def encode(self):
        fixed = struct.pack('>QIHHIIQII', self.l1_table_offset, self.l1_size,
                            len(self.id), len(self.name), self.date_sec,
                            self.date_nsec, self.vm_clock_nsec,
                            self.vm_state_size, len(self.extra))
        entry = fixed + self.extra + self.id + self.name
        return entry.ljust(round_up(len(entry), 8), b'\0')


@dataclasses.dataclass
class Bitmap:
    """A bitmap directory entry as a value."""
    table_offset: int
    table_size: int
    flags: int
    granularity_bits: int
    name: bytes
    type: int = 1
    extra: bytes = b''
    offset: int = 0  # of the entry in the file, when it was read from one

    def encode(self):
        fixed = struct.pack('>QIIBBHI', self.table_offset, self.table_size,
                            self.flags, self.type, self.granularity_bits,
                            len(self.name), len(self.extra))
        entry = fixed + self.extra + self.name
        return entry.ljust(round_up(len(entry), 8), b'\0')


class Image:
    """A qcow2 image as a bytearray with the format's structures on top."""

    def __init__(self, data=b''):
        self.data = bytearray(data)

    @classmethod
    def load(cls, path):
        with open(path, 'rb') as file:
            return cls(file.read())

    def save(self, path):
        with open(path, 'wb') as file:
            file.write(self.data)

    def copy(self):
        return Image(self.data)

    # ---- bytes ------------------------------------------------------------

    def get_int(self, offset, size):
        """A big-endian integer; bytes past the end of the file are zeros."""
        raw = bytes(self.data[offset:offset + size]).ljust(size, b'\0')
        return int.from_bytes(raw, 'big')

    def put_int(self, offset, size, value):
        self.put(offset, value.to_bytes(size, 'big'))

    def get64(self, offset):
        return self.get_int(offset, 8)

    def put64(self, offset, value):
        self.put_int(offset, 8, value)

    def put(self, offset, raw):
        """Writes bytes, growing the file when needed."""
        if offset + len(raw) > len(self.data):
            self.data.extend(bytes(offset + len(raw) - len(self.data)))
        self.data[offset:offset + len(raw)] = raw

    def truncate(self, size):
        """Cuts the file or extends it with zeros."""
        if size < len(self.data):
            del self.data[size:]
        else:
            self.data.extend(bytes(size - len(self.data)))

    # ---- header -----------------------------------------------------------

    def get(self, field):
        """A header field; what version 2 does not store has its fixed value."""
        offset, size = HEADER_FIELDS[field]
        if self.get_int(4, 4) < 3 and offset >= 72:
            return {'refcount_order': 4, 'header_length': 72}.get(field, 0)
        if field == 'compression_type' and self.get('header_length') <= 104:
            return 0
        return self.get_int(offset, size)

    def set(self, field, value):
        offset, size = HEADER_FIELDS[field]
        self.put_int(offset, size, value)

    def set_bits(self, field, bits):
        self.set(field, self.get(field) | bits)

    def clear_bits(self, field, bits):
        self.set(field, self.get(field) & ~bits)

    @property
    def version(self):
        return self.get('version')

    @property
    def cluster_size(self):
        return 1 << self.get('cluster_bits')

    @property
    def refcount_bits(self):
        return 1 << self.get('refcount_order')

    @property
    def extended_l2(self):
        return bool(self.get('incompatible_features') & EXTENDED_L2)

    @property
    def has_data_file(self):
        return bool(self.get('incompatible_features') & DATA_FILE)

    @property
    def l2_entry_bytes(self):
        return 16 if self.extended_l2 else 8

    @property
    def l2_entries(self):
        return self.cluster_size // self.l2_entry_bytes

    @property
    def clusters(self):
        """Host clusters of the file, a partial last one included."""
        return round_up(len(self.data), self.cluster_size) // self.cluster_size

    # ---- header extensions -------------------------------------------------

    def extensions(self):
        """All extensions up to the end mark."""
        found = []
        offset = self.get('header_length')
        end = self.get('backing_file_offset') or self.cluster_size
        while offset + 8 <= end:
            kind, length = struct.unpack_from('>II', self.data, offset)
            if kind == EXT_END:
                break
            data = bytes(self.data[offset + 8:offset + 8 + length])
            found.append(Extension(kind, data, offset + 8))
            offset += 8 + round_up(length, 8)
        return found

    def extension(self, kind):
        """The first extension of a type, or None."""
        return next((e for e in self.extensions() if e.type == kind), None)

    def set_extensions(self, extensions):
        """Writes the extension area anew; the backing name moves behind it."""
        name_offset = self.get('backing_file_offset')
        name_size = self.get('backing_file_size')
        name = bytes(self.data[name_offset:name_offset + name_size])
        area = b''
        for extension in extensions:
            length = len(extension.data)
            area += struct.pack('>II', extension.type, length)
            area += extension.data.ljust(round_up(length, 8), b'\0')
        area += bytes(8)
        start = self.get('header_length')
        if name_offset:
            self.set('backing_file_offset', start + len(area))
            area += name
        if start + len(area) > self.cluster_size:
            raise ValueError('the extensions do not fit into the first cluster')
        self.put(start, area.ljust(self.cluster_size - start, b'\0'))

    def add_extension(self, kind, data):
        self.set_extensions(self.extensions() + [Extension(kind, data)])

    def remove_extension(self, kind):
        self.set_extensions([e for e in self.extensions() if e.type != kind])

    # ---- refcounts ----------------------------------------------------------

    @property
    def block_entries(self):
        """Refcounts in one refcount block."""
        return self.cluster_size * 8 // self.refcount_bits

    @property
    def refcount_table_entries(self):
        return self.get('refcount_table_clusters') * self.cluster_size // 8

    def refcount_table_entry_offset(self, index):
        return self.get('refcount_table_offset') + 8 * index

    def refcount_table_entry(self, index):
        return self.get64(self.refcount_table_entry_offset(index))

    def set_refcount_table_entry(self, index, value):
        self.put64(self.refcount_table_entry_offset(index), value)

    def _refcount_place(self, cluster):
        """(offset, size in bytes, shift) of a cluster's refcount, or None."""
        table_index, index = divmod(cluster, self.block_entries)
        if table_index >= self.refcount_table_entries:
            return None
        block = self.refcount_table_entry(table_index) & ~0x1FF
        if block == 0:
            return None
        bits = self.refcount_bits
        if bits >= 8:
            return block + index * bits // 8, bits // 8, 0
        # Several counts share a byte, the first in its lowest bits.
        per_byte = 8 // bits
        return block + index // per_byte, 1, (index % per_byte) * bits

    def refcount(self, cluster):
        place = self._refcount_place(cluster)
        if place is None:
            return 0
        offset, size, shift = place
        mask = (1 << self.refcount_bits) - 1
        return self.get_int(offset, size) >> shift & mask

    def set_refcount(self, cluster, value):
        place = self._refcount_place(cluster)
        if place is None:
            raise ValueError(f'no refcount block covers cluster {cluster}')
        offset, size, shift = place
        mask = (1 << self.refcount_bits) - 1
        if value > mask:
            raise ValueError(f'{value} does not fit into {mask:#x}')
        old = self.get_int(offset, size)
        self.put_int(offset, size, old & ~(mask << shift) | value << shift)

    def allocate(self, count=1, refcount=1):
        """Appends clusters of zeros to the file; the offset of the first."""
        first = self.clusters
        self.truncate((first + count) * self.cluster_size)
        if refcount:
            for cluster in range(first, first + count):
                self.set_refcount(cluster, refcount)
        return first * self.cluster_size

    # ---- mapping --------------------------------------------------------------

    def l1_entry_offset(self, index):
        return self.get('l1_table_offset') + 8 * index

    def l1_entry(self, index):
        return self.get64(self.l1_entry_offset(index))

    def set_l1_entry(self, index, value):
        self.put64(self.l1_entry_offset(index), value)

    def l2_table(self, l1_index):
        """Host offset of the L2 table an active L1 entry names; 0 if none."""
        return self.l1_entry(l1_index) & OFFSET_MASK

    def l2_entry_offset(self, guest_cluster):
        """Host offset of the active L2 entry of a guest cluster."""
        l1_index, index = divmod(guest_cluster, self.l2_entries)
        table = self.l2_table(l1_index)
        if table == 0:
            raise ValueError(f'guest cluster {guest_cluster} has no L2 table')
        return table + index * self.l2_entry_bytes

    def l2_entry(self, guest_cluster):
        return self.get64(self.l2_entry_offset(guest_cluster))

    def set_l2_entry(self, guest_cluster, value):
        self.put64(self.l2_entry_offset(guest_cluster), value)

    def subclusters(self, guest_cluster):
        """The second word of an extended L2 entry."""
        return self.get64(self.l2_entry_offset(guest_cluster) + 8)

    def set_subclusters(self, guest_cluster, value):
        self.put64(self.l2_entry_offset(guest_cluster) + 8, value)

    def data_cluster(self, guest_cluster):
        """The host cluster a standard L2 entry names."""
        return (self.l2_entry(guest_cluster) & OFFSET_MASK) // self.cluster_size

    def compressed_range(self, entry):
        """(offset, length) of the data a compressed L2 entry names."""
        shift = 62 - (self.get('cluster_bits') - 8)
        offset = entry & (1 << shift) - 1
        sectors = entry >> shift & (1 << 62 - shift) - 1
        return offset, (sectors + 1) * 512 - (offset & 511)

    def compressed_entry(self, offset, sectors):
        """An L2 entry for compressed data; `sectors` beyond the first."""
        shift = 62 - (self.get('cluster_bits') - 8)
        return COMPRESSED | sectors << shift | offset

    # ---- snapshots --------------------------------------------------------------

    def snapshots(self):
        found = []
        offset = self.get('snapshots_offset')
        for _ in range(self.get('nb_snapshots')):
            (l1_offset, l1_size, id_size, name_size, sec, nsec, clock, state,
             extra_size) = struct.unpack_from('>QIHHIIQII', self.data, offset)
            start = offset + SNAPSHOT_FIXED_BYTES
            middle = start + extra_size
            end = middle + id_size
            found.append(Snapshot(
                l1_offset, l1_size, bytes(self.data[middle:end]),
                bytes(self.data[end:end + name_size]),
                bytes(self.data[start:middle]), sec, nsec, clock, state, offset))
            offset = round_up(end + name_size, 8)
        return found

    def snapshot_table_bytes(self):
        """Length of the table; it ends where its last entry ends."""
        return sum(len(s.encode()) for s in self.snapshots())

    def set_snapshots(self, snapshots):
        """Writes the table in place; the caller sees to the space behind it."""
        table = b''.join(s.encode() for s in snapshots)
        self.put(self.get('snapshots_offset'), table)
        self.set('nb_snapshots', len(snapshots))

    def set_snapshot_field(self, index, field, value):
        offset, size = SNAPSHOT_FIELDS[field]
        self.put_int(self.snapshots()[index].offset + offset, size, value)

    # ---- bitmaps ------------------------------------------------------------------

    def bitmap_extension(self):
        """(number, reserved, directory size, directory offset) or None."""
        extension = self.extension(EXT_BITMAPS)
        if extension is None:
            return None
        return struct.unpack('>IIQQ', extension.data[:24])

    def set_bitmap_extension(self, number, reserved, size, offset):
        place = self.extension(EXT_BITMAPS).offset
        self.put(place, struct.pack('>IIQQ', number, reserved, size, offset))

    def bitmaps(self):
        number, _, _, offset = self.bitmap_extension()
        found = []
        for _ in range(number):
            (table, size, flags, kind, granularity, name_size,
             extra_size) = struct.unpack_from('>QIIBBHI', self.data, offset)
            start = offset + BITMAP_FIXED_BYTES
            middle = start + extra_size
            end = middle + name_size
            found.append(Bitmap(table, size, flags, granularity,
                                bytes(self.data[middle:end]), kind,
                                bytes(self.data[start:middle]), offset))
            offset = round_up(end, 8)
        return found

    def set_bitmap_field(self, index, field, value):
        offset, size = BITMAP_FIELDS[field]
        self.put_int(self.bitmaps()[index].offset + offset, size, value)

    # ---- LUKS -----------------------------------------------------------------------

    def luks_pointer(self):
        """(offset, length) of the LUKS header, or None."""
        extension = self.extension(EXT_LUKS)
        if extension is None:
            return None
        return struct.unpack('>QQ', extension.data[:16])

    # ---- counting ---------------------------------------------------------------------

    def references(self):
        """Counter: host cluster -> references, by the checker's rules."""
        return _ReferenceCount(self).count()

    def fix_refcounts(self):
        """Stores the counted references; clusters nothing names become free."""
        counted = self.references()
        last = max([self.clusters - 1, *counted])
        for cluster in range(last + 1):
            if self._refcount_place(cluster) or counted[cluster]:
                self.set_refcount(cluster, counted[cluster])

    def fix_copied(self):
        """Makes COPIED in the active tables agree with the references."""
        counted = self.references()
        for l1_index in range(self.get('l1_size')):
            table = self.l2_table(l1_index)
            if table == 0 or table >= len(self.data):
                continue
            self.set_l1_entry(l1_index, self._with_copied(
                self.l1_entry(l1_index), counted[table // self.cluster_size]))
            for index in range(self.l2_entries):
                guest = l1_index * self.l2_entries + index
                entry = self.l2_entry(guest)
                if entry & COMPRESSED or not entry & OFFSET_MASK:
                    continue
                cluster = (entry & OFFSET_MASK) // self.cluster_size
                self.set_l2_entry(
                    guest, self._with_copied(entry, counted[cluster]))

    @staticmethod
    def _with_copied(entry, count):
        return entry | COPIED if count == 1 else entry & ~COPIED

    def disagreements(self):
        """[(cluster, stored, counted)] where the two differ."""
        counted = self.references()
        covered = self.refcount_table_entries * self.block_entries
        last = min(covered, max([self.clusters, *(c + 1 for c in counted)]))
        return [(cluster, self.refcount(cluster), counted[cluster])
                for cluster in range(last)
                if self.refcount(cluster) != counted[cluster]]


class _ReferenceCount:
    """One walk over everything an image names."""

    def __init__(self, image):
        self.image = image
        self.counts = collections.Counter()

    def count(self):
        image = self.image
        self.add(0, image.cluster_size)
        self.add_l1(image.get('l1_table_offset'), image.get('l1_size'))
        self.add_refcount_structures()
        self.add_snapshots()
        self.add_bitmaps()
        luks = image.luks_pointer()
        if luks:
            self.add(*luks)
        return self.counts

    def add(self, offset, length):
        """Counts a region once; False where it is past the end."""
        image = self.image
        if length <= 0:
            return True
        if offset + length - len(image.data) >= image.cluster_size:
            return False
        first = offset // image.cluster_size
        last = (offset + length - 1) // image.cluster_size
        for cluster in range(first, last + 1):
            self.counts[cluster] += 1
        return True

    def aligned(self, offset):
        return offset % self.image.cluster_size == 0

    def add_l1(self, table, entries):
        image = self.image
        if not self.aligned(table) or not self.add(table, 8 * entries):
            return
        for index in range(entries):
            l2_table = image.get64(table + 8 * index) & OFFSET_MASK
            if l2_table == 0 or not self.aligned(l2_table):
                continue
            if self.add(l2_table, image.cluster_size):
                self.add_l2(l2_table)

    def add_l2(self, table):
        image = self.image
        for index in range(image.l2_entries):
            entry = image.get64(table + index * image.l2_entry_bytes)
            if entry & COMPRESSED:
                offset, length = image.compressed_range(entry)
                # Whole sectors are taken, from the one the data starts in.
                start = offset & ~511
                self.add(start, length + (offset - start))
                continue
            offset = entry & OFFSET_MASK
            if offset and self.aligned(offset) and not image.has_data_file:
                self.add(offset, image.cluster_size)

    def add_refcount_structures(self):
        image = self.image
        size = image.get('refcount_table_clusters') * image.cluster_size
        table = image.get('refcount_table_offset')
        if not self.aligned(table) or not self.add(table, size):
            return
        for index in range(image.refcount_table_entries):
            block = image.refcount_table_entry(index)
            if block and self.aligned(block):
                self.add(block, image.cluster_size)

    def add_snapshots(self):
        image = self.image
        if image.get('nb_snapshots') == 0:
            return
        self.add(image.get('snapshots_offset'), image.snapshot_table_bytes())
        for snapshot in image.snapshots():
            self.add_l1(snapshot.l1_table_offset, snapshot.l1_size)

    def add_bitmaps(self):
        image = self.image
        extension = image.bitmap_extension()
        consistent = image.get('autoclear_features') & BITMAPS_CONSISTENT
        if extension is None or not consistent:
            return
        _, _, size, offset = extension
        if not self.add(offset, size):
            return
        for bitmap in image.bitmaps():
            if not self.add(bitmap.table_offset, 8 * bitmap.table_size):
                continue
            for index in range(bitmap.table_size):
                entry = image.get64(bitmap.table_offset + 8 * index)
                data = entry & OFFSET_MASK
                if data and self.aligned(data):
                    self.add(data, image.cluster_size)
