"""RecurrentPPO's words for the memory, and the defaults behind its policies' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN

RECURRENT_POLICIES: Final = {  # name -> what turns observations into features
    "MlpLstmPolicy": FlattenExtractor,
    "CnnLstmPolicy": NatureCNN,
    "MultiInputLstmPolicy": CombinedExtractor,
}
WORDS: Final = ("lstm_hidden_size", "n_lstm_layers", "lstm_kwargs")
CRITIC_WORDS: Final = ("shared_lstm", "enable_critic_lstm")


def with_recurrent_defaults(
    policy: str, policy_kwargs: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """``policy_kwargs`` with RecurrentPPO's defaults, if ``policy`` is one of its names."""
    if policy not in RECURRENT_POLICIES:
        return None if policy_kwargs is None else dict(policy_kwargs)
    given = dict(policy_kwargs or {})
    if given.get("net_arch", ...) is None:
        del given["net_arch"]  # means RecurrentPPO's default, too
    extractor = given.get("features_extractor_class", RECURRENT_POLICIES[policy])
    hidden: list[int] = [] if extractor is NatureCNN else [64, 64]
    defaults: dict[str, Any] = {"memory": "lstm", "net_arch": {"pi": hidden, "vf": hidden}}
    if "encoder" not in given:
        defaults["features_extractor_class"] = extractor
    if given.get("memory", "lstm") == "lstm":
        options = given.get("memory_kwargs") or {}
        if "hidden_dim" not in options:
            defaults["lstm_hidden_size"] = 256
    if "critic" not in given:
        defaults["enable_critic_lstm"] = True
    if "head_dim" in given:
        del defaults["net_arch"]
    return defaults | given


def without_recurrent_words(words: Mapping[str, Any]) -> dict[str, Any]:
    """The same policy in memrl's words: ``memory_kwargs``, ``layers`` and ``critic``.

    Raises:
        ValueError: a word for an LSTM and another memory, or two words for one thing.
    """
    own = {key: value for key, value in words.items() if key not in (*WORDS, *CRITIC_WORDS)}
    given = [word for word in WORDS if words.get(word) is not None]
    if given and own.get("memory", "lstm") != "lstm":
        raise ValueError(
            f"policy_kwargs has {given[0]!r}, which is the LSTM's, with memory "
            f"{own['memory']!r}: its sizes are memory_kwargs, its layers the option layers"
        )
    options = dict(own.get("memory_kwargs") or {})
    lstm = {"hidden_dim": words.get("lstm_hidden_size"), **(words.get("lstm_kwargs") or {})}
    for name, value in lstm.items():
        if value is not None and options.setdefault(name, value) != value:
            raise ValueError(f"policy_kwargs has two values of {name}: {options[name]} and {value}")
    if options:
        own["memory_kwargs"] = options
    if words.get("n_lstm_layers") is not None:
        own["layers"] = _once(own, "layers", words["n_lstm_layers"])
    if any(word in words for word in CRITIC_WORDS):
        own["critic"] = _once(own, "critic", _critic(words))
    return own


def _critic(words: Mapping[str, Any]) -> str:
    shared, own = words.get("shared_lstm", False), words.get("enable_critic_lstm", True)
    if shared and own:
        raise ValueError(
            "shared_lstm=True with enable_critic_lstm=True (its default), allowed: one of them; "
            "pass enable_critic_lstm=False"
        )
    return "detached" if shared else "own" if own else "none"


def _once(own: Mapping[str, Any], name: str, value: Any) -> Any:
    if own.get(name, value) != value:
        raise ValueError(f"policy_kwargs has two values of {name}: {own[name]!r} and {value!r}")
    return value
