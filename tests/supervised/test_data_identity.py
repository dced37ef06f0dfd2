"""The data that a run learned from is part of what it is: other data is another run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_fits import NEEDED

from memrl.errors import RunError
from memrl.pipeline.job import Job, open_directory
from memrl.pipeline.loading import checkpoints_of
from memrl.run.directory import RunDirectory
from memrl.supervised.config import compose_fit
from memrl.supervised.fitting import FitJob, fit_task

BABI = Path(NEEDED["babi"][0].partition("=")[2])
TINY = ["task=babi", "memory=gru", "memory.hidden_dim=5", "threads=1", "track=off",
        "run.pictures=false"]  # fmt: skip


@pytest.fixture
def config(tmp_path):
    shutil.copytree(BABI, tmp_path / "babi")
    words = [*TINY, f"task.folder={tmp_path / 'babi'}", f"run.dir={tmp_path / 'run'}"]
    return compose_fit([*words, "sequences=100"])


@pytest.fixture
def run(config):
    """A run that was stopped after 32 sequences."""
    job = FitJob(config)
    with open_directory(config, None, "sequences", print, data=job.data) as (directory, _):
        kept = checkpoints_of(directory, config, data=job.data)
        kept.save({"agent": job.learner.state_dict()}, experience=32, score=None)
    return RunDirectory.open(directory.path, command="fit")


def shorter(path):
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[: len(lines) // 2]) + "\n")


def answered_anew(path):
    text, question, answer = path.read_text().rpartition("\t")
    before, tab, _ = text.rpartition("\t")
    path.write_text(f"{before}{tab}cellar{question}{answer}")


@pytest.mark.parametrize(
    ("part", "change"), [("train", shorter), ("test", answered_anew), ("test", shorter)]
)
def test_a_run_whose_data_changed_is_not_continued_and_the_file_is_named(
    config, run, tmp_path, part, change
):
    before = run.config.read_bytes()
    (path,) = (tmp_path / "babi" / part).glob("qa*1.txt")
    change(path)
    with pytest.raises(RunError, match=rf"learned from other data: {path} has changed since"):
        fit_task(config, run, style="quiet", say=lambda line: None)
    assert run.config.read_bytes() == before


def test_a_run_whose_data_is_the_same_is_found(config, run):
    data = FitJob(config).data
    assert sorted(Path(name).parent.name for name in data) == ["test", "train"]
    assert checkpoints_of(run, config, data=data).last().experience == 32


def test_a_task_without_files_has_no_data_to_compare():
    assert FitJob(compose_fit(["task=copy", "threads=1"])).data == {}
    assert Job.data.fget(None) == {}
