"""Random fleets on a square board: each ship is placed uniformly among its free places."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Bool
from torch import Tensor


@final
class FleetSampler:
    """Draws fleets from tables of all places of every ship and of the places that overlap.

    POPGym tries random places until one is free. This is the same as drawing uniformly from the
    free places, because each place can be drawn in two ways, from its two ends.

    Args:
        side: of the board, in cells.
        ships: lengths in cells, each from 2 to ``side``, in the order of placement. Every ship must
            have a free place wherever the earlier ships are.
        device: of all tensors.
    """

    def __init__(self, side: int, ships: tuple[int, ...], device: torch.device) -> None:
        self._cover = [_places(side, ship).to(device) for ship in ships]  # each bool [P, side²]
        covers = [cover.float() for cover in self._cover]
        self._free = [  # [earlier][later]: bool [P, P'], the ships do not overlap
            [earlier @ later.T == 0 for later in covers] for earlier in covers
        ]

    def draw(self, num: int, generator: torch.Generator) -> Bool[Tensor, "num cells"]:
        """``num`` independent fleets: True for cells with a ship, row by row."""
        board = self._cover[0].new_zeros((num, self._cover[0].shape[1]))
        chosen: list[Tensor] = []
        for ship, cover in enumerate(self._cover):
            free = cover.new_ones((num, len(cover)))
            for earlier, place in enumerate(chosen):
                free &= self._free[earlier][ship].index_select(0, place)
            chosen.append(_uniform(free, generator))
            board |= cover.index_select(0, chosen[-1])
        return board


def _uniform(allowed: Tensor, generator: torch.Generator) -> Tensor:
    """A uniform choice of one allowed column per row: from [num, P] to int64 [num]."""
    rank = allowed.cumsum(1, dtype=torch.int32)  # number of allowed columns so far
    bits = torch.empty(len(allowed), dtype=torch.int64, device=allowed.device)
    wanted = bits.random_(generator=generator) % rank[:, -1]
    return (rank <= wanted.unsqueeze(1)).sum(1)


def _places(side: int, ship: int) -> Bool[Tensor, "P cells"]:
    """The cells of every horizontal and vertical place of a ship."""
    places = []
    for along in range(side - ship + 1):
        for across in range(side):
            board = torch.zeros(side, side, dtype=torch.bool)
            board[across, along : along + ship] = True
            places += [board.flatten(), board.T.flatten()]
    return torch.stack(places)
