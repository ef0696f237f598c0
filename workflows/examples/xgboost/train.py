"""XGBoost with row and column sampling, boosted in fixed chunks: resumable bit for bit."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import xgboost
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from workflows.checkpointing import Checkpointer
from workflows.checkpointing.xgboost import ChunkedBoosting

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=20, help="chunks of rounds")
parser.add_argument("--chunk", type=int, default=2, help="rounds in a chunk")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(images, labels, random_state=options.seed)
train, test = xgboost.DMatrix(train_x, train_y), xgboost.DMatrix(test_x, test_y)
parameters = {
    "objective": "multi:softprob",
    "num_class": 10,
    "max_depth": 4,
    "subsample": 0.7,
    "colsample_bytree": 0.7,
    "nthread": 1,
    "seed": options.seed,
}
boosting = ChunkedBoosting(parameters, train, chunk=options.chunk)


def accuracy() -> float:
    return float((boosting.booster().predict(test).argmax(axis=1) == test_y).mean())


# On SageMaker the checkpoints go to /opt/ml/checkpoints; run alone, to a folder beside you.
folder = None if "SM_MODEL_DIR" in os.environ else "checkpoints"
with Checkpointer({"boosting": boosting}, folder=folder) as checkpoints:
    for _ in checkpoints.steps(options.steps):
        boosting.advance()
        checkpoints.report(rounds=boosting.rounds)

output = Path(os.environ.get("SM_MODEL_DIR", "model"))
output.mkdir(parents=True, exist_ok=True)
boosting.booster().save_model(output / "model.ubj")
print(f"held-out accuracy {accuracy():.3f}")
