"""The interpreter of one world: clock, integrations, expressions and randomness, shared by its executions."""

from __future__ import annotations

import uuid
from functools import cached_property
from random import Random

from workflows.local.clock import Clock
from workflows.local.step_functions.integrations import Integrations
from workflows.local.step_functions.jsonata.expressions import USES_BEFORE_COMPILING, Expressions


class Interpreter:
    """Holds the parts of a world that all its executions share."""

    def __init__(
        self,
        clock: Clock,
        integrations: Integrations,
        *,
        region: str,
        account: str,
        seed: int = 0,
        compile_after: int | None = USES_BEFORE_COMPILING,
    ) -> None:
        self.clock = clock
        self.env = clock.env
        self.integrations = integrations
        self.region = region
        self.account = account
        self.expressions = Expressions(clock.now, seed, compile_after=compile_after)
        self._seed = seed

    @cached_property
    def random(self) -> Random:
        """Draws the jitter of retries, the routes of aliases, and new ids."""
        return Random(f"states {self._seed}")

    def new_id(self) -> str:
        """Return a UUID that follows the world's seed."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))
