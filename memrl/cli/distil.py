"""memrl distil: what trained agents do, learned by one with another memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from memrl.cli.train import start_runs, words_of
from memrl.config.quoting import list_of_texts
from memrl.pipeline.loading import read_config
from memrl.run.directory import RunDirectory

# Only the teacher is followed: what is rewarded, and what is new, moves the critic alone.
PRESET: Final = ("agent.policy_coef=0", "agent.entropy=0", "agent.bonus.kind=none")


def distil_runs(words: Sequence[str], *, as_json: bool) -> None:
    """Train as ``memrl train`` does, with runs among the words as teachers.

    The environment is that of the first teacher, unless a word chooses another one.

    Raises:
        ValueError: no run is named, one has other observations or actions, or the student is of
            another agent than PPO.
        RunError: there is no such run, or it has no checkpoint.
    """
    runs = [word for word in words if is_run(word)]
    if not runs:
        raise ValueError(
            "memrl distil wants the run of a teacher, as in memrl distil runs/dnc memory=gru"
        )
    rest = [word for word in words if word not in runs]
    for word in rest:
        if word.startswith("agent=") and word != "agent=ppo":
            raise ValueError(f"memrl distil takes no {word}: only agent=ppo learns from teachers")
    teachers = list_of_texts("agent.teacher.runs", runs)
    env = [] if any(word.startswith("env=") for word in rest) else env_of(Path(runs[0]))
    start_runs([*env, *PRESET, teachers, *rest], as_json=as_json)


def is_run(word: str) -> bool:
    """Whether a word is the place of a run, and no KEY=VALUE or flag."""
    return not word.startswith("-") and ("=" not in word or Path(word).is_dir())


def env_of(path: Path) -> list[str]:
    """The words that choose the environment of a run, with its options."""
    words = words_of(read_config(RunDirectory.open(path)))
    return [word for word in words if word.lstrip("+").startswith(("env=", "env."))]
