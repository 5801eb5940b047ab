"""Products in parts on several threads, each by BLAS on one; and who has the threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from minigen.kernels import blas, parallel
from minigen.kernels.matmul import blas as products

from minigen import nn
from minigen.models.transformer import GPT, GPTConfig


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = parallel.threads(), blas.threads()
    parallel.set_threads(3)
    blas.set_threads(2)
    yield
    parallel.set_threads(before[0])
    blas.set_threads(before[1])


SHAPES = [
    ((700, 300), (300, 200)),  # cut along rows
    ((200, 300), (300, 701)),  # along columns
    ((64, 3000), (3000, 64)),
    ((40, 97, 64), (40, 64, 65)),  # along the batch
    ((1, 40, 97, 64), (3, 1, 64, 65)),  # a batch that broadcasts
    ((7, 200, 128), (128, 96)),  # one tall matrix
    ((30000,), (30000, 300)),  # a row
    ((300, 30000), (30000,)),  # a column
]


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_products_in_parts(left, right, dtype, rng, poisoned, monkeypatch) -> None:
    monkeypatch.setattr(products, "MULTIPLY_ADDS", 2**16)
    monkeypatch.setattr(products, "ALONE", 2**12)
    seen = []
    multiply = products._multiply
    monkeypatch.setattr(
        products, "_multiply", lambda part: (seen.append(blas._blocks), multiply(part))
    )
    a, b = rng.standard_normal(left).astype(dtype), rng.standard_normal(right).astype(dtype)
    c = products.matmul_blas(a, b)
    exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
    bound = (left[-1] + 1) * np.finfo(dtype).eps * np.matmul(np.abs(a), np.abs(b))
    assert c.dtype == dtype
    assert c.shape == exact.shape
    assert c.flags.c_contiguous
    assert (np.abs(c - exact) <= bound).all()
    matrices = len(left) > 1 and len(right) > 1
    assert all(seen)  # BLAS on one thread inside every part
    assert (len(seen) > 1) == matrices
    assert blas.threads() == 2
    assert not blas._blocks


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("inner", "alone"), [(64, True), (65, False), (128, False)])
def test_no_product_wakes_the_threads_of_blas(inner, alone, monkeypatch, rng) -> None:
    """OpenBLAS takes several for more than 2^18 multiply-adds; they would spin beside kernels."""
    asked = []
    monkeypatch.setattr(products, "_in_parts", lambda a, b: asked.append(blas.threads()) or a @ b)
    products.matmul_blas(rng.standard_normal((64, inner)), rng.standard_normal((inner, 64)))
    assert (asked == []) == alone


@pytest.mark.usefixtures("three_threads")
def test_a_part_asks_for_no_parts(monkeypatch: pytest.MonkeyPatch, rng) -> None:
    a = rng.standard_normal((600, 600))
    monkeypatch.setattr(products, "_in_parts", lambda a, b: pytest.fail("parts of a part"))
    parallel.each(lambda _: products.matmul_blas(a, a), range(3), products=True)


@pytest.mark.usefixtures("three_threads")
def test_one_thread_inside_and_what_was_told_meanwhile_afterwards() -> None:
    ask, _ = blas._functions()
    inside = threading.Barrier(2, timeout=20)

    def other() -> None:
        with blas.single_threaded():
            inside.wait()
            inside.wait()

    thread = threading.Thread(target=other)
    with blas.single_threaded():
        thread.start()
        inside.wait()
        assert ask() == 1
        assert blas.threads() == 2
    assert ask() == 1  # the other thread is still inside
    blas.set_threads(1)
    blas.set_threads(2)
    inside.wait()
    thread.join(20)
    assert ask() == blas.threads() == 2
    with pytest.raises(ZeroDivisionError), blas.single_threaded():
        raise ZeroDivisionError
    assert ask() == 2


@pytest.mark.parametrize(
    ("make", "taken"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), False),
        (lambda: nn.Conv2d(1, 2, 3), True),
        (lambda: nn.ConvTranspose1d(1, 2, 3), True),
        (lambda: nn.LSTM(2, 3), True),
        (lambda: nn.MultiheadAttention(4, 2), True),
        (lambda: GPT(GPTConfig(vocabulary=5, context=4, layers=1, heads=1, width=4)), True),
    ],
)
def test_which_layers_take_the_threads_over(make, taken) -> None:
    parallel.take_over(False)
    make()
    assert parallel._taken is taken
