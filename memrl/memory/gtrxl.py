"""GTrXL: a transformer over the last steps, with gates instead of residual sums."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.ops.attention import push, window
from memrl.memory.parts.attention import RelativeAttention
from memrl.memory.parts.window import WindowMemory
from memrl.memory.registry import register

GATE_BIAS = 2.0  # b_g: z starts near σ(−2) = 0.12, every layer near the identity


class GTrXLState(NamedTuple):
    """State of the GTrXL core."""

    memory: Tensor  # [B, L, M, D]  the last M inputs of every layer, oldest first; zero: none yet
    age: Tensor  # [B]  steps of the episode so far, at most M


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
        """E^(l−1) [B, T, D] and the M inputs before it to E^(l)."""
        read = self.attention(self.norm(e), self.norm(past), visible)  # Ȳ
        y = self.gate(e, F.relu(read))
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

    def _attend(self, x: Tensor, state: GTrXLState, age: Tensor) -> tuple[Tensor, GTrXLState, None]:
        visible, next_age = window(age, self.memory_len), age[:, -1] + 1
        memory = []
        for layer, past in zip(self.layers, state.memory.unbind(dim=1), strict=True):
            memory.append(push(past, x, next_age))
            x = layer(x, past, visible)
        age = next_age.clamp(max=self.memory_len)
        return x, GTrXLState(torch.stack(memory, dim=1), age), None

    def diagnostics(self, state: GTrXLState) -> dict[str, Tensor]:
        return {"age": state.age, "memory": state.memory[:, -1]}
