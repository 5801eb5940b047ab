"""The emulator means what the hardware does: each primitive on the same random numbers in both.

What the emulator computes is kept in `primitives.npz`. Here that file is held to the emulator of
today and to plain arithmetic; on a machine with a GPU, the GPU is held to the file.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from . import primitives
from .primitives import Case

CASES = {case.name: case for case in primitives.cases()}


@functools.cache
def capability() -> str:
    """Of the GPU, as in "90"; "" if there is none."""
    try:
        import cupy

        return cupy.cuda.Device(0).compute_capability
    except Exception:  # no CuPy, no driver, no device
        return ""


@functools.cache
def kept() -> dict[str, np.ndarray]:
    return dict(np.load(primitives.FILE))


def wrong(case: Case, outputs: list[Any], results: dict[str, np.ndarray]) -> list[str]:
    """Where outputs are further from the kept results than the case allows."""
    found = []
    for number, got in enumerate(outputs):
        want = results[f"{case.name}_{number}"]
        if case.bound == 0:
            off = got != want
        elif case.name == "powers":  # of each number, for they are of all sizes
            off = abs(got.astype(float) - want) > case.bound * want
        else:
            off = abs(got.astype(float) - want) > case.bound * abs(want).max()
        off |= np.isnan(got) if got.dtype.kind == "f" else False
        if off.any():
            where = np.argwhere(off)[0]
            found.append(
                f"{case.name}, output {number}: {off.sum()} of {off.size} differ, the first at "
                f"{where.tolist()}: {got[tuple(where)]}, not {want[tuple(where)]}"
            )
    return found


@pytest.mark.skipif(not capability(), reason="needs a GPU")
@pytest.mark.parametrize("name", CASES)
def test_the_gpu_does_what_the_emulator_does(name: str) -> None:
    import cupy

    case = CASES[name]
    if case.kernel.hopper and capability() != "90":
        pytest.skip("needs a GPU of the Hopper generation")
    outputs = [cupy.asnumpy(output) for output in case.run(cupy.asarray)]
    assert wrong(case, outputs, kept()) == []


def test_what_is_kept_is_what_the_emulator_gives() -> None:
    results = primitives.emulate()
    assert results.keys() == kept().keys(), "python tests/gpu/primitives.py"
    for name, result in results.items():
        if name.startswith("powers"):  # of the C library, which may differ in the last bit
            np.testing.assert_allclose(result, kept()[name], rtol=2**-22)
        else:
            assert result.tobytes() == kept()[name].tobytes(), name


@pytest.mark.parametrize("name", CASES)
def test_a_difference_would_be_seen(name: str) -> None:
    case = CASES[name]
    outputs = [kept()[f"{name}_{n}"].copy() for n in range(len(case.outputs))]
    assert wrong(case, outputs, kept()) == []
    flat = outputs[-1].reshape(-1)
    flat[3], flat[4] = flat[4], flat[3]
    assert wrong(case, outputs, kept()) != []


def unpack(bits: np.ndarray) -> np.ndarray:
    """Pairs of bfloat16 numbers in 32 bits, the first in the lower half."""
    halves = np.ascontiguousarray(bits).view(np.uint16)
    return (halves.astype(np.uint32) << 16).view(np.float32)


def test_fragments_of_bfloat16_are_those_of_the_manual() -> None:
    """PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type"."""
    a, b, d, _ = CASES["mma_bf16"].arguments
    A, B, D = np.zeros((16, 16)), np.zeros((16, 8)), np.zeros((16, 8))
    lanes_a, lanes_b, got = unpack(a), unpack(b), kept()["mma_bf16_0"]
    C = np.zeros((16, 8))
    for lane in range(32):
        group, inside = divmod(lane, 4)
        for i in range(8):
            row = group if i < 2 or 4 <= i < 6 else group + 8
            A[row, inside * 2 + i % 2 + (8 if i >= 4 else 0)] = lanes_a[lane, i]
        for i in range(4):
            B[inside * 2 + i % 2 + (8 if i >= 2 else 0), group] = lanes_b[lane, i]
            place = group + (8 if i >= 2 else 0), inside * 2 + i % 2
            C[place], D[place] = d[lane, i], got[lane, i]
    np.testing.assert_allclose(D, C + A @ B, atol=1e-5)


def shortened(bits: np.ndarray) -> np.ndarray:
    """What a tensor core reads of float32 numbers: TF32, without the last 13 bits."""
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


def test_fragments_of_tf32_are_those_of_the_manual() -> None:
    """PTX ISA, "Matrix Fragments for mma.m16n8k8"; the last 13 bits are not looked at."""
    a, b, d, _ = CASES["mma_tf32"].arguments
    A, B, C, D = np.zeros((16, 8)), np.zeros((8, 8)), np.zeros((16, 8)), np.zeros((16, 8))
    lanes_a, lanes_b, got = shortened(a), shortened(b), kept()["mma_tf32_0"]
    for lane in range(32):
        group, inside = divmod(lane, 4)
        for i in range(4):
            A[group + i % 2 * 8, inside + i // 2 * 4] = lanes_a[lane, i]
            place = group + i // 2 * 8, inside * 2 + i % 2
            C[place], D[place] = d[lane, i], got[lane, i]
        for i in range(2):
            B[inside + i * 4, group] = lanes_b[lane, i]
    np.testing.assert_allclose(D, C + A @ B, atol=1e-5)


@pytest.mark.parametrize(
    "name", [name for name in CASES if name.startswith("wgmma") and "tf32" not in name]
)
def test_wgmma_is_a_product(name: str) -> None:
    a, b, d = CASES[name].arguments
    A, B = ((x.astype(np.uint32) << 16).view(np.float32).astype(float) for x in (a, b))
    np.testing.assert_allclose(kept()[f"{name}_0"], d + A @ B.T, atol=1e-5)


def test_wgmma_of_tf32_is_a_product() -> None:
    a, b, d, _ = CASES["wgmma_tf32"].arguments
    product = shortened(a).astype(float) @ shortened(b).T.astype(float)
    np.testing.assert_allclose(kept()["wgmma_tf32_0"], d + product, atol=1e-5)
    np.testing.assert_allclose(kept()["wgmma_tf32_1"], product, atol=1e-5)


def test_the_numbers_are_what_they_should_be() -> None:
    x, tf32 = CASES["rounding"].arguments[0], kept()["rounding_1"].view(np.float32)
    finite = np.isfinite(x) & (abs(x) < 3e38) & (abs(x) > 1e-37)
    with np.errstate(invalid="ignore"):
        error = abs(tf32 - x.astype(float))
    assert (error <= 2**-11 * abs(x.astype(float)))[finite].all()
    assert (tf32.view(np.uint32) & 0x1FFF == 0).all()
    packed = unpack(kept()["rounding_0"][:, None])
    for got, given in ((packed[:, 0], x), (packed[:, 1], x[::-1])):
        normal = np.isfinite(given) & (abs(given) < 3e38) & (abs(given) > 1e-37)
        with np.errstate(invalid="ignore"):  # infinite ones
            error = abs(got - given.astype(float))
        assert (error <= 2**-8 * abs(given.astype(float)))[normal].all()
    exponents, powers = CASES["powers"].arguments[0], kept()["powers_0"]
    exact = np.exp2(exponents.astype(float))
    large = exponents > -126
    np.testing.assert_allclose(powers[large], exact[large], rtol=2**-21)
    assert (powers[~large] == 0).all()
