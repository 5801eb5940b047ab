"""Small kernels that are tests' own, each with a reference in float64, and a detective for them.

`examine` runs a kernel in the emulator under several schedules and both orders of what happens
beside the threads, and says everything that is wrong with it. `test_cuda_bugs.py` shows that it
finds bugs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from minigen.kernels import KernelError
from minigen.kernels.cuda import CudaKernel, emulated

FOLDER = Path(__file__).parent / "cuda"
SCHEDULES = [(schedule, early) for schedule in (0, 1, 7) for early in (False, True)]


def to_bf16(x: np.ndarray) -> np.ndarray:
    """The upper halves of float32 numbers, rounded to nearest even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


@dataclass(frozen=True)
class Specimen:
    """A kernel and a way to run it: `run` returns what it computed and what it should have."""

    kernel: CudaKernel
    run: Callable[[], tuple[np.ndarray, np.ndarray]]
    tolerance: float = 1e-6  # norm of the error over norm of the reference

    @property
    def file(self) -> str:
        return self.kernel.file


def _kernel(name: str, block: int, **options: object) -> CudaKernel:
    return CudaKernel(str(FOLDER / f"{name}.cu"), name, block, **options)  # type: ignore[arg-type]


PRODUCT = _kernel("product", 128)
SOFTMAX_LENGTH = 256
SOFTMAX = _kernel("softmax", 128, shared=4 * (SOFTMAX_LENGTH + 8))
ATTENTION = _kernel("attention", 32)
HOPPER = _kernel("hopper", 128, shared=2 * (64 + 128) * 128, hopper=True)


def poisoned(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, np.float32)


def product() -> tuple[np.ndarray, np.ndarray]:
    rng, (m, n, k) = np.random.default_rng(1), (40, 72, 136)
    a, b = to_bf16(rng.standard_normal((m, k))), to_bf16(rng.standard_normal((k, n)))
    c = poisoned(m, n)
    PRODUCT((-(-n // 64), -(-m // 32)), a, b, c, m, n, k)
    return c, from_bf16(a).astype(float) @ from_bf16(b)


def hopper() -> tuple[np.ndarray, np.ndarray]:
    rng, (m, n, k) = np.random.default_rng(2), (72, 136, 200)
    a, b = to_bf16(rng.standard_normal((m, k))), to_bf16(rng.standard_normal((n, k)))
    c = poisoned(m, n)
    HOPPER((-(-n // 128), -(-m // 64)), a, b, c, m, n, k)
    return c, from_bf16(a).astype(float) @ from_bf16(b).T


def softmax() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(3).standard_normal((3, SOFTMAX_LENGTH)).astype(np.float32)
    y = poisoned(*x.shape)
    SOFTMAX((len(x),), x, y, SOFTMAX_LENGTH)
    powers = np.exp(x - x.max(1, keepdims=True).astype(float))
    return y, powers / powers.sum(1, keepdims=True)


def attention() -> tuple[np.ndarray, np.ndarray]:
    rng, n = np.random.default_rng(4), 70
    q, k, v = (rng.standard_normal((2, n, 16)).astype(np.float32) for _ in range(3))
    o = poisoned(*q.shape)
    ATTENTION((-(-n // 32), 2), q, k, v, o, n, 0.25)
    scores = np.where(np.tri(n) > 0, q.astype(float) @ k.swapaxes(1, 2) * 0.25, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return o, weights / weights.sum(-1, keepdims=True) @ v


SPECIMENS = {
    "product": Specimen(PRODUCT, product),
    "hopper": Specimen(HOPPER, hopper),
    "softmax": Specimen(SOFTMAX, softmax),
    "attention": Specimen(ATTENTION, attention),
}


def examine(specimen: Specimen, races: bool = True) -> list[str]:
    """Everything that is found wrong: a message of the emulator, "not a number", "wrong", "the
    schedules differ", "bank conflicts"; nothing for a sound kernel.

    `races=False` leaves the emulator's watch over shared memory out: numbers alone must tell.
    """
    found: list[str] = []
    first: np.ndarray | None = None
    for schedule, early in SCHEDULES:
        try:
            with emulated(schedule, early=early, races=races) as run:
                got, want = specimen.run()
        except KernelError as error:
            found.append(str(error))
            continue
        first = got if first is None else first
        if np.isnan(got).any():
            found.append("not a number")
        elif not np.linalg.norm(got - want) <= specimen.tolerance * np.linalg.norm(want):
            found.append("wrong")
        if got.tobytes() != first.tobytes():
            found.append("the schedules differ")
        if max(run.conflicts, run.shared_conflicts) > 1:
            found.append("bank conflicts")
    return sorted(set(found))
