// The page: one step for all panels, set by slider, keys, play and link.

class App {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.step = 0;
    this.playing = false;
    this.frames = 0;
    /** @type {View[]} */
    this.views = [];
    this.opening = 0;
    this.drawn = false;
    /** How units are sorted: "alike" or "cue". */
    this.sorting = "alike";
    this.slider = /** @type {HTMLInputElement} */ (element("slider"));
    element("title").textContent = page.title;
    element("runs").textContent = page.runs
      .flatMap((run) => Object.entries(run.facts).map(([name, fact]) => `${name} ${fact}`))
      .join(" · ");
    this.list = new EpisodeList(this);
    this.experiments = page.runs.flatMap((run) =>
      run.experiments ? [new ExperimentsView(this, run, run.experiments, element("experiments"))] : [],
    );
    element("to-experiments").hidden = !this.experiments.length;
    const cued = page.runs.some((run) => run.panels.some((panel) => panel.by_cue.length));
    element("sorting").hidden = !cued;
    this.listen();
  }

  listen() {
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    element("play").addEventListener("click", () => this.play(!this.playing));
    element("to-experiments").addEventListener("click", () => {
      element("experiments").scrollIntoView();
    });
    const sorted = /** @type {HTMLSelectElement} */ (element("sorted"));
    sorted.addEventListener("change", () => {
      this.sort(sorted.value);
      this.remember();
      this.layout();
    });
    element("theme").addEventListener("click", () => {
      setTheme(!isDark());
      this.layout();
    });
    document.addEventListener("keydown", (event) => this.press(event));
    window.addEventListener("hashchange", () => this.restore());
    let waiting = 0;
    window.addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.layout(), 100);
    });
  }

  /** The number of steps: of the longer of two episodes. */
  get length() {
    return Math.max(1, ...this.views.map((view) => view.episode.length));
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const typing = target.matches?.("select, input:not([type=range])");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && target.matches?.("button, summary")) return;
    const far = event.shiftKey ? 10 : 1;
    /** @type {Object<string, () => void>} */
    const keys = {
      " ": () => this.play(!this.playing),
      ArrowRight: () => this.go(this.step + far),
      ArrowLeft: () => this.go(this.step - far),
      Home: () => this.go(0),
      End: () => this.go(this.length - 1),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  /**
   * Show an episode alone, or in place of the first of two.
   * @param {number} run
   * @param {number} episode
   */
  choose(run, episode) {
    const second = this.views[1];
    return this.open([[run, episode], ...(second ? [[second.runIndex, second.index]] : [])], 0);
  }

  /**
   * Show a second episode, or put it away if it is the second already.
   * @param {number} run
   * @param {number} episode
   */
  chooseBeside(run, episode) {
    const [first, second] = this.views;
    const same = second && second.runIndex === run && second.index === episode;
    const pairs = [[first.runIndex, first.index], ...(same ? [] : [[run, episode]])];
    return this.open(pairs, this.step);
  }

  /**
   * @param {number[][]} pairs runs and their episodes, one or two
   * @param {number} step
   */
  async open(pairs, step) {
    const turn = ++this.opening;
    const place = made("div");
    const views = pairs.map(([run, episode]) => new View(this, place, run, episode));
    await Promise.all(views.map((view) => view.open()));
    if (turn !== this.opening) return; // another was chosen meanwhile
    this.views = views;
    const shown = element("views");
    shown.classList.toggle("two", views.length > 1);
    shown.replaceChildren(...views.map((view) => view.root));
    this.list.run = pairs[0][0];
    this.list.select("run").value = String(pairs[0][0]);
    this.list.draw();
    this.slider.max = String(this.length - 1);
    this.go(step);
    this.layout();
  }

  layout() {
    for (const view of this.views) view.layout();
    for (const each of this.experiments) each.layout();
    this.draw();
  }

  /** @param {number} step */
  go(step) {
    this.step = Math.max(0, Math.min(this.length - 1, step));
    this.slider.value = String(this.step);
    element("step").textContent = `step ${this.step} of ${this.length - 1}`;
    if (!this.playing) this.remember();
    this.draw();
  }

  /** @param {string} order of units: "cue", or they stand as alike ones do */
  sort(order) {
    this.sorting = order === "cue" ? "cue" : "alike";
    /** @type {HTMLSelectElement} */ (element("sorted")).value = this.sorting;
  }

  /** Draw once before the screen's next picture, however often it is asked for. */
  draw() {
    if (this.drawn) return;
    this.drawn = true;
    requestAnimationFrame(() => {
      this.drawn = false;
      this.frames += 1;
      for (const view of this.views) view.show(this.step);
      document.body.dataset.step = String(this.step);
    });
  }

  /** @param {boolean} on */
  play(on) {
    this.playing = on;
    element("play").textContent = on ? "pause" : "play";
    if (!on) {
      this.remember();
      return;
    }
    const from = this.step >= this.length - 1 ? 0 : this.step;
    let begun = 0;
    /** @param {number} now */
    const next = (now) => {
      if (!this.playing) return;
      begun ||= now;
      const speed = Number(/** @type {HTMLSelectElement} */ (element("speed")).value);
      const step = from + Math.floor(((now - begun) / 1000) * speed);
      if (step !== this.step) this.go(step);
      if (step >= this.length - 1) this.play(false);
      else requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }

  /** Write what is shown into the link. */
  remember() {
    const [first, second] = this.views;
    if (!first) return;
    const run = this.page.runs.length > 1 ? `run=${first.runIndex}&` : "";
    const beside = second ? `&beside=${second.runIndex}.${second.index}` : "";
    const sorted = this.sorting === "cue" ? "&sorted=cue" : "";
    const link = `#${run}episode=${first.index}&step=${this.step}${beside}${sorted}`;
    if (location.hash !== link) history.replaceState(null, "", link);
  }

  /** Show what the link says. */
  restore() {
    const words = new URLSearchParams(location.hash.slice(1));
    const run = this.clamped(words.get("run"), this.page.runs.length);
    const pairs = [[run, this.clamped(words.get("episode"), this.page.runs[run].episodes.length)]];
    const [besideRun, beside] = (words.get("beside") || "").split(".");
    if (beside !== undefined) {
      const other = this.clamped(besideRun, this.page.runs.length);
      pairs.push([other, this.clamped(beside, this.page.runs[other].episodes.length)]);
    }
    this.sort(words.get("sorted") || "");
    return this.open(pairs, Number(words.get("step")) || 0);
  }

  /**
   * @param {string | null} text
   * @param {number} count
   */
  clamped(text, count) {
    return Math.max(0, Math.min(count - 1, Math.floor(Number(text)) || 0));
  }

  /**
   * @param {string} text
   * @param {PointerEvent} event
   * @param {View} [view] of what is told
   * @param {number} [step] whose sources are lit
   */
  showTip(text, event, view, step) {
    const tip = element("tip");
    tip.textContent = text;
    tip.hidden = false;
    const right = event.clientX + 14 + tip.offsetWidth > window.innerWidth;
    tip.style.left = `${right ? event.clientX - 14 - tip.offsetWidth : event.clientX + 14}px`;
    tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 4)}px`;
    if (view) this.light(view, step ?? null);
  }

  hideTip() {
    element("tip").hidden = true;
    for (const view of this.views) this.light(view, null);
  }

  /**
   * @param {View} view
   * @param {number | null} step
   */
  light(view, step) {
    if (view.lit === step || !view.values.has("sources")) return;
    view.lit = step;
    this.draw();
  }
}

/**
 * Load the page again when its server has a newer one; what it shows is in its address.
 * @param {string} version
 */
function follow(version) {
  setInterval(async () => {
    const answer = await fetch("version").catch(() => null); // null: the server has ended
    if (answer?.ok && (await answer.text()) !== version) location.reload();
  }, 3000);
}

setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
const app = new App(readPage());
if (app.page.version !== null) follow(app.page.version);
app.restore().then(() => {
  document.body.dataset.ready = String(Math.round(performance.now())); // ms since it was opened
});
