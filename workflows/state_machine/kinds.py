"""Which states each kind of stage has: the one table that a new kind is put into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workflows.specification.stages import AnyStage
from workflows.state_machine.gate import gate_states
from workflows.state_machine.register import register_states
from workflows.state_machine.stage import Place, States, job_states
from workflows.state_machine.sweep import sweep_states

STATES: Mapping[str, Callable[[Any, Place], States]] = {
    "train": job_states,
    "process": job_states,
    "sweep": sweep_states,
    "gate": gate_states,
    "register": register_states,
}


def states_of(stage: AnyStage, place: Place) -> States:
    """The states of a stage, linked among themselves."""
    return STATES[stage.kind](stage, place)
