// Panels that show one step.

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
