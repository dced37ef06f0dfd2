"""BarcodeBandit: plain loops play the same, rounds show every bandit once, and levels hold."""

from __future__ import annotations

import pytest
import torch

from memrl.envs import Trials, make
from memrl.envs.make import card
from memrl.envs.probes import BarcodeBandit

B = 1009


def code_of(bits):
    return sum(int(bit) << place for place, bit in enumerate(bits))


def task(env):
    """Barcodes and paying arms of the present tasks, as lists."""
    setups = env._current_setups()
    return setups["code"].tolist(), setups["arm"].tolist()


@pytest.mark.parametrize(("barcodes", "pulls"), [(3, 2), (2, 3), (1, 1)])
def test_a_trial_is_the_loop_of_its_definition(barcodes, pulls):
    rows, rounds = 13, 3
    env = BarcodeBandit(rows, arms=5, barcodes=barcodes, pulls=pulls, bits=4)
    trials, draw = Trials(env, episodes=rounds * barcodes), torch.Generator().manual_seed(2)
    obs = trials.reset(1)["obs"]
    codes, arms = task(env)
    met = [[] for _ in range(rows)]
    for episode in range(rounds * barcodes):
        for pull in range(pulls):
            shown = [code_of(bits) for bits in obs.tolist()]
            action = torch.randint(5, (rows,), generator=draw)
            after = trials.step(action)
            for b in range(rows):
                right = arms[b][codes[b].index(shown[b])] == int(action[b])
                assert float(after.reward[b]) == right
                if pull == 0:
                    met[b].append((shown[b], right))
                assert met[b][-1][0] == shown[b]  # the barcode stays
                assert float(after.metrics["success"][b]) == met[b][-1][1]
            last = episode == rounds * barcodes - 1 and pull == pulls - 1
            assert after.terminated.tolist() == [last] * rows
            assert after.final_obs["obs"].tolist() == (obs if last else after.obs["obs"]).tolist()
            obs = after.obs["obs"]
    for b in range(rows):
        assert len(set(codes[b])) == barcodes
        for first in range(0, len(met[b]), barcodes):
            assert sorted(code for code, _ in met[b][first:][:barcodes]) == sorted(codes[b])
    assert task(env) != (codes, arms)  # the next trial has another task


def test_barcodes_and_arms_are_uniform_and_rounds_come_in_any_order():
    env = BarcodeBandit(B, arms=3, barcodes=3, pulls=1, bits=3)
    trials = Trials(env, episodes=9)
    obs = trials.reset(0)["obs"]
    codes, arms = (torch.tensor(part) for part in task(env))
    assert torch.bincount(codes.flatten()).div(3 * B).sub(1 / 8).abs().max() < 0.03
    assert torch.bincount(arms.flatten()).div(3 * B).sub(1 / 3).abs().max() < 0.03
    again, before = [], None
    for _ in range(9):
        shown = torch.tensor([code_of(bits) for bits in obs.tolist()])
        again.append(0.0 if before is None else float((shown == before).float().mean()))
        before, obs = shown, trials.step(torch.zeros(B, dtype=torch.long)).obs["obs"]
    # Within a round no bandit comes twice; from one to the next, one in three.
    assert [again[i] for i in (1, 2, 4, 5, 7, 8)] == [0.0] * 6
    assert again[3] == pytest.approx(1 / 3, abs=0.06)
    assert again[6] == pytest.approx(1 / 3, abs=0.06)


def earned(env, choose, *, known=False):
    """The mean return of episodes of tasks that are played once; ``choose(t, paid, right)``."""
    env.reset(4)
    right = env._current_setups()["arm"].gather(1, env._state["order"][:, :1]).squeeze(1)
    total, paid = torch.zeros(env.num_envs), torch.zeros(env.num_envs)
    action = torch.zeros(env.num_envs, dtype=torch.long)
    for t in range(env.pulls):
        action = choose(t, paid, right if known else action)
        after = env.step(action)
        paid, total = after.reward, total + after.reward
    return float(total.mean()), 4 * float(total.std()) / env.num_envs**0.5 + 1e-6


@pytest.mark.parametrize("options", [{}, {"arms": 7, "pulls": 3}, {"noise": 0.1}, {"pulls": 9}])
def test_levels_are_what_players_earn(options):
    env = BarcodeBandit(B, **options)
    got, error = earned(env, lambda t, paid, right: right, known=True)
    assert got == pytest.approx(env.known_task, abs=error)
    got, error = earned(env, lambda t, paid, action: torch.full_like(action, t % env.arms))
    # Whatever arms a blind player pulls: each pays with the mean chance.
    assert got == pytest.approx(env.levels.guess, abs=error)
    if not env.noise:
        got, error = earned(env, lambda t, paid, last: torch.where(paid > 0, last, t % env.arms))
        assert got == pytest.approx(env.levels.optimum, abs=error)
    else:
        assert env.levels.optimum is None


def test_levels_of_a_trial_are_those_of_who_knows_the_task():
    lines = card("probe/BarcodeBandit-v0", trial=15, prev_action=True).levels.lines()
    assert lines == {"optimal": 75, "blind guess": pytest.approx(15)}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"arms": 1}, "arms is 1, pulls is 5 and noise is 0.0, allowed: arms of at least 2"),
        ({"noise": 0.6}, "noise is 0.6, allowed"),
        ({"bits": 2}, r"barcodes is 5 and bits is 2, allowed: 1 … 12 bits, and 1 … 2\^bits"),
        ({"bits": 13}, "bits is 13"),
    ],
)
def test_impossible_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make("probe/BarcodeBandit-v0", **options)
