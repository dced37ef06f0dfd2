"""The physics of B CartPoles and Pendulums in float64, as in Gymnasium."""

from __future__ import annotations

import math
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# CartPole (Barto, Sutton & Anderson 1983, without friction): SI units.
_GRAVITY: Final = 9.8
_POLE_MASS: Final = 0.1
_TOTAL_MASS: Final = 1.1
_HALF_POLE: Final = 0.5
_FORCE: Final = 10.0
_CART_SECONDS: Final = 0.02  # between two actions
CART_LIMIT: Final = 2.4  # metres; the episode terminates beyond it
POLE_LIMIT: Final = 12 * 2 * math.pi / 360  # radians; the episode terminates beyond it

# Pendulum: a rod of 1 kg and 1 m, hinged at its end; gravity 10.
_ROD_SECONDS: Final = 0.05
TOP_SPEED: Final = 8.0  # radians per second
TOP_TORQUE: Final = 2.0  # newton metres


def push_cart(state: Float[Tensor, "B 4"], right: Bool[Tensor, " B"]) -> Float[Tensor, "B 4"]:
    """One Euler step of ``state`` (x, ẋ, θ, θ̇) with a push to the right or to the left."""
    _, x_dot, angle, angle_dot = state.unbind(1)
    sin, cos = angle.sin(), angle.cos()
    force = torch.where(right, _FORCE, -_FORCE).to(state.dtype)
    lever = _POLE_MASS * _HALF_POLE
    push = (force + lever * angle_dot.square() * sin) / _TOTAL_MASS
    inertia = _HALF_POLE * (4.0 / 3.0 - _POLE_MASS * cos.square() / _TOTAL_MASS)
    angle_acc = (_GRAVITY * sin - cos * push) / inertia
    x_acc = push - lever * angle_acc * cos / _TOTAL_MASS
    change = torch.stack([x_dot, x_acc, angle_dot, angle_acc], dim=1)
    return state + _CART_SECONDS * change


def fallen(state: Float[Tensor, "B 4"]) -> Bool[Tensor, " B"]:
    """Whether the cart has left its track or the pole has fallen."""
    return (state[:, 0].abs() > CART_LIMIT) | (state[:, 2].abs() > POLE_LIMIT)


def turn_rod(
    state: Float[Tensor, "B 2"], torque: Float[Tensor, " B"]
) -> tuple[Float[Tensor, "B 2"], Float[Tensor, " B"]]:
    """One step of the pendulum: the next ``state`` (θ, θ̇; 0 is upright) and the cost.

    The torque is float32 and clipped to ±``TOP_TORQUE``. Terms of the torque alone are float32, as
    in Gymnasium under NumPy 2. The cost, 0 … 16.2736044, is that of the state before the step.
    """
    angle, speed = state.unbind(1)
    torque = torque.clamp(-TOP_TORQUE, TOP_TORQUE)
    from_upright = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
    cost = from_upright.square() + 0.1 * speed.square() + 0.001 * torque.square()
    speed = speed + (15.0 * angle.sin() + 3.0 * torque) * _ROD_SECONDS
    speed = speed.clamp(-TOP_SPEED, TOP_SPEED)
    return torch.stack([angle + speed * _ROD_SECONDS, speed], dim=1), cost
