"""Any sizes are learned from, numbers may be NumPy's, and options count while a model learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from small_models import STEPS, Sampled, Watch, copies, logged, make_model, parameters
from stable_baselines3.common.callbacks import BaseCallback

PER = 2 * STEPS


@pytest.mark.parametrize(
    ("n_steps", "batch_size", "minibatches", "bptt"),
    [
        (127, 127, [127, 127], 64),
        (97, 64, [64, 64, 64, 2], 64),
        (131, None, [262], 64),
        (7, 5, [5, 5, 4], 5),
        (12, 48, [24], 48),
        (48, 32, [32, 32, 32], 32),
    ],
)
@pytest.mark.filterwarnings("ignore:batch_size")
def test_any_sizes_are_learned_from(n_steps, batch_size, minibatches, bptt):
    model = make_model(n_steps=n_steps, batch_size=batch_size, n_epochs=1)
    sizes, step = [], model.learner._loss

    def spy(chunk, *others):
        sizes.append(int(chunk.valid.sum()))
        return step(chunk, *others)

    model.learner._loss = spy
    model.learn(2 * n_steps)
    assert sizes == minibatches
    assert model.bptt == bptt
    assert model.rollout_buffer.chunk_starts == list(range(0, n_steps, bptt))


def test_a_given_chunk_length_is_the_one_used_beside_any_batch():
    with pytest.warns(UserWarning, match="batch_size 6 does not divide a rollout of 16 env steps"):
        model = make_model(bptt=7, batch_size=6)
    rows = logged(model)
    model.learn(2 * PER)
    assert model.rollout_buffer.chunk_starts == [0, 7]
    assert rows[-1]["train/ratio_error"] < 1e-5


def test_minibatches_that_leave_a_rest_are_warned_of():
    sentence = r"of 16 env steps \(n_steps 8 × 2 environments\): the last .* has 4"
    with pytest.warns(UserWarning, match=sentence):
        make_model(batch_size=12)


def test_numbers_may_be_numpys(tmp_path):
    numbers = {
        **{"n_steps": np.int64(8), "batch_size": np.int32(8), "n_epochs": np.int64(2)},
        **{"gamma": np.float32(0.5), "gae_lambda": np.float64(0.5), "ent_coef": np.float32(0)},
        **{"vf_coef": np.float32(0.5), "max_grad_norm": np.float32(0.5), "seed": np.int64(3)},
        **{"learning_rate": np.float32(0.125), "clip_range": np.float32(0.25)},
        **{"target_kl": np.float32(4.0), "clip_range_vf": np.float64(8.0)},
    }
    policy = {"encoder_dim": np.int64(7), "memory_kwargs": {"hidden_dim": np.int64(5)}}
    model = make_model(policy=policy, bptt=np.int64(4), **numbers)
    plain = make_model(
        policy={"encoder_dim": 7, "memory_kwargs": {"hidden_dim": 5}},
        bptt=4,
        **{name: value.item() for name, value in numbers.items()},
    )
    model.learn(np.int64(PER))
    assert parameters(model).equal(parameters(plain.learn(PER)))
    model.batch_size = np.int64(4)
    model.save(tmp_path / "m")
    assert type(type(model).load(tmp_path / "m", seed=np.int64(2)).batch_size) is int


@pytest.mark.parametrize("total", [16.0, np.float32(16), np.int64(16)])
def test_env_steps_may_be_a_float_as_in_sb3(total):
    model = make_model()
    assert model.learn(total).num_timesteps == PER
    assert parameters(model).equal(parameters(make_model().learn(PER)))


@pytest.mark.parametrize("total", ["16", None, np.nan])
def test_env_steps_that_are_no_number_are_refused(total):
    # The type says so too; under the type checker of the tests its error comes first.
    said = f"total_timesteps is {total!r}, allowed: a number of env|parameter 'total_timesteps'"
    with pytest.raises((ValueError, TypeCheckError), match=said):
        make_model().learn(total)


CHANGES = {
    "n_epochs": 5,
    "batch_size": 4,
    "vf_coef": 3.0,
    "ent_coef": 0.3,
    "max_grad_norm": 0.01,
    "target_kl": 1e-9,
    "normalize_advantage": False,
    "gamma": 0.3,
    "gae_lambda": 0.2,
    "clip_range": 1e-4,
    "clip_range_vf": 1e-3,
    "learning_rate": 0.05,
    "bptt": 3,
    "burn_in": 2,
    "refresh_states": True,
    "n_steps": 5,
}


@pytest.mark.filterwarnings("ignore:batch_size")
@pytest.mark.parametrize("name", CHANGES)
def test_an_attribute_has_the_effect_of_the_argument(name):
    """Where the other half of a pair of models is given the argument at once."""
    rest = {"learning_rate": 0.01} | ({"bptt": 4} if name in ("burn_in", "refresh_states") else {})
    value = CHANGES[name]
    given = make_model(**(rest | {name: value})).learn(PER)
    usual, later = make_model(**rest), make_model(**rest)
    setattr(later, name, value)
    usual.learn(PER)
    later.learn(PER)
    assert parameters(later).equal(parameters(given))
    assert not parameters(later).equal(parameters(usual))


@pytest.mark.parametrize("name", ["n_epochs", "vf_coef", "clip_range", "learning_rate"])
def test_a_callback_may_change_an_option_for_the_update_that_follows(name):
    class Change(BaseCallback):
        def _on_step(self):
            return True

        def _on_rollout_end(self):
            setattr(self.model, name, CHANGES[name])

    changed = make_model().learn(PER, callback=Change())
    assert parameters(changed).equal(parameters(make_model(**{name: CHANGES[name]}).learn(PER)))


def test_the_number_of_updates_is_the_number_of_epochs_made():
    model = make_model()
    model.n_epochs = 5
    assert model.learn(PER)._n_updates == 5


def test_a_schedule_may_be_set_up_anew_as_in_sb3():
    model = make_model()
    model.learning_rate = lambda left: 0.5 * (1 - left)
    model._setup_lr_schedule()
    rows = logged(model)
    model.learn(2 * PER)
    assert rows[-1]["train/learning_rate"] == pytest.approx(0.25)
    model.clip_range = lambda left: 0.3
    assert model.clip_range(1.0) == 0.3


def test_a_rate_written_into_the_optimiser_is_used():
    def change(callback):
        for group in callback.model.policy.optimizer.param_groups:
            group["lr"] = 0.05

    changed = make_model().learn(2 * PER, callback=Watch(change))
    assert parameters(changed).equal(parameters(make_model(learning_rate=0.05).learn(2 * PER)))
    changed.learning_rate = 0.01
    changed.learn(PER, reset_num_timesteps=False)
    assert [group["lr"] for group in changed.policy.optimizer.param_groups] == [0.01]


def test_another_optimiser_is_refused_with_what_chooses_one():
    model = make_model()
    with pytest.raises(ValueError, match=r"cannot be replaced \(by SGD\): .* optimizer_class and"):
        model.policy.optimizer = torch.optim.SGD(model.policy.parameters(), lr=0.1)
    assert model.policy.optimizer is model.learner.optimizer


def test_parameters_that_are_frozen_stay_as_they_are():
    model = make_model(memory="lstm")
    model.policy.net.core.requires_grad_(False)
    before, core = parameters(model), parameters_of(model.policy.net.core)
    model.learn(PER)
    assert parameters_of(model.policy.net.core).equal(core)
    assert not parameters(model).equal(before)


def parameters_of(module):
    return torch.cat([weight.flatten() for weight in module.parameters()])


def test_parameters_that_are_loaded_bring_no_rate_along():
    model, other = make_model(learning_rate=0.25), make_model(learning_rate=0.125).learn(PER)
    model.set_parameters(other.get_parameters())
    model.learn(PER)
    assert model.policy.optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("n_epochs", 0, "n_epochs is 0"),
        ("batch_size", 8.0, "batch_size is 8.0, allowed: a whole number from 1"),
        ("clip_range_vf", -1.0, "clip_range_vf is -1.0"),
        ("target_kl", 0.0, "target_kl is 0.0"),
        ("normalize_returns", False, "normalize_returns of a model that is built cannot change"),
        ("policy_kwargs", {}, "policy_kwargs of a model that is built cannot change: make a new"),
        ("use_sde", True, "use_sde of a model that is built cannot change: gSDE"),
    ],
)
def test_what_cannot_be_set_is_refused_at_once_and_changes_nothing(name, value, sentence):
    model = make_model()
    before = getattr(model, name)
    with pytest.raises(ValueError, match=sentence):
        setattr(model, name, value)
    assert getattr(model, name) == before


def test_a_shorter_minibatch_shortens_the_chunks_of_the_next_rollout():
    model = make_model(copies(lambda: Sampled(length=99)))
    model.batch_size = 4
    model.learn(PER)
    assert model.rollout_buffer.bptt == model.bptt == 4
    assert torch.isfinite(parameters(model)).all()


def test_columns_that_no_run_has_learned_are_refused():
    with pytest.raises(ValueError, match=r"policy_kwargs has columns=1, allowed: 0; frozen"):
        make_model(policy={"columns": 1})


def test_a_memory_does_not_grow_here():
    words = {"memory": "dnc", "memory_kwargs": {"slots": 5, "grow": 7}}
    with pytest.raises(ValueError, match=r"memory_kwargs has grow=7, allowed: None"):
        make_model(policy=words)
