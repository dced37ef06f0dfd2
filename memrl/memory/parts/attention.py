"""Transformer-XL's attention over a window of past steps."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.kernels.choice import runs_kernels
from memrl.memory.ops.attention import Ring, sinusoids, softmax_of
from memrl.memory.ops.nonfinite import with_nan, without_nonfinite
from memrl.memory.ops.windowed import windowed


class RelativeAttention(nn.Module):
    """Attention by content and distance.

    logit(i, j) = [(q_i + u)·k_j + (q_i + v)·r_{i−j}] / √K, r = W_r R (Dai et al. 2019, §3.3).

    With one query a row, as in acting, keys and values of the past are not computed:
    (W_k m)·q = m·(W_kᵀ q) and Σ w_j W_v m_j = W_v Σ w_j m_j take S D + K D products a head instead
    of S K D.

    Args:
        dim: D, width of queries, keys and output.
        heads: H.
        head_dim: K; D need not be H K.

    Attributes:
        watch: receives the weights [B, H, S] of one query a row, oldest key first; for pictures.
    """

    def __init__(self, dim: int, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.dim = heads, dim
        self.watch: Callable[[Tensor], None] | None = None
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

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        past: Float[Tensor, "B M D"],
        visible: Bool[Tensor, "B T S"],
    ) -> Float[Tensor, "B T D"]:
        """What each step reads from [past; x] where ``visible`` (of ``window``) is True."""
        seen, nonfinite = self.seen(past, x)
        if x.shape[1] > 1:
            return self._windowed(seen, past.shape[1], visible, nonfinite)
        queries = self.queries(seen[:, past.shape[1] :])
        logits = self.by_content(queries, seen) + self.by_position(queries, past.shape[1])
        return self.read(logits, visible, seen, nonfinite)

    def _windowed(
        self, seen: Tensor, size: int, visible: Tensor, nonfinite: Tensor | None
    ) -> Float[Tensor, "B T D"]:
        """``forward`` of several steps, of which the first is seen[:, size]."""
        queries = F.linear(seen[:, size:], self.query.weight * self._scale)
        u, v = ((bias * self._scale).flatten() for bias in (self.content_bias, self.position_bias))
        keys, values = self.key_value(seen).chunk(2, dim=-1)
        r = self.position(self._distances(size))
        found = windowed(queries + u, queries + v, keys, values, r, visible, self.heads)
        return self._marked(self.output(found), visible, nonfinite)

    def recall(
        self, x: Float[Tensor, "B D"], ring: Ring, norm: nn.LayerNorm
    ) -> Float[Tensor, "B D"]:
        """What one step reads from itself and a ring of earlier inputs, all standardised.

        ``norm``'s gain γ and shift β apply where they are cheap: (γ m + β)·p = m·(γ p) + β·p, of
        which β·p is alike for all keys, and Σ w_j (γ m_j + β) = γ (Σ w_j m_j) + β. So nothing
        passes over the ring but two products.
        """
        queries = self.queries(torch.addcmul(norm.bias, norm.weight, x.unsqueeze(1)))
        weight = self.key_value.weight.chunk(2)[0]
        p = self._backproject(weight, queries + self.content_bias * self._scale) * norm.weight
        positions = self.by_position(queries, ring.size).squeeze(2)  # [B, H, M + 1]
        if self.watch is None and not torch.is_grad_enabled() and runs_kernels(x):
            kernel = importlib.import_module("memrl.memory.kernels.ring")
            found: Tensor = kernel.read(p, positions, x, *ring)
        else:
            found = self._found(p, positions, x.unsqueeze(1), ring)
        return self._values(torch.addcmul(norm.bias, norm.weight, found)).squeeze(1)

    def _found(
        self, p: Tensor, positions: Tensor, now: Tensor, ring: Ring
    ) -> Float[Tensor, "B H D"]:
        """Σ w_j m_j over the ring and the step itself."""
        size, distances, inputs = ring.size, ring.distances(), ring.inputs
        column = (size - distances).long().unsqueeze(1).expand(-1, p.shape[1], -1)
        logits = torch.baddbmm(positions.gather(-1, column), p, inputs.mT)
        hidden = (distances > ring.age.unsqueeze(-1)).unsqueeze(1)
        own = positions[..., -1:] + torch.matmul(p, now.mT)
        together = torch.cat([logits.masked_fill(hidden, -torch.inf), own], dim=-1)
        weights = together.softmax(dim=-1)
        if self.watch is not None:
            self.watch(weights.scatter(-1, column, weights[..., :size]))
        return torch.baddbmm(weights[..., size:] * now, weights[..., :size], inputs)

    @staticmethod
    def seen(*parts: Float[Tensor, "B _ D"]) -> tuple[Float[Tensor, "B S D"], Tensor | None]:
        """Concatenate ``parts``; vectors that are not finite become zeros and are marked [B, S].

        A single step (the last part) sees one episode only, so NaN may spread: no mask is made.
        """
        together = torch.cat(parts, dim=1)
        return (together, None) if parts[-1].shape[1] == 1 else without_nonfinite(together)

    def queries(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T K"]:
        """q, scaled by 1/√K; u and v are scaled where they are added."""
        return self._heads(self.query(x)) * self._scale

    def by_content(
        self, queries: Float[Tensor, "B H T K"], seen: Float[Tensor, "B S D"]
    ) -> Float[Tensor, "B H T S"]:
        """(q_i + u)·k_j."""
        weight = self.key_value.weight.chunk(2)[0]
        queries = queries + self.content_bias * self._scale
        if queries.shape[2] == 1:
            return torch.matmul(self._backproject(weight, queries), seen.mT).unsqueeze(2)
        return torch.matmul(queries, self._heads(F.linear(seen, weight)).mT)

    def by_position(
        self, queries: Float[Tensor, "B H T K"], farthest: int
    ) -> Float[Tensor, "B H T W"]:
        """(q_i + v)·r_d for the distances d = ``farthest`` … 0, in this order."""
        weight = self.position.weight
        distances = self._distances(farthest)
        queries = queries + self.position_bias * self._scale
        if queries.shape[2] == 1:
            return torch.matmul(self._backproject(weight, queries), distances.T).unsqueeze(2)
        r = self._heads(F.linear(distances, weight).unsqueeze(0))  # [1, H, W, K]
        return torch.matmul(queries, r.mT)

    def read(
        self,
        logits: Float[Tensor, "B H T S"],
        visible: Bool[Tensor, "B T S"],
        seen: Float[Tensor, "B S D"],
        nonfinite: Bool[Tensor, "B S"] | None,
    ) -> Float[Tensor, "B T D"]:
        """The softmax-weighted sum of the visible values, projected by W_o.

        It is NaN where a visible vector is ``nonfinite``.
        """
        weight, weights = self.key_value.weight.chunk(2)[1], softmax_of(logits, visible)
        if logits.shape[2] == 1:
            if self.watch is not None:
                self.watch(weights.squeeze(2))
            found = self._values(torch.matmul(weights.squeeze(2), seen))
        else:
            values = torch.matmul(weights, self._heads(F.linear(seen, weight))).transpose(1, 2)
            found = self.output(values.flatten(2))
        return self._marked(found, visible, nonfinite)

    @staticmethod
    def _marked(found: Tensor, visible: Tensor, nonfinite: Tensor | None) -> Tensor:
        """What was found, NaN where a visible vector is not finite."""
        if nonfinite is None:
            return found
        return with_nan(found, (visible & nonfinite.unsqueeze(1)).any(-1))

    def _distances(self, farthest: int) -> Float[Tensor, "W D"]:
        """R: the sinusoids of the distances ``farthest`` … 0."""
        like = self.position.weight
        back = torch.arange(farthest, -1, -1, device=like.device, dtype=like.dtype)
        return sinusoids(back, self.dim)

    def _values(self, found: Float[Tensor, "B H D"]) -> Float[Tensor, "B 1 D"]:
        """W_o of the values of what every head found, for one query a row."""
        weight = self._by_head(self.key_value.weight.chunk(2)[1])
        values = torch.matmul(found.transpose(0, 1), weight.mT).transpose(0, 1)  # [B, H, K]
        return self.output(values.flatten(1)).unsqueeze(1)  # type: ignore[no-any-return]

    @property
    def _scale(self) -> float:
        return float(self.content_bias.shape[-1] ** -0.5)

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _by_head(self, weight: Tensor) -> Tensor:
        return weight.reshape(self.heads, -1, self.dim)  # [H, K, D]

    def _backproject(self, weight: Tensor, queries: Tensor) -> Tensor:
        """Wᵀ q of every head, for one query a row: [B, H, 1, K] -> [B, H, D]."""
        by_head = queries.squeeze(2).transpose(0, 1)  # [H, B, K]
        return torch.matmul(by_head, self._by_head(weight)).transpose(0, 1)
