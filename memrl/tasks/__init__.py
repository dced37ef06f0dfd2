"""Supervised probes of memory: the protocol of a task, and every task (imported, so registered)."""

from memrl.tasks.babi.task import Babi
from memrl.tasks.copy import Copy
from memrl.tasks.task import MENU, Batch, Task

__all__ = ["MENU", "Babi", "Batch", "Copy", "Task"]
