from __future__ import annotations

import importlib.metadata
import json
import math
import subprocess

import pytest
import torch

from memrl.errors import RunError
from memrl.run.loop import TrainingResult
from memrl.run.machine import commit, peak_rss_bytes, versions
from memrl.run.summary import provenance, read_summary, write_summary


def refuse(word):
    raise AssertionError(f"{word} is not JSON")


def test_a_summary_says_what_was_made_with_what(tmp_path):
    content = provenance(TrainingResult(700, 2.0, tmp_path), "env_steps", torch.device("cpu"))
    write_summary(tmp_path / "summary.json", content)
    read = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert (read["env_steps"], read["wall_seconds"], read["env_steps_per_s"]) == (700, 2.0, 350.0)
    assert read["versions"]["torch"] == importlib.metadata.version("torch")
    assert read["machine"]["threads"] == torch.get_num_threads()
    assert read["peak_rss_bytes"] > 10_000_000


def test_what_json_lacks_becomes_null(tmp_path):
    write_summary(tmp_path / "s.json", {"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}})
    assert read_summary(tmp_path / "s.json") == {"a": None, "b": [None, 1.5], "c": {"d": None}}


def test_a_missing_or_broken_summary_is_named(tmp_path):
    with pytest.raises(RunError, match="has not finished yet"):
        read_summary(tmp_path / "summary.json")
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        read_summary(tmp_path / "summary.json")
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(RunError, match="not the summary"):
        read_summary(tmp_path / "summary.json")


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_the_commit_is_that_of_the_source_and_knows_whether_it_was_changed(tmp_path):
    source = tmp_path / "memrl"
    source.mkdir()
    (source / "__init__.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "x")
    clean = commit(source)
    assert len(clean["sha"]) == 40
    assert clean["dirty"] is False
    (source / "__init__.py").write_text("a = 2\n")
    assert commit(source) == {"sha": clean["sha"], "dirty": True}


def test_a_copy_inside_somebody_elses_repository_has_no_commit(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "__init__.py").touch()
    assert commit(tmp_path / "venv") is None


def test_versions_and_memory_are_known():
    assert {"python", "torch", "gymnasium", "minigrid", "memrl", "numpy"} == set(versions())
    assert peak_rss_bytes() > 0
