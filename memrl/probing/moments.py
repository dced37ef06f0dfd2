"""When an experiment begins in each episode, and whose memory an episode gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memrl.probing.play import NEVER, Played


def moments(played: Played, share: float, *, gap: int = 1) -> NDArray[np.int64]:
    """A step of each episode between the cue and the end, [B]; NEVER where there is none.

    With ``share`` 0 it is the first step after the cue was last in view; with 1 the last step.
    Without cues the way begins at step 1. Episodes with fewer than ``gap`` steps on the way have
    none.
    """
    begin = np.ones_like(played.length) if played.cue is None else played.last_seen + 1
    end = played.length - 1
    there = end - begin + 1 >= gap
    if played.cue is not None:
        there &= played.first_seen != NEVER
    between = begin + np.rint(share * (end - begin)).astype(np.int64)
    return np.where(there, between, NEVER)


def moments_at(played: Played, step: int) -> NDArray[np.int64]:
    """``step`` in each episode that has it, and has seen its cue before it, [B]; else NEVER.

    Raises:
        ValueError: it is the first step, before which there is nothing to change, or no episode
            lasts so long.
    """
    longest = int(played.length.max()) - 1
    if not 1 <= step <= longest:
        raise ValueError(
            f"step={step}: the longest of {len(played.length)} episodes has the steps 0 to "
            f"{longest} (allowed: 1 to {longest})"
        )
    there = played.length > step
    if played.cue is not None:
        there &= (played.first_seen != NEVER) & (played.first_seen < step)
    return np.where(there, step, NEVER)


def donors(
    cue: NDArray[np.int64], rows: NDArray[np.bool_], seed: int, *, same: bool
) -> NDArray[np.int64]:
    """Another episode for each of ``rows``, drawn among them: [B]; NEVER where there is none.

    Its cue is another one, or the same.
    """
    drawn = np.random.default_rng(seed)
    found = np.full(len(cue), NEVER)
    for row in np.flatnonzero(rows):
        fitting = rows & ((cue == cue[row]) if same else (cue != cue[row]))
        fitting[row] = False
        if fitting.any():
            found[row] = drawn.choice(np.flatnonzero(fitting))
    return found
