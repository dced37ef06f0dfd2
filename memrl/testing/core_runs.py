"""Runs of a core and comparisons of their results, used by the contract's checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from memrl.memory import state as states
from memrl.memory.core import MemoryCore, Unrolled

Core: TypeAlias = MemoryCore[Any]

MIN_STEPS, ROWS = 7, 3
EXTREMES = (
    0.0,
    0.0,
    1e4,
    1.0,
)  # the value of all features in each row of a long run; row 0 is noise


class BrokenContract(AssertionError):
    """A core violates the contract; the message is a sentence that says how."""


class Run(NamedTuple):
    """The results of running a sequence."""

    y: Tensor  # [T, B, O]
    state: Any
    cost: Tensor | None  # [T, B]
    gradients: dict[str, Tensor]  # of the outputs with respect to the input and every parameter


def run(core: Core, x: Tensor, start: Tensor, cut: int = 0, state: Any = None) -> Run:
    """Run a sequence from a state with some history; in two pieces if ``cut`` is not 0."""
    state = used_state(core) if state is None else state
    pieces = []
    for now in (slice(None, cut), slice(cut, None)) if cut else (slice(None),):
        unrolled = core(x[now], state, start[now])
        pieces.append(unrolled)
        state = unrolled.state
    costs = [piece.cost for piece in pieces if piece.cost is not None]
    y = torch.cat([piece.y for piece in pieces])
    return Run(y, state, torch.cat(costs) if costs else None, gradients(core, y, x))


def stepped(core: Core, x: Tensor, start: Tensor) -> Run:
    """Run a sequence like ``run``, step by step."""
    state, ys, costs = used_state(core), [], []
    for t in range(len(x)):
        y, state = core.step(x[t], state, start[t])
        ys.append(y)
        costs.append(getattr(state, "cost", None))
    given = [cost for cost in costs if cost is not None]
    y = torch.stack(ys)
    return Run(y, state, torch.stack(given) if given else None, gradients(core, y, x))


def require_same_run(got: Run, want: Run, sentence: str) -> None:
    """Require that two runs agree; ``sentence`` describes the failure."""
    require_same(got.y, want.y, f"{sentence}: outputs")
    require_same(got.state, want.state, f"{sentence}: last state")
    require((got.cost is None) == (want.cost is None), f"{sentence}: one of them has no cost")
    if got.cost is not None and want.cost is not None:
        require_same(got.cost, want.cost, f"{sentence}: cost")
    require_same(got.gradients, want.gradients, f"{sentence}: gradients")


def gradients(
    core: Core, y: Tensor, x: Tensor | None = None, cost: Tensor | None = None
) -> dict[str, Tensor]:
    """Gradients of a weighted sum of ``y``, and of ``cost`` if given.

    They are with respect to the parameters, and to ``x`` if given; zero without dependence.
    """
    wanted = {name: p for name, p in core.named_parameters() if p.requires_grad}
    if x is not None:
        wanted["x"] = x  # type: ignore[assignment]
    loss = weighted_sum(y) if cost is None else weighted_sum(y) + weighted_sum(cost)
    if not wanted or not loss.requires_grad:
        return {name: torch.zeros_like(value) for name, value in wanted.items()}
    found = torch.autograd.grad(
        loss, list(wanted.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(wanted, found, strict=True))


def results_where(
    core: Core, x: Tensor, start: Tensor, mask: Tensor, cut: int = 0
) -> dict[str, Any]:
    """Outputs, cost and input gradients where ``mask`` is True, and the outputs of later steps.

    The sequence is run in two pieces if ``cut`` is not 0. The last state is not compared: a memory
    that resets lazily may store values in it that it never reads.
    """
    x = x.clone().requires_grad_()
    state, ys, costs = used_state(core), [], []
    for now in (slice(None, cut), slice(cut, None)) if cut else (slice(None),):
        y, state, cost = core(x[now], state, start[now])
        ys.append(y)
        costs.append(y.new_zeros(y.shape[:2]) if cost is None else cost)
    y, cost = torch.cat(ys)[mask], torch.cat(costs)[mask]
    gradient = torch.autograd.grad(weighted_sum(y) + weighted_sum(cost), x)[0][mask]
    more = 0.5 - inputs(core)
    after = core(more, state, no_starts(more)).y
    return {"outputs": y, "the cost": cost, "gradients": gradient, "later outputs": after}


def gradient_sizes(core: Core, start_at: int | None = None) -> Tensor:
    """Gradient size of the last output with respect to the input of every step: [T]."""
    x = inputs(core).requires_grad_()
    start = no_starts(x)
    start[0] = True
    if start_at is not None:
        start[start_at] = True
    unrolled: Unrolled = core(x, core.initial_state(ROWS), start)
    (gradient,) = torch.autograd.grad(weighted_sum(unrolled.y[-1]), x)
    return gradient.abs().sum(dim=(1, 2))


def weighted_sum(y: Tensor) -> Tensor:
    """A sum with a different weight for every output, so that swapped outputs change it."""
    noise = torch.Generator().manual_seed(2)
    weights = torch.randn(y.shape, generator=noise, dtype=torch.float64)
    return (y * weights.to(y.device)).sum()


def span(core: Core) -> int:
    """Steps of a run, more than the horizon and the warm-up."""
    return max(MIN_STEPS, (core.horizon or 0) + 3, core.warm_up + 3)


def inputs(core: Core, length: int | None = None, rows: int = ROWS) -> Tensor:
    """Random features [T, B, I], the same at every call."""
    noise = torch.Generator().manual_seed(3)
    shape = (length or span(core), rows, core.in_dim)
    return torch.randn(shape, generator=noise, dtype=torch.float64).to(device_of(core))


def extreme_inputs(core: Core, length: int, noise: torch.Generator) -> Tensor:
    """Features [T, rows, I] in float32: noise in the first row, ``EXTREMES`` in the others."""
    x = torch.tensor(EXTREMES).view(1, -1, 1).repeat(length, 1, core.in_dim)
    x[:, 0] = torch.randn(length, core.in_dim, generator=noise)
    return x.to(device_of(core))


def no_starts(x: Tensor) -> Tensor:
    """All-False starts for ``x``: [T, B]."""
    return torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)


def some_starts(core: Core) -> Tensor:
    """Starts at different steps in different rows: [T, B]."""
    start = torch.zeros(span(core), ROWS, dtype=torch.bool, device=device_of(core))
    start[0, 0] = start[2, 1] = start[-2, 0] = start[-2, 2] = True
    return start


def used_state(core: Core) -> Any:
    """A state from the middle of an episode, detached from its history."""
    x = 0.5 - inputs(core)[:4]
    return states.clone(core(x, core.initial_state(ROWS), no_starts(x)).state)


def worst_values(leaf: Tensor) -> Tensor:
    """NaN for floats, the largest integer for integers, the negation for bools."""
    if leaf.is_floating_point() or leaf.is_complex():
        return torch.full_like(leaf, torch.nan)
    return ~leaf if leaf.dtype == torch.bool else torch.full_like(leaf, torch.iinfo(leaf.dtype).max)


def device_of(core: Core) -> torch.device:
    """The device of the core's parameters and buffers; the CPU if it has none."""
    return next(
        (tensor.device for tensor in (*core.parameters(), *core.buffers())), torch.device("cpu")
    )


def tensor_attributes(core: Core) -> Iterator[tuple[str, Tensor]]:
    """Tensors in plain attributes of the core and its submodules, however nested."""
    for path, module in core.named_modules():
        for name, value in vars(module).items():
            if name not in {"_parameters", "_buffers", "_modules"}:
                for tensor in _tensors(value):
                    yield f"{path}.{name}".lstrip("."), tensor


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _tensors(part)


def finite(*results: Any) -> bool:
    """Whether no leaf of these tensors and states has NaN or infinity."""
    return all(bool(leaf.isfinite().all()) for leaf in states.leaves(results))


def bits_equal(a: Tensor, b: Tensor) -> bool:
    """Whether tensors are equal without tolerance; NaN equals NaN, and nothing else."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def require_same(got: Any, want: Any, sentence: str) -> None:
    """Require that tensors, states or dicts of tensors agree; ``sentence`` names the failure."""
    if isinstance(got, dict):
        for name in want:
            require_same(got[name], want[name], f"{sentence}, {name}")
        return
    for a, b in zip(states.leaves(got), states.leaves(want), strict=True):
        if not torch.allclose(a, b, rtol=1e-8, atol=1e-10):
            off = (a.to(torch.float64) - b.to(torch.float64)).abs().max().item()
            raise BrokenContract(f"{sentence} (by up to {off:.2g})")


def require(condition: bool, sentence: str) -> None:
    """Raise ``BrokenContract`` with ``sentence`` unless ``condition`` holds."""
    if not condition:
        raise BrokenContract(sentence)
