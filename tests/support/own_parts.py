"""The encoder, the bonus and the agent of docs/plugins.md, and a package that offers them."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def documented(file: str) -> str:
    """A file of docs/plugins.md."""
    (text,) = re.findall(rf"```python\n# file: {re.escape(file)}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


FLAT, CHANGE, A2C = (documented(file) for file in ("flat.py", "change.py", "a2c.py"))


def offer(folder: Path, group: str, **entries: str) -> None:
    """Install a package of version 1.2 in a folder of Python's path; it offers classes by name."""
    info = folder / "own_parts-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-parts\nVersion: 1.2\n")
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
