"""Hugging Face's Trainer: a small language model, from scratch, on a language made up here."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from workflows.checkpointing.huggingface import RelayCallback


class Sentences(torch.utils.data.Dataset):
    """Sentence i counts up from i in steps of 1 to 5, modulo the vocabulary."""

    def __init__(self, size: int, length: int, vocabulary: int) -> None:
        starts = torch.arange(size)[:, None]
        self.tokens = (starts + torch.arange(length) * (starts % 5 + 1)) % vocabulary

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.manual_seed(options.seed)
model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=2, n_head=2))
arguments = TrainingArguments(
    output_dir=str(Path(os.environ.get("SM_OUTPUT_DATA_DIR", "output")) / "trainer"),
    max_steps=options.steps,
    per_device_train_batch_size=16,
    learning_rate=3e-3,
    save_strategy="no",  # the callback asks for saves
    logging_steps=20,
    report_to=[],
    disable_tqdm=True,
    use_cpu=True,
    seed=options.seed,
)
# On SageMaker the checkpoints go to /opt/ml/checkpoints; run alone, to a folder beside you.
folder = None if "SM_MODEL_DIR" in os.environ else "checkpoints"
checkpoints = RelayCallback(folder=folder)
data = Sentences(512, 24, 64)
trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=[checkpoints])
trainer.train(resume_from_checkpoint=checkpoints.resume_from())

output = Path(os.environ.get("SM_MODEL_DIR", "model"))
trainer.save_model(str(output))
(output / "training_args.bin").unlink(missing_ok=True)  # holds paths and times, not the model
print(f"last loss {trainer.state.log_history[-1].get('train_loss', float('nan')):.3f}")
