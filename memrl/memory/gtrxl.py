"""GTrXL: a transformer over the last steps, with gates instead of residual sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import need_no_grad
from memrl.memory.ops.attention import Ring, push, ring_age, rotate, window
from memrl.memory.ops.gru_gate import gru_gate
from memrl.memory.parts.attention import RelativeAttention
from memrl.memory.parts.window import WindowMemory
from memrl.memory.registry import register

GATE_BIAS = 2.0  # b_g: z starts near σ(−2) = 0.12, every layer near the identity


class GTrXLState(NamedTuple):
    """State of the GTrXL core."""

    ring: Tensor  # [B, L, M, D]  inputs of every layer, standardised; step n is in slot n mod M
    age: Tensor  # [B]  steps of the episode so far; modulo M from 2 M on


class GRUGate(nn.Module):
    """g(x, y) = (1 − z) ∘ x + z ∘ ĥ, a GRU cell in place of the residual sum.

    r = σ(W_r y + U_r x);  z = σ(W_z y + U_z x − b_g);  ĥ = tanh(W_g y + U_g (r ∘ x)).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w = nn.Linear(dim, 3 * dim, bias=False)  # r, z, g
        self.u = nn.Linear(dim, 2 * dim, bias=False)  # r, z
        self.u_g = nn.Linear(dim, dim, bias=False)
        self.bias = nn.Parameter(torch.full((dim,), GATE_BIAS))
        for layer in (self.w, self.u, self.u_g):
            for block in layer.weight.detach().chunk(layer.out_features // dim):
                nn.init.xavier_uniform_(block)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Combine the stream ``x`` with a layer's output ``y``: [..., D]."""
        if not torch.compiler.is_compiling():
            return gru_gate(x, y, self.w.weight, self.u.weight, self.u_g.weight, self.bias)
        from_y, from_x = self.w(y).chunk(3, dim=-1), self.u(x).chunk(2, dim=-1)
        r = (from_y[0] + from_x[0]).sigmoid()
        z = (from_y[1] + from_x[1] - self.bias).sigmoid()
        return torch.lerp(x, (from_y[2] + self.u_g(r * x)).tanh(), z)


class Layer(nn.Module):
    """Attention and a position-wise network, each after a norm and followed by a gate."""

    def __init__(self, dim: int, *, heads: int, head_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = RelativeAttention(dim, heads=heads, head_dim=head_dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_dim), nn.ReLU(), nn.Linear(mlp_dim, dim))
        self.gate, self.mlp_gate = GRUGate(dim), GRUGate(dim)

    def forward(self, e: Tensor, past: Tensor, visible: Tensor) -> Tensor:
        """E^(l−1) [B, T, D] and the M inputs before it, standardised, to E^(l)."""
        past = torch.addcmul(self.norm.bias, self.norm.weight, past)
        return self._join(e, self.attention(self.norm(e), past, visible))

    def step(self, e: Tensor, new: Tensor, ring: Ring) -> Tensor:
        """``forward`` of one step: e [B, D], the same standardised, and those before it."""
        return self._join(e, self.attention.recall(new, ring, self.norm))

    def _join(self, e: Tensor, read: Tensor) -> Tensor:
        y = self.gate(e, F.relu(read))  # Y
        return self.mlp_gate(y, F.relu(self.mlp(self.mlp_norm(y))))  # type: ignore[no-any-return]


@final
@register("gtrxl")
class GTrXL(WindowMemory[GTrXLState]):
    """Gated Transformer-XL: identity map reordering (norms before the layers) and GRU gates.

    Y = g(E, ReLU(RelMHA(LN [M, E])));  E' = g'(Y, ReLU(MLP(LN Y))). A step sees itself and the M
    steps before it, if they belong to its episode; positions without a step are masked. The paper
    stops gradients between segments, at SG(M). Here a segment is the trainer's chunk, whose first
    state is detached; within a chunk, gradients pass into the memory.

    Args:
        in_dim: width of the input features.
        layers: L; a gradient reaches back L M steps.
        memory_len: M, past steps that a layer sees.
        heads: of the attention.
        head_dim: width of a head.
        mlp_dim: hidden width of the position-wise network.
        hidden_dim: D, width of the stream and of the output.
    """

    paper = "Parisotto et al. 2020, Stabilizing Transformers for Reinforcement Learning"

    def __init__(
        self,
        in_dim: int,
        *,
        layers: Annotated[int, Ge(1)] = 2,
        memory_len: Annotated[int, Ge(1)] = 64,
        heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] = 32,
        mlp_dim: Annotated[int, Ge(1)] = 256,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.memory_len, self.horizon = memory_len, layers * memory_len
        self.embed = nn.Linear(in_dim, hidden_dim)
        self.layers = nn.ModuleList(
            Layer(hidden_dim, heads=heads, head_dim=head_dim, mlp_dim=mlp_dim)
            for _ in range(layers)
        )

    def initial_state(self, batch_size: int) -> GTrXLState:
        zeros = self.embed.weight.new_zeros
        shape = (batch_size, len(self.layers), self.memory_len, self.out_dim)
        return GTrXLState(zeros(shape), zeros(batch_size))

    def _project(self, x: Tensor) -> Tensor:
        return self.embed(x)  # type: ignore[no-any-return]

    def step(
        self, x: Tensor, state: GTrXLState, start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, GTrXLState]:
        need_no_grad(donate)
        state = self.reset(state, self.initial_state(1), start, donate=donate)
        x, inputs = self._recall(self._project(x), state)
        if not donate:
            return x, self._stored(state, inputs)
        slot = (state.age % self.memory_len).long()
        state.ring[torch.arange(len(x), device=x.device), :, slot] = inputs
        return x, GTrXLState(state.ring, ring_age(state.age + 1, self.memory_len))

    def _update(self, x: Tensor, state: GTrXLState) -> tuple[Tensor, GTrXLState]:
        x, inputs = self._recall(x, state)
        return x, self._stored(state, inputs)

    def _recall(self, x: Tensor, state: GTrXLState) -> tuple[Tensor, Tensor]:
        """One step: the stream, and the standardised inputs of every layer, [B, L, D]."""
        inputs = []
        for number, layer in enumerate(self._layers()):
            inputs.append(_standardised(x))
            x = layer.step(x, inputs[-1], Ring(state.ring, number, state.age))
        return x, torch.stack(inputs, dim=1)

    def _stored(self, state: GTrXLState, inputs: Tensor) -> GTrXLState:
        """The state after a step with these inputs."""
        places = torch.arange(self.memory_len, device=inputs.device)
        here = (state.age.unsqueeze(-1) % self.memory_len == places)[:, None, :, None]
        memory = torch.where(here, inputs.unsqueeze(2), state.ring)
        return GTrXLState(memory, ring_age(state.age + 1, self.memory_len))

    def _attend(self, x: Tensor, state: GTrXLState, age: Tensor) -> tuple[Tensor, GTrXLState, None]:
        visible, next_age = window(age, self.memory_len), age[:, -1] + 1
        memory = []
        for layer, ring in zip(self._layers(), state.ring.unbind(dim=1), strict=True):
            new, past = _standardised(x[:, -self.memory_len :]), rotate(ring, state.age)
            memory.append(rotate(push(past, new, next_age), -next_age))
            x = layer(x, past, visible)
        after = GTrXLState(torch.stack(memory, dim=1), ring_age(next_age, self.memory_len))
        return x, after, None

    def _layers(self) -> Iterator[Layer]:
        return (layer for layer in self.layers if isinstance(layer, Layer))

    def diagnostics(self, state: GTrXLState) -> dict[str, Tensor]:
        """``memory`` is that of the last layer, oldest step first."""
        age = state.age.clamp(max=self.memory_len)
        return {"age": age, "memory": rotate(state.ring[:, -1], state.age)}


def _standardised(x: Tensor) -> Tensor:
    """(x − mean) / deviation: a layer norm without gain and shift, so it outlives an update."""
    return F.layer_norm(x, x.shape[-1:])
