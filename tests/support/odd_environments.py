"""Small Gymnasium environments that are odd in one way each, as users' environments are."""

from __future__ import annotations

import os

import gymnasium
import numpy as np
from gymnasium import spaces

_HERE = os.getpid()


class Plain(gymnasium.Env):
    """Five steps of random numbers; every other class here changes one thing."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  as gymnasium.Env declares it
    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(3)
    length = 5

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.see(), self.info()

    def step(self, action):
        self.t += 1
        return self.see(), 1.0, self.t >= self.length, False, self.info()

    def see(self):
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def info(self):
        return {}


class Endless(Plain):
    """Has no end, and nobody gave it a time limit."""

    length = 10**9


class SometimesEndless(Plain):
    """Ends after two steps, but not in its first episode."""

    length = 2
    episodes = 0

    def reset(self, *, seed=None, options=None):
        self.episodes += seed is None
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        return obs, reward, self.episodes > 0 and self.t >= self.length, False, info


class SuccessInPercent(Plain):
    """Says how much of its task is done, in percent."""

    def info(self):
        return {"is_success": 20.0 * self.t}


class MaskIsList(Plain):
    """Its info holds the mask as a list."""

    def info(self):
        return {"action_mask": [0, 1, 0]}


class MaskTooShort(Plain):
    """Forbids actions that it does not have."""

    def info(self):
        return {"action_mask": np.array([1, 0], np.int8)}


class MaskTooShortLater(Plain):
    """Its mask fits until the third step."""

    def info(self):
        return {"action_mask": [1] * (3 if self.t < 3 else 4)}


class MaskFromFirstStep(Plain):
    """Its first observation allows everything, and so it says nothing of masks."""

    def info(self):
        return {"action_mask": [0, 1, 0]} if self.t else {}


class MaskByMethod(Plain):
    """Is asked for its mask, as by sb3-contrib's MaskablePPO: action ``t`` modulo 3."""

    def action_masks(self):
        return [action == self.t % 3 for action in range(3)]


class MaskByMethodTooShort(Plain):
    """Is asked for its mask, and forgets an action."""

    def action_masks(self):
        return [True, False]


class MaskInObservationTooShort(Plain):
    """Its mask is part of the observation."""

    observation_space = spaces.Dict(
        {"see": Plain.observation_space, "action_mask": spaces.MultiBinary(2)}
    )

    def see(self):
        return {"see": super().see(), "action_mask": np.ones(2, np.int8)}


class MixedInfos(Plain):
    """Two of its environments rarely agree in what the infos hold."""

    def info(self):
        odd = self.np_random.random() < 0.5
        return {
            "winner": None if odd else 0.5,
            "map": {"a": 1} if odd else "none",
            "route": np.zeros(2 + odd),
            "is_success": None if odd else "perhaps",
            "final_info": 3,
            "final_obs": odd,
        }


class NoInfo(Plain):
    """Returns None where a dict should be."""

    def info(self):
        return None


class FourValues(Plain):
    """Steps as in old Gym."""

    def step(self, action):
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, info


class ObservationAlone(Plain):
    """Resets as in old Gym."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class NoSeed(Plain):
    """Resets without a seed, as in old Gym."""

    def reset(self):
        return super().reset()


class Infinite(Plain):
    """A range finder that says inf where nothing is in reach."""

    observation_space = spaces.Box(0, np.inf, (3,), np.float32)

    def see(self):
        return np.array([0.5, np.inf if self.t == 2 else 0.25, 1.0], np.float32)


class BeyondFloat32(Plain):
    """Measures in units that single precision does not hold."""

    observation_space = spaces.Box(-np.inf, np.inf, (2, 2), np.float64)

    def see(self):
        return np.array([[0.0, 0.0], [-1e300 * (self.t == 1), 0.0]])


class DoesNotClose(Plain):
    """Its simulator is gone when it is closed."""

    def close(self):
        raise RuntimeError("simulator already gone")


class ExitsWhenClosed(Plain):
    """Closes its window and the program with it, as many scripts for pygame do."""

    def close(self):
        raise SystemExit(3)


class ExitsInStep(Plain):
    """Somebody closed its window."""

    def step(self, action):
        raise SystemExit("window closed")


class DoesNotDraw(Plain):
    """Finds no display for its pictures."""

    def render(self):
        raise OSError("no display")


class ShortSeeds(Plain):
    """Takes seeds of 31 bits, as many simulators do."""

    def reset(self, *, seed=None, options=None):
        if seed is not None and seed >= 2**31:
            raise OverflowError(f"seed {seed} does not fit int32")
        return super().reset(seed=seed)


class DoesNotBegin(Plain):
    """Its constructor names what is not there."""

    def __init__(self, render_mode=None):
        raise AttributeError("module 'simulator' has no attribute 'Scene'")


class BeginsOnce(Plain):
    """Only the process that imported this module may make it, as where a licence allows one."""

    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        if os.getpid() != _HERE:
            raise OSError("the only licence is taken")


class NoSpaces(gymnasium.Env):
    """Does not say what is seen and done."""

    def __init__(self, render_mode=None):
        pass


class DoesNotReset(Plain):
    """Refuses the level that it was given."""

    def reset(self, *, seed=None, options=None):
        raise ValueError("this wrapper needs a level with a goal")


class TooManyStates(Plain):
    """Numbers its ten million states."""

    observation_space = spaces.Discrete(10_000_000)

    def see(self):
        return int(self.np_random.integers(10_000_000))


class TooManyActions(Plain):
    """Numbers its ten million actions."""

    action_space = spaces.MultiDiscrete([2, 10_000_000])


class ChannelsFirst(Plain):
    """A picture as torch wants it; its one red column is at the left."""

    observation_space = spaces.Box(0, 255, (3, 40, 48), np.uint8)

    def see(self):
        picture = np.zeros((3, 40, 48), np.uint8)
        picture[0, :, 0] = 200
        return picture


class Strip(Plain):
    """A picture that is only four pixels high."""

    observation_space = spaces.Box(0, 255, (4, 64, 3), np.uint8)

    def see(self):
        return np.zeros((4, 64, 3), np.uint8)


class Symbols(Plain):
    """A grid of symbols as int64, one channel of which counts from -1."""

    observation_space = spaces.Box(
        np.tile([0, 3, -1], (5, 7, 1)), np.full((5, 7, 3), 10), (5, 7, 3), np.int64
    )

    def see(self):
        low = self.observation_space.low
        return low + self.np_random.integers(0, 8, low.shape)


class SymbolsOutside(Symbols):
    """Shows a symbol that its space does not hold."""

    def see(self):
        return super().see() * 0 - 1


class ManySymbols(Plain):
    """Integers that are no symbols: there are too many."""

    observation_space = spaces.Box(-1000, np.full((5, 7, 3), 1000), (5, 7, 3), np.int64)

    def see(self):
        return np.zeros((5, 7, 3), np.int64)


for _odd in (Plain, *Plain.__subclasses__(), SymbolsOutside, NoSpaces):
    gymnasium.register(f"odd/{_odd.__name__}-v0", entry_point=_odd)
