"""The results of experiments as plain values, for files and other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memrl.evaluation.statistics import Estimate
from memrl.probing.experiments import Experiments, Result, When
from memrl.probing.provenance import METHODS


def as_dict(experiments: Experiments, results: Sequence[Result]) -> dict[str, Any]:
    """Everything that was found, as numbers, texts, lists and dicts.

    ``when`` is a share of the way from the cue to the end, a step, or None. Where there is no cue,
    ``readouts`` is empty and ``reads`` None.
    """
    reads = experiments.reads
    return {
        "measure": experiments.measure,
        "episodes": len(experiments.rows),
        "counted": int(experiments.rows.sum()),
        "experiments": [
            {
                "name": result.name,
                "when": result.when,
                "score": _plain(result.score),
                "change": _plain(result.change),
                "other": _plain(result.other),
                "again": _plain(result.again),
                "unaided_score": _plain(result.unaided_score),
                "unaided_other": _plain(result.unaided_other),
                "cut_off": result.cut_off,
            }
            for result in results
        ],
        "readouts": {
            name: {
                "after": readout.after,
                "memory": [_plain(each) for each in readout.memory],
                "observation": [_plain(each) for each in readout.observation],
                "commonest": readout.commonest,
            }
            for name, readout in experiments.readouts.items()
        },
        "reads": reads
        and {
            "method": reads.example.method,
            "meaning": METHODS[reads.example.method],
            "later": _plain(reads.later),
            "later_even": reads.later_even,
            "last": _plain(reads.last),
            "last_even": reads.last_even,
            "example": reads.example.weights.tolist(),
            "cue": list(reads.cue),
        },
    }


def when_as_text(when: When) -> str:
    """When a change was made, in a word or two."""
    if when is None:
        return ""
    if isinstance(when, int):
        return f"step {when}"
    return {0.0: "after cue", 1.0: "at the end"}.get(when, f"{when:.0%}")


def _plain(estimate: Estimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    return {
        "mean": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "samples": estimate.samples,
    }
