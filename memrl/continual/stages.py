"""The runs of a continual course: one for each task, each begins with the agent of the last."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from memrl.agents.config import AgentConfig
from memrl.config.composition import compose
from memrl.config.models import Config
from memrl.config.quoting import list_of_texts, text_word
from memrl.config.task_lists import listed_tasks
from memrl.envs.equal_spaces import refuse_other_spaces
from memrl.pipeline.build import make_env
from memrl.pipeline.directories import path_name

Method: TypeAlias = Literal["finetune", "clear", "distil", "progressive"]
METHODS: Final[tuple[Method, ...]] = ("finetune", "clear", "distil", "progressive")
GROUPS: Final[dict[Method, str]] = {"clear": "agent.rehearsal.", "distil": "agent.teacher."}
ALONE: Final = "alone"  # the folder of agents that learn one task only


class Stage(NamedTuple):
    """One run: a task that is learned after others."""

    number: int  # of the task, from 0
    path: Path
    config: Config


def split_tasks(text: str) -> list[list[str]]:
    """``[A,B env.delay=3]`` as the words of each task: ``[[env=A], [env=B, env.delay=3]]``.

    Raises:
        ValueError: it is no list, or one of fewer than two tasks.
    """
    return [[f"env={id}", *options] for id, *options in listed_tasks("tasks", text)]


def stages(
    tasks: Sequence[Sequence[str]], words: Sequence[str], method: Method, root: Path
) -> list[Stage]:
    """The runs of one method. All methods share the first, which has no earlier task.

    Raises:
        ValueError: a word that ``memrl train`` does not take, or an agent that does not learn by
            this method.
    """
    made: list[Stage] = []
    for number, task in enumerate(tasks):
        folder = method if number else "first"
        earlier = [str(stage.path) for stage in made]
        path = root / folder / _name(number, task)
        common = _read(words, method, earlier)
        if made:
            _refuse_agent(made[0].config.agent, method)
        composed = compose([*_one_of(task, common), *_words(method, earlier)])
        made.append(Stage(number, path, _at(composed, path)))
    return made


def alone(
    tasks: Sequence[Sequence[str]], words: Sequence[str], root: Path, first: Stage
) -> list[Stage]:
    """Runs of agents that learn one task only; the first is that of all methods."""
    folder = root / ALONE
    return [
        first,
        *(
            Stage(number, path, _at(compose(_one_of(task, _read(words, "finetune", []))), path))
            for number, task in enumerate(tasks[1:], 1)
            for path in [folder / _name(number, task)]
        ),
    ]


def refuse_other_tasks(made: Sequence[Stage]) -> None:
    """Refuse tasks that one network cannot act in.

    Raises:
        ValueError: a task has other observations or actions than the first.
    """
    with ExitStack() as stack:
        envs = [stack.enter_context(closing(make_env(s.config, num=1))) for s in made]
        for stage, env in zip(made, envs, strict=True):
            refuse_other_spaces(f"tasks: {stage.config.env.id}", env, envs[0])


def _refuse_agent(agent: AgentConfig, method: Method) -> None:
    """Raise ValueError for an agent that leaves nothing for the next task, or lacks an option."""
    if not agent.any_memory:  # but is a memory, without a network for `init`
        raise ValueError(
            f"memrl continual takes no agent={agent.kind}: no task could begin with what it "
            "learned before (allowed: agent=ppo, agent=r2d2)"
        )
    group = GROUPS.get(method, "").rstrip(".")
    if group and group.removeprefix("agent.") not in type(agent).model_fields:
        raise ValueError(
            f"methods=[{method}] needs {group}, which agent={agent.kind} does not have"
        )


def _words(method: Method, earlier: Sequence[str]) -> list[str]:
    """What a run has beside its task and the words of all: where it begins, what it keeps."""
    if not earlier:
        return []
    words = [text_word("init", earlier[-1])]
    if method == "clear":
        words.append(list_of_texts("agent.rehearsal.runs", earlier))
    elif method == "distil":
        words.append(list_of_texts("agent.teacher.runs", earlier[-1:]))
    elif method == "progressive":
        words.append(f"policy.columns={len(earlier)}")
    return words


def _one_of(task: Sequence[str], common: Sequence[str]) -> list[str]:
    """The words of one task: its own options count before those of all."""
    own = {word.partition("=")[0] for word in task}
    return [*task, *(word for word in common if word.partition("=")[0] not in own)]


def _read(words: Sequence[str], method: Method, earlier: Sequence[str]) -> list[str]:
    """The words of all without the options of what this run does not do."""
    unread = tuple(group for reader, group in GROUPS.items() if reader != method or not earlier)
    return [word for word in words if not word.startswith(unread)]


def _at(config: Config, path: Path) -> Config:
    return config.model_copy(update={"run": config.run.model_copy(update={"dir": path})})


def _name(number: int, task: Sequence[str]) -> str:
    return path_name("-".join([str(number), task[0].removeprefix("env="), *task[1:]]))
