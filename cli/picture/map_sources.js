// What the grids show: the file and the guest's disk.

const SEGMENTS_LISTED = 4;

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

// The file: segments [first, count, class, marks, owners, more owners,
// findings], and bins [marks, class, count, class, count ...] of what is in
// none of them.
class FileSource {
  constructor() {
    this.total = data.clusters;
    this.segments = data.segments;
    this.bins = spread(data.rest);
    this.places = this.placesOfDamage();
    this.hidden = new Set();
  }

  // [[first, count, ...], ...]: segments, and stretches with what is in none.
  placesOfDamage() {
    const segments =
        this.segments.filter((s) => s[3] & (MARK_BAD | MARK_SUSPECT));
    const size = data.binClusters;
    const stretches =
        this.bins.map(([marks], i) => [i * size, size, marks])
            .filter(([first, , marks]) => marks & MARK_BAD && first < this.total);
    return segments.concat(stretches).sort((a, b) => a[0] - b[0]);
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
// [stored, compressed] in clusters.
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
