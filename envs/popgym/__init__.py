"""POPGym's tasks on tensors, under the ids and with the quirks of popgym 1.0.7."""

from memrl.envs.popgym.control_tasks import CONTROL, control_card

__all__ = ["CONTROL", "control_card"]
