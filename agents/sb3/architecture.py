"""SB3's words for a policy's networks: feature extractors, ``net_arch`` and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from memrl.agents.sb3.plugins import ACTIVATIONS, EXTRACTORS, OPTIMIZERS
from memrl.nn.init import linear
from memrl.nn.pixels import PixelEncoder
from memrl.policies.actor_critic import Bodies, MakeBodies, Policy

UNSUPPORTED = {  # gSDE's words, and their only allowed values
    "use_sde": False,
    "full_std": True,
    "use_expln": False,
    "squash_output": False,
}


class Architecture(NamedTuple):
    """SB3's words, as in its ``ActorCriticPolicy``; None: memrl's own part."""

    net_arch: Any = None  # [width, …], or {"pi": …, "vf": …}
    activation_fn: str | None = None
    ortho_init: bool = True
    log_std_init: float = 0.0
    features_extractor_class: str | None = None
    features_extractor_kwargs: Mapping[str, Any] | None = None
    share_features_extractor: bool = True
    normalize_images: bool = True
    optimizer_class: str | None = None
    optimizer_kwargs: Mapping[str, Any] | None = None

    def make_bodies(self, head_dim: int | None) -> MakeBodies | None:
        """Builds the layers between memory and heads; None: memrl's own, of ``head_dim``.

        Raises:
            ValueError: ``net_arch`` is no list of widths, or ``head_dim`` is given too.
        """
        if self.net_arch is None and self.activation_fn is None:
            return None
        if self.net_arch is not None and head_dim is not None:
            raise ValueError(
                f"policy_kwargs has net_arch={self.net_arch} and head_dim={head_dim}, allowed: "
                "one of them"
            )
        default = [64 if head_dim is None else head_dim] if head_dim != 0 else []
        actor, critic = _widths(default if self.net_arch is None else self.net_arch)
        activation = nn.Tanh if self.activation_fn is None else ACTIVATIONS.find(self.activation_fn)

        def make(actor_in: int, critic_in: int) -> Bodies:
            bodies = _layers(actor_in, actor, activation), _layers(critic_in, critic, activation)
            return Bodies(*bodies, [actor_in, *actor][-1], [critic_in, *critic][-1])

        return make

    def finish(self, policy: Policy) -> None:
        """Initialise a policy that was just built as the words say."""
        for part in policy.modules():
            if isinstance(part, PixelEncoder) and not self.normalize_images:
                part.brightest = 1.0
        if not self.ortho_init:
            for whole in (policy.encoder, policy.actor_body, policy.critic_body):
                whole.apply(_torchs_default)
            _torchs_default(policy.actor.layer)
            _torchs_default(policy.critic)
        elif self.features_extractor_class is not None:
            policy.encoder.apply(_orthogonal)
        if policy.actor.log_std is not None:
            nn.init.constant_(policy.actor.log_std, self.log_std_init)

    def make_optimizer(self, parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """The optimiser of ``parameters``, with SB3's defaults."""
        word = self.optimizer_class
        cls = torch.optim.Adam if word is None else OPTIMIZERS.find(word)
        defaults: dict[str, Any] = {}
        if cls is torch.optim.Adam:
            defaults = {"fused": True}
            if self.optimizer_kwargs is None:
                defaults["eps"] = 1e-5
        make: Any = cls
        try:
            return make(parameters, lr=lr, **(defaults | dict(self.optimizer_kwargs or {})))  # type: ignore[no-any-return]
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"optimizer_kwargs {dict(self.optimizer_kwargs or {})} do not fit "
                f"{cls.__name__}: {error}"
            ) from None

    @property
    def extractor(self) -> type[Any] | None:
        """The class that turns observations into features; None: memrl's encoder."""
        word = self.features_extractor_class
        return None if word is None else EXTRACTORS.find(word)


def split_words(words: Mapping[str, Any]) -> tuple[Architecture, dict[str, Any]]:
    """SB3's words, and the others.

    Raises:
        ValueError: a word asks for gSDE, or a value is of another kind.
    """
    for name, allowed in UNSUPPORTED.items():
        if words.get(name, allowed) != allowed:
            raise ValueError(
                f"policy_kwargs: {name}={words[name]!r}, allowed: {allowed}; gSDE is not supported"
            )
    fields = Architecture._fields
    own = {key: value for key, value in words.items() if key in fields}
    for name in ("ortho_init", "share_features_extractor", "normalize_images"):
        if not isinstance(own.get(name, True), bool):
            raise ValueError(f"policy_kwargs: {name}={own[name]!r}, allowed: True, False")
    if own.get("features_extractor_kwargs") and own.get("features_extractor_class") is None:
        raise ValueError(
            "policy_kwargs has features_extractor_kwargs without features_extractor_class, which "
            "reads them; options of memrl's encoder are encoder_dim, cell_dim and discrete_dim"
        )
    others = {k: v for k, v in words.items() if k not in fields and k not in UNSUPPORTED}
    return Architecture(**own), others


def _widths(net_arch: Any) -> tuple[list[int], list[int]]:
    """The widths of the actor's and the critic's layers."""
    given = net_arch
    if isinstance(given, list | tuple) and len(given) == 1 and isinstance(given[0], Mapping):
        given = given[0]  # as before SB3 1.8
    if isinstance(given, Mapping):
        for name in given:
            if name not in ("pi", "vf"):
                raise ValueError(f"net_arch has the key {name!r}, allowed: pi, vf")
        pair = [given.get("pi", []), given.get("vf", [])]
    else:
        pair = [given, given]
    for widths in pair:
        whole = isinstance(widths, list | tuple)
        if not whole or not all(isinstance(w, int) and w > 0 for w in widths):
            raise ValueError(
                f"net_arch is {net_arch!r}, allowed: a list of widths, or {{'pi': …, 'vf': …}}"
            )
    return list(pair[0]), list(pair[1])


def _layers(in_dim: int, widths: list[int], activation: Any) -> nn.Module:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [linear(in_dim, width), activation()]
        in_dim = width
    return nn.Sequential(*layers)


def _orthogonal(module: nn.Module) -> None:
    """SB3's initialisation of a features extractor."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.orthogonal_(module.weight, 2**0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _torchs_default(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        module.reset_parameters()
