"""Every code block of the README and of docs/ runs.

Python blocks run on every page. Of shell lines the configuration is composed and the names are
checked; ``pytest -m slow`` runs them, shortened. ``make``, ``pip``, ``pytest``, ``source`` and
``wandb`` are held against the files that they speak of. ``memrl bench``, ``benchmark``, ``play``
and ``tune`` take minutes, a person or an extra: they are checked and never run.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_pages import ROOT, Block, Place, blocks, lines, shortened
from own_folder import own_folder

import memrl
from memrl.cli.app import app, bench
from memrl.cli.arguments import parse
from memrl.cli.sweep_axes import axes_of
from memrl.cli.tune import Options, split_words
from memrl.config.search_space import split_space
from memrl.supervised.config import compose_fit

__all__ = ["own_folder"]  # a fixture

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
# Pages whose Python blocks open what their shell blocks made, or take long.
LONG = {
    README,
    *(ROOT / "docs" / f"{name}.md" for name in ("start", "envs", "plugins", "sb3")),
    ROOT / "docs" / "how" / "checkpoints.md",
}
ELSEWHERE = dict.fromkeys(  # pages whose blocks run there
    ("docs/acting.md", "docs/export.md"), "tests/pipeline/test_trained.py"
)
NEVER_RUN = {"bench", "benchmark", "play", "tune"}
NEEDS = {
    "docs/sweeps.md": ("hydra_joblib_launcher", "hydra_submitit_launcher", "hydra_optuna_sweeper")
}
LANGUAGES = {"python", "bash", "yaml", "toml", "text", ""}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> Iterator[tuple[Block, list[str]]]:
    for block in blocks(page):
        if block.language == "bash":
            yield from ((block, words) for words in lines(block))


@pytest.fixture
def place(tmp_path):
    here = Place(tmp_path)
    yield here
    here.close()


def need(page: Path) -> None:
    """Skip a page whose commands need plug-ins of Hydra's that are not installed."""
    for plugin in NEEDS.get(name(page), ()):
        pytest.importorskip(f"hydra_plugins.{plugin}", reason="pip install 'memrl[sweep]'")


def play(page: Path, place: Place, *, shell: bool) -> None:
    """Run the blocks of a page in order; without ``shell`` those in Python alone."""
    for block in blocks(page):
        if block.reason:
            continue
        if block.file:
            place.write(block)
        elif block.language == "python":
            place.execute(block)
        elif block.language == "bash" and shell:
            for words in lines(block):
                if words[0] == "memrl" and words[1] not in NEVER_RUN:
                    place.command(shortened(words))


@pytest.mark.parametrize(
    "page",
    [
        page for page in PAGES if page not in LONG and name(page) not in ELSEWHERE
        and any(block.language == "python" for block in blocks(page))
    ],
    ids=name,
)  # fmt: skip
def test_the_python_blocks_of_a_page_run(page, place):
    play(page, place, shell=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page) and name(page) not in ELSEWHERE], ids=name
)
def test_the_blocks_of_a_page_run(page, place):
    need(page)
    play(page, place, shell=True)


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=name)
def test_the_commands_of_a_page_exist(page, own_folder):
    need(page)
    for block in blocks(page):
        if block.file:
            Place(own_folder).write(block)
    for block, words in commands(page):
        check(words, f"{block}: {' '.join(words)}")


def check(words: list[str], said: str) -> None:
    """Hold a command against what it speaks of."""
    match words:
        case ["memrl", *rest]:
            check_memrl(rest, said)
        case ["torchrun", *flags]:
            check_memrl(flags[flags.index("memrl") + 1 :], said)
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), said
        case ["pip", "install", *rest]:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            extras = [word.partition("[")[2].rstrip("]") for word in rest if "[" in word]
            assert set(extras) <= project["optional-dependencies"].keys(), said
        case ["pytest", *rest]:
            assert all((ROOT / word).exists() for word in rest if word.startswith("tests/")), said
        case ["wandb", "sweep", file]:
            assert (ROOT / file).exists(), said
        case ["source", ".venv/bin/activate"] | ["wandb", "agent", _]:
            pass
        case _:
            pytest.fail(f"{said}: teach this test what to do with it")


def check_memrl(words: list[str], said: str) -> None:
    """A command exists, and a configuration that it names can be composed."""
    command, *rest = words
    known = {found.callback.__name__ for found in app.registered_commands if found.callback}
    if command == "bench":
        (measured, *_) = rest
        assert measured in {found.name for found in bench.registered_commands} | {
            found.callback.__name__ for found in bench.registered_commands if found.callback
        }, said
        return
    if command.startswith("--"):
        return
    assert command in known, said
    if "--plugin" in rest or "--resume" in rest or "--config-dir" in rest:
        return
    if command == "tune":
        own, words = split_words(rest)
        parse(Options, own)
        assert [*map(memrl.compose, split_space(words).corners())], said
        return
    overrides = [first(word) if "=" in word else word for word in rest if word != "-m"]
    if command == "play":
        memrl.compose([f"env={overrides[0]}", *overrides[1:]])
    elif command in ("train", "config") and "--fit" not in rest:
        memrl.compose(overrides)
    elif command in ("fit", "config"):
        compose_fit([word for word in overrides if word != "--fit"])


def first(word: str) -> str:
    """The first of the values that a sweep goes through."""
    return axes_of([word]).first[0]


@pytest.mark.parametrize("page", ELSEWHERE)
def test_pages_that_run_elsewhere_are_read_there(page):
    assert Path(page).name in (ROOT / ELSEWHERE[page]).read_text()


def test_blocks_that_do_not_run_say_why():
    found = [(name(page), block.reason) for page in PAGES for block in blocks(page) if block.reason]
    assert found == [
        ("docs/sweeps.md", "it needs Slurm."),
        ("docs/tasks.md", "bAbI's files are not part of memrl."),
        ("docs/tune.md", "Ray is an extra."),
    ]


def test_every_block_has_a_language_that_is_known():
    found = {block.language for page in PAGES for block in blocks(page)}
    assert found <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_stand_in_blocks_that_are_tested(page):
    assert re.findall(r"^ {4,}(?:memrl|pytest|pip) .*", page.read_text(), re.M) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_list_begins_after_an_empty_line(page):
    """Python-Markdown takes it for a part of the paragraph before it otherwise."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.M)
    assert re.findall(r"^(?![-*] | |\||\n|#).+\n[-*] .*", text, re.M) == []


def test_every_memory_has_a_page_in_the_menu_of_memories():
    index = (ROOT / "docs" / "memories" / "index.md").read_text()
    listed = re.findall(r"^\| \[(\w+)\]\(\1\.md\)", index, re.M)
    assert sorted(listed) == memrl.memory.names()
    assert {page.stem for page in (ROOT / "docs" / "memories").glob("*.md")} == {*listed, "index"}


def test_costs_are_those_that_stand_elsewhere():
    """The table of choosing.md repeats README's measured sizes and results.md's speeds."""
    row = r"^\| \[(\w+)\]\(memories/\w+\.md\) \| ([\d.]+) \| ([\d.]+) \| (.*) B \| (.*) \| (.*) \|$"
    found = {r[0]: r[1:] for r in re.findall(row, (ROOT / "docs/choosing.md").read_text(), re.M)}
    sizes = r"^\| (\w+) \|.*\| ([\d,]+) B \| ([\d,]+) \| ([\d,]+) \| `memrl/"
    size = {r[0]: r[1:] for r in re.findall(sizes, README.read_text(), re.M)}
    speeds = r"^\| (\w+) \| [\d,]+ \| ([\d.]+) \| [\d,]+ \| ([\d.]+) \| [\d,]+ \| [\d,]+ B \|$"
    results = (ROOT / "docs/results.md").read_text()
    speed = {r[0]: r[1:] for r in re.findall(speeds, results, re.M)}
    assert found == {
        memory: (*speed[memory], state, flop, parameters)
        for memory, (state, parameters, flop) in size.items()
    }
