"""memory.png of a supervised run: one sequence, and where the heads looked while it was read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from memrl.plots import style
from memrl.plots.memory import draw_panel, panel_height
from memrl.supervised.model import SequenceModel
from memrl.tasks.task import Batch, Task

_TAPE = 1.3  # inches for inputs, targets and outputs


def draw_tape(task: Task, model: SequenceModel, batch: Batch, path: Path, *, title: str) -> Figure:
    """Draw the first sequence of a batch with what the memory did at every step; write a PNG.

    Inputs, targets and outputs (probabilities) are channels × steps, blank where nothing is scored;
    below them weights over slots × steps, or, where a memory has none, all that it shows of itself.

    Raises:
        RunError: the disk is full.
    """
    panels = [*_tape(task, model, batch).items()]
    heights = [_TAPE if rows else panel_height(values) for _, (values, rows) in panels]
    picture = style.new_figure(8.0, 0.8 + sum(heights))
    column = picture.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, (name, (values, rows)) in zip(column, panels, strict=True):
        draw_panel(axes, name, values, rows_are=rows)
    column[-1].set_xlabel("step of the sequence")
    column[-1].set_xlim(-0.5, len(batch.x) - 0.5)
    headline = picture.suptitle(title, x=0.01, ha="left", fontsize=style.FONT)
    headline.set_color(style.INK)
    style.save(picture, path)
    return picture


def _tape(task: Task, model: SequenceModel, batch: Batch) -> dict[str, tuple[NDArray[Any], Any]]:
    """Panels by name: values over steps, and what their rows are where that cannot be guessed."""
    one = Batch(*(part[:, :1] for part in batch)).to(next(model.parameters()).device)
    logits, seen = model.watch(one.x, one.start)
    with torch.no_grad():
        heard = model.encoder(one.x)
    scored = one.mask[:, 0, None]
    said = logits.sigmoid() if task.kind == "bits" else logits.softmax(-1)
    target = one.target if task.kind == "bits" else functional.one_hot(one.target, task.out_dim)
    channel = "bit" if task.kind == "bits" else "class"
    panels: dict[str, tuple[NDArray[Any], Any]] = {
        "input": (_numpy(heard[:, 0]), "channel"),
        "target": (_numpy(torch.where(scored, target[:, 0], math.nan)), channel),
        "output": (_numpy(torch.where(scored, said[:, 0], math.nan)), channel),
    }
    names = [name for name in seen[0] if "weights" in name] or list(seen[0])
    for name in sorted(names, key=lambda name: "write" not in name):
        values = torch.stack([step[name][0] for step in seen])
        panels[name] = (_numpy(values), None)
    return panels


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return values.detach().cpu().double().numpy()
