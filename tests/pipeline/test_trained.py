"""A trained run from Python: the documented loops reach what ``memrl evaluate`` reports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from suites import slow_but

import memrl
from memrl.cli.app import app
from memrl.memory import state as states

PAGE = (Path(__file__).parents[2] / "docs" / "acting.md").read_text()
EXPORT_PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
WORDS = ["+run=recall", "env.delay=1", "total_steps=30_000", "memory=gru", "memory.hidden_dim=32",
         "threads=1", "track.tensorboard=false", "evaluate.episodes=1000",
         "run.pictures=false"]  # fmt: skip
OWN = ["env=own_corridor:OwnCorridor-v0", "env.num=64", "agent.steps=20", "agent.bptt=20",
       "agent.lr=3e-3"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where ``runs/lstm`` is a run that solved Recall, as the page assumes."""
    here = tmp_path_factory.mktemp("acting")
    config = memrl.compose([*WORDS, f"run.dir={here / 'runs' / 'lstm'}"])
    memrl.train(config, style="quiet", say=lambda line: None)
    return here


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The same for an environment of one's own."""
    here = tmp_path_factory.mktemp("own")
    words = [*WORDS[2:], *OWN, f"run.dir={here / 'runs' / 'lstm'}"]
    memrl.train(memrl.compose(words), style="quiet", say=lambda line: None)
    return here


def evaluated(folder, capsys):
    app(["evaluate", str(folder / "runs" / "lstm"), "--json"], standalone_mode=False)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("which", slow_but({"folder"}, ["folder", "own"]))
def test_every_loop_of_the_page_reaches_what_evaluate_reports(which, request, capsys, monkeypatch):
    here = request.getfixturevalue(which)
    monkeypatch.chdir(here)
    reported = evaluated(here, capsys)["success"]
    assert reported > 0.97
    names: dict[str, object] = {}
    reached = []
    for block in BLOCKS:
        if which == "folder" and "gymnasium.make(run.config.env.id)" in block:
            continue  # a tensor environment is nobody's own
        exec(block, names)
        printed = capsys.readouterr().out
        if said := re.search(r"([\d.]+) of ([\d.]+) episodes|mean return ([\d.]+)", printed):
            reached.append(float(said[1] or said[3]))
            assert said[2] is None or float(said[2]) >= 300
    assert len(reached) == (3 if which == "folder" else 4)
    assert min(reached) > reported - 0.03


def test_forgetting_where_episodes_begin_is_refused_and_would_have_been_wrong(folder):
    run = memrl.open_run(folder / "runs" / "lstm")
    agent, env = run.agent, run.env(num=32, seed=1)
    agent.begin(seed=1)
    obs = env.reset(seed=1)
    action = agent.act(obs)
    with pytest.raises(ValueError, match=r"lacks start, which marks new episodes: use act\(step\)"):
        agent.act(env.step(action).obs)
    agent.begin(seed=1)
    step, solved, ended = env.reset(seed=1), 0.0, 0.0
    never = torch.zeros(32, dtype=torch.bool)
    for _ in range(60):
        step = env.step(agent.act(step if isinstance(step, dict) else step.obs, never))
        ended += float(step.ended.sum())
        solved += float(step.metrics["success"][step.ended].sum())
    assert solved / ended < 0.9  # a memory that is never reset; with resets it is above 0.97


def test_the_environment_of_a_run_has_its_options_and_wrappers(folder):
    config = memrl.compose(
        ["+run=smoke", "memory=gru", "env.prev_action=true", "env.prev_reward=true",
         "env.delay=5", "run.pictures=false", f"run.dir={folder / 'wrapped'}"]
    )  # fmt: skip
    run = memrl.train(config, style="quiet", say=lambda line: None)
    env = memrl.open_run(run.path).env(num=3, seed=1)
    assert set(env.observation_space.keys()) == {"obs", "prev_action", "prev_reward"}
    bare = memrl.make("probe/Recall-v0", num=3)
    run.agent.begin()
    with pytest.raises(ValueError, match=r"lacks prev_action, prev_reward .* run\.env\(\)"):
        run.agent.act(bare.reset(seed=1))
    run.agent.begin()
    assert run.agent.act(env.reset(seed=1)).shape == (3,)


@pytest.mark.slow
def test_an_environment_of_one_s_own_plays_the_trials_of_its_run(folder):
    words = ["+run=smoke", "env=CartPole-v1", "env.trial=2", f"run.dir={folder / 'trials'}"]
    config = memrl.compose([*words, "env.num=16", "run.pictures=false", "evaluate.episodes=2"])
    run = memrl.train(config, style="quiet", say=lambda line: None)
    assert run.summary["evaluation"]["last_return"]["mean"] > 1
    env = run.gymnasium_env(gymnasium.make("CartPole-v1"))
    obs, _ = env.reset(seed=1)
    assert set(obs) == {"obs", "prev_action", "prev_done", "prev_reward"}
    first, ends, start, over = obs["obs"], 0, True, False
    run.agent.begin()
    while not over:
        obs, _, over, _, info = env.step(run.agent.act(obs, start=start))
        start = False
        assert not obs["prev_done"] or (obs["obs"] == first).all()
        ends += int(obs["prev_done"])
    assert ends == 1
    assert info["last_return"] > 1


def test_numpy_tensors_single_and_batched_observations_act_alike(folder):
    run = memrl.open_run(folder / "runs" / "lstm")
    env = run.env(num=1, seed=3)
    tensor = env.reset(seed=3)
    array = tensor["obs"].numpy()
    forms = [tensor, tensor["obs"], array, {"obs": array}, array[0], int(array[0])]
    actions = []
    for given in forms:
        run.agent.begin(seed=2)
        actions.append(run.agent.act(given))
    assert [int(np.asarray(action).reshape(())) for action in actions] == [int(actions[0])] * 6
    assert isinstance(actions[1], torch.Tensor)
    assert isinstance(actions[2], np.ndarray)
    assert actions[2].shape == (1,)
    assert type(actions[4]) is int
    assert env.action_space.contains(np.int64(actions[4]))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"cue": 1}, "lacks obs"),
        ("left", "'obs' is text"),
        (0.5, "'obs' is float64, allowed: integers"),
        (7, "outside Discrete"),
        (np.zeros((2, 2), dtype=int), r"shape \[2, 2\], allowed: \[\]"),
    ],
)
def test_an_observation_of_another_kind_is_a_sentence(folder, given, sentence):
    agent = memrl.load(folder / "runs" / "lstm")
    with pytest.raises(ValueError, match=sentence):
        agent.act(given)


def test_another_number_of_environments_needs_a_new_session(folder):
    agent = memrl.load(folder / "runs" / "lstm")
    agent.act(np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"act got 2 observations, allowed: 3, .* begin\(\)"):
        agent.act(np.array([0, 1]), np.array([True, True]))


@pytest.mark.parametrize(
    "start", [np.array([True, False]), np.array([0, 1, 0]), torch.tensor([1.0, 0.0, 0.0])]
)
def test_starts_of_another_shape_or_type_are_refused(folder, start):
    agent = memrl.load(folder / "runs" / "lstm")
    agent.act(np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"allowed: bool \[3\]"):
        agent.act(np.array([0, 1, 2]), start)


def test_the_memory_can_be_looked_at_after_every_step(folder):
    agent = memrl.load(folder / "runs" / "lstm")
    assert agent.memory_state() is None
    agent.act(np.array([0, 1, 2]))
    assert all(leaf.shape[0] == 3 for leaf in states.leaves(agent.memory_state()))
    shown = agent.memory()["hidden"]
    torch.testing.assert_close(shown, states.leaves(agent.memory_state())[0])


def test_an_own_environment_is_wrapped_as_the_run_reads_it(tmp_path):
    words = [
        *WORDS[2:],
        *OWN,
        "total_steps=256",
        "env.num=4",
        "evaluate.episodes=4",
        f"run.dir={tmp_path / 'own'}",
    ]
    made = memrl.train(memrl.compose(words), style="quiet", say=lambda line: None)
    run = memrl.open_run(made.path)
    env = run.gymnasium_env(gymnasium.make("OwnCorridor-v0"))
    obs, _ = env.reset(seed=1)
    assert env.observation_space.contains(obs)
    assert run.agent.act(obs) in (0, 1)


@pytest.mark.slow
def test_the_loop_of_the_export_page_reaches_what_evaluate_reports(folder, capsys, monkeypatch):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(folder)
    app(["export", "runs/lstm", "to=lstm.onnx"], standalone_mode=False)
    capsys.readouterr()
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", EXPORT_PAGE, re.DOTALL):
        exec(block, names)
    reached, about = capsys.readouterr().out.splitlines()
    assert float(reached.split()[0]) > 0.95
    version = memrl.__version__
    assert about == f"gru probe/Recall-v0 the most probable, counted from 0 {version}"
    loop = EXPORT_PAGE.partition("successes = ")[2].partition("```")[0]
    assert loop.count("\n") <= 20


def test_a_torch_program_says_the_same_of_itself(folder, tmp_path):
    path = tmp_path / "lstm.pt2"
    app(["export", str(folder / "runs" / "lstm"), f"to={path}"], standalone_mode=False)
    extra = {"memrl.json": ""}
    torch.export.load(path, extra_files=extra)
    assert json.loads(extra["memrl.json"])["memrl.env"] == "probe/Recall-v0"


def test_a_file_names_the_actions_of_a_task_that_has_names_for_them():
    from memrl.cli.export import about

    said = about(memrl.compose(["env=MiniGrid-MemoryS7-v0", "memory=ntm"]))
    assert said["memrl.memory"] == "ntm"
    assert said["memrl.actions"].startswith("left, right, forward")
