"""How this memrl was installed, for the command that adds one of its extras."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[1]


def install_command(extra: str, root: Path = _ROOT) -> str:
    """The command that installs an extra: into a clone, or from where the package came.

    Args:
        extra: one of pyproject.toml's optional dependencies.
        root: the folder in which the package lies.
    """
    if (root / "pyproject.toml").is_file():  # a clone, installed as editable or only imported
        return f"pip install -e {shlex.quote(f'{root}[{extra}]')}"
    source = _source()
    wanted = f"memrl[{extra}]" + (f" @ {source}" if source else "")
    return f"pip install {shlex.quote(wanted)}"


def _source() -> str | None:
    """The address from which pip took the package; None if from an index (PEP 610)."""
    try:
        text = distribution("memrl").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    origin = json.loads(text) if text else {}
    vcs = origin.get("vcs_info", {}).get("vcs")
    url = origin.get("url")
    return f"{vcs}+{url}" if vcs else url
