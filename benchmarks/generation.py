"""What is the key-value cache worth?  `python benchmarks/generation.py`

    --rounds 5
    --fast          a small model and a short text, to see that it works

A GPT writes a text of a certain length from one token, greedily, with its cache and by reading the
whole text again for every token; the logits must be the same. Recorded is how many times as long
the second takes, for the whole text and for its last token alone.

The clock counts the processor's time of this process, on one thread. Results go to
results/generation.json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

SIZES = ({"layers": 4, "heads": 4, "width": 128}, {"layers": 6, "heads": 6, "width": 384})
LENGTHS = (64, 256)


def measure(size: dict[str, int], length: int, rounds: int) -> dict[str, Any]:
    import numpy as np

    import minigen
    from minigen.models.sampling import Sampling, generate
    from minigen.models.transformer import GPT, GPTConfig

    minigen.manual_seed(0)
    model = GPT(GPTConfig(context=length, **size)).eval()
    start, greedy = minigen.zeros(1, 1, dtype=minigen.int64), Sampling(temperature=0.0)

    def anew() -> Callable[[Any], Any]:
        """Reads all tokens again whenever one comes."""
        seen: list[Any] = []

        def read(ids: Any) -> Any:
            seen.append(ids)
            return model(minigen.cat(seen, dim=1))[:, -1]

        return read

    def written(read: Callable[[Any], Any]) -> tuple[list[Any], list[float]]:
        """The logits of each token of a text, and the seconds that each took."""
        seen, taken = [], []

        def timed(ids: Any) -> Any:
            begun = time.process_time()
            logits = read(ids)
            taken.append(time.process_time() - begun)
            seen.append(logits.numpy())
            return logits

        generate(timed, start, length - 1, greedy)
        return seen, taken

    whole, last = [], []
    with minigen.no_grad():
        for turn in range(rounds + 1):
            (logits, cached), (wanted, again) = written(model.reader()), written(anew())
            apart = np.abs(np.stack(logits) - np.stack(wanted)).max()
            assert apart <= 1e-4 * np.abs(wanted).max(), "the cache changes what is read"
            if turn:  # the first warms up
                whole.append(sum(again) / sum(cached))
                tail = slice(-max(1, length // 16), None)
                last.append(sum(again[tail]) / sum(cached[tail]))
    return {"whole": statistics.median(whole), "last": statistics.median(last)}


def run(rounds: int, fast: bool) -> dict[str, Any]:
    sizes = ({"layers": 1, "heads": 1, "width": 8},) if fast else SIZES
    models = []
    for size in sizes:
        by_length = {}
        for length in (16,) if fast else LENGTHS:
            by_length[str(length)] = measure(size, length, rounds)
            print(size, length, by_length[str(length)], flush=True)
        models.append({"size": size, "lengths": by_length})
    return {"threads": 1, "models": models}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fast", action="store_true", help="a small model, to see that it works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    harness.pin(1)
    content = run(1 if options.fast else options.rounds, options.fast)
    harness.record("generation", content, options.out)


if __name__ == "__main__":
    main()
