"""`minigen.autograd.Function` against torch's: the same class, in operations of either module."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minigen.autograd.function import once_differentiable

import minigen
from minigen.autograd import Function
from tests.expressions import normal
from tests.oracle import check

x0 = np.array([0.5, -1.5, 2.0])


def same(make: Callable, *inputs: Any, order: int = 2) -> None:
    """`make(module)` is a subclass of the module's Function; both behave alike."""
    check(make(minigen).apply, make(torch).apply, *inputs, order=order)


def leaf(*values: float) -> minigen.Tensor:
    return minigen.tensor(values, dtype=minigen.float64, requires_grad=True)


# --------------------------------------------------------------------------- the two forms


def scaled_product(m: Any) -> Any:
    class ScaledProduct(m.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any, n: int) -> Any:
            ctx.save_for_backward(x, y)
            ctx.n = n
            return x * y * n

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            return g * y * ctx.n, (g * x * ctx.n if ctx.needs_input_grad[1] else None), None

    return ScaledProduct


def exponential(m: Any) -> Any:
    """The newer form, which saves its output."""

    class Exponential(m.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return m.exp(x)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
            assert len(inputs) == 1
            ctx.save_for_backward(output)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (y,) = ctx.saved_tensors
            return g * y

    return Exponential


def two_outputs(m: Any) -> Any:
    """Saves an input and the second of its outputs."""

    class TwoOutputs(m.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            sine, cube = m.sin(x), x**3
            ctx.save_for_backward(cube, None, x)
            return sine, cube

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            cube, nothing, x = ctx.saved_tensors
            assert nothing is None
            return g * m.cos(x) + 3 * h * cube / x

    return TwoOutputs


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3,)), ((), (2, 1)), ((0,), (1,))])
def test_a_product(shapes: tuple) -> None:
    same(scaled_product, normal(*shapes[0]), normal(*shapes[1]), 3)


@settings(max_examples=20, deadline=None)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, min_side=0), elements=st.floats(0.5, 2.0))
)
def test_saved_outputs_have_higher_derivatives(x: np.ndarray) -> None:
    same(exponential, x)
    same(two_outputs, x)


def test_third_derivative_of_a_saved_output() -> None:
    for make in (exponential, two_outputs):
        y: Any = leaf(0.7)
        z = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
        f = lambda m, t: make(m).apply(t) if make is exponential else sum(make(m).apply(t))  # noqa: B023, E731
        ours, theirs = f(minigen, y), f(torch, z)
        for _ in range(3):
            (ours,) = minigen.autograd.grad(ours, y, create_graph=True)
            (theirs,) = torch.autograd.grad(theirs, z, create_graph=True)
            assert abs(ours.item() - theirs.item()) < 1e-9


def test_an_input_that_does_not_require_grad() -> None:
    f = lambda m: lambda x: scaled_product(m).apply(x, m.ones(3, dtype=m.float64), 2)  # noqa: E731
    check(f(minigen), f(torch), x0)


def test_what_is_no_tensor_passes_through() -> None:
    def make(m: Any) -> Any:
        class Mixed(m.autograd.Function):
            @staticmethod
            def forward(ctx: Any, options: dict, x: Any) -> Any:
                return x * options["scale"], 7, None, [x]

            @staticmethod
            def backward(ctx: Any, *g: Any) -> Any:
                assert g[1:] == (None, None, None)
                return None, g[0] * 3

        return Mixed

    for m in (minigen, torch):
        x = m.from_numpy(x0.copy()).requires_grad_()
        y, seven, nothing, several = make(m).apply({"scale": 3}, x)
        assert seven == 7
        assert nothing is None
        assert several[0] is x
        y.sum().backward()
        assert x.grad.tolist() == [3, 3, 3]


def test_names_of_nodes() -> None:
    y = scaled_product(minigen).apply(leaf(1.0), leaf(2.0), 1)
    assert repr(y) == "tensor([2.], dtype=minigen.float64, grad_fn=<ScaledProductBackward>)"
    assert y.grad_fn.next_functions[0][0] is not None


# ------------------------------------------------------------------------ marks on the context


def test_needs_input_grad() -> None:
    seen = []

    class Spy(Function):
        @staticmethod
        def forward(ctx: Any, a: Any, n: Any, b: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            return a * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            return g, None, g

    with minigen.no_grad():
        assert not Spy.apply(leaf(1.0), 3, minigen.ones(1)).requires_grad
    Spy.apply(minigen.ones(1), 3, leaf(1.0)).backward()
    assert seen == [(True, False, False), (False, False, True), (False, False, True)]


def test_mark_non_differentiable_and_integer_outputs() -> None:
    def make(m: Any) -> Any:
        class Marked(m.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                constant, place = x * 2, x.argmax()
                ctx.mark_non_differentiable(constant, place)
                return constant, x * 3, place

            @staticmethod
            def backward(ctx: Any, g: Any, h: Any, k: Any) -> Any:
                assert g.tolist() == [0, 0, 0]
                assert k.tolist() == 0
                return h * 3

        return Marked

    for m in (minigen, torch):
        x = m.from_numpy(x0.copy()).requires_grad_()
        constant, y, place = make(m).apply(x)
        assert (constant.requires_grad, y.requires_grad, place.requires_grad) == (
            False,
            True,
            False,
        )
        y.sum().backward()
        assert x.grad.tolist() == [3, 3, 3]


@pytest.mark.parametrize("materialize", [True, False])
def test_set_materialize_grads(materialize: bool) -> None:
    def make(m: Any) -> Any:
        class Two(m.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.set_materialize_grads(materialize)
                return x * 2, x[:1] * 3

            @staticmethod
            def backward(ctx: Any, g: Any, h: Any) -> Any:
                assert (h is None) is not materialize
                assert h is None or h.tolist() == [0]
                return g * 2

        return Two

    for m in (minigen, torch):
        x = m.from_numpy(x0.copy()).requires_grad_()
        make(m).apply(x)[0].sum().backward()
        assert x.grad.tolist() == [2, 2, 2]


def doubled_in_place(m: Any) -> Any:
    class Doubled(m.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)
            x.mul_(2)
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    return Doubled


def test_mark_dirty_rewrites_the_history_of_the_input() -> None:
    for m in (minigen, torch):
        x = m.from_numpy(x0.copy()).requires_grad_()
        y = x * 3
        z = doubled_in_place(m).apply(y)
        assert z is y
        (y * y).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 72 * x0)


def test_mark_dirty_of_a_view_reaches_its_base() -> None:
    for m in (minigen, torch):
        x = m.from_numpy(x0.copy()).requires_grad_()
        y = x * 3
        doubled_in_place(m).apply(y[1:])
        (y * y).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), x0 * [18, 72, 72])


def test_mark_dirty_refuses_a_leaf_and_what_is_not_returned() -> None:
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        doubled_in_place(minigen).apply(leaf(1.0))

    class Lost(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)
            return x * 2

    with pytest.raises(RuntimeError, match="Lost: an input that was given to mark_dirty"):
        Lost.apply(leaf(1.0) * 1)


def test_mark_dirty_is_seen_by_those_who_saved_the_old_value() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    z = y * y
    doubled_in_place(minigen).apply(y)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()


def test_an_input_as_output() -> None:
    def make(m: Any) -> Any:
        class Same(m.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g

        return Same

    same(make, x0)
    x = leaf(1.0)
    y = make(minigen).apply(x * 1)
    with pytest.raises(RuntimeError, match="shares its memory with an input"):
        y.mul_(2)


# ------------------------------------------------------------------------------ what is guarded


def test_saved_tensors_are_guarded_by_version() -> None:
    x, y = leaf(1.0), leaf(2.0) * 1
    z = scaled_product(minigen).apply(x, y, 1)
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"ScaledProduct saved its 'y' .* changed in place"):
        z.backward()
    out = exponential(minigen).apply(x)
    out.add_(1)
    with pytest.raises(RuntimeError, match="Exponential saved its 'output 0'"):
        out.backward()


def test_a_second_backward_needs_retain_graph() -> None:
    x = leaf(1.0)
    y = scaled_product(minigen).apply(x, x, 1)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4]
    with pytest.raises(RuntimeError, match="second time through ScaledProduct"):
        y.backward()


def test_what_was_made_in_inference_mode_is_not_saved() -> None:
    with minigen.inference_mode():
        w = minigen.ones(1) * 2
    with pytest.raises(RuntimeError, match=r"ScaledProduct cannot save its 'y'.*inference_mode"):
        scaled_product(minigen).apply(leaf(1.0), w, 1)


@pytest.mark.parametrize("make", [exponential, two_outputs])
def test_saved_outputs_make_no_reference_cycle(make: Callable) -> None:
    gc.collect()
    gc.disable()
    try:
        y = make(minigen).apply(leaf(1.0))
        y = y[1] if isinstance(y, tuple) else y
        array = weakref.ref(y.array)
        del y
        assert array() is None
    finally:
        gc.enable()


def test_a_gradient_that_is_a_saved_tensor_is_copied() -> None:
    class Steals(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(w)
            return (x * w).sum()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return ctx.saved_tensors[0], None

    x, w = leaf(1.0), minigen.tensor([5.0], dtype=minigen.float64)
    for _ in range(2):
        Steals.apply(x, w).backward()
    assert (x.grad.tolist(), w.tolist()) == ([10], [5])


# ------------------------------------------------------------------------- errors, with names


def wrong(returned: Any, *more: Any) -> str:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, weight: Any, *rest: Any) -> Any:
            return weight * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return returned

    with pytest.raises(RuntimeError) as error:
        Wrong.apply(leaf(1.0, 2.0), *more).sum().backward()
    return str(error.value)


def test_wrong_gradients_are_reported_by_name() -> None:
    ones = minigen.ones(3, dtype=minigen.float64)
    assert "Wrong.backward returned 1 gradients, but forward has 2 arguments" in wrong(ones, 1)
    assert "(weight, rest[0])" in wrong(ones, 1)
    assert "Wrong.backward returned 2 gradients" in wrong((ones, ones))
    assert "of shape (3,) for argument 'weight' of shape (2,)" in wrong(ones)
    assert "shape () for argument 'weight'" in wrong(ones.sum())
    assert "argument 'rest[0]', which was no tensor" in wrong((None, ones), 1)
    assert "returned 3.0 for argument 'weight'" in wrong(3.0)


def test_surplus_nones_and_gradients_that_broadcast_are_fine() -> None:
    def make(m: Any) -> Any:
        class Loose(m.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * 2

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g.expand(4, 3), None, None

        return Loose

    check(make(minigen).apply, make(torch).apply, x0, numeric=False)


def test_what_a_function_needs() -> None:
    class Nothing(Function):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        Nothing.apply(leaf(1.0))
    with pytest.raises(RuntimeError, match=r"Nothing\.apply"):
        Nothing()

    class NoBackward(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

    with pytest.raises(RuntimeError, match=r"NoBackward .*static method backward"):
        NoBackward.apply(leaf(1.0)).backward()

    class SavesNumbers(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x, 3)

    with pytest.raises(TypeError, match="argument 1 is of type int"):
        SavesNumbers.apply(leaf(1.0))


def test_once_differentiable() -> None:
    class Once(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return minigen.from_numpy(2 * g.detach().numpy() * x.detach().numpy())

    x = leaf(3.0)
    Once.apply(x).backward()
    assert x.grad.tolist() == [6]
    (slope,) = minigen.autograd.grad(Once.apply(x) ** 2, x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiate twice .*@once_differentiable"):
        slope.backward()


def test_hooks_and_a_graph_around_it() -> None:
    x, seen = leaf(1.0, 2.0), []
    y, z = two_outputs(minigen).apply(x * 2)
    y.register_hook(lambda g: seen.append(g.tolist()))
    z.register_hook(lambda g: g * 10)
    (y + z).sum().backward()
    assert seen == [[1, 1]]
    np.testing.assert_allclose(
        x.grad.numpy(), 2 * (np.cos([2.0, 4.0]) + 30 * np.array([2.0, 4.0]) ** 2)
    )
