"""Weights & Biases: imported only when used; its errors never stop training."""

from __future__ import annotations

import netrc
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final, get_args
from urllib.parse import urlparse

from memrl.tracking.metrics_file import STEPS, Row

Mode: TypeAlias = Literal["online", "offline", "disabled"]
_CLOUD: Final = "https://api.wandb.ai"
_PATIENCE: Final = 30.0  # seconds to wait for the server before tracking offline
_LAST_PATIENCE: Final = 300.0  # seconds to wait at the end; `wandb sync` sends the rest later


@final
class WandbTracker:
    """One run at W&B, tracked offline without a key or if the server does not respond.

    An exception from W&B is reported once, as a sentence; it ends this tracker, not the run.

    Args:
        folder: of W&B's files.
        mode: ``online``, ``offline`` or ``disabled``.
        project: name of the W&B project.
        group: name under which W&B shows the run with those that differ by their seed.
        tags: of the run, of 1 to 64 characters.
        name: name of the run there.
        config: the resolved configuration.
        run_id: of the run to continue; None starts a new one.
        say: receives sentences for the person at the terminal.
        unit: the column that counts experience: the horizontal axis of every chart.

    Raises:
        ValueError: ``mode`` is not one of the three.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: Mode,
        project: str,
        group: str | None = None,
        tags: Sequence[str] = (),
        name: str,
        config: Mapping[str, Any],
        run_id: str | None,
        say: Callable[[str], None],
        unit: str = STEPS,
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"W&B mode {mode!r} is not one of {', '.join(get_args(Mode))}")
        self._say, self._unit = say, unit
        self._run: Any = None
        if mode == "online" and not has_key():
            say("No W&B key is present: this run is tracked offline (`wandb login` adds a key)")
            mode = "offline"
        if mode != "disabled":
            options = {"project": project, "group": group, "tags": [*tags], "name": name,
                       "config": dict(config), "id": run_id}  # fmt: skip
            self._guard(self._begin, folder, mode, options)
        self.run_id: str | None = self._run.id if self._run is not None else run_id

    def log(self, row: Row) -> None:
        """Send a row; the unit of experience is among its keys."""
        if self._run is not None:
            self._guard(self._run.log, dict(row))

    def finish(
        self, pictures: Mapping[str, Path], checkpoint: Path | None, summary: Mapping[str, float]
    ) -> None:
        """Send pictures, the last checkpoint and the final evaluation, and end the run.

        Files that do not exist are left out; a GIF is sent as a film, an HTML file as a page.
        """
        if self._run is not None:
            self._guard(self._finish, pictures, checkpoint, summary)
        self._run = None

    def _begin(self, folder: Path, mode: Mode, options: Mapping[str, Any]) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        behaviour: dict[str, Any] = {"init_timeout": _PATIENCE, "silent": True, "console": "off"}
        if "finish_timeout" in getattr(wandb.Settings, "model_fields", {}):  # younger than 0.19
            behaviour["finish_timeout"] = _LAST_PATIENCE
        settings = wandb.Settings(**behaviour)
        begin = {"dir": str(folder), "resume": "allow", "settings": settings, **options}
        try:
            self._run = wandb.init(mode=mode, **begin)
        except Exception as error:
            if mode != "online":
                raise
            self._say(f"W&B cannot be reached ({_first_line(error)}): this run is tracked offline")
            self._run = wandb.init(mode="offline", **begin)
        # W&B's own step counter cannot go back, as a resumed run does.
        self._run.define_metric(self._unit)
        self._run.define_metric("*", step_metric=self._unit)

    def _finish(
        self, pictures: Mapping[str, Path], checkpoint: Path | None, summary: Mapping[str, float]
    ) -> None:
        import wandb

        there = {name: path for name, path in pictures.items() if path.exists()}
        if there:
            self._run.log({name: _shown(path) for name, path in there.items()})
        if summary:
            self._run.summary.update(dict(summary))
        kept = {name: path for name, path in there.items() if path.suffix == ".html"}
        if checkpoint is not None and checkpoint.exists():
            kept["checkpoint"] = checkpoint
        for kind, path in kept.items():
            artifact = wandb.Artifact(f"{kind}-{self.run_id}", type=kind)
            artifact.add_file(str(path))
            self._run.log_artifact(artifact)
        self._run.finish()

    def _guard(self, call: Callable[..., Any], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as error:
            self._run = None
            self._say(f"W&B failed and is off for the rest of this run: {_first_line(error)}")


def _shown(path: Path) -> Any:
    """A file as W&B shows it: a film, a page or a picture."""
    import wandb

    if path.suffix == ".gif":
        return wandb.Video(str(path), format="gif")
    if path.suffix == ".html":  # W&B would add a style from its server, which the page forbids
        return wandb.Html(str(path), inject=False)
    return wandb.Image(str(path))


def has_key() -> bool:
    """Whether W&B would find a key: in WANDB_API_KEY, or in the netrc file for its server."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", _CLOUD)).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
