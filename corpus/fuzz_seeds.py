"""Seed inputs for the fuzzing targets: one folder a target, and small whole
images with 512-byte clusters for the check. Where a target takes its first
byte as a choice (cluster size, width, ...) the seed begins with that byte."""

import json
import random
import struct
import zlib

import other_cases
import partition_tables
import qcow2_patcher as q
import rich_seeds

SMALL_IMAGES = {
    'empty': ('', (), ()),
    'plain': ('', ('write -P 0x61 0 2k', 'write -P 0x62 40k 512'), ()),
    'zero': ('', ('write -P 0x61 0 2k', 'write -z 0 1k', 'write -z 8k 1k'),
             ()),
    'compressed': ('', ('write -c -P 0x61 0 512', 'write -c -P 0x62 512 512'),
                   ()),
    'zstd': ('compression_type=zstd', ('write -c -P 0x61 0 512',), ()),
    'narrow': ('refcount_bits=1', ('write -P 0x61 0 2k',), ()),
    'wide': ('refcount_bits=64', ('write -P 0x61 0 2k',), ()),
    'v2': ('compat=0.10', ('write -P 0x61 0 2k',), ()),
    'snapshot': ('', ('write -P 0x61 0 1k',),
                 (('snapshot', '-c', 's', 'base.qcow2'),)),
    'bitmap': ('', ('write -P 0x61 0 1k',),
               (('bitmap', '--add', 'base.qcow2', 'b'),)),
}


def _images(shop):
    for name, (options, commands, then) in SMALL_IMAGES.items():
        text = 'cluster_size=512' + (',' + options if options else '')
        image = shop.make(text, size='64k', commands=commands, then=then)
        yield name, bytes(image.data)
        # The same with one thing wrong, so that damage is where it starts.
        damaged = image.copy()
        table = damaged.get('l1_table_offset')
        damaged.put64(table, damaged.get64(table) ^ 0x4000_0000_0000_0200)
        yield name + '-damaged', bytes(damaged.data)
    yield from rich_seeds.seeds(shop)


def _headers(shop):
    for name in ('plain', 'plain-v2', 'extended', 'raw-data-file'):
        yield name, bytes(shop.base(name).data[:112])
    draft = shop.base('plain-v2')
    draft.set('version', 3)
    draft.put(72, struct.pack('>IIII', 0, 0, 0, 16))
    yield 'draft', bytes(draft.data[:88])


def _extensions(shop):
    # The first byte: how far the area reaches past the input.
    for name in ('plain', 'bitmap', 'backing', 'data-file'):
        image = shop.base(name)
        start = image.get('header_length')
        end = start + 8 + sum(8 + q.round_up(len(e.data), 8)
                              for e in image.extensions())
        yield name, b'\0' + bytes(image.data[start:end])
    names = struct.pack('>BB46s', 0, 0, b'dirty bit')
    yield 'names', (b'\0' + struct.pack('>II', q.EXT_FEATURE_NAMES, len(names))
                    + names + bytes(8))
    yield 'luks', b'\0' + struct.pack('>IIQQQ', q.EXT_LUKS, 16, 0x10000,
                                      0x81000, 0)
    yield 'overflow', b'\x40' + struct.pack('>II', 0x12345678, 64) + b'short'


def _snapshot_tables(shop):
    for name in ('snapshot', 'two-snapshots'):
        yield name, b''.join(s.encode() for s in shop.base(name).snapshots())
    yield 'bare', q.Snapshot(0x4000, 1, b'1', b'bare').encode()
    yield 'long', q.Snapshot(0x4000, 1, b'1', b'long', bytes(1024)).encode()


def _bitmap_directories(shop):
    entries = [b.encode() for b in shop.base('bitmap').bitmaps()]
    yield 'one', entries[0]
    extra = q.Bitmap(0x5000, 2, 7, 9, b'extra', extra=b'12345').encode()
    yield 'two', entries[0] + extra


def _luks_headers(shop):
    header = other_cases.luks_header()
    yield 'sound', header
    yield 'short', header[:300]


def _l2_entries(shop):
    # The first byte: cluster_bits - 9, and the top bit for extended L2.
    for name, choice in (('plain', 3), ('compressed', 3), ('snapshot', 3),
                         ('data-file', 3), ('extended', 0x80 | 5 + 13)):
        image = shop.base(name)
        table = image.l2_table(0)
        yield name, bytes([choice]) + bytes(image.data[table:table + 64])


def _refcount_blocks(shop):
    # The first byte: refcount_order.
    for name in ('plain', 'one-bit', 'snapshot'):
        image = shop.base(name)
        block = image.refcount_table_entry(0)
        yield name, (bytes([image.get('refcount_order')]) +
                     bytes(image.data[block:block + 64]))


def _compressed_clusters(shop):
    # The first byte: the compression type, and 512 << n bytes a cluster.
    for name, kind in (('deflate', 0), ('zstd', 1)):
        image = shop.make(f'cluster_size=4k,compression_type={name}'
                          if kind else 'cluster_size=4k',
                          commands=['write -c -P 0x61 0 4k'])
        offset, length = image.compressed_range(image.l2_entry(0))
        yield name, (bytes([3 << 1 | kind]) +
                     bytes(image.data[offset:offset + length]))


def _engine_scripts(_):
    # The first byte: the kind of image; then three bytes a request.
    dice = random.Random(5)
    for name, kind in (('small-clusters', 0), ('narrow', 2), ('lazy', 11),
                       ('extended', 13), ('aes', 15)):
        yield name, bytes([kind]) + dice.randbytes(3 * 60)
    yield 'snapshots', bytes([0] + [6, 0, 1, 0, 0, 1, 7, 0, 2, 0, 0, 2, 1, 0, 0,
                                    5, 0, 0, 3, 0, 9, 2, 0, 0, 5, 0, 1])
    yield 'bitmaps', bytes([4] + [4, 0, 0, 6, 0, 1, 4, 0, 1, 3, 0, 90, 6, 0, 5,
                                  5, 0, 0, 4, 0, 8, 5, 0, 0])


def _luks_changes(_):
    # What is changed, bit by bit, in the header of a sound area.
    yield 'sound', bytes(592)
    yield 'iterations', bytes(108 + 104) + bytes([0xff, 0xff, 0xff, 0xff])
    yield 'stripes', bytes(208 + 44) + bytes([0xff, 0xff, 0xff, 0xff])
    yield 'second-slot', bytes(256) + struct.pack('>I', 0xdead ^ 0xac71f3)


def _journals(_):
    # Two bytes: how things stand, and what the journal says of itself; then
    # six bytes an entry.
    entries = bytes([2, 0, 0, 1, 1, 0x11, 2, 4, 0, 2, 2, 0x22,
                     1, 8, 0, 100, 0, 0])
    for name, stands, says in (('committed', 0, 0x11), ('applied', 4, 0x13),
                               ('undo', 2 | 4 | 16, 0x13),
                               ('between', 8, 0x01), ('undoing', 8, 0x17),
                               ('grown', 0, 0x31), ('shrunk', 0, 0x51),
                               ('moved', 64, 0x11), ('moved-new', 68, 0x11),
                               ('moved-undo', 64 | 2 | 4 | 16, 0x13),
                               ('moved-on-purpose', 64 | 32, 0x11)):
        yield name, bytes([stands, says]) + entries
    # A byte more says how the journal's front is damaged.
    for name, stands, says, how in (('other-version', 0, 0x11, 1),
                                    ('torn-header', 0, 0x10, 2),
                                    ('torn-header-committed', 0, 0x11, 2),
                                    ('foreign', 0, 0x10, 3),
                                    ('foreign-committed', 0, 0x11, 3),
                                    ('torn-commit', 0, 0x11, 4),
                                    ('torn-commit-applied', 4, 0x11, 4),
                                    ('two-seals', 0, 0x11, 5)):
        yield name, bytes([stands, says]) + entries + bytes([how])


def _arguments(lines):
    for name, line in lines:
        yield name, line.replace(' ', '\0').encode()


def _options(_):
    # The arguments, each with a zero byte behind it but the last.
    yield from _arguments((
        ('check', '--output=json --report=r --max-problems=3 --jobs 2 -U a b'),
        ('deep', '--deep --backing=same-dir --overlap-check=all,-active-l2 a'),
        ('watched', '--overlap-check=constant,+active-l1 a'),
        ('unwatched', '--overlap-check=none,+snapshot-table,-header a'),
        ('misspelt', '--overlap-check=all,-l3 a'),
        ('fleet', '--recursive --exclude=*.bak --newer-than=36h --shard=1/4 '
                  '--state=s --baseline=b --time-budget=1h30m --max-rate=20M d'),
        ('date', '--recursive --newer-than=2026-11-21T04:30:59Z d'),
        ('repair', '--repair=salvage --drop-snapshot=1 --free-suspects a'),
        ('dry-run', '--repair --dry-run --journal=j --undo-file=u a'),
        ('recover', '--recover --moved-image a'),
        ('undo', '--undo a'),
        ('discard', '--discard-freed --no-undo a'),
        ('picture', '--html=h --map=m --memory-limit=64M --metrics=p a'),
        ('sandbox', '--sandbox --backing=none a'),
        ('remote', '--remote-timeout=5 nbd://user@host:10809/disk'),
        ('explain', '--explain=refcount-too-low'),
        ('merge', 'merge --output=ndjson a b'),
        ('compat', '--compat=qemu-img -r leaks -f qcow2 -q -p -T none a'),
        ('behind', '-- --repair -x a'),
        ('brackets', '-- [a,b] [] {} [a]'),
        ('help', '--help'),
        ('version', '--version'),
    ))


def _tool_options(_):
    yield from _arguments((
        ('create', 'create -o cluster_size=4K,refcount_bits=64 a 1T'),
        ('encrypted', 'create --encrypt=luks --cipher=aes-128 --cipher-mode='
                      'cbc --ivgen=essiv --iter-time=10 --secret-env=P a 1G'),
        ('options', 'create -o compat=0.10,lazy_refcounts=on,size=0x200 '
                    'encrypt.format=luks,encrypt.cipher-alg=aes-192'),
        ('convert', 'convert -O qcow2 -c --snapshot=s a b'),
        ('read', 'read --output=human a 64K 512'),
        ('write', 'write --tune overlap-check=none,cache-size=1M a 0 512'),
        ('snapshot', 'snapshot create a name'),
        ('bitmap', 'bitmap add -g 64K a name'),
        ('key', 'key add --new-secret-file=f a'),
        ('amend', 'amend -o compat=1.1 a'),
        ('rebase', 'rebase -b base -F qcow2 a'),
        ('fdisk', 'fdisk create --type=0x83 --start=2048 a'),
        ('values', 'l2-cache-size=1M,cache-clean-interval=600 raw any 0x7fffK'),
        ('misspelt', 'creat a'),
    ))


def _report(path, **more):
    return {'schema_version': 1, 'image': {'path': path},
            'status': 'corrupt', 'exit_code': 4, **more}


def _lines(*parts):
    return ''.join(json.dumps(part) + '\n' for part in parts).encode()


def _reports(_):
    finding = {'code': 'refcount-too-low', 'severity': 'corruption',
               'message': 'm', 'count': 2, 'root_cause': 1, 'id': 1,
               'location': {'structure': 'refcount block', 'index': 5,
                            'table_offset': 65536, 'field': 'f'},
               'host': {'first_cluster': 5, 'offset': 327680, 'clusters': 2}}
    summary = {'schema_version': 1, 'summary': {
        'end': 'time-budget', 'exit_code': 4, 'seconds': 1.5,
        'images': {'found': 3, 'checked': 2, 'left': 1},
        'counts': {'corruptions': 2, 'leaks': 1, 'leaked_bytes': 65536},
        'by_status': {'clean': 1, 'corrupt': 1},
        'damaged': [{'path': 'a', 'status': 'corrupt', 'exit_code': 4,
                     'corruptions': 2, 'leaks': 1, 'overlays': 1}],
        'damaged_omitted': 1, 'errors': ['e'],
        'change': {'images': 1, 'new_findings': 1, 'missing': ['b']}}}
    counts = {'corruptions': 2, 'leaks': 1, 'warnings': 0}
    full = _report('a', counts=counts, problems=[finding], warnings=[finding],
                   errors=['e'], problems_omitted=1)
    yield 'lines', _lines(full, _report('b'), summary)
    yield 'array', json.dumps([full, summary]).encode() + b'\n'
    yield 'object', json.dumps(full, indent=2).encode() + b'\n'
    yield 'cut-off', _lines(full) + b'{"schema_ver'
    yield 'twice', _lines(_report('a'), _report('a'), summary, summary)
    yield 'human', _lines(full, summary) + b'\x02'
    yield 'deep', _lines(_report('a', more=[[[[[[{'a': [[]]}]]]]]]), summary)


def _states(_):
    image = {'path': '/images/a%20b', 'round': 2, 'checked': 1795255200,
             'succeeded': 1795255200, 'status': 'clean', 'exit_code': 0,
             'corruptions': 0, 'leaks': 0, 'warnings': 0,
             'suspect_orphans': 0, 'leaked_bytes': 0, 'seconds': 0.5}
    first = {'qcow2_fsck_state': 1, 'round': 2, 'round_finished': True}
    yield 'empty', _lines({**first, 'round': 0}, {'images': 0})
    yield 'one', _lines(first, image, {'images': 1})
    yield 'two', _lines({**first, 'round_finished': False}, image,
                        {**image, 'path': 'c', 'round': 1}, {'images': 2})


def _names(_):
    for name, text in (('relative', 'base.qcow2'), ('absolute', '/a/base'),
                       ('file', 'file:/a/base'), ('json', 'json:{"a":1}'),
                       ('colon', 'dir/a:b'), ('beside', 'b\0/images/a'),
                       ('address', 'nbd://user:p@host:10809/disk?x=@#y'),
                       ('tls', 'nbds://host/'),
                       ('unix', 'nbd+unix:///disk?socket=/run/s')):
        yield name, text.encode()


def _partitions(_):
    table = partition_tables
    # Five bytes: checksums and length of the disk, and what to create.
    choice = bytes([2 * 60, 0x83, 40, 8, 1])
    yield 'empty', choice + bytes(512)
    linux = table.mbr_entry(0x83, 1, 20)
    yield 'mbr', choice + table.mbr(linux, table.mbr_entry(7, 50, 5))
    full = (table.mbr_entry(0x83, i, 1) for i in range(1, 5))
    yield 'full', choice + table.mbr(*full)
    first = table.mbr_entry(0x83, 1, 2)
    yield 'logical', (choice + table.mbr(table.mbr_entry(5, 1, 20)) +
                      table.mbr(first, table.mbr_entry(5, 4, 6)) +
                      bytes(3 * 512) + table.mbr(first))
    entry = struct.pack('<16s16sQQQ72s', bytes(range(1, 17)), bytes(16), 5, 9,
                        0, 'root'.encode('utf-16-le'))
    array = entry.ljust(512, b'\0')
    crc = zlib.crc32(array)
    disk = (table.mbr(table.mbr_entry(0xee, 1, 31)) +
            table.gpt_header(1, 31, 2, crc) + array + bytes(27 * 512) + array +
            table.gpt_header(31, 1, 30, crc))
    for name, mend in (('gpt', 0), ('gpt-mended', 1)):
        yield name, bytes([mend]) + choice[1:] + disk
    yield 'gpt-backup', bytes(5) + disk[:512] + bytes(512) + disk[1024:]


GROUPS = {
    'decode_header': _headers,
    'decode_extensions': _extensions,
    'decode_snapshot_table': _snapshot_tables,
    'decode_bitmap_directory': _bitmap_directories,
    'decode_luks_header': _luks_headers,
    'decode_l2_entry': _l2_entries,
    'decode_refcount_block': _refcount_blocks,
    'inflate_cluster': _compressed_clusters,
    'check_image': _images,
    'drive_engine': _engine_scripts,
    'open_luks': _luks_changes,
    'recover_journal': _journals,
    'parse_options': _options,
    'parse_tool_options': _tool_options,
    'read_reports': _reports,
    'read_state': _states,
    'read_names': _names,
    'read_partitions': _partitions,
}


def seeds(shop):
    """(path below corpus/fuzz, bytes) of every seed."""
    for group, make in GROUPS.items():
        for name, data in make(shop):
            yield f'{group}/{name}', data
