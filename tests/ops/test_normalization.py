"""Normalisations against torch: values, gradients of both orders, running statistics, errors."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minigen
from minigen.ops import normalization as N
from tests import oracle
from tests.oracle import close


def check(function, reference, *inputs, order=2, numeric=True):
    """The oracle's, for the gradient rules and again for the formula (order 2 goes through it)."""
    oracle.check(function, reference, *inputs, order=min(order, 1), numeric=numeric)
    if order == 2:
        oracle.check(function, reference, *inputs, numeric=False)


rng = np.random.default_rng(6)


def normal(*shape, scale=1.0, shift=0.0):
    return np.asarray(rng.standard_normal(shape) * scale + shift)


def pair(name, *options, **named):
    """The operation with these options after its tensors, here and in torch."""
    return (
        lambda *x: getattr(N, name)(*x, *options, **named),
        lambda *x: getattr(F, name)(*x, *options, **named),
    )


# ---------------------------------------------------------------------- layer_norm, rms_norm


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (2, 1, 3, 4), (5, 1), (0, 4), (2, 0)])
@pytest.mark.parametrize("affine", ["", "w", "b", "wb"])
@pytest.mark.parametrize("last", [1, 2])
def test_layer_norm(shape, affine, last):
    if last > len(shape):
        return
    dims = shape[-last:]

    def run(function):
        def call(x, *parameters):
            named = dict(zip([{"w": "weight", "b": "bias"}[a] for a in affine], parameters))
            return function(x, dims, eps=1e-3, **named)

        return call

    parameters = [normal(*dims) for _ in affine]
    order = 1 if affine == "b" else 2  # torch 2.13 fails at the second without a weight
    x = normal(*shape, shift=2.0)
    check(run(N.layer_norm), run(F.layer_norm), x, *parameters, order=order)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (5, 1), (0, 4)])
@pytest.mark.parametrize("eps", [None, 1e-3])
def test_rms_norm(shape, eps):
    check(*pair("rms_norm", shape[-1:], eps=eps), normal(*shape))
    check(
        lambda x, w: N.rms_norm(x, shape[-1:], w, eps),
        lambda x, w: F.rms_norm(x, shape[-1:], w, eps),
        normal(*shape),
        normal(*shape[-1:]),
    )
    check(*pair("rms_norm", shape), normal(*shape))


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_strided_input_and_cotangent(name):
    check(
        lambda x: getattr(N, name)(x.T, [3]).T.sum(1, keepdim=True),
        lambda x: getattr(F, name)(x.T, [3]).T.sum(1, keepdim=True),
        normal(3, 5),
    )


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_float32(name):
    x = (normal(7, 65) * 3 + 5).astype(np.float32)
    weight = normal(65).astype(np.float32)
    a, b = minigen.from_numpy(x).requires_grad_(), torch.from_numpy(x.copy()).requires_grad_()
    y = getattr(N, name)(a, [65], minigen.from_numpy(weight))
    z = getattr(F, name)(b, [65], torch.from_numpy(weight))
    close(y, z, 1e-6, "value")
    c = normal(7, 65).astype(np.float32)
    y.backward(minigen.from_numpy(c))
    z.backward(torch.from_numpy(c))
    close(a.grad, b.grad, 2e-6, "gradient")


def test_layer_norm_without_bias_trains_its_weight_alone():
    """Only what needs a gradient gets one."""
    x, w = minigen.from_numpy(normal(3, 4)), minigen.from_numpy(normal(4)).requires_grad_()
    N.layer_norm(x, [4], w).sum().backward()
    assert x.grad is None
    assert w.grad.shape == (4,)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_layer_norm_errors(name):
    function = getattr(N, name)
    x = minigen.zeros(2, 3)
    with pytest.raises(RuntimeError, match=r"\(2,\) has to be the end .* \(2, 3\)"):
        function(x, [2])
    with pytest.raises(TypeError, match="tuple"):
        function(x, 3)
    with pytest.raises(RuntimeError, match="at least one"):
        function(x, [])
    with pytest.raises(RuntimeError, match=r"weight must have shape \(3,\)"):
        function(x, [3], minigen.ones(2))
    with pytest.raises(TypeError, match="float64"):
        function(x, [3], minigen.ones(3, dtype=minigen.float64))
    with pytest.raises(TypeError, match="floating-point"):
        function(minigen.tensor([[1, 2]]), [2])


# ------------------------------------------------------------------------------- batch_norm

SHAPES = [(5, 3), (2, 1), (4, 3, 2), (1, 3, 2), (2, 3, 4, 5), (2, 2, 3, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_training(shape, affine):
    c = shape[1]
    parameters = [normal(c), normal(c)] if affine else []

    def run(function):
        return lambda x, *p: function(x, None, None, *p, training=True, eps=1e-3)

    check(run(N.batch_norm), run(F.batch_norm), normal(*shape, shift=2.0), *parameters)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 3), (0, 3)])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_evaluation(shape, affine):
    c = shape[1]
    mean, var = normal(c), normal(c) ** 2
    parameters = [normal(c), normal(c)] if affine else []

    def run(function, module):
        m, v = module.from_numpy(mean), module.from_numpy(var)
        return lambda x, *p: function(x, m, v, *p)

    x = normal(*shape)
    check(run(N.batch_norm, minigen), run(F.batch_norm, torch), x, *parameters)


def test_batch_norm_with_a_bias_alone():
    def run(function):
        return lambda x, b: function(x, None, None, None, b, True)

    check(run(N.batch_norm), run(F.batch_norm), normal(4, 3), normal(3), order=1)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("momentum", [0.1, 0.5, 1.0])
def test_running_statistics(shape, momentum):
    x = normal(*shape, shift=1.0)
    results = []
    for module, function in ((minigen, N.batch_norm), (torch, F.batch_norm)):
        mean = module.zeros(3, dtype=module.float64)
        var = module.ones(3, dtype=module.float64)
        for step in range(3):
            function(module.from_numpy(x + step), mean, var, training=True, momentum=momentum)
        results.append((mean, var))
    (mean, var), (torch_mean, torch_var) = results
    close(mean, torch_mean, 1e-12, "running mean")
    close(var, torch_var, 1e-12, "running variance (unbiased)")


def test_two_passes_before_one_backward():
    """As for a GAN's generator: the running statistics move between forward and backward."""
    w = minigen.ones(3, requires_grad=True)
    mean, var = minigen.zeros(3), minigen.ones(3)
    x = minigen.from_numpy(normal(4, 3).astype(np.float32)).requires_grad_()
    first = N.batch_norm(x, mean, var, w, training=True)
    frozen = N.batch_norm(x, mean, var, w)
    second = N.batch_norm(x * 2, mean, var, w, training=True)
    (first * second + frozen).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_running_statistics_are_guarded_like_any_tensor():
    """Whoever saved a buffer for a gradient hears that training changed it."""
    mean, var = minigen.ones(3), minigen.ones(3)
    w = minigen.ones(3, requires_grad=True)
    y = w * mean
    N.batch_norm(minigen.from_numpy(normal(4, 3).astype(np.float32)), mean, var, training=True)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


@pytest.mark.parametrize("shape", [(64, 33), (8, 5, 7, 7)])
def test_batch_norm_float32(shape):
    x = (normal(*shape) * 3 + 5).astype(np.float32)
    c = normal(*shape).astype(np.float32)
    a, b = minigen.from_numpy(x).requires_grad_(), torch.from_numpy(x.copy()).requires_grad_()
    y = N.batch_norm(a, None, None, training=True)
    z = F.batch_norm(b, None, None, training=True)
    close(y, z, 2e-6, "value")
    y.backward(minigen.from_numpy(c))
    z.backward(torch.from_numpy(c))
    close(a.grad, b.grad, 4e-6, "gradient")


def test_batch_norm_errors():
    x = minigen.zeros(2, 3)
    m, v = minigen.zeros(3), minigen.ones(3)
    cases = [
        (lambda: N.batch_norm(minigen.zeros(1, 3), m, v, training=True), "more than 1 value"),
        (lambda: N.batch_norm(minigen.zeros(1, 3, 1), m, v, training=True), "more than 1 value"),
        (lambda: N.batch_norm(x, None, None), "when not training"),
        (lambda: N.batch_norm(x, m, None, training=True), "both"),
        (lambda: N.batch_norm(x, minigen.zeros(2), v), r"running_mean must have shape \(3,\)"),
        (lambda: N.batch_norm(x, m, v, minigen.ones(2)), r"weight must have shape \(3,\)"),
        (lambda: N.batch_norm(minigen.zeros(3), m, v), r"\(N, C, \*\)"),
    ]
    for call, message in cases:
        with pytest.raises(RuntimeError, match=message):
            call()
    with pytest.raises(TypeError, match="float64"):
        N.batch_norm(x, m, v, minigen.ones(3, dtype=minigen.float64))
    with pytest.raises(TypeError, match="floating-point"):
        N.batch_norm(minigen.ones(2, 3, dtype=minigen.int64), None, None, training=True)


# ------------------------------------------------------- group_norm, instance_norm, normalize


@pytest.mark.parametrize("shape", [(2, 4), (3, 4, 2), (2, 4, 3, 2), (0, 4)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm(shape, groups):
    if shape == (2, 4) and groups == 4:
        return  # one value per group: torch gives zeros, and a gradient of roundings
    check(*pair("group_norm", groups, eps=1e-3), normal(*shape))
    check(
        lambda x, w, b: N.group_norm(x, groups, w, b),
        lambda x, w, b: F.group_norm(x, groups, w, b),
        normal(*shape),
        normal(4),
        normal(4),
    )


def test_group_norm_errors():
    with pytest.raises(RuntimeError, match="num_groups 2 has to divide"):
        N.group_norm(minigen.zeros(2, 3), 2)
    with pytest.raises(RuntimeError, match=r"\(N, C, \*\)"):
        N.group_norm(minigen.zeros(4), 2)
    with pytest.raises(RuntimeError, match="more than 1 value"):
        N.group_norm(minigen.zeros(1, 2), 2)
    with pytest.raises(RuntimeError, match=r"weight must have shape \(4,\)"):
        N.group_norm(minigen.zeros(2, 4), 2, minigen.ones(2))


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3, 2), (2, 3, 4, 2)])
def test_instance_norm(shape):
    check(*pair("instance_norm", eps=1e-3), normal(*shape))
    check(
        lambda x, w, b: N.instance_norm(x, None, None, w, b),
        lambda x, w, b: F.instance_norm(x, None, None, w, b),
        normal(*shape),
        normal(3),
        normal(3),
    )


@pytest.mark.parametrize("use_input_stats", [True, False])
def test_instance_norm_running_statistics(use_input_stats):
    x, mean, var = normal(2, 3, 4), normal(3), normal(3) ** 2
    results = []
    for module, function in ((minigen, N.instance_norm), (torch, F.instance_norm)):
        m, v = (module.from_numpy(a.copy()) for a in (mean, var))
        y = function(module.from_numpy(x), m, v, use_input_stats=use_input_stats, momentum=0.3)
        results.append((y, m, v))
    for ours, theirs in zip(*results):
        close(ours, theirs, 1e-12, "output, running mean, running variance")


def test_instance_norm_errors():
    with pytest.raises(RuntimeError, match="more than 1 value"):
        N.instance_norm(minigen.zeros(2, 4, 1))
    with pytest.raises(RuntimeError, match="use_input_stats"):
        N.instance_norm(minigen.zeros(2, 4, 2), use_input_stats=False)


@pytest.mark.parametrize(("p", "dim"), [(2.0, 1), (2.0, 0), (2.0, -1), (1.0, 1), (3.0, 0)])
def test_normalize(p, dim):
    check(*pair("normalize", p, dim), normal(3, 4))


def test_normalize_of_a_zero_vector():
    x = np.array([[0.0, 0.0], [3.0, 4.0], [1e-9, 0.0]])
    check(*pair("normalize", eps=1e-6), x, order=1, numeric=False)


# --------------------------------------------------------------------------------- kernels


def test_layer_norm_runs_on_the_kernels_in_use():
    """A kernel that a user swaps in changes what the operation, and group_norm over it, run."""
    calls = []

    def forward(x, weight, bias, eps):
        calls.append("forward")
        return x * 3, x[:, 0].copy(), x[:, 0].copy()

    def backward(grad, x, weight, mean, rstd):
        calls.append("backward")
        return grad * 5, x[0] * 0 + 6, x[0] * 0 + 7

    x = minigen.from_numpy(normal(2, 4)).requires_grad_()
    w, b = (minigen.from_numpy(normal(4)).requires_grad_() for _ in range(2))
    with minigen.kernels.use(layer_norm=forward, layer_norm_backward=backward):
        y = N.layer_norm(x, [4], w, b)
        N.group_norm(x, 2)
        y.backward(minigen.ones(2, 4, dtype=minigen.float64))
    assert calls == ["forward", "forward", "backward"]
    close(y, x.detach().numpy() * 3, 0, "value")
    for tensor, slope in ((x, 5.0), (w, 6.0), (b, 7.0)):
        assert (tensor.grad.numpy() == slope).all()
