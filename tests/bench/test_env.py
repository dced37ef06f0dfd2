"""The benchmark of environments: who is measured, and what it says of those it cannot measure."""

from __future__ import annotations

import importlib.util

import pytest

from memrl.bench import env as bench_of_envs
from memrl.bench.env import IDS, bench_env
from memrl.cli import bench as commands
from memrl.errors import install_command

QUICK = {"seconds": 0.01, "windows": 3}


def test_ours_is_measured_at_every_number_of_environments_beside_the_package():
    row = bench_env("5,2", **QUICK, id="MiniGrid-MemoryS7-v0")
    assert list(row["env_steps_per_s"]) == [5, 2]
    assert min(*row["env_steps_per_s"].values(), row["package_env_steps_per_s"]) > 0


@pytest.mark.parametrize(
    "id",
    ["probe/TMaze-v0", "popgym-ConcentrationEasy-v0", "popgym-BattleshipEasy-v0",
     "popgym-PositionOnlyPendulumEasy-v0"],
)  # fmt: skip
def test_every_kind_of_action_is_played(id):
    row = bench_env(3, **QUICK, id=id)
    assert row["env_steps_per_s"][3] > 0


def test_a_rate_is_the_median_of_its_turns(monkeypatch):
    monkeypatch.setattr(bench_of_envs, "_rate", lambda play, seconds: float(play()))
    turns = {"a": iter([1, 9, 2]).__next__, "b": iter([7, 5, 5]).__next__}
    assert bench_of_envs._medians(turns, seconds=0.01, windows=3) == {"a": 2, "b": 5}


def test_what_is_not_there_has_no_number():
    row = bench_env(3, **QUICK, id="probe/Recall-v0")
    assert row["package_env_steps_per_s"] is None
    assert row["envpool_env_steps_per_s"] is None


def test_envpool_is_measured_where_it_is_installed():
    if importlib.util.find_spec("envpool") is None:
        pytest.skip("needs envpool: pip install 'memrl[envpool]'")
    assert bench_env(3, **QUICK, id="MiniGrid-MemoryS7-v0")["envpool_env_steps_per_s"] > 0


def test_an_id_without_a_tensor_environment_is_refused():
    with pytest.raises(ValueError, match="'CartPole-v1' is not a tensor environment"):
        bench_env(3, id="CartPole-v1")


@pytest.mark.parametrize(
    ("wrong", "given"),
    [
        ({"num": 0}, "num is '0'"),
        ({"num": "16,,64"}, "num is '16,,64'"),
        ({"num": "many"}, "num is 'many'"),
        ({"seconds": 0.0}, "seconds is 0.0"),
        ({"windows": 0}, "windows 0"),
    ],
)
def test_nothing_is_measured_in_no_time(wrong, given):
    with pytest.raises(ValueError, match=f"{given}.*; allowed"):
        bench_env(**wrong, id="probe/Recall-v0")


def test_every_kind_of_task_is_measured_by_default():
    assert len(IDS) == len(set(IDS))
    assert {"MiniGrid-MemoryS13-v0", "popgym-RepeatPreviousEasy-v0"} < set(IDS)


@pytest.mark.parametrize("installed", [True, False])
def test_a_missing_peer_is_told_once(monkeypatch, installed):
    monkeypatch.setattr(commands, "find_spec", lambda name: object() if installed else None)
    row = {"package_env_steps_per_s": None, "envpool_env_steps_per_s": None}
    told = commands.unmeasured({"popgym-AutoencodeEasy-v0": row, "popgym-AutoencodeHard-v0": row})
    assert told == [
        f"a package is not installed ({install_command('popgym')}) or lacks the task",
        "EnvPool lacks the tasks that have a –"
        if installed
        else f"EnvPool is not installed ({install_command('envpool')})",
    ]


def test_what_was_measured_needs_no_excuse():
    row = {"package_env_steps_per_s": 1.0, "envpool_env_steps_per_s": 2.0}
    assert commands.unmeasured({"MiniGrid-MemoryS7-v0": row}) == []
