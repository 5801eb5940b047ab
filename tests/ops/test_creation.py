"""Making and casting tensors: against PyTorch, and by statistics where they are random."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from oracle import check

import minigen


def same(ours: minigen.Tensor, theirs: torch.Tensor, tolerance: float = 0.0) -> None:
    """Equal dtype, shape, requires_grad and values."""
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.requires_grad == theirs.requires_grad
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def both(call: str) -> None:
    """The same call gives the same tensor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = eval(call, {"m": torch, "np": np})
    same(eval(call, {"m": minigen, "np": np}), theirs, 2e-7)


@pytest.mark.parametrize(
    "call",
    [
        "m.tensor(1)", "m.tensor(1.5)", "m.tensor(True)", "m.tensor([])", "m.tensor([[], []])",
        "m.tensor([1, 2.5])", "m.tensor([True, 2])", "m.tensor([True, 2.5])", "m.tensor((1, 2))",
        "m.tensor([[1, 2], [3, 4.0]])", "m.tensor(range(3))", "m.tensor([(1, 2), [3, 4]])",
        "m.tensor(np.float64(1))", "m.tensor([np.float64(1), 2])", "m.tensor([np.float32(1), 2])",
        "m.tensor([np.int8(1)])", "m.tensor([m.tensor(1), 2.5])", "m.tensor(m.ones(2))",
        "m.tensor([m.tensor(1.0, dtype=m.float64), 1])", "m.tensor(np.arange(6).reshape(2, 3).T)",
        "m.tensor([np.array([1.0, 2]), np.array([1, 2])])", "m.tensor([1.7, -1.7], dtype=m.int64)",
        "m.tensor([1, 2], dtype=float)", "m.tensor([-1], dtype=m.uint8)", "m.tensor([1e300])",
        "m.tensor([1e300], dtype=m.float16)", "m.tensor([0, 2], dtype=m.bool)",
        "m.tensor([1.0], requires_grad=True, device='cpu')", "m.tensor(np.ones(2, 'float16'))",
        "m.tensor([[[1], [2]]])", "m.tensor(2**40)", "m.tensor(float('inf'))",
        "m.as_tensor([1.0, 2], dtype=m.float64)", "m.as_tensor(np.ones(2))", "m.asarray([1, 2])",
        "m.asarray(np.ones(2), requires_grad=True)", "m.asarray(m.ones(2), dtype=m.int64)",
        "m.zeros(2, 3)", "m.zeros((2, 3))", "m.zeros([2])", "m.zeros(())", "m.zeros(size=(2,))",
        "m.zeros(m.tensor(2))", "m.zeros((m.tensor(2), 3))", "m.zeros(2, dtype=int)",
        "m.zeros(0, 3)", "m.zeros(np.int64(2))", "m.zeros(m.Size([2, 3]))",
        "m.ones(2, dtype=m.float64, requires_grad=True)", "m.ones(2, 3, dtype=bool)",
        "m.full((2,), 1)", "m.full((2,), 1.0)", "m.full((2,), True)",
        "m.full((2, 2), 2.5, dtype=int)",
        "m.full((2,), m.tensor(2.5, dtype=m.float64))", "m.full((), 3)",
        "m.full((2,), float('inf'))",
        "m.zeros_like(m.ones(2, dtype=m.int32))", "m.ones_like(m.zeros(2), dtype=m.int64)",
        "m.full_like(m.tensor([1]), 2.5)", "m.zeros_like(m.ones(2, 3), requires_grad=True)",
        "m.ones(2, 3).new_zeros(4)", "m.ones(2, dtype=m.float64).new_ones((2, 2))",
        "m.tensor([1]).new_full((2,), 3.5)", "m.ones(1).new_tensor([1, 2])",
        "m.ones(2).new_ones(2, dtype=m.int32)", "m.ones(2).new_tensor(np.array([1, 2]))",
        "m.arange(5)", "m.arange(1, 2, 0.3)", "m.arange(5.0)", "m.arange(5, 0, -2)",
        "m.arange(3, 3)",
        "m.arange(0, 2.5, dtype=m.int64)", "m.arange(0.5, 3, dtype=m.int64)", "m.arange(True)",
        "m.arange(0, 5, 1.5, dtype=m.int64)", "m.arange(m.tensor(3))", "m.arange(m.tensor(3.0))",
        "m.arange(end=3)", "m.arange(0, 1, 0.1)", "m.arange(0, 1, 0.1, dtype=m.float64)",
        "m.arange(4, dtype=m.float32)", "m.arange(4, dtype=m.uint8)", "m.arange(1, 7, 2)",
        "m.arange(3.0, requires_grad=True)", "m.arange(2**40, 2**40 + 2)",
        "m.linspace(0, 1, 5)", "m.linspace(0, 1, 1)", "m.linspace(0, 1, 0)",
        "m.linspace(3, -2.5, 7)",
        "m.linspace(0, 10, 4, dtype=m.int64)", "m.linspace(0, -10, 4, dtype=m.int64)",
        "m.linspace(m.tensor(0.0), m.tensor(1.0), 3)", "m.linspace(0, 1, 11, dtype=m.float64)",
        "m.logspace(0, 2, 3)", "m.logspace(-1, 2, 5, base=2)",
        "m.logspace(0, 1, 4, dtype=m.float64)",
        "m.eye(3)", "m.eye(2, 3)", "m.eye(0)", "m.eye(3, 2, dtype=m.int64)",
        "m.tril_indices(3, 3)", "m.tril_indices(3, 2, 1)", "m.triu_indices(3, 3, -1)",
        "m.triu_indices(2, 4, offset=1)", "m.tril_indices(4, 3, -1, dtype=m.int32)",
    ],
)  # fmt: skip
def test_creation_is_pytorchs(call: str) -> None:
    both(call)


@pytest.mark.parametrize(
    "call",
    [
        "m.tensor([[1, 2], [3]])", "m.tensor([1, [2]])", "m.tensor([[1], 2])", "m.tensor([2**63])",
        "m.tensor([2**70])", "m.tensor([300], dtype=m.uint8)", "m.tensor('a')", "m.tensor(['a'])",
        "m.tensor(None)", "m.tensor([None])", "m.tensor({1, 2})", "m.tensor(x for x in [1])",
        "m.tensor([float('nan')], dtype=m.int64)", "m.tensor(np.array(['a']))",
        "m.tensor({'a': 1})",
        "m.tensor([m.ones(2), m.ones(2)])", "m.tensor([1], requires_grad=True)",
        "m.from_numpy([1])", "m.from_numpy(np.float64(1))", "m.from_numpy(np.ones(1, '>f4'))",
        "m.zeros()", "m.zeros(-1)", "m.zeros(2.0)", "m.zeros(2, (3,))", "m.full(2, 1)",
        "m.zeros(2, requires_grad=True, dtype=m.int64)", "m.full((2,), m.ones(2))",
        "m.full((1,), 300, dtype=m.uint8)", "m.zeros_like([1])", "m.zeros(2, colour='red')",
        "m.arange(5, 0)", "m.arange(0, 1, 0)", "m.arange()", "m.arange(0, float('inf'))",
        "m.linspace(0, 1, -1)", "m.eye(-1)", "m.tril_indices(-1, 2)", "m.arange('3')",
        "m.rand(2, dtype=m.int64)", "m.randn(-1)", "m.randint(3, 3, (2,))", "m.randint(0, (2,))",
        "m.randperm(-1)", "m.normal(0.0, 1.0)", "m.normal(m.ones(2), -1.0)",
        "m.normal(m.tensor([1]), 1.0)", "m.bernoulli(m.tensor([1]))",
        "m.bernoulli(m.tensor([2.0]))",
        "m.multinomial(m.tensor([1, 0]), 1)", "m.multinomial(m.tensor([-1.0, 1]), 1)",
        "m.multinomial(m.tensor([0.0, 0]), 1)", "m.multinomial(m.tensor([1.0]), 2)",
        "m.multinomial(m.tensor([1.0]), 0)", "m.multinomial(m.ones(1, 1, 1), 1)",
        "m.multinomial(m.tensor([float('nan')]), 1)", "m.rand_like(m.tensor([1]))",
        "m.ones(1).to('nowhere')", "m.ones(1).double(1)",
        "m.meshgrid(m.ones(1, 2), indexing='ij')", "m.meshgrid(m.ones(2), indexing='zz')",
        "m.meshgrid(m.ones(2), m.arange(2), indexing='ij')",
    ],
)  # fmt: skip
def test_what_pytorch_refuses_is_refused(call: str) -> None:
    refusals = (RuntimeError, TypeError, ValueError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(refusals):
            eval(call, {"m": torch, "np": np})
    with pytest.raises(refusals):
        eval(call, {"m": minigen, "np": np})


def test_ragged_lists_are_explained() -> None:
    with pytest.raises(
        ValueError, match=r"ragged: expected a sequence of length 2 at dim 1.* row 1"
    ):
        minigen.tensor([[1, 2], [3]])
    with pytest.raises(ValueError, match="expected a sequence of length 1 at dim 2"):
        minigen.tensor([[[1], [2, 3]]])
    with pytest.raises(ValueError, match=r"expected a number at dim 1.* a sequence of length 1"):
        minigen.tensor([1, [2]])
    with pytest.raises(ValueError, match=r"minigen.stack"):
        minigen.tensor([minigen.ones(2)])


@pytest.mark.parametrize(
    "data", [1j, [1j], np.ones(1, "complex64"), np.ones(1, "uint16"), [np.array([None])]]
)
def test_element_types_that_are_not_offered(data: object) -> None:
    with pytest.raises(TypeError, match=r"tensor|dtype"):
        minigen.tensor(data)


def test_tensor_copies_and_from_numpy_shares() -> None:
    array = np.zeros(3)
    copied, shared, viewed = (
        minigen.tensor(array),
        minigen.from_numpy(array),
        minigen.as_tensor(array),
    )
    array[0] = 7
    assert copied.tolist() == [0, 0, 0]
    assert shared.tolist() == viewed.tolist() == [7, 0, 0]
    shared[1] = 5
    assert array.tolist() == [7, 5, 0]
    x = minigen.ones(2, requires_grad=True)
    assert minigen.as_tensor(x) is x
    assert minigen.tensor(x).is_leaf
    assert not minigen.tensor(x).requires_grad
    assert minigen.as_tensor(x, dtype=minigen.float64).requires_grad
    assert type(minigen.from_numpy(np.ones((2, 2)).view(np.matrix)).array) is np.ndarray
    with pytest.raises(RuntimeError, match="copy"):
        minigen.asarray([1.0], copy=False)
    assert not np.shares_memory(minigen.asarray(array, copy=True).array, array)


def test_default_dtype() -> None:
    minigen.set_default_dtype(minigen.float64)
    torch.set_default_dtype(torch.float64)
    try:
        for call in (
            "m.tensor(1.0)",
            "m.zeros(2)",
            "m.arange(2.0)",
            "m.tensor([1]) / 2",
            "m.eye(2)",
        ):
            both(call)
        assert minigen.rand(2).dtype is minigen.float64
    finally:
        minigen.set_default_dtype(minigen.float32)
        torch.set_default_dtype(torch.float32)


def test_empty_has_the_shape_asked_for() -> None:
    assert minigen.empty(2, 0).shape == (2, 0)
    assert minigen.empty((3,), dtype=minigen.int8).dtype is minigen.int8
    assert minigen.empty_like(minigen.ones(2, 3)).shape == (2, 3)
    assert minigen.ones(1).new_empty(2, 2).shape == (2, 2)


# ------------------------------------------------------------------------------------- grids


@pytest.mark.parametrize("indexing", ["ij", "xy"])
def test_meshgrid(indexing: str) -> None:
    rng = np.random.default_rng(0)
    for sizes in ((2, 3), (2,), (2, 3, 4), (1, 3)):
        check(
            lambda *t: minigen.meshgrid(*t, indexing=indexing),
            lambda *t: torch.meshgrid(*t, indexing=indexing),
            *(rng.standard_normal(n) for n in sizes),
        )
    check(
        lambda x, y: minigen.meshgrid([x, y], indexing=indexing),
        lambda x, y: torch.meshgrid([x, y], indexing=indexing),
        np.array(1.5),
        rng.standard_normal(3),
    )


# ------------------------------------------------------------------------------------ random


def test_the_same_seed_draws_the_same() -> None:
    def draw(generator: minigen.Generator | None = None) -> list:
        g = generator
        odds = minigen.tensor([0.2, 0.3, 0.5])
        return [
            minigen.rand(3, generator=g).tolist(),
            minigen.randn(3, generator=g, dtype=minigen.float64).tolist(),
            minigen.randint(0, 9, (3,), generator=g).tolist(),
            minigen.randperm(9, generator=g).tolist(),
            minigen.normal(0.0, 1.0, (3,), generator=g).tolist(),
            minigen.bernoulli(odds, generator=g).tolist(),
            minigen.multinomial(odds, 2, generator=g).tolist(),
            minigen.rand_like(odds, generator=g).tolist(),
            minigen.randn_like(odds, generator=g).tolist(),
            minigen.randint_like(odds, 5, generator=g).tolist(),
        ]

    minigen.manual_seed(5)
    first = draw()
    minigen.manual_seed(5)
    assert draw() == first
    assert draw() != first
    assert draw(minigen.Generator().manual_seed(5)) == first


def test_uniform_and_normal() -> None:
    minigen.manual_seed(0)
    for dtype in (minigen.float16, minigen.float32, minigen.float64):
        x = minigen.rand(200, 200, dtype=dtype)
        assert x.dtype is dtype
        values = x.numpy().astype(float)
        assert values.min() >= 0
        assert values.max() < 1
        assert abs(values.mean() - 0.5) < 0.01
        assert abs(values.var() - 1 / 12) < 0.005
        values = minigen.randn(200, 200, dtype=dtype).numpy().astype(float)
        assert abs(values.mean()) < 0.025
        assert abs(values.var() - 1) < 0.04
        assert abs((values**4).mean() - 3) < 0.3
    assert minigen.rand(2, requires_grad=True).requires_grad
    assert minigen.randn(()).shape == ()
    assert minigen.randn(size=(2, 3)).shape == (2, 3)


def test_randint_and_randperm() -> None:
    minigen.manual_seed(0)
    counts = np.bincount(minigen.randint(2, 5, (3000,)).numpy())
    assert counts.tolist()[:2] == [0, 0]
    assert len(counts) == 5
    assert (counts[2:] > 900).all()
    assert minigen.randint(5, (2, 3)).dtype is minigen.int64
    assert minigen.randint(high=5, size=(2,)).shape == (2,)
    assert minigen.randint(2, 3, size=(2,)).tolist() == [2, 2]
    assert minigen.randint(0, 2, (4,), dtype=minigen.float32).dtype is minigen.float32
    assert minigen.randint_like(minigen.ones(2, 2), 3, 4).tolist() == [[3.0, 3.0], [3.0, 3.0]]
    order = minigen.randperm(50)
    assert order.dtype is minigen.int64
    assert order.tolist() != list(range(50))
    assert sorted(order.tolist()) == list(range(50))


def test_normal_with_tensors() -> None:
    minigen.manual_seed(0)
    mean = minigen.tensor([[10.0], [-10.0]])
    x = minigen.normal(mean.expand(2, 4000), minigen.tensor(2.0)).numpy()
    np.testing.assert_allclose(x.mean(1), [10, -10], atol=0.15)
    np.testing.assert_allclose(x.std(1), [2, 2], atol=0.1)
    assert minigen.normal(0.0, minigen.ones(3)).shape == (3,)
    assert minigen.normal(mean.double()).dtype is minigen.float64
    assert minigen.normal(2.0, 0.0, size=(2,)).tolist() == [2, 2]


def test_bernoulli() -> None:
    minigen.manual_seed(0)
    odds = minigen.tensor([0.0, 0.25, 1.0]).expand(4000, 3)
    np.testing.assert_allclose(minigen.bernoulli(odds).numpy().mean(0), [0, 0.25, 1], atol=0.03)
    assert minigen.bernoulli(odds).dtype is minigen.float32
    assert minigen.tensor([1, 2, 3]).bernoulli(1.0).tolist() == [1, 1, 1]
    x = minigen.full((3,), 0.5, requires_grad=True)
    (gradient,) = minigen.autograd.grad(minigen.bernoulli(x).sum(), x)
    assert gradient.tolist() == [0, 0, 0]


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial_frequencies(replacement: bool) -> None:
    minigen.manual_seed(0)
    weights = minigen.tensor([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]])
    first = np.array(
        [minigen.multinomial(weights, 2, replacement).numpy()[:, 0] for _ in range(2000)]
    )
    share = np.stack([(first == i).mean(0) for i in range(3)])
    np.testing.assert_allclose(share, [[0.25, 0.5], [0, 0.5], [0.75, 0]], atol=0.04)
    drawn = minigen.multinomial(weights[0], 2, replacement)
    assert drawn.shape == (2,)
    assert drawn.dtype is minigen.int64
    if not replacement:
        drawn = minigen.multinomial(minigen.ones(5, 10), 10).numpy()
        assert (np.sort(drawn, 1) == np.arange(10)).all()


def test_multinomial_without_replacement_draws_one_after_the_other() -> None:
    minigen.manual_seed(1)
    pairs = minigen.multinomial(minigen.tensor([0.5, 0.3, 0.2]).expand(20000, 3), 2).numpy()
    # P(0 then 1) = 0.5 * 0.3 / 0.5
    assert abs((pairs == [0, 1]).all(1).mean() - 0.3) < 0.01
    assert abs((pairs == [2, 0]).all(1).mean() - 0.2 * 0.5 / 0.8) < 0.01


# ----------------------------------------------------------------------------------- casting


def test_casts_between_floats_are_differentiable() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3))
    check(lambda x: x.float() * 2, lambda x: x.float() * 2, x, order=0)
    check(lambda x: x.float().double(), lambda x: x.float().double(), x, order=1, numeric=False)
    check(lambda x: x.clone() * x, lambda x: x.clone() * x, x)
    check(lambda x: x.T.contiguous() ** 2, lambda x: x.T.contiguous() ** 2, x)
    single = minigen.tensor([1.0, 2.0], requires_grad=True)
    (single.double() * minigen.tensor([3.0, 5.0], dtype=minigen.float64)).sum().backward()
    assert single.grad.dtype is minigen.float32
    assert single.grad.tolist() == [3, 5]
    assert not single.long().requires_grad
    assert repr(single.double()).endswith("grad_fn=<ToCopyBackward0>)")


@pytest.mark.parametrize(
    "name", ["float", "double", "half", "long", "int", "short", "char", "byte", "bool"]
)
def test_dtype_methods(name: str) -> None:
    values = [0.0, 1.5, -0.5, 100.7]
    same(getattr(minigen.tensor(values), name)(), getattr(torch.tensor(values), name)())
    x = getattr(minigen.ones(2), name)()
    assert getattr(x, name)() is x
    assert x.type() == getattr(torch.ones(2), name)().type().replace("torch", "minigen")


def test_to() -> None:
    x = minigen.ones(2)
    assert x.to("cpu") is x
    assert x.to(minigen.float32) is x
    assert x.to() is x
    assert x.to(x) is x
    assert x.cpu() is x
    assert x.to(copy=True) is not x
    assert x.to(minigen.float64, copy=True).dtype is minigen.float64
    assert x.to(minigen.tensor([1])).dtype is minigen.int64
    assert x.to("cpu", minigen.float64).dtype is minigen.float64
    assert x.to(device=minigen.device("cpu"), dtype=float).dtype is minigen.float64
    assert x.to("cpu", non_blocking=True) is x
    assert x.type(minigen.int64).dtype is minigen.int64
    assert x.type_as(minigen.tensor([True])).dtype is minigen.bool
    assert x.contiguous() is x
    view = minigen.ones(2, 3).T
    assert view.contiguous() is not view
    assert view.contiguous().is_contiguous()
    with pytest.raises(TypeError, match="keyword"):
        x.to(minigen.float64, True)
    assert minigen.tensor([math.nan, 1e10]).to(minigen.int64)[1].item() == 10**10


def test_a_missing_gpu_is_explained() -> None:
    if minigen.ones(1).device.type == "cuda":
        return
    try:
        import cupy  # noqa: F401
    except ImportError:
        with pytest.raises(RuntimeError, match="CuPy"):
            minigen.ones(2).cuda()
        with pytest.raises(RuntimeError, match="CuPy"):
            minigen.zeros(2, device="cuda:0")
