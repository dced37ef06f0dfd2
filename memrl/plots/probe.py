"""probe.png: experiments on a memory, what can be read off it, and where its reads come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from memrl.evaluation.statistics import Estimate
from memrl.plots import style
from memrl.probing.cue_reads import CueReads
from memrl.probing.experiments import OTHER, WIPED, Experiments, Result
from memrl.probing.provenance import METHODS
from memrl.probing.readout import Readout

_SCORE, _OTHER = style.COLOURS[0], style.COLOURS[1]


def draw_probe(
    experiments: Experiments,
    results: Sequence[Result],
    path: Path,
    *,
    title: str,
    references: Mapping[str, float],
) -> Figure:
    """Draw the results and write them; what is not known has no panel.

    Args:
        experiments: that were run.
        results: of them.
        path: of the picture; its suffix is one of ``style.FORMATS``.
        title: above all panels.
        references: levels of the score by name.

    Raises:
        RunError: the disk is full.
    """
    swept = len({result.when for result in results if result.name == WIPED}) > 1
    readout, reads = experiments.readouts.get("cue"), experiments.reads
    beside = [swept, readout is not None and bool(readout.after), reads is not None]
    picture = style.new_figure(13.0 if any(beside) else 8.0, max(5.0, 2.7 * sum(beside)))
    picture.suptitle(title, x=0.01, ha="left", fontsize=style.FONT + 1, color=style.INK)
    columns = picture.add_gridspec(max(sum(beside), 1), 2 if any(beside) else 1)
    left = picture.add_subplot(columns[:, 0])
    _experiments(left, _first_of_each(results), experiments.measure, references)
    places = iter(range(sum(beside)))
    if swept:
        _moments(picture.add_subplot(columns[next(places), 1]), results, experiments.measure)
    if readout is not None and readout.after:
        _readout(picture.add_subplot(columns[next(places), 1]), readout)
    if reads is not None:
        _sources(picture.add_subplot(columns[next(places), 1]), reads)
    style.save(picture, path)
    return picture


def _first_of_each(results: Sequence[Result]) -> list[Result]:
    """The first moment of each experiment; the others have a panel of their own."""
    return list({result.name: result for result in reversed(results)}.values())[::-1]


def _experiments(
    axes: Axes, results: Sequence[Result], measure: str, references: Mapping[str, float]
) -> None:
    places = np.arange(len(results))
    _points(axes, [result.score for result in results], places - 0.12, _SCORE, measure)
    if any(result.other is not None for result in results):
        told = "ends with the other cue"
        _points(axes, [result.other for result in results], places + 0.12, _OTHER, told)
    axes.set_yticks(places, [result.name for result in results])
    axes.set_ylim(len(results) - 0.5, -0.5)
    for i, level in enumerate(sorted({*references.values()})):
        name = ", ".join(name for name, value in references.items() if value == level)
        axes.axvline(level, color=style.GREY, lw=0.9, ls="--")
        axes.annotate(
            name,
            (level, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 15 - 12 * (i % 2)),
            textcoords="offset points",
            ha="center",
            fontsize=style.FONT - 2,
            color=style.GREY,
        )
    if measure == "success":
        axes.set_xlim(-0.03, 1.03)
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0))
    axes.set_xlabel(f"{measure} (mean, 95 % interval)")
    style.tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color="#E5E5E5", linewidth=0.8)
    axes.legend(
        frameon=False,
        fontsize=style.FONT - 2,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.09),
        ncols=2,
    )


def _points(
    axes: Axes, estimates: Sequence[Estimate | None], places: Any, colour: str, label: str
) -> None:
    there = [(e, y) for e, y in zip(estimates, places, strict=True) if e is not None]
    means = np.array([e.mean for e, _ in there])
    reach = np.abs([[e.mean - e.low, e.high - e.mean] for e, _ in there]).T
    heights = [y for _, y in there]
    axes.errorbar(
        means, heights, xerr=reach, fmt=style.POINT, color=colour, ms=5, lw=1.6, label=label
    )


def _moments(axes: Axes, results: Sequence[Result], measure: str) -> None:
    """Over the moment: the score after a wipe, and how often a transplant decides."""
    wiped = {r.when: r.score for r in results if r.name == WIPED}
    given = {r.when: r.other for r in results if r.name == OTHER and r.other is not None}
    _band(axes, [*wiped], [*wiped.values()], _SCORE, f"{WIPED}: {measure}")
    if given:
        _band(axes, [*given], [*given.values()], _OTHER, f"{OTHER}: ends with it")
    if any(r.again is not None and r.again.mean > 0 for r in results):
        for name, colour in ((WIPED, _SCORE), (OTHER, _OTHER)):
            alone = [
                (float(r.when or 0), told.mean)
                for r in results
                if r.name == name
                and (told := r.unaided_score if name == WIPED else r.unaided_other) is not None
            ]
            x, y = np.array(alone).reshape(-1, 2).T
            axes.plot(x, y, color=colour, lw=1.4, ls=":", marker=style.POINT, ms=3)
        axes.plot([], [], color=style.GREY, ls=":", label="… if its own cue is not seen again")
    axes.set_xlabel("moment: 0 right after the cue, 1 before the last step")
    axes.set_title("when the memory is changed", loc="left")
    _percent(axes, measure == "success")


def _readout(axes: Axes, readout: Readout) -> None:
    _band(axes, readout.after, readout.memory, _SCORE, "from the memory")
    _band(axes, readout.after, readout.observation, _OTHER, "from the observation alone")
    axes.plot(readout.after, readout.commonest, color=style.GREY, ls="--", lw=1.0, label="chance")
    axes.set_xlabel("env steps after the cue was first seen")
    axes.set_title("accuracy of naming the cue, linear and cross-validated", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True))
    _percent(axes, True)


def _sources(axes: Axes, reads: CueReads) -> None:
    weights, (first, last) = reads.example.weights, reads.cue
    steps = len(weights)
    image = axes.imshow(
        weights, cmap="viridis", vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest"
    )
    style.tidy(axes)
    axes.grid(visible=False)
    for edge in (first - 0.5, last + 0.5):
        axes.axvline(edge, color="white", lw=1.2, ls="--")
    axes.set_xlim(-0.5, steps - 0.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=9, integer=True))
    axes.set_xlabel("step that wrote (between the dashed lines it saw the cue)")
    axes.set_ylabel("step that reads")
    what = METHODS[reads.example.method]
    axes.set_title(f"where reads come from, one episode ({what})", loc="left", wrap=True)
    axes.title.set_fontsize(style.FONT - 2)
    style.colour_bar(axes, image)


def _band(
    axes: Axes, x: Sequence[Any], estimates: Sequence[Estimate], colour: str, label: str
) -> None:
    means, lows, highs = (
        np.array([getattr(e, name) for e in estimates]) for name in ("mean", "low", "high")
    )
    axes.plot(x, means, color=colour, lw=2.0, marker=style.POINT, ms=4, label=label)
    axes.fill_between(np.asarray(x, dtype=float), lows, highs, color=colour, alpha=0.18, lw=0)


def _percent(axes: Axes, share: bool) -> None:
    if share:
        axes.set_ylim(-0.03, 1.06)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0))
    style.tidy(axes)
    style.halo(axes.legend(frameon=False, fontsize=style.FONT - 2))
