"""Which panels a run's page has: chosen by the names and shapes of what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from memrl.inspector.attention import ATTENTION
from memrl.inspector.model import Episode, Kind, Panel
from memrl.inspector.order import alike, explained_by_cue
from memrl.plots.memory import counted, plain_name

SEEN, DECIDED, HELD = "Seen", "Decision", "Memory"
SOURCES: Final = "sources"
_PICTURES: Final = {"frame": "environment", "view": "what the agent sees"}
_TITLES: Final = {
    "probabilities": "action probabilities",
    "action_values": "action values",
    "surprise": "surprise: r + γ V′ − V",
    ATTENTION: "attention over the past",
    "link": "links: row written right after column",
    "neighbour_values": "values of the nearest keys",
    "neighbour_distances": "distances of the nearest keys",
    SOURCES: "where reads come from",
}
_DECIDED: Final = ("probabilities", "action_values", "value", "reward", "bonus", "surprise")
_PER_ACTION: Final = ("probabilities", "action_values", "neighbour_values", "neighbour_distances")
_FEW: Final = 12  # entries that are bars with names
_MOST_SHOWN: Final = 0.99  # quantile of what is stored at which its colours end


def choose_panels(
    episodes: Sequence[Episode], *, actions: Sequence[str] = (), seen: Sequence[str] = ()
) -> list[Panel]:
    """The panels for the episodes of one run, in the order of the page.

    Args:
        episodes: all of one agent, so that they have the same arrays.
        actions: names of the actions; empty where they have none.
        seen: the arrays that are parts of observations.
    """
    arrays = dict.fromkeys(name for episode in episodes for name in episode.arrays)
    panels = [
        Panel("picture", name, title, SEEN)
        for name, title in _PICTURES.items()
        if name in episodes[0].pictures
    ]
    panels += [_panel(episodes, name, SEEN, ()) for name in seen if name in arrays]
    panels += [_panel(episodes, name, DECIDED, actions) for name in _DECIDED if name in arrays]
    done = {panel.array for panel in panels}
    for name in sorted(arrays, key=lambda name: name != SOURCES):
        if name not in done:
            panels += _memory_panels(episodes, name, actions)
    return panels


def _memory_panels(
    episodes: Sequence[Episode], name: str, actions: Sequence[str]
) -> Iterator[Panel]:
    panel = _panel(episodes, name, HELD, actions)
    if name == SOURCES:
        (method,) = {each.sources_method for each in episodes if name in each.arrays}
        panel = panel._replace(note=method)
    yield panel
    shape = next(each.arrays[name] for each in episodes if name in each.arrays).shape
    if name.rpartition(".")[2] == "link" and len(shape) == 3 and shape[1] == shape[2]:
        title = plain_name(name) + " as a graph"
        yield panel._replace(kind="graph", title=title)


def _panel(episodes: Sequence[Episode], name: str, group: str, actions: Sequence[str]) -> Panel:
    all_values = [episode.arrays[name] for episode in episodes if name in episode.arrays]
    kind, last = _kind(name, all_values[0]), name.rpartition(".")[2]
    low, high = _range(name, all_values)
    per_action = last in _PER_ACTION
    rows = "action" if per_action else _counted(last, kind)
    order = alike(all_values) if kind == "map" and rows == "unit" else []
    cue = explained_by_cue(episodes, name) if order else None
    title = _TITLES.get(last, plain_name(last))
    return Panel(
        kind,
        name,
        "".join(f"layer {part} · " for part in name.split(".")[:-1]) + title,
        group,
        low=low,
        high=high,
        rows=rows,
        names=tuple(actions) if per_action else (),
        order=order,
        by_cue=cue.order if cue else (),
        of_cue=cue.shares.round(4).tolist() if cue else (),
        chance=round(cue.chance, 4) if cue else 0.0,
    )


def _kind(name: str, values: NDArray[Any]) -> Kind:
    if name == SOURCES:
        return "sources"
    if values.ndim == 1 or values[0].size == 1:
        return "line"
    if values.ndim == 2:
        return "bars" if name in _PER_ACTION and values.shape[1] <= _FEW else "map"
    return "map" if "weights" in name or ATTENTION in name else "matrix"


def _counted(name: str, kind: Kind) -> str:
    if name == ATTENTION:
        return "steps ago:"
    return "slot" if kind in ("matrix", "graph") else counted(name)


def _range(name: str, values: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """From zero, or symmetric about it where there are negative numbers; shares end at 1."""
    known = [each[np.isfinite(each)] for each in values]
    low = min(float(each.min(initial=0.0)) for each in known)
    high = max(float(each.max(initial=0.0)) for each in known)
    if name == "probabilities":
        return 0.0, 1.0
    largest = max(-low, high)
    if values[0].ndim > 2 and "weights" not in name:  # a few that stick out would pale the rest
        spread = np.concatenate([np.abs(each).ravel() for each in known])
        largest = float(np.quantile(spread[spread > 0], _MOST_SHOWN)) if largest else 0.0
    largest = largest or 1.0
    return (-largest if low < 0 else 0.0), largest
