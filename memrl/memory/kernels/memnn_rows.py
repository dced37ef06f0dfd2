"""A MemNN's sequence by its kernel, as one autograd operation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.kernels import memnn
from memrl.memory.kernels.rows import Shapes, room
from memrl.memory.kernels.sequence import array_of
from memrl.memory.kernels.threads import divide
from memrl.memory.kernels.writing import EMPTY, RULES, Words
from memrl.memory.kernels.writing import Slots as Entries
from memrl.memory.ops.writing import Slots


class Options(NamedTuple):
    """The rules of a MemNN and their constants."""

    write: str
    read: str
    hops: int
    topk: int
    likeness: float
    usage_decay: float
    keep: float  # 1: memories do not fade
    least: float  # of an importance in a score; 0: it enters none
    donate: bool  # edit the given slots; without gradients


def sequence(
    start: Tensor, slots: Slots, given: tuple[Tensor, ...], onward: Tensor, **options: Any
) -> tuple[Tensor, Slots, Tensor]:
    """The supports of every step [T, B, W], and slots and read weights [B, K, N] after the last.

    ``given`` and ``onward`` are those of ``memnn.Input`` and ``memnn.Shared``, ``options`` those of
    ``Options``.
    """
    found = _Sequence.apply(Options(**options), start, *slots, *given, onward)
    supports, memory, importance, age, usage, filled, looks = found
    return supports, Slots(memory, age, usage, importance, filled), looks


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, options: Options, start: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        memory, age, usage, importance, filled, *inputs, onward = map(array_of, tensors)
        (T, B), (_, N, W), dtype = start.shape, memory.shape, memory.dtype
        books = [leaf if options.donate else leaf.copy() for leaf in (age, usage, filled)]
        ctx.slots = slots = Entries(np.tile(np.arange(N), (B, 1)), *books)
        lengths: Shapes = {"word": (N + T + 1, W), "importance": (N + T + 1,)}
        ctx.words = words = Words(*room(lengths, B, dtype=dtype))
        for each, first in zip(words, (memory, importance), strict=True):
            each[:, :N], each[:, EMPTY] = first, 0
        last = memnn.Last(memory, importance)
        if not options.donate:
            last = memnn.Last(*map(np.empty_like, last))
        ctx.kept = kept = memnn.Kept(*room(_kept(options.hops, N, W), T, B, dtype=dtype))
        ctx.sizes = _sizes(options, N, dtype)
        powers = np.power(options.keep, np.arange(T + 1)).astype(dtype)
        ctx.shared = memnn.Shared(onward, powers)
        looks, supports = np.empty((B, options.hops, N), dtype), np.empty((T, B, W), dtype)
        given = array_of(start), memnn.Input(*inputs), ctx.shared
        places = slots, words, kept, looks, supports, last
        divide(memnn.sequence, B, 1, ctx.sizes, *given, *places)
        statistics = [*map(torch.from_numpy, (*books, looks))]
        ctx.mark_non_differentiable(*statistics)
        return *map(torch.from_numpy, (supports, *last)), *statistics

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, d_supports: Tensor, d_memory: Tensor, d_importance: Tensor, *_books: Any
    ) -> tuple[Tensor | None, ...]:
        kept, words = ctx.kept, ctx.words
        (T, B, K, W), N = kept.supports.shape, kept.when.shape[-1]
        d = Words(*map(np.zeros_like, words))
        widths: Shapes = {"word": (W,), "importance": (), "asked": (K, W + 1)}
        flow = memnn.Input(*room(widths, T, B, dtype=d.word.dtype))
        scratch = memnn.Room(*room({"supports": (W,), "scores": (N,)}, B, dtype=d.word.dtype))
        shared = ctx.shared._replace(onward=np.ascontiguousarray(ctx.shared.onward.T))
        found = shared, ctx.slots, words, kept, scratch
        given = array_of(d_supports), memnn.Last(array_of(d_memory), array_of(d_importance))
        divide(memnn.sequence_reverse, B, 1, ctx.sizes, *found, *given, flow, d)
        d_word, d_new, d_asks, d_listed, d_protection = map(torch.from_numpy, (*flow, *d))
        supports = torch.from_numpy(kept.supports).flatten(0, 2)
        d_onward = supports.t() @ d_asks.flatten(0, 2)
        d_slots = d_listed[:, :N], None, None, d_protection[:, :N], None
        return None, None, *d_slots, d_word, d_new, d_asks.sum(2), d_onward


def _kept(hops: int, N: int, W: int) -> Shapes:
    """Shapes of ``memnn.Kept`` for one row."""
    widths = {"asks": (hops, W + 1), "supports": (hops, W), "weights": (hops, N)}
    return {"entry": (N,), "when": (N,), **widths, "slot": (), "gate": ()}


def _sizes(options: Options, N: int, dtype: np.dtype[Any]) -> memnn.Sizes:
    constants = 0, 0.5, 1, options.least, options.likeness, options.usage_decay
    best = {"soft": N, "topk": options.topk, "hard": 1}[options.read]
    rules = RULES.index(options.write), best, options.read == "hard"
    return memnn.Sizes(*rules, *map(dtype.type, constants))
