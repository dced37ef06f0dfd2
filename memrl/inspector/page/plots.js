// Drawing on a canvas: boxes, axes, images of numbers.

/** @typedef {{left: number, top: number, width: number, height: number}} Box */

/** A canvas that is as sharp as the screen and as wide as its place. */
class Sheet {
  /**
   * @param {HTMLElement} parent
   * @param {string} label
   */
  constructor(parent, label) {
    this.canvas = /** @type {HTMLCanvasElement} */ (document.createElement("canvas"));
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    parent.append(this.canvas);
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.width = this.height = 0;
  }

  /**
   * Take a height; the width is that of the place. The canvas is blank afterwards.
   * @param {number} height
   */
  fit(height) {
    const width = this.canvas.clientWidth || 300;
    const dense = window.devicePixelRatio || 1;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * dense);
    this.canvas.height = Math.round(height * dense);
    this.context.setTransform(dense, 0, 0, dense, 0, 0);
    this.width = width;
    this.height = height;
  }

  clear() {
    this.context.clearRect(0, 0, this.width, this.height);
  }

  /**
   * The room between margins.
   * @param {number} left
   * @param {number} bottom
   * @returns {Box}
   */
  box(left, bottom) {
    const top = 6;
    const box = { left, top, width: this.width - left - 8, height: this.height - top - bottom };
    this.canvas.dataset.box = JSON.stringify(box);
    return box;
  }

  /**
   * @param {string} text
   * @param {number} x
   * @param {number} y
   * @param {CanvasTextAlign} [align]
   * @param {CanvasTextBaseline} [baseline]
   */
  write(text, x, y, align = "left", baseline = "middle") {
    const { context } = this;
    context.font = '11px system-ui, "Segoe UI", "DejaVu Sans", sans-serif';
    context.fillStyle = colour("faint");
    context.textAlign = align;
    context.textBaseline = baseline;
    context.fillText(text, x, y);
  }
}

/**
 * An image of numbers, one pixel each.
 * @param {number} columns
 * @param {number} rows
 * @param {number} low
 * @param {number} high
 * @param {(row: number, column: number) => number} number
 */
function imageOf(columns, rows, low, high, number) {
  const image = new OffscreenCanvas(Math.max(columns, 1), Math.max(rows, 1));
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (image.getContext("2d"));
  const pixels = context.createImageData(image.width, image.height);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      paint(pixels.data, 4 * (row * columns + column), number(row, column), low, high);
    }
  }
  context.putImageData(pixels, 0, 0);
  return image;
}

/**
 * @param {Sheet} sheet
 * @param {OffscreenCanvas} image
 * @param {Box} box
 */
function place(sheet, image, box) {
  sheet.context.imageSmoothingEnabled = false;
  sheet.context.drawImage(image, box.left, box.top, box.width, box.height);
  frame(sheet, box);
}

/**
 * @param {Sheet} sheet
 * @param {Box} box
 */
function frame(sheet, box) {
  sheet.context.strokeStyle = colour("rule");
  sheet.context.lineWidth = 1;
  sheet.context.strokeRect(box.left - 0.5, box.top - 0.5, box.width + 1, box.height + 1);
}

/**
 * A path through points.
 * @param {CanvasRenderingContext2D} context
 * @param {number[][]} points x and y of each
 */
function trace(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
}

/**
 * A line through points.
 * @param {CanvasRenderingContext2D} context
 * @param {number[][]} points x and y of each
 */
function stroke(context, points) {
  trace(context, points);
  context.stroke();
}

/**
 * Some of the whole numbers below count, about as many as there is room for.
 * @param {number} count
 * @param {number} room how many fit
 */
function ticks(count, room) {
  const least = count / Math.max(room, 1);
  const unit = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  const apart = [1, 2, 5, 10].map((times) => times * unit).find((step) => step >= least) || 1;
  const found = [];
  for (let at = 0; at < count; at += apart) found.push(at);
  return found;
}

/**
 * Which of `count` equal parts of a length a place lies in; −1 if in none.
 * @param {number} place
 * @param {number} length
 * @param {number} count
 */
function part(place, length, count) {
  const index = Math.floor((place / length) * count);
  return index >= 0 && index < count ? index : -1;
}

/**
 * Steps below a box, a number at some.
 * @param {Sheet} sheet
 * @param {Box} box
 * @param {number} count
 */
function stepAxis(sheet, box, count) {
  for (const at of ticks(count, box.width / 44)) {
    const x = box.left + ((at + 0.5) / count) * box.width;
    sheet.write(String(at), x, box.top + box.height + 9, "center");
  }
}

/**
 * Numbers of rows beside a box.
 * @param {Sheet} sheet
 * @param {Box} box
 * @param {number} count
 * @param {{first?: number, from?: number, height?: number}} [where] number of the first row, its
 *   place in the box, and the height of all
 */
function rowAxis(sheet, box, count, { first = 0, from = 0, height = box.height } = {}) {
  for (const at of ticks(count, height / 16)) {
    const within = ((at + 0.5) / count) * height;
    const y = box.top + from + within;
    if (height < box.height && height - within < 7) continue; // the next head's 0 stands there
    sheet.write(String(first + at), box.left - 5, y, "right");
  }
}
