"""Every primitive on random numbers, as the emulator computes it: what a GPU is compared with.

    python tests/gpu/primitives.py

writes `primitives.npz` anew, for machines with a GPU and no g++.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from minigen.kernels.cuda import CudaKernel, emulated

FOLDER = Path(__file__).parent
FILE = FOLDER / "primitives.npz"
LAYOUTS = [
    (128, 0, 0), (128, 0, 1), (128, 1, 0), (192, 0, 0), (192, 1, 1), (256, 0, 0), (256, 1, 1),
]  # fmt: skip


class Case(NamedTuple):
    """A kernel, its arguments, and which of them it writes.

    `bound` is how far the GPU may be off, over the largest number of the result; 0 for to the bit.
    """

    name: str
    kernel: CudaKernel
    arguments: list[Any]
    outputs: tuple[int, ...]
    bound: float = 0.0

    def run(self, array: Callable[[np.ndarray], Any] = np.copy) -> list[Any]:
        """The outputs, on the device where `array` puts the arguments."""
        passed = [array(a) if isinstance(a, np.ndarray) else a for a in self.arguments]
        self.kernel((1,), *passed)
        return [passed[i] for i in self.outputs]


def _kernel(name: str) -> CudaKernel:
    return CudaKernel(str(FOLDER / "primitives.cu"), name, 32)


def _bf16(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random bfloat16 numbers: the upper halves of float32 ones."""
    return (rng.standard_normal(shape, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def _special_numbers(rng: np.random.Generator) -> np.ndarray:
    """Numbers of all sizes, both zeros, infinities, and what lies halfway when it is rounded."""
    bits = rng.integers(0, 2**32, 1000, np.uint32)
    halfway = rng.integers(0x3F00, 0x4100, 200).astype(np.uint32) << 16
    near_one = rng.uniform(-30, 30, 500).astype(np.float32).view(np.uint32)
    bits = np.concatenate([bits, halfway | 0x8000, halfway | 0x1000, halfway | 0x3000, near_one])
    x = bits.view(np.float32)
    special = np.array([0, -0.0, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-40, -1e-40], np.float32)
    return np.concatenate([x[np.isfinite(x)], special])


def cases(seed: int = 20240229) -> Iterator[Case]:
    """All of them, the same in every run."""
    rng = np.random.default_rng(seed)
    words = lambda *shape: np.zeros(shape, np.uint32)  # noqa: E731
    order = rng.permutation(32).astype(np.int32)
    rows = rng.integers(0, 2**16, (32, 8)).astype(np.uint16)
    both = [rows, order, words(32, 4), words(32, 4)]
    yield Case("matrices", _kernel("matrices"), both, (2, 3))
    d = rng.standard_normal((32, 4), np.float32)
    a, b = _bf16(rng, 32, 8).view(np.uint32), _bf16(rng, 32, 4).view(np.uint32)
    yield Case("mma_bf16", _kernel("tensor_core"), [a, b, d, 0], (2,), 1e-6)
    a, b = (rng.standard_normal((32, n), np.float32).view(np.uint32) for n in (4, 2))
    yield Case("mma_tf32", _kernel("tensor_core"), [a, b, d, 1], (2,), 1e-6)
    x = rng.integers(0, 2**32, 160, np.uint32)
    valid = rng.integers(0, 2, 32).astype(np.int32)
    yield Case("copies", _kernel("copies"), [x, valid, words(160)], (2,))
    x = _special_numbers(rng)
    outputs = [words(len(x)), words(len(x)), np.zeros(len(x), np.float32)]
    yield Case("rounding", _kernel("numbers"), [x, *outputs, len(x)], (1, 2))
    x = rng.uniform(-140, 127, len(x)).astype(np.float32)
    yield Case("powers", _kernel("numbers"), [x, *outputs, len(x)], (3,), 2**-21)
    x, lanes = rng.standard_normal(32, np.float32), rng.integers(0, 32, 32).astype(np.int32)
    yield Case("shuffles", _kernel("shuffles"), [x, lanes, np.zeros(192, np.float32)], (2,))
    for layout in LAYOUTS:
        yield _warpgroup(rng, *layout)
    kernel = CudaKernel(str(FOLDER / "warpgroup_tf32.cu"), "warpgroup_tf32", 128, {}, 16384, True)
    a, b = (rng.standard_normal((n, 8), np.float32).view(np.uint32) for n in (64, 128))
    d = rng.standard_normal((64, 128), np.float32)
    yield Case("wgmma_tf32", kernel, [a, b, d, np.zeros_like(d)], (2, 3), 1e-6)


def _warpgroup(rng: np.random.Generator, columns: int, a_across: int, b_across: int) -> Case:
    defines = {"COLUMNS": columns, "A_ACROSS": a_across, "B_ACROSS": b_across}
    shared = (64 + columns) * 128
    file = str(FOLDER / "warpgroup.cu")
    kernel = CudaKernel(file, "warpgroup", 128, defines, shared, hopper=True)
    d = rng.standard_normal((64, columns), np.float32)
    arguments = [_bf16(rng, 64, 16), _bf16(rng, columns, 16), d]
    return Case(f"wgmma_{columns}_{a_across}{b_across}", kernel, arguments, (2,), 1e-6)


def emulate() -> dict[str, np.ndarray]:
    """What the emulator gives: the name of a case and the number of an output -> array."""
    results = {}
    for case in cases():
        with emulated():
            for number, output in enumerate(case.run()):
                results[f"{case.name}_{number}"] = output
    return results


if __name__ == "__main__":
    np.savez_compressed(FILE, **emulate())
    print(f"{FILE}: {FILE.stat().st_size} bytes")
