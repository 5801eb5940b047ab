"""Train the shipped digit classifier: `python -m minigen.metrics.build`.

4,000 embedded images, 16 epochs of batch 50, each image shifted by up to two pixels; Adam with a
cosine schedule; a fixed seed.  The weights are rounded to float16 and written to `files/`.
"""

from __future__ import annotations

import numpy as np

import minigen
from minigen import nn, optim
from minigen.data import load_mnist5k
from minigen.metrics.classifier import NAME, WEIGHTS, DigitClassifier
from minigen.serialization import save_file

EPOCHS, BATCH, SEED = 16, 50, 2024


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by up to two pixels in each direction, zeros coming in."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    moves = rng.integers(0, 5, (len(images), 2))
    return np.stack([p[i : i + 28, j : j + 28] for p, (i, j) in zip(padded, moves)])


def train() -> DigitClassifier:
    minigen.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    images, labels = load_mnist5k("train")
    model = DigitClassifier()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    steps = EPOCHS * len(images) // BATCH
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for start in range(0, len(images), BATCH):
            chosen = order[start : start + BATCH]
            batch = shifted(images[chosen], rng).astype(np.float32)[:, None] / 255
            logits = model(minigen.from_numpy(batch))
            loss = nn.functional.cross_entropy(logits, minigen.from_numpy(labels[chosen]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model


def accuracy(model: DigitClassifier) -> float:
    images, labels = load_mnist5k("test")
    with minigen.no_grad():
        logits = model(minigen.from_numpy(images.astype(np.float32)[:, None] / 255))
    return float((logits.numpy().argmax(1) == labels).mean())


if __name__ == "__main__":
    trained = train()
    halves = {name: t.half() for name, t in trained.state_dict().items()}
    trained.load_state_dict({name: t.float() for name, t in halves.items()})
    right = accuracy(trained)
    save_file(halves, WEIGHTS, {"name": NAME, "test_accuracy": f"{right:.4f}"})
    print(f"{WEIGHTS.name}: {right:.1%} of the test images right")
