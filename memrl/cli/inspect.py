"""memrl inspect: fresh episodes of trained runs as one page for the browser."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from annotated_types import Ge, Le

from memrl.cli.arguments import file_to_write, parse
from memrl.cli.runs import RecallOptions, acting, recall
from memrl.config.models import LaxPath
from memrl.errors import RunError
from memrl.evaluation.acting import Acting
from memrl.inspector.model import RunPage
from memrl.inspector.page import write_page
from memrl.pipeline.inspection import SOURCE_STEPS, inspect_run
from memrl.probing.report import Report, read_report
from memrl.run.directory import RunDirectory

LONGEST: Final = 2000  # env steps of an episode: more is slow to draw and hard to look through


class EpisodeOptions(RecallOptions):
    """Which episodes a page shows, and whether it is opened."""

    episodes: Annotated[int, Ge(1), Le(1024)] = 64
    max_steps: Annotated[int, Ge(1), Le(LONGEST)] = Acting.max_steps
    source_steps: Annotated[int, Ge(0)] = SOURCE_STEPS
    browser: bool | None = None  # None: where a person and a browser are


class InspectOptions(EpisodeOptions):
    """Keys of ``memrl inspect``."""

    out: LaxPath | None = None


def inspect_runs(words: Sequence[str]) -> None:
    """Record episodes of runs, write the page, and open it where there is a browser.

    Raises:
        ValueError: no run is named, or an option is not known.
        RunError: a word is no run, it has no checkpoint, or its agent shows no memory.
    """
    given = {word: "=" in word and not Path(word).exists() for word in words}
    options = parse(InspectOptions, [word for word, is_option in given.items() if is_option])
    runs = [Path(word) for word, is_option in given.items() if not is_option]
    if not runs:
        raise ValueError("inspect asks for at least one run directory")
    out = RunDirectory(runs[0]).page
    if options.out is not None:
        out = file_to_write("out", options.out, suffixes=(".html", ".htm"), name=out.name)
    pages = [page_of(run, options)._replace(experiments=experiments_on(run)) for run in runs]
    write_page(out, pages, title=" and ".join(dict.fromkeys(page.title for page in pages)))
    for run, page in zip(runs, pages, strict=True):
        print(_summary(run, page, options))
    print(out)
    open_page(out.resolve().as_uri(), asked=options.browser)


def page_of(run: Path, options: EpisodeOptions) -> RunPage:
    """Record the episodes of a run.

    Raises:
        RunError: there is no such run, it has no checkpoint, or its agent shows no memory.
    """
    config, agent = recall(run, options)
    how = acting(config, options, "inspect", max_steps=options.max_steps)
    facts = {"run": str(run), "checkpoint": options.checkpoint, "seed": str(how.seed)}
    return inspect_run(
        config,
        agent,
        how,
        episodes=options.episodes,
        source_steps=options.source_steps,
        facts=facts | ({"greedy": "true"} if how.greedy else {}),
    )


def experiments_on(run: Path) -> Report | None:
    """What ``memrl probe`` found of a run; None, with a sentence, where its file is unreadable."""
    file = RunDirectory(run).probe
    if not file.exists():
        return None
    try:
        return read_report(file)
    except RunError as error:
        again = f"memrl probe {run} writes it anew"
        print(f"{error}: the page shows no experiments; {again}", file=sys.stderr)
        return None


def _summary(run: Path, page: RunPage, options: InspectOptions) -> str:
    """One line: how the episodes of a run ended."""
    outcomes = [episode.success for episode in page.episodes]
    cut = sum(not episode.ended for episode in page.episodes)
    parts = [f"{run}: {len(outcomes)} episode{'s' * (len(outcomes) > 1)}"]
    if any(outcome is not None for outcome in outcomes):
        parts.append(f"{outcomes.count(True)} solved")
    if cut:
        limit = f"max_steps={options.max_steps}, at most {LONGEST}"
        parts.append(f"{cut} longer than the limit and cut off there ({limit})")
    return ", ".join(parts)


def open_page(address: str, *, asked: bool | None) -> None:
    """Open a page in a browser with windows; those that run in a terminal would take it over.

    Args:
        address: of the page.
        asked: None opens it where standard output is a terminal.
    """
    if not (sys.stdout.isatty() if asked is None else asked):
        return
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        found = None
    if found is None or not _has_window(found):
        if asked:
            print("no browser was found here: open the page yourself", file=sys.stderr)
        return
    found.open(address)


def _has_window(browser: webbrowser.BaseBrowser) -> bool:
    in_terminal = isinstance(browser, webbrowser.GenericBrowser)
    return not in_terminal or isinstance(browser, webbrowser.BackgroundBrowser)
