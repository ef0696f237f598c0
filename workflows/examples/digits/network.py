"""A network of one hidden layer in numpy: small enough to read, real enough to lose and resume."""

from pathlib import Path

import numpy as np


class Network:
    """64 pixels -> hidden units (ReLU) -> 10 digits, trained with momentum; every array is state."""

    def __init__(self, hidden: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.weights = [draw.normal(0, 0.2, (64, hidden)), draw.normal(0, 0.2, (hidden, 10))]
        self.biases = [np.zeros(hidden), np.zeros(10)]
        self.velocity = [np.zeros_like(array) for array in self.parameters]

    @property
    def parameters(self) -> list[np.ndarray]:
        return [*self.weights, *self.biases]

    def scores(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden = np.maximum(images @ self.weights[0] + self.biases[0], 0)
        return hidden, hidden @ self.weights[1] + self.biases[1]

    def learn(self, images: np.ndarray, labels: np.ndarray, rate: float) -> float:
        """One step of gradient descent on a batch; returns the mean cross-entropy."""
        hidden, scores = self.scores(images)
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        loss = -np.log(odds[rows, labels] + 1e-12).mean()
        odds[rows, labels] -= 1
        odds /= len(labels)
        back = (odds @ self.weights[1].T) * (hidden > 0)
        gradients = [images.T @ back, hidden.T @ odds, back.sum(axis=0), odds.sum(axis=0)]
        for parameter, speed, gradient in zip(self.parameters, self.velocity, gradients, strict=True):
            speed *= 0.9
            speed -= rate * gradient
            parameter += speed
        return float(loss)

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        return float((self.scores(images)[1].argmax(axis=1) == labels).mean())

    def save(self, path: Path) -> None:
        np.savez(path, *self.parameters)

    def load(self, path: Path) -> None:
        with np.load(path) as arrays:
            for parameter, array in zip(self.parameters, arrays.values(), strict=True):
                parameter[...] = array


class Shuffler:
    """Batches in an order that follows from its own state: a resumed run sees the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def batches(self, images: np.ndarray, labels: np.ndarray, size: int = 32):
        """The images in a new order, each moved by up to a pixel."""
        for rows in np.array_split(self.random.permutation(len(images)), len(images) // size):
            moved = images[rows].reshape(-1, 8, 8)
            down, right = self.random.integers(-1, 2, 2)
            moved = np.roll(moved, (down, right), axis=(1, 2)).reshape(len(rows), 64)
            yield moved, labels[rows]


def read(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n x 64, 0..1) and labels (n) of `train` or `test`."""
    with np.load(folder / f"{name}.npz") as data:
        return data["images"], data["labels"]
