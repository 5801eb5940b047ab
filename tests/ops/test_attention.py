"""scaled_dot_product_attention against torch's formula, and through whatever kernel is in use."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minigen
from minigen import backend
from minigen.autograd import grad
from minigen.ops.attention import scaled_dot_product_attention as attend
from tests import oracle
from tests.oracle import close


def check(function, reference, *inputs, order=2, numeric=True):
    """The oracle's, for the gradient rules and again for the formula (order 2 goes through it)."""
    oracle.check(function, reference, *inputs, order=min(order, 1), numeric=numeric)
    if order == 2:
        oracle.check(function, reference, *inputs, numeric=False)


rng = np.random.default_rng(8)


def normal(*shape):
    return np.asarray(rng.standard_normal(shape))


def reference(*inputs, **options):
    """torch's attention by its formula, which it can differentiate twice."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return F.scaled_dot_product_attention(*inputs, **options)


def pair(*fixed, **options):
    """Attention of differentiated q, k, v with these further arguments, here and in torch."""

    def run(module, function):
        rest = [module.from_numpy(t) if isinstance(t, np.ndarray) else t for t in fixed]
        return lambda *x: function(*x, *rest, **options)

    return run(minigen, attend), run(torch, reference)


# query, key, value
SHAPES = [
    ((3, 4), (5, 4), (5, 2)),
    ((1, 1), (1, 1), (1, 1)),
    ((2, 3, 4), (2, 5, 4), (2, 5, 3)),
    ((2, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4)),
    ((2, 3, 4, 2), (1, 3, 5, 2), (3, 5, 2)),
    ((2, 1, 3, 4), (1, 2, 5, 4), (5, 3)),
]
EMPTY = [
    ((0, 3, 4), (0, 5, 4), (0, 5, 2)),
    ((2, 0, 4), (2, 5, 4), (2, 5, 2)),
    ((2, 3, 4), (2, 0, 4), (2, 0, 2)),
]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention(shapes, is_causal, scale):
    inputs = [normal(*shape) for shape in shapes]
    check(*pair(is_causal=is_causal, scale=scale), *inputs)


@pytest.mark.parametrize("shapes", EMPTY)
def test_nothing_to_attend_with_or_to(shapes):
    inputs = [normal(*shape) for shape in shapes]
    check(*pair(), *inputs, numeric=False)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_masks(shapes, kind):
    (*lead, queries, _), keys = shapes[0], shapes[1][-2]
    for shape in ((queries, keys), (1, keys), (queries, 1), (*lead, queries, keys)):
        mask = rng.random(shape) < 0.6 if kind == "bool" else normal(*shape)
        check(*pair(mask), *[normal(*s) for s in shapes])


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_query_that_may_look_nowhere_gets_zeros(kind):
    allowed = np.array([[True, False, True], [False, False, False]])
    mask = allowed if kind == "bool" else np.where(allowed, 0.5, -np.inf)
    inputs = [normal(1, 2, 4), normal(1, 3, 4), normal(1, 3, 4)]
    x = [minigen.from_numpy(i).requires_grad_() for i in inputs]
    m = minigen.from_numpy(mask)
    y = attend(*x, m)
    c = minigen.from_numpy(normal(1, 2, 4))
    gradients = grad((y * c).sum(), x, create_graph=True)
    close(y, pair(mask)[1](*map(torch.from_numpy, inputs)), 1e-9, "value")
    assert (y.detach().numpy()[0, 1] == 0).all()
    for gradient, again in zip(gradients, grad((attend(*x, m) * c).sum(), x)):
        close(gradient, again.numpy(), 1e-12, "formula and kernel")
        assert np.isfinite(gradient.detach().numpy()).all()
    assert (gradients[0].detach().numpy()[0, 1] == 0).all()


@pytest.mark.parametrize("shape", [(3, 5), (1, 5), (2, 3, 5)])
def test_gradient_of_a_mask(shape):
    inputs = [normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 2)]
    check(attend, reference, *inputs, normal(*shape))


@pytest.mark.parametrize(
    ("heads", "of_key", "of_value"), [(4, 2, 2), (4, 1, 1), (6, 3, 2), (2, 2, 2)]
)
def test_grouped_queries(heads, of_key, of_value):
    inputs = [normal(2, heads, 3, 4), normal(2, of_key, 5, 4), normal(2, of_value, 5, 3)]
    check(*pair(enable_gqa=True), *inputs)
    check(*pair(rng.random((heads, 3, 5)) < 0.7, enable_gqa=True), *inputs)
    check(*pair(normal(2, 1, 3, 5), enable_gqa=True), *inputs)
    check(*pair(is_causal=True, enable_gqa=True), *inputs)
    mask = [normal(2, heads, 3, 5)]
    gqa = (functools.partial(f, enable_gqa=True) for f in (attend, reference))
    check(*gqa, *inputs, *mask)


def test_grouped_queries_reach_the_kernel_without_a_copy():
    k = minigen.from_numpy(normal(2, 2, 5, 4)).requires_grad_()
    seen = []

    def mine(q, k, v, *_, **__):
        seen.extend((q.shape, k.shape, v.shape, k))
        return np.zeros((2, 2, 3, 7, 4)), np.zeros((2, 2, 3, 7))

    with minigen.kernels.use(attention=mine):
        y = attend(minigen.ones(2, 6, 7, 4).double(), k, k, enable_gqa=True)
    assert y.shape == (2, 6, 7, 4)
    assert seen[:3] == [(2, 2, 3, 7, 4), (2, 2, 1, 5, 4), (2, 2, 1, 5, 4)]
    assert np.shares_memory(seen[3], k.detach().numpy())


def test_float32():
    x = [normal(2, 3, 17, 8).astype(np.float32) for _ in range(4)]
    ours = [minigen.from_numpy(i).requires_grad_() for i in x[:3]]
    theirs = [torch.from_numpy(i).requires_grad_() for i in x[:3]]
    y, z = attend(*ours, is_causal=True), reference(*theirs, is_causal=True)
    close(y, z, 1e-6, "value")
    y.backward(minigen.from_numpy(x[3]))
    z.backward(torch.from_numpy(x[3]))
    for a, b in zip(ours, theirs):
        close(a.grad, b.grad, 3e-6, "gradient")


def test_strided_heads():
    """(N, L, H, E) transposed to (N, H, L, E), as every model has it."""

    def heads(x):
        return x.reshape(2, 5, 3, 4).transpose(1, 2)

    check(
        lambda q, k, v: attend(heads(q), heads(k), heads(v), is_causal=True),
        lambda q, k, v: reference(heads(q), heads(k), heads(v), is_causal=True),
        *[normal(2, 5, 12) for _ in range(3)],
    )


# --------------------------------------------------------------------------------- dropout


def test_dropout_keeps_the_expectation_and_its_gradient():
    minigen.manual_seed(3)
    q, k, v = (minigen.from_numpy(normal(1, 3, 4)) for _ in range(3))
    tiled = [x.expand(20000, 3, 4) for x in (q, k, v)]
    mean = attend(*tiled, dropout_p=0.4).mean(0, keepdim=True)
    np.testing.assert_allclose(mean.numpy(), attend(q, k, v).numpy(), atol=0.05)


def test_dropout_gradient():
    """Against differences of the function with the same weights dropped."""
    q, k, v, c = (normal(2, 3, 4) for _ in range(4))

    def loss(*inputs):
        minigen.manual_seed(4)
        return (attend(*inputs, dropout_p=0.5, is_causal=True) * minigen.from_numpy(c)).sum()

    leaves = [minigen.from_numpy(x).requires_grad_() for x in (q, k, v)]
    gradients = grad(loss(*leaves), leaves)
    h = 1e-6
    for i, gradient in enumerate(gradients):
        direction = normal(2, 3, 4)
        ends = []
        for step in (h, -h):
            inputs = [minigen.from_numpy(x) for x in (q, k, v)]
            inputs[i] = inputs[i] + minigen.from_numpy(direction) * step
            ends.append(loss(*inputs).item())
        slope = (gradient.numpy() * direction).sum()
        assert abs((ends[0] - ends[1]) / (2 * h) - slope) < 1e-6 * max(1, abs(slope))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("enable_gqa", [False, True])
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_dropout_to_the_second_order(is_causal, enable_gqa, p):
    """Against torch with the weights multiplied by the factors that the kernels' stream gives."""
    shared = 2 if enable_gqa else 4
    inputs = [normal(2, 4, 6, 3), normal(2, shared, 9, 3), normal(2, shared, 9, 2)]
    minigen.manual_seed(21)
    seed = int(backend.stream(None).bit_generator.random_raw())
    factors = minigen.kernels.attention.dropout.factors((2, 4, 6, 9), p, seed)

    def ours(*x):
        minigen.manual_seed(21)
        return attend(*x, dropout_p=p, is_causal=is_causal, enable_gqa=enable_gqa)

    def theirs(q, k, v):
        k, v = (x.repeat_interleave(4 // shared, 1) for x in (k, v))
        scores = q @ k.mT / 3**0.5
        if is_causal:
            scores = scores.masked_fill(~torch.ones(6, 9, dtype=bool).tril(), -torch.inf)
        return (scores.softmax(-1) * torch.from_numpy(factors)) @ v

    check(ours, theirs, *inputs)


def test_dropout_of_a_mask_with_a_gradient():
    """The formula drops what the kernels drop."""
    inputs = [minigen.from_numpy(normal(2, 6, 3)).requires_grad_() for _ in range(3)]
    mask = minigen.from_numpy(normal(6, 6))
    results = []
    for needed in (False, True):
        minigen.manual_seed(8)
        y = attend(*inputs, mask.clone().requires_grad_(needed), dropout_p=0.5)
        results.append((y.detach().numpy(), *(g.numpy() for g in grad((y * y).sum(), inputs))))
    for x, y in zip(*results):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)


def test_a_seed_repeats_dropout_and_calls_differ():
    q = minigen.from_numpy(normal(2, 20, 3))
    minigen.manual_seed(1)
    first, second = (attend(q, q, q, dropout_p=0.5).numpy() for _ in range(2))
    minigen.manual_seed(1)
    np.testing.assert_array_equal(attend(q, q, q, dropout_p=0.5).numpy(), first)
    assert not np.array_equal(first, second)


def test_all_weights_dropped():
    q = minigen.ones(1, 3, 4)
    assert (attend(q, q, q, dropout_p=1.0).numpy() == 0).all()
    with pytest.raises(ValueError, match="probability"):
        attend(q, q, q, dropout_p=2.0)


# ---------------------------------------------------------------------------------- errors


def test_errors():
    x, y = minigen.ones(1, 3, 4), minigen.ones(1, 5, 4)
    cases = [
        (RuntimeError, "not both", lambda: attend(x, x, x, minigen.ones(3, 3), is_causal=True)),
        (RuntimeError, "2 dimensions", lambda: attend(*[minigen.ones(4)] * 3)),
        (RuntimeError, "last dimension", lambda: attend(x, minigen.ones(1, 5, 3), y)),
        (RuntimeError, "as many positions", lambda: attend(x, y, x)),
        (RuntimeError, "broadcast", lambda: attend(x.expand(2, 3, 4), *[y.expand(3, 5, 4)] * 2)),
        (TypeError, "one floating-point dtype", lambda: attend(x, y.double(), y)),
        (TypeError, "one floating-point dtype", lambda: attend(x.long(), y.long(), y.long())),
        (TypeError, "bool, or", lambda: attend(x, y, y, minigen.ones(3, 5).double())),
        (TypeError, "bool, or", lambda: attend(x, y, y, minigen.ones(3, 5).long())),
        (RuntimeError, r"\(4, 5\) does not", lambda: attend(x, y, y, minigen.ones(4, 5))),
        (RuntimeError, r"\(2, 3, 5\) does not", lambda: attend(x, y, y, minigen.ones(2, 3, 5))),
        (
            RuntimeError,
            "must divide",
            lambda: attend(minigen.ones(4, 3, 4), *[minigen.ones(3, 3, 4)] * 2, enable_gqa=True),
        ),
        (
            RuntimeError,
            "neither for each of the 4 heads",
            lambda: attend(
                *[minigen.ones(4, 3, 4), *[minigen.ones(2, 3, 4)] * 2, minigen.ones(2, 3, 3)],
                enable_gqa=True,
            ),
        ),
        (RuntimeError, "needs heads", lambda: attend(*[minigen.ones(2, 4)] * 3, enable_gqa=True)),
    ]
    for kind, message, call in cases:
        with pytest.raises(kind, match=message):
            call()


# --------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("rung", [r.name for r in minigen.kernels.rungs("attention")])
def test_every_rung_under_the_operation(rung):
    inputs = [normal(2, 2, 7, 4), normal(2, 2, 9, 4), normal(2, 2, 9, 3)]
    mask = rng.random((2, 1, 7, 9)) < 0.7
    backward = {r.name for r in minigen.kernels.rungs("attention_backward")}
    chosen = {"attention": rung} | ({"attention_backward": rung} if rung in backward else {})
    with minigen.kernels.use(**chosen):
        check(*pair(mask), *inputs, order=1)
        check(*pair(is_causal=True), *inputs, order=1)


def test_attention_runs_on_the_kernels_in_use():
    """A kernel that a user swaps in changes what the operation and its gradient run."""
    seen = []

    def mine(q, k, v, mask=None, is_causal=False, scale=None):
        seen.append((mask is None, is_causal, scale))
        return q * 2, q[..., 0] + 1

    def backward(grad, q, k, v, out, logsumexp, mask=None, is_causal=False, scale=None):
        np.testing.assert_array_equal(logsumexp, q[..., 0] + 1)
        np.testing.assert_array_equal(out, q * 2)
        return grad * 3, grad * 4, grad * 5

    leaves = [minigen.from_numpy(normal(2, 3, 4)).requires_grad_() for _ in range(3)]
    with minigen.kernels.use(attention=mine, attention_backward=backward):
        y = attend(*leaves, is_causal=True, scale=0.25)
        y.backward(minigen.ones(2, 3, 4, dtype=minigen.float64))
    assert seen == [(True, True, 0.25)]
    close(y, leaves[0].detach().numpy() * 2, 0, "value")
    for leaf, slope in zip(leaves, (3, 4, 5)):
        np.testing.assert_array_equal(leaf.grad.numpy(), np.full((2, 3, 4), float(slope)))
