"""The page of the peers' scenarios names tests that exist, or says why there is none."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = (HERE.parents[2] / "docs" / "sb3-scenarios.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
CASES = [row for row in ROWS if row[-1] != "here"]


def test_every_test_that_the_page_names_exists():
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 100
    for file, test in named:
        assert f"\ndef {test}(" in (HERE / file).read_text(encoding="utf-8"), f"{file}::{test}"


def test_every_scenario_has_a_test_or_a_reason():
    for peer, _, here in CASES:
        assert "::" in here or here.startswith("not applicable: "), (peer, here)


def test_every_test_of_these_files_stands_on_the_page():
    for file in set(HERE.glob("test_sb3_scenarios_*.py")) - {Path(__file__)}:
        for test in re.findall(r"^def (test_\w+)\(", file.read_text(encoding="utf-8"), re.M):
            assert f"{file.name}::{test}`" in PAGE, f"{file.name}::{test}"
