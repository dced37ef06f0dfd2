// Panels that show a whole episode, with a mark at the step.

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
    this.facts.textContent = this.scale();
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
      if (!this.order.length) rowAxis(this.sheet, this.box, this.count, where);
    }
    if (this.order.length) this.sheet.write(this.byCue ? "cue" : "alike", LEFT - 5, this.box.top + 8, "right");
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
    if (this.order.length) return this.order[row];
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
    const cue = this.byCue ? `the cue explains ${percent(this.spec.of_cue[i])} · ` : "";
    const value = told(valueAt(this.values, step, i));
    return { text: `step ${step} · ${head}${entry} · ${cue}${value}`, step };
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
