"""64-bit fingerprints of observations: equal bytes have equal fingerprints."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor
from torch.nn import functional as F

_SPREAD = -0x61C8864680B583EB  # 2^64 / golden ratio, odd, as a signed word
_MIX = -0x40A7B892E31B1A47  # an odd constant of the splitmix64 generator
DEDUPLICATE_FROM = 1024  # rows; for fewer rows sorting costs more than it saves


def fingerprint(x: Shaped[Tensor, "N ..."]) -> Int64[Tensor, " N"]:
    """Hash the bytes of every row of ``x``.

    It mixes each 64-bit word of a row with its position and adds the results. Two different rows
    collide with a probability of about 2⁻⁶⁴. All devices and machines give the same hash.
    """
    rows = x.reshape(x.shape[0], -1).contiguous().view(torch.uint8)
    words = F.pad(rows, (0, -rows.shape[1] % 8)).view(torch.int64)  # [N, words]
    place = torch.arange(1, words.shape[1] + 1, device=x.device) * _SPREAD
    mixed = (words ^ place) * _MIX
    mixed = (mixed ^ (mixed >> 29)) * _SPREAD
    mixed = (mixed ^ (mixed >> 32)) * _MIX
    return (mixed ^ (mixed >> 31)).sum(dim=1)


def per_distinct(
    encode: Callable[[Tensor], Tensor], rows: Tensor, least: int = DEDUPLICATE_FROM
) -> Tensor:
    """``encode(rows)``, [N, ...] to [N, D], computed once per distinct row where that is cheaper.

    A large batch of observations often holds a few hundred distinct ones, and on the CPU a look-up
    costs less than a matrix product. Batches with fewer than ``least`` rows are encoded directly.
    """
    # During an export the batch size is not known yet.
    small = torch.compiler.is_exporting() or len(rows) < least
    if small or rows.device.type != "cpu":
        return encode(rows)
    distinct, place = torch.unique(fingerprint(rows), return_inverse=True)
    example = place.new_empty(len(distinct))
    example[place] = torch.arange(len(rows))
    return encode(rows[example]).index_select(0, place)
