"""Every rung of matmul against the float64 reference, inside its a-priori error bound."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minigen.kernels.matmul.operands import operands
from minigen.kernels.matmul.panels import batch
from minigen.kernels.matmul.parallel import MULTIPLY_ADDS, parts

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
RUNGS = [rung.name for rung in kernels.rungs("matmul") if rung.name != "reference"]
REFERENCE = kernels.get("matmul", "reference")

SHAPES = [
    ((1, 1), (1, 1)),
    ((2, 3), (3, 5)),
    ((4, 8), (8, 3)),
    ((5, 17), (17, 33)),
    ((33, 64), (64, 65)),
    ((64, 65), (65, 48)),
    ((65, 33), (33, 97)),
    ((7, 200), (200, 49)),
    ((2, 3, 5, 7), (7, 4)),
    ((4, 1, 5, 6), (3, 6, 7)),
    ((3, 5, 6), (3, 6, 2)),
    ((5,), (5,)),
    ((3, 4, 5), (5,)),
    ((5,), (2, 5, 3)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((2, 3), (3, 0)),
    ((0, 2, 3), (3, 4)),
    ((2, 3, 4), (2, 4, 0)),
]


def check(rung: str, a: np.ndarray, b: np.ndarray) -> None:
    """|c - ab| <= (k + 1) u |a||b|, and shape, dtype and layout as promised."""
    before = a.copy(), b.copy()
    c = kernels.get("matmul", rung)(a, b)
    exact = REFERENCE(a, b)
    bound = (a.shape[-1] + 1) * UNIT[str(a.dtype)] * REFERENCE(np.abs(a), np.abs(b))
    assert isinstance(c, np.ndarray)
    assert c.dtype == a.dtype
    assert c.shape == exact.shape == np.matmul(a, b).shape
    assert c.flags.c_contiguous
    assert (np.abs(c - exact) <= bound).all()
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_ragged_sizes(rung, dtype, a, b, rng, poisoned) -> None:
    check(rung, rng.standard_normal(a).astype(dtype), rng.standard_normal(b).astype(dtype))


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
def test_any_strides(rung, dtype, rng, poisoned) -> None:
    wide = rng.standard_normal((6, 34, 40)).astype(dtype)
    fortran = np.asfortranarray(wide[0])
    repeated = np.broadcast_to(wide[:1, :5], (6, 5, 40))  # zero stride, read-only
    backwards = wide[:, ::-1, ::2]
    check(rung, fortran, fortran.T)
    check(rung, fortran.T, fortran)
    check(rung, repeated, wide.swapaxes(1, 2))
    check(rung, backwards, backwards.swapaxes(1, 2))
    check(rung, wide.transpose(1, 0, 2), wide.transpose(1, 2, 0))
    check(rung, wide[::-1], wide[::-2].swapaxes(1, 2)[:1])
    check(rung, wide[0], np.broadcast_to(wide[0, 0, :1], (40, 3)))


# past a strip, a panel, a block and a part of the sum, by one and by more
LARGE = [(7, 513, 17), (1033, 9, 16), (50, 1025, 49), (13, 520, 97), (6, 1030, 33)]


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
def test_every_layout_past_the_blocks(rung, dtype, rng, poisoned) -> None:
    for m, k, n in LARGE:
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        for left in (a, np.asfortranarray(a)):
            for right in (b, np.asfortranarray(b)):
                check(rung, left, right)


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
def test_what_lies_beside_a_matrix_is_not_used(rung, dtype, rng, poisoned) -> None:
    def inside(*shape: int) -> np.ndarray:
        around = np.full([size + 20 for size in shape], np.nan, dtype)
        around[(slice(10, -10),) * len(shape)] = rng.standard_normal(shape)
        return around[(slice(10, -10),) * len(shape)]

    for m in range(1, 15):
        for k, n in ((8, 16), (15, 16), (9, 31), (16, 5)):
            check(rung, inside(m, k), inside(k, n))
            check(rung, inside(k, m).T, inside(n, k).T)


GUARDED = """
import ctypes, mmap, numpy as np
from minigen import kernels

def at_the_end(values, layout):
    memory = mmap.mmap(-1, 5 * mmap.PAGESIZE)
    whole = np.frombuffer(memory, np.uint8)
    guard = ctypes.c_void_p(whole.ctypes.data + 4 * mmap.PAGESIZE)
    assert ctypes.CDLL(None, use_errno=True).mprotect(guard, mmap.PAGESIZE, 0) == 0
    stop = 4 * mmap.PAGESIZE
    array = whole[stop - values.nbytes : stop].view(values.dtype)
    array = array.reshape(values.shape, order=layout)
    array[...] = values
    return array

for dtype in (np.float32, np.float64):
    for m in (1, 5, 6, 7, 8, 13, 14):
        for k in (1, 8, 13):
            for n in (1, 15, 16, 17):
                for layout in "CF":
                    a = at_the_end(np.ones((m, k), dtype), layout)
                    b = at_the_end(np.ones((k, n), dtype), layout)
                    for rung in ("tile", "panels"):
                        assert (kernels.get("matmul", rung)(a, b) == k).all()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
def test_nothing_is_read_beyond_a_matrix() -> None:
    """The matrices end where a page begins that may not be read: reading it ends the process."""
    result = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("rung", RUNGS)
def test_memory_that_is_not_aligned(rung, rng, poisoned) -> None:
    memory = np.zeros(4 * 30 + 1, np.uint8)
    a = memory[1:].view(np.float32).reshape(5, 6)
    a[:] = rng.standard_normal((5, 6))
    assert not a.flags.aligned
    check(rung, a, a.T)


def test_operands_are_neither_copied_nor_repeated(rng) -> None:
    a, b = rng.standard_normal((3, 1, 5, 6)), rng.standard_normal((4, 7, 6))
    work = operands(a, b.swapaxes(1, 2))
    assert work.a.shape == (3, 4, 5, 6)
    assert work.b.shape == (3, 4, 6, 7)
    assert np.shares_memory(work.a, a)
    assert np.shares_memory(work.b, b)
    assert work.a.strides[1] == work.b.strides[0] == 0


# a batch; rows; columns; a product for one thread; a batch of more than the parts, and of fewer
CUTS = [
    ((32, 64, 64), (32, 64, 64)),
    ((700, 64), (64, 130)),
    ((64, 300), (300, 500)),
    ((40, 40), (40, 40)),
    ((2, 3, 97, 211), (3, 211, 101)),
    ((2, 150, 300), (300, 200)),
    ((2, 150, 300), (2, 300, 200)),
]


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize(("a", "b"), CUTS)
def test_several_threads_give_the_bits_of_one(a, b, dtype, rng, monkeypatch, poisoned) -> None:
    a, b = rng.standard_normal(a).astype(dtype), rng.standard_normal(b).astype(dtype)
    seen = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(kernels.parallel, "_threads", threads)
        seen.append(kernels.get("matmul", "parallel")(a, b))
    check("parallel", a, b)
    for c in seen:
        np.testing.assert_array_equal(c, kernels.get("matmul", "panels")(a, b))


def test_parts_cover_the_result_once() -> None:
    for a, b in CUTS:
        work = operands(np.ones(a, np.float32), np.ones(b, np.float32))
        work.c[...] = 0
        cut = parts(batch(work))
        assert (len(cut) > 1) == (work.c.size * a[-1] >= 2 * MULTIPLY_ADDS)
        for part in cut:
            part.c[...] += 1
        assert (work.c == 1).all()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RUNGS),
    st.sampled_from(sorted(UNIT)),
    st.tuples(*[st.integers(0, 70)] * 3),
    st.integers(0, 3),
    st.integers(0, 2**32 - 1),
)
def test_any_size(rung, dtype, mkn, batch, seed) -> None:
    rng = np.random.default_rng(seed)
    m, k, n = mkn
    a, b = rng.standard_normal((batch, m, k)), rng.standard_normal((k, n))
    check(rung, a.astype(dtype), b.astype(dtype))


@pytest.mark.parametrize("rung", RUNGS)
def test_nan_and_infinity_come_through(rung) -> None:
    a = np.array([[1, np.nan], [np.inf, 1], [np.inf, -np.inf], [0, 2]], np.float32)
    with np.errstate(invalid="ignore"):
        c = kernels.get("matmul", rung)(a, np.ones((2, 3), np.float32))
    assert np.isnan(c[[0, 2]]).all()
    assert np.isposinf(c[1]).all()
    assert (c[3] == 2).all()


def test_integers_are_multiplied_exactly_by_numpy() -> None:
    a = np.array([[2**40, 1]])
    function = kernels.select("matmul", a, a.T)
    assert function is kernels.get("matmul", "numpy")
    assert function(a, a.T)[0, 0] == 2**80 % 2**64 + 1


def test_the_reference_is_the_definition(rng) -> None:
    a, b = rng.standard_normal((3, 4)).astype(np.float32), rng.standard_normal((4, 2))
    by_hand = [
        [sum(float(a[i, k]) * b[k, j] for k in range(4)) for j in range(2)] for i in range(3)
    ]
    assert REFERENCE(a, b).dtype == np.float64
    np.testing.assert_allclose(REFERENCE(a, b), by_hand, rtol=1e-14)


@pytest.mark.parametrize("rung", RUNGS)
def test_shapes_that_do_not_fit(rung) -> None:
    with pytest.raises(ValueError):
        kernels.get("matmul", rung)(np.ones((2, 3)), np.ones((4, 2)))
