"""XGBoost in fixed chunks of rounds, so that it can be interrupted between two of them.

With row or column sampling a booster that goes on from a file draws other samples than one that
was never interrupted (dmlc/xgboost #5712): its random state is not in the model. Boosting always
in the same chunks, each with `seed = base + first round` and each from the serialised model, makes
both the same, bit for bit.

    boosting = ChunkedBoosting(parameters, data, chunk=10)
    with Checkpointer({"boosting": boosting}) as checkpoints:
        for _ in checkpoints.steps(boosting.chunks(rounds=500)):
            boosting.advance()
            checkpoints.report(rounds=boosting.rounds)
    boosting.booster().save_model(path)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ChunkedBoosting:
    """A booster that grows by one chunk of rounds at a time.

    parameters: as for xgboost.train; their `seed` (default 0) is the base of all chunks' seeds.
    data: a DMatrix.
    """

    def __init__(self, parameters: Mapping[str, Any], data: Any, *, chunk: int = 10) -> None:
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; it is a number of rounds, 1 or more")
        self._parameters = dict(parameters)
        self._data = data
        self._chunk = chunk
        self._model: bytes | None = None
        self.rounds = 0

    def chunks(self, rounds: int) -> int:
        """How many chunks so many rounds are; they must be whole ones."""
        if rounds % self._chunk:
            raise ValueError(f"{rounds} rounds are no whole number of chunks of {self._chunk}")
        return rounds // self._chunk

    def advance(self) -> None:
        """Boosts one chunk."""
        import xgboost

        seed = int(self._parameters.get("seed", 0)) + self.rounds
        booster = xgboost.train(
            {**self._parameters, "seed": seed},
            self._data,
            num_boost_round=self._chunk,
            xgb_model=None if self._model is None else self.booster(),
        )
        self._model = bytes(booster.save_raw("ubj"))
        self.rounds += self._chunk

    def booster(self) -> Any:
        """The booster as far as it has come."""
        import xgboost

        if self._model is None:
            raise ValueError("nothing was boosted yet")
        return xgboost.Booster(self._parameters, model_file=bytearray(self._model))

    def get_state(self) -> dict[str, Any]:
        """The model and how many rounds it has."""
        return {"model": self._model, "rounds": self.rounds, "chunk": self._chunk}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state; refuses another chunk, which would train another model."""
        if state["chunk"] != self._chunk:
            raise ValueError(f"the checkpoint has chunks of {state['chunk']}, not {self._chunk}")
        self._model, self.rounds = state["model"], state["rounds"]
