"""Message passing between the nodes of a memory (graph)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def pass_messages(
    nodes: Float[Tensor, "B N W"], link: Float[Tensor, "B N N"], weight: Float[Tensor, "W V"]
) -> Float[Tensor, "B N W"]:
    """One round over two relations: tanh(m_i + V_b Σ_j L(i, j) m_j + V_f Σ_j L(j, i) m_j).

    L = ``link`` is the degree to which node i was written right after node j. Its rows and columns
    sum to at most 1, so that a sum over neighbours is a weighted mean; a node without neighbours
    receives no message. ``weight`` is [V_b, V_f] side by side, V = 2W. ``nodes`` is not modified.
    """
    before, after = torch.bmm(link, nodes), torch.bmm(link.mT, nodes)
    return (nodes + F.linear(torch.cat([before, after], dim=-1), weight)).tanh()
