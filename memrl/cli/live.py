"""memrl watch --live: the page of memrl inspect, made anew for each checkpoint of a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from annotated_types import Ge, Le

from memrl.cli.arguments import parse
from memrl.cli.inspect import EpisodeOptions, open_page, page_of
from memrl.errors import CheckpointError
from memrl.inspector.page import page_text
from memrl.inspector.server import PageServer
from memrl.run.directory import RunDirectory

_PAUSE: Final = 3.0  # seconds between two looks at the checkpoints


class LiveOptions(EpisodeOptions):
    """Keys of ``memrl watch --live``."""

    episodes: Annotated[int, Ge(1), Le(1024)] = 16
    port: Annotated[int, Ge(0), Le(65_535)] = 0  # 0: a free one


def follow_run(path: Path, words: Sequence[str]) -> None:
    """Serve the page of a run on this machine until Ctrl-C; it follows the checkpoints.

    Raises:
        ValueError: an option is not known.
        RunError: there is no such run, it has no checkpoint yet, or the port is taken.
    """
    options = parse(LiveOptions, words)
    run = RunDirectory.open(path)
    with PageServer(options.port) as server:
        refresh(server, run, options)
        print(f"{server.url} shows {run} and follows its checkpoints; Ctrl-C ends it", flush=True)
        open_page(server.url, asked=options.browser)
        try:
            while True:
                time.sleep(_PAUSE)
                refresh(server, run, options)
        except KeyboardInterrupt:
            return


def refresh(server: PageServer, run: RunDirectory, options: LiveOptions) -> bool:
    """Show a new page if there is a new checkpoint; says whether there was.

    Raises:
        CheckpointError: nothing was shown yet, and there is no intact checkpoint.
    """
    newest = max((path.name for path in run.checkpoints.glob("steps-*")), default="")
    if server.served.version and newest in ("", server.served.version):
        return False
    try:
        page = page_of(run.path, options)
    except CheckpointError:  # deleted by the run as it wrote the next one
        if not server.served.version:
            raise
        return False
    server.show(page_text([page], title=page.title, version=newest), newest)
    return True
