// The data of the page: JSON, whose arrays are deflated and in base64.

/**
 * @typedef {{name: string, kind: string, shape: number[], scale: number}} Part
 * @typedef {{parts: Part[], bytes: string}} Packed
 * @typedef {{shape: number[], scale: number, width: number,
 *   numbers: Float32Array | Int16Array | Int8Array | Uint16Array | Uint8Array}} Values
 *   width: numbers of one step
 * @typedef {{texts: string[], at: number[]}} Words
 * @typedef {{length: number, returned: number, outcome: boolean | null, ended: boolean,
 *   cue: number | null, sourcesMethod: string, words: Object<string, Words>,
 *   packed: Packed}} Episode
 * @typedef {{kind: string, array: string, title: string, group: string, low: number, high: number,
 *   rows: string, names: string[], order: number[]}} PanelSpec
 * @typedef {{title: string, facts: Object<string, string>, episodes: Episode[],
 *   panels: PanelSpec[], sheets: Object<string, {side: number, packed: Packed}>}} Run
 * @typedef {{title: string, runs: Run[]}} Page
 */

const KINDS = { f4: Float32Array, i2: Int16Array, i1: Int8Array, u2: Uint16Array, u1: Uint8Array };

/** @returns {Page} */
function readPage() {
  return JSON.parse(element("data").textContent || "");
}

/**
 * The arrays by their names. Numbers other than float32 are differences from step to step.
 * @param {Packed} packed
 * @returns {Promise<Map<string, Values>>}
 */
async function unpack(packed) {
  const bytes = await inflate(packed.bytes);
  const found = new Map();
  let from = 0;
  for (const part of packed.parts) {
    const Kind = KINDS[/** @type {keyof typeof KINDS} */ (part.kind)];
    const count = part.shape.reduce((product, side) => product * side, 1);
    const end = from + count * Kind.BYTES_PER_ELEMENT;
    const numbers = new Kind(bytes.slice(from, end));
    const width = part.shape[0] ? count / part.shape[0] : 0;
    if (part.kind !== "f4") {
      for (let i = width; i < count; i++) numbers[i] += numbers[i - width];
    }
    found.set(part.name, { shape: part.shape, scale: part.scale, width, numbers });
    from = end;
  }
  return found;
}

/**
 * @param {string} text
 * @returns {Promise<ArrayBuffer>}
 */
async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/**
 * Number i of a step.
 * @param {Values} values
 * @param {number} step
 * @param {number} i
 */
function valueAt(values, step, i) {
  return values.numbers[step * values.width + i] * values.scale;
}

/** @param {number} value */
function told(value) {
  return Number.isNaN(value) ? "–" : String(Number(value.toPrecision(4)));
}

/**
 * A number for the end of an axis.
 * @param {number} value
 */
function brief(value) {
  return String(Number(value.toPrecision(2)));
}

/**
 * The element with this id.
 * @param {string} id
 * @returns {HTMLElement}
 */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found;
}

/**
 * A new element with a text, which is never read as HTML.
 * @param {string} tag
 * @param {string} [text]
 * @param {string} [name] of its class
 */
function made(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = name;
  return made;
}
