"""Level banks: generated once, kept on disk, generated again if a file is damaged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from minigrid_package import package_env

from memrl.envs.minigrid import GridEnv, bank, bank_files
from memrl.envs.minigrid.bank_files import cache_folder, load_bank
from memrl.envs.minigrid.families import rules_of
from memrl.envs.missions import decode

ID = "MiniGrid-Fetch-5x5-N2-v0"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMRL_CACHE", str(tmp_path))
    return tmp_path / "levels"


def test_a_bank_is_drawn_once(monkeypatch: pytest.MonkeyPatch):
    spec, levels = load_bank(ID, 7, 1)
    monkeypatch.setattr(bank_files, "draw_bank", None)
    again_spec, again = load_bank(ID, 7, 1)
    assert spec == again_spec
    assert all(torch.equal(one, two) for one, two in zip(levels, again, strict=True))


def test_a_file_is_named_after_what_is_in_it(folder: Path):
    load_bank(ID, 7, 1)
    load_bank(ID, 7, 2)
    names = sorted(path.name for path in folder.iterdir())
    version = bank.package_version()
    assert names == [f"{ID}_{version}_{seed}_7_2.safetensors" for seed in (1, 2)]


@pytest.mark.parametrize("spoilt", ["", "not a bank", "cut", "flipped", "another"])
def test_a_spoilt_file_is_drawn_anew(folder: Path, spoilt: str, capsys: pytest.CaptureFixture):
    _, levels = load_bank(ID, 7, 1)
    (path,) = folder.iterdir()
    content = path.read_bytes()
    if spoilt == "another":
        load_bank("MiniGrid-Fetch-6x6-N2-v0", 7, 1)
        content = next(file for file in folder.iterdir() if file != path).read_bytes()
    pieces = {"cut": content[:-9], "flipped": content[:-9] + b"~" * 9, "another": content}
    path.write_bytes(pieces.get(spoilt, spoilt.encode()))
    capsys.readouterr()
    _, again = load_bank(ID, 7, 1)
    assert all(torch.equal(one, two) for one, two in zip(levels, again, strict=True))
    said = capsys.readouterr().err
    assert "is damaged" in said
    assert "generated again" in said
    load_bank(ID, 7, 1)
    assert capsys.readouterr().err == ""  # it was repaired


def test_a_folder_that_cannot_be_written_to_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEMRL_CACHE", str(tmp_path / "file"))
    _, levels = load_bank(ID, 7, 1)
    assert len(levels.cell) == 7
    assert "will be generated again next time" in capsys.readouterr().err


def test_banks_are_kept_in_the_user_s_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("MEMRL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "memrl" / "levels"


@pytest.mark.parametrize("patience", [0.0, 1000.0])
def test_a_bar_changes_no_level(monkeypatch: pytest.MonkeyPatch, patience: float):
    monkeypatch.setattr(bank, "_SECONDS_BEFORE_PROGRESS", patience)
    assert list(bank._with_progress(5, "drawing")) == [0, 1, 2, 3, 4]


def test_an_id_that_the_installed_package_lacks_is_named(monkeypatch: pytest.MonkeyPatch):
    import gymnasium

    monkeypatch.delitem(gymnasium.registry, ID)
    with pytest.raises(ValueError, match=f"{ID} is not in the installed minigrid .*, allowed"):
        load_bank(ID, 7, 1)


def test_levels_are_drawn_evenly():
    env = GridEnv(ID, 1000, bank_size=10)
    counts = sum(torch.bincount(env._draw(), minlength=10) for _ in range(20))
    distance = float(((counts - 2000) ** 2 / 2000).sum())
    assert distance < 9 + 5 * 18**0.5


@pytest.mark.parametrize(
    "id",
    [ID, "MiniGrid-Empty-Random-5x5-v0", "MiniGrid-GoToDoor-6x6-v0", "MiniGrid-DoorKey-5x5-v0"],
)
def test_starts_follow_the_package_s_distribution(id: str):
    """Two samples of poses and missions: a bank of ours, levels of other seeds of the package."""
    draws, task_rules = 400, rules_of(id)
    _, levels = bank.draw_bank(id, task_rules, draws, seed=3)
    package = package_env(id)
    theirs, ours = Counter[tuple[int, int, str]](), Counter[tuple[int, int, str]]()
    said = levels.mission.shape[1] > 0
    for level in range(draws):
        package.reset(seed=10_000 + level)
        cell = package.agent_pos[0] * package.height + package.agent_pos[1]
        theirs[int(cell), package.agent_dir, package.mission.split()[-1] if said else ""] += 1
        word = decode(levels.mission[level : level + 1].long())[0].split()[-1] if said else ""
        ours[int(levels.cell[level]), int(levels.direction[level]), word] += 1
    every = set(theirs) | set(ours)
    distance = sum((theirs[k] - ours[k]) ** 2 / (theirs[k] + ours[k]) for k in every)
    assert len(every) > 8
    assert abs(distance - len(every)) < 5 * (2 * len(every)) ** 0.5
