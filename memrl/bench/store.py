"""A dictionary of NEC that is split over ranks, beside the same one in one process."""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn

from memrl.config.models import Count
from memrl.memory.stores.dnd import Dictionaries, largest
from memrl.memory.stores.share import Share

BLOCK = 2**16  # keys that are drawn at a time


class _Task(NamedTuple):
    """What every rank does."""

    keys: int
    key_dim: int
    queries: int
    neighbours: int
    repeats: int


def bench_store(
    keys: Count = 1_000_000,
    key_dim: Count = 64,
    queries: Count = 256,
    neighbours: Count = 50,
    ranks: Annotated[int, Ge(2)] = 2,
    repeats: Count = 5,
) -> dict[str, Any]:
    """Time the look-up of a batch of queries, of which each rank asks an equal part.

    Every rank is a process with one thread. Keys and queries are normally distributed.

    Args:
        keys: N.
        key_dim: W.
        queries: in a batch, of all ranks.
        neighbours: p.
        ranks: processes that share the store.
        repeats: batches; the median counts.

    Returns:
        A row for ``1`` process and one for as many as ``ranks``: ``seconds`` of a batch,
        ``received_bytes`` of a batch and ``stored_bytes`` (the largest of all ranks), and ``equal``
        (the share of the neighbours that one process finds, at the same place).

    Raises:
        ValueError: there are fewer keys than neighbours, or queries do not divide into ranks.
    """
    if keys < neighbours:
        raise ValueError(f"keys={keys}, allowed: at least neighbours={neighbours}")
    if queries % ranks:
        raise ValueError(f"queries={queries}, allowed: a multiple of ranks={ranks}")
    task = _Task(keys, key_dim, queries, neighbours, repeats)
    one, several = (_measured(task, number) for number in (1, ranks))
    place = torch.cat([row.pop("place") for row in several])
    equal = (place == one[0].pop("place")).float().mean().item()
    return {
        "1": {**one[0], "equal": 1.0},
        str(ranks): {key: max(row[key] for row in several) for key in several[0]}
        | {"equal": equal},
    }


def _measured(task: _Task, ranks: int) -> list[dict[str, Any]]:
    """The rows of all ranks."""
    with TemporaryDirectory() as folder:
        spawn(_measure, (ranks, folder, task), nprocs=ranks)  # type: ignore[no-untyped-call]
        return [torch.load(Path(folder, f"{rank}.pt")) for rank in range(ranks)]


def _measure(rank: int, ranks: int, folder: str, task: _Task) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
    share = Share.of_group()
    store = _filled(share, task)
    queries = _drawn(-1, task.queries, task.key_dim).chunk(ranks)[rank].unsqueeze(0)
    look_up = partial(store.near, queries, task.neighbours)
    near, share.received, seconds = look_up(), 0, []
    for _ in range(task.repeats):
        distributed.barrier()
        begin = time.perf_counter()
        look_up()
        seconds.append(time.perf_counter() - begin)
    row = {
        "seconds": statistics.median(seconds),
        "received_bytes": share.received // task.repeats,
        "stored_bytes": sum(array.nbytes for array in store.entries.arrays().values()),
        "place": near.place[0],
    }
    torch.save(row, Path(folder, f"{rank}.pt"))
    distributed.destroy_process_group()


def _filled(share: Share, task: _Task) -> Dictionaries:
    """A dictionary of all keys, or this rank's share of it."""
    store = Dictionaries(
        1, task.key_dim, capacity=task.keys, rule=largest, tolerance=0.0, share=share
    )
    for block, low in enumerate(range(0, task.keys, BLOCK)):
        which = torch.zeros(min(BLOCK, task.keys - low), dtype=torch.int64)
        slot, _ = store.entries.make_room(which)
        store.entries.enter(which, slot, _drawn(block, len(which), task.key_dim))
    return store


def _drawn(seed: int, count: int, dim: int) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
