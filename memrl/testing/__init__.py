"""The contract of a memory core, as checks that anyone can run."""

from memrl.testing.core_contract import check_core
from memrl.testing.core_runs import BrokenContract

__all__ = ["BrokenContract", "check_core"]
