"""Activations and the softmax family against torch, where they are flat, bent and infinite."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minigen
from minigen.autograd import grad
from minigen.ops import activation as A
from tests import oracle
from tests.oracle import close


def check(function, reference, *inputs, order=2, numeric=True):
    """The oracle's, for the gradient rules and again for the formula (order 2 goes through it)."""
    oracle.check(function, reference, *inputs, order=min(order, 1), numeric=numeric)
    if order == 2:
        oracle.check(function, reference, *inputs, numeric=False)


rng = np.random.default_rng(5)


def normal(*shape, scale=1.0):
    return np.asarray(rng.standard_normal(shape) * scale)


SHAPES = [(), (1,), (7,), (3, 4), (2, 3, 4), (0, 3)]

ELEMENTWISE = [
    ("relu", ()),
    ("relu6", ()),
    ("leaky_relu", ()),
    ("leaky_relu", (0.2,)),
    ("leaky_relu", (0.0,)),
    ("leaky_relu", (-0.5,)),
    ("leaky_relu", (1.0,)),
    ("leaky_relu", (3.0,)),
    ("elu", ()),
    ("elu", (0.7,)),
    ("elu", (-0.7,)),
    ("selu", ()),
    ("celu", ()),
    ("celu", (2.5,)),
    ("celu", (-2.5,)),
    ("gelu", ()),
    ("silu", ()),
    ("mish", ()),
    ("softplus", ()),
    ("softplus", (2.0, 3.0)),
    ("softplus", (0.5,)),
    ("softsign", ()),
    ("hardtanh", ()),
    ("hardtanh", (-0.3, 2.0)),
    ("hardsigmoid", ()),
    ("hardswish", ()),
    ("hardshrink", ()),
    ("hardshrink", (1.0,)),
    ("hardshrink", (-1.0,)),
    ("softshrink", ()),
    ("softshrink", (0.0,)),
    ("rrelu", ()),
    ("rrelu", (-0.5, 0.75)),
    ("logsigmoid", ()),
    ("tanhshrink", ()),
    ("threshold", (0.4, -3.0)),
]


def pair(name, *options, **named):
    """The operation with these options, here and in torch."""
    return (
        lambda *x: getattr(A, name)(*x, *options, **named),
        lambda *x: getattr(F, name)(*x, *options, **named),
    )


@pytest.mark.parametrize(("name", "options"), ELEMENTWISE)
def test_elementwise(name, options):
    order = 1 if name == "hardsigmoid" else 2  # torch 2.13 has no second derivative of it
    for shape, scale in itertools.product(SHAPES, (1.0, 6.0)):
        check(*pair(name, *options), normal(*shape, scale=scale), order=order)
    strided = normal(4, 6) * 3
    check(*pair(name, *options), strided.T, order=order)
    check(
        lambda x: pair(name, *options)[0](x.T),
        lambda x: pair(name, *options)[1](x.T),
        strided,
        order=order,
    )


def test_gelu_tanh():
    for shape in SHAPES:
        check(*pair("gelu", approximate="tanh"), normal(*shape, scale=3))


@pytest.mark.parametrize(("name", "options"), ELEMENTWISE)
def test_far_from_zero(name, options):
    """No overflow, no NaN, no warning; and infinities as in torch."""
    x = np.array([-1e6, -800.0, -90.0, -20.5, 20.5, 90.0, 800.0, 1e6])
    if options == (-2.5,):
        x = np.clip(x, -90, 90)  # celu's exponential grows for a negative alpha
    check(*pair(name, *options), x, order=1, numeric=False)
    ours, theirs = pair(name, *options)
    ends = np.array([np.inf, np.nan])
    close(ours(minigen.from_numpy(ends)), theirs(torch.from_numpy(ends)), 1e-12, name)


@pytest.mark.parametrize(("name", "options"), ELEMENTWISE)
def test_float32_stays_and_is_accurate(name, options):
    x = (normal(5, 33) * 4).astype(np.float32)
    ours, theirs = pair(name, *options)
    close(ours(minigen.from_numpy(x)), theirs(torch.from_numpy(x)), 1e-6, name)
    a = minigen.from_numpy(x).requires_grad_()
    b = torch.from_numpy(x.copy()).requires_grad_()
    c = rng.standard_normal(x.shape).astype(np.float32)
    ours(a).backward(minigen.from_numpy(c))
    theirs(b).backward(torch.from_numpy(c))
    close(a.grad, b.grad, 2e-6, name)


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh"])
def test_gradient_at_the_corners(name):
    x = np.array([-1.0, -0.0, 0.0, 1.0, 6.0])
    check(*pair(name), x, order=1, numeric=False)
    check(*pair("leaky_relu", 0.2), x, order=1, numeric=False)
    check(*pair("leaky_relu", -0.2), x, order=1, numeric=False)


def test_integers_and_booleans():
    x = np.array([-9, 0, 9])
    for name, options in (
        ("relu", ()),
        ("relu6", ()),
        ("hardtanh", (-2, 2)),
        ("threshold", (1, 0)),
    ):
        check(*pair(name, *options), x, order=0)
    check(*pair("softsign"), x, order=0)
    check(*pair("tanhshrink"), x, order=0)
    for name in ("relu", "hardtanh"):
        with pytest.raises(TypeError, match="bool"):
            getattr(A, name)(minigen.tensor([True]))
    smooth = ["elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "logsigmoid"]
    for name in [*smooth, "leaky_relu", "hardsigmoid", "hardswish"]:
        with pytest.raises(TypeError, match="floating-point"):
            getattr(A, name)(minigen.tensor([1, 2]))


def test_input_is_not_kept_by_what_its_output_tells():
    x = minigen.ones(1000, requires_grad=True)
    for function in (A.relu, A.leaky_relu, A.hardtanh, A.hardsigmoid, lambda t: A.softmax(t, 0)):
        y = x * 2
        z = function(y)
        saved = [v for rule in z.grad_fn.edges for v in rule[2] if hasattr(v, "array")]
        assert len(saved) == 1
        assert saved[0].array is z.array


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 4, 3), (0, 4)])
@pytest.mark.parametrize("slopes", [1, 4])
def test_prelu(shape, slopes):
    if slopes == 4 and len(shape) == 1:
        return
    check(*pair("prelu"), normal(*shape), normal(slopes), numeric=False)


def test_prelu_of_one_number():
    check(*pair("prelu"), np.array(-1.5), np.array([0.3]))
    check(*pair("prelu"), normal(2, 3), np.array(0.3))
    with pytest.raises(RuntimeError, match=r"1 slope or 3"):
        A.prelu(minigen.zeros(2, 3), minigen.zeros(2))
    with pytest.raises(TypeError, match="float64"):
        A.prelu(minigen.zeros(2, 3), minigen.zeros(3, dtype=minigen.float64))


def test_glu():
    check(*pair("glu"), normal(3, 4))
    check(*pair("glu", 0), normal(4, 3))
    check(*pair("glu", 1), normal(2, 6, 3))
    with pytest.raises(RuntimeError, match="even"):
        A.glu(minigen.zeros(3))
    with pytest.raises(RuntimeError, match="halved"):
        A.glu(minigen.tensor(1.0))


def test_options_that_make_no_sense():
    x = minigen.zeros(2)
    for call, message in (
        (lambda: A.hardtanh(x, 1, -1), "min_val"),
        (lambda: A.celu(x, 0), "alpha"),
        (lambda: A.gelu(x, "fast"), "approximate"),
        (lambda: A.gumbel_softmax(x, tau=0), "tau"),
    ):
        with pytest.raises(RuntimeError, match=message):
            call()


# -------------------------------------------------------------------------------- softmax

CASES = [((), 0), ((), -1), ((1,), 0), ((5,), 0), ((3, 4), 0), ((3, 4), -1), ((2, 3, 4), 1),
         ((0, 3), 0), ((0, 3), 1), ((3, 0), 1)]  # fmt: skip


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.parametrize(("shape", "dim"), CASES)
def test_softmax(name, shape, dim):
    check(*pair(name, dim), normal(*shape, scale=3))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_extremes(name):
    inf = np.inf
    x = np.array([[-inf, -inf, -inf], [0, -inf, 1], [1e4, 0, -1e4], [np.nan, 0, 1], [inf, 0, 1]])
    for dtype in (np.float32, np.float64):
        values = x.astype(dtype)
        for dim in (0, 1):
            ours, theirs = pair(name, dim)
            close(ours(minigen.from_numpy(values)), theirs(torch.from_numpy(values)), 1e-6, name)


def test_softmax_arguments():
    x = normal(2, 3).astype(np.float32)
    integers = np.array([1, 2])
    assert A.softmax(minigen.from_numpy(x), 1, minigen.float64).dtype == minigen.float64
    cast = A.softmax(minigen.from_numpy(integers), 0, dtype=minigen.float32)
    close(cast, F.softmax(torch.from_numpy(integers), 0, dtype=torch.float32), 1e-6, "cast")
    check(lambda t: t.softmax(-1), lambda t: t.softmax(-1), normal(2, 3))
    check(lambda t: t.log_softmax(dim=0), lambda t: t.log_softmax(dim=0), normal(3))
    with pytest.raises(IndexError):
        A.softmax(minigen.from_numpy(x), 2)
    with pytest.raises(IndexError):
        A.softmax(minigen.zeros(0, 3), 2)
    with pytest.raises(TypeError, match="floating-point"):
        A.softmax(minigen.from_numpy(integers), 0)
    for shape, dim in (((3,), 0), ((3, 4), 1), ((2, 3, 4), 0), ((2, 3, 2, 2), 1)):
        y = minigen.from_numpy(normal(*shape))
        with pytest.warns(UserWarning, match="dim="):
            implicit = A.softmax(y)
        close(implicit, A.softmax(y, dim).numpy(), 0, "implicit dim")


def test_softmax_of_a_transposed_input():
    check(lambda t: A.softmax(t.T, 1), lambda t: F.softmax(t.T, 1), normal(3, 4))


def test_gumbel_softmax_draws_from_the_softmax():
    minigen.manual_seed(1)
    logits = minigen.tensor([0.0, 1.0, 2.0])
    drawn = A.gumbel_softmax(logits.expand(40000, 3), tau=0.5, hard=True).numpy()
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert (drawn.sum(axis=1) == 1).all()
    np.testing.assert_allclose(drawn.mean(axis=0), A.softmax(logits, 0).numpy(), atol=0.01)


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_gradient_is_that_of_the_soft_sample(hard):
    logits = minigen.from_numpy(normal(3, 4)).requires_grad_()
    c = minigen.from_numpy(normal(3, 4))
    minigen.manual_seed(2)
    drawn = A.gumbel_softmax(logits, tau=0.7, hard=hard, dim=0)
    (ours,) = grad((drawn * c).sum(), logits)
    minigen.manual_seed(2)
    noise = -np.log(minigen.default_generator.stream.standard_exponential((3, 4)))
    soft = A.softmax((logits + minigen.from_numpy(noise)) / 0.7, 0)
    (theirs,) = grad((soft * c).sum(), logits)
    close(ours, theirs.numpy(), 1e-12, "gradient")
    if hard:
        np.testing.assert_array_equal(
            drawn.detach().numpy().argmax(0), soft.detach().numpy().argmax(0)
        )
    else:
        close(drawn, soft.detach().numpy(), 1e-12, "sample")


# --------------------------------------------------------------------------------- kernels


def test_gelu_runs_on_the_kernel_in_use():
    x = minigen.from_numpy(normal(4)).requires_grad_()
    with minigen.kernels.use(
        gelu=lambda x, approximate: x * 2, gelu_backward=lambda g, x, approximate: g * 7
    ):
        y = A.gelu(x)
        y.backward(minigen.ones(4, dtype=minigen.float64))
    close(y, x.detach().numpy() * 2, 0, "kernel")
    np.testing.assert_array_equal(x.grad.numpy(), np.full(4, 7.0))
