"""Stable-Baselines3's callbacks find what they look for."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import MEMORIES, STEPS, Sampled, Watch, copies, make_model, parameters
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)

from memrl.agents.sb3 import MemoryPPO

PER = 2 * STEPS


@pytest.mark.parametrize("memory", MEMORIES)
def test_eval_callback_evaluates_while_training(memory, tmp_path):
    model = make_model(memory=memory)
    callback = EvalCallback(
        copies(B=3), n_eval_episodes=5, eval_freq=4, log_path=str(tmp_path), verbose=0
    )
    model.learn(PER, callback=callback)
    found = np.load(tmp_path / "evaluations.npz")
    assert found["timesteps"].tolist() == [8, 16]
    assert found["results"].shape == (2, 5)
    assert (found["results"] == 15).all()


@pytest.mark.parametrize("memory", MEMORIES)
def test_evaluating_while_training_changes_nothing_of_it(memory):
    alone = make_model(memory=memory).learn(PER)
    watched = make_model(memory=memory)
    held_out = EvalCallback(copies(), n_eval_episodes=2, eval_freq=3, verbose=0)
    watched.learn(PER, callback=held_out)
    assert parameters(alone).equal(parameters(watched))


def test_training_stops_at_a_reward():
    callback = EvalCallback(
        copies(), eval_freq=3, verbose=0, callback_on_new_best=StopTrainingOnRewardThreshold(10)
    )
    assert make_model().learn(9 * PER, callback=callback).num_timesteps == 6


def test_training_stops_without_improvement():
    callback = EvalCallback(
        copies(),
        eval_freq=2,
        verbose=0,
        callback_after_eval=StopTrainingOnNoModelImprovement(1),
    )
    assert make_model().learn(9 * PER, callback=callback).num_timesteps == 12


def test_training_stops_after_so_many_episodes():
    model = make_model(copies(lambda: Sampled(length=3)))
    model.learn(9 * PER, callback=StopTrainingOnMaxEpisodes(2))
    assert model.num_timesteps == 2 * 3 * 2  # each of two copies plays two episodes


def test_a_callback_stops_at_once_and_nothing_is_learned():
    model = make_model()
    before = parameters(model)
    model.learn(PER, callback=Watch(lambda callback: False))
    assert model.num_timesteps == 2
    assert before.equal(parameters(model))


def test_a_function_is_a_callback():
    calls = []

    def look(local, outer):
        calls.append(set(local))
        return len(calls) < 3

    make_model().learn(PER, callback=look)
    assert len(calls) == 3


def test_callbacks_are_called_in_order_and_as_often_as_promised():
    class Diary(BaseCallback):
        def __init__(self):
            super().__init__()
            self.notes = []

        def _on_training_start(self):
            self.notes.append("training")

        def _on_rollout_start(self):
            self.notes.append("rollout")

        def _on_step(self):
            self.notes.append("step")
            return True

        def _on_rollout_end(self):
            self.notes.append("rollout over")

        def _on_training_end(self):
            self.notes.append("training over")

    diary = Diary()
    make_model().learn(2 * PER, callback=[diary])
    rollout = ["rollout", *["step"] * STEPS, "rollout over"]
    assert diary.notes == ["training", *rollout, *rollout, "training over"]


def test_every_step_shows_its_answers_under_sb3s_names():
    seen = []

    def look(callback):
        local = callback.locals
        assert local["self"] is callback.model
        assert local["env"] is callback.training_env
        assert local["rollout_buffer"] is callback.model.rollout_buffer
        assert local["n_rollout_steps"] == STEPS
        for name in ("rewards", "dones", "actions", "values", "log_probs"):
            assert len(local[name]) == 2
        assert np.array_equal(local["obs_tensor"].numpy(), callback.model._last_obs)
        assert len(local["new_obs"]) == len(local["clipped_actions"]) == 2
        seen.append((local["n_steps"], callback.num_timesteps, local["rewards"].tolist()))
        assert [info.get("episode", {}).get("l") for info in local["infos"]] == [
            5 if done else None for done in local["dones"]
        ]

    make_model().learn(PER, callback=Watch(look))
    assert [n for n, _, _ in seen] == list(range(STEPS))
    assert [steps for _, steps, _ in seen] == [2 * (n + 1) for n in range(STEPS)]
    assert [r for *_, (r, _) in seen] == [1, 2, 3, 4, 5, 1, 2, 3]


def test_the_rollout_can_be_read_when_it_is_full():
    class Read(BaseCallback):
        shapes: tuple = ()

        def _on_step(self):
            return True

        def _on_rollout_end(self):
            rollout = self.model.rollout_buffer
            Read.shapes += (tuple(rollout.reward.shape), float(rollout.reward.sum()))

    make_model().learn(PER, callback=Read())
    assert Read.shapes == ((STEPS, 2), 2 * (15 + 6))


def test_events_in_steps_fire():
    fired = []
    inner = Watch(lambda callback: fired.append(callback.num_timesteps))
    make_model().learn(2 * PER, callback=CallbackList([EveryNTimesteps(10, inner)]))
    assert fired == [10, 20, 30]


@pytest.mark.filterwarnings("ignore:rich is experimental")  # says tqdm
def test_a_progress_bar_is_drawn():
    pytest.importorskip("tqdm", reason="pip install 'stable-baselines3[extra]'")
    make_model().learn(PER, progress_bar=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of old versions of wandb, in itself
def test_weights_and_biases_own_callback_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wandb = pytest.importorskip("wandb", reason="pip install wandb")
    from wandb.integration.sb3 import WandbCallback

    run = wandb.init(dir=str(tmp_path))
    model = make_model()
    model.learn(PER, WandbCallback(model_save_path=str(tmp_path / "models"), verbose=0))
    run.finish()
    assert MemoryPPO.load(tmp_path / "models" / "model").num_timesteps == model.num_timesteps
