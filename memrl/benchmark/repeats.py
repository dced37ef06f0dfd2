"""Whether a run that is made again says what the table says."""

from __future__ import annotations

from typing import NamedTuple

from memrl.benchmark.scores import Row


class Verdict(NamedTuple):
    """What a score that came out again is, beside the table's."""

    agrees: bool
    reason: str  # as in "0.5, the table has 0.7 [0.6, 0.8]: REASON"


def verdict(row: Row, seed: int, score: float) -> Verdict:
    """Compare a score with that of the same seed, and with the interval over seeds if it differs.

    A run repeats bit for bit on the same machine with the same versions. Elsewhere it is as another
    seed: it may lie anywhere in the interval, which a single seed does not have.

    Args:
        row: of the cell.
        seed: one of the row's.
        score: of the run that was made again.
    """
    before = row.scores[row.seeds.index(seed)]
    if score == before:
        return Verdict(True, f"repeated, seed {seed} had the same")
    if row.score.samples == 1:
        return Verdict(
            False,
            "one seed has no interval, so its score must repeat exactly, as it does on the same "
            "machine with the same versions",
        )
    inside = row.score.low <= score <= row.score.high
    where = "inside" if inside else "outside of"
    return Verdict(inside, f"not repeated, seed {seed} had {before:.4g}; {where} the interval")
