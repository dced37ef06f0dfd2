// The panels: each is laid out once for an episode, and drawn anew for each step.

/**
 * @typedef {{text: string, step?: number}} Hover  step: whose sources are to be lit
 */

const LEFT = 46;
const BOTTOM = 18;
const MANY = 32; // rows; of more, those at the ends are left out that nothing ever used

/**
 * Room for names beside a box.
 * @param {string[]} names
 */
function named(names) {
  return Math.min(130, 8 + 6.3 * Math.max(...names.map((name) => name.length)));
}

/** One panel; subclasses draw. */
class Panel {
  /**
   * @param {View} view
   * @param {PanelSpec} spec
   * @param {HTMLElement} parent
   */
  constructor(view, spec, parent) {
    this.view = view;
    this.spec = spec;
    this.root = made("div", "", "panel");
    this.root.dataset.array = spec.array;
    this.root.dataset.kind = spec.kind;
    const head = made("h4", spec.title);
    head.append(made("span", this.scale(), "faint"));
    this.root.append(head);
    parent.append(this.root);
    this.sheet = new Sheet(this.root, spec.title);
    /** @type {Box} */
    this.box = { left: 0, top: 0, width: 1, height: 1 };
    this.sheet.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.sheet.canvas.addEventListener("pointerleave", () => this.view.app.hideTip());
  }

  /** The numbers that are drawn. */
  get values() {
    return /** @type {Values} */ (this.view.values.get(this.spec.array));
  }

  /**
   * Of the rows of every head those that are shown.
   * @param {number} rows of all heads
   * @param {number} heads
   */
  shown(rows, heads) {
    const count = rows / heads;
    if (count <= MANY || this.spec.order.length) return { first: 0, count };
    const { first, end } = usedRows(this.values, count, heads, 0.01 * this.spec.high);
    return { first, count: end - first };
  }

  /** What the ends of the colours mean, where there are colours, and how it was computed. */
  scale() {
    const { kind, low, high, note } = this.spec;
    const ends = ["map", "matrix", "sources"].includes(kind) ? `${brief(low)}\u00a0…\u00a0${brief(high)}` : "";
    return `  ${[ends, note].filter(Boolean).join(" · ")}`;
  }

  /** Lay the panel out, and take as many rows of the grid as it is high. */
  fill() {
    this.layout();
    this.root.style.gridRowEnd = `span ${Math.ceil((this.root.offsetHeight + 10) / 10)}`;
  }

  /** Make room and draw what does not change from step to step. */
  layout() {}

  /** @param {number} step */
  draw(step) {}

  /**
   * What lies at a place of the canvas.
   * @param {number} x
   * @param {number} y
   * @returns {Hover | null}
   */
  read(x, y) {
    return null;
  }

  /** @param {PointerEvent} event */
  hover(event) {
    const at = this.sheet.canvas.getBoundingClientRect();
    const found = this.read(event.clientX - at.left, event.clientY - at.top);
    if (found) this.view.app.showTip(found.text, event, this.view, found.step);
    else this.view.app.hideTip();
  }

  /**
   * The name of an entry.
   * @param {number} i
   */
  entry(i) {
    return this.spec.names[i] || `${this.spec.rows} ${i}`;
  }
}

/** A panel whose horizontal axis is the step. */
class TimePanel extends Panel {
  /** @param {number} height */
  prepare(height) {
    this.sheet.fit(height);
    this.box = this.sheet.box(LEFT, BOTTOM);
  }

  /** Keep what is drawn so far, below what changes. */
  keep() {
    stepAxis(this.sheet, this.box, this.view.episode.length);
    this.view.mark(this.sheet, this.box);
    const { canvas } = this.sheet;
    this.still = new OffscreenCanvas(canvas.width, canvas.height);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (this.still.getContext("2d"));
    context.drawImage(canvas, 0, 0);
  }

  /** @param {number} step */
  draw(step) {
    if (!this.still) return;
    this.sheet.clear();
    this.sheet.context.drawImage(this.still, 0, 0, this.sheet.width, this.sheet.height);
    this.view.light(this.sheet, this.box);
    this.view.cursor(this.sheet, this.box, step);
  }

  /** @param {number} x */
  stepAt(x) {
    return part(x - this.box.left, this.box.width, this.view.episode.length);
  }
}

/** A number over time. */
class LinePanel extends TimePanel {
  layout() {
    this.prepare(92);
    const { low, high } = this.spec;
    const { context } = this.sheet;
    this.sheet.write(brief(high), LEFT - 5, this.y(high) + 3, "right");
    this.sheet.write(brief(low), LEFT - 5, this.y(low) - 3, "right");
    frame(this.sheet, this.box);
    context.strokeStyle = colour("accent");
    context.lineWidth = 1.6;
    context.beginPath();
    let begun = false;
    for (let step = 0; step < this.view.episode.length; step++) {
      const value = valueAt(this.values, step, 0);
      if (Number.isNaN(value)) continue;
      const x = this.view.x(this.box, step);
      if (begun) context.lineTo(x, this.y(value));
      else context.moveTo(x, this.y(value));
      begun = true;
    }
    context.stroke();
    this.keep();
  }

  /** @param {number} value */
  y(value) {
    const { low, high } = this.spec;
    return this.box.top + 3 + (1 - (value - low) / (high - low)) * (this.box.height - 6);
  }

  /** @param {number} step */
  draw(step) {
    super.draw(step);
    const value = valueAt(this.values, step, 0);
    if (Number.isNaN(value)) return;
    const { context } = this.sheet;
    context.fillStyle = colour("other");
    context.beginPath();
    context.arc(this.view.x(this.box, step), this.y(value), 3.5, 0, 2 * Math.PI);
    context.fill();
  }

  /** @param {number} x */
  read(x) {
    const step = this.stepAt(x);
    if (step < 0) return null;
    return { text: `step ${step} · ${told(valueAt(this.values, step, 0))}`, step };
  }
}

/** Entries over time: slots, units; several heads lie below each other. */
class MapPanel extends TimePanel {
  layout() {
    const shape = this.values.shape;
    this.heads = shape.length > 2 ? shape[1] : 1;
    this.first = 0;
    this.count = this.values.width / this.heads;
    Object.assign(this, this.shown(this.values.width, this.heads));
    const rows = this.heads * this.count;
    this.prepare(Math.max(80, Math.min(300, 8 * rows + 6)) + BOTTOM);
    const { low, high } = this.spec;
    const steps = this.view.episode.length;
    const image = imageOf(steps, rows, low, high, (row, step) =>
      valueAt(this.values, step, this.indexOf(row)),
    );
    place(this.sheet, image, this.box);
    const height = this.box.height / this.heads;
    for (let head = 0; head < this.heads; head++) {
      if (head) this.line(head * height);
      const where = { first: this.first, from: head * height, height };
      if (!this.spec.order.length) rowAxis(this.sheet, this.box, this.count, where);
    }
    if (this.spec.order.length) this.sheet.write("alike", LEFT - 5, this.box.top + 8, "right");
    this.keep();
  }

  /** @param {number} from */
  line(from) {
    const { context } = this.sheet;
    context.fillStyle = colour("faint");
    context.fillRect(this.box.left, this.box.top + from, this.box.width, 1);
  }

  /** The number of a row among those of a step. @param {number} row */
  indexOf(row) {
    if (this.spec.order.length) return this.spec.order[row];
    const [heads, count] = [this.heads || 1, this.count || 1];
    const whole = this.values.width / heads;
    return Math.floor(row / count) * whole + (this.first || 0) + (row % count);
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  read(x, y) {
    const step = this.stepAt(x);
    const [heads, count] = [this.heads || 1, this.count || 1];
    const row = part(y - this.box.top, this.box.height, heads * count);
    if (step < 0 || row < 0) return null;
    const i = this.indexOf(row);
    const head = heads > 1 ? `head ${Math.floor(row / count)} · ` : "";
    const entry = this.entry(i % (this.values.width / heads));
    return { text: `step ${step} · ${head}${entry} · ${told(valueAt(this.values, step, i))}`, step };
  }
}

/** Entries of one step, with their names. */
class BarsPanel extends Panel {
  layout() {
    const count = this.values.width;
    this.sheet.fit(20 * count + 10);
    const names = [...Array(count).keys()].map((i) => this.entry(i));
    this.box = this.sheet.box(named(names), 4);
  }

  /** @param {number} step */
  draw(step) {
    const { sheet, box } = this;
    const { low, high } = this.spec;
    const taken = this.view.said("action");
    const room = box.width - 52;
    sheet.clear();
    for (let i = 0; i < this.values.width; i++) {
      const value = valueAt(this.values, step, i);
      const y = box.top + i * 20 + 10;
      const zero = box.left + ((0 - low) / (high - low)) * room;
      sheet.write(this.entry(i), box.left - 5, y, "right");
      sheet.context.fillStyle = colour(this.entry(i) === taken ? "other" : "accent");
      const length = Number.isNaN(value) ? 0 : (value / (high - low)) * room;
      sheet.context.fillRect(Math.min(zero, zero + length), y - 7, Math.max(1, Math.abs(length)), 14);
      sheet.write(short(value), box.left + room + 6, y);
    }
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  read(x, y) {
    const i = Math.floor((y - this.box.top) / 20);
    if (i < 0 || i >= this.values.width) return null;
    return { text: `${this.entry(i)} · ${told(valueAt(this.values, this.view.step, i))}` };
  }
}

/** What rows hold at one step: slots × width. */
class MatrixPanel extends Panel {
  layout() {
    const shape = this.values.shape;
    this.columns = shape[shape.length - 1];
    const { first, count } = this.shown(this.values.width / this.columns, 1);
    this.first = first;
    this.rows = count;
    this.sheet.fit(Math.max(70, Math.min(320, 9 * count)) + 6 + BOTTOM);
    this.box = this.sheet.box(this.spec.names.length ? named(this.spec.names) : LEFT, BOTTOM);
  }

  /** @param {number} step */
  draw(step) {
    const { low, high } = this.spec;
    const [columns, rows, first] = [this.columns || 1, this.rows || 1, this.first || 0];
    const image = imageOf(columns, rows, low, high, (row, column) =>
      valueAt(this.values, step, (first + row) * columns + column),
    );
    this.sheet.clear();
    place(this.sheet, image, this.box);
    if (this.spec.names.length) this.nameRows();
    else rowAxis(this.sheet, this.box, rows, { first });
    for (const at of ticks(columns, this.box.width / 44)) {
      const x = this.box.left + ((at + 0.5) / columns) * this.box.width;
      this.sheet.write(String(at), x, this.box.top + this.box.height + 9, "center");
    }
  }

  nameRows() {
    const height = this.box.height / (this.rows || 1);
    for (const [i, name] of this.spec.names.entries()) {
      this.sheet.write(name, this.box.left - 5, this.box.top + (i + 0.5) * height, "right");
    }
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  read(x, y) {
    const columns = this.columns || 1;
    const shown = part(y - this.box.top, this.box.height, this.rows || 1);
    const column = part(x - this.box.left, this.box.width, columns);
    if (shown < 0 || column < 0) return null;
    const row = (this.first || 0) + shown;
    const value = valueAt(this.values, this.view.step, row * columns + column);
    return { text: `${this.entry(row)} · column ${column} · ${told(value)}` };
  }
}

/** Links between slots at one step: an arrow from a slot to the one written right after it. */
class GraphPanel extends Panel {
  layout() {
    this.sheet.fit(270);
    this.box = this.sheet.box(8, 6);
  }

  /** @param {number} i */
  node(i) {
    const angle = (2 * Math.PI * i) / this.values.shape[1] - Math.PI / 2;
    const radius = Math.min(this.box.width, this.box.height) / 2 - 18;
    return {
      x: this.box.left + this.box.width / 2 + radius * Math.cos(angle),
      y: this.box.top + this.box.height / 2 + radius * Math.sin(angle),
      out: { x: Math.cos(angle), y: Math.sin(angle) },
    };
  }

  /** @param {number} step */
  draw(step) {
    const count = this.values.shape[1];
    const { context } = this.sheet;
    this.sheet.clear();
    context.strokeStyle = context.fillStyle = colour("accent");
    for (const { from, to, weight } of this.strongest()) {
      this.arrow(this.node(from), this.node(to), weight / this.spec.high);
    }
    context.globalAlpha = 1;
    for (let i = 0; i < count; i++) {
      const { x, y, out } = this.node(i);
      context.fillStyle = colour("ink");
      context.beginPath();
      context.arc(x, y, 2.5, 0, 2 * Math.PI);
      context.fill();
      if (count <= 40 || i % 4 === 0) {
        this.sheet.write(String(i), x + 11 * out.x, y + 11 * out.y, "center");
      }
    }
  }

  /** As many links as there are slots, the strongest. */
  strongest() {
    const count = this.values.shape[1];
    const found = [];
    for (let to = 0; to < count; to++) {
      for (let from = 0; from < count; from++) {
        const weight = this.weight(to, from);
        if (weight > 0.05 * this.spec.high && from !== to) found.push({ from, to, weight });
      }
    }
    return found.sort((a, b) => b.weight - a.weight).slice(0, count);
  }

  /**
   * @param {{x: number, y: number}} from
   * @param {{x: number, y: number}} to
   * @param {number} weight
   */
  arrow(from, to, weight) {
    const { context } = this.sheet;
    const angle = Math.atan2(to.y - from.y, to.x - from.x);
    const [x, y] = [to.x - 5 * Math.cos(angle), to.y - 5 * Math.sin(angle)];
    context.globalAlpha = Math.min(1, 0.15 + weight);
    context.lineWidth = 0.5 + 2 * weight;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(x, y);
    context.stroke();
    context.beginPath();
    context.moveTo(x, y);
    for (const side of [-0.4, 0.4]) {
      context.lineTo(x - 7 * Math.cos(angle + side), y - 7 * Math.sin(angle + side));
    }
    context.fill();
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  read(x, y) {
    const count = this.values.shape[1];
    const near = [...Array(count).keys()].find((i) => {
      const node = this.node(i);
      return Math.hypot(node.x - x, node.y - y) < 12;
    });
    if (near === undefined) return null;
    let from = 0;
    for (let i = 1; i < count; i++) {
      if (this.weight(near, i) > this.weight(near, from)) from = i;
    }
    const weight = this.weight(near, from);
    if (weight < 0.05 * this.spec.high) return { text: `slot ${near}: after no other` };
    return { text: `slot ${near}: after slot ${from} · ${told(weight)}` };
  }

  /**
   * @param {number} to
   * @param {number} from
   */
  weight(to, from) {
    return valueAt(this.values, this.view.step, to * this.values.shape[1] + from);
  }
}

/** Reader steps (down) by writer steps (across). */
class SourcesPanel extends TimePanel {
  layout() {
    const steps = this.view.episode.length;
    this.prepare(Math.max(120, Math.min(330, 7 * steps)) + BOTTOM);
    const { low, high } = this.spec;
    place(
      this.sheet,
      imageOf(steps, steps, low, high, (row, column) => valueAt(this.values, row, column)),
      this.box,
    );
    rowAxis(this.sheet, this.box, steps);
    this.keep();
  }

  /** @param {number} step */
  draw(step) {
    super.draw(step);
    const height = this.box.height / this.view.episode.length;
    const { context } = this.sheet;
    context.strokeStyle = colour("cursor");
    context.lineWidth = 1;
    context.strokeRect(this.box.left, this.box.top + step * height, this.box.width, height);
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  read(x, y) {
    const writer = this.stepAt(x);
    const reader = part(y - this.box.top, this.box.height, this.view.episode.length);
    if (writer < 0 || reader < 0) return null;
    const share = told(valueAt(this.values, reader, writer));
    return { text: `read at step ${reader} · from step ${writer} · ${share}`, step: reader };
  }
}

/** A picture of each step, put together from tiles. */
class PicturePanel extends Panel {
  layout() {
    const [, rows, columns] = this.values.shape;
    const width = Math.min(this.sheet.canvas.clientWidth || 300, 330);
    this.sheet.fit(Math.round((width * rows) / columns));
    this.box = { left: 0, top: 0, width, height: this.sheet.height };
  }

  /** @param {number} step */
  draw(step) {
    const tiles = this.view.tiles.get(this.spec.array);
    const [, rows, columns] = this.values.shape;
    if (!tiles) return;
    const { context } = this.sheet;
    this.sheet.clear();
    context.imageSmoothingEnabled = true;
    const [width, height] = [this.box.width / columns, this.box.height / rows];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const tile = tiles[this.values.numbers[step * this.values.width + row * columns + column]];
        const [left, top] = [Math.round(column * width), Math.round(row * height)];
        const [right, bottom] = [Math.round((column + 1) * width), Math.round((row + 1) * height)];
        if (tile) context.drawImage(tile, left, top, right - left, bottom - top);
      }
    }
  }
}

const PANELS = {
  picture: PicturePanel,
  bars: BarsPanel,
  line: LinePanel,
  map: MapPanel,
  matrix: MatrixPanel,
  graph: GraphPanel,
  sources: SourcesPanel,
};
