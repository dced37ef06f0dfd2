"""Position-only, velocity-only and noisy CartPole and Pendulum, beside the package's."""

from __future__ import annotations

import copy
import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import PendulumEnv
from suites import slow_but

from memrl.envs import make
from memrl.envs.popgym.control import CartPole, Control, Pendulum
from memrl.envs.popgym.control_dynamics import fallen, push_cart
from memrl.envs.popgym.control_tasks import CONTROL, control_card

ABSENT = "popgym is not installed: pip install popgym==1.0.7"
# A torque is float32, and NumPy 1 makes float64 of it where NumPy 2 does not: episodes drift apart.
NEW = np.lib.NumpyVersion(np.__version__) >= "2.0.0"
SEEN, PAID = (1e-6, 0.0) if NEW else (1e-4, 1e-4)
CARTS = [id for id in CONTROL if "art" in id]
RODS = [id for id in CONTROL if "Pendulum" in id]


def original(id: str) -> gymnasium.Env:
    pytest.importorskip("popgym.envs", reason=ABSENT)
    return gymnasium.make(id).unwrapped


def noise_of(package: gymnasium.Env, generator: np.random.Generator) -> torch.Tensor:
    """What the package adds to an observation, drawn from a generator: [1, 2]."""
    sigma = getattr(package, "noise_sigma", np.zeros(2))
    return torch.as_tensor(generator.normal(0, sigma).astype(np.float32)).unsqueeze(0)


def first_noise(package: gymnasium.Env, seed: int) -> torch.Tensor:
    """The noise on the first observation of a seed: drawn after the first state."""
    generator = np.random.default_rng(seed)
    generator.uniform(size=2 if isinstance(package, PendulumEnv) else 4)
    return noise_of(package, generator)


def begin_alike(env: Control, body: np.ndarray, noise: torch.Tensor) -> torch.Tensor:
    """Put our copy where the package's episode begins; returns its observation."""
    state = env.state_dict()
    state["state"] |= {"body": torch.as_tensor(body).unsqueeze(0), "t": torch.tensor([0])}
    if env.noise:
        state["state"]["noise"] = noise
    return env.load_state_dict(state)["obs"]


def random_torque(package: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
    return generator.uniform(-2.5, 2.5, 1).astype(np.float32)  # some are clipped


def random_push(package: gymnasium.Env, generator: np.random.Generator) -> int:
    return int(generator.integers(2))


def balancing_push(package: gymnasium.Env, generator: np.random.Generator) -> int:
    """Keeps the pole upright, so that time ends the episode."""
    x, x_dot, angle, angle_dot = package.state
    return int(angle + 0.4 * angle_dot + 0.05 * x + 0.1 * x_dot > 0)


CASES = [
    *[(id, random_push, 5, "terminated") for id in CARTS],
    *[(id, balancing_push, 1, "truncated") for id in CARTS],
    *[(id, random_torque, 3, "truncated") for id in RODS],
]
SHORT = [case for case in CASES if "Easy" in case[0] or case[1] is random_push]


@pytest.mark.parametrize(("id", "act", "episodes", "end"), slow_but(SHORT, CASES))
def test_whole_episodes_are_the_packages(id, act, episodes, end, monkeypatch):
    package, env = original(id), make(id, 1, seed=0)
    env.reset()
    noise = torch.zeros(1, 2)
    monkeypatch.setattr(env, "_noise", lambda num: noise.expand(num, 2))
    generator = np.random.default_rng(3)
    compared = 0
    for seed in range(episodes):
        noise = first_noise(package, seed)
        seen, _ = package.reset(seed=seed)
        obs = begin_alike(env, package.state, noise)
        np.testing.assert_allclose(obs[0], seen, rtol=0, atol=1e-6)
        terminated = truncated = False
        while not (terminated or truncated):
            action = act(package, generator)
            noise = noise_of(package, copy.deepcopy(package.np_random))
            seen, reward, terminated, truncated, _ = package.step(action)
            after = env.step(torch.as_tensor(np.array([action])))
            np.testing.assert_allclose(after.final_obs["obs"][0], seen, rtol=0, atol=SEEN)
            np.testing.assert_allclose(after.reward, np.float32(reward), rtol=0, atol=PAID)
            assert (bool(after.terminated), bool(after.truncated)) == (terminated, truncated)
            compared += 1
        assert {"terminated": terminated, "truncated": truncated}[end]
    print(f"{id} {act.__name__}: {compared} steps equal")


@pytest.mark.parametrize("id", CONTROL)
def test_spaces_are_the_packages(id):
    package, env = original(id), make(id)
    ours, theirs = env.observation_space["obs"], package.observation_space
    np.testing.assert_array_equal(ours.low, theirs.low)
    np.testing.assert_array_equal(ours.high, theirs.high)
    assert env.action_space == package.action_space


def test_every_control_task_of_the_package_is_here():
    pytest.importorskip("popgym.envs", reason=ABSENT)
    theirs = {id for id in gymnasium.registry if id.startswith("popgym-") and "Only" in id}
    assert theirs == set(CONTROL)


def uniform_quantiles(values: torch.Tensor, high: float) -> None:
    """Kolmogorov-Smirnov: the values are uniform on -high … high, at a level of 1e-6."""
    n = len(values)
    distance = (values.sort().values / high / 2 + 0.5 - torch.arange(n) / n).abs().max()
    assert distance < math.sqrt(math.log(2 / 1e-6) / 2 / n)


def test_first_states_are_uniform_and_independent():
    for env, high in ((CartPole(7001), [0.05] * 4), (Pendulum(7001), [math.pi, 1.0])):
        env.reset(1)
        body = env.state_dict()["state"]["body"]
        assert body.dtype == torch.float64
        for column, bound in zip(body.T, high, strict=True):
            uniform_quantiles(column, bound)
        correlation = torch.corrcoef(body.T) - torch.eye(len(high))
        assert correlation.abs().max() < 0.07


def test_noise_is_normal_fresh_at_every_step_and_as_strong_as_asked():
    env = Pendulum(7001, noise=0.2)
    env.reset(0)
    first = env.state_dict()["state"]["noise"]
    env.step(torch.zeros(7001, 1))
    second = env.state_dict()["state"]["noise"]
    for noise in (first, second):
        assert noise.std() == pytest.approx(0.2, abs=0.01)
        assert noise.abs().lt(0.2).float().mean() == pytest.approx(0.683, abs=0.02)
    assert torch.corrcoef(torch.stack([first[:, 0], second[:, 0]]))[0, 1].abs() < 0.07


def test_noise_never_leaves_the_observation_space():
    env = CartPole(B := 301, noise=9.0)
    seen = [env.reset(0)["obs"]] + [env.step(torch.zeros(B).long()).obs["obs"] for _ in range(3)]
    high = torch.tensor([4.8, 24 * math.pi / 180])
    assert torch.stack(seen).abs().amax((0, 1)).allclose(high)


def test_velocities_are_seen_but_for_the_first_observation():
    env = CartPole(5, seen="velocity")
    first = env.reset(0)["obs"]
    body = env.state_dict()["state"]["body"].float()
    assert torch.equal(first, body[:, [0, 2]])
    after = env.step(torch.ones(5).long())
    body = env.state_dict()["state"]["body"].float()
    assert torch.equal(after.obs["obs"], body[:, [1, 3]])


def test_copies_end_for_themselves_and_begin_upright():
    env = CartPole(37)
    env.reset(0)
    generator = torch.Generator().manual_seed(0)
    ended = 0
    for _ in range(60):
        after = env.step(torch.randint(2, (37,), generator=generator))
        ended += int(after.ended.sum())
        assert (after.obs["obs"][after.ended].abs() <= 0.05).all()
        assert (
            (after.final_obs["obs"][after.ended].abs() > torch.tensor([2.4, 0.2094])).any(1).all()
        )
    assert ended > 37


def test_no_pole_falls_before_the_shortest_episode_is_over():
    """Whatever the pushes, from the corners of the box in which poles begin."""
    env = CartPole(2)
    corners = torch.cartesian_prod(*[torch.tensor([-0.05, 0.05], dtype=torch.float64)] * 4)
    pushes = torch.cartesian_prod(*[torch.tensor([False, True])] * env.min_length)
    body = corners.repeat_interleave(len(pushes), 0)
    for push in pushes.repeat(len(corners), 1).unbind(1):
        assert not fallen(body).any()
        body = push_cart(body, push)


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (CartPole, {"seen": "speed"}),
        (CartPole, {"noise": -1.0}),
        (CartPole, {"noise": math.nan}),
        (Pendulum, {"steps": 0}),
        (Pendulum, {"steps": -1}),
        (CartPole, {"steps": 0}),
        (CartPole, {"steps": -3}),
    ],
)
def test_impossible_options_are_refused_with_what_is_allowed(build, options):
    ((option, value),) = options.items()
    with pytest.raises(ValueError, match=rf"^{option} is '?{value}'?, allowed"):
        build(2, **options)


def test_the_best_return_of_a_balanced_pole_is_one():
    assert control_card("popgym-PositionOnlyCartPoleHard-v0").levels.optimum == 1.0
    assert control_card("popgym-NoisyPositionOnlyCartPoleHard-v0").levels is None
    steps = make("popgym-PositionOnlyCartPoleHard-v0", 1).steps
    assert steps == 600
