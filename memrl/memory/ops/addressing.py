"""Attention over a memory of N slots, by content and by location, and writing to it (NTM, DNC)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vector_norm

COSINE_EPS = 1e-6  # added to the product of norms, so that a zero row has similarity 0
SHARPEN_EPS = 1e-8  # added to the weights that are sharpened, so that 0 has a logarithm


def content_weights(
    keys: Float[Tensor, "B H W"],
    strengths: Float[Tensor, "B H"],
    memory: Float[Tensor, "B N W"],
    *,
    eps: float = COSINE_EPS,
) -> Float[Tensor, "B H N"]:
    """Attention by cosine similarity, sharpened by strengths β ≥ 0 (NTM, eq. 5–6; DNC, C(M, k, β)).

    ``eps`` is added to the product of the norms, so that a zero row has similarity 0 with every
    key. It must stay well below the norms of the rows.
    """
    similarity = torch.bmm(keys, memory.mT)  # [B, H, N]
    key_norms: Tensor = vector_norm(keys, dim=-1, keepdim=True)  # [B, H, 1]
    row_norms: Tensor = vector_norm(memory, dim=-1)  # [B, N]
    norms = key_norms * row_norms.unsqueeze(1)
    return (similarity * (strengths.unsqueeze(-1) / (norms + eps))).softmax(dim=-1)


def masked_content_weights(
    keys: Float[Tensor, "B H W"],
    masks: Float[Tensor, "B H W"],
    strengths: Float[Tensor, "B H"],
    memory: Float[Tensor, "B N W"],
    *,
    eps: float = COSINE_EPS,
) -> Float[Tensor, "B H N"]:
    """Attention by cosine similarity of the components that a head's mask m in [0, 1] selects.

    C(M ∘ m, k ∘ m, β) of Csordás & Schmidhuber 2019: masked components affect neither the product
    nor the norm of a row. ``eps`` as in ``content_weights``.
    """
    squared = masks * masks
    similarity = torch.bmm(keys * squared, memory.mT)  # [B, H, N]
    key_norms: Tensor = vector_norm(keys * masks, dim=-1, keepdim=True)
    # The square root has no gradient at the zero row of an empty memory; 1e-12 is far below eps.
    row_norms = torch.bmm(squared, (memory * memory).mT).clamp_min(1e-24).sqrt()
    norms = key_norms * row_norms
    return (similarity * (strengths.unsqueeze(-1) / (norms + eps))).softmax(dim=-1)


def shift(
    weights: Float[Tensor, "B H N"], kernel: Float[Tensor, "B H K"]
) -> Float[Tensor, "B H N"]:
    """Rotate attention along the slots (NTM, eq. 8): w̃(i) = Σ_s w(i − s) kernel(s).

    ``kernel`` is a distribution over the offsets −K//2 … K//2 in this order; K is odd and at most
    N. A positive offset moves attention to higher slots; slots wrap around.

    Raises:
        ValueError: K is even or larger than N.
    """
    size = kernel.shape[-1]
    if size % 2 == 0 or size > weights.shape[-1]:
        raise ValueError(
            f"the shift kernel has size {size}; allowed: odd, at most {weights.shape[-1]}"
        )
    reach = size // 2
    if reach == 0:
        return weights * kernel
    around = torch.cat([weights[..., -reach:], weights, weights[..., :reach]], dim=-1)
    windows = around.unfold(-1, size, 1)  # [B, H, N, K]; the last one holds offset −K//2
    return torch.matmul(windows, kernel.flip(-1).unsqueeze(-1)).squeeze(-1)


def sharpen(
    weights: Float[Tensor, "B H N"], power: Float[Tensor, "B H"], *, eps: float = SHARPEN_EPS
) -> Float[Tensor, "B H N"]:
    """Raise attention to a power γ ≥ 1 and renormalise (NTM, eq. 9).

    It works in log space, because the gradient of w^γ, w^γ log w, is NaN at w = 0. ``weights`` need
    not sum to 1. S(d, s) of Csordás & Schmidhuber 2019 is the same function.
    """
    return (power.unsqueeze(-1) * (weights + eps).log()).softmax(dim=-1)


def write(
    memory: Float[Tensor, "B N W"],
    weights: Float[Tensor, "B H N"],
    erase: Float[Tensor, "B H W"],
    add: Float[Tensor, "B H W"],
) -> Float[Tensor, "B N W"]:
    """Erase, then add, at the slots of the write heads: M ∘ Π(1 − w eᵀ) + Σ w aᵀ (NTM, eq. 3–4)."""
    columns = weights.mT  # [B, N, H]
    for head in range(weights.shape[1]):
        erased = memory * columns[..., head : head + 1]
        memory = torch.addcmul(memory, erased, erase[:, head : head + 1], value=-1.0)
    return torch.baddbmm(memory, columns, add)


def entropy(weights: Float[Tensor, "*B N"]) -> Float[Tensor, "*B"]:
    """Entropy of weights in nats: 0 for a single slot, log N for uniform weights."""
    return -torch.xlogy(weights, weights).sum(dim=-1)
