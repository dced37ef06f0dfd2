"""Look-ups in a dictionary of NEC: a batch at once, one query after the other, and an index."""

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
    """Medians of turns that alternate: the p nearest of all keys for a batch of queries.

    Keys and queries are features of random points of ``latent`` dimensions behind one random
    rectified layer, as embeddings of what happens in an environment are.

    Args:
        keys: N.
        key_dim: W.
        queries: of the batch.
        neighbours: p.
        latent: dimensions in which keys differ; the more, the harder for an index.
        probes: lists of the index that a query looks into.
        repeats: turns.
        threads: of torch and of the index; as they are if None.

    Returns:
        A row for ``loop`` (the same exact search, a query at a time), ``batch`` and ``index``:
        ``seconds`` of the whole batch, ``ratio`` (how many times faster than the loop, the median
        over turns) and ``recall`` (share of the true p nearest that were found).

    Raises:
        ValueError: faiss is missing.
    """
    index = Index(keys, key_dim, metric="l2", probes=probes)
    before = torch.get_num_threads()
    _set_threads(threads or before)
    generator = torch.Generator().manual_seed(0)
    layer = torch.randn(latent, key_dim, generator=generator)
    held, asked = (
        (torch.randn(n, latent, generator=generator) @ layer).relu() for n in (keys, queries)
    )
    index.put(torch.arange(keys), held)

    def exact(some: Tensor) -> Tensor:
        return nearest(some[None], held[None], neighbours, metric="l2", block=BLOCK).slot[0]

    ways: dict[str, Callable[[], Tensor]] = {
        "loop": lambda: torch.cat([exact(query.unsqueeze(0)) for query in asked.unbind()]),
        "batch": lambda: exact(asked),
        "index": lambda: index.search(asked, neighbours)[1],
    }
    found, seconds = _timed(ways, repeats)
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
        for name in ways
    }


def _timed(
    ways: dict[str, Callable[[], Tensor]], repeats: int
) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """What each way finds, and the seconds of each of its turns, after one of the fast ways."""
    found: dict[str, Tensor] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name in list(ways)[1:]:
        ways[name]()
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - begin)
    return found, seconds


def _set_threads(number: int) -> None:
    torch.set_num_threads(number)
    import_faiss().omp_set_num_threads(number)
