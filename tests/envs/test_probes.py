"""Tiny tasks: what they ask for, and that nothing else pays."""

from __future__ import annotations

import pytest
import torch

from memrl.envs.probes import PROBES, Masked, OneStep, Pixels, Recall

B = 11


@pytest.mark.parametrize("build", PROBES.values())
def test_a_seed_makes_everything_repeatable(build):
    env, other = build(B), build(B)
    first, second = env.reset(3), other.reset(3)
    for _ in range(13):
        assert all(torch.equal(first[key], second[key]) for key in first)
        action = torch.full((B,), 1)
        first, second = env.step(action).obs, other.step(action).obs
    drawn = [env.state_dict()["tables"] for seed in (3, 4) if env.reset(seed)]
    assert any(not torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])


@pytest.mark.parametrize("build", PROBES.values())
def test_saving_and_loading_continues_bit_for_bit(build):
    env, other = build(B), build(B)
    env.reset(5)
    for _ in range(3):
        given = env.step(torch.zeros(B, dtype=torch.int64)).obs
    loaded = other.load_state_dict(env.state_dict())
    assert all(torch.equal(given[key], loaded[key]) for key in given)
    for _ in range(9):
        one, two = (e.step(torch.ones(B, dtype=torch.int64)) for e in (env, other))
        assert all(torch.equal(one.obs[key], two.obs[key]) for key in given)
        assert all(torch.equal(one.final_obs[key], two.final_obs[key]) for key in given)
        assert torch.equal(one.reward, two.reward)
        assert torch.equal(one.ended, two.ended)


@pytest.mark.parametrize("build", PROBES.values())
def test_observations_lie_in_their_space(build):
    env = build(B)
    obs = env.reset(0)
    for _ in range(9):
        for key, value in obs.items():
            part = env.observation_space[key]
            assert all(part.contains(row.numpy().astype(part.dtype)[()]) for row in value)
        obs = env.step(torch.zeros(B, dtype=torch.int64)).obs


@pytest.mark.parametrize("build", PROBES.values())
def test_a_state_dict_does_not_change_when_the_task_goes_on(build):
    env = build(B)
    env.reset(0)
    state = env.state_dict()
    kept = {key: value.clone() for key, value in state["state"].items()}
    for _ in range(9):
        env.step(torch.zeros(B, dtype=torch.int64))
    assert all(torch.equal(state["state"][key], kept[key]) for key in kept)


def test_stepping_before_the_first_reset_is_an_error():
    with pytest.raises(RuntimeError, match="before reset"):
        Recall(2).step(torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("delay", [0, 1, 5])
def test_recall_pays_for_the_first_symbol_and_shows_it_once(delay):
    env = Recall(B, cues=5, delay=delay)
    obs = env.reset(0)
    for _ in range(3):  # episodes
        cue = obs["obs"].clone()
        assert (cue < 5).all()
        for _ in range(delay):
            after = env.step(cue)
            assert (after.obs["obs"] == 5).all()
            assert not after.reward.any()
            assert not after.ended.any()
        assert (env.step(cue).obs["obs"] == 6).all()
        answer = torch.where(torch.arange(B) % 2 == 0, cue, (cue + 1) % 5)
        after = env.step(answer)
        assert torch.equal(after.reward, (torch.arange(B) % 2 == 0).float())
        assert torch.equal(after.metrics["success"], after.reward)
        assert after.terminated.all()
        assert (after.final_obs["obs"] == 5).all()
        obs = after.obs


def test_recall_draws_every_cue():
    assert torch.equal(Recall(200, cues=7).reset(0)["obs"].unique(), torch.arange(7))


def test_pixels_pays_for_the_lit_quarter_and_forgives_nothing():
    env = Pixels(B, length=3)
    obs = env.reset(0)
    for t in range(3):
        assert obs["obs"].shape == (B, 64, 64, 3)
        assert obs["obs"].dtype == torch.uint8
        lit = (obs["obs"][..., 0] == 255).view(B, 2, 32, 2, 32).all(dim=4).all(dim=2).flatten(1)
        assert (lit.sum(1) == 1).all()
        right = lit.long().argmax(1)
        wrong = (torch.arange(B) == 4) & (t == 1)
        after = env.step(torch.where(wrong, (right + 1) % 4, right))
        torch.testing.assert_close(after.reward, (~wrong).float() / 3)
        obs = after.obs
    assert after.terminated.all()
    assert torch.equal(after.metrics["success"], (torch.arange(B) != 4).float())
    assert env.render(1).shape == (64, 64, 3)


def test_masked_charges_for_what_is_forbidden_and_ends_by_time():
    env = Masked(B, actions=3, length=4)
    obs = env.reset(0)
    masks = []
    for t in range(4):
        mask = obs["action_mask"]
        masks.append(mask)
        assert mask.any(1).all()
        careless = torch.arange(B) == 2
        forbidden = mask.long().argmin(1)  # an allowed one where everything is allowed
        action = torch.where(careless, forbidden, mask.long().argmax(1))
        after = env.step(action)
        charged = careless & ~mask.all(1)
        assert torch.equal(after.reward, -charged.float())
        obs = after.obs
        assert torch.equal(after.truncated, torch.full((B,), t == 3))
    assert not after.terminated.any()
    assert not torch.equal(masks[0], masks[1])
    assert torch.equal(after.metrics["success"], (torch.arange(B) != 2).float())


def test_one_forbidden_action_spoils_an_episode_of_masked():
    env = Masked(B, actions=3, length=4)
    obs = env.reset(0)
    erred = ~obs["action_mask"].all(1)
    assert erred.any()
    action = obs["action_mask"].long().argmin(1)
    for _ in range(4):
        after = env.step(action)
        action = after.obs["action_mask"].long().argmax(1)
    assert torch.equal(after.metrics["success"], (~erred).float())


def test_every_step_of_one_step_is_an_episode():
    env = OneStep(B)
    obs = env.reset(0)
    for _ in range(3):
        after = env.step(obs["obs"].argmax(1))
        assert after.terminated.all()
        assert (after.reward == 1).all()
        assert torch.equal(after.final_obs["obs"], obs["obs"])
        assert not torch.equal(after.obs["obs"], obs["obs"])
        obs = after.obs


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (Recall, {"cues": 1}),
        (Recall, {"delay": -1}),
        (Pixels, {"length": 0}),
        (Masked, {"actions": 1}),
    ],
)
def test_impossible_options_are_refused_with_what_is_allowed(build, options):
    with pytest.raises(ValueError, match="allowed"):
        build(2, **options)
