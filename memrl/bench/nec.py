"""Nearest-neighbour search in a dictionary of NEC: single queries, a batch, and an index."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from memrl.config.models import Count
from memrl.memory.stores.dnd import BLOCK
from memrl.memory.stores.index import PROBES, Index, import_faiss
from memrl.memory.stores.search import nearest


def bench_nec(
    keys: Count = 500_000,
    key_dim: Count = 64,
    queries: Count = 256,
    neighbours: Count = 50,
    latent: Count = 8,
    probes: Count = PROBES,
    repeats: Count = 5,
    threads: Annotated[int, Ge(1)] | None = None,
) -> dict[str, Any]:
    """Time the search for the p nearest keys of a batch of queries; medians of alternating turns.

    Keys and queries are random points of ``latent`` dimensions after one random rectified layer,
    similar to the embeddings of an environment's observations.

    Args:
        keys: N.
        key_dim: W.
        queries: in a batch.
        neighbours: p.
        latent: intrinsic dimension of the keys; higher is harder for an index.
        probes: lists of the index that a query searches.
        repeats: turns of each method.
        threads: of torch and of the index; unchanged if None.

    Returns:
        A row for ``loop`` (the same exact search, one query at a time), ``batch`` and ``index``:
        ``seconds`` of the whole batch, ``ratio`` (speed relative to the loop, median over turns)
        and ``recall`` (share of the true p nearest keys that were found).

    Raises:
        ValueError: faiss is not installed.
    """
    index = Index(keys, key_dim, metric="l2", probes=probes)
    before = torch.get_num_threads()
    _set_threads(threads or before)
    generator = torch.Generator().manual_seed(0)
    layer = torch.randn(latent, key_dim, generator=generator)
    stored, query = (
        (torch.randn(n, latent, generator=generator) @ layer).relu() for n in (keys, queries)
    )
    index.put(torch.arange(keys), stored)

    def exact(rows: Tensor) -> Tensor:
        return nearest(rows[None], stored[None], neighbours, metric="l2", block=BLOCK).slot[0]

    methods: dict[str, Callable[[], Tensor]] = {
        "loop": lambda: torch.cat([exact(row.unsqueeze(0)) for row in query.unbind()]),
        "batch": lambda: exact(query),
        "index": lambda: index.search(query, neighbours)[1],
    }
    found, seconds = _timed(methods, repeats)
    _set_threads(before)
    truth = found["batch"]
    return {
        name: {
            "seconds": statistics.median(seconds[name]),
            "ratio": statistics.median(
                slow / fast for slow, fast in zip(seconds["loop"], seconds[name], strict=True)
            ),
            "recall": (found[name].unsqueeze(2) == truth.unsqueeze(1)).any(2).float().mean().item(),
        }
        for name in methods
    }


def _timed(
    methods: dict[str, Callable[[], Tensor]], repeats: int
) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """The results of each method, and its seconds in each turn, after a warm-up."""
    found: dict[str, Tensor] = {}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for name in list(methods)[1:]:
        methods[name]()
    for _ in range(repeats):
        for name, method in methods.items():
            begin = time.perf_counter()
            found[name] = method()
            seconds[name].append(time.perf_counter() - begin)
    return found, seconds


def _set_threads(number: int) -> None:
    torch.set_num_threads(number)
    import_faiss().omp_set_num_threads(number)
