"""Supervised tasks for memories: the base class, and all tasks (importing them registers them)."""

from memrl.tasks.associative_recall import AssociativeRecall
from memrl.tasks.babi.task import Babi
from memrl.tasks.copy import Copy
from memrl.tasks.execute.task import Execute
from memrl.tasks.fewshot.task import FewShot
from memrl.tasks.first_input import FirstInput
from memrl.tasks.mqar import MQAR
from memrl.tasks.ngrams import NGrams
from memrl.tasks.nth_farthest import NthFarthest
from memrl.tasks.parity import Parity
from memrl.tasks.priority_sort import PrioritySort
from memrl.tasks.repeat_copy import RepeatCopy
from memrl.tasks.task import REGISTRY, Batch, Task
from memrl.tasks.translate import Translate

__all__ = [
    "MQAR",
    "REGISTRY",
    "AssociativeRecall",
    "Babi",
    "Batch",
    "Copy",
    "Execute",
    "FewShot",
    "FirstInput",
    "NGrams",
    "NthFarthest",
    "Parity",
    "PrioritySort",
    "RepeatCopy",
    "Task",
    "Translate",
]
