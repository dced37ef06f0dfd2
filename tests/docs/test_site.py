"""``make docs`` bites: what is broken in a page fails the build."""

from __future__ import annotations

import re
import subprocess
import sys

from docs_pages import ROOT

PAGE = "# Page\n\n## Part\n\n[a part](page.md#part)\n"
FAULTS = "[a](missing.md), [b](page.md#prat), [c](../README.md)\n"


def built(folder, text):
    """The page, and ``text`` in a page that no menu names."""
    (folder / "docs").mkdir()
    (folder / "docs" / "page.md").write_text(PAGE)
    if text:
        (folder / "docs" / "forgotten.md").write_text(text)
    own = f"INHERIT: {ROOT}/mkdocs.yml\nnav: [page.md]\nplugins: []\nextra_css: []\n"
    (folder / "mkdocs.yml").write_text(own)
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=folder, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip


def test_a_whole_page_is_built_and_fetches_nothing(tmp_path):
    done = built(tmp_path, "")
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "site" / "page.html").read_text()
    assert not re.findall(r'<(?:script|link)[^>]*(?:src|href)="https?:', html)


def test_every_fault_of_a_page_fails_the_build(tmp_path):
    done = built(tmp_path, FAULTS)
    assert done.returncode == 1
    assert "Aborted with 4 warnings in strict mode" in done.stdout, done.stdout
    for fault in ("missing.md", "#prat", "../README.md", 'not included in the "nav"'):
        assert fault in done.stderr, done.stderr


def test_make_docs_is_strict_and_part_of_check():
    makefile = (ROOT / "Makefile").read_text()
    assert "mkdocs build --strict\n" in makefile
    assert re.search(r"^check:.*\bdocs\b", makefile, re.MULTILINE)
