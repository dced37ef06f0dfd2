"""What Stable-Baselines3's users plot is logged under the names that they know."""

from __future__ import annotations

import math

import pytest
from gymnasium import spaces
from small_models import BOX, MEMORIES, STEPS, Sampled, copies, logged, make_model
from stable_baselines3.common.logger import configure

PER = 2 * STEPS
KNOWN = {
    "rollout/ep_rew_mean",
    "rollout/ep_len_mean",
    "time/fps",
    "time/iterations",
    "time/time_elapsed",
    "time/total_timesteps",
    "train/approx_kl",
    "train/clip_fraction",
    "train/clip_range",
    "train/entropy_loss",
    "train/explained_variance",
    "train/learning_rate",
    "train/loss",
    "train/n_updates",
    "train/policy_gradient_loss",
    "train/value_loss",
}


@pytest.mark.parametrize("memory", MEMORIES)
def test_known_names_are_logged_and_finite(memory):
    model = make_model(memory=memory)
    rows = logged(model)
    model.learn(3 * PER)
    assert len(rows) == 3
    assert set(rows[-1]) >= KNOWN
    assert all(math.isfinite(value) for value in rows[-1].values()), rows[-1]
    assert rows[-1]["rollout/ep_rew_mean"] == 15
    assert rows[-1]["rollout/ep_len_mean"] == 5
    assert rows[-1]["train/n_updates"] == 2 * 2  # epochs of two updates before
    assert rows[-1]["time/total_timesteps"] == 3 * PER


def test_the_spread_of_continuous_actions_is_logged():
    model = make_model(copies(lambda: Sampled(BOX, spaces.Box(-1, 1, (2,)))))
    rows = logged(model)
    model.learn(2 * PER)
    assert rows[-1]["train/std"] == pytest.approx(1.0, abs=0.05)


def test_the_value_loss_is_the_mean_square():
    """Without learning it is the mean of squared advantages, whose targets lie that far off."""
    model = make_model(learning_rate=lambda left: 0.0, batch_size=PER, double=True)
    rows = logged(model)
    model.learn(PER)
    want = float(model.rollout_buffer.advantage.square().mean())
    model.logger.dump()
    assert rows[-1]["train/value_loss"] == pytest.approx(want, rel=1e-6)


def test_the_entropy_loss_is_minus_the_entropy():
    model = make_model()
    rows = logged(model)
    model.learn(2 * PER)
    assert rows[-1]["train/entropy_loss"] == pytest.approx(-math.log(3), abs=0.01)


@pytest.mark.parametrize("memory", ["ntm", "dnc"])
def test_memories_show_where_they_look(memory):
    model = make_model(memory=memory)
    rows = logged(model)
    model.learn(2 * PER)
    assert any(name.startswith("memory/") and name.endswith("_entropy") for name in rows[-1])


def test_successes_are_counted():
    class Winning(Sampled):
        def step(self, action):
            return (*super().step(action)[:-1], {"is_success": True})

    model = make_model(copies(Winning))
    rows = logged(model)
    model.learn(2 * PER)
    assert rows[-1]["rollout/success_rate"] == 1


def test_tensorboard_writes_its_file(tmp_path):
    make_model(tensorboard_log=str(tmp_path)).learn(2 * PER, tb_log_name="mine")
    assert list(tmp_path.glob("mine_1/events.out.tfevents.*"))


def test_tensorboards_folder_is_called_after_the_algorithm(tmp_path):
    make_model(tensorboard_log=str(tmp_path)).learn(PER)
    assert [path.name for path in tmp_path.iterdir()] == ["MemoryPPO_1"]


def test_a_logger_of_ones_own_is_used(tmp_path):
    model = make_model()
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(3 * PER)
    model.logger.close()
    header, *rows = (tmp_path / "progress.csv").read_text().splitlines()
    assert "train/value_loss" in header
    assert len(rows) == 3


def test_a_verbose_model_prints_its_table(capsys):
    make_model(verbose=1).learn(2 * PER)
    printed = capsys.readouterr().out
    assert "ep_rew_mean" in printed
    assert "approx_kl" in printed
