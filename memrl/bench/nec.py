"""Nearest-neighbour search in a dictionary of NEC: single queries, a batch, and indexes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
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
    clusters: Annotated[int, Ge(0)] = 0,
    probes: Count | None = None,
    repeats: Count = 5,
    threads: Annotated[int, Ge(1)] | None = None,
) -> dict[str, Any]:
    """Time the search for the p nearest keys of a batch of queries; medians of alternating turns.

    Keys and queries are random points of ``latent`` dimensions after one random rectified layer,
    similar to the embeddings of an environment's observations. With ``clusters`` C every key and
    query lies near one of C random points of the latent space, at a tenth of their spread.

    Args:
        keys: N.
        key_dim: W.
        queries: in a batch.
        neighbours: p.
        latent: intrinsic dimension of the keys; higher is harder for an index.
        clusters: C; 0: a single normal distribution.
        probes: lists of an index that a query searches; None: its default.
        repeats: turns of each method.
        threads: of torch and of the index; unchanged if None.

    Returns:
        A row for ``loop`` (the same exact search, one query at a time), ``batch``, and every kind
        of index (``ivf``, ``lsh``): ``seconds`` of the whole batch, ``ratio`` (speed relative to
        the loop, median over turns), ``recall`` (share of the true p nearest keys that were found)
        and, of an index, ``build_seconds`` (of all keys).

    Raises:
        ValueError: faiss is not installed.
    """
    indexes = {kind: Index(keys, key_dim, metric="l2", kind=kind, probes=probes) for kind in PROBES}
    before = torch.get_num_threads()
    _set_threads(threads or before)
    generator = torch.Generator().manual_seed(0)
    layer = torch.randn(latent, key_dim, generator=generator)
    centres = torch.randn(clusters, latent, generator=generator)

    def points(count: int) -> Tensor:
        z = torch.randn(count, latent, generator=generator)
        if clusters:
            z = z / 10 + centres[torch.randint(clusters, (count,), generator=generator)]
        return (z @ layer).relu()

    stored, query = points(keys), points(queries)
    built = {
        kind: _seconds(partial(index.put, torch.arange(keys), stored))
        for kind, index in indexes.items()
    }

    def exact(rows: Tensor) -> Tensor:
        return nearest(rows[None], stored[None], neighbours, metric="l2", block=BLOCK).slot[0]

    methods: dict[str, Callable[[], Tensor]] = {
        "loop": lambda: torch.cat([exact(row.unsqueeze(0)) for row in query.unbind()]),
        "batch": lambda: exact(query),
        **{kind: partial(_found, index, query, neighbours) for kind, index in indexes.items()},
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
            **({"build_seconds": built[name]} if name in built else {}),
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


def _found(index: Index, query: Tensor, neighbours: int) -> Tensor:
    return index.search(query, neighbours)[1]


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _set_threads(number: int) -> None:
    torch.set_num_threads(number)
    import_faiss().omp_set_num_threads(number)
