// One episode: its words, marks and panels, all at one step.

/** @type {Map<Run, Promise<Map<string, OffscreenCanvas[]>>>} */
const tilesOfRuns = new Map();

/**
 * The tiles of a run's pictures, each as an image.
 * @param {Run} run
 */
async function tilesOf(run) {
  const found = new Map();
  for (const [name, sheet] of Object.entries(run.sheets)) {
    const tiles = /** @type {Values} */ ((await unpack(sheet.packed)).get("tiles"));
    found.set(name, [...Array(tiles.shape[0]).keys()].map((i) => tileImage(tiles, i, sheet.side)));
  }
  return found;
}

/**
 * @param {Values} tiles
 * @param {number} number
 * @param {number} side
 */
function tileImage(tiles, number, side) {
  const image = new OffscreenCanvas(side, side);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (image.getContext("2d"));
  const pixels = context.createImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = tiles.numbers[number * tiles.width + 3 * i + c];
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return image;
}

/** The outcome of an episode in a word. @param {Episode} episode */
function outcomeOf(episode) {
  if (!episode.ended) return "cut off";
  return episode.outcome === null ? "ended" : episode.outcome ? "solved" : "failed";
}

class View {
  /**
   * @param {App} app
   * @param {HTMLElement} parent
   * @param {number} runIndex
   * @param {number} index of the episode
   */
  constructor(app, parent, runIndex, index) {
    this.app = app;
    this.runIndex = runIndex;
    this.index = index;
    this.run = app.page.runs[runIndex];
    this.episode = this.run.episodes[index];
    this.step = 0;
    /** Step whose sources are lit; null: the present one. @type {number | null} */
    this.lit = null;
    /** @type {Map<string, Values>} */
    this.values = new Map();
    /** @type {Map<string, OffscreenCanvas[]>} */
    this.tiles = new Map();
    /** @type {Panel[]} */
    this.panels = [];
    this.root = made("section", "", "view");
    parent.append(this.root);
  }

  /** Unpack the episode and build its panels. */
  async open() {
    if (!tilesOfRuns.has(this.run)) tilesOfRuns.set(this.run, tilesOf(this.run));
    this.values = await unpack(this.episode.packed);
    this.tiles = (await tilesOfRuns.get(this.run)) || new Map();
    this.head();
    const strip = made("div", "", "strip");
    this.root.append(strip);
    this.strip = new Sheet(strip, "cue, rewards and sources");
    for (const group of new Set(this.run.panels.map((panel) => panel.group))) {
      this.root.append(made("h3", group));
      const grid = made("div", "", "panels");
      this.root.append(grid);
      for (const spec of this.run.panels.filter((panel) => panel.group === group)) {
        if (!this.values.has(spec.array)) continue;
        const Kind = PANELS[/** @type {keyof typeof PANELS} */ (spec.kind)];
        this.panels.push(new Kind(this, spec, grid));
      }
    }
  }

  head() {
    const { episode } = this;
    const head = made("header");
    const outcome = `${outcomeOf(episode)}, return ${told(episode.returned)}`;
    head.append(made("h2", `${this.run.title} · episode ${this.index}: ${outcome}`));
    this.words = made("div", "", "words");
    head.append(this.words);
    this.root.append(head);
  }

  layout() {
    this.strip?.fit(26);
    for (const panel of this.panels) panel.fill();
  }

  /** @param {number} step of the slider; an episode that is over stays at its last */
  show(step) {
    this.step = Math.min(step, this.episode.length - 1);
    this.tell();
    this.drawStrip();
    for (const panel of this.panels) panel.draw(this.step);
  }

  /**
   * What words say at the present step.
   * @param {string} name
   */
  said(name) {
    const words = this.episode.words[name];
    return words ? words.texts[words.at[this.step]] : "";
  }

  tell() {
    const names = Object.keys(this.episode.words);
    this.words?.replaceChildren(
      ...names.map((name) => {
        const line = made("span");
        line.append(made("b", name.replaceAll("_", " ")), ` ${this.said(name)}`);
        return line;
      }),
    );
  }

  /**
   * The middle of a step's column.
   * @param {Box} box
   * @param {number} step
   */
  x(box, step) {
    return box.left + ((step + 0.5) / this.episode.length) * box.width;
  }

  /**
   * Where the cue was first seen, and where rewards came.
   * @param {Sheet} sheet
   * @param {Box} box
   */
  mark(sheet, box) {
    const { context } = sheet;
    const rewards = this.values.get("reward");
    if (this.episode.cue !== null) {
      const x = Math.round(this.x(box, this.episode.cue));
      context.strokeStyle = colour("cue");
      context.lineWidth = 1.8;
      context.setLineDash([4, 3]);
      context.beginPath();
      context.moveTo(x, box.top);
      context.lineTo(x, box.top + box.height);
      context.stroke();
      context.setLineDash([]);
    }
    for (let step = 0; rewards && step < this.episode.length; step++) {
      const reward = valueAt(rewards, step, 0);
      if (!reward) continue;
      const x = this.x(box, step);
      context.fillStyle = colour(reward > 0 ? "cue" : "other");
      context.beginPath();
      context.moveTo(x - 4, box.top - 5);
      context.lineTo(x + 4, box.top - 5);
      context.lineTo(x, box.top + 2);
      context.fill();
    }
  }

  /**
   * The steps at which what is read was written.
   * @param {Sheet} sheet
   * @param {Box} box
   */
  light(sheet, box) {
    const sources = this.values.get("sources");
    if (!sources) return;
    const reader = this.lit ?? this.step;
    const { context } = sheet;
    const width = Math.max(2, box.width / this.episode.length - 1);
    context.fillStyle = colour("other");
    for (let step = 0; step < this.episode.length; step++) {
      const share = Math.abs(valueAt(sources, reader, step));
      if (share < 0.02) continue;
      context.globalAlpha = Math.min(1, 0.2 + share);
      context.fillRect(this.x(box, step) - width / 2, box.top + box.height - 3, width, 5);
    }
    context.globalAlpha = 1;
  }

  /**
   * @param {Sheet} sheet
   * @param {Box} box
   * @param {number} step
   */
  cursor(sheet, box, step) {
    const { context } = sheet;
    const width = Math.max(2, box.width / this.episode.length);
    context.strokeStyle = colour("cursor");
    context.lineWidth = 1;
    context.globalAlpha = 0.75;
    context.strokeRect(this.x(box, step) - width / 2, box.top - 1, width, box.height + 2);
    context.globalAlpha = 1;
  }

  drawStrip() {
    const { strip } = this;
    if (!strip) return;
    strip.clear();
    const box = { left: LEFT, top: 8, width: strip.width - LEFT - 8, height: 14 };
    frame(strip, box);
    this.mark(strip, box);
    this.light(strip, box);
    this.cursor(strip, box, this.step);
  }
}
