"""The speed of every memory compared with the LSTM: env steps per second, learning and acting."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memrl.config.models import Count
from memrl.memory import registry
from memrl.memory.core import MemoryCore
from memrl.memory.state import nbytes

BASELINE = "lstm"


class Batch(NamedTuple):
    """The input of every memory."""

    x: Tensor  # [T, B, I]
    start: Tensor  # [T, B]  True at the first step of an episode


def bench_cores(
    memories: str = "",
    steps: Count = 64,
    rows: Count = 64,
    in_dim: Count = 128,
    episode_steps: Count = 32,
    windows: Count = 7,
    compile: bool = False,
    device: str = "cpu",
    *,
    show: Callable[[list[int]], Iterable[int]] = iter,
) -> dict[str, dict[str, Any]]:
    """Time forward and backward of a sequence, and single steps, with every memory's defaults.

    The memories take turns, so that other load on the machine affects all alike. Results are
    medians over the turns, after a first turn that warms up (and compiles).

    Args:
        memories: separated by commas; all by default. The LSTM is always included.
        steps: T, env steps of a sequence.
        rows: B, sequences in a batch, and environments when acting.
        in_dim: width of the input.
        episode_steps: mean length of the episodes inside the sequences.
        windows: turns of each memory.
        compile: compile the updates of memories that loop over steps.
        device: such as cpu or cuda.
        show: wraps the turns, to display progress.

    Returns:
        By memory, fastest learner first: ``learn_steps_per_s``, ``act_steps_per_s`` (env steps),
        the same over the LSTM's as ``learn_ratio`` and ``act_ratio``, ``parameters``,
        ``state_bytes`` of one environment, and ``compiled``.

    Raises:
        ValueError: a memory is unknown, or there is no compiler.
    """
    names = sorted({BASELINE, *(memories.split(",") if memories else registry.names())})
    batch = _batch(steps, rows, in_dim, episode_steps, device)
    cores = {name: _core(name, in_dim, compile, device) for name in names}
    tasks = {
        name: (partial(_learn, core, batch), partial(_act, core, batch))
        for name, core in cores.items()
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for turn in show(list(range(windows + 1))):
        for name, (learn, act) in tasks.items():
            elapsed = _seconds(learn, device), _seconds(act, device)
            if turn:
                seconds[name].append(elapsed)
    results = {name: _row(cores[name], batch, seconds[name]) for name in names}
    lstm = results[BASELINE]
    for row in results.values():
        for verb in ("learn", "act"):
            row[f"{verb}_ratio"] = row[f"{verb}_steps_per_s"] / lstm[f"{verb}_steps_per_s"]
    return dict(sorted(results.items(), key=lambda item: -item[1]["learn_steps_per_s"]))


def _batch(steps: int, rows: int, in_dim: int, episode_steps: int, device: str) -> Batch:
    random = torch.Generator().manual_seed(0)
    start = torch.rand(steps, rows, generator=random) < 1 / episode_steps
    start[0] = True
    return Batch(torch.randn(steps, rows, in_dim, generator=random).to(device), start.to(device))


def _core(name: str, in_dim: int, compile: bool, device: str) -> MemoryCore[Any]:
    torch.manual_seed(0)
    core = registry.build(name, in_dim).to(device)
    if compile and core.loops:
        core.compile_update()
    return core


def _learn(core: MemoryCore[Any], batch: Batch) -> None:
    out = core(batch.x, core.initial_state(batch.x.shape[1]), batch.start)
    loss = out.y.square().mean()
    if out.cost is not None:
        loss = loss + out.cost.mean()
    loss.backward()
    core.zero_grad()


@torch.no_grad()
def _act(core: MemoryCore[Any], batch: Batch) -> None:
    state = core.initial_state(batch.x.shape[1])
    for x, start in zip(batch.x.unbind(), batch.start.unbind(), strict=True):
        _, state = core.step(x, state, start, donate=True)


def _seconds(work: Callable[[], None], device: str) -> float:
    begin = time.perf_counter()
    work()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def _row(core: MemoryCore[Any], batch: Batch, seconds: list[tuple[float, float]]) -> dict[str, Any]:
    learn, act = (statistics.median(column) for column in zip(*seconds, strict=True))
    return {
        "learn_steps_per_s": batch.start.numel() / learn,
        "act_steps_per_s": batch.start.numel() / act,
        "parameters": sum(weight.numel() for weight in core.parameters()),
        "state_bytes": nbytes(core.initial_state(1)),
        "compiled": core.compiled,
    }
