"""How fast the byte-level tokenizer learns and encodes: `python benchmarks/tokenization.py`.

On the eight plays (1.04 MB), on one thread. Training: to a vocabulary of 320, from the counts of
words, over the time of algorithm 1 of Sennrich et al. in Python (`naive_bpe.py`), which must learn
the same merges. Encoding: to a vocabulary of 1,024, in megabytes a second, by a new tokenizer,
which has met no word before, and again. Beside both the library `tokenizers`, written in Rust.

The clock counts the processor's time of this process, all its threads together: everything here
computes without waiting, so that a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

harness.pin(1)
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import naive_bpe  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: E402

from minigen.data import BytePairTokenizer, load_shakespeare  # noqa: E402
from minigen.data.tokenizers.bytelevel import count_words  # noqa: E402
from minigen.data.tokenizers.words import byte_symbols  # noqa: E402

LEARNED, ENCODED = 320, 1024


def in_rust(text: str, size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def in_python(text: str, size: int) -> list[str]:
    symbols = byte_symbols()
    words = {
        "".join(symbols[byte] for byte in word.encode()): count
        for word, count in count_words([text]).items()
    }
    return naive_bpe.learn(words, "".join(sorted(symbols)), size, 2)


def timed(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Median seconds of each, and its time over the first one's, the median over the rounds."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds):
        for name in list(contenders)[:: 1 if index % 2 == 0 else -1]:
            start = time.process_time()
            contenders[name]()
            times[name].append(time.process_time() - start)
    first = next(iter(times.values()))
    return {
        name: {
            "seconds": statistics.median(values),
            "ratio": statistics.median(value / base for value, base in zip(values, first)),
        }
        for name, values in times.items()
    }


def training(text: str, rounds: int) -> dict[str, Any]:
    """Times of training; all three must learn the same merges."""
    learned: dict[str, list[str]] = {}

    def naive() -> None:
        learned["naive"] = in_python(text, LEARNED)

    def minigen() -> None:
        learned["minigen"] = BytePairTokenizer.train(text, LEARNED).to_dict()["merges"]

    def tokenizers() -> None:
        merges = json.loads(in_rust(text, LEARNED).to_str())["model"]["merges"]
        learned["tokenizers"] = [" ".join(pair) for pair in merges]

    result = timed({"naive": naive, "minigen": minigen, "tokenizers": tokenizers}, rounds)
    assert learned["naive"] == learned["minigen"] == learned["tokenizers"]
    return result


def encoding(text: str, rounds: int) -> dict[str, Any]:
    """Times of encoding, once both have given the same ids, with megabytes a second."""
    trained, rust = BytePairTokenizer.train(text, ENCODED), in_rust(text, ENCODED)
    assert trained.encode(text).tolist() == rust.encode(text).ids
    new = [BytePairTokenizer.from_dict(trained.to_dict()) for _ in range(rounds)]
    contenders: dict[str, Callable[[], Any]] = {
        "first": lambda: new.pop().encode(text),
        "again": lambda: trained.encode(text),
        "tokenizers": lambda: rust.encode(text).ids,
    }
    result = timed(contenders, rounds)
    for measured in result.values():
        measured["megabytes_per_second"] = len(text.encode()) / 1e6 / measured["seconds"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    text = load_shakespeare()
    content: dict[str, Any] = {
        "characters": len(text),
        "vocabularies": {"training": LEARNED, "encoding": ENCODED},
        "training": training(text, options.rounds),
        "encoding": encoding(text, options.rounds),
    }
    path = harness.record("tokenization", content, options.out)
    for name in ("minigen", "tokenizers"):
        print(f"training, {name}: {content['training'][name]['ratio']:.2f} of the naive one")
    for name in ("first", "again", "tokenizers"):
        print(f"encoding, {name}: {content['encoding'][name]['megabytes_per_second']:.2f} MB/s")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
