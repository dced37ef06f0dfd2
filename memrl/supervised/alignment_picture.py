"""alignment.png of a supervised run: which words a memory reads while it says each word."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from memrl.plots import style
from memrl.plots.memory import colour_range
from memrl.probing.attention import attended_steps
from memrl.supervised.model import SequenceModel
from memrl.tasks.task import Batch, Texts

_CELL = 0.24  # inches


def draw_alignment(
    model: SequenceModel, batch: Batch, texts: Texts, path: Path, *, title: str
) -> Figure | None:
    """Draw what is read of each word heard (columns) at each word to say (rows); write a PNG.

    The first sequence of the batch; the words heard are those up to its first answer. Returns None,
    and draws nothing, where the weights of the memory do not tell at which steps it looks.

    Raises:
        RunError: the disk is full.
    """
    one = Batch(*(part[:, :1] for part in batch)).to(next(model.parameters()).device)
    _, seen = model.watch(one.x, one.start)
    attended = attended_steps(model.core, seen)
    if attended is None:
        return None
    scored = batch.mask[:, 0].nonzero().flatten().tolist()
    heard, said = texts.heard[: scored[0] + 1], [texts.said[t] for t in scored]
    shares = attended[scored][:, : len(heard)].detach().cpu().double().numpy()
    picture = style.new_figure(2.0 + _CELL * len(heard), 1.4 + _CELL * len(said))
    axes = picture.subplots()
    colours, low, high = colour_range(shares)
    image = axes.imshow(
        shares, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
    style.tidy(axes)
    axes.grid(visible=False)
    axes.set_xticks(range(len(heard)), heard, rotation=90)
    axes.set_yticks(range(len(said)), said)
    axes.set_xlabel("heard")
    axes.set_ylabel("to say")
    axes.set_title(title, loc="left")
    style.colour_bar(axes, image)
    style.save(picture, path)
    return picture
