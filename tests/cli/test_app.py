"""Every command does what it says; every mistake is one sentence, no traceback, a non-zero code."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from made_up_report import made_up_report
from suites import slow

from memrl import __version__
from memrl.bench.learner_process import POSITION_ONLY, LearnerProcess, LearnerSpec
from memrl.cli.app import app
from memrl.cli.arguments import parse
from memrl.cli.live import LiveOptions, refresh
from memrl.cli.main import main
from memrl.cli.train import words_of
from memrl.config.composition import compose
from memrl.inspector.server import PageServer
from memrl.memory import NTM, registry
from memrl.run.directory import RunDirectory
from memrl.tasks import REGISTRY

SMOKE = ["+run=smoke", "threads=1", "total_steps=512", "evaluate.episodes=8"]
QUICK = [*SMOKE, "run.pictures=false"]


class Outcome:
    """What a command left: exit code, stdout, stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def memrl(monkeypatch, capfd, tmp_path):
    """Run a command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["memrl", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A small run; tests that change it take a copy."""
    path = tmp_path_factory.mktemp("trained") / "run"
    app(["train", *SMOKE, "memory=ntm", f"run.dir={path}"], standalone_mode=False)
    return path


def sentence(outcome: Outcome) -> str:
    """The one line that a mistake prints."""
    assert outcome.code != 0
    assert "Traceback" not in outcome.out + outcome.err
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("memrl: ")]
    assert "defect" not in line
    return line


# Every command


@pytest.mark.parametrize(
    "words",
    [
        ["train", "env=CartPole-v1", "env.num=1", "agent.minibatches=9"],
        ["train", "env=probe", "env.length=0"],
        ["train", "env=CartPole-v1", "agent=r2d2", "agent.replay.capacity=3"],
        ["fit", "task=copy", "task.longest=0"],
        ["train", "env=CartPole-v1", "init=no/run"],
        ["fit", "task=copy", "init=no/run"],
    ],
)
def test_a_value_out_of_range_is_told_alone_without_the_config(memrl, words):
    outcome = memrl(*words)
    assert sentence(outcome)
    assert len((outcome.out + outcome.err).splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [[], *[[name] for name in ("train", "fit", "distil", "continual", "evaluate", "watch",
                               "inspect", "probe", "export", "compare", "memories", "envs", "play",
                               "tasks", "plugins", "config", "check", "bench")],
     *[["bench", name] for name in ("train", "env", "cores", "dnc", "sb3", "cartpole", "sam", "nec",
                                      "nec-dqn", "parity", "store")]],
    ids=" ".join,
)  # fmt: skip
def test_every_command_has_help(memrl, command):
    outcome = memrl(*command, "--help")
    assert outcome.code == 0
    assert "Usage" in outcome.out


def test_the_version_is_printed(memrl):
    outcome = memrl("--version")
    assert (outcome.code, outcome.out) == (0, f"memrl {__version__}\n")


@pytest.mark.slow
def test_a_length_that_is_no_whole_number_of_rollouts_is_said(memrl):
    short = [word for word in SMOKE if not word.startswith("total_steps")]
    outcome = memrl("train", *short, "memory=none", "total_steps=500", "run.dir=here")
    assert outcome.code == 0
    said = "total_steps=500 is reached after 2 rollouts of 256 env steps"
    assert outcome.out.index(said) < outcome.out.index("8 episodes:")


def test_a_run_leaves_everything_it_promises(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "config.yaml", "metrics.csv", "checkpoints", "curve.png", "episode.gif", "memory.png",
        "summary.json",
    }  # fmt: skip
    summary = json.loads((trained / "summary.json").read_text())
    assert set(summary) >= {
        "success", "env_steps", "wall_seconds", "env_steps_per_s", "commit", "seed", "versions",
        "machine",
    }  # fmt: skip
    assert summary["env_steps"] == 512
    assert summary["evaluation"]["episodes"] == 8


def test_train_prints_the_config_and_three_next_commands(memrl):
    outcome = memrl("train", *SMOKE, "memory=gru", "run.dir=here")
    assert outcome.code == 0
    assert "name=gru hidden_dim=128" in outcome.out
    tail = outcome.out.splitlines()[-3:]
    assert "memrl watch here" in tail[0]
    assert "memory=none" in tail[1]
    assert "memrl compare here here-none" in tail[1]
    assert "memory=dnc" in tail[2]
    assert not Path("outputs").exists()  # of Hydra
    assert not Path(".hydra").exists()


@pytest.mark.slow
def test_a_control_is_offered_no_control_but_its_film(memrl):
    outcome = memrl("train", *QUICK, "memory=none", "run.dir=here")
    assert outcome.code == 0
    assert "without a memory" not in outcome.out
    assert "memrl watch here" in outcome.out
    watched = memrl("watch", "here")
    assert watched.code == 0
    assert watched.out.endswith("here/watch.gif\n")


@pytest.mark.parametrize(
    "words",
    [
        ["+run=recall", "seed=3"],
        ["env=gymnasium", "env.id=Taxi-v4"],
        ["agent=nec", "env=CartPole-v1", "agent.alpha=0.2"],
    ],
)
def test_a_resumed_run_offers_words_that_make_its_config(words):
    config = compose(words)
    assert compose(words_of(config)) == config


@pytest.mark.slow
def test_train_with_json_prints_one_value(memrl):
    outcome = memrl("train", *QUICK, "run.dir=here", "--json")
    value = json.loads(outcome.out)
    assert value["run"] == "here"
    assert value["env_steps"] == 512


@pytest.mark.slow
def test_a_sweep_gives_every_job_a_directory(memrl, tmp_path):
    outcome = memrl("train", "-m", *QUICK, "memory=none,gru", "seed=1,2", "run.dir=sweep")
    assert outcome.code == 0
    assert "all files: sweep/probe-Recall-v0-gru-seed2" in outcome.out
    runs = sorted(path.parent.name for path in tmp_path.glob("sweep/*/summary.json"))
    assert runs == sorted(
        f"probe-Recall-v0-{memory}-seed{seed}" for memory in ("none", "gru") for seed in (1, 2)
    )


@pytest.mark.slow
def test_a_failing_job_of_a_sweep_is_named_and_the_others_run(memrl, tmp_path):
    outcome = memrl("train", "-m", *QUICK, "agent.burn_in=16,0", "run.dir=sweep")
    assert outcome.code == 1
    assert "agent.burn_in=16" in outcome.err
    assert "Traceback" not in outcome.err
    assert len([*tmp_path.glob("sweep/*/summary.json")]) == 1


@pytest.mark.slow
def test_an_unnamed_run_gets_a_name_of_its_own(memrl, tmp_path):
    for _ in range(2):
        assert memrl("train", *QUICK, "memory=none").code == 0
    names = sorted(path.parent.name for path in tmp_path.glob("runs/*/summary.json"))
    assert names == ["probe-Recall-v0-none-seed1", "probe-Recall-v0-none-seed1-2"]


def test_evaluate_as_json_is_one_value_for_scripts(memrl, trained):
    outcome = memrl("evaluate", trained, "episodes=7", "--json")
    value = json.loads(outcome.out)
    assert set(value) == {"success", "return", "length", "episodes"}
    assert value["episodes"] == 7
    assert value["length"] == 5
    assert 0 <= value["success"] <= 1
    assert json.loads(memrl("evaluate", trained, "episodes=7", "--json").out) == value


def test_evaluate_repeats_the_runs_own_evaluation(memrl, trained):
    summary = json.loads((trained / "summary.json").read_text())
    value = json.loads(memrl("evaluate", trained, "--json").out)
    assert (value["success"], value["return"]) == (summary["success"], summary["return"])


def test_evaluate_knows_the_best_checkpoint(memrl, trained):
    assert memrl("evaluate", trained, "checkpoint=best", "episodes=3").code == 0


@pytest.mark.slow
def test_evaluate_meets_levels_that_training_did_not_see(memrl, trained):
    words = ["env=MiniGrid-Empty-Random-5x5-v0", "env.num=2", "env.bank_size=3", "threads=1",
             "agent.steps=8", "agent.bptt=8", "agent.minibatches=1", "total_steps=16",
             "evaluate.episodes=2", "run.dir=grid"]  # fmt: skip
    assert memrl("train", *words).code == 0
    assert memrl("evaluate", "grid", "bank=7", "episodes=2").code == 0
    drawn = {path.name.split("_")[2] for path in (Path(os.environ["MEMRL_CACHE"]) / "levels").glob(
        "MiniGrid-Empty-Random-5x5-v0_*_3_2.safetensors")}  # fmt: skip
    assert {"0", "7"} <= drawn
    assert "draws from no level bank" in memrl("evaluate", trained, "bank=7").err


@pytest.mark.slow
def test_success_is_null_where_the_task_has_none(memrl):
    words = ["env=CartPole-v1", "env.num=2", "agent.steps=8", "agent.bptt=8", "total_steps=16"]
    assert memrl("train", *words, "agent.minibatches=1", "evaluate.episodes=2", "threads=1",
                 "run.dir=pole").code == 0  # fmt: skip
    assert json.loads(memrl("evaluate", "pole", "--json").out)["success"] is None


def test_watch_draws_and_says_what_an_ablation_changes(memrl, trained, tmp_path):
    gif = tmp_path / "look.gif"
    outcome = memrl("watch", trained, "ablate=reads", f"out={gif}", "episodes=5")
    assert outcome.code == 0, outcome.err
    assert "without reads" in outcome.out
    assert gif.read_bytes().startswith(b"GIF")
    assert gif.with_suffix(".png").exists()


def test_any_part_that_a_memory_names_can_be_ablated(memrl, trained, monkeypatch, tmp_path):
    monkeypatch.setattr(NTM, "ablations", frozenset({"reads", "writes"}))
    outcome = memrl("watch", trained, "ablate=writes", f"out={tmp_path}", "episodes=2")
    assert outcome.code == 0, outcome.err
    assert "without writes" in outcome.out
    assert (tmp_path / "watch-without-writes.gif").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "file"),
    [([], "policy.onnx"), (["checkpoint=best", "to=there/step.pt2"], "there/step.pt2")],
    ids=["onnx", "pt2"],
)
def test_export_writes_one_file_and_says_what_goes_in_and_out(
    memrl, trained, tmp_path, words, file
):
    if file.endswith(".onnx"):
        for package in ("onnx", "onnxscript"):
            pytest.importorskip(package, reason=f"pip install {package}")
    run, _ = copied(trained, tmp_path)
    outcome = memrl("export", run, *words)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    written = (run if file == "policy.onnx" else tmp_path) / file
    assert written.stat().st_size > 0
    assert [*written.parent.glob(".*")] == []
    first, *ports = outcome.out.splitlines()
    assert first.endswith(f"{file}: one step for any batch size B")
    assert "in  start: bool [B]" in ports
    assert "in  state.memory: float32 [B, 16, 16]" in ports
    assert "out action: int64 [B]" in ports
    assert "out next_state.memory: float32 [B, 16, 16]" in ports


def test_compare_tells_two_settings_of_one_memory_apart(memrl, trained, tmp_path):
    wide = tmp_path / "wide"
    shutil.copytree(trained, wide)
    config = (wide / "config.yaml").read_text()
    (wide / "config.yaml").write_text(config.replace("slots: 16", "slots: 64"))
    outcome = memrl("compare", trained, wide)
    assert outcome.code == 0
    assert outcome.out.index("slots=16") < outcome.out.index("slots=64")


def test_compare_draws_and_prints_a_table(memrl, trained, tmp_path):
    outcome = memrl("compare", trained, f"out={tmp_path / 'both.png'}")
    assert outcome.code == 0
    assert "ntm" in outcome.out
    assert (tmp_path / "both.png").stat().st_size > 0


def test_compare_without_a_run_says_what_it_wants(memrl):
    outcome = memrl("compare", "out=both.png")
    assert outcome.code == 1
    assert outcome.err == "memrl: compare asks for at least one run directory\n"


def test_memories_lists_the_menu(memrl):
    assert "dnc" in memrl("memories").out
    listed = json.loads(memrl("memories", "--json").out)
    assert [entry["name"] for entry in listed] == registry.names()
    assert all(entry["state_bytes"] >= 0 for entry in listed)


@pytest.mark.slow
def test_envs_lists_tasks_of_both_kinds(memrl):
    listed = json.loads(memrl("envs", "--json").out)
    kinds = {entry["id"]: entry["kind"] for entry in listed}
    assert kinds["MiniGrid-MemoryS13-v0"] == "tensor"
    assert kinds["CartPole-v1"] == "adapter"
    assert kinds["MiniGrid-DoorKey-5x5-v0"] == "tensor"
    assert kinds["BabyAI-GoToObj-v0"] == "adapter"


def test_envs_says_what_can_be_reached_and_lists_what_was_asked_for(memrl):
    row, *rest = [line for line in memrl("envs", "probe", "recall").out.splitlines() if "/" in line]
    assert rest == []
    assert row.split() == "probe/Recall-v0 tensor strict success 0.25 · 0.25 · 1 1 of 6".split()
    assert "-0.924 · -0.924 · 1 (time alone -0.492)" in memrl("envs", "CountRecallMedium").out
    assert "no environment has zzz in its id" in sentence(memrl("envs", "zzz"))


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ("probe", "env.cues=4 env.delay=3"),
        ("popgym-BattleshipEasy-v0", "env.side=8"),
        ("MiniGrid-MemoryS13-v0", "env.observation=symbolic env.tile_size=8"),
        (
            "CartPole-v1",
            "env.max_episode_steps=500 env.sutton_barto_reward=false env.render_mode=null",
        ),
    ],
)
def test_config_lists_the_options_of_an_environment_that_no_file_holds(memrl, env, expected):
    out = memrl("config", f"env={env}").out
    (line,) = [line for line in out.splitlines() if line.startswith("# ")]
    assert line.endswith(f"with their defaults: {expected}")
    assert yaml.safe_load(out)["seed"] == 1


def test_options_that_are_set_are_keys_and_no_defaults(memrl):
    out = memrl("config", "env=probe", "env.delay=10").out
    assert "delay: 10" in out
    assert "with their defaults: env.cues=4\n" in out
    assert "# " not in memrl("config", "env=probe/OneStep-v0").out


def test_config_prints_what_train_would_do(memrl):
    assert "hidden_dim: 7" in memrl("config", "memory=gru", "memory.hidden_dim=7").out


def test_bench_env_as_json_is_one_value(memrl):
    words = ("bench", "env", "MiniGrid-MemoryS7-v0", "num=3", "seconds=0.01", "windows=1")
    value = json.loads(memrl(*words, "--json").out)
    assert list(value) == ["MiniGrid-MemoryS7-v0"]
    assert value["MiniGrid-MemoryS7-v0"]["env_steps_per_s"]["3"] > 0
    assert "S7" in memrl(*words).out


@pytest.mark.slow
def test_a_memory_without_a_loop_says_that_there_is_nothing_to_compile(memrl):
    words = [*QUICK, "memory=none", "compile=true", "run.dir=run"]
    outcome = memrl("train", *words)
    assert outcome.code == 0
    assert "compile=true: NoMemory computes a sequence without a loop" in outcome.out + outcome.err


def test_bench_cores_as_json_has_a_row_per_memory(memrl):
    words = ["memories=ntm,none", "steps=3", "rows=2", "in_dim=5", "windows=1"]
    rows = json.loads(memrl("bench", "cores", *words, "--json").out)
    assert rows.keys() == {"lstm", "none", "ntm"}
    assert rows["lstm"]["learn_ratio"] == rows["lstm"]["act_ratio"] == 1
    assert rows["none"]["act_steps_per_s"] > rows["ntm"]["act_steps_per_s"] > 0
    assert rows["none"]["state_bytes"] == 0
    assert "parameters" in memrl("bench", "cores", *words).out
    assert "did you mean rows?" in sentence(memrl("bench", "cores", "row=3"))
    assert "did you mean lstm?" in sentence(memrl("bench", "cores", "memories=lstn"))


class PackagedDNC(torch.nn.Linear):
    """Called as the package's is."""

    def __init__(self, in_dim, hidden_dim, **sizes):
        super().__init__(in_dim, hidden_dim)
        assert sizes["nr_cells"] == 5

    def forward(self, x, state, reset_experience):
        assert x.shape == (2, 3, 64)
        return super().forward(x), state


def test_bench_nec_as_json_has_a_row_per_way(memrl):
    pytest.importorskip("faiss")
    words = ("keys=300", "key_dim=5", "queries=3", "neighbours=2", "repeats=1")
    rows = json.loads(memrl("bench", "nec", *words, "--json").out)
    assert list(rows) == ["loop", "batch", "ivf", "lsh"]
    assert "recall" in memrl("bench", "nec", *words).out
    assert "did you mean keys?" in sentence(memrl("bench", "nec", "key=3"))


def test_bench_nec_dqn_wants_a_file_and_known_learners(memrl):
    assert "file is missing" in sentence(memrl("bench", "nec-dqn"))
    words = ("file=here.jsonl", "learners=dqnn")
    assert "did you mean dqn?" in sentence(memrl("bench", "nec-dqn", *words))


def test_bench_dnc_stands_beside_the_package(memrl, monkeypatch):
    words = ["steps=3", "rows=2", "slots=5", "windows=1", "compile=false"]
    package = ModuleType("dnc")
    package.DNC, package.__spec__ = PackagedDNC, ModuleSpec("dnc", None)
    monkeypatch.setitem(sys.modules, "dnc", package)
    rows = json.loads(memrl("bench", "dnc", *words, "--json").out)
    assert rows.keys() == {"dnc", "eager"}
    assert rows["eager"]["speedup"] == pytest.approx(rows["dnc"]["ms"] / rows["eager"]["ms"])
    assert "speed-up" in memrl("bench", "dnc", *words).out
    monkeypatch.setitem(sys.modules, "dnc", None)
    monkeypatch.setattr("memrl.bench.dnc.PACKAGE", "no_such_package")
    assert "pip install --no-deps dnc" in sentence(memrl("bench", "dnc"))


@pytest.mark.slow
def test_bench_train_as_json_is_one_value(memrl, monkeypatch):
    assert "did you mean num?" in sentence(memrl("bench", "train", "nun=3"))
    assert "allowed: ids of MiniGrid" in sentence(memrl("bench", "train", "env=probe/Recall-v0"))
    words = ["num=4", "iterations=1", "windows=1", "peer_steps=128", "hidden_dim=8"]
    assert json.loads(memrl("bench", "train", *words, "--json").out)["ratio"] > 0


CORE = """
from typing import NamedTuple
import torch
from torch import Tensor, nn
from memrl.memory import MemoryCore

class State(NamedTuple):
    h: Tensor

class Good(MemoryCore[State]):
    def __init__(self, in_dim, *, hidden_dim=3):
        super().__init__(in_dim, hidden_dim)
        self.w = nn.Linear(in_dim + hidden_dim, hidden_dim)

    def initial_state(self, batch_size):
        return State(self.w.weight.new_zeros(batch_size, self.out_dim))

    def _update(self, x, state):
        h = torch.tanh(self.w(torch.cat([x, state.h], 1)))
        return h, State(h)

class Forgets(Good):
    def reset(self, state, initial, start, *, donate=False):
        return state
"""


def test_check_holds_a_core_to_the_contract(memrl, monkeypatch):
    Path("my_core.py").write_text(CORE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    good = memrl("check", "my_core:Good", "hidden_dim=5")
    assert good.code == 0, good.out + good.err
    assert "keeps the contract" in good.out
    bad = memrl("check", "my_core:Forgets")
    assert "FAIL" in bad.out
    assert "breaks" in sentence(bad)
    assert "no memory 'Goo'; did you mean Good?" in sentence(memrl("check", "my_core:Goo"))
    wrong = memrl("check", "my_core:Good", "width=5")
    assert "'my_core:Good' has no option 'width' (options: hidden_dim)" in sentence(wrong)
    assert not wrong.out
    assert "write MODULE:CLASS" in sentence(memrl("check", "my_core"))
    assert "no module 'nowhere'" in sentence(memrl("check", "nowhere:X"))


# Every mistake


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["agent.lrr=1"], "unknown key agent.lrr; did you mean agent.lr?"),
        (["memory=lstn"], "unknown memory 'lstn'; did you mean lstm?"),
        (["env=probe/Recal-v0"], "unknown, did you mean probe/Recall-v0?"),
        (["env=MiniGrid-MemoryS31-v0"], "'MiniGrid-MemoryS31-v0' is unknown, did you mean"),
        (["env.num=many"], "env.num='many'"),
        (["device=cuda:77"], "device=cuda:77 cannot be used on this machine, allowed: cpu"),
        (["capture=true"], "capture=true records a CUDA graph, and device=cpu has none"),
        (["seed"], "write KEY=VALUE"),
        (["env=probe", "agent.burn_in=64"], "burn_in is 64; allowed: from 0, below bptt 64"),
        (
            ["env=CartPole-v1", "env.num=1", "agent.minibatches=9"],
            "agent.minibatches=9, allowed: at most 1",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_of_train(memrl, tmp_path, words, expected):
    assert expected in sentence(memrl("train", "run.dir=here", *words))
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("word", ["env=probe/TMase-v0", "env.bank=x", "env.bank_sise=3"])
def test_a_mistaken_task_is_told_before_the_config_is_printed(memrl, word):
    task = [] if word.startswith("env=") else ["env=MiniGrid-DoorKey-5x5-v0"]
    outcome = memrl("train", *task, word)
    assert sentence(outcome)
    assert outcome.out == ""


def test_debug_shows_the_traceback(memrl):
    with pytest.raises(ValueError, match="did you mean lstm"):
        memrl("train", "memory=lstn", "--debug")


def test_a_space_that_no_encoder_takes(memrl, monkeypatch, tmp_path):
    (tmp_path / "odd_task.py").write_text(
        "import gymnasium as g\n"
        "class Odd(g.Env):\n"
        "    observation_space = g.spaces.Sequence(g.spaces.Discrete(3))\n"
        "    action_space = g.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None): return (), {}\n"
        "    def step(self, action): return (), 0.0, True, False, {}\n"
        "class OddAction(Odd):\n"
        "    observation_space = g.spaces.Discrete(3)\n"
        "    action_space = g.spaces.Text(4)\n"
        "    def reset(self, *, seed=None, options=None): return 0, {}\n"
        "g.register('Odd-v0', Odd)\n"
        "g.register('OddAction-v0', OddAction)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert "Sequence" in sentence(memrl("train", "env=odd_task:Odd-v0", "env.num=2"))
    assert "Text" in sentence(memrl("train", "env=odd_task:OddAction-v0", "env.num=2"))


def test_a_directory_that_exists(memrl, trained):
    before = sorted(trained.rglob("*"))
    assert "already contains a run" in sentence(memrl("train", *QUICK, f"run.dir={trained}"))
    assert sorted(trained.rglob("*")) == before


@pytest.mark.parametrize("command", ["evaluate", "watch", "inspect", "export", "compare"])
def test_a_run_that_is_not_there(memrl, command):
    assert "there is no run at nowhere" in sentence(memrl(command, "nowhere"))


def test_an_option_that_is_not_known(memrl, trained):
    assert "did you mean episodes?" in sentence(memrl("evaluate", trained, "episode=3"))
    assert "did you mean episodes?" in sentence(memrl("evaluate", trained, "evaluate.episodes=3"))
    assert "write KEY=VALUE" in sentence(memrl("evaluate", trained, "best"))
    assert "checkpoint='worst'" in sentence(memrl("evaluate", trained, "checkpoint=worst"))
    outcome = memrl("watch", trained, "ablate=read")
    assert "cannot ablate 'read'; did you mean reads? (allowed: reads, state)" in sentence(outcome)
    assert "with its memory" not in outcome.out  # told before anything is measured
    assert "allowed: .onnx and .pt2" in sentence(memrl("export", trained, "to=policy.pth"))


def test_inspect_writes_one_page_of_several_runs(memrl, trained, tmp_path):
    other, _ = copied(trained, tmp_path)
    outcome = memrl("inspect", trained, other, trained, "episodes=3", f"out={tmp_path}")
    assert outcome.code == 0, outcome.err
    assert outcome.out.endswith("inspect.html\n")
    assert outcome.out.startswith(f"{trained}: 3 episodes, ")
    page = (tmp_path / "inspect.html").read_text()
    assert page.count('"cue":') == 6
    assert '"array":"sources"' in page


def test_inspect_shows_what_probe_found(memrl, trained, tmp_path):
    run, _ = copied(trained, tmp_path)
    (run / "probe.json").write_text(made_up_report("reads put out").model_dump_json())
    outcome = memrl("inspect", run, trained, "episodes=2")
    assert (outcome.code, outcome.err) == (0, "")
    page = (run / "inspect.html").read_text()
    assert page.count('"name":"reads put out"') == 1
    assert page.count('"experiments":null') == 1


def test_inspect_writes_its_page_without_experiments_that_it_cannot_read(memrl, trained, tmp_path):
    run, _ = copied(trained, tmp_path)
    (run / "probe.json").write_text('{"experiments": []}')
    outcome = memrl("inspect", run, "episodes=2")
    assert outcome.code == 0
    (said,) = outcome.err.splitlines()
    assert "probe.json is damaged or of another version of memrl" in said
    assert f"memrl probe {run} writes it anew" in said
    assert '"experiments":null' in (run / "inspect.html").read_text()


def test_the_live_page_follows_the_checkpoints(trained, tmp_path):
    run, last = copied(trained, tmp_path)
    options = parse(LiveOptions, ["episodes=2"])
    with PageServer() as server:
        assert refresh(server, RunDirectory(run), options)
        assert server.served.version == last.name
        assert f'"version":"{last.name}"'.encode() in server.served.page
        assert not refresh(server, RunDirectory(run), options)
        shutil.copy(last, last.with_name(last.name.replace("512", "999")))
        assert refresh(server, RunDirectory(run), options)
        shutil.rmtree(run / "checkpoints")
        assert not refresh(server, RunDirectory(run), options)


def test_a_live_page_needs_a_checkpoint_and_a_port(memrl, trained, tmp_path):
    run, _ = copied(trained, tmp_path)
    shutil.rmtree(run / "checkpoints")
    assert "has no last checkpoint yet" in sentence(memrl("watch", run, "--live"))
    with PageServer() as other:
        taken = memrl("watch", trained, "--live", f"port={other.port}")
        assert f"port={other.port} cannot be used" in sentence(taken)
    assert "port=70000" in sentence(memrl("watch", trained, "--live", "port=70000"))


@pytest.mark.slow
def test_a_run_ends_with_a_page_where_one_is_asked_for(memrl):
    short = [word for word in QUICK if not word.startswith("total_steps")]
    words = ["memory=gru", "total_steps=256", "evaluate.inspect=2", "run.dir=here"]
    assert memrl("train", *short, *words).code == 0
    assert Path("here/inspect.html").read_text().count('"cue":') == 2


def test_inspect_says_where_episodes_were_cut_off(memrl, trained, tmp_path):
    outcome = memrl("inspect", trained, "episodes=2", "max_steps=2", f"out={tmp_path}")
    told = "2 longer than the limit and cut off there (max_steps=2, at most 2000)"
    assert told in outcome.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "inspect asks for at least one run directory"),
        (["RUN", "max_steps=2001"], "max_steps=2001"),
        (["RUN", "episode=3"], "did you mean episodes?"),
        (["RUN", "ablate=read"], "did you mean reads?"),
        (["RUN", "out=page.pdf"], "out=page.pdf ends in '.pdf', allowed: .html and .htm"),
    ],
)
def test_inspect_refuses_what_it_cannot_do(memrl, trained, words, said):
    words = [str(trained) if word == "RUN" else word for word in words]
    assert said in sentence(memrl("inspect", "out=page.html", *words))


def test_a_run_without_a_checkpoint_has_nothing_to_inspect(memrl, trained, tmp_path):
    run, _ = copied(trained, tmp_path)
    shutil.rmtree(run / "checkpoints")
    assert "has no last checkpoint yet" in sentence(memrl("inspect", run))


def copied(trained: Path, folder: Path) -> tuple[Path, Path]:
    """A copy of a run and its last checkpoint."""
    run = Path(shutil.copytree(trained, folder / "copy"))
    return run, sorted(run.glob("checkpoints/steps-*"))[-1]


def test_a_truncated_checkpoint(memrl, trained, tmp_path):
    run, last = copied(trained, tmp_path)
    for other in run.glob("checkpoints/*"):
        if other != last:
            other.unlink()
    last.write_bytes(last.read_bytes()[:-100])
    outcome = memrl("evaluate", run)
    assert "no checkpoint in" in sentence(outcome)
    assert "truncated" in outcome.out + outcome.err


def test_a_file_that_is_no_checkpoint(memrl, trained, tmp_path):
    run, last = copied(trained, tmp_path)
    last.write_text("a letter, quite long enough to have a header of some kind")
    assert "no checkpoint in" in sentence(memrl("evaluate", run))


def test_a_checkpoint_of_another_config(memrl, trained, tmp_path):
    run, _ = copied(trained, tmp_path)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("encoder_dim: 128", "encoder_dim: 64"))
    line = sentence(memrl("evaluate", run))
    assert "another configuration" in line
    assert "policy.encoder_dim" in line


def test_a_config_that_was_broken_by_hand(memrl, trained, tmp_path):
    run, _ = copied(trained, tmp_path)
    (run / "config.yaml").write_text("seed: [1\n")
    assert "config.yaml" in sentence(memrl("evaluate", run))


def test_resume_refuses_what_is_no_greater_length(memrl, trained, tmp_path):
    run, _ = copied(trained, tmp_path)
    assert "only total_steps and workers may change, not seed" in sentence(
        memrl("train", "--resume", run, "seed=9")
    )
    assert "'total_steps' is no option" in sentence(memrl("train", "--resume", run, "total_steps"))
    assert "memrl: total_steps='many': it should be a valid integer" in sentence(
        memrl("train", "--resume", run, "total_steps=many")
    )


@pytest.mark.slow
def test_resume_reaches_a_greater_length(memrl, trained, tmp_path):
    run, _ = copied(trained, tmp_path)
    assert memrl("train", "--resume", run, "total_steps=768").code == 0
    assert json.loads((run / "summary.json").read_text())["env_steps"] == 768


def test_a_full_disk_loses_nothing_that_was_saved(memrl, monkeypatch, trained, tmp_path):
    run, _ = copied(trained, tmp_path)
    kept = {path: path.read_bytes() for path in run.glob("checkpoints/*")}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "the disk is full" in sentence(memrl("train", "--resume", run, "total_steps=768"))
    assert {path: path.read_bytes() for path in run.glob("checkpoints/*")} == kept


@pytest.mark.slow
def test_a_tracking_server_that_cannot_be_reached_stops_nothing(memrl, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("memrl.tracking.wandb._PATIENCE", 1.0)
    outcome = memrl("train", *QUICK, "track=wandb", "track.tensorboard=false", "run.dir=here")
    assert outcome.code == 0
    assert "W&B" in outcome.out + outcome.err
    assert Path("here/summary.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, signum, code):
    command = [sys.executable, "-m", "memrl", "train", *SMOKE, "total_steps=1_000_000_000",
               "run.dir=here"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    metrics = tmp_path / "here" / "metrics.csv"
    while not metrics.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signum)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert "Traceback" not in out + err
    assert "continue with: memrl train --resume here" in err
    assert len([*(tmp_path / "here" / "checkpoints").iterdir()]) == 1


@pytest.mark.slow
def test_bench_sb3_as_json_has_a_row_per_learner(memrl):
    words = ["windows=1", "steps=32", "num=2", "n_steps=16", "batch_size=16", "n_epochs=1"]
    words += ["memories=gru", "hidden_dim=3"]
    rows = json.loads(memrl("bench", "sb3", *words, "--json").out)
    assert rows.keys() == {"RecurrentPPO", "MemoryPPO gru"}
    assert rows["RecurrentPPO"]["ratio"] == 1
    # 32 steps of 49 × 3 cells as bytes, kept as float32 by the peer
    assert rows["RecurrentPPO"]["rollout_bytes"] > rows["MemoryPPO gru"]["rollout_bytes"] > 32 * 147
    assert all(row["minibatch_ms"] > 0 for row in rows.values())


@pytest.mark.slow
def test_bench_sb3_prints_a_table_and_knows_its_keys(memrl):
    words = ["windows=1", "steps=32", "num=2", "n_steps=16", "batch_size=16", "n_epochs=1"]
    words += ["memories=none", "source=package", "hidden_dim=3"]
    assert "MemoryPPO none" in memrl("bench", "sb3", *words).out
    assert "did you mean num?" in sentence(memrl("bench", "sb3", "nun=3"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cores", "steps"], "'steps' is no option: write KEY=VALUE"),
        (["cores", "steps=many"], "steps='many': it should be a valid integer"),
        (["cores", "rows=0"], "rows=0: it should be greater than 0"),
        (["cores", "rows=[1"], "options rows=[1: while parsing"),
        (["train", "precision=fp8"], "precision='fp8': it should be 'float32' or 'bf16'"),
        (["sb3", "source=tensors"], "it should be 'tensor' or 'package'; did you mean tensor?"),
        (["sb3", "memories=lstn"], "unknown memory 'lstn'; did you mean lstm?"),
        slow(["sb3", "env=MiniGrid-MemoryS14-v0"], "MemoryS14-v0' is unknown, did you mean"),
        (["cartpole", "learners=none,lstn"], "unknown memory 'lstn'; did you mean lstm?"),
        (["parity", "file=x", "tasks=CartPole-v2"], "'CartPole-v2'; did you mean CartPole-v1?"),
        (["parity", "file=x", "memories=lstn"], "unknown memory 'lstn'; did you mean lstm?"),
        (["parity"], "file"),
        (["sam", "slots=16,many"], "slots=16,many, allowed: whole numbers from 1"),
        (["sam", "lengths=0"], "lengths=0, allowed: whole numbers from 1"),
        (["sam", "memories=ntm,exct"], "unknown memory 'exct' to measure; did you mean exact?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_of_bench_is_told_before_anything_is_measured(memrl, monkeypatch, words, said):
    monkeypatch.setattr("memrl.bench.cartpole.LearnerProcess", None)
    monkeypatch.setattr("memrl.bench.sam._measure", None)
    assert said in sentence(memrl("bench", *words))


@pytest.mark.slow
def test_windows_of_a_learner_process_count_whole_rollouts():
    process = LearnerProcess(
        LearnerSpec(env=POSITION_ONLY, num=2, n_steps=16, batch_size=16, n_epochs=1)
    )
    answers = [process.ask(learn=steps) for steps in (33, 32)]
    process.close()
    assert [answer["env_steps"] for answer in answers] == [64, 32]


@pytest.mark.slow
def test_bench_cartpole_trains_and_evaluates_seed_by_seed(memrl):
    words = ["learners=RecurrentPPO,gru", "total_steps=1024", "episodes=2", "hidden_dim=3"]
    outcome = memrl("bench", "cartpole", *words, "seeds=2", "--json")
    rows = json.loads(outcome.out)
    assert all(len(row["returns"]) == 2 and row["low"] <= row["mean"] for row in rows.values())
    assert "RecurrentPPO" in outcome.err
    assert "one seed" in memrl("bench", "cartpole", *words[1:], "learners=none", "seeds=1").out


SMALL_SAM = ["batch=2", "word_dim=3", "heads=1", "hidden_dim=5", "repeats=1"]


@pytest.mark.slow
def test_bench_sam_has_a_row_for_each_memory_size_and_length(memrl):
    words = [*SMALL_SAM, "slots=16,64", "lengths=2,5", "memories=ntm,exact"]
    rows = json.loads(memrl("bench", "sam", *words, "--json").out)
    assert len(rows) == 8
    for row in rows.values():
        assert row["seconds"] > 0
        assert row["overhead_bytes"] > 0
    assert rows["exact 64 5"]["memory_ratio"] > 1
    assert not rows["exact 64 5"]["extrapolated"]
    assert rows["ntm 64 5"]["per_step_bytes"] > rows["exact 64 5"]["per_step_bytes"]


def test_bench_sam_leaves_out_a_dense_memory_that_is_too_large_and_says_so(memrl):
    words = [*SMALL_SAM, "slots=16,64", "lengths=2", "memories=ntm,exact", "limit_gb=0.00001"]
    rows = json.loads(memrl("bench", "sam", *words, "--json").out)
    assert rows["ntm 64 2"]["seconds"] is None
    assert rows["exact 64 2"]["extrapolated"]
    shown = memrl("bench", "sam", *words).out
    assert "too large" in shown
    assert "1,600 times less time" in shown
    assert "unknown memory 'ann'" in sentence(memrl("bench", "sam", *SMALL_SAM, "memories=ann"))


def test_tasks_are_named_in_full(memrl):
    outcome = memrl("tasks")
    assert all(name in outcome.out for name in REGISTRY.names())


def test_a_task_whose_data_are_not_installed_is_told_below_the_others(memrl, monkeypatch):
    def load(digits):
        raise ValueError("scikit-learn is not installed")

    monkeypatch.setattr("memrl.tasks.fewshot.task.load", load)
    outcome = memrl("tasks")
    assert outcome.code == 0
    assert "fewshot: scikit-learn is not installed" in outcome.out
    assert "copy" in outcome.out
