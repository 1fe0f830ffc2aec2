// A grid of cells over a disk, whichever, that a mouse and a keyboard move in.

const CELL_PIXELS = 11;
const LARGEST_CELL_PIXELS = 44;
const OVERVIEW_PIXELS = 14;

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

  // What reaches past the end of the map is cut off there.
  focusOn(place, length) {
    const first = Math.min(Math.max(place, 0), this.source.total - 1);
    const count = Math.max(1, Math.min(length, this.source.total - first));
    const around = Math.max(32, count);
    this.show(first - around, first + count + around);
    this.layout();
    this.moveTo(first);
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
