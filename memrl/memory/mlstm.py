"""mLSTM: a matrix memory with exponential input gates, from the xLSTM family."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.ops.linear_attention import attend, episodes, fading
from memrl.memory.parts.matrix import MatrixMemory
from memrl.memory.registry import register

GATE_CAP = 15.0  # both gates' logits pass 15 tanh(· / 15) (Beck et al. 2025, xLSTM 7B)


class MLSTMState(NamedTuple):
    """State of the mLSTM core, scaled by e^-m."""

    memory: Tensor  # [B, heads, K, K]  C e^-m, keys by values
    norm: Tensor  # [B, heads, K]  n e^-m
    scale: Tensor  # [B, heads]  m, the largest logarithm among the weights of what is stored


@final
@register("mlstm")
class MLSTM(MatrixMemory[MLSTMState]):
    """Matrix LSTM in the stabilised form.

    m' = max(log f + m, log i);  C' = e^(log f + m - m') C + e^(log i - m') v kᵀ / √K and n' alike;
    h̃ = C' q / max(|n'·q|, e^-m');  y = W (σ(o) ∘ h̃), with f = σ(f̃) and i = e^ĩ. The unscaled
    memory is C e^m, so the choice of m does not change h̃; it starts at 0. The gates' weights start
    at zero, the forget biases between 3 and 6 over the heads.

    Args:
        in_dim: width of the input features.
        heads: number of matrices.
        head_dim: K, width of a key and of a value.
        hidden_dim: width of the output.
    """

    paper = "Beck et al. 2024, xLSTM: Extended Long Short-Term Memory"

    def __init__(
        self,
        in_dim: int,
        *,
        heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] = 16,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        # The output gate, log i and log f.
        parts = [heads * head_dim, heads, heads]
        super().__init__(in_dim, hidden_dim=hidden_dim, heads=heads, head_dim=head_dim, parts=parts)
        self.qkvo = nn.Linear(in_dim, 4 * heads * head_dim)  # q, k, v and the output gate
        self.gates = nn.Linear(in_dim, 2 * heads)  # ĩ, f̃
        self.output = nn.Linear(heads * head_dim, hidden_dim)
        nn.init.zeros_(self.gates.weight)
        with torch.no_grad():
            self.gates.bias[:heads].normal_(0.0, 0.1)
            self.gates.bias[heads:] = torch.linspace(3.0, 6.0, heads)

    def initial_state(self, batch_size: int) -> MLSTMState:
        zeros, (H, K) = self.output.weight.new_zeros, (self.heads, self.head_dim)
        return MLSTMState(zeros(batch_size, H, K, K), zeros(batch_size, H, K), zeros(batch_size, H))

    def _project(self, x: Tensor) -> Tensor:
        i, f = (GATE_CAP * (self.gates(x) / GATE_CAP).tanh()).chunk(2, dim=-1)
        q, k, v, o = self.qkvo(x).chunk(4, dim=-1)
        k = k / math.sqrt(self.head_dim)
        return torch.cat([q, k, v, o.sigmoid(), i, F.logsigmoid(f)], dim=-1)

    def _emit(self, seen: Tensor) -> Tensor:
        return self.output(seen)  # type: ignore[no-any-return]

    def _update(self, x: Tensor, state: MLSTMState) -> tuple[Tensor, MLSTMState]:
        qkv, gate, i, f = self._split(x)
        q, k, v = qkv.unbind(1)  # [B, heads, K]
        m = torch.maximum(f + state.scale, i)
        keep, add = (f + state.scale - m).exp().unsqueeze(-1), (i - m).exp().unsqueeze(-1)
        k = add * k
        memory = keep.unsqueeze(-1) * state.memory + k.unsqueeze(-1) * v.unsqueeze(-2)
        norm = keep * state.norm + k
        size = torch.maximum((q * norm).sum(-1).abs(), (-m).exp())
        read = (q.unsqueeze(-2) @ memory).squeeze(-2) / size.unsqueeze(-1)  # h̃
        return read.flatten(1) * gate, MLSTMState(memory, norm, m)

    def _attend(self, x: Tensor, state: MLSTMState, start: Tensor) -> tuple[Tensor, MLSTMState]:
        qkv, gate, i, f = self._split(x)
        q, k, v = qkv.permute(2, 1, 3, 0, 4).unbind()  # [B, heads, T, K]
        i, f = i.permute(1, 2, 0), f.permute(1, 2, 0)
        seen = episodes(start)
        between, faded = fading(f, seen)
        logs = between + i.unsqueeze(-2)  # [B, heads, T, T]  log of the weight of s at t
        # m is 0 at the start of every episode, and continues where the chunk begins.
        began = torch.where(seen.within, f.unsqueeze(-2), 0).sum(-1)  # Σ log f of the episode
        m_0 = torch.where(seen.carried, state.scale.unsqueeze(-1), 0)
        m = torch.maximum(logs.amax(dim=-1), began + m_0)

        # The normaliser is the read of an additional value that is always 1.
        v = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
        first = torch.cat([state.memory, state.norm.unsqueeze(-1)], dim=-1)
        weights = (logs - m.unsqueeze(-1)).exp()
        carry = torch.where(seen.carried, faded + m_0 - m, -torch.inf).exp()
        reads, last = attend(q, k, v, first, weights, carry, seen.carried)
        size = torch.maximum(reads[..., -1].abs(), (-m).exp())
        read = (reads[..., :-1] / size.unsqueeze(-1)).permute(2, 0, 1, 3).flatten(2)
        return read * gate, MLSTMState(last[..., :-1], last[..., -1], m[..., -1])

    def diagnostics(self, state: MLSTMState) -> dict[str, Tensor]:
        return {"memory": state.memory.flatten(1, 2), "scale": state.scale}
