"""A search by Ray Tune: trials are drawn at random, and ASHA stops the worse of them early."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from memrl.cluster.trial import FAILED, FINISHED, SCORE, STEPS, Search, trainable, trial_name
from memrl.config.search_space import Axis, Choice

RECORDS: Final = ".ray"  # of Ray, in the root of a search
_RETRIES: Final = 2  # of a trial whose process or node is lost
State: TypeAlias = Literal["finished", "stopped", "failed", "left"]


class Trial(NamedTuple):
    """What became of a trial."""

    name: str
    words: list[str]  # what sets it apart
    path: Path  # of its run
    state: State  # "left": it was interrupted, or did not begin
    env_steps: int
    score: float | None  # of the evaluation; of a stopped one, in training
    success: float | None  # of the evaluation, as `returns` is
    returns: float | None
    fault: Any  # of a failed one: a sentence, or the error that Ray caught


def run_search(search: Search, say: Callable[[str], None]) -> list[Trial]:
    """Run the trials that are left of a search, in a cluster that is connected.

    Ctrl-C ends all of them; the next call goes on.
    """
    from ray import tune

    records = search.root / RECORDS
    run = tune.with_resources(trainable(search), {"cpu": search.cpus, "gpu": search.gpus})
    if tune.Tuner.can_restore(str(records)):
        say(f"going on with the search in {search.root}")
        tuner = tune.Tuner.restore(str(records), trainable=run, resume_errored=True)
    else:
        tuner = _new(search, run)
    results = tuner.fit()
    return sorted((_trial(search, result) for result in results), key=lambda one: _number(one.name))


def _new(search: Search, run: Any) -> Any:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.basic_variant import BasicVariantGenerator

    def name(trial: Any) -> str:
        return trial_name(trial.trial_id)

    return tune.Tuner(
        run,
        param_space={key: _domain(axis) for key, axis in search.space.axes.items()},
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="max",
            num_samples=search.trials,
            search_alg=BasicVariantGenerator(random_state=search.seed),
            scheduler=ASHAScheduler(
                time_attr=STEPS,
                max_t=search.total_steps,
                grace_period=search.grace,
                reduction_factor=search.reduction,
            ),
            reuse_actors=True,  # to start a process takes longer than many trials
            trial_name_creator=name,
            trial_dirname_creator=name,
        ),
        run_config=tune.RunConfig(
            name=RECORDS,
            storage_path=str(search.root),
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            callbacks=[_announcer(search)],
            verbose=0,
        ),
    )


def _domain(axis: Axis) -> Any:
    """What Ray draws from."""
    from ray import tune

    if isinstance(axis, Choice):
        return tune.choice(list(axis.values))
    if axis.whole:
        draw = tune.lograndint if axis.log else tune.randint
        return draw(int(axis.low), int(axis.high) + 1)
    return (tune.loguniform if axis.log else tune.uniform)(axis.low, axis.high)


def _announcer(search: Search) -> Any:
    """Prints a line for each trial that ends."""
    from ray import tune

    class Announcer(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            told = trial.last_result or {}
            words = " ".join(search.space.words(trial.config))
            print(f"{trial}: {words}: {_ending(told)}", file=sys.stderr, flush=True)

    return Announcer()


def _ending(told: dict[str, Any]) -> str:
    if FAILED in told:
        return f"failed: {told[FAILED]}"
    ended = "finished" if told.get(FINISHED) else "stopped"
    return f"{ended} after {told[STEPS]:,} env steps, score {told[SCORE]:.3g}"


def _trial(search: Search, result: Any) -> Trial:
    told, name = result.metrics or {}, Path(result.path).name
    fault = told.get(FAILED) or result.error
    state: State = "left"
    if fault is not None:
        state = "failed"
    elif told.get(FINISHED):
        state = "finished"
    elif told.get("done"):
        state = "stopped"
    drawn = result.config  # None where it did not begin
    return Trial(
        name,
        search.space.words(drawn) if drawn else [],
        search.run_of(name),
        state,
        int(told.get(STEPS, 0)),
        told.get(SCORE),
        told.get("success"),
        told.get("return"),
        fault,
    )


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
