"""memrl evaluate for a run of memrl fit: new sequences, at lengths that are asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Lt
from pydantic import Field

from memrl.cli.arguments import MemoryOptions, parse
from memrl.memory.parts.slots import resize
from memrl.options import Strict
from memrl.pipeline.loading import find_checkpoint, read_config_as
from memrl.pipeline.setup import seed_for
from memrl.run.directory import RunDirectory
from memrl.supervised.config import FitConfig
from memrl.supervised.evaluation import LengthScore, as_dicts, evaluate_lengths
from memrl.supervised.fitting import FitJob, table


class EvaluateFitOptions(Strict):
    """Keys of ``memrl evaluate`` for a run of ``memrl fit``; None is what the run has."""

    lengths: Annotated[tuple[Annotated[int, Ge(1)], ...], Field(strict=False)] | None = None
    sequences: Annotated[int, Ge(1)] | None = None  # of each length
    seed: Annotated[int, Ge(0), Lt(2**32)] | None = None
    device: str | None = None
    memory: MemoryOptions = MemoryOptions()


def evaluate_fit(directory: RunDirectory, words: Sequence[str], *, as_json: bool) -> None:
    """Score new sequences with the memory of a run."""
    options = parse(EvaluateFitOptions, words)
    scores = score(directory, options)
    if as_json:
        print(json.dumps({"evaluation": as_dicts(scores)}))
    else:
        print("\n".join(table(scores)))


def score(directory: RunDirectory, options: EvaluateFitOptions) -> list[LengthScore]:
    """The scores of a run's last checkpoint.

    Raises:
        ValueError: a length that the task does not have, or a number of slots that the memory does
            not take.
        CheckpointError: there is no checkpoint yet, or none is intact.
    """
    run = RunDirectory(directory.path, command="fit")
    config = read_config_as(FitConfig, run, device=options.device)
    changes = {"lengths": options.lengths, "sequences": options.sequences}
    changed = {key: value for key, value in changes.items() if value is not None}
    asked = config.model_copy(update={"evaluate": config.evaluate.model_copy(update=changed)})
    job = FitJob(asked)
    learner = job.learner
    learner.load_state_dict(find_checkpoint(run, config, data=job.data).state["agent"])
    if options.memory.slots is not None:
        resize(learner.model.core, options.memory.slots)
    return evaluate_lengths(
        learner.task,
        learner.model,
        asked.evaluate.lengths or (learner.task.max_length,),
        asked.evaluate.sequences,
        seed=options.seed if options.seed is not None else seed_for(config.seed, "evaluate"),
        device=job.device,
    )
