"""Options that are attributes: those that count at once, and those that cannot change."""

from __future__ import annotations

from abc import ABC
from typing import Any

from memrl.agents.sb3.collecting import Collecting
from memrl.agents.sb3.options import FIXED, LIVE, chunk_length, learner_config, plain
from memrl.agents.sb3.schedules import as_function


class LiveOptions(Collecting, ABC):
    """Checks options when they are set; the subclass sets ``_built`` once it is built."""

    _built: bool = False
    _bptt: int | None
    batch_size: int | None

    @property
    def bptt(self) -> int:
        """The chunk length, in env steps."""
        return chunk_length(self.batch_size) if self._bptt is None else self._bptt

    @bptt.setter
    def bptt(self, value: int | None) -> None:
        self._bptt = value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; options count at once, and are checked.

        Raises:
            ValueError: a number is out of range, or the model is built and cannot change this.
        """
        if not self._built:
            super().__setattr__(name, value)
        elif name in FIXED:
            if value != getattr(self, name):
                raise ValueError(f"{name} of a model that is built cannot change: {FIXED[name]}")
        elif name in LIVE:
            before = self._bptt if name == "bptt" else getattr(self, name)
            is_clip = name.startswith("clip_range") and value is not None
            super().__setattr__(name, as_function(plain(value)) if is_clip else plain(value))
            try:
                learner_config(self)
            except ValueError:
                super().__setattr__(name, before)
                raise
            if name == "learning_rate":
                self._setup_lr_schedule()
        else:
            super().__setattr__(name, value)

    def _setup_lr_schedule(self) -> None:
        super()._setup_lr_schedule()
        if self._built:
            self.rates.follow_schedule()
