"""Convolutions against torch and against what defines them: one trilinear form."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as T
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
import minigen.nn.functional as F
from minigen import kernels
from minigen.errors import ShapeError
from tests.oracle import check

CONVOLUTIONS = ("convolution", "transposed_convolution", "weight_correlation")

rng = np.random.default_rng(1)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def same(name: str, *inputs: np.ndarray, **options) -> None:
    """Assert that F.name and torch's give the same, with first and second derivatives.

    The second are of the square of the output, too, so that they reach what happens to a cotangent
    that depends on the inputs itself.
    """
    ours, theirs = (partial(getattr(m, name), **options) for m in (F, T))
    check(ours, theirs, *inputs)
    check(lambda *a: ours(*a) * ours(*a), lambda *a: theirs(*a) * theirs(*a), *inputs)


# n, input channels, output channels, extent, kernel, stride, padding, dilation, groups
CONV2D = [
    (2, 3, 4, (5, 6), (3, 2), 1, 0, 1, 1),
    (2, 3, 4, (7, 6), (3, 3), 2, 1, 1, 1),
    (1, 2, 3, (8, 7), (4, 5), (2, 3), (1, 2), 1, 1),
    (2, 2, 2, (9, 8), (3, 2), 1, (0, 3), (2, 3), 1),
    (2, 2, 3, (9, 10), (3, 3), 3, 2, 2, 1),
    (2, 4, 6, (5, 5), (3, 3), 2, 1, 1, 2),
    (2, 3, 6, (6, 5), (3, 3), 1, 1, 1, 3),  # each channel has two filters of its own
    (2, 3, 3, (6, 5), (3, 2), 2, 1, (1, 2), 3),  # each channel has one
    (0, 2, 2, (3, 3), (2, 2), 1, 0, 1, 2),
    (3, 4, 5, (4, 3), (1, 1), 1, 0, 1, 1),
    (3, 4, 2, (5, 4), (1, 1), 2, 1, 1, 2),
    (2, 3, 4, (4, 5), (4, 5), 1, 0, 1, 1),  # one window
    (2, 1, 1, (1, 1), (1, 1), 1, 0, 1, 1),
    (2, 2, 2, (6, 6), (2, 2), 3, 0, 1, 1),  # pixels that no window meets
    (1, 2, 2, (2, 2), (2, 2), 1, 3, 1, 1),  # windows in the padding alone
    (0, 3, 4, (5, 6), (3, 2), 1, 1, 1, 1),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("n", "c", "o", "extent", "kernel", "s", "p", "d", "groups"), CONV2D)
def test_conv2d(n, c, o, extent, kernel, s, p, d, groups, bias):
    inputs = [normal(n, c, *extent), normal(o, c // groups, *kernel), *[normal(o)] * bias]
    options = {"stride": s, "padding": p, "dilation": d, "groups": groups}
    same("conv2d", *inputs, **options)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("n", "c", "o", "extent", "kernel", "s", "p", "d", "groups"), CONV2D[:-2])
def test_conv_transpose2d(n, c, o, extent, kernel, s, p, d, groups, bias):
    p = 0 if p == (0, 3) else p
    inputs = [normal(n, c, *extent), normal(c, o // groups, *kernel), *[normal(o)] * bias]
    options = {"stride": s, "padding": p, "dilation": d, "groups": groups}
    if kernel == (1, 1) and p == 1:
        options["output_padding"] = 1
    same("conv_transpose2d", *inputs, **options)


@pytest.mark.parametrize(
    ("stride", "dilation", "extra"),
    [(2, 1, 1), ((2, 3), 1, (1, 2)), (1, 3, 2), ((1, 4), (2, 1), (1, 3))],
)
def test_output_padding(stride, dilation, extra):
    options = {"stride": stride, "padding": 1, "output_padding": extra, "dilation": dilation}
    same("conv_transpose2d", normal(2, 3, 4, 3), normal(3, 2, 3, 2), normal(2), **options)


@pytest.mark.parametrize(
    ("length", "kernel", "s", "p", "d", "groups"),
    [
        (9, 3, 1, 0, 1, 1),
        (9, 4, 2, 1, 1, 2),
        (12, 3, 3, 2, 4, 1),
        (5, 1, 1, 0, 1, 1),
        (5, 5, 2, 4, 1, 4),
    ],
)
def test_one_dimension(length, kernel, s, p, d, groups):
    options = {"stride": s, "padding": p, "dilation": d, "groups": groups}
    weight = normal(4, 4 // groups, kernel)
    for x in (normal(2, 4, length), normal(4, length), normal(0, 4, length)):
        same("conv1d", x, weight, normal(4), **options)
        same("conv_transpose1d", x, weight, normal(4), **options)


def test_without_batch():
    options = {"stride": 2, "padding": 1}
    x, weight = normal(3, 5, 6), normal(3, 3, 3, 2)
    same("conv2d", x, weight, **options)
    same("conv_transpose2d", x, weight, **options)


@pytest.mark.filterwarnings(
    "ignore:Using padding='same':UserWarning"
)  # torch's, of a copy it makes
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "dilation"), [((3, 3), 1), ((2, 4), 1), ((2, 3), (3, 2))])
def test_padding_by_name(padding, kernel, dilation):
    options = {"padding": padding, "dilation": dilation}
    x, weight = normal(2, 2, 7, 6), normal(3, 2, *kernel)
    same("conv2d", x, weight, **options)


def test_third_derivative():
    """The rules are the three maps again: no order of derivative is special."""
    arrays = normal(2, 2, 5), normal(3, 2, 2)
    x, w = (minigen.from_numpy(a).requires_grad_() for a in arrays)
    tx, tw = (torch.from_numpy(a).requires_grad_() for a in arrays)

    def third(m, conv, x, w):
        value = (conv(conv(x, w) ** 2, w.transpose(0, 1)) ** 2 * conv(x, w)[:, :2, :3]).sum()
        (first,) = m.autograd.grad(value, x, create_graph=True)
        (second,) = m.autograd.grad((first**2).sum(), w, create_graph=True)
        return m.autograd.grad((second * second).sum(), (x, w))

    for ours, theirs in zip(third(minigen, F.conv1d, x, w), third(torch, T.conv1d, tx, tw)):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9)


def test_not_contiguous():
    x, w = normal(6, 5, 3, 2).transpose(3, 2, 1, 0), normal(2, 3, 3, 4)[..., ::-1].swapaxes(2, 3)
    ours = F.conv2d(minigen.from_numpy(x), minigen.from_numpy(w), padding=2)
    theirs = T.conv2d(torch.from_numpy(x.copy()), torch.from_numpy(w.copy()), padding=2)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-12)
    assert ours.is_contiguous()


@pytest.mark.parametrize("function", ["conv2d", "conv_transpose2d"])
def test_float32_stays(function):
    a: list = [
        minigen.from_numpy(normal(*s).astype("f4")).requires_grad_()
        for s in ((2, 4, 6, 6), (4, 2, 3, 3))
    ]
    b = [torch.from_numpy(t.detach().numpy()).requires_grad_() for t in a]
    y = getattr(F, function)(*a, stride=2, padding=1, groups=2)
    z = getattr(T, function)(*b, stride=2, padding=1, groups=2)
    assert y.dtype is minigen.float32
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-5, atol=1e-5)
    g = normal(*y.shape).astype("f4")
    y.backward(minigen.from_numpy(g))
    z.backward(torch.from_numpy(g))
    for ours, theirs in zip(a, b):
        assert theirs.grad is not None
        assert ours.grad.dtype is minigen.float32
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------- the trilinear form


def definition(x, w, y, stride, padding, dilation, groups):
    """T(x, w, y), as the docstring has it, term by term."""
    total = 0.0
    o_group, c_group = w.shape[0] // groups, x.shape[1] // groups
    for n, o, *i in np.ndindex(*y.shape):
        for c, *k in np.ndindex(*w.shape[1:]):
            at = [s * a + d * b - p for a, b, s, d, p in zip(i, k, stride, dilation, padding)]
            if all(0 <= a < e for a, e in zip(at, x.shape[2:])):
                channel = o // o_group * c_group + c
                total += y[(n, o, *i)] * x[(n, channel, *at)] * w[(o, c, *k)]
    return total


@st.composite
def geometries(draw):
    n = draw(st.integers(1, 2))

    def each(least, most):
        return tuple(draw(st.integers(least, most)) for _ in range(n))

    kernel, stride, padding, dilation = each(1, 3), each(1, 3), each(0, 3), each(1, 3)
    groups, batch = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    channels, outs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    extent = tuple(
        draw(st.integers(max(1, r - 2 * p), max(1, r - 2 * p) + 4)) for r, p in zip(reach, padding)
    )
    return batch, channels, outs, extent, kernel, stride, padding, dilation, groups


@settings(max_examples=60, deadline=None)
@given(geometries(), st.integers(0, 2**32 - 1))
def test_adjoint(geometry, seed):
    """⟨conv(x, w), y⟩ = ⟨x, conv_transpose(y, w)⟩ = T(x, w, y), for every geometry."""
    batch, channels, outs, extent, kernel, stride, padding, dilation, groups = geometry
    random = np.random.default_rng(seed)
    x, w = (
        random.standard_normal((batch, channels, *extent)),
        random.standard_normal((outs, channels // groups, *kernel)),
    )
    conv, transpose = (
        (F.conv1d, F.conv_transpose1d) if len(extent) == 1 else (F.conv2d, F.conv_transpose2d)
    )
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    out = conv(minigen.from_numpy(x), minigen.from_numpy(w), **options).numpy()
    y = random.standard_normal(out.shape)
    form = definition(x, w, y, stride, padding, dilation, groups)
    assert np.isclose((out * y).sum(), form, rtol=1e-9, atol=1e-9)
    smallest = [
        (i - 1) * s - 2 * p + d * (k - 1) + 1
        for i, s, p, d, k in zip(y.shape[2:], stride, padding, dilation, kernel)
    ]
    extra = tuple(e - m for e, m in zip(extent, smallest))
    assert all(0 <= e < s for e, s in zip(extra, stride))  # what the last stride left over
    back = transpose(minigen.from_numpy(y), minigen.from_numpy(w), output_padding=extra, **options)
    assert back.shape == x.shape
    assert np.isclose((x * back.numpy()).sum(), form, rtol=1e-9, atol=1e-9)


def test_matrix_products_are_the_kernels():
    """Swapping the matmul kernel changes what a convolution runs, forward and backward."""
    calls = []

    def counting(a, b):
        calls.append(a.shape)
        return np.matmul(a, b)

    x = minigen.from_numpy(normal(2, 3, 5, 5)).requires_grad_()
    w = minigen.from_numpy(normal(4, 3, 3, 3)).requires_grad_()
    for rung, products in (("numpy", 9), ("numba", 1)):
        calls.clear()
        with kernels.use(matmul=counting, **dict.fromkeys(CONVOLUTIONS, rung)):
            y = F.conv2d(x, w)
            assert len(calls) == 1
            y.backward(minigen.ones_like(y))
        assert len(calls) == 1 + 1 + products  # for the weight; for the input, "numpy" one a tap


@pytest.mark.parametrize("rung", ["reference", "numpy", "numba"])
def test_every_rung_under_the_engine(rung):
    """Values, first and second derivatives, whatever the rungs of the three maps are."""
    inputs = [normal(2, 4, 7, 6), normal(6, 2, 3, 3), normal(6)]
    options = {"stride": 2, "padding": 1, "groups": 2}
    with kernels.use(**dict.fromkeys(CONVOLUTIONS, rung)):
        same("conv2d", *inputs, **options)
        same("conv_transpose2d", inputs[0], normal(4, 3, 3, 3), inputs[2], **options)


def test_first_layer_computes_no_input_gradient():
    x, w = (
        minigen.from_numpy(normal(2, 3, 5, 5)),
        minigen.from_numpy(normal(4, 3, 3, 3)).requires_grad_(),
    )
    assert [rule.names for rule, _, _ in F.conv2d(x, w).node.edges] == [("weight",)]


# --------------------------------------------------------------------------------- errors

Z = minigen.zeros
BAD = [
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 2, 3, 3)), {}, "has 3 channels, but weight .* is for 2"),
    (F.conv2d, (Z(1, 4, 5, 5), Z(4, 4, 3, 3)), {"groups": 2}, "groups=2 is for 8"),
    (F.conv2d, (Z(1, 4, 5, 5), Z(3, 2, 3, 3)), {"groups": 2}, "does not divide the 3 output"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 6, 3)), {}, r"reaches over \(6, 3\).*of \(5, 5\)"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 3, 3)), {"dilation": 3}, r"reaches over \(7, 7\)"),
    (F.conv2d, (Z(3, 5), Z(4, 3, 3, 3)), {}, "4 or 3 dimensions"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 3)), {}, "weight must be .*4 dimensions"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 3, 3), Z(3)), {}, r"bias must be \(4,\)"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 3, 3).double()), {}, "one dtype, got .*float32.*float64"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 3, 3)), {"stride": 0}, "stride must be an integer"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 3, 3)), {"stride": (1, 2, 3)}, "an integer, or 2 of them"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 3, 3)), {"padding": -1}, "padding must be"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 3, 3)), {"padding": "some"}, "'valid' or 'same'"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 3, 3)), {"padding": "same", "stride": 2}, "needs stride 1"),
    (F.conv2d, (Z(1, 3, 0, 5), Z(4, 3, 3, 3)), {}, "empty"),
    (F.conv2d, (Z(1, 3, 5, 5), Z(4, 3, 0, 3)), {}, "empty"),
    (F.conv1d, (Z(1, 3, 5, 5), Z(4, 3, 3)), {}, "3 or 2 dimensions"),
    (F.conv_transpose2d, (Z(1, 3, 5, 5), Z(4, 3, 3, 3)), {}, "has 3 channels, but .* is for 4"),
    (F.conv_transpose2d, (Z(1, 3, 5, 5), Z(3, 4, 3, 3)), {"groups": 2}, "groups=2 does not divide"),
    (F.conv_transpose2d, (Z(1, 3, 5, 5), Z(3, 4, 3, 3)), {"output_padding": 1}, "less than"),
    (F.conv_transpose2d, (Z(1, 3, 1, 1), Z(3, 4, 2, 2)), {"padding": 1}, "cuts off"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "inputs", "options", "message"), BAD)
def test_errors(function, inputs, options, message):
    with pytest.raises(ShapeError, match=f"{function.__name__}: .*{message}"):
        function(*inputs, **options)
    reference = getattr(T, function.__name__)
    theirs = [torch.from_numpy(t.numpy()) for t in inputs]
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        reference(*theirs, **options)


def test_sizes_agree_with_torch():
    for x, k, s, p, d in itertools.product((4, 5, 7), (1, 2, 3), (1, 2, 3), (0, 1), (1, 2)):
        if x + 2 * p > d * (k - 1):
            theirs = T.conv1d(torch.zeros(1, 1, x), torch.zeros(1, 1, k), None, s, p, d)
            ours = F.conv1d(minigen.zeros(1, 1, x), minigen.zeros(1, 1, k), None, s, p, d)
            assert tuple(ours.shape) == tuple(theirs.shape)
