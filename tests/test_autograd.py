"""The engine: what is recorded, walked, accumulated, freed and refused."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen as mg
from minigen.autograd import backward, differentiable, grad


def leaf(*values: float, dtype: mg.dtype = mg.float64) -> mg.Tensor:
    return mg.tensor(list(values), dtype=dtype, requires_grad=True)


# ------------------------------------------------------------------------- walking back


def test_a_chain_of_ten_thousand_operations() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y * 1.0001
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [1.0001**10_000], rtol=1e-9)
    del y  # freeing the graph must not recurse either


def test_a_ladder_of_diamonds_takes_linear_time() -> None:
    def seconds(rungs: int) -> float:
        x = leaf(1.0)
        y = x
        for _ in range(rungs):
            y = y * 0.5 + y * 0.5
        start = time.perf_counter()
        y.backward()
        np.testing.assert_allclose(x.grad.numpy(), [1.0])
        return time.perf_counter() - start

    seconds(60)  # 2^60 paths: this would never end if each path were walked
    short, long = min(seconds(60) for _ in range(5)), min(seconds(600) for _ in range(5))
    assert long < 40 * short


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_graphs_equal_torch(data: st.DataObject) -> None:
    """Reuse, fan-out and depth at random: sums and products of earlier values."""
    step = st.tuples(st.sampled_from("+*-"), st.integers(0, 30), st.integers(0, 30))
    steps = data.draw(st.lists(step, max_size=25))
    start = np.random.default_rng(0).uniform(0.5, 1.1, (3, 2))

    def build(module):
        leaves = [module.from_numpy(row.copy()).requires_grad_() for row in start]
        values = list(leaves)
        for kind, i, j in steps:
            a, b = values[i % len(values)], values[j % len(values)]
            values.append(a + b if kind == "+" else a - b if kind == "-" else a * b * 0.5)
        (values[-1] * module.from_numpy(np.array([0.3, -1.7]))).sum().backward()
        return [v.grad for v in leaves]

    for ours, theirs in zip(build(mg), build(torch)):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


def test_each_node_is_visited_once() -> None:
    calls = []

    @differentiable
    def counted(input):
        return input + 0.0

    def rule(g):
        calls.append(1)
        return g

    counted.gradients(input=rule)
    x = leaf(1.0)
    y = counted(x)
    z = y
    for _ in range(20):
        z = z + z
    (z + y).backward()
    assert len(calls) == 1
    np.testing.assert_allclose(x.grad.numpy(), [2.0**20 + 1])


def test_only_needed_rules_run() -> None:
    @differentiable
    def product(input, other):
        return input * other

    def forbidden(g, other):
        raise AssertionError("the gradient of data that needs none was computed")

    product.gradients(input=forbidden, other=lambda g, input: g * input)
    data, weight = mg.tensor([2.0]), leaf(3.0)
    product(data, weight).backward()
    assert weight.grad.item() == 2.0


# ---------------------------------------------------------------------------- leaves


def test_leaves_accumulate_and_others_do_not() -> None:
    x = leaf(3.0)
    for _ in range(2):
        y = x * x
        y.backward()
    assert x.grad.item() == 12.0
    assert y.grad is None


def test_gradients_never_share_memory() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    cotangent = mg.tensor([5.0, 6.0], dtype=mg.float64)
    (a + b).backward(cotangent)
    a.grad.mul_(10)
    assert b.grad.tolist() == [5.0, 6.0]
    assert cotangent.tolist() == [5.0, 6.0]
    x = leaf(1.0, 2.0)
    x.backward(cotangent)
    x.grad.mul_(2)
    assert cotangent.tolist() == [5.0, 6.0]


def test_accumulation_is_in_place_as_in_torch() -> None:
    x = leaf(1.0)
    (x * 2).backward()
    held = x.grad
    (x * 3).backward()
    assert held is x.grad
    assert held.item() == 5.0


def test_dtype_and_shape_of_gradients_are_those_of_the_input() -> None:
    x = mg.ones(3, 1, requires_grad=True)  # float32
    w = mg.ones(4, dtype=mg.float64, requires_grad=True)
    (x * w).sum().backward()
    assert x.grad.dtype is mg.float32
    assert tuple(x.grad.shape) == (3, 1)
    assert w.grad.dtype is mg.float64
    assert w.grad.tolist() == [3.0] * 4


def test_backward_on_chosen_inputs() -> None:
    a, b = leaf(2.0), leaf(3.0)
    (a * b).backward(inputs=[a])
    assert a.grad.item() == 3.0
    assert b.grad is None
    y = a * 2
    (y * y).backward(inputs=[y])
    assert y.grad.item() == 8.0


# --------------------------------------------------------------------------- higher orders


def test_derivatives_of_any_order() -> None:
    x = mg.tensor(1.3, dtype=mg.float64, requires_grad=True)
    y = x**6
    expected = [6, 30, 120, 360, 720, 720]
    for order, factor in enumerate(expected, 1):
        (y,) = grad(y, x, create_graph=True)
        np.testing.assert_allclose(y.item(), factor * 1.3 ** (6 - order), rtol=1e-12)


def test_backward_with_create_graph_then_again() -> None:
    x = mg.tensor(2.0, dtype=mg.float64, requires_grad=True)
    (x**3).backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.backward()
    assert x.grad.item() == 12.0


def test_a_formula_stands_in_for_rules_that_are_not_differentiable() -> None:
    @differentiable(saves=("root",))
    def half_power(input, scale):
        root = np.sqrt(input)
        return root * scale, root

    half_power.gradients(input=lambda g, root, scale: g * scale / (2 * root))
    half_power.formula(lambda input, scale: input**0.5 * scale)
    x = leaf(4.0, 9.0)
    y = x * 1.0  # a node between the leaf and the operation, and the leaf used twice
    out = half_power(y, 3.0) * x
    (slope,) = grad(out, x, mg.tensor([1.0, -2.0], dtype=mg.float64), create_graph=True)
    (curve,) = grad(slope, x, mg.tensor([0.5, 0.25], dtype=mg.float64))
    t = torch.tensor([4.0, 9.0], dtype=torch.float64, requires_grad=True)
    (ts,) = torch.autograd.grad(
        t**0.5 * 3 * t, t, torch.tensor([1.0, -2.0], dtype=torch.float64), create_graph=True
    )
    (tc,) = torch.autograd.grad(ts, t, torch.tensor([0.5, 0.25], dtype=torch.float64))
    np.testing.assert_allclose(slope.detach().numpy(), ts.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(curve.numpy(), tc.numpy(), rtol=1e-12)


def test_grad_leaves_dot_grad_alone() -> None:
    x = leaf(2.0)
    (g,) = grad(x * x, x)
    assert g.item() == 4.0
    assert x.grad is None
    assert not g.requires_grad


def test_grad_of_something_in_the_middle_and_its_source() -> None:
    x = leaf(2.0)
    y = x * 3
    z = y * y
    gy, gx = grad(z, [y, x])
    assert (gy.item(), gx.item()) == (12.0, 36.0)


def test_unused_inputs() -> None:
    x, unused = leaf(2.0), leaf(1.0)
    with pytest.raises(RuntimeError, match="allow_unused"):
        grad(x * x, [x, unused])
    assert grad(x * x, [x, unused], allow_unused=True)[1] is None
    assert grad(x * x, [x, unused], materialize_grads=True)[1].tolist() == [0.0]


# ------------------------------------------------------------------------ freeing and memory


def test_a_second_backward_is_refused_and_retain_graph_allows_it() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(RuntimeError, match=r"second time through mul.*retain_graph=True"):
        y.backward()


def test_saved_arrays_are_freed_by_backward() -> None:
    x = leaf(*np.ones(1000))
    y = x * x
    y2 = y * y
    z = y2.sum()
    saved = weakref.ref(y.array)
    del y, y2
    z.backward()
    gc.disable()
    try:
        assert saved() is None, "the array outlives backward although the loss is still alive"
    finally:
        gc.enable()


def test_no_reference_cycle_keeps_arrays_alive() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(*np.ones(100))
        y = (x.exp() * x).tanh()  # rules that save their output
        y.retain_grad()
        y.register_hook(lambda g: None)
        loss = y.sum()
        alive = [weakref.ref(t) for t in (y, loss)] + [weakref.ref(y.array)]
        del y, loss
        assert [r() for r in alive] == [None] * 3
    finally:
        gc.enable()


def test_memory_does_not_grow_over_ten_thousand_steps() -> None:
    w = leaf(*np.ones(50))

    def step() -> None:
        loss = ((w * 2).exp() * 0.001).sum()
        loss.backward()
        with mg.no_grad():
            w.sub_(w.grad, alpha=1e-6)
        w.grad = None

    for _ in range(200):
        step()
    gc.disable()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10_000):
            step()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 100_000, f"{grown} bytes more after 10,000 steps"


# ------------------------------------------------------------------------------ switches


def test_no_grad_and_its_relatives() -> None:
    x = leaf(1.0)
    with mg.no_grad():
        assert not (x * 2).requires_grad
        with mg.enable_grad():
            assert (x * 2).requires_grad
        with mg.set_grad_enabled(True):
            assert (x * 2).requires_grad
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()

    @mg.no_grad()
    def decorated(t):
        return t * 2

    @mg.no_grad
    def bare(t):
        return t * 2

    @mg.no_grad()
    def generator(t):
        yield t * 2
        yield t * 3

    assert not decorated(x).requires_grad
    assert not bare(x).requires_grad
    values = generator(x)
    first = next(values)
    assert (x * 2).requires_grad, "the switch leaked out of a suspended generator"
    assert not first.requires_grad
    assert not next(values).requires_grad


def test_a_switch_is_put_back_after_an_error_and_is_per_thread() -> None:
    with pytest.raises(ZeroDivisionError), mg.no_grad():
        1 / 0  # noqa: B018
    assert mg.is_grad_enabled()
    seen = []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(mg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_inference_mode() -> None:
    x = leaf(2.0)
    with mg.inference_mode():
        y = x * 2
    assert y.is_inference()
    assert not y.requires_grad
    assert (x + y).requires_grad, "addition saves nothing, so it may use an inference tensor"
    with pytest.raises(RuntimeError, match=r"mul cannot save its 'other'.*inference_mode"):
        x * y


# -------------------------------------------------------------------------- hooks


def test_hooks_see_and_change_gradients() -> None:
    x = leaf(2.0)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    y.sum().backward()
    assert seen == [1.0]
    assert x.grad.item() == 31.0
    handle.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.item() == 4.0
    (g,) = grad((x * 5).sum(), x)
    assert g.item() == 6.0, "a hook on a leaf also runs in autograd.grad"


def test_retain_grad() -> None:
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    (y * y).backward()
    assert y.grad.item() == 12.0


# --------------------------------------------------------------------- in-place changes


def test_a_saved_value_that_was_changed_is_reported_with_the_line() -> None:
    x, w = leaf(2.0), leaf(3.0)
    y = w * x
    z = y * y
    with mg.no_grad():
        y += 1  # this very line is named
    with pytest.raises(RuntimeError) as error:
        z.backward()
    text = str(error.value)
    assert "mul saved its 'other'" in text or "mul saved its 'input'" in text
    assert "y += 1  # this very line is named" in text
    assert __file__ in text


def test_an_optimizer_step_between_forward_and_backward_is_noticed() -> None:
    w = leaf(3.0)
    y = w * w
    with mg.no_grad():
        w.sub_(0.1)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize("change", ["x[...] = 0.5", "x += 1", "x.zero_()", "v = x[1:]; v[0] = 9"])
def test_every_kind_of_change_is_noticed(change: str) -> None:
    w = leaf(1.0, 2.0, 3.0)
    x = w * 1
    y = x * x
    exec(change, {"x": x})
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_a_change_that_nobody_saved_is_allowed() -> None:
    w = leaf(1.0, 2.0)
    x = w * 3
    y = x + 1
    x += 1
    (y + x).sum().backward()
    assert w.grad.tolist() == [6.0, 6.0]


def test_changes_through_a_detached_tensor_are_noticed() -> None:
    w = leaf(1.0)
    x = w * 1
    y = x * x
    x.detach().zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_leaves_cannot_be_changed_while_recording() -> None:
    x = leaf(1.0, 2.0)
    for change in (lambda: x.add_(1), lambda: x.__setitem__(0, 1.0), lambda: x[:1].mul_(2)):
        with pytest.raises(RuntimeError, match="leaf that requires grad"):
            change()
    with mg.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0]


PROGRAMS = [
    "y = x * 2; y[0] = 5.0; out = y * y",
    "y = x * 2; y[1:] = w[:2]; out = y * x",
    "y = x * 2; y.mul_(w); out = y * 3",
    "y = x * 2; v = y[1:]; v.mul_(w[1:]); out = y * x",
    "y = x * 2; v = y.view(3, 1); v.add_(w.view(3, 1)); out = y * y",
    "y = x * 2; v = y[1:]; y.mul_(w); out = y * 1; out = out + (v * v).sum()",
    "y = x * 2; v = y[1:]; u = v[1:]; u.mul_(w[2:]); out = y * x + (v * 3).sum()",
    "y = m.zeros(3, dtype=m.float64); v = y[1:]; y[1] = w[0] * x[2]; out = y * y + v.sum()",
    "y = x * 1; y.exp_(); out = y * x",
    "y = x * 2; y[y > 1.5] = 0.25; out = y * w",
    "y = x * 2; y += w; y *= x; out = y * 1",
    "y = x.clone(); y.copy_(w * x); out = y * 2",
    "y = x * 2; y.zero_(); y.add_(w); out = y * x",
    "y = x * 2; a, b = y.split([1, 2]); out = m.cat([b, a]) * y",
    "y = x * 2; y[m.tensor([0, 2])] = w[1:] * 2; out = y * y",
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_with_changes_in_place_equal_torch(program: str) -> None:
    def run(module):
        x = module.from_numpy(np.array([0.3, 0.9, -1.2])).requires_grad_()
        w = module.from_numpy(np.array([0.7, -0.4, 1.9])).requires_grad_()
        names = {"x": x, "w": w, "m": module}
        exec(program, names)
        out = names["out"]
        cotangent = module.from_numpy(np.array([1.0, -2.0, 0.5]))
        first = module.autograd.grad(out, [x, w], cotangent, create_graph=True, allow_unused=True)
        total = sum((g * (i + 0.5)).sum() for i, g in enumerate(first) if g is not None)
        second = (None, None)
        if getattr(total, "requires_grad", False):
            second = module.autograd.grad(total, [x, w], allow_unused=True)
        return [out, *first, *second]

    for ours, theirs in zip(run(mg), run(torch)):
        if ours is None or theirs is None:
            both = [np.abs(t.detach().numpy()).max() for t in (ours, theirs) if t is not None]
            assert both in ([], [0.0])
        else:
            a, b = ours.detach().numpy(), theirs.detach().numpy()
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_views_share_memory() -> None:
    x = mg.zeros(2, 3)
    for view in (x.view(6), x[1], x.t(), x.reshape(3, 2), x.unsqueeze(0), x.detach(), x.data):
        before = x.tolist()
        view[(0,) * view.ndim] += 1
        assert x.tolist() != before
    array = np.zeros(3)
    shared = mg.from_numpy(array)
    shared += 1
    assert array.tolist() == [1.0, 1.0, 1.0]
    assert shared.numpy() is array or np.shares_memory(shared.numpy(), array)


# -------------------------------------------------------------------------- errors


def test_errors_name_the_operation_and_what_was_given() -> None:
    given = r"add: .*input = float32 \(2,\), other = float32 \(3,\)"
    with pytest.raises(RuntimeError, match=given):
        mg.ones(2) + mg.ones(3)
    with pytest.raises(TypeError, match=r"mul: .*str"):
        mg.ones(2) * "x"
    with pytest.raises(RuntimeError, match="only for a single number"):
        (leaf(1.0, 2.0) * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        mg.ones(1).backward()
    with pytest.raises(RuntimeError, match="shape"):
        (leaf(1.0, 2.0) * 2).backward(mg.ones(3))
    with pytest.raises(TypeError, match="safetensors"):
        pickle.dumps(mg.ones(1))


def test_arguments_find_their_places_by_position_by_name_and_by_numpys_name() -> None:
    x = mg.arange(6.0).reshape(2, 3)
    wanted = [[3.0], [12.0]]
    for call in (
        x.sum(1, True), x.sum(1, keepdim=True), x.sum(keepdim=True, dim=1),
        x.sum(axis=1, keepdims=True), mg.sum(x, keepdims=True, dim=1),
        mg.sum(dim=1, input=x, keepdim=True),
    ):  # fmt: skip
        assert call.tolist() == wanted
    assert x.sum(dtype=mg.float64).dtype is mg.float64


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda x: x.sum(dims=0), "unexpected keyword argument 'dims'"),
        (lambda x: x.exp(dim=0), "'dim'"),
        (lambda x: x.exp(axis=0), "'axis'"),
        (lambda x: x.sum(0, dim=1), "multiple values for argument 'dim'"),
        (lambda x: x.sum(0, axis=1), "multiple values for argument 'dim'"),
        (lambda x: mg.sum(dim=0), "missing a required argument: 'input'"),
        (lambda x: x.transpose(0), "missing a required argument: 'dim1'"),
        (lambda x: x.sum(0, False, None, 1), "too many positional arguments"),
    ],
)
def test_arguments_that_have_no_place_are_refused(wrong: Callable, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        wrong(mg.ones(2, 3))


def test_an_error_in_a_rule_names_operation_and_argument() -> None:
    @differentiable
    def broken(input):
        return input * 1.0

    broken.gradients(input=lambda g: 1 / 0)
    with pytest.raises(RuntimeError, match="rule of broken for input failed: ZeroDivisionError"):
        broken(leaf(1.0)).backward()

    @differentiable
    def misshapen(input):
        return input * 1.0

    misshapen.gradients(input=lambda g: g[:1])
    with pytest.raises(RuntimeError, match=r"rule of misshapen .*shape \(1,\).*\(2,\)"):
        misshapen(leaf(1.0, 2.0)).backward(mg.ones(2, dtype=mg.float64))
    with pytest.raises(TypeError, match="asks for 'nothing'"):
        misshapen.gradients(input=lambda g, nothing: g)


def test_detect_anomaly_names_the_forward_line() -> None:
    x = leaf(0.0, 1.0)
    with mg.autograd.detect_anomaly():
        with pytest.raises(RuntimeError) as error:
            (x * 2).log()  # the first infinity
        assert "log made an infinity" in str(error.value)
        assert "(x * 2).log()  # the first infinity" in str(error.value)
        with pytest.raises(RuntimeError, match="div made NaN"):
            (x * 0) / (x * 0)
        y = (x * 1).sqrt()  # finite here, not its gradient
        with pytest.raises(RuntimeError) as error:
            y.backward(mg.ones(2, dtype=mg.float64))
        assert "gradient of sqrt became an infinity" in str(error.value)
        assert "(x * 1).sqrt()  # finite here" in str(error.value)
        mask = mg.tensor([True, False])
        (x.masked_fill(mask, float("-inf"))).exp().sum().backward()  # an infinity that is meant


def test_importing_minigen_is_light() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import minigen; "
        "print(time.perf_counter() - t); "
        "print([m for m in ('matplotlib', 'numba', 'rich', 'cupy', 'torch') if m in sys.modules])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert runs[0].stdout.splitlines()[1] == "[]"


def test_the_engine_fits_one_sitting() -> None:
    folder = Path(mg.__file__).parent
    lines = sum(
        len((folder / name).read_text(encoding="utf-8").splitlines())
        for name in ("autograd.py", "tensor.py", "backend.py")
    )
    assert lines < 1000


def test_backward_of_several_tensors() -> None:
    x = leaf(1.0, 2.0)
    backward([x.sum(), x * x], [None, mg.tensor([1.0, 10.0], dtype=mg.float64)])
    assert x.grad.tolist() == [3.0, 41.0]


def test_variable_is_a_tensor_as_in_older_scripts() -> None:
    x = mg.autograd.Variable(mg.ones(3), requires_grad=True)
    assert isinstance(x, mg.Tensor)
    assert isinstance(x, mg.autograd.Variable)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    source = mg.zeros(2)
    mg.autograd.Variable(source)[0] = 5
    assert source.tolist() == [5.0, 0.0]
    assert not mg.autograd.Variable(source).requires_grad


def test_a_gradient_that_is_zero_everywhere_is_not_walked_on_with():
    """What relu's slope came from gets zeros, as in torch, but no operation runs to find them."""
    calls = []

    @differentiable
    def watched(input):
        return input * 2

    def rule(g):
        calls.append(1)
        return g * 2

    watched.gradients(input=rule)
    x = mg.tensor([1.0, -2.0], requires_grad=True)
    y = watched(x)
    (slope,) = grad(mg.relu(y).sum(), y, create_graph=True)
    assert slope.requires_grad
    for targets in ((y,), (x,), (x, y)):
        for gradient in grad(slope.sum(), targets, retain_graph=True):
            np.testing.assert_array_equal(gradient.numpy(), [0, 0])
    (slope * slope + y).sum().backward()  # one path of zeros, one of twos
    np.testing.assert_array_equal(x.grad.numpy(), [2, 2])
    assert len(calls) == 1
