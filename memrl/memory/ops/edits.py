"""A memory that a sequence edits in place, a few words a step, with gradients.

The only large allocation is one copy of the memory. The forward pass stores the words that each
step reads and the one that it erases. The backward pass undoes the edits from the last to the
first. It holds gradients of the accessed words only; ``without_host``, which cannot know their
number, of all words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.ops.host import host_reads


class View(NamedTuple):
    """The gradients of the words that a sequence accessed, in one backward pass."""

    gradient: Tensor  # [U, W]  edited in place
    touched: Tensor  # [U]  the indices of these words in the batch
    places: tuple[Tensor, ...]  # one [B, A] for each access: positions of its words among the U
    whole: Tensor | None  # [B, N, W]  the gradient of the returned memory, if it has one


@final
class Edits:
    """A copy of a memory [B, N, W] that a sequence reads and writes.

    Each read and write passes an empty tensor, its token, to the next one, so that autograd undoes
    them in order. A backward pass begins at the last access that the loss depends on: that one
    receives no gradient for its token.

    Args:
        memory: not modified, unless ``donate``; it gets a gradient only if it requires one.
        donate: edit ``memory`` itself; under ``no_grad`` only.
    """

    def __init__(self, memory: Float[Tensor, "B N W"], *, donate: bool = False) -> None:
        self.words = memory.detach() if donate else memory.detach().clone()
        self._tracked = torch.is_grad_enabled()
        self._counts = host_reads()  # asked here: backward passes may run in another thread
        self._accesses: list[Tensor] = []
        self._view: View | None = None
        self._token = _BEGIN(self, memory) if self._tracked else memory

    def read(self, slots: Int[Tensor, "B A"]) -> Float[Tensor, "B A W"]:
        """The words in ``slots``, as they are now."""
        ids = self._ids(slots)
        if not self._tracked:
            return _gather(self.words, ids)
        rows, self._token = _READ(self, self._note(ids), ids, self._token)
        return rows

    def peek(self, slots: Int[Tensor, "B A"]) -> Float[Tensor, "B A W"]:
        """Like ``read``, without gradient."""
        return _gather(self.words, self._ids(slots))

    def write(
        self,
        slots: Int[Tensor, "B A"],
        add: Float[Tensor, "B A W"],
        keep: Float[Tensor, " B"],
        fresh: Bool[Tensor, " B"],
    ) -> None:
        """Scale the word in the last of ``slots`` by ``keep``, then add ``add`` to all of them.

        Where ``fresh``, that last word counts as zero, whatever the slot holds. If a slot is named
        twice, both are added.
        """
        ids = self._ids(slots)
        if not self._tracked:
            _edit(self.words, ids, add, keep, fresh)
            return
        self._token = _WRITE(self, self._note(ids), ids, fresh, self._token, add, keep)

    def finish(self) -> Float[Tensor, "B N W"]:
        """The memory after the last edit; no edit may follow."""
        if not self._tracked:
            return self.words
        token = self._token
        del self._token  # its graph refers to this object: a cycle that would never be freed
        return _FINISH(self, token)

    def _ids(self, slots: Tensor) -> Tensor:
        rows, size = self.words.shape[:2]
        return slots + size * torch.arange(rows, device=slots.device).unsqueeze(1)

    def _note(self, ids: Tensor) -> int:
        self._accesses.append(ids)
        return len(self._accesses) - 1

    def view(self, token: Tensor | None, whole: Tensor | None = None) -> View:
        """The view of this backward pass; a new one for its first access, which has no token."""
        if token is None or self._view is None:
            every = torch.cat([ids.flatten() for ids in self._accesses])
            rows, size, width = self.words.shape
            if self._counts:
                touched, place = torch.unique(every, return_inverse=True)
            else:
                touched, place = torch.arange(rows * size, device=every.device), every
            gradient = self.words.new_zeros(len(touched), width)
            if whole is not None:
                gradient = whole.reshape(-1, width).index_select(0, touched)
            sizes = [ids.numel() for ids in self._accesses]
            parts = zip(place.split(sizes), self._accesses, strict=True)
            places = tuple(part.view(ids.shape) for part, ids in parts)
            self._view = View(gradient, touched, places, whole)
        return self._view

    def close(self) -> View | None:
        """End the backward pass; returns its view."""
        view, self._view = self._view, None
        return view


def _gather(words: Tensor, ids: Tensor) -> Tensor:
    return words.view(-1, words.shape[-1]).index_select(0, ids.flatten()).view(*ids.shape, -1)


def _edit(words: Tensor, ids: Tensor, add: Tensor, keep: Tensor, fresh: Tensor) -> Tensor:
    """Edit ``words`` in place; returns the scaled words before the edit [B, W]."""
    flat, last = words.view(-1, words.shape[-1]), ids[:, -1]
    old = flat.index_select(0, last)
    zero = torch.zeros_like(old)
    flat.index_copy_(0, last, torch.where(fresh.unsqueeze(1), zero, old * keep.unsqueeze(1)))
    flat.index_add_(0, ids.flatten(), add.flatten(0, 1))
    return old


class _Begin(torch.autograd.Function):
    """From the original memory to the first token."""

    @staticmethod
    def forward(ctx: Any, edits: Edits, memory: Tensor) -> Tensor:
        ctx.edits, ctx.shape = edits, memory.shape
        ctx.set_materialize_grads(False)
        return memory.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, token: Tensor | None) -> tuple[None, Tensor | None]:
        view = None if token is None else ctx.edits.close()
        if view is None:
            return None, None
        gradient = view.gradient.new_zeros(ctx.shape) if view.whole is None else view.whole.clone()
        flat = gradient.view(-1, gradient.shape[-1])
        flat.index_copy_(0, view.touched, view.gradient)
        return None, gradient


class _Read(torch.autograd.Function):
    """Read words."""

    @staticmethod
    def forward(
        ctx: Any, edits: Edits, number: int, ids: Tensor, token: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.edits, ctx.number = edits, number
        ctx.set_materialize_grads(False)
        return _gather(edits.words, ids), token.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, rows: Tensor | None, token: Tensor | None
    ) -> tuple[None, None, None, Tensor]:
        view = ctx.edits.view(token)
        if rows is not None:
            place = view.places[ctx.number].flatten()
            view.gradient.index_add_(0, place, rows.flatten(0, 1))
        return None, None, None, view.gradient.new_empty(0)


class _Write(torch.autograd.Function):
    """Scale one word, then add to some."""

    @staticmethod
    def forward(
        ctx: Any,
        edits: Edits,
        number: int,
        ids: Tensor,
        fresh: Tensor,
        token: Tensor,
        add: Tensor,
        keep: Tensor,
    ) -> Tensor:
        ctx.edits, ctx.number = edits, number
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(_edit(edits.words, ids, add, keep, fresh), keep, fresh)
        return token.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, token: Tensor | None
    ) -> tuple[None, None, None, None, Tensor, Tensor, Tensor]:
        view = ctx.edits.view(token)
        old, keep, fresh = ctx.saved_tensors
        place = view.places[ctx.number]
        added = _gather(view.gradient, place)  # the gradient of ``add`` is that of the words
        last, word = place[:, -1], added[:, -1]
        zero = torch.zeros_like(word)
        kept = torch.where(fresh.unsqueeze(1), zero, word * keep.unsqueeze(1))
        view.gradient.index_copy_(0, last, kept)
        scaled = torch.where(fresh.unsqueeze(1), zero, word * old).sum(dim=-1)
        return None, None, None, None, view.gradient.new_empty(0), added, scaled


class _Finish(torch.autograd.Function):
    """The memory after the last edit."""

    @staticmethod
    def forward(ctx: Any, edits: Edits, token: Tensor) -> Tensor:
        ctx.edits = edits
        ctx.set_materialize_grads(False)
        return edits.words.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, whole: Tensor | None) -> tuple[None, Tensor | None]:
        if whole is None:
            return None, None
        return None, ctx.edits.view(None, whole).gradient.new_empty(0)


# autograd.Function is not typed.
_BEGIN: Callable[..., Tensor] = _Begin.apply
_READ: Callable[..., tuple[Tensor, Tensor]] = _Read.apply
_WRITE: Callable[..., Tensor] = _Write.apply
_FINISH: Callable[..., Tensor] = _Finish.apply
