"""Losses against torch: every reduction, weights, ignored targets, and what has to be refused."""

import itertools
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minigen
from minigen.ops import losses as L
from tests import oracle
from tests.oracle import close


def check(function, reference, *inputs, order=2, numeric=True):
    """The oracle's, for the gradient rules and again for the formula (order 2 goes through it)."""
    oracle.check(function, reference, *inputs, order=min(order, 1), numeric=numeric)
    if order == 2:
        oracle.check(function, reference, *inputs, numeric=False)


rng = np.random.default_rng(7)
REDUCTIONS = ["none", "mean", "sum"]


def normal(*shape, scale=1.0):
    return np.asarray(rng.standard_normal(shape) * scale)


def uniform(*shape):
    return np.asarray(rng.uniform(0.01, 0.99, shape))


def pair(name, *tensors, **options):
    """The loss with these arrays (as tensors after the differentiated ones) and options."""

    def run(module, function):
        fixed = [module.from_numpy(t) if isinstance(t, np.ndarray) else t for t in tensors]
        named = {
            key: module.from_numpy(value) if isinstance(value, np.ndarray) else value
            for key, value in options.items()
        }
        return lambda *x: function(*x, *fixed, **named)

    return run(minigen, getattr(L, name)), run(torch, getattr(F, name))


# ------------------------------------------------------------------- cross_entropy, nll_loss

# shape of the logits
CLASSES = [(4,), (5, 4), (1, 1), (3, 4, 2), (2, 3, 2, 2), (0, 4)]


def targets(shape):
    shape, classes = (shape[:1] + shape[2:], shape[1]) if len(shape) > 1 else ((), shape[0])
    return np.asarray(rng.integers(0, classes, shape))


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", CLASSES)
def test_class_indices(name, shape, reduction):
    target, classes = targets(shape), shape[min(len(shape) - 1, 1)]
    weight = uniform(classes)
    x = normal(*shape, scale=3)
    for extra in (
        {},
        {"weight": weight},
        {"ignore_index": 0},
        {"ignore_index": 0, "weight": weight},
    ):
        defined = (target != extra.get("ignore_index", -1)).any() or reduction != "mean"
        loss = pair(name, target, reduction=reduction, **extra)
        check(*loss, x, numeric=bool(defined))
        if name == "nll_loss":  # linear, so a second derivative needs something before it
            check(lambda x, f=loss[0]: f(x**3), lambda x, f=loss[1]: f(x**3), x, numeric=False)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", CLASSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_label_smoothing(shape, reduction, weighted):
    classes = shape[min(len(shape) - 1, 1)]
    options = {"reduction": reduction, "label_smoothing": 0.3}
    if weighted:
        options["weight"] = uniform(classes)
    x, target = normal(*shape), targets(shape)
    check(*pair("cross_entropy", target, **options), x, numeric=target.size > 0)
    if target.size > 1:
        target.reshape(-1)[0] = -100
        check(*pair("cross_entropy", target, **options), x)
        check(*pair("cross_entropy", np.abs(target) % classes, ignore_index=0, **options), x)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4,), (5, 4), (3, 4, 2), (2, 3, 2, 2)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_class_probabilities(shape, reduction, smoothing):
    """The gradient with respect to the probabilities, too."""
    classes = shape[min(len(shape) - 1, 1)]
    options = {"reduction": reduction, "label_smoothing": smoothing}
    check(*pair("cross_entropy", **options), normal(*shape), uniform(*shape))
    options["weight"] = uniform(classes)
    check(*pair("cross_entropy", **options), normal(*shape), uniform(*shape))


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, np.array([1.0, 2.0, 0.5])])
def test_all_targets_ignored(name, reduction, weight):
    target = np.array([-100, -100])
    x = normal(2, 3)
    check(*pair(name, target, reduction=reduction, weight=weight), x, numeric=False)
    check(*pair(name, np.array([-7, 2]), reduction=reduction, ignore_index=-7), x)


def test_ignored_rows_do_not_spread_their_nan():
    x = np.array([[np.nan, 0.0], [1.0, 2.0]])
    for reduction in REDUCTIONS:
        check(*pair("cross_entropy", np.array([-100, 1]), reduction=reduction), x, order=0)


def test_logits_far_from_zero():
    x = np.array([[1e4, -1e4, 0.0], [-800.0, 800.0, 0.0], [0.0, -np.inf, 1.0]])
    for target in ([0, 1, 2], [1, 0, 0]):
        check(*pair("cross_entropy", np.array(target)), x, order=1, numeric=False)


def test_targets_of_bytes_and_float32():
    x = normal(3, 4).astype(np.float32)
    check(*pair("cross_entropy", np.array([0, 3, 1], np.uint8)), normal(3, 4))
    for options in ({}, {"label_smoothing": 0.1}, {"ignore_index": 1}):
        ours, theirs = pair("cross_entropy", np.array([0, 3, 1]), **options)
        close(ours(minigen.from_numpy(x)), theirs(torch.from_numpy(x)), 1e-6, "float32")


def test_strided_logits():
    ours, theirs = pair("cross_entropy", np.array([0, 1, 1]))
    check(lambda x: ours(x.T), lambda x: theirs(x.T), normal(2, 3))


def test_cross_entropy_errors():
    x, t = minigen.zeros(2, 3), minigen.tensor([0, 2])
    cases = [
        (IndexError, lambda f: f(x, minigen.tensor([0, 3])), r"target 3 at position 1 .* \[0, 3\)"),
        (IndexError, lambda f: f(x, minigen.tensor([-1, 0])), "target -1 at position 0"),
        (TypeError, lambda f: f(x, minigen.tensor([0, 1], dtype=minigen.int32)), "int64"),
        (RuntimeError, lambda f: f(x, minigen.tensor([0])), r"needs target of shape \(2,\)"),
        (RuntimeError, lambda f: f(x, t, minigen.ones(2)), r"weight must have shape \(3,\)"),
        (
            TypeError,
            lambda f: f(x, t, minigen.ones(3).double()),
            "weight is .*float64",
        ),
        (RuntimeError, lambda f: f(x, t, minigen.ones(3, requires_grad=True)), "no gradient"),
        (ValueError, lambda f: f(x, t, reduction="average"), "'none', 'mean' or 'sum'"),
        (TypeError, lambda f: f(x.long(), t), "floating-point"),
    ]
    for (kind, call, message), name in itertools.product(cases, ("cross_entropy", "nll_loss")):
        with pytest.raises(kind, match=message):
            call(getattr(L, name))
    with pytest.raises(RuntimeError, match="label_smoothing"):
        L.cross_entropy(x, t, label_smoothing=1.5)
    with pytest.raises(RuntimeError, match="ignore"):
        L.cross_entropy(x, x, ignore_index=1)
    with pytest.raises(TypeError, match="probabilities"):
        L.cross_entropy(x, x.long())
    with pytest.raises(TypeError, match="probabilities"):
        L.cross_entropy(minigen.tensor(1.0), minigen.tensor(0))


def test_cross_entropy_runs_on_the_kernels_in_use():
    """A swapped-in kernel changes what the loss and its gradient run."""

    def forward(logits, target):
        return logits[:, 0] * 0 + 5, logits[:, 0] * 0 + 11

    def backward(grad, logits, target, logsumexp):
        assert (logsumexp == 11).all()
        return logits * 0 + grad[:, None] * 3

    x = minigen.from_numpy(normal(4, 3)).requires_grad_()
    with minigen.kernels.use(cross_entropy=forward, cross_entropy_backward=backward):
        loss = L.cross_entropy(x, minigen.tensor([0, 1, 2, 0]))
        loss.backward()
    assert loss.item() == 5
    np.testing.assert_allclose(x.grad.numpy(), 3 / 4)


# ------------------------------------------------------------------------ binary cross-entropy

SHAPES = [(), (1,), (3, 4), (0, 3)]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_binary_cross_entropy(shape, reduction):
    """With the gradient with respect to the target, too."""
    x, y = uniform(*shape), uniform(*shape)
    check(*pair("binary_cross_entropy", reduction=reduction), x, y, numeric=x.size > 0)
    if shape:
        options = {"weight": uniform(shape[-1]), "reduction": reduction}
        check(*pair("binary_cross_entropy", **options), x, y, numeric=x.size > 0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_binary_cross_entropy_with_logits(shape, reduction):
    x, y, name = normal(*shape, scale=3), uniform(*shape), "binary_cross_entropy_with_logits"
    check(*pair(name, reduction=reduction), x, y, numeric=x.size > 0)
    if shape:
        for extra in ({"weight"}, {"pos_weight"}, {"weight", "pos_weight"}):
            options = {key: uniform(shape[-1]) * 3 for key in extra}
            check(*pair(name, reduction=reduction, **options), x, y, numeric=x.size > 0)


def test_certain_probabilities():
    """Logarithms stop at -100, the slope at 1e12."""
    x, y = np.array([0.0, 1.0, 0.0, 1.0, 1e-30, 1.0]), np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.5])
    check(*pair("binary_cross_entropy", y, reduction="none"), x, order=0)
    a, b = minigen.from_numpy(x).requires_grad_(), torch.from_numpy(x).requires_grad_()
    ours, theirs = pair("binary_cross_entropy", y)
    ours(a).backward()
    theirs(b).backward()
    close(a.grad, b.grad, 1e-8, "gradient")  # torch's 1e-12 is a float32


def test_logits_without_overflow():
    x = np.array([-1e5, -800.0, -40.0, 0.0, 40.0, 800.0, 1e5])
    for y in (0.0, 0.3, 1.0):
        target = np.full_like(x, y)
        check(*pair("binary_cross_entropy_with_logits", target), x, order=1, numeric=False)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_binary_float32(name):
    """Also the small losses are accurate, to which log(1 + exp(-|x|)) in float32 would be 0."""
    x = np.linspace(-30, 30, 601).astype(np.float32)
    y = (x > 0).astype(np.float32)
    if name == "binary_cross_entropy":
        x = (1 / (1 + np.exp(-x / 3))).astype(np.float32)
    ours = pair(name, y, reduction="none")[0]
    a = minigen.from_numpy(x).requires_grad_()
    loss = ours(a)
    loss.sum().backward()
    x = x.astype(np.float64)
    if name == "binary_cross_entropy":
        exact, slope = -np.log(np.where(y > 0, x, 1 - x)), (x - y) / (x * (1 - x))
    else:
        exact, slope = np.log1p(np.exp(np.where(y > 0, -x, x))), 1 / (1 + np.exp(-x)) - y
    assert loss.dtype == a.grad.dtype == minigen.float32
    np.testing.assert_allclose(loss.detach().numpy(), exact, rtol=2e-6)
    np.testing.assert_allclose(a.grad.numpy(), slope, rtol=1e-6, atol=1e-7)


def test_binary_errors():
    half, one = minigen.tensor([0.5, 0.5]), minigen.tensor([1.0, 0.0])
    for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        function = getattr(L, name)
        with pytest.raises(ValueError, match=r"target of shape \(1,\) must have the shape"):
            function(half, minigen.tensor([1.0]))
        with pytest.raises(TypeError, match="int64"):
            function(half, minigen.tensor([1, 0]))
        with pytest.raises(ValueError, match="'none', 'mean' or 'sum'"):
            function(half, one, reduction="batchmean")
    with pytest.raises(RuntimeError, match=r"input must be between 0 and 1, got 0\.5 to 1\.5"):
        L.binary_cross_entropy(minigen.tensor([0.5, 1.5]), one)
    with pytest.raises(RuntimeError, match="input must be between 0 and 1"):
        L.binary_cross_entropy(minigen.tensor([0.5, float("nan")]), one)
    with pytest.raises(RuntimeError, match="target must be between 0 and 1"):
        L.binary_cross_entropy(half, one * 2)
    with pytest.raises(RuntimeError):
        L.binary_cross_entropy(half, one, weight=minigen.ones(3))


# --------------------------------------------------------------------- differences to a target

REGRESSION = [
    ("mse_loss", {}),
    ("l1_loss", {}),
    ("smooth_l1_loss", {}),
    ("smooth_l1_loss", {"beta": 0.3}),
    ("smooth_l1_loss", {"beta": 0}),
    ("huber_loss", {}),
    ("huber_loss", {"delta": 0.4}),
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "options"), REGRESSION)
def test_regression(name, options, shape, reduction):
    x, y = normal(*shape, scale=2), normal(*shape)
    check(*pair(name, reduction=reduction, **options), x, y, numeric=x.size > 0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_regression_with_weights(name, reduction):
    weight = uniform(3, 4)
    check(*pair(name, reduction=reduction, weight=weight), normal(3, 4), normal(3, 4))
    check(
        lambda x, y, w: getattr(L, name)(x, y, reduction=reduction, weight=w),
        lambda x, y, w: getattr(F, name)(x, y, reduction=reduction, weight=w),
        normal(3, 4),
        normal(3, 4),
        weight,
    )
    with pytest.raises(ValueError, match="weight must have the shape"):
        getattr(L, name)(minigen.zeros(2, 3), minigen.zeros(2, 3), weight=minigen.ones(3))


@pytest.mark.parametrize(("name", "options"), REGRESSION)
def test_regression_broadcasts_with_a_warning(name, options):
    ours, theirs = pair(name, **options)

    def warned(x, y):
        with pytest.warns(UserWarning, match="broadcast"):
            return ours(x, y)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using a target size")
        check(warned, theirs, normal(3, 4), normal(4))
        with pytest.raises(RuntimeError):
            warned(minigen.zeros(2, 3), minigen.zeros(2))


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss"])
def test_regression_dtypes(name):
    arrays = [normal(3).astype(d) for d in (np.float32, np.float64, np.int64)]
    for x, y in itertools.product(arrays, arrays):
        if x.dtype == y.dtype == np.int64:
            with pytest.raises(TypeError, match="float"):
                pair(name)[0](minigen.from_numpy(x), minigen.from_numpy(y))
            continue
        ours = pair(name)[0](minigen.from_numpy(x), minigen.from_numpy(y))
        theirs = pair(name)[1](torch.from_numpy(x), torch.from_numpy(y))
        close(ours, theirs, 1e-6, f"{x.dtype}, {y.dtype}")


def test_regression_errors():
    x = minigen.zeros(2)
    with pytest.raises(RuntimeError, match="delta must be positive"):
        L.huber_loss(x, x, delta=0)
    with pytest.raises(RuntimeError, match="beta must not be negative"):
        L.smooth_l1_loss(x, x, beta=-1)
    with pytest.raises(ValueError, match="reduction"):
        L.mse_loss(x, x, reduction="batchmean")


def test_arguments_of_old_scripts():
    """size_average=False was how to write reduction="sum", in many a VAE."""
    x, y = uniform(3, 4), uniform(3, 4)
    names = ("mse_loss", "l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
    old = ({"size_average": False}, {"reduce": False}, {"size_average": True}, {"reduce": True})
    for name, options in itertools.product(names, old):
        ours, theirs = pair(name, **options)
        with pytest.warns(UserWarning, match="size_average"):
            value = ours(minigen.from_numpy(x), minigen.from_numpy(y))
        with pytest.warns(UserWarning, match="size_average"):
            expected = theirs(torch.from_numpy(x), torch.from_numpy(y))
        close(value, expected, 1e-12, name)


# -------------------------------------------------------------------------- of distributions


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("shape", [(), (3, 4), (2, 3, 2)])
@pytest.mark.filterwarnings("ignore:.*reduction.*mean.*")
def test_kl_div(shape, reduction, log_target):
    target = np.log(uniform(*shape)) if log_target else uniform(*shape)
    options = {"reduction": reduction, "log_target": log_target}
    check(*pair("kl_div", **options), normal(*shape), np.asarray(target))
    if len(shape) == 2:
        check(*pair("kl_div", **options), normal(*shape), np.asarray(target)[0])


def test_kl_div_of_impossible_events_and_its_warning():
    x, p = normal(2, 3), np.array([[0.0, 0.5, 0.5], [1.0, 0.0, -1.0]])
    check(*pair("kl_div", p, reduction="none"), x, order=1, numeric=False)
    with pytest.warns(UserWarning, match="batchmean"):
        L.kl_div(minigen.zeros(2, 3), minigen.ones(2, 3))


VARIANCES = [((3, 4), (3, 4)), ((3, 4), (3, 1)), ((3, 4), (3,)), ((3, 4), (1, 4)), ((4,), (4,))]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("shape", "var"), VARIANCES)
@pytest.mark.parametrize("full", [False, True])
def test_gaussian_nll(shape, var, full, reduction):
    options = {"full": full, "reduction": reduction}
    check(*pair("gaussian_nll_loss", **options), normal(*shape), normal(*shape), uniform(*var))


def test_gaussian_nll_edges():
    x, y = normal(3, 4), normal(3, 4)
    check(*pair("gaussian_nll_loss", 2.0), x, y)
    # below eps the value is that of eps, and the gradient passes by the bound
    small = np.array([[1e-9], [0.0], [1.0]])
    check(*pair("gaussian_nll_loss", eps=1e-2), x, y, small, numeric=False)
    zeros = minigen.zeros(2, 3)
    for var in (zeros - 1, -1.0):
        with pytest.raises(ValueError, match="negative"):
            L.gaussian_nll_loss(zeros, zeros, var)
    for shape in ((3,), (1, 1), (2, 2), (2, 3, 1)):
        with pytest.raises(ValueError, match="does not fit"):
            L.gaussian_nll_loss(zeros, zeros, minigen.ones(*shape))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", [{}, {"full": True}, {"log_input": False}])
def test_poisson_nll(options, reduction):
    target = np.array([0.0, 1.0, 2.0, 5.0])
    check(*pair("poisson_nll_loss", target, reduction=reduction, **options), uniform(4))


# -------------------------------------------------------------------------------- of distances


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_hinge_embedding(reduction):
    target = np.array([1, -1, 1, -1, 0])
    check(*pair("hinge_embedding_loss", target, reduction=reduction), normal(5))
    check(*pair("hinge_embedding_loss", target, 2.0, reduction=reduction), normal(5))
    with pytest.raises(TypeError, match="float"):
        L.hinge_embedding_loss(minigen.tensor([1]), minigen.tensor([1]))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margin_ranking(reduction):
    target = np.array([1, -1, 1, -1])
    check(*pair("margin_ranking_loss", target, 0.5, reduction=reduction), normal(4), normal(4))
    with pytest.raises(RuntimeError, match="as many dimensions"):
        L.margin_ranking_loss(minigen.zeros(2, 3), minigen.zeros(2, 3), minigen.zeros(2))


@pytest.mark.parametrize(
    ("one", "two", "dim"),
    [((3, 4), (3, 4), 1), ((3, 4), (4,), -1), ((4,), (4,), 0), ((2, 3), (1, 3), 0)],
)
def test_cosine_similarity(one, two, dim):
    check(*pair("cosine_similarity", dim=dim), normal(*one), normal(*two))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("keepdim", [False, True])
def test_pairwise_distance(p, keepdim):
    check(*pair("pairwise_distance", p=p, keepdim=keepdim), normal(3, 4), normal(3, 4))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cosine_embedding(reduction):
    target = np.array([1, -1, -1])
    options = {"margin": 0.1, "reduction": reduction}
    check(*pair("cosine_embedding_loss", target, **options), normal(3, 4), normal(3, 4))
    check(*pair("cosine_embedding_loss", np.array(-1), **options), normal(4), normal(4))
    with pytest.raises(RuntimeError, match="needs inputs"):
        L.cosine_embedding_loss(minigen.zeros(2, 3), minigen.zeros(2, 3), minigen.zeros(2, 3))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", [{}, {"swap": True, "margin": 2.0}, {"p": 1}])
def test_triplet_margin(options, reduction):
    x = [normal(5, 4) for _ in range(3)]
    check(*pair("triplet_margin_loss", reduction=reduction, **options), *x)
    with pytest.raises(ValueError, match="margin must be positive"):
        L.triplet_margin_loss(*[minigen.zeros(2, 3)] * 3, margin=-1)
