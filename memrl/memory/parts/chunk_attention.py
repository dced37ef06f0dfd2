"""Attention over chunks of the past: first over their means, then inside of the best (HCAM)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.ops.attention import sinusoids
from memrl.memory.ops.chunks import Chunks
from memrl.memory.ops.nonfinite import without_nonfinite
from memrl.memory.ops.window import weigh


class Recalled(NamedTuple):
    """What T steps found, and where."""

    read: Tensor  # [B, T, D]
    chosen: Tensor  # int [B, T, k]  chunks, the most relevant first
    relevance: Tensor  # [B, T, k]  of these; 0 for a chunk that is not visible


class ChunkAttention(nn.Module):
    """Σ_{i ∈ top-k} R_i MHA(x, chunk i), with R the softmax over all visible chunks of q·k(S_i)/√D.

    S_i is the mean of chunk i. Inside of a chunk a step m_c is seen as m_c + r_c, with sinusoids r
    of its place c. Keys and values are not computed: (W_k m)·q = m·(W_kᵀ q), and Σ w W_v m = W_v Σ
    w m, so the cost of a query does not depend on the number of chunks but for their means.

    Args:
        dim: D, width of queries, chunks and output.
        topk: k, chunks that a query attends inside of.
        heads: H of the attention inside of chunks.
        head_dim: K, width of a head.
    """

    def __init__(self, dim: int, *, topk: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.topk, self.heads = topk, heads
        self.chunk_query = nn.Linear(dim, dim, bias=False)
        self.chunk_key = nn.Linear(dim, dim, bias=False)
        self.query = nn.Linear(dim, heads * head_dim, bias=False)
        self.key = nn.Linear(dim, heads * head_dim, bias=False)
        self.value = nn.Linear(dim, heads * head_dim, bias=False)
        self.output = nn.Linear(heads * head_dim, dim, bias=False)
        for weight in self.parameters():
            nn.init.xavier_uniform_(weight)

    def forward(
        self, x: Float[Tensor, "B T D"], chunks: Chunks, visible: Bool[Tensor, "B T N"]
    ) -> Recalled:
        """What each step reads from the chunks that it sees; zeros where it sees none.

        A step that is not finite asks with zeros; the sum with its own output keeps it so.
        """
        x, _ = without_nonfinite(x)
        summaries, _ = without_nonfinite(chunks.summaries)  # of other episodes
        asked = self.chunk_query(x) @ self.chunk_key.weight * x.shape[2] ** -0.5
        relevance = weigh(asked @ summaries.mT, visible)  # R, [B, T, N]
        best, chosen = relevance.topk(self.topk, dim=-1)
        steps = _chosen(chunks.steps, chosen)  # [B, T, k, C, D]
        # Select, do not multiply: a step of another episode may be NaN.
        steps = torch.where(visible.gather(2, chosen)[..., None, None], steps, 0)
        return Recalled(self._inside(x, steps, best), chosen, best)

    def _inside(self, x: Tensor, steps: Tensor, relevance: Tensor) -> Tensor:
        """The attention inside of k chunks [B, T, k, C, D], weighted by their relevance."""
        k, size = steps.shape[2:4]
        places = sinusoids(torch.arange(size, device=x.device, dtype=x.dtype), x.shape[2])
        key, value = (
            layer.weight.view(self.heads, -1, x.shape[2]) for layer in (self.key, self.value)
        )
        q = self.query(x).view(*x.shape[:2], self.heads, -1) * key.shape[1] ** -0.5
        p = torch.einsum("bthk,hkd->bthd", q, key)  # W_kᵀ q
        flat = steps.flatten(2, 3)  # [B, T, k C, D]
        logits = (p @ flat.mT).view(*p.shape[:3], k, size) + (p @ places.T).unsqueeze(3)
        weights = logits.softmax(dim=-1) * relevance[:, :, None, :, None]  # [B, T, H, k, C]
        found = weights.flatten(3) @ flat + weights.sum(dim=3) @ places  # [B, T, H, D]
        values = torch.einsum("bthd,hkd->bthk", found, value)
        return self.output(values.flatten(2))  # type: ignore[no-any-return]


def _chosen(steps: Float[Tensor, "B N C D"], chosen: Tensor) -> Tensor:
    """The chunks [B, T, k, C, D] with these numbers; whole chunks are copied at once."""
    first = torch.arange(steps.shape[0], device=steps.device)[:, None, None] * steps.shape[1]
    picked = steps.flatten(0, 1).flatten(1)  # [B N, C D]
    return F.embedding(chosen + first, picked).view(*chosen.shape, *steps.shape[2:])
