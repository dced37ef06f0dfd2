"""Ranks that are started anew find the run that those before them had begun."""

from __future__ import annotations

import pytest
import torch.distributed as dist

import memrl
from memrl.distributed.restart import forget, remember, remembered
from memrl.pipeline.directories import finished, open_directory, restarted
from memrl.run.directory import RunDirectory

HOST = "127.0.0.1"


@pytest.fixture
def launcher(monkeypatch):
    """The store of a launcher, as rank 0 is told of it."""
    store = dist.TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
    told = {"MASTER_ADDR": HOST, "MASTER_PORT": str(store.port), "RANK": "0",
            "TORCHELASTIC_USE_AGENT_STORE": "True"}  # fmt: skip
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return store


def test_a_launcher_keeps_what_a_rank_remembers_until_it_forgets(launcher):
    assert remembered("run") is None
    remember("run", "runs/ä")
    assert remembered("run") == "runs/ä"
    assert remembered("other") is None
    forget("run")
    assert remembered("run") is None


@pytest.mark.parametrize(
    ("name", "value"), [("RANK", "1"), ("TORCHELASTIC_USE_AGENT_STORE", "False")]
)
def test_only_rank_0_of_a_launcher_remembers(launcher, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    remember("run", "here")
    assert remembered("run") is None


def test_a_process_without_a_launcher_remembers_nothing():
    remember("run", "here")
    assert remembered("run") is None
    forget("run")


def words(folder, *more):
    return memrl.compose(["env=probe", f"run.root={folder}", *more])


def test_a_run_that_is_not_finished_is_found_again_by_its_config(launcher, tmp_path):
    config, other = words(tmp_path), words(tmp_path, "seed=7")
    assert restarted(config) is None
    with open_directory(config, None, "env_steps", print) as (run, _):
        pass
    found = restarted(config)
    assert isinstance(found, RunDirectory)
    assert found.path.samefile(run.path)
    assert restarted(other) is None
    finished(config)
    assert restarted(config) is None


def test_a_run_that_had_not_written_its_config_begins_in_its_directory(launcher, tmp_path):
    config = words(tmp_path)
    with open_directory(config, None, "env_steps", print) as (run, _):
        run.config.unlink()
    found = restarted(config)
    assert not isinstance(found, RunDirectory)
    with open_directory(config, found, "env_steps", print) as (again, resume):
        assert again.path.samefile(run.path)
        assert resume is None
