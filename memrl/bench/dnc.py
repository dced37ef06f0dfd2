"""The DNC beside the ``dnc`` package from PyPI, with the same sizes in the same process."""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch

from memrl.config.models import Count
from memrl.memory import DNC

PACKAGE = "dnc"


def bench_dnc(
    steps: Count = 64,
    rows: Count = 16,
    slots: Count = 32,
    word_dim: Count = 16,
    read_heads: Count = 2,
    hidden_dim: Count = 128,
    in_dim: Count = 64,
    windows: Count = 15,
    compile: bool = True,
    *,
    show: Callable[[list[int]], Iterable[int]] = iter,
) -> dict[str, dict[str, Any]]:
    """Milliseconds of a sequence forward and backward; medians of alternating turns.

    Both have one LSTM layer as the controller and start from an empty memory. The package computes
    less: its controller receives the initial read vectors at every step of a sequence, so that a
    layer processes all steps at once.

    Args:
        steps: T, steps of a sequence.
        rows: B, sequences in a batch.
        slots: N, rows of the memory.
        word_dim: W, width of a row.
        read_heads: R.
        hidden_dim: width of the controller.
        in_dim: width of the input.
        windows: turns of each, after a first turn that warms up (and compiles).
        compile: also measure memrl's compiled step.
        show: wraps the turns, to display progress.

    Returns:
        A row each for the package, ``eager`` and ``compiled``: ``ms`` of both passes,
        ``forward_ms`` of the first, and ``speedup`` over the package.

    Raises:
        ValueError: the package is not installed, or there is no compiler.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise ValueError("the package dnc is not installed: pip install --no-deps dnc")
    sizes: dict[str, Any] = {"slots": slots, "word_dim": word_dim, "read_heads": read_heads}
    runs = {
        PACKAGE: _package(steps, rows, in_dim, hidden_dim, **sizes),
        "eager": _ours(steps, rows, DNC(in_dim, hidden_dim=hidden_dim, **sizes)),
    }
    if compile:
        core = DNC(in_dim, hidden_dim=hidden_dim, **sizes)
        core.compile_update()
        runs["compiled"] = _ours(steps, rows, core)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in show(list(range(windows + 1))):
        for name, run in runs.items():
            seconds = run()
            if turn:
                times[name].append(seconds)
    medians = {
        name: [statistics.median(c) for c in zip(*all_, strict=True)]
        for name, all_ in times.items()
    }
    return {
        name: {
            "ms": 1e3 * both,
            "forward_ms": 1e3 * forward,
            "speedup": medians[PACKAGE][0] / both,
        }
        for name, (both, forward) in medians.items()
    }


def _timed(forward: Callable[[], torch.Tensor], module: torch.nn.Module) -> tuple[float, float]:
    """Seconds of both passes, and of the first."""
    begin = time.perf_counter()
    loss = forward().square().mean()
    middle = time.perf_counter()
    loss.backward()  # type: ignore[no-untyped-call]
    end = time.perf_counter()
    module.zero_grad()
    return end - begin, middle - begin


def _ours(steps: int, rows: int, core: DNC) -> Callable[[], tuple[float, float]]:
    x = torch.randn(steps, rows, core.in_dim)
    start = torch.zeros(steps, rows, dtype=torch.bool)
    return lambda: _timed(lambda: core(x, core.initial_state(rows), start).y, core)


def _package(
    steps: int,
    rows: int,
    in_dim: int,
    hidden_dim: int,
    *,
    slots: int,
    word_dim: int,
    read_heads: int,
) -> Callable[[], tuple[float, float]]:
    module = importlib.import_module(PACKAGE).DNC(
        in_dim,
        hidden_dim,
        num_hidden_layers=1,
        nr_cells=slots,
        read_heads=read_heads,
        cell_size=word_dim,
        batch_first=True,
        gpu_id=-1,
    )
    x = torch.randn(rows, steps, in_dim)
    return lambda: _timed(lambda: module(x, (None, None, None), reset_experience=True)[0], module)
