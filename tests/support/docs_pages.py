"""Markdown pages as programs: their code blocks, and a place where those run in order.

A block that begins with ``# file: NAME`` is written to NAME. Python blocks of a page share one
namespace and one process. Every line of a shell block runs in a process of its own, with less of
everything (see ``shortened``). Processes are forked from one server that has imported memrl
already, so that a line costs milliseconds and not seconds to start.

A block that must not run has a paragraph before it that says so to the reader: *Not run in the
tests: REASON*.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"(?:^\*Not run in the tests: (?P<reason>[^*]+)\*\n+)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"# file: (\S+)\n")
# The longest episode of a page, one of `+run=count` in four environments, takes 412 env steps.
_SMALL = ["threads=1", "total_steps=512", "env.num=4", "evaluate.episodes=4"]
# Imported once, by the server that processes are forked from.
_PRELOAD = [
    "memrl.cli.train",
    "memrl.cli.fit",
    "memrl.cli.runs",
    "memrl.envs",
    "memrl.agents.sb3",
    "matplotlib.backends.backend_agg",
    "matplotlib.font_manager",
    "torch._dynamo",
]
PPO = ["agent.steps=16", "agent.bptt=16", "agent.minibatches=2", "agent.epochs=1"]
SHORTER = {
    "train": [*_SMALL, "track.tensorboard=false"],
    "distil": [*_SMALL, "track.tensorboard=false", *PPO],
    "continual": [*_SMALL, "track.tensorboard=false", "run.pictures=false", *PPO],
    "fit": ["sequences=16", "learner.batches=1", "evaluate.sequences=2", "threads=1"],
    "evaluate": ["episodes=4"],
    "watch": ["episodes=4"],
    "inspect": ["episodes=2"],
    "probe": ["episodes=10"],
}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    reason: str | None  # why it does not run

    @property
    def file(self) -> str | None:
        """The file that the block is the content of."""
        named = _FILE.match(self.text)
        return named[1] if named else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start("language")) + 1, found["language"],
              found["text"], found["reason"])
        for found in _FENCE.finditer(text)
    ]  # fmt: skip


def lines(block: Block) -> list[list[str]]:
    """The commands of a shell block, as words."""
    joined = block.text.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def shortened(words: list[str]) -> list[str]:
    """A ``memrl`` command with fewer steps, environments, episodes and values of a sweep."""
    _, command, *rest = words
    if "--resume" in rest:
        rest = [word for word in rest if not word.startswith(("total_steps=", "sequences="))]
        return [command, *rest, "total_steps=640" if command == "train" else "sequences=24"]
    if "-m" in rest or any(word.startswith("+sweep=") for word in rest):
        rest = [_first_two(word) for word in rest]
    added = [*SHORTER.get(command, [])]
    if command == "watch" and not any(word.startswith("ablate=") for word in rest):
        added = []  # one episode is watched, and no other played
    if command == "evaluate":  # the run was made on a probe in MiniGrid's place, without a bank
        rest = [word for word in rest if not word.startswith("bank=")]
    if command == "train":
        if any(word.startswith("env=MiniGrid-") for word in rest):  # whose options no probe takes
            rest = [word for word in rest if not word.startswith("env.")]
        rest = [re.sub(r"^env=MiniGrid-.*", "env=probe/Recall-v0", word) for word in rest]
        if "+run=s13" in rest or not any(word.startswith(("env=", "+run=")) for word in rest):
            rest.append("env=probe/Recall-v0")  # not MiniGrid: a picture of 800 steps takes minutes
            rest = [word for word in rest if not word.startswith("agent.bonus.anneal=")]
        ppo = not any(word.startswith(("agent=", "+run=goal")) for word in rest)
        rest = [re.sub(r"^(agent\.auxiliary\.distance)=.*", r"\1=8", word) for word in rest]
        added += PPO if ppo else []
    return [command, *rest, *added]


def _first_two(word: str) -> str:
    """One or two of the values that a sweep goes through: ``seed`` and ids once, others twice."""
    key, equals, value = word.partition("=")
    if key.endswith("n_trials"):
        return f"{key}=2"
    if "," not in value or value.startswith(("[", "range", "tag")):
        return word
    values = value.split(",")
    return f"{key}{equals}{','.join(values[: 1 if key in ('seed', 'env') else 2])}"


class Place:
    """An empty folder in which one page runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._python: tuple[Connection, Any] | None = None

    def write(self, block: Block) -> None:
        """Write the file that a block is the content of."""
        path = self.folder / str(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text.partition("\n")[2])

    def execute(self, block: Block) -> None:
        """Run a Python block in the page's namespace."""
        if self._python is None:
            here, there = multiprocessing.Pipe()
            self._python = here, self._start(_interpret, there)
        connection, process = self._python
        connection.send((block.text, str(block)))
        fault = connection.recv() if _answers(connection, process) else "the process ended"
        assert fault is None, f"{block}\n{fault}\n{self._said()}"

    def command(self, words: list[str]) -> None:
        """Run ``memrl`` with these words."""
        process = self._start(_memrl, words)
        process.join()
        assert process.exitcode == 0, f"memrl {shlex.join(words)}\n{self._said()}"

    def close(self) -> None:
        """End the Python process of the page."""
        if self._python is not None:
            self._python[0].close()
            self._python[1].join()

    def _start(self, work: Callable[..., None], argument: Any) -> Any:
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(_PRELOAD)
        process = server.Process(target=work, args=(argument, self.folder))
        process.start()
        return process

    def _said(self) -> str:
        return (self.folder / "output.txt").read_text()[-4000:]


def _answers(connection: Connection, process: Any) -> bool:
    while not connection.poll(0.05):
        if not process.is_alive():
            return connection.poll(0)
    return True


def _enter(folder: Path) -> None:
    """Go to the folder, and let all that is printed go to a file there."""
    os.chdir(folder)
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _memrl(words: list[str], folder: Path) -> None:
    from memrl.cli.main import main

    _enter(folder)
    sys.argv = ["memrl", *words]
    main()


def _interpret(connection: Connection, folder: Path) -> None:
    _enter(folder)
    sys.path.insert(0, str(folder))  # as for a script that lies there
    namespace: dict[str, Any] = {"__name__": "__main__"}
    while True:
        try:
            text, name = connection.recv()
        except EOFError:
            return
        try:
            exec(compile(text, name, "exec"), namespace)
        except BaseException:
            connection.send(traceback.format_exc())
        else:
            connection.send(None)
