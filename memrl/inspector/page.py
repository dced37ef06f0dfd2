"""The page itself: runs as JSON inside one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final

from memrl.checkpoint.atomic import write_atomically
from memrl.inspector.model import Episode, RunPage
from memrl.inspector.pack import pack
from memrl.inspector.tiles import TileSheet
from memrl.probing.report import Report, when_as_text

# Concatenated in this order; each may use what those before it declare.
SCRIPTS: Final = (
    "data",
    "colours",
    "plots",
    "panel",
    "panels_over_time",
    "panels_at_step",
    "view",
    "episodes",
    "experiments",
    "main",
)
_FOLDER: Final = files("memrl.inspector") / "page"


def write_page(path: Path, runs: Sequence[RunPage], *, title: str) -> None:
    """Write runs as one HTML file.

    Raises:
        RunError: the disk is full.
    """
    write_atomically(path, page_text(runs, title=title).encode())


def page_text(runs: Sequence[RunPage], *, title: str, version: str | None = None) -> str:
    """The HTML of a page.

    A page with a ``version`` asks the server that it came from for the present one, and loads
    itself again if that differs. It shows then what its address says.

    What comes from outside, such as missions and names, is data: the page writes it as text. The
    content security policy allows the page's own script and style, known by their digests, and
    nothing else: without a version no request leaves the page.
    """
    style, script = read_part("page.css"), page_script()
    return Template(read_part("index.html")).substitute(
        title=html.escape(title),
        policy=_policy(style, script, asks=version is not None),
        style=style,
        script=script,
        data=_json({"title": title, "version": version, "runs": [_run(run) for run in runs]}),
    )


def page_script() -> str:
    """The page's script: its parts, one after the other."""
    parts = "\n".join(read_part(f"{name}.js") for name in SCRIPTS)
    return f'"use strict";\n{parts}'


def read_part(name: str) -> str:
    """A file of the page's folder."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str, *, asks: bool) -> str:
    own_server = "; connect-src 'self'" if asks else ""
    return (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        f"img-src data:; base-uri 'none'; form-action 'none'{own_server}"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON that no HTML parser takes for a tag or an end of the element that holds it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _run(run: RunPage) -> dict[str, Any]:
    return {
        "title": run.title,
        "facts": dict(run.facts),
        "env_steps": run.env_steps,
        "episodes": [_episode(episode) for episode in run.episodes],
        "panels": [panel._asdict() for panel in run.panels],
        "sheets": {name: _sheet(sheet) for name, sheet in run.sheets.items()},
        "experiments": None if run.experiments is None else _experiments(run.experiments),
    }


def _experiments(report: Report) -> dict[str, Any]:
    """As they were found; the episodes of the page show more than the report's example."""
    told = report.model_dump(exclude={"reads": {"example"}})
    for experiment in told["experiments"]:
        experiment["when"] = when_as_text(experiment["when"])
    return told


def _sheet(sheet: TileSheet) -> dict[str, Any]:
    return {"side": sheet.side, "packed": pack({"tiles": sheet.tiles})}


def _episode(episode: Episode) -> dict[str, Any]:
    return {
        "length": episode.length,
        "returned": episode.returned,
        "outcome": episode.success,
        "ended": episode.ended,
        "cue": episode.cue_step,
        "words": {name: _words(words) for name, words in episode.words.items()},
        "packed": pack({**episode.arrays, **episode.pictures}),
    }


def _words(words: Sequence[str]) -> dict[str, Any]:
    """Each distinct text once, and which of them every step has."""
    known = list(dict.fromkeys(words))
    numbers = {text: number for number, text in enumerate(known)}
    return {"texts": known, "at": [numbers[text] for text in words]}
