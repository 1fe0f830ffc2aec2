// The maps of the page: two grids of cells, the file and the guest's disk, that
// are zoomed, walked through and asked what is where. Everything they show is
// in the JSON of the element "data"; text from the image only ever becomes text
// nodes.
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

const CELL_PIXELS = 11;
const LARGEST_CELL_PIXELS = 44;
const OVERVIEW_PIXELS = 14;
const SEGMENTS_LISTED = 4;

// ---- words

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

// ---- ranges

// The index of the first of `items`, sorted, for which `isBehind` holds.
function lowerBound(items, isBehind) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBehind(items[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

// The indexes of the items [first, count, ...] that meet [begin, end).
function meeting(items, begin, end) {
  return [
    lowerBound(items, (item) => item[0] + item[1] > begin),
    lowerBound(items, (item) => item[0] >= end),
  ];
}

// Undoes the run lengths of [[repeats, ...values], ...].
function spread(runs) {
  const items = [];
  for (const [repeats, ...values] of runs) {
    for (let i = 0; i < repeats; ++i) items.push(values);
  }
  return items;
}

// ---- the two disks, as grids see them

// The file: segments [first, count, class, marks, owners, more owners,
// findings], and bins [marks, class, count, class, count ...] of what is in
// none of them.
class FileSource {
  constructor() {
    this.total = data.clusters;
    this.segments = data.segments;
    this.bins = spread(data.rest);
    this.places = this.segments.filter((s) => s[3] & (MARK_BAD | MARK_SUSPECT));
    this.hidden = new Set();
  }

  // Clusters by class, and marks, of [begin, end).
  composition(begin, end) {
    const counts = new Map();
    let marks = 0;
    let known = 0;
    const add = (cls, count) => counts.set(cls, (counts.get(cls) || 0) + count);
    const [from, to] = meeting(this.segments, begin, end);
    for (let i = from; i < to; ++i) {
      const [first, count, cls, itsMarks] = this.segments[i];
      const part = Math.min(end, first + count) - Math.max(begin, first);
      known += part;
      add(cls, part);
      marks |= itsMarks;
    }
    if (known < end - begin && this.bins.length > 0) {
      marks |= this.addBins(begin, end, from, to, add);
    }
    return {counts, marks};
  }

  addBins(begin, end, from, to, add) {
    let marks = 0;
    const size = data.binClusters;
    for (let bin = Math.floor(begin / size); bin * size < end; ++bin) {
      if (bin >= this.bins.length) break;
      const low = Math.max(begin, bin * size);
      const high = Math.min(end, (bin + 1) * size);
      let unknown = high - low;
      for (let i = from; i < to && unknown > 0; ++i) {
        const [first, count] = this.segments[i];
        unknown -= Math.max(
            0, Math.min(high, first + count) - Math.max(low, first));
      }
      const [itsMarks, ...rest] = this.bins[bin];
      let all = 0;
      for (let i = 1; i < rest.length; i += 2) all += rest[i];
      if (unknown <= 0 || all === 0) continue;
      for (let i = 0; i < rest.length; i += 2) {
        add(rest[i], rest[i + 1] * unknown / all);
      }
      marks |= itsMarks;
    }
    return marks;
  }

  look(begin, end) {
    const {counts, marks} = this.composition(begin, end);
    let main = -1;
    let band = -1;
    let all = 0;
    for (const count of counts.values()) all += count;
    for (const [cls, count] of counts) {
      if (main < 0 || count > counts.get(main)) main = cls;
    }
    let best = 0;
    for (const [cls, count] of counts) {
      if (cls === main || count <= 0) continue;
      const notable = data.classes[cls].notable;
      const weight = count / all + (notable ? 1 : 0);
      if (weight <= best || (!notable && count / all < 0.02)) continue;
      best = weight;
      band = cls;
    }
    const key = (cls) => cls < 0 ? '' : data.classes[cls].key;
    const shown = (cls) => this.hidden.size === 0 || !this.hidden.has(key(cls));
    return {
      main: key(main),
      band: key(band),
      height: band < 0 ? 0 :
          Math.min(0.5, Math.max(0.2, counts.get(band) / all)),
      faded: !(shown(main) || (band >= 0 && shown(band))),
      marks,
    };
  }

  describe(begin, end) {
    const lines = [clusterWords(begin, end - begin, 'at offset')];
    const [from, to] = meeting(this.segments, begin, end);
    const one = to === from + 1 && this.segments[from];
    if (one && one[0] <= begin && one[0] + one[1] >= end) {
      return lines.concat(this.segmentLines(one, begin, end));
    }
    const {counts, marks} = this.composition(begin, end);
    const shares = [...counts].filter(([, count]) => count > 0)
                       .sort((a, b) => b[1] - a[1]);
    for (const [cls, count] of shares.slice(0, SEGMENTS_LISTED)) {
      const percent = 100 * count / (end - begin);
      lines.push(`${data.classes[cls].name} ` +
                 (percent < 1 ? 'below 1 %' : `${percent.toFixed(0)} %`));
    }
    const bad = this.segments.slice(from, to).filter((s) => s[3] & MARK_BAD);
    for (const segment of bad.slice(0, SEGMENTS_LISTED)) {
      lines.push(`— ${clusterWords(segment[0], segment[1], 'at offset')}:`);
      lines.push(...this.segmentLines(segment, segment[0],
                                      segment[0] + segment[1]));
    }
    if (bad.length === 0) lines.push(...markWords(marks));
    return lines;
  }

  segmentLines(segment, begin, end) {
    const [first, , cls, marks, owners = [], more = 0, findings = []] = segment;
    const lines = owners.map((owner) => ownerWords(
        data.owners[owner[0]].cut ?
            [owner[0], owner[1], owner[2], owner[3] + (begin - first),
             Math.min(end - begin, owner[4] - (begin - first))] : owner));
    if (owners.length === 0) lines.push(data.classes[cls].name);
    if (more > 0) lines.push(`and ${counted(more, 'more owner', 'more owners')}`);
    return lines.concat(markWords(marks), findingWords(findings));
  }

  // The guest clusters [[first, count], ...] that lie in [begin, end).
  partners(begin, end) {
    const ranges = [];
    const [from, to] = meeting(this.segments, begin, end);
    for (let i = from; i < to && ranges.length < 200; ++i) {
      const [first, count, , , owners = []] = this.segments[i];
      for (const [kind, disk, , index, guestClusters] of owners) {
        const {style, cut, guest} = data.owners[kind];
        if (style !== 'data' || disk !== 0 || !guest) continue;
        if (!cut) {
          ranges.push([index, guestClusters]);
          continue;
        }
        const low = Math.max(begin, first);
        ranges.push([index + low - first,
                     Math.min(end, first + count) - low]);
      }
    }
    return ranges;
  }
}

// The guest's disk: segments [first, count, host cluster, compressed], or bins
// [stored, compressed, hit] in clusters.
class GuestSource {
  constructor() {
    this.total = data.guest.clusters;
    this.segments = data.guest.segments;
    this.bins = data.guest.complete ? [] : spread(data.guest.bins);
    this.damaged = data.guest.damaged;
    this.places = this.damaged;
  }

  shares(begin, end) {
    let stored = 0;
    let compressed = 0;
    let hit = false;
    if (data.guest.complete) {
      const [from, to] = meeting(this.segments, begin, end);
      for (let i = from; i < to; ++i) {
        const [first, count, , packed] = this.segments[i];
        const part = Math.min(end, first + count) - Math.max(begin, first);
        if (packed) compressed += part;
        else stored += part;
      }
    } else {
      const size = data.guest.binClusters;
      for (let bin = Math.floor(begin / size);
           bin * size < end && bin < this.bins.length; ++bin) {
        const [inBin, packed] = this.bins[bin];
        const length = Math.min(size, this.total - bin * size);
        const part = Math.min(end, (bin + 1) * size) - Math.max(begin, bin * size);
        stored += inBin * part / length;
        compressed += packed * part / length;
      }
    }
    const [from, to] = meeting(this.damaged, begin, end);
    hit = to > from;
    return {stored, compressed, hit};
  }

  look(begin, end) {
    const {stored, compressed, hit} = this.shares(begin, end);
    const share = (stored + compressed) / (end - begin);
    const key = compressed > stored ? 'compressed' : 'data';
    return {
      main: share >= 0.98 ? key : 'free',
      band: share > 0 && share < 0.98 ? key : '',
      height: Math.max(0.15, share),
      faded: false,
      marks: hit ? MARK_DAMAGED : 0,
      partition: this.partitionsOf(begin, end)[0],
    };
  }

  partitionsOf(begin, end) {
    const size = data.clusterSize;
    return data.guest.partitions.filter(
        (p) => p.offset < end * size && p.offset + p.length > begin * size);
  }

  describe(begin, end) {
    const count = end - begin;
    const lines = [`${bytes(count * data.clusterSize)} of the disk at ${hex(begin)}`];
    for (const partition of this.partitionsOf(begin, end).slice(0, SEGMENTS_LISTED)) {
      lines.push(partition.name);
    }
    if (data.guest.partitions.length > 0 && lines.length === 1) {
      lines.push('in no partition');
    }
    const {stored, compressed, hit} = this.shares(begin, end);
    const percent = (part) => part < count / 100 ?
        'below 1 %' : `${Math.floor(100 * part / count)} %`;
    if (stored > 0) lines.push(`in the file: ${percent(stored)}`);
    if (compressed > 0) lines.push(`in the file, compressed: ${percent(compressed)}`);
    if (stored + compressed === 0) lines.push('not in the file');
    for (const [first, clusters] of this.partners(begin, end).slice(0, SEGMENTS_LISTED)) {
      lines.push(`→ ${clusterWords(first, clusters, 'of the file at offset')}`);
    }
    if (hit) lines.push('DAMAGED');
    return lines;
  }

  // The clusters of the file that [begin, end) lies in.
  partners(begin, end) {
    const ranges = [];
    const [from, to] = meeting(this.segments, begin, end);
    for (let i = from; i < to && ranges.length < 200; ++i) {
      const [first, count, host, packed] = this.segments[i];
      const low = Math.max(begin, first);
      ranges.push(packed ? [host, 1] :
          [host + low - first, Math.min(end, first + count) - low]);
    }
    return ranges;
  }
}

// ---- a grid

class Grid {
  constructor(element, source) {
    this.source = source;
    this.element = element;
    this.canvas = element.querySelector('.cells');
    this.overview = element.querySelector('.overview');
    this.label = element.querySelector('.view');
    this.live = element.querySelector('.live');
    this.tip = element.querySelector('.tip');
    this.rows = Number(element.dataset.rows);
    this.begin = 0;
    this.end = source.total;
    this.cursor = -1;    // a cell the keyboard is at
    this.selection = null;  // cells the mouse drags over
    this.linked = [];    // ranges the other grid points at
    this.looks = new Map();  // of what was looked at, until that changes
    this.partner = null;
    this.listen();
  }

  // -- geometry

  layout() {
    const width = this.canvas.clientWidth;
    const span = this.end - this.begin;
    let columns = Math.max(8, Math.floor(width / CELL_PIXELS));
    while (columns > 8 && width / columns < LARGEST_CELL_PIXELS &&
           span <= (columns - 1) * Math.floor(this.height() * (columns - 1) / width)) {
      --columns;
    }
    this.columns = columns;
    this.size = width / columns;
    const room = columns * Math.max(1, Math.floor(this.height() / this.size));
    this.perCell = Math.max(1, Math.ceil(span / room));
    this.cells = Math.ceil(span / this.perCell);
  }

  height() {
    return this.rows * CELL_PIXELS;
  }

  range(cell) {
    const begin = this.begin + cell * this.perCell;
    return [begin, Math.min(this.end, begin + this.perCell)];
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / this.size);
    const row = Math.floor((event.clientY - box.top) / this.size);
    const cell = row * this.columns + column;
    const inside = column >= 0 && column < this.columns && row >= 0;
    return inside && cell < this.cells ? cell : -1;
  }

  // -- drawing

  // Draws anew what may look different now.
  redraw() {
    this.looks.clear();
    this.draw();
  }

  look(begin, end) {
    const key = `${begin}-${end}`;
    if (!this.looks.has(key)) this.looks.set(key, this.source.look(begin, end));
    return this.looks.get(key);
  }

  // The page below stays where it is while one zooms.
  keepRoom(height) {
    if (this.room?.width !== this.canvas.clientWidth) {
      this.room = {width: this.canvas.clientWidth, height: 0};
    }
    this.room.height = Math.max(this.room.height, height);
    this.canvas.parentElement.style.minHeight = `${this.room.height}px`;
  }

  draw() {
    this.layout();
    const ratio = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth;
    const used = Math.ceil(this.cells / this.columns) * this.size;
    const height = Math.max(used, CELL_PIXELS);
    this.canvas.style.height = `${height}px`;
    this.keepRoom(height);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext('2d');
    context.scale(ratio, ratio);
    for (let cell = 0; cell < this.cells; ++cell) this.drawCell(context, cell);
    for (const [first, count] of this.linked) this.outline(context, first, count);
    if (this.selection) {
      const [from, to] = this.selection;
      for (let cell = Math.min(from, to); cell <= Math.max(from, to); ++cell) {
        this.frame(context, cell, colour('--accent'), 1);
      }
    }
    if (this.cursor >= 0) this.frame(context, this.cursor, colour('--ink'), 2);
    this.drawOverview(ratio);
    this.describeView();
  }

  place(cell) {
    return [(cell % this.columns) * this.size,
            Math.floor(cell / this.columns) * this.size];
  }

  drawCell(context, cell) {
    const look = this.look(...this.range(cell));
    const [x, y] = this.place(cell);
    const gap = this.size > 6 ? 1 : 0;
    const side = this.size - gap;
    context.globalAlpha = look.faded ? 0.12 : 1;
    if (look.main) {
      context.fillStyle = colour(`--c-${look.main}`);
      context.fillRect(x, y, side, side);
    }
    if (look.band) {
      context.fillStyle = colour(`--c-${look.band}`);
      const height = side * look.height;
      context.fillRect(x, y + side - height, side, height);
    }
    context.globalAlpha = 1;
    if (look.partition) {
      context.fillStyle = colour(`--part-${look.partition.tint}`);
      context.fillRect(x, y, side + gap, Math.max(2, side / 7));
    }
    if (look.marks & (MARK_BAD | MARK_SUSPECT)) {
      this.drawMark(context, x, y, side, look.marks);
    }
  }

  drawMark(context, x, y, side, marks) {
    if (marks & MARK_OVERLAP) {
      context.fillStyle = colour('--damage');
      context.fillRect(x, y, side, side);
      context.strokeStyle = colour('--paper');
    } else {
      context.strokeStyle =
          colour(marks & MARK_DAMAGED ? '--damage' : '--ink');
      context.lineWidth = 1.5;
      context.strokeRect(x + 1, y + 1, side - 2, side - 2);
    }
    context.lineWidth = Math.max(1.5, side / 10);
    const inset = side * 0.25;
    context.beginPath();
    if (marks & MARK_BAD) {
      context.moveTo(x + inset, y + inset);
      context.lineTo(x + side - inset, y + side - inset);
      context.moveTo(x + side - inset, y + inset);
      context.lineTo(x + inset, y + side - inset);
    } else {
      context.arc(x + side / 2, y + side / 2, side / 5, 0, 2 * Math.PI);
    }
    context.stroke();
  }

  frame(context, cell, style, width) {
    const [x, y] = this.place(cell);
    context.strokeStyle = style;
    context.lineWidth = width;
    context.strokeRect(x, y, this.size - 1, this.size - 1);
  }

  outline(context, first, count) {
    const from = Math.max(first, this.begin);
    const to = Math.min(first + count, this.end);
    if (from >= to) return;
    const last = Math.floor((to - 1 - this.begin) / this.perCell);
    let cell = Math.floor((from - this.begin) / this.perCell);
    for (; cell <= last; ++cell) {
      this.frame(context, cell, colour('--accent'), 2);
    }
  }

  drawOverview(ratio) {
    const width = this.overview.clientWidth;
    this.overview.width = Math.round(width * ratio);
    this.overview.height = Math.round(OVERVIEW_PIXELS * ratio);
    const context = this.overview.getContext('2d');
    context.scale(ratio, ratio);
    const total = this.source.total;
    for (let x = 0; x < width; ++x) {
      const begin = Math.floor(total * x / width);
      const end = Math.max(begin + 1, Math.floor(total * (x + 1) / width));
      const look = this.look(begin, end);
      if (look.marks & MARK_BAD) {
        context.fillStyle = colour('--damage');
        context.fillRect(x, 0, 1, OVERVIEW_PIXELS);
        continue;
      }
      context.fillStyle = colour(`--c-${look.main || 'unknown'}`);
      context.fillRect(x, 3, 1, 8);
      if (!look.band) continue;
      context.fillStyle = colour(`--c-${look.band}`);
      context.fillRect(x, 11 - 8 * look.height, 1, 8 * look.height);
    }
    const x = width * this.begin / total;
    context.strokeStyle = colour('--ink');
    context.lineWidth = 2;
    context.strokeRect(x + 1, 1, Math.max(3, width * (this.end - this.begin) / total - 2),
                       OVERVIEW_PIXELS - 2);
  }

  describeView() {
    const what = this.perCell === 1 ? 'one cluster' :
        `${counted(this.perCell, 'cluster', 'clusters')}, ` +
            bytes(this.perCell * data.clusterSize);
    const all = this.begin === 0 && this.end === this.source.total;
    this.label.textContent = `${all ? 'all' :
        bytes((this.end - this.begin) * data.clusterSize) + ' at ' +
            hex(this.begin)} · a cell is ${what}`;
  }

  // -- moving

  show(begin, end) {
    const total = this.source.total;
    const span = Math.min(total, Math.max(this.leastSpan(), Math.round(end - begin)));
    this.begin = Math.min(Math.max(0, Math.round(begin)), total - span);
    this.end = this.begin + span;
    this.selection = null;
    this.cursor = Math.min(this.cursor, this.cells - 1);
    this.hideTip();
    this.looks.clear();
    this.draw();
  }

  leastSpan() {
    return Math.min(this.source.total, 16);
  }

  zoom(factor, around) {
    const span = (this.end - this.begin) * factor;
    const middle = around ?? (this.cursor >= 0 ? this.range(this.cursor)[0] :
        (this.begin + this.end) / 2);
    const share = (middle - this.begin) / (this.end - this.begin);
    this.show(middle - span * share, middle + span * (1 - share));
    if (around === undefined && this.cursor >= 0) this.moveTo(middle);
  }

  shift(share) {
    const step = Math.round((this.end - this.begin) * share);
    this.show(this.begin + step, this.end + step);
  }

  // Puts the cursor on a cluster, and the cluster in view.
  moveTo(cluster) {
    if (cluster < this.begin || cluster >= this.end) {
      const half = (this.end - this.begin) / 2;
      this.show(cluster - half, cluster + half);
    }
    this.cursor = Math.floor((cluster - this.begin) / this.perCell);
    this.tell(this.cursor);
    this.draw();
  }

  focusOn(first, count) {
    const around = Math.max(32, count);
    this.show(first - around, first + count + around);
    this.layout();
    this.moveTo(Math.max(first, 0));
    this.element.scrollIntoView({block: 'nearest'});
    this.canvas.focus({preventScroll: true});
  }

  // To the next place with something wrong, or the one before.
  step(direction) {
    const places = this.source.places;
    if (places.length === 0) return;
    const now = this.cursor >= 0 ? this.range(this.cursor)[0] : -1;
    const last = this.cursor >= 0 ? this.range(this.cursor)[1] : 0;
    const next = direction > 0 ?
        places.find((place) => place[0] >= last) || places[0] :
        places.findLast((place) => place[0] + place[1] <= now) || places.at(-1);
    this.focusOn(next[0], next[1]);
  }

  // -- telling

  tell(cell) {
    const lines = this.source.describe(...this.range(cell));
    this.live.textContent = lines.join('; ');
    this.fillTip(lines);
    const [x, y] = this.place(cell);
    this.placeTip(x + this.size, y + this.size);
    this.link(cell);
  }

  link(cell) {
    if (!this.partner) return;
    this.partner.linked = cell < 0 ? [] : this.source.partners(...this.range(cell));
    this.partner.draw();
  }

  fillTip(lines) {
    this.tip.replaceChildren(...lines.map((line) => {
      const element = document.createElement('div');
      element.textContent = line;
      if (/^(OVERLAP|DAMAGED)/.test(line)) element.className = 'bad';
      return element;
    }));
    this.tip.hidden = false;
  }

  placeTip(x, y) {
    const box = this.canvas.parentElement.getBoundingClientRect();
    const own = this.tip.getBoundingClientRect();
    const left = Math.min(x + 12, box.width - own.width);
    const below = y + 14 + own.height + box.top < window.innerHeight;
    this.tip.style.left = `${Math.max(0, left)}px`;
    this.tip.style.top = `${below ? y + 14 : Math.max(-box.top, y - 10 - own.height)}px`;
  }

  hideTip() {
    this.tip.hidden = true;
  }

  // -- listening

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener('mousemove', (event) => this.onMove(event));
    canvas.addEventListener('mouseleave', () => {
      this.hideTip();
      this.link(-1);
    });
    canvas.addEventListener('mousedown', (event) => {
      const cell = this.cellAt(event);
      if (event.button === 0 && cell >= 0) this.selection = [cell, cell];
    });
    window.addEventListener('mouseup', () => this.onRelease());
    canvas.addEventListener('dblclick', (event) => {
      const cell = this.cellAt(event);
      if (cell >= 0) this.zoom(1 / 4, this.range(cell)[0]);
    });
    canvas.addEventListener('wheel', (event) => this.onWheel(event),
                            {passive: false});
    canvas.addEventListener('keydown', (event) => this.onKey(event));
    canvas.addEventListener('blur', () => {
      this.cursor = -1;
      this.hideTip();
      this.draw();
    });
    this.overview.addEventListener('click', (event) => {
      const box = this.overview.getBoundingClientRect();
      const at = this.source.total * (event.clientX - box.left) / box.width;
      const half = (this.end - this.begin) / 2;
      this.show(at - half, at + half);
    });
    const useless = this.source.places.length > 0 ? [] : ['next', 'previous'];
    for (const button of this.element.querySelectorAll('button[data-do]')) {
      button.disabled = useless.includes(button.dataset.do);
      button.addEventListener('click', () => this.perform(button.dataset.do));
    }
  }

  onMove(event) {
    const cell = this.cellAt(event);
    if (this.selection && cell >= 0) {
      this.selection[1] = cell;
      this.draw();
    }
    if (cell < 0) {
      this.hideTip();
      return;
    }
    this.fillTip(this.source.describe(...this.range(cell)));
    const box = this.canvas.parentElement.getBoundingClientRect();
    this.placeTip(event.clientX - box.left, event.clientY - box.top);
    if (cell !== this.hovered) this.link(cell);
    this.hovered = cell;
  }

  onRelease() {
    if (!this.selection) return;
    const [from, to] = this.selection;
    this.selection = null;
    if (from === to) {
      this.cursor = from;
      this.draw();
      return;
    }
    this.show(this.range(Math.min(from, to))[0], this.range(Math.max(from, to))[1]);
  }

  // The page scrolls unless the map has the focus or Ctrl is held.
  onWheel(event) {
    if (!event.ctrlKey && document.activeElement !== this.canvas) return;
    event.preventDefault();
    const cell = this.cellAt(event);
    if (cell < 0) return;
    this.zoom(event.deltaY < 0 ? 1 / 1.5 : 1.5, this.range(cell)[0]);
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
    };
    const actions = {
      '+': 'in', '=': 'in', '-': 'out', '0': 'all', Escape: 'all', Enter: 'in',
      n: 'next', p: 'previous', PageUp: 'back', PageDown: 'on',
      Home: 'first', End: 'last',
    };
    if (event.key in steps) this.walk(steps[event.key]);
    else if (event.key in actions) this.perform(actions[event.key]);
    else return;
    event.preventDefault();
  }

  walk(step) {
    const begin = this.begin + Math.max(0, this.cursor) * this.perCell;
    const to = this.cursor < 0 ? begin : begin + step * this.perCell;
    this.moveTo(Math.min(this.source.total - 1, Math.max(0, to)));
  }

  perform(action) {
    const total = this.source.total;
    const actions = {
      in: () => this.zoom(1 / 2),
      out: () => this.zoom(2),
      all: () => this.show(0, total),
      back: () => this.shift(-0.8),
      on: () => this.shift(0.8),
      next: () => this.step(1),
      previous: () => this.step(-1),
      first: () => this.moveTo(0),
      last: () => this.moveTo(total - 1),
    };
    actions[action]();
  }
}

// ---- colours

const colours = new Map();

function colour(variable) {
  if (!colours.has(variable)) {
    colours.set(variable, getComputedStyle(document.documentElement)
                              .getPropertyValue(variable).trim());
  }
  return colours.get(variable);
}

// ---- the page

const grids = [];

function drawAll() {
  colours.clear();
  for (const grid of grids) grid.redraw();
}

function listenToLegend(grid) {
  const buttons = [...document.querySelectorAll('.legend button')];
  for (const button of buttons) {
    button.addEventListener('click', () => {
      const pressed = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(pressed));
      const chosen = buttons.filter((b) => b.getAttribute('aria-pressed') === 'true')
                         .map((b) => b.dataset.key);
      grid.source.hidden = new Set(chosen.length === 0 ? [] :
          data.classes.map((c) => c.key).filter((key) => !chosen.includes(key)));
      grid.redraw();
    });
  }
}

function start() {
  document.documentElement.classList.add('live-maps');
  const fileGrid = new Grid(document.getElementById('file-map'), new FileSource());
  grids.push(fileGrid);
  if (data.guest.clusters > 0) {
    const guestGrid =
        new Grid(document.getElementById('guest-map'), new GuestSource());
    guestGrid.partner = fileGrid;
    fileGrid.partner = guestGrid;
    grids.push(guestGrid);
    for (const button of document.querySelectorAll('button[data-partition]')) {
      const partition = data.guest.partitions[Number(button.dataset.partition)];
      button.addEventListener('click', () => guestGrid.focusOn(
          Math.floor(partition.offset / data.clusterSize),
          Math.max(1, Math.ceil(partition.length / data.clusterSize))));
    }
  }
  for (const button of document.querySelectorAll('button[data-cluster]')) {
    button.addEventListener('click', () => fileGrid.focusOn(
        Number(button.dataset.cluster), Number(button.dataset.clusters)));
  }
  listenToLegend(fileGrid);
  window.addEventListener('resize', drawAll);
  window.matchMedia('(prefers-color-scheme: dark)')
      .addEventListener('change', drawAll);
  drawAll();
}

if (data.clusters > 0) start();
