"""The look that all pictures of a run share, and how they reach the disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.patheffects import withStroke
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    PercentFormatter,
)

from memrl.checkpoint.atomic import write_atomically
from memrl.evaluation.learning_curve import Measure

# Okabe & Ito (2008): told apart with any colour vision.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: Final = ("-", "--", ":", "-.")
POINT: Final = "o"  # marks what is no line
INK: Final = "#333333"
GREY: Final = "#777777"
DPI: Final = 150
FORMATS: Final = (".png", ".pdf", ".svg")  # of `save`
FONT: Final = 11.0
_SCORES: Final[dict[Measure, str]] = {
    "success": "success (% of episodes)",
    "return": "return (sum of rewards of an episode)",
    "accuracy": "accuracy (% of answers or bits)",
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; it belongs to nobody else, so nothing has to be closed."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes) -> None:
    """No box, a light grid behind the data, one size of letters."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=FONT - 1)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(INK)
        label.set_fontsize(FONT)


def halo(legend: Legend) -> None:
    """White edges around the letters: lines that pass behind a legend leave it legible."""
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def steps_axis(axes: Axes, unit: str = "env steps") -> None:
    """Show x in units of experience: 200k, 1M."""
    axes.set_xlabel(unit)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def score_axis(axes: Axes, measure: Measure) -> None:
    """Show y as success or accuracy in percent, or as return in units of reward."""
    axes.set_ylabel(_SCORES[measure])
    if measure != "return":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0))
        axes.set_ylim(-0.02, 1.02)


def log_axis(axes: Axes) -> None:
    """Show y on a logarithmic scale, in plain numbers: 0.05, 0.2, 1."""
    axes.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(NullFormatter())


def colour_bar(axes: Axes, image: AxesImage) -> None:
    """What the colours of an image stand for, in numbers beside it."""
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05)
    bar.ax.tick_params(labelsize=FONT - 2, colors=INK)
    bar.outline.set_visible(False)


def colour_and_dashes(index: int) -> tuple[str, str]:
    """The ``index``-th line of a picture: colours first, then dashes."""
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


def save(figure: Figure, path: Path) -> None:
    """Write a picture atomically, in the format that its suffix names.

    Raises:
        RunError: the disk is full.
    """
    buffer, suffix = io.BytesIO(), path.suffix.lower()
    canvas = figure.canvas
    if suffix == ".png" and isinstance(canvas, FigureCanvasAgg):
        # `savefig` would go through all artists twice.
        canvas.print_png(buffer)  # type: ignore[no-untyped-call]
    else:
        figure.savefig(buffer, format=suffix.removeprefix("."))
    write_atomically(path, buffer.getvalue())
