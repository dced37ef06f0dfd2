"""memrl continual: tasks one after the other, by several methods, and a table of forgetting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memrl.checkpoint.atomic import write_atomically
from memrl.cli.output import Say, listener, table
from memrl.config.models import check
from memrl.continual.course import Rows, conclude, evaluate_all, learn, learn_alone, matrix
from memrl.continual.scores import Transfer
from memrl.continual.stages import (
    GROUPS,
    METHODS,
    Method,
    Stage,
    alone,
    refuse_other_tasks,
    split_tasks,
    stages,
)
from memrl.distributed.group import need_one_process
from memrl.errors import nearest
from memrl.options import Strict
from memrl.run.summary import standard

_OWN = ("tasks", "methods", "root", "alone")
_CHOSEN = (  # by tasks, root and methods
    *("env", "env.id", "env.tasks", "init", "run.dir", "run.root"),
    *("agent.rehearsal.runs", "agent.teacher.runs", "policy.columns"),
)


class Options(Strict):
    """Keys of ``memrl continual``; all other words are those of ``memrl train``."""

    tasks: str
    methods: str = "[finetune]"
    root: str = "continual"
    alone: bool = False  # train each task from its beginning, too: forward transfer needs it


def run_course(words: Sequence[str], *, as_json: bool) -> None:
    """Run what is missing of a course, then print what each method kept.

    Raises:
        ValueError: no tasks, tasks with different spaces, an unknown method or word.
        RunError: as ``memrl.train``.
    """
    need_one_process("memrl continual")
    options, rest = _split(words)
    methods, tasks = _methods(options.methods), split_tasks(options.tasks)
    root, say = Path(options.root), listener(as_json=as_json)
    _refuse_unread(rest, methods)
    courses = {method: stages(tasks, rest, method, root) for method in methods}
    refuse_other_tasks(courses[methods[0]])
    singles = alone(tasks, rest, root, courses[methods[0]][0]) if options.alone else None
    played = {method: _play(made, say) for method, made in courses.items()}
    base = None if singles is None else learn_alone(singles, played[methods[0]], say)
    results: dict[str, dict[str, Any]] = {
        method: _result(played[method], made, base) for method, made in courses.items()
    }
    text = json.dumps(standard(results), indent=2)
    write_atomically(root / "continual.json", f"{text}\n".encode())
    print(text if as_json else _table(results))


def _play(made: Sequence[Stage], say: Say) -> Rows:
    """Learn all tasks by one method; the scores on all of them after each."""
    configs, rows = [stage.config for stage in made], list[list[dict[str, Any]]]()
    for stage in made:
        learn(stage, say)
        # A task is played with its own column, which no later task changes.
        frozen = [row[i] for i, row in enumerate(rows)] if stage.config.policy.columns else []
        rows.append(evaluate_all(stage, configs, say, frozen))
    return rows


def _result(rows: Rows, made: Sequence[Stage], base: Sequence[Stage] | None) -> dict[str, Any]:
    """What one method kept: its scores, forgetting and transfer."""
    measure, scores = matrix(rows)
    found = conclude(rows, made, base)
    return {"measure": measure, "scores": scores.tolist(), **found._asdict()}


def _table(results: dict[str, dict[str, Any]]) -> str:
    """One row a method: the average at the end, forgetting, transfer, and each task at the end."""
    (first, *_) = results.values()
    heads = [*Transfer._fields, *(f"task {i}" for i in range(len(first["scores"])))]
    rows = [
        [method, *(_number(one[name]) for name in Transfer._fields),
         *(_number(score) for score in one["scores"][-1])]
        for method, one in results.items()
    ]  # fmt: skip
    return table([first["measure"], *heads], rows, right=heads)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _split(words: Sequence[str]) -> tuple[Options, list[str]]:
    """The options of this command, and the words of ``memrl train``."""
    own = {key: value for key, _, value in (word.partition("=") for word in words) if key in _OWN}
    if "tasks" not in own:
        raise ValueError("memrl continual wants tasks, as in memrl continual tasks=[ID,ID]")
    if own.get("alone") not in (None, "true", "false"):
        raise ValueError(f"alone={own['alone']}, allowed: true, false")
    known: dict[str, Any] = {**own, "alone": own.get("alone") == "true"}
    rest = [word for word in words if word.partition("=")[0] not in _OWN]
    for word in rest:
        if word.startswith("-") or word.partition("=")[0].lstrip("+") in _CHOSEN:
            raise ValueError(f"memrl continual takes no {word}: tasks, root and methods choose it")
        if word.startswith("workers=") and word != "workers=1":
            raise ValueError(f"memrl continual takes no {word}: it learns in one process")
    return check(known, Options), rest


def _refuse_unread(words: Sequence[str], methods: Sequence[Method]) -> None:
    """Raise ValueError for an option of a method that is not among these."""
    for reader, group in GROUPS.items():
        for word in words:
            if word.startswith(group) and reader not in methods:
                raise ValueError(f"{word} is not read by {', '.join(methods)} (it is by {reader})")


def _methods(text: str) -> list[Method]:
    named = [word.strip() for word in text.strip("[]").split(",")]
    chosen: list[Method] = [method for method in METHODS if method in named]
    for word in named:
        if word not in METHODS:
            hint = nearest(word, METHODS)
            raise ValueError(f"methods={text}: {word!r}, allowed: {', '.join(METHODS)}{hint}")
    return chosen
