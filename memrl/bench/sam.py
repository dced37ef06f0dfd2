"""SAM beside a dense NTM: time and memory of learning by the number of slots."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any, cast

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from memrl.bench.allocations import peak_bytes
from memrl.config.models import Count
from memrl.errors import nearest
from memrl.memory import NTM, SAM
from memrl.memory import state as states
from memrl.memory.core import MemoryCore
from memrl.memory.ops.recency import block_shape
from memrl.memory.stores.dnd import Find
from memrl.memory.stores.index import PROBES, import_faiss

IN_DIM = 32  # width of the input
MEMORIES = ("ntm", "exact", "ivf", "lsh")
PAPER = (
    "The paper (Rae et al. 2016) reports 1,600 times less time at a million words and 3,700 times "
    "less memory at 65,536, on its own machine and code"
)


def bench_sam(
    slots: str | int = "1024,4096,16384,65536,262144,1048576",
    lengths: str | int = "10,100",
    memories: str = "ntm,exact,ivf",
    batch: Count = 8,
    word_dim: Count = 32,
    heads: Count = 4,
    neighbours: Count = 4,
    hidden_dim: Count = 100,
    repeats: Count = 3,
    limit_gb: Annotated[float, Gt(0)] = 4.0,
    dense_batch: Annotated[int, Ge(0)] = 0,
) -> dict[str, Any]:
    """Time one sequence forward and backward from a full memory; medians of some repeats.

    Overhead is the peak of allocated bytes beyond the input and output states. An index also stores
    a copy of the words, which is built before the measurement.

    Args:
        slots: N, separated by commas.
        lengths: T, steps of a sequence, separated by commas.
        memories: ntm (dense), exact, ivf and lsh (SAM), separated by commas.
        batch: sequences in a batch.
        word_dim: W.
        heads: R, each of which reads and writes.
        neighbours: K of SAM.
        hidden_dim: width of the controllers.
        repeats: timed sequences, after a first one that warms up.
        limit_gb: a dense memory that would need more, extrapolated from the size before, is
            skipped.
        dense_batch: batch size of the dense memory, if ``batch`` would not fit; its time and bytes
            are scaled to ``batch``. 0: the same as ``batch``.

    Returns:
        A row for each memory, N and T: ``seconds``, ``overhead_bytes``, ``state_bytes``,
        ``build_seconds`` (of the index), ``time_ratio`` and ``memory_ratio`` (the dense memory's
        time and overhead at the same T, divided by this row's; ``extrapolated`` is True if the
        dense memory was measured at a smaller N only and scaled in proportion to N), and
        ``per_step_bytes``, the overhead of one more step, from the shortest to the longest T.

    Raises:
        ValueError: a memory is unknown, a size is not a whole number from 1, or faiss is missing.
    """
    rows: dict[str, Any] = {}
    sizes, steps = _numbers(slots, "slots"), _numbers(lengths, "lengths")
    chosen = memories.split(",")
    for memory in chosen:
        if memory not in MEMORIES:
            hint, known = nearest(memory, MEMORIES), ", ".join(MEMORIES)
            raise ValueError(f"unknown memory {memory!r} to measure{hint} (known: {known})")
    if any(memory in PROBES for memory in chosen):
        import_faiss()  # fails before the other memories are measured
    for memory in chosen:
        rows_used = dense_batch if memory == "ntm" and dense_batch else batch
        for length in steps:
            bytes_a_slot = 0.0
            for size in sizes:
                make = _maker(memory, size, word_dim, heads, neighbours, hidden_dim)
                if memory == "ntm" and bytes_a_slot * size > limit_gb * 1e9:
                    rows[f"{memory} {size} {length}"] = {**_key(memory, size, length)}
                    continue
                row = _measure(make, memory, length, rows_used, repeats)
                bytes_a_slot = (row["overhead_bytes"] + 2 * row["state_bytes"]) / size
                scaled = {
                    name: row[name] * batch / rows_used for name in ("seconds", "overhead_bytes")
                }
                rows[f"{memory} {size} {length}"] = {**_key(memory, size, length), **row, **scaled}
    _compare(rows, steps)
    return rows


def _numbers(text: str | int, key: str) -> list[int]:
    """Numbers separated by commas, smallest first."""
    words = str(text).split(",")
    if not all(word.isascii() and word.isdigit() and int(word) for word in words):
        raise ValueError(f"{key}={text}, allowed: whole numbers from 1, as in 10,100")
    return sorted(int(word) for word in words)


def _key(memory: str, size: int, length: int) -> dict[str, Any]:
    return {"memory": memory, "slots": size, "steps": length, "seconds": None}


def _maker(
    memory: str, size: int, word_dim: int, heads: int, neighbours: int, hidden_dim: int
) -> Callable[[], MemoryCore[Any]]:
    if memory == "ntm":
        return lambda: NTM(
            IN_DIM,
            slots=size,
            word_dim=word_dim,
            read_heads=heads,
            write_heads=heads,
            hidden_dim=hidden_dim,
        )
    return lambda: SAM(
        IN_DIM,
        slots=size,
        word_dim=word_dim,
        read_heads=heads,
        neighbours=neighbours,
        search=cast(Find, memory),
        hidden_dim=hidden_dim,
    )


def _measure(
    make: Callable[[], MemoryCore[Any]], memory: str, length: int, rows: int, repeats: int
) -> dict[str, Any]:
    torch.manual_seed(0)
    core = make()
    state = _full(core, memory, rows)
    x = torch.randn(length, rows, IN_DIM)
    start = torch.zeros(length, rows, dtype=torch.bool)

    def learn(given: Any) -> Any:
        core.zero_grad()
        unrolled = core(x, given, start)
        unrolled.y.square().mean().backward()
        return states.detach(unrolled.state)

    begin = time.perf_counter()
    state = learn(state)  # warms up, and builds the index
    first = time.perf_counter() - begin
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        state = learn(state)
        seconds.append(time.perf_counter() - begin)
    returned = states.nbytes(state)
    row = {
        "seconds": statistics.median(seconds),
        "state_bytes": returned,
        "overhead_bytes": peak_bytes(lambda: learn(state)) - returned,
    }
    if memory in PROBES:
        row["build_seconds"] = first - row["seconds"]
    return row


def _full(core: MemoryCore[Any], memory: str, rows: int) -> Any:
    """A state in which every word was written, each at a different step."""
    state = states.detach(core.initial_state(rows))
    state = state._replace(memory=torch.randn_like(state.memory))
    if memory == "ntm":
        return state
    size = state.memory.shape[1]
    last = torch.stack([torch.randperm(size) for _ in range(rows)])
    blocks, width = block_shape(size)
    latest = torch.iinfo(torch.long).max
    padded = torch.nn.functional.pad(last, (0, blocks * width - size), value=latest)
    all_slots: Tensor = torch.full((rows,), size)
    return state._replace(
        last_access=last,
        oldest=padded.view(rows, blocks, width).amin(dim=-1),
        clock=all_slots,
        used=all_slots.clone(),
        written=all_slots.clone(),
    )


def _compare(rows: dict[str, Any], steps: list[int]) -> None:
    """Add ratios to the dense memory and ``per_step_bytes`` to the rows."""
    for row in rows.values():
        if row["seconds"] is None:
            continue
        dense = [
            other
            for other in rows.values()
            if (other["memory"], other["steps"]) == ("ntm", row["steps"])
            and other["seconds"] is not None
            and other["slots"] <= row["slots"]
        ]
        if row["memory"] != "ntm" and dense:
            near = max(dense, key=lambda other: other["slots"])
            larger = row["slots"] / near["slots"]
            row["extrapolated"] = larger > 1
            row["time_ratio"] = larger * near["seconds"] / row["seconds"]
            row["memory_ratio"] = larger * near["overhead_bytes"] / row["overhead_bytes"]
        shorter = rows.get(f"{row['memory']} {row['slots']} {steps[0]}")
        if row["steps"] == steps[-1] > steps[0] and shorter is not None:
            more = row["overhead_bytes"] - shorter["overhead_bytes"]
            row["per_step_bytes"] = more / (steps[-1] - steps[0])
