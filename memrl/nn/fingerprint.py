"""A 64-bit fingerprint of an observation, equal bytes giving equal fingerprints."""

from __future__ import annotations

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor
from torch.nn import functional as F

_SPREAD = -0x61C8864680B583EB  # 2^64 / golden ratio, odd, as a signed word
_MIX = -0x40A7B892E31B1A47  # an odd constant of the splitmix64 generator


def fingerprint(x: Shaped[Tensor, "N ..."]) -> Int64[Tensor, " N"]:
    """Hash the bytes of every row of ``x``.

    The row is read as 64-bit words; each is mixed with its position and all are added, so that two
    different rows agree with a chance of about 2⁻⁶⁴. The same on every device and machine.
    """
    rows = x.reshape(x.shape[0], -1).contiguous().view(torch.uint8)
    words = F.pad(rows, (0, -rows.shape[1] % 8)).view(torch.int64)  # [N, words]
    place = torch.arange(1, words.shape[1] + 1, device=x.device) * _SPREAD
    mixed = (words ^ place) * _MIX
    mixed = (mixed ^ (mixed >> 29)) * _SPREAD
    mixed = (mixed ^ (mixed >> 32)) * _MIX
    return (mixed ^ (mixed >> 31)).sum(dim=1)
