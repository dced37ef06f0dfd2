"""Attention over the last steps of an episode with relative positions (Transformer-XL).

Who sees whom follows from the age of a query, the number of earlier steps of its episode: a key d
steps before is seen where d ≤ age and d ≤ M. So a whole sequence, starts included, is one masked
product. Leaves and sequences lead with B here, time second.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


def ages(age: Float[Tensor, " B"], start: Bool[Tensor, "T B"]) -> Float[Tensor, "B T"]:
    """Steps of the episode before each step; ``age`` is that of the first where none starts."""
    now = torch.arange(len(start), device=start.device).unsqueeze(-1)  # [T, 1]
    opened = torch.where(start, now, -1).cummax(dim=0).values  # [T, B]
    return torch.where(opened < 0, age + now, (now - opened).to(age.dtype)).T


def window(age: Float[Tensor, "B T"], memory_len: int) -> Bool[Tensor, "B T S"]:
    """Which of the S = M + T keys, M past ones first, each query sees: at most M back, and itself.

    Every query sees itself, so no row of the mask is empty.
    """
    length = age.shape[1]
    newest = torch.arange(memory_len, memory_len + length, device=age.device).unsqueeze(-1)
    back = newest - torch.arange(memory_len + length, device=age.device)  # [T, S]
    return (back >= 0) & (back <= age.clamp(max=memory_len).unsqueeze(-1))


def push(
    past: Float[Tensor, "B M D"], new: Float[Tensor, "B T D"], age: Float[Tensor, " B"]
) -> Float[Tensor, "B M D"]:
    """The last M of [past; new], oldest first; zeros where a next step of this age sees nothing."""
    size = past.shape[1]
    back = torch.arange(size, 0, -1, device=age.device)
    kept = torch.cat([past, new], dim=1)[:, -size:]
    return torch.where((back <= age.unsqueeze(-1)).unsqueeze(-1), kept, 0)


def sinusoids(position: Float[Tensor, " R"], dim: int) -> Float[Tensor, "R D"]:
    """Sines, then cosines of ``position`` at D/2 wavelengths from 2π to 2π·10⁴ (Vaswani 2017)."""
    half = -(-dim // 2)
    rate = torch.exp(
        torch.arange(half, device=position.device, dtype=position.dtype)
        * (-torch.log(position.new_tensor(1e4)) / half)
    )
    angle = position.unsqueeze(-1) * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1)[:, :dim]


def skew(logits: Float[Tensor, "B H T W"]) -> Float[Tensor, "B H T S"]:
    """From logits by offset in a query's window to logits by key: column w of row t moves to t + w.

    S = W + T − 1. What no window covers is zero: of logits it must be masked.
    """
    length, size = logits.shape[-2:]
    padded = F.pad(logits, (0, length)).flatten(-2)  # [B, H, T (W + T)]
    width = size + length - 1
    return padded[..., : length * width].reshape(*logits.shape[:2], length, width)


def attend(
    logits: Float[Tensor, "B H T S"],
    visible: Bool[Tensor, "B T S"],
    values: Float[Tensor, "B H S K"],
) -> Float[Tensor, "B H T K"]:
    """The mean of the visible values, weighted by the softmax of their logits."""
    weights = logits.masked_fill(~visible.unsqueeze(1), -torch.inf).softmax(dim=-1)
    return torch.matmul(weights, values)


class RelativeAttention(nn.Module):
    """The parameters of Transformer-XL's attention, and its use over a window of M past steps.

    logit(i, j) = [(q_i + u)·k_j + (q_i + v)·r_{i−j}] / √K, r = W_r R (Dai et al. 2019, §3.3).

    Args:
        dim: D, width of queries, keys and output.
        heads: H.
        head_dim: K; D need not be H K.
    """

    def __init__(self, dim: int, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.dim = heads, dim
        self.query = nn.Linear(dim, heads * head_dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * heads * head_dim, bias=False)
        self.position = nn.Linear(dim, heads * head_dim, bias=False)  # W_r
        self.output = nn.Linear(heads * head_dim, dim, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, 1, head_dim))  # u
        self.position_bias = nn.Parameter(torch.zeros(heads, 1, head_dim))  # v
        for layer in (self.query, self.position, self.output):
            nn.init.xavier_uniform_(layer.weight)
        for block in self.key_value.weight.detach().chunk(2):
            nn.init.xavier_uniform_(block)

    def queries(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T K"]:
        """q, scaled by 1/√K, as are u and v where they are added."""
        return self._heads(self.query(x)) * self._scale

    def keys_values(
        self, x: Float[Tensor, "B S D"]
    ) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """What is compared with queries, and what is read."""
        keys, values = self.key_value(x).chunk(2, dim=-1)
        return self._heads(keys), self._heads(values)

    def by_content(
        self, queries: Float[Tensor, "B H T K"], keys: Float[Tensor, "B H S K"]
    ) -> Float[Tensor, "B H T S"]:
        """(q_i + u)·k_j."""
        return torch.matmul(queries + self.content_bias * self._scale, keys.mT)

    def by_position(
        self, queries: Float[Tensor, "B H T K"], farthest: int
    ) -> Float[Tensor, "B H T W"]:
        """(q_i + v)·r_d for the distances d = ``farthest`` … 0, in this order."""
        weight = self.position.weight
        back = torch.arange(farthest, -1, -1, device=weight.device, dtype=weight.dtype)
        r = self._heads(self.position(sinusoids(back, self.dim)).unsqueeze(0))  # [1, H, W, K]
        return torch.matmul(queries + self.position_bias * self._scale, r.mT)

    def mix(self, read: Float[Tensor, "B H T K"]) -> Float[Tensor, "B T D"]:
        """The heads' reads side by side, through the output layer."""
        return self.output(read.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        past: Float[Tensor, "B M D"],
        visible: Bool[Tensor, "B T S"],
    ) -> Float[Tensor, "B T D"]:
        """What each step reads from [past; x] where ``visible`` (of ``window``) is True."""
        queries = self.queries(x)
        keys, values = self.keys_values(torch.cat([past, x], dim=1))
        positions = skew(self.by_position(queries, past.shape[1]))
        return self.mix(attend(self.by_content(queries, keys) + positions, visible, values))

    @property
    def _scale(self) -> float:
        return float(self.content_bias.shape[-1] ** -0.5)

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
