"""A layer of a transformer whose norms follow the residual sums."""

from __future__ import annotations

from torch import Tensor, nn

from memrl.memory.parts.attention import RelativeAttention


class PostNormLayer(nn.Module):
    """Relative attention and a position-wise network, as in Transformer-XL.

    A subclass calls the attention, then ``_join``.
    """

    def __init__(self, dim: int, *, heads: int, head_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.attention = RelativeAttention(dim, heads=heads, head_dim=head_dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_dim), nn.ReLU(), nn.Linear(mlp_dim, dim))
        self.norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def _join(self, x: Tensor, read: Tensor) -> Tensor:
        """From x and what it read: x' = LN(x + read), then LN(x' + MLP(x')); [..., D]."""
        x = self.norm(x + read)
        return self.mlp_norm(x + self.mlp(x))  # type: ignore[no-any-return]
