"""Weights & Biases: imported only when used; its errors never stop training."""

from __future__ import annotations

import netrc
import os
from collections.abc import Callable, Mapping
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
            options = {"project": project, "name": name, "config": dict(config), "id": run_id}
            self._guard(self._begin, folder, mode, options)
        self.run_id: str | None = self._run.id if self._run is not None else run_id

    def log(self, row: Row) -> None:
        """Send a row; the unit of experience is among its keys."""
        if self._run is not None:
            self._guard(self._run.log, dict(row))

    def finish(self, episode: Path | None, checkpoint: Path | None, page: Path | None) -> None:
        """Send an episode's GIF, the last checkpoint and the HTML page, if there; end the run."""
        if self._run is not None:
            self._guard(self._finish, episode, checkpoint, page)
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

    def _finish(self, episode: Path | None, checkpoint: Path | None, page: Path | None) -> None:
        import wandb

        if episode is not None and episode.exists():
            self._run.log({"episode": wandb.Video(str(episode), format="gif")})
        if page is not None and page.exists():
            # W&B would add a style from its server, which the page's policy forbids.
            self._run.log({"inspect": wandb.Html(str(page), inject=False)})
        for kind, path in (("checkpoint", checkpoint), ("inspect", page)):
            if path is not None and path.exists():
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
