// A panel: laid out once for an episode, and drawn anew for each step.

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
    this.facts = made("span", this.scale(), "faint");
    head.append(this.facts);
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

  /** The entries from top to bottom; empty: as they are. */
  get order() {
    return this.byCue ? this.spec.by_cue : this.spec.order;
  }

  /** Whether the entries stand in the order of what the cue explains of them. */
  get byCue() {
    return this.view.app.sorting === "cue" && this.spec.by_cue.length > 0;
  }

  /**
   * Of the rows of every head those that are shown.
   * @param {number} rows of all heads
   * @param {number} heads
   */
  shown(rows, heads) {
    const count = rows / heads;
    if (count <= MANY || this.order.length) return { first: 0, count };
    const { first, end } = usedRows(this.values, count, heads, 0.01 * this.spec.high);
    return { first, count: end - first };
  }

  /** What the ends of the colours mean, where there are colours, and how it was computed. */
  scale() {
    const { kind, low, high, note, of_cue: shares, chance } = this.spec;
    const ends = ["map", "matrix", "sources"].includes(kind) ? `${brief(low)}\u00a0…\u00a0${brief(high)}` : "";
    const sorted = this.byCue
      ? `the cue explains ${percent(Math.max(...shares))} … ${percent(Math.min(...shares))}, by chance up to ${percent(chance)}`
      : "";
    return `  ${[ends, note, sorted].filter(Boolean).join(" · ")}`;
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
