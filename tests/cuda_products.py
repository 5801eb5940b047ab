"""What the tests of matmul in CUDA C++ share, in the emulator and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import kernels

FLOAT32 = (
    "cuda_register_tile",
    "cuda_float4",
    "cuda_warp_tile",
    "cuda_tf32x3",
    "cuda_wgmma_tf32x3",
)
BF16 = ("cuda_bf16", "cuda_wgmma")

UNIT = 2.0**-24

SHAPES = [
    ((1, 1), (1, 1)),
    ((1, 37), (37, 1)),
    ((5, 1), (1, 7)),
    ((13, 31), (31, 29)),
    ((2, 3, 5, 7), (7, 4)),
    ((4, 1, 5, 6), (3, 6, 7)),
    ((3, 5, 8), (3, 8, 2)),
    ((5, 8), (2, 8, 4)),
    ((5,), (5,)),
    ((3, 4, 5), (5,)),
    ((5,), (2, 5, 3)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((2, 3, 4), (2, 4, 0)),
]


def operand(rng: np.random.Generator, shape: tuple[int, ...], layout: str = "N") -> np.ndarray:
    """Random float32 numbers, stored as they are (N) or as the transpose of an array (T)."""
    if layout == "N":
        return rng.standard_normal(shape).astype(np.float32)
    stored = rng.standard_normal((*shape[:-2], shape[-1], shape[-2])).astype(np.float32)
    return stored.swapaxes(-1, -2)


def nearest_bf16(x: np.ndarray) -> np.ndarray:
    """Bits of float32 numbers rounded to bfloat16, ties to even; transposed arrays stay so."""
    bits = x.astype(np.float32, order="K").view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def bf16_values(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits as float64."""
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def units(k: int, name: str) -> int:
    """The error that a kernel or rung of this name states for sums of k, in units of |a||b| u."""
    return k + (20 if "wgmma_tf32x3" in name else 7)


def check(name: str, a: np.ndarray, b: np.ndarray, place: Callable[[Any], Any]) -> None:
    """A rung on arrays that `place` puts on its device, against float64 inside its error bound."""
    on_device = place(a), place(b)
    c = kernels.get("matmul", name)(*on_device)
    exact = [bf16_values(nearest_bf16(x)) if name in BF16 else x.astype(np.float64) for x in (a, b)]
    right = np.matmul(*exact)
    bound = units(a.shape[-1], name) * UNIT * np.matmul(*map(np.abs, exact))
    assert type(c) is type(on_device[0])
    assert c.dtype == np.float32
    assert c.shape == right.shape
    assert c.flags.c_contiguous
    found = np.asarray(c.get() if hasattr(c, "get") else c)
    assert (np.abs(found - right) <= bound).all(), (name, a.shape, b.shape)
