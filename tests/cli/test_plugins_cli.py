"""A memory, a task or an environment in the current folder is trained and opened by its word."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from own_folder import own_folder as folder
from plug_ins import CORRIDOR, FIRST_BIT, LEAKY, forget, install

import memrl
from memrl.cli.main import main
from memrl.errors import RunError
from memrl.memory import registry

__all__ = ["folder"]  # a fixture

SMALL = ["+run=smoke", "threads=1", "total_steps=256", "evaluate.episodes=4", "track=off",
         "run.pictures=false"]  # fmt: skip
REGISTERED = LEAKY.replace(
    "class Leaky(", "from memrl.memory import register\n@register('leaky')\nclass Leaky("
)


@pytest.fixture
def call(folder, monkeypatch, capfd):
    """Run a command in a folder with leaky.py: what it prints, or else its one sentence."""
    (folder / "leaky.py").write_text(LEAKY)

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["memrl", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            main()
        said = capfd.readouterr()
        if exit_.value.code == 0:
            return said.err + said.out if "--plugin" in words else said.out
        assert "Traceback" not in said.out + said.err
        (line,) = [line for line in said.err.splitlines() if line.startswith("memrl: ")]
        assert "defect" not in line, line
        return line

    return run


def composed(text: str) -> dict:
    return yaml.safe_load(text)


def test_a_memory_of_the_folder_has_its_options_as_keys(call):
    memory = composed(call("config", "memory=leaky:Leaky", "memory.decay=0.8"))["memory"]
    assert memory == {"name": "leaky:Leaky", "hidden_dim": 5, "decay": 0.8}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["memory=leaky:Leaky", "memory.decy=1"], "key memory.decy; did you mean memory.decay?"),
        (["memory=leaky:Leaky", "memory.decay=3"], "memory.decay=3: it should be less than 1"),
        (["memory=leaky:Leeky"], "leaky has no memory 'Leeky'; did you mean Leaky? (it has: Leaky"),
        (["memory=leaky:nn"], "leaky:nn is a module and no memory: a memory is a"),
        (["memory=leeky:Leaky"], "no module 'leeky'; did you mean leaky? (searched: "),
        (["memory=broken:Leaky"], "broken does not import: ZeroDivisionError: division by"),
        (["memory.name=leaky:Leaky"], "keeps the options of another: write memory=leaky:Leaky"),
        (["memory=leaky"], "unknown memory 'leaky'; write memory=leaky:NAME for a class of leaky"),
        (["memory=listed:Listed"], "defaults of memory=listed:Listed are no data"),
        (["--fit", "task=leaky:Leaky"], "leaky:Leaky is a class and no task"),
        (["env=Corridor-v0"], "one of your own is named with its module: env=MODULE:Corridor-v0"),
        (["env=leaky:Corridor-v0"], "leaky registers no environment 'Corridor-v0'"),
        (["env=corridr:Corridor-v0"], "no module 'corridr' (searched: "),
        (["--config-dir", "nowhere", "memory=gru"], "nowhere: there is no such folder"),
        (["--plugin", "leeky"], "no module 'leeky'; did you mean leaky?"),
        (["--plugin"], "--plugin wants the name of a module, as in --plugin leaky"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(call, folder, words, expected):
    (folder / "broken.py").write_text("x = 1 / 0\n")
    (folder / "listed.py").write_text(
        "from typing import Any\nfrom leaky import Leaky\nclass Listed(Leaky):\n"
        "    def __init__(self, in_dim: int, *, what: Any = object()) -> None: ...\n"
    )
    assert expected in call("config", *words)


def test_a_memory_that_fails_is_quoted_and_no_defect_of_memrl(call, folder):
    (folder / "leaky.py").write_text(LEAKY.replace("torch.tanh(self.read(x))", "self.red(x)"))
    said = call("train", *SMALL, "memory=leaky:Leaky", "run.dir=here")
    assert "AttributeError: 'Leaky' object has no attribute 'red' (leaky.py:" in said


def test_a_registered_memory_is_a_word_at_once_with_its_own_options(call, folder):
    (folder / "leaky.py").write_text(REGISTERED)
    said = call("config", "--plugin", "leaky", "memory=leaky", "memory.decay=0.7")
    assert "is imported from" not in said
    memory = composed(said)
    assert memory["memory"] == {"name": "leaky", "hidden_dim": 5, "decay": 0.7}
    assert memrl.compose(["memory=leaky"]).memory["decay"] == 0.9


@pytest.mark.slow
def test_a_yaml_of_ones_own_folder_names_a_memory(call, folder):
    (folder / "mine" / "memory").mkdir(parents=True)
    (folder / "mine" / "memory" / "slow.yaml").write_text("name: leaky:Leaky\ndecay: 0.99\n")
    words = ["--config-dir", "mine", "memory=slow"]
    assert composed(call("config", *words))["memory"]["name"] == "leaky:Leaky"
    assert "did you mean memory.decay?" in call("config", *words, "memory.decy=0.5")
    out = json.loads(call("train", *SMALL, *words, "memory.decay=0.98", "run.dir=here", "--json"))
    assert out["memory"] == "leaky:Leaky"
    assert registry.core_class("leaky:Leaky").__module__ == "leaky"


@pytest.mark.slow
def test_a_sweep_goes_over_memories_and_leaves_names_without_a_colon(call, folder):
    call("train", "-m", *SMALL, "memory=none,leaky:Leaky", "run.dir=sweep")
    names = sorted(path.name for path in (folder / "sweep").glob("[!.]*"))
    assert names == ["probe-Recall-v0-leaky-Leaky-seed1", "probe-Recall-v0-none-seed1"]


def test_a_run_is_opened_by_who_names_its_module_and_by_nobody_else(call, folder, monkeypatch):
    (folder / "corridor.py").write_text(CORRIDOR)
    words = ["env=corridor:Corridor-v0", "env.length=3", "env.num=4", "agent.steps=16",
             "agent.bptt=16", "threads=1", "evaluate.episodes=4", "track=off"]  # fmt: skip
    out = call("train", *words, "total_steps=64", "memory=leaky:Leaky", "run.dir=here")
    assert "memrl watch here --plugin leaky --plugin corridor\n" in out
    assert "memrl compare here here-none\n" in out
    assert json.loads(Path("here", "plugins.json").read_text()) == {
        "leaky": str(folder), "corridor": str(folder),
    }  # fmt: skip

    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(folder)])
    run = folder / "here"
    forget("leaky", "corridor")
    for command in (["evaluate"], ["watch"], ["export"], ["train", "--resume"]):
        assert (
            "here was made with memory.name=leaky:Leaky and env.id=corridor:Corridor-v0: add "
            "--plugin leaky --plugin corridor, or import leaky, corridor first (it was in "
            f"{folder})"
        ) in call(*command, run)
    assert "leaky:Leaky" in call("compare", run)  # it reads numbers alone
    assert "env.id=corridor:Corridor-v0: add --plugin corridor, or" in call(
        "evaluate", run, "--plugin", "leaky"
    )
    assert "corridor" not in sys.modules
    forget("leaky")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(folder)])
    named = ["--plugin", "leaky", "--plugin=corridor"]
    evaluated = call("evaluate", run, "episodes=4", *named)
    assert f"leaky is imported from {folder}, where a run had it\ncorridor is" in evaluated
    assert "4 episodes" in evaluated

    forget("leaky", "corridor")
    resumed = call(*named, "train", f"--resume={run}", "total_steps=128")
    assert f"memrl watch {run} --plugin leaky --plugin corridor\n" in resumed
    named_again = "memrl train --plugin leaky --plugin corridor env=corridor:Corridor-v0 "
    assert named_again in resumed
    forget("leaky", "corridor")
    with pytest.raises(RunError, match="add --plugin leaky"):
        memrl.load(run)
    assert memrl.load(run, plugins=["leaky", "corridor"]).env_steps == 128


@pytest.mark.slow
def test_a_run_of_a_registered_memory_names_the_module_that_registers_it(call, folder):
    (folder / "leaky.py").write_text(REGISTERED)
    call("train", *SMALL, "--plugin", "leaky", "memory=leaky", "run.dir=here")
    forget("leaky")
    del registry.REGISTRY._classes["leaky"]
    assert "made with memory.name=leaky: add --plugin leaky, or" in call("evaluate", "here")
    Path("here", "plugins.json").unlink()
    assert "unknown memory 'leaky'" in call("evaluate", "here")
    Path("here", "plugins.json").write_text("[")
    assert "plugins.json is damaged" in call("evaluate", "here")


@pytest.mark.slow
def test_a_run_in_a_registered_environment_is_gone_on_with_by_its_module(call, folder):
    (folder / "corridor.py").write_text(CORRIDOR)
    words = ["env=Corridor-v0", "env.num=4", "agent.steps=16", "agent.bptt=16", "threads=1",
             "total_steps=64", "evaluate.episodes=4", "track=off", "run.dir=here"]  # fmt: skip
    out = call("train", "--plugin", "corridor", *words)
    assert "memrl watch here --plugin corridor\n" in out
    assert "memrl train --plugin corridor env=Corridor-v0 " in out
    forget("corridor")
    assert "made with env.id=Corridor-v0: add --plugin corridor, or" in call("evaluate", "here")
    assert "4 episodes" in call("evaluate", "here", "--plugin", "corridor")


@pytest.mark.slow
def test_a_task_of_the_folder_is_fitted_and_its_run_continued(call, folder):
    (folder / "first_bit.py").write_text(FIRST_BIT)
    words = ["threads=1", "learner.batches=1", "evaluate.sequences=3", "track=off", "memory=gru"]
    out = json.loads(call("fit", *words, "task=first_bit:FirstBit", "task.bits=2", "sequences=32",
                          "run.dir=here", "--json"))  # fmt: skip
    assert [mark["length"] for mark in out["evaluation"]] == [3]
    assert "did you mean task.bits?" in call("config", "--fit", "task=first_bit:FirstBit",
                                             "task.bit=2")  # fmt: skip
    forget("first_bit")
    again = ["fit", "--resume", "here", "sequences=64"]
    assert "made with task.name=first_bit:FirstBit: add --plugin first_bit" in call(*again)
    call(*again, "--plugin", "first_bit")


@pytest.mark.slow
def test_what_a_package_offers_is_listed_with_its_origin_and_chosen_by_name(
    call, folder, monkeypatch
):
    site = folder / "site"
    entries = (
        "[memrl.memories]\ntrickle = drops:Leaky\nwrong = drops:LeakyState\n"
        "[memrl.tasks]\nfirst_bit = bits:FirstBit\n"
    )
    install(site, "memrl-drops", entries, drops=LEAKY, bits=FIRST_BIT)
    monkeypatch.syspath_prepend(str(site))
    rows = {row["name"]: row for row in json.loads(call("memories", "--json"))}
    assert rows["trickle"]["origin"] == "memrl-drops 1.2"
    assert rows["trickle"]["class"] == "Leaky"
    assert rows["gru"]["origin"] == "built in"
    shown = call("memories")
    assert "memrl-drops 1.2" in shown
    assert "wrong: wrong is a class and no memory" in shown
    assert "memrl-drops 1.2" in call("tasks")
    assert composed(call("config", "memory=trickle"))["memory"]["decay"] == 0.9
    assert "did you mean trickle?" in call("config", "memory=trickl")
    call("train", *SMALL, "memory=trickle", "run.dir=here")
    assert not Path("here", "plugins.json").exists()
    forget("drops")
    assert "4 episodes" in call("evaluate", "here", "episodes=4")  # installed: trusted


def test_check_takes_a_module_of_the_folder(call):
    assert "leaky:Leaky keeps the contract" in call("check", "leaky:Leaky", "hidden_dim=5")
