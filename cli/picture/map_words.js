// The maps of the page: two grids of cells, the file and the guest's disk, that
// are zoomed, walked through and asked what is where. Everything they show is
// in the JSON of the element "data"; text from the image only ever becomes text
// nodes. The four files map_*.js and page.js are one script, in this order:
// words, sources, grid, page.
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);

const MARK_OVERLAP = 1;
const MARK_DAMAGED = 2;
const MARK_SUSPECT = 4;
const MARK_TOO_HIGH = 8;
const MARK_UNKNOWN = 16;
const MARK_BAD = MARK_OVERLAP | MARK_DAMAGED;
const MARK_WORDS = [
  [MARK_OVERLAP, 'OVERLAP: metadata and a second owner'],
  [MARK_DAMAGED, 'DAMAGED'],
  [MARK_SUSPECT, 'may be what is left of guest data'],
  [MARK_TOO_HIGH, 'refcount too high'],
  [MARK_UNKNOWN, 'its refcount cannot be read'],
];

function bytes(count) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    ++unit;
  }
  const text = Number.isInteger(value) ? String(value) :
      (Math.floor(value * 10) / 10).toFixed(1);
  return `${text} ${units[unit]}`;
}

function hex(clusters) {
  return '0x' + (BigInt(clusters) * BigInt(data.clusterSize)).toString(16);
}

function grouped(number) {
  return number.toLocaleString('en').replaceAll(',', '\u202f');
}

function counted(count, one, many) {
  return `${grouped(count)} ${count === 1 ? one : many}`;
}

function clusterWords(first, count, of) {
  const where = `${of} ${hex(first)}`;
  return count === 1 ?
      `cluster ${grouped(first)}, ${where}` :
      `clusters ${grouped(first)} to ${grouped(first + count - 1)}, ` +
          `${bytes(count * data.clusterSize)} ${where}`;
}

function markWords(marks) {
  return MARK_WORDS.filter(([bit]) => marks & bit).map(([, words]) => words);
}

function diskWords(disk) {
  return disk === 0 ? '' : ` of snapshot “${data.disks[disk]}”`;
}

// An owner is [kind, disk, references, index or first guest cluster, guest
// clusters (of data only)].
function ownerWords([kind, disk, references, index, guestClusters]) {
  const {name, style, guest} = data.owners[kind];
  const shared = references > 1 ? ` (${references} references)` : '';
  if (style === 'data') {
    const range = guestClusters > 0 ?
        `: ${bytes(guestClusters * data.clusterSize)}` +
            `${guest ? ' of the disk' : ''} at ${hex(index)}` : '';
    return name + diskWords(disk) + shared + range;
  }
  if (style === 'l2') return `${name} (L1 entry ${index})${diskWords(disk)}${shared}`;
  if (style === 'numbered') return `${name} ${index}`;
  return name + diskWords(disk);
}

function findingWords(ids) {
  return ids.map((id) => {
    const code = data.findings[id];
    return `finding #${id}` + (code ? ` ${code}` : '');
  });
}
