"""Where a read comes from: how much of each step's read was written at which earlier step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memrl.evaluation.recording import Recording
from memrl.memory.core import MemoryCore
from memrl.memory.parts.window import WindowMemory
from memrl.probing.attention import attended_steps
from memrl.run.agent import Agent

Method: TypeAlias = Literal["writes", "attention", "gradient"]
METHODS: Final[Mapping[Method, str]] = {
    "writes": "exact: what each step wrote, as its share of what is read",
    "attention": "attention to the stored steps",
    "gradient": "gradient of the memory's output with respect to each step's input",
}


class Sources(NamedTuple):
    """Where the reads of an episode of T steps come from."""

    weights: NDArray[np.float64]  # [T, T]  by reader, then by writer; ≥ 0, rows sum to at most 1
    method: Method


def sources_of(agent: Agent, recording: Recording) -> Sources:
    """Where the reads of a recorded episode come from.

    Raises:
        ValueError: the agent's policy has no memory core.
    """
    encoder, core = (getattr(agent.policy, name, None) for name in ("encoder", "core"))
    if encoder is None or not isinstance(core, MemoryCore):
        raise ValueError(
            f"{type(agent).__name__} has no memory core that reads (allowed: agents such as ppo "
            "and r2d2)"
        )
    device = next(agent.policy.parameters()).device
    obs = {
        key: torch.as_tensor(np.stack([entry[key] for entry in recording.observations])).to(device)
        for key in recording.observations[0]
    }
    with torch.no_grad():
        x = encoder(obs)
    return sources(core, x)


def sources(core: MemoryCore[Any], x: Tensor) -> Sources:
    """Where the reads of an episode with features x [T, I] come from.

    The first of these that the memory allows:

    * ``writes``. A step leaves M_t = keep_t ∘ M_{t−1} + add_t (``MemoryCore.edit``), so what it
      wrote is C_t[t] = add_t, and C_t[s] = keep_t ∘ C_{t−1}[s] of an earlier step s. These sum to
      M_t, with what is left of the initial memory. A read w M is then the sum of parts w C[s], and
      ``weights[t, s]`` is the norm of such a part over the sum of the norms of all. What is missing
      to 1 is of the initial memory. Exact for ntm, dnc and lrua.
    * ``attention`` of a memory whose slots are the last steps (dnd, kvmemnn, memn2n, pointer …).
    * ``gradient``. ``weights[t, s]`` is the norm of ∂(y_t · ȳ_t) / ∂x_s, with ȳ_t the value of y_t,
      over its sum for all s ≤ t. It reaches no further back than the core's ``horizon``.
    """
    x = x.detach()
    exact = _by_writes(core, x)
    if exact is not None:
        return Sources(exact, "writes")
    attended = _by_attention(core, x)
    if attended is not None:
        return Sources(attended, "attention")
    return Sources(_by_gradient(core, x), "gradient")


@torch.no_grad()
def _by_writes(core: MemoryCore[Any], x: Tensor) -> NDArray[np.float64] | None:
    steps, start = len(x), torch.zeros(1, dtype=torch.bool, device=x.device)
    state = core.initial_state(1)
    parts: Tensor | None = None  # C [T + 1, N, W]; the last is of the initial memory
    weights = x.new_zeros(steps, steps)
    for t in range(steps):
        _, after = core.step(x[t : t + 1], state, start)
        edit = core.edit(x[t : t + 1], state, after)
        if edit is None:
            return None
        if parts is None:
            parts = state.memory.new_zeros(steps + 1, *state.memory.shape[1:])
            parts[-1] = state.memory[0]
        before, parts = parts, parts * edit.keep
        parts[t] = edit.add[0]
        read = after.read_weights[0] @ (before if core.reads_first else parts)  # [T + 1, R, W]
        weights[t] = _shares(read.norm(dim=-1).sum(dim=-1))[:-1]
        state = after
    return weights.double().cpu().numpy()


@torch.no_grad()
def _by_attention(core: MemoryCore[Any], x: Tensor) -> NDArray[np.float64] | None:
    if not isinstance(core, WindowMemory):
        return None
    start = torch.zeros(1, dtype=torch.bool, device=x.device)
    state, shown = core.initial_state(1), []
    for x_t in x.unsqueeze(1):
        _, state = core.step(x_t, state, start)
        shown.append(core.diagnostics(state))
    attended = attended_steps(core, shown)
    return None if attended is None else attended.double().cpu().numpy()


def _by_gradient(core: MemoryCore[Any], x: Tensor) -> NDArray[np.float64]:
    steps = len(x)
    start = torch.zeros(steps, 1, dtype=torch.bool, device=x.device)
    weights = x.new_zeros(steps, steps)
    with torch.enable_grad():
        inputs = x.unsqueeze(1).requires_grad_()
        y = core(inputs, core.initial_state(1), start).y[:, 0]
        for t in range(steps):
            along = (y[t] * y[t].detach()).sum()
            (d,) = torch.autograd.grad(along, inputs, retain_graph=True)
            weights[t] = _shares(d[:, 0].norm(dim=-1))
    return weights.double().cpu().numpy()


def _shares(sizes: Tensor) -> Tensor:
    """Sizes over their sum; all zero where the sum is."""
    return sizes / sizes.sum().clamp(min=torch.finfo(sizes.dtype).tiny)
