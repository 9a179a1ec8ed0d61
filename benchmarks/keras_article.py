"""Training speed of the article's Keras network under TensorFlow, and of ours: writes results/bench-keras.json.

    python3 -m venv /tmp/keras && /tmp/keras/bin/pip install tensorflow-cpu==2.21.0
    python benchmarks/keras_article.py --keras /tmp/keras/bin/python

The network, its optimizer and its batch are those of Khuyen Le, 'Alexnet and image classification'; float32, as Keras
computes by default. Both sides train on pictures that are in memory. TensorFlow lives in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from record import record

BATCH, BATCHES = 128, 4  # pictures of a step, steps of an epoch that is timed

KERAS = f"""
import time
import numpy as np
import keras
from keras import layers as l
network = keras.Sequential([
    keras.Input((227, 227, 3)),
    l.Conv2D(96, 11, 4, activation="relu"), l.MaxPooling2D(3, 2),
    l.Conv2D(256, 5, padding="same", activation="relu"), l.MaxPooling2D(3, 2),
    l.Conv2D(384, 3, padding="same", activation="relu"),
    l.Conv2D(384, 3, padding="same", activation="relu"),
    l.Conv2D(256, 3, padding="same", activation="relu"), l.MaxPooling2D(3, 2),
    l.Flatten(), l.Dense(4096, activation="relu"), l.Dropout(0.5), l.Dense(4096, activation="relu"), l.Dropout(0.5),
    l.Dense(2, activation="softmax"),
])
assert network.count_params() == 58289538
network.compile(optimizer=keras.optimizers.SGD(0.1), loss="binary_crossentropy", metrics=["accuracy"])
pictures = np.random.rand({BATCH * BATCHES}, 227, 227, 3).astype("float32")
labels = np.eye(2, dtype="float32")[np.random.randint(0, 2, {BATCH * BATCHES})]
network.fit(pictures[:{BATCH}], labels[:{BATCH}], batch_size={BATCH}, verbose=0)
began = time.perf_counter()
network.fit(pictures, labels, batch_size={BATCH}, verbose=0)
print((time.perf_counter() - began) / {BATCHES})
"""


def seconds_of_keras(python: str) -> float:
    """Seconds a step: one epoch in a process of its own, after a step that does not count."""
    return float(subprocess.run([python, "-c", KERAS], capture_output=True, text=True, check=True).stdout.split()[-1])


def seconds_of_ours() -> float:
    command = [sys.executable, "-m", "alexnet.experiments.bench.ways", "train", "ours", "le-keras", str(BATCH)]
    return float(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keras", required=True, help="Python of an environment with TensorFlow and Keras")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    turns = [(seconds_of_ours(), seconds_of_keras(asked.keras)) for _ in range(asked.turns)]
    ours, keras = (BATCH / statistics.median(side) for side in zip(*turns, strict=True))
    version = "import tensorflow, keras; print(tensorflow.__version__, keras.__version__)"
    versions = subprocess.run([asked.keras, "-c", version], capture_output=True, text=True, check=True).stdout.split()
    figures = {
        "what": f"training le-keras, batch {BATCH}, pictures/s",
        "ours": ours,
        "stock": keras,
        "ratio": ours / keras,
        "turns": [{"ours": a, "keras": b} for a, b in turns],
        "keras": {"tensorflow": versions[-2], "keras": versions[-1]},
    }
    record("bench-keras", figures)


if __name__ == "__main__":
    main()
