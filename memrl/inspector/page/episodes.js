// The list of episodes: filtered, sorted, one or two of them chosen.

class EpisodeList {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.run = 0;
    /** @type {"index" | "outcome" | "returned" | "length"} */
    this.key = "index";
    this.down = false;
    const runs = this.select("run");
    app.page.runs.forEach((run, i) => {
      const option = /** @type {HTMLOptionElement} */ (made("option", `${i}: ${run.title}`));
      option.value = String(i);
      runs.append(option);
    });
    runs.disabled = app.page.runs.length < 2;
    runs.addEventListener("change", () => {
      this.run = Number(runs.value);
      app.choose(this.run, 0);
    });
    const filters = element("filters");
    filters.addEventListener("input", () => this.draw());
    filters.addEventListener("submit", (event) => event.preventDefault());
    for (const button of document.querySelectorAll("th button")) {
      button.addEventListener("click", () => this.sort(/** @type {HTMLElement} */ (button)));
    }
  }

  /** @param {string} id */
  select(id) {
    return /** @type {HTMLSelectElement} */ (element(id));
  }

  /**
   * The number in a field; the default where it is empty.
   * @param {string} id
   * @param {number} otherwise
   */
  bound(id, otherwise) {
    const text = /** @type {HTMLInputElement} */ (element(id)).value;
    return text === "" ? otherwise : Number(text);
  }

  /** @param {HTMLElement} button */
  sort(button) {
    const key = /** @type {typeof this.key} */ (button.dataset.sort);
    this.down = this.key === key ? !this.down : key !== "index";
    this.key = key;
    this.draw();
  }

  /** The indices of the episodes that are listed, in order. */
  chosen() {
    const { episodes } = this.app.page.runs[this.run];
    const wanted = this.select("outcome").value;
    const [least, shortest] = [this.bound("least-return", -Infinity), this.bound("least-steps", 0)];
    const longest = this.bound("most-steps", Infinity);
    const kept = [...episodes.keys()].filter((i) => {
      const { outcome, returned, length } = episodes[i];
      const word = outcome === null ? "other" : outcome ? "solved" : "failed";
      const shown = wanted === "all" || wanted === word;
      return shown && returned >= least && length >= shortest && length <= longest;
    });
    const sign = this.down ? -1 : 1;
    return kept.sort((a, b) => sign * (this.rank(a) - this.rank(b)) || a - b);
  }

  /** @param {number} i */
  rank(i) {
    const episode = this.app.page.runs[this.run].episodes[i];
    if (this.key === "index") return i;
    return Number(episode[this.key] ?? -1);
  }

  draw() {
    const { episodes } = this.app.page.runs[this.run];
    const kept = this.chosen();
    element("count").textContent = `${kept.length} of ${episodes.length}`;
    element("rows").replaceChildren(...kept.map((i) => this.row(i, episodes[i])));
  }

  /**
   * @param {number} i
   * @param {Episode} episode
   */
  row(i, episode) {
    const row = made("tr");
    row.dataset.episode = String(i);
    const outcome = episode.outcome === null ? "–" : episode.outcome ? "✓" : "✗";
    for (const text of [String(i), outcome, told(episode.returned), String(episode.length)]) {
      row.append(made("td", text));
    }
    const cell = made("td");
    const beside = /** @type {HTMLButtonElement} */ (made("button", "beside"));
    beside.type = "button";
    beside.title = "show beside the other episode; again: put away";
    cell.append(beside);
    row.append(cell);
    row.addEventListener("click", (event) => {
      if (event.target === beside) this.app.chooseBeside(this.run, i);
      else this.app.choose(this.run, i);
    });
    const [first, second] = this.app.views;
    if (first?.runIndex === this.run && first.index === i) row.classList.add("shown");
    if (second?.runIndex === this.run && second.index === i) row.classList.add("beside");
    return row;
  }
}
