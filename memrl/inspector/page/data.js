// The data of the page: JSON, whose arrays are deflated and in base64.

/**
 * @typedef {"f4" | "i2" | "i1" | "u2" | "u1"} Kind
 * @typedef {{name: string, kind: Kind, shape: number[], scale: number}} Part
 * @typedef {{parts: Part[], bytes: string}} Packed
 * @typedef {{shape: number[], scale: number, width: number, none: number | null,
 *   numbers: Float32Array | Int16Array | Int8Array | Uint16Array | Uint8Array}} Values
 *   width: numbers of one step; none: what stands for no number
 * @typedef {{texts: string[], at: number[]}} Words
 * @typedef {{length: number, returned: number, outcome: boolean | null, ended: boolean,
 *   cue: number | null, words: Object<string, Words>, packed: Packed}} Episode
 * @typedef {{kind: string, array: string, title: string, group: string, low: number, high: number,
 *   rows: string, names: string[], order: number[], by_cue: number[], of_cue: number[],
 *   chance: number, note: string}} PanelSpec
 * @typedef {{mean: number, low: number | null, high: number | null, samples: number}} Interval
 *   null: unbounded
 * @typedef {{name: string, when: string, score: Interval, change: Interval | null,
 *   other: Interval | null, again: Interval | null, unaided_score: Interval | null}} Experiment
 * @typedef {{which: string, env_steps: number, version: string | null,
 *   commit: string | null}} Checkpoint
 * @typedef {{after: number[], memory: Interval[], observation: Interval[],
 *   commonest: number[]}} ReadOff
 * @typedef {{meaning: string, later: Interval, later_even: number, last: Interval,
 *   last_even: number}} Reads
 * @typedef {{checkpoint: Checkpoint | null, known: Object<string, number>, measure: string, episodes: number, counted: number,
 *   experiments: Experiment[], readouts: Object<string, ReadOff>, reads: Reads | null}} Experiments
 * @typedef {{title: string, facts: Object<string, string>, env_steps: number, episodes: Episode[],
 *   panels: PanelSpec[], sheets: Object<string, {side: number, packed: Packed}>,
 *   experiments: Experiments | null}} Run
 * @typedef {{title: string, version: string | null, runs: Run[]}} Page
 */

const KINDS = { f4: Float32Array, i2: Int16Array, i1: Int8Array, u2: Uint16Array, u1: Uint8Array };
const NONE = { f4: null, i2: -32768, i1: -128, u2: null, u1: null };

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
    const Kind = KINDS[part.kind];
    const count = part.shape.reduce((product, side) => product * side, 1);
    const end = from + count * Kind.BYTES_PER_ELEMENT;
    const numbers = new Kind(bytes.slice(from, end));
    const width = part.shape[0] ? count / part.shape[0] : 0;
    if (part.kind !== "f4") {
      for (let i = width; i < count; i++) numbers[i] += numbers[i - width];
    }
    const { shape, scale } = part;
    found.set(part.name, { shape, scale, width, numbers, none: NONE[part.kind] });
    from = end;
  }
  return found;
}

/**
 * @param {string} text
 * @returns {Promise<ArrayBuffer>}
 */
async function inflate(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/**
 * Number i of a step; NaN where there is none.
 * @param {Values} values
 * @param {number} step
 * @param {number} i
 */
function valueAt(values, step, i) {
  const number = values.numbers[step * values.width + i];
  return number === values.none ? NaN : number * values.scale;
}

/** @param {number} value */
function told(value) {
  return Number.isNaN(value) ? "–" : String(Number(value.toPrecision(4)));
}

/**
 * A number that needs little room.
 * @param {number} value
 */
function short(value) {
  const tiny = value !== 0 && Math.abs(value) < 0.001;
  return tiny ? value.toExponential(1) : told(Number(value.toPrecision(3)));
}

/** @param {number} share */
function percent(share) {
  return `${Number((100 * share).toPrecision(2))}\u00a0%`;
}

/**
 * The first of the rows that ever change or hold something, and the end of the last.
 * @param {Values} values
 * @param {number} rows of each head
 * @param {number} heads
 * @param {number} least of an absolute value that counts
 */
function usedRows(values, rows, heads, least) {
  const width = values.width / rows / heads;
  const used = new Uint8Array(rows);
  for (let i = 0; i < values.numbers.length; i++) {
    const place = i % values.width;
    const now = values.numbers[i] * values.scale;
    const first = values.numbers[place] * values.scale;
    if (Math.abs(now - first) > least || Math.abs(first) > 5 * least) {
      used[Math.floor(place / width) % rows] = 1;
    }
  }
  const first = used.indexOf(1);
  return first < 0 ? { first: 0, end: rows } : { first, end: used.lastIndexOf(1) + 1 };
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
