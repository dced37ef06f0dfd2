// What memrl probe found: a table of experiments, and what can be read off the memory over time.

/**
 * A share to three decimals, or a larger number to three digits.
 * @param {number} value
 */
function rounded(value) {
  const near = Number(Math.abs(value) < 1 ? value.toFixed(3) : value.toPrecision(3));
  return String(near).replace("-", "−");
}

/** @param {Interval} told */
function interval({ mean, low, high }) {
  const [least, most] = [low, high].map((bound) => (bound === null ? "…" : rounded(bound)));
  return `${rounded(mean)} [${least}, ${most}]`;
}

/**
 * A change, with its sign.
 * @param {Interval | null} told
 */
function signed(told) {
  if (!told) return "";
  const change = rounded(told.mean);
  return change.startsWith("−") || change === "0" ? change : `+${change}`;
}

/** The results of one run, below the episodes. */
class ExperimentsView {
  /**
   * @param {App} app
   * @param {Run} run
   * @param {Experiments} found
   * @param {HTMLElement} parent
   */
  constructor(app, run, found, parent) {
    this.app = app;
    this.found = found;
    const scores = found.experiments.map((each) => each.score);
    const ends = scores.flatMap(({ mean, low, high }) => [mean, low ?? mean, high ?? mean]);
    const levels = Object.values(found.known);
    const shares = found.measure === "success";
    this.low = shares ? 0 : Math.min(0, ...ends, ...levels);
    this.high = shares ? 1 : Math.max(0, ...ends, ...levels) || 1;
    /** @type {{sheet: Sheet, score: Interval}[]} */
    this.bars = [];
    this.root = made("section", "", "experiments");
    this.root.append(made("h2", `Experiments · ${run.title}`), this.facts(run), this.origin(run), this.table());
    this.curves = Object.entries(found.readouts)
      .filter(([, readout]) => readout.after.length)
      .map(([name, readout]) => new Curve(app, name, readout, this.root));
    if (found.reads) this.root.append(this.provenance(found.reads));
    parent.append(this.root);
  }

  /** @param {Run} run */
  facts(run) {
    const { counted, episodes, known, measure } = this.found;
    const levels = Object.entries(known).map(([name, level]) => `${name} ${rounded(level)}`);
    const counts = `${counted} of ${episodes} episodes count: those that reach every moment`;
    const dashed = levels.length ? [`dashed, ${measure}: ${levels.join(", ")}`] : [];
    return made("p", [run.facts.run, counts, ...dashed].filter(Boolean).join(" · "), "faint");
  }

  /**
   * Of which checkpoint the results are; marked where the episodes are of another.
   * @param {Run} run
   */
  origin(run) {
    const { checkpoint } = this.found;
    if (!checkpoint) {
      return made("p", "The file does not say of which checkpoint these results are.", "marked");
    }
    const steps = `${checkpoint.env_steps.toLocaleString("en")} env steps`;
    if (checkpoint.env_steps !== run.env_steps) {
      const shown = run.env_steps.toLocaleString("en");
      const other = `These results are of another checkpoint, at ${steps}; the episodes above are of ${shown}.`;
      return made("p", `${other} memrl probe makes them anew.`, "marked");
    }
    const software = [checkpoint.version && `memrl ${checkpoint.version}`, checkpoint.commit && `commit ${checkpoint.commit}`];
    return made("p", [`the ${checkpoint.which} checkpoint, at ${steps}`, ...software].filter(Boolean).join(" · "), "faint");
  }

  table() {
    const again = this.found.experiments.some((each) => each.again && each.again.mean > 0);
    const names = ["experiment", "when", this.found.measure, "", "change", "other cue"];
    const head = made("tr");
    const seen = again ? ["sees its cue again", `${this.found.measure} of the others`] : [];
    for (const name of [...names, ...seen]) head.append(made("th", name));
    const body = made("tbody");
    for (const each of this.found.experiments) {
      const row = made("tr");
      const bar = made("td", "", "bar");
      row.append(made("td", each.name), made("td", each.when), bar, this.number(each.score));
      this.bars.push({ sheet: this.bar(bar, each), score: each.score });
      row.append(made("td", signed(each.change)));
      row.append(made("td", each.other ? rounded(each.other.mean) : ""));
      if (again) row.append(this.number(each.again), this.number(each.again && each.unaided_score));
      body.append(row);
    }
    const table = made("table");
    const heading = made("thead");
    heading.append(head);
    table.append(heading, body);
    const place = made("div", "", "scrolls");
    place.append(table);
    return place;
  }

  /** @param {Interval | null} estimate */
  number(estimate) {
    if (!estimate) return made("td");
    const mean = rounded(estimate.mean);
    const cell = made("td", mean);
    cell.append(made("span", interval(estimate).slice(mean.length), "interval"));
    return cell;
  }

  /**
   * @param {HTMLElement} cell
   * @param {Experiment} each
   */
  bar(cell, each) {
    const told = `${this.found.measure} ${interval(each.score)}`;
    const text = each.change ? `${told} · change ${interval(each.change)}` : told;
    const sheet = new Sheet(cell, `${each.name} ${each.when}: ${text}`);
    const { canvas } = sheet;
    canvas.addEventListener("pointermove", (event) => this.app.showTip(text, event));
    canvas.addEventListener("pointerleave", () => this.app.hideTip());
    return sheet;
  }

  /** @param {Reads} reads */
  provenance(reads) {
    return made(
      "p",
      `Of what is read after the cue was last in view, ${interval(reads.later)} was written by steps ` +
        `that saw it (evenly spread: ${rounded(reads.later_even)}); at the last step ` +
        `${interval(reads.last)} (${rounded(reads.last_even)}). How this was found: ${reads.meaning}`,
    );
  }

  layout() {
    for (const { sheet, score } of this.bars) this.drawBar(sheet, score);
    for (const curve of this.curves) curve.layout();
  }

  /**
   * The mean as a bar, its interval as a whisker.
   * @param {Sheet} sheet
   * @param {Interval} score
   */
  drawBar(sheet, score) {
    sheet.fit(18);
    const { context } = sheet;
    const box = { left: 4, top: 3, width: sheet.width - 8, height: 12 };
    const x = (/** @type {number} */ value) => {
      const share = (value - this.low) / (this.high - this.low);
      return box.left + Math.max(0, Math.min(1, share)) * box.width;
    };
    frame(sheet, box);
    context.fillStyle = colour("accent");
    context.globalAlpha = 0.55;
    context.fillRect(x(0), box.top, x(score.mean) - x(0), box.height);
    context.globalAlpha = 1;
    context.strokeStyle = colour("faint");
    context.setLineDash([2, 2]);
    for (const level of Object.values(this.found.known)) {
      stroke(context, [[x(level), box.top], [x(level), box.top + box.height]]);
    }
    context.setLineDash([]);
    context.strokeStyle = colour("ink");
    context.lineWidth = 1.5;
    const middle = box.top + box.height / 2;
    const [low, high] = [x(score.low ?? this.low), x(score.high ?? this.high)];
    stroke(context, [[low, middle], [high, middle]]);
    for (const end of [low, high]) stroke(context, [[end, middle - 3], [end, middle + 3]]);
  }
}

/** How well a linear probe names something at each step, and its hover. */
class Curve {
  /**
   * @param {App} app
   * @param {string} name of what is read off
   * @param {ReadOff} readout
   * @param {HTMLElement} parent
   */
  constructor(app, name, readout, parent) {
    this.app = app;
    this.readout = readout;
    this.root = made("figure");
    this.root.append(made("h4", `${name}: accuracy of reading it off, linear and cross-validated`));
    const legend = made("figcaption", "steps after the cue was first seen · ");
    legend.append(made("b", "memory", "of-memory"), " · ");
    legend.append(made("b", "observation alone", "of-observation"), " · dashed: the commonest answer");
    this.sheet = new Sheet(this.root, `${name}, read off the memory and off the observation`);
    this.root.append(legend);
    parent.append(this.root);
    this.box = { left: 0, top: 0, width: 1, height: 1 };
    this.sheet.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.sheet.canvas.addEventListener("pointerleave", () => app.hideTip());
  }

  /** @param {number} i of the steps that were probed */
  x(i) {
    const { after } = this.readout;
    const [first, last] = [after[0], after[after.length - 1]];
    const share = last > first ? (after[i] - first) / (last - first) : 0.5;
    return this.box.left + 6 + share * (this.box.width - 12);
  }

  /** @param {number} share */
  y(share) {
    return this.box.top + 3 + (1 - share) * (this.box.height - 6);
  }

  layout() {
    this.sheet.fit(150);
    this.box = this.sheet.box(LEFT, BOTTOM);
    const { after, memory, observation, commonest } = this.readout;
    const { context } = this.sheet;
    frame(this.sheet, this.box);
    for (const share of [0, 0.5, 1]) {
      this.sheet.write(`${100 * share}%`, LEFT - 5, this.y(share), "right");
    }
    for (const i of ticks(after.length, this.box.width / 44)) {
      this.sheet.write(String(after[i]), this.x(i), this.box.top + this.box.height + 9, "center");
    }
    context.strokeStyle = colour("faint");
    context.lineWidth = 1;
    context.setLineDash([4, 3]);
    stroke(context, commonest.map((share, i) => [this.x(i), this.y(share)]));
    context.setLineDash([]);
    this.band(observation, "other");
    this.band(memory, "accent");
  }

  /**
   * @param {Interval[]} intervals
   * @param {string} name of its colour
   */
  band(intervals, name) {
    const { context } = this.sheet;
    const upper = intervals.map(({ high }, i) => [this.x(i), this.y(high ?? 1)]);
    const lower = intervals.map(({ low }, i) => [this.x(i), this.y(low ?? 0)]);
    context.fillStyle = context.strokeStyle = colour(name);
    context.globalAlpha = 0.18;
    trace(context, [...upper, ...lower.reverse()]);
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 2;
    const means = intervals.map(({ mean }, i) => [this.x(i), this.y(mean)]);
    stroke(context, means);
    for (const [x, y] of means) {
      context.beginPath();
      context.arc(x, y, 2.5, 0, 2 * Math.PI);
      context.fill();
    }
  }

  /** @param {PointerEvent} event */
  hover(event) {
    const { after, memory, observation, commonest } = this.readout;
    const at = event.clientX - this.sheet.canvas.getBoundingClientRect().left;
    const far = after.map((_, i) => Math.abs(this.x(i) - at));
    const i = far.indexOf(Math.min(...far));
    const text =
      `step ${after[i]} · memory ${interval(memory[i])} · observation ` +
      `${interval(observation[i])} · commonest ${rounded(commonest[i])}`;
    this.app.showTip(text, event);
  }
}
