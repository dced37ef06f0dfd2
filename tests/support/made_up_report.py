"""A report of made-up experiments, with words that want to be markup."""

from __future__ import annotations

from memrl.probing.report import Checkpoint, Experiment, Interval, ReadOff, Reads, Report

STEPS = (-1, 0, 2)


def made_up_report(name: str = "reads silenced") -> Report:
    """Three experiments, a readout at ``STEPS``, and where reads come from."""
    return Report(
        run="runs/made-up",
        checkpoint=Checkpoint(which="last", env_steps=1013, version="1.7", commit=name),
        known={"memoryless": 0.5},
        measure="success",
        episodes=53,
        counted=47,
        experiments=[
            _experiment("undisturbed", None, 0.98),
            _experiment(name, None, 0.51, changed=True),
            _experiment("wiped once", 0.25, 0.73, changed=True, again=0.875),
        ],
        readouts={
            "cue": ReadOff(
                after=list(STEPS),
                memory=[_interval(0.5), _interval(0.9), _interval(0.875)],
                observation=[_interval(0.5), _interval(0.9), _interval(0.625)],
                commonest=[0.5, 0.5, 0.5],
            )
        },
        reads=Reads(
            method="writes",
            meaning=f"by {name}",
            later=_interval(0.75),
            later_even=0.25,
            last=_interval(0.875),
            last_even=0.2,
            example=[[1.0, 0.0], [0.5, 0.5]],
            cue=(0, 1),
        ),
    )


def _experiment(
    name: str,
    when: float | None,
    score: float,
    *,
    changed: bool = False,
    again: float | None = None,
) -> Experiment:
    return Experiment(
        name=name,
        when=when,
        score=_interval(score),
        change=_interval(score - 0.98) if changed else None,
        other=_interval(1 - score),
        again=None if again is None else _interval(again),
        unaided_score=None if again is None else _interval(0.375),
        unaided_other=None,
        cut_off=0,
    )


def _interval(mean: float) -> Interval:
    return Interval(mean=mean, low=mean - 0.0625, high=mean + 0.0625, samples=47)
