"""Approximate nearest neighbours: lists of near words, of which a query searches a few."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from memrl.errors import install_command
from memrl.memory.stores.search import Metric, Neighbours

Kind: TypeAlias = Literal["ivf", "lsh"]

POINTS = 64  # words for each list when an index is built (faiss advises 39 to 256)
PROBES: Final[Mapping[Kind, int]] = MappingProxyType({"ivf": 8, "lsh": 32})  # lists of a query


def import_faiss() -> Any:
    """The faiss library.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise ValueError(f"an approximate index needs faiss: {install_command('index')}") from None
    return faiss


@final
class Index:
    """An inverted-file index of one row of words; a query searches only the lists nearest to it.

    ``ivf`` makes a list for each of the centres that k-means finds. ``lsh`` hashes words by the
    sides on which they lie of b random hyperplanes, each through the median of the words, and makes
    a list for each of the 2^b codes; a query searches those that differ from its own at the planes
    that are nearest to it (multi-probe LSH: Lv et al. 2007).

    It is rebuilt after as many insertions as it held words at the last build: every N insertions in
    a full memory of N words (SAM's rule), at each doubling in a growing one.

    Args:
        capacity: number of slots; a slot is in 0 … capacity − 1.
        word_dim: W.
        metric: as in ``search.nearest``.
        kind: how the lists are made.
        probes: lists that a query searches; if all, the search is exact. None: see ``PROBES``.

    Raises:
        ValueError: faiss is not installed.
    """

    def __init__(
        self,
        capacity: int,
        word_dim: int,
        *,
        metric: Metric = "cosine",
        kind: Kind = "ivf",
        probes: int | None = None,
    ) -> None:
        self._faiss = import_faiss()
        self.word_dim, self.metric, self.kind = word_dim, metric, kind
        self.probes = PROBES[kind] if probes is None else probes
        self._held = np.zeros(capacity, dtype=np.bool_)
        self._lists: Any = None
        self._left = 0  # insertions until the next build

    def __len__(self) -> int:
        return 0 if self._lists is None else int(self._lists.ntotal)

    def put(self, slots: Int[Tensor, " n"], words: Float[Tensor, "n W"]) -> None:
        """Insert or replace the words of slots; of a repeated slot the last word counts."""
        vectors = self._vectors(words)
        reverse, last = np.unique(slots.cpu().numpy()[::-1], return_index=True)
        keys, vectors = reverse.astype(np.int64), vectors[::-1][last]
        if self._lists is None or len(keys) > self._left:
            self._build(keys, vectors)
            return
        old = self._held[keys]
        if old.any():
            self._lists.update_vectors(keys[old], vectors[old])
        if not old.all():
            self._lists.add_with_ids(vectors[~old], keys[~old])
            self._held[keys] = True
        self._left -= len(keys)

    def search(
        self, queries: Float[Tensor, "Q W"], k: int
    ) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
        """Scores and slots of the k nearest words found; slot −1 where there are fewer."""
        if self._lists is None:
            none = queries.new_full((len(queries), k), -math.inf)
            return none, torch.full_like(none, -1, dtype=torch.long)
        found, slots = self._lists.search(self._vectors(queries), k)
        score = torch.from_numpy(-found if self.metric == "l2" else found)
        return score.to(queries), torch.from_numpy(slots).to(queries.device)

    def _vectors(self, words: Tensor) -> NDArray[np.float32]:
        """Vectors for faiss: unit length for the cosine metric; NaN, which it drops, becomes 0."""
        vectors = words.detach().float().nan_to_num()
        if self.metric == "cosine":
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return np.ascontiguousarray(vectors.cpu().numpy())

    def _build(self, keys: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Rebuild the lists from all stored words and the new ones."""
        self._held[keys] = False
        others = np.flatnonzero(self._held)
        if len(others):
            vectors = np.concatenate([self._lists.reconstruct_batch(others), vectors])
            keys = np.concatenate([others, keys])
        self._held[keys] = True
        faiss, count = self._faiss, max(1, min(math.isqrt(len(keys)), len(keys) // POINTS))
        flat, metric = faiss.IndexFlatIP, faiss.METRIC_INNER_PRODUCT
        if self.metric == "l2":
            flat, metric = faiss.IndexFlatL2, faiss.METRIC_L2
        if self.kind == "lsh" and count > 1:
            codes = _codes(faiss, vectors, bits=count.bit_length() - 1)
            lists = faiss.IndexIVFFlat(codes, self.word_dim, codes.ntotal, metric)
        else:
            lists = faiss.IndexIVFFlat(flat(self.word_dim), self.word_dim, count, metric)
        lists.cp.min_points_per_centroid, lists.cp.max_points_per_centroid = 1, POINTS
        lists.nprobe = min(self.probes, lists.nlist)
        lists.set_direct_map_type(faiss.DirectMap.Hashtable)
        lists.train(vectors)  # k-means; an index of codes is complete
        lists.add_with_ids(vectors, keys)
        self._lists, self._left = lists, len(keys)


def _codes(faiss: Any, vectors: NDArray[np.float32], *, bits: int) -> Any:
    """An index of all codes of b bits, nearest first.

    A vector x becomes its signed distances p from b hyperplanes. Its code is the corner of
    {−1, 1}^b with the largest product with p; the next ones differ where |p| is small.
    """
    dim = vectors.shape[1]
    planes = np.random.default_rng(0).standard_normal((bits, dim)).astype(np.float32)
    planes /= np.linalg.norm(planes, axis=1, keepdims=True)
    distances = faiss.LinearTransform(dim, bits, True)
    faiss.copy_array_to_vector(planes.ravel(), distances.A)
    faiss.copy_array_to_vector(-np.median(vectors @ planes.T, axis=0), distances.b)
    distances.is_trained = True
    corners = faiss.IndexFlatIP(bits)
    corners.add((np.arange(2**bits)[:, None] >> np.arange(bits) & 1).astype(np.float32) * 2 - 1)
    return faiss.IndexPreTransform(distances, corners)


@final
class Indexes:
    """An index for each row of a batch."""

    def __init__(
        self,
        rows: int,
        capacity: int,
        word_dim: int,
        *,
        metric: Metric = "cosine",
        kind: Kind = "ivf",
    ) -> None:
        self._new = partial(Index, capacity, word_dim, metric=metric, kind=kind)
        self._rows = [self._new() for _ in range(rows)]

    def fill(self, words: Float[Tensor, "B N W"], count: Int[Tensor, " B"]) -> None:
        """Put the first ``count[b]`` words of every row."""
        for index, row, held in zip(self._rows, words.unbind(), count.tolist(), strict=True):
            if held:
                index.put(torch.arange(held), row[:held])

    def forget(self, rows: list[bool]) -> None:
        """Empty the indexes of these rows."""
        self._rows = [
            self._new() if gone else index for index, gone in zip(self._rows, rows, strict=True)
        ]

    def put(self, slots: Int[Tensor, "B A"], words: Float[Tensor, "B A W"]) -> None:
        """Insert or replace words, the same number in every row."""
        for index, where, what in zip(self._rows, slots.unbind(), words.unbind(), strict=True):
            index.put(where, what)

    def put_each(
        self, row: Int[Tensor, " n"], slots: Int[Tensor, " n"], words: Float[Tensor, "n W"]
    ) -> None:
        """Insert or replace words, each in the index of its own row."""
        for number, index in enumerate(self._rows):
            here = row == number
            if here.any():
                index.put(slots[here], words[here])

    def nearest(self, queries: Float[Tensor, "B Q W"], k: int) -> Neighbours:
        """Like ``search.nearest``, but may miss near words in lists that it does not search."""
        found = [
            index.search(asked, k)
            for index, asked in zip(self._rows, queries.unbind(), strict=True)
        ]
        score, slot = (torch.stack(part) for part in zip(*found, strict=True))
        return Neighbours(score, slot.clamp(min=0), slot >= 0)
