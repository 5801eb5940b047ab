"""What gradcheck accepts, refuses and says, on functions, modules, pairs and Functions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minigen
from minigen import nn
from minigen.autograd import differentiable
from minigen.nn import functional as F
from minigen.testing import (
    GradcheckError,
    GradcheckWarning,
    assert_gradients,
    check_gradients,
    gradcheck,
    gradgradcheck,
    register_terms,
)
from minigen.testing.terms import TERMS

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(RNG.standard_normal(shape))


def kinds(report) -> list[str]:
    return [finding.kind for finding in report.findings]


# ------------------------------------------------------------------------------ what it takes


def test_functions_of_tensors_in_any_structure() -> None:
    assert gradcheck(lambda x, y: x @ y, (normal(2, 3), normal(3, 2)))
    assert gradgradcheck(minigen.cat, ([normal(2, 3), normal(1, 3)],))
    assert gradcheck(lambda d: d["a"] * d["b"][0], ({"a": normal(3), "b": (normal(3),)},))
    report = check_gradients(lambda d: d["a"] * d["b"][0].detach(),
                             ({"a": normal(3), "b": (normal(3),)},))  # fmt: skip
    assert report.findings[0].argument == "d['b'][0]"


class Cube(minigen.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return scale * x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * ctx.scale * g * x**2, None


class WrongCube(Cube):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * ctx.scale * g * x, None


class OnceCube(Cube):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * ctx.scale * g * x.detach() ** 2, None


def test_functions_of_a_users_own() -> None:
    assert gradgradcheck(Cube, (normal(3), 2.0))
    assert gradgradcheck(Cube.apply, (normal(3), 2.0))
    report = check_gradients(WrongCube, (normal(3), 2.0))
    assert kinds(report)[0] == "factor"
    assert report.title == "WrongCube"
    assert report.findings[0].text == "a factor x is missing"
    assert gradcheck(OnceCube, (normal(3), 2.0))
    assert kinds(check_gradients(OnceCube, (normal(3), 2.0), order=2))[0] == "cut"


def test_several_outputs_of_which_some_are_integers() -> None:
    assert gradcheck(lambda x: minigen.sort(x, -1), (normal(3, 4),))
    assert gradcheck(lambda x: {"mean": x.mean(), "rest": [x.sum(0), x.argmax()]}, (normal(3, 4),))


def test_only_tensors_that_require_grad_are_checked() -> None:
    x, constant = minigen.from_numpy(normal(3)).requires_grad_(), minigen.from_numpy(normal(3))
    report = check_gradients(lambda a, b: a * b.detach(), (x, constant))
    assert report
    assert report.checked == 3
    with pytest.raises(ValueError, match="nothing to check"):
        gradcheck(minigen.exp, (constant,))
    with pytest.raises(ValueError, match="no floating-point output"):
        gradcheck(lambda x: x.argmax(), (x,))
    with pytest.raises(TypeError, match="takes a function"):
        gradcheck(3, (x,))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 names for 2 inputs"):
        gradcheck(minigen.mul, (x, x), names=["x"])


def test_a_module_with_all_its_parameters_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh()).double()
    before = {n: v.numpy().copy() for n, v in module.state_dict().items()}
    report = check_gradients(module, (normal(5, 4),), order=2)
    assert report
    assert report.checked == 20 + 15 + 6 + 15  # input, linear, norm; the cotangent of order 2
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)
    assert all(p.grad is None for p in module.parameters())


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(minigen.ones(3, dtype=minigen.float64))
        self.unused = nn.Parameter(minigen.ones(3, dtype=minigen.float64))

    def forward(self, x):
        return x * self.weight.detach() * 2


def test_a_parameter_that_is_cut_off_is_named() -> None:
    report = check_gradients(Scale(), (normal(2, 3),))
    assert [(f.kind, f.argument) for f in report.findings[:1]] == [("cut", "weight")]


def test_a_module_in_training_with_dropout_is_said_to_be_random() -> None:
    module = nn.Sequential(nn.Linear(4, 30), nn.Dropout(0.5)).double()
    assert kinds(check_gradients(module, (normal(5, 4),))) == ["random"]
    assert check_gradients(module.eval(), (normal(5, 4),))


def test_pairs_with_a_cache_as_in_many_courses() -> None:
    def forward(x, w, b):
        return x @ w + b, (x, w)

    def backward(g, cache):
        x, w = cache
        return g @ w.T, x.T @ g, g.sum(0)

    inputs = normal(3, 4), normal(4, 2), normal(2)
    assert gradcheck((forward, backward), inputs)
    wrong = check_gradients((forward, lambda g, cache: (*backward(g, cache)[:2], g)), inputs)
    assert kinds(wrong) == ["broadcast"]
    assert wrong.findings[0].argument == "b"


def test_pairs_with_several_outputs_and_integer_inputs() -> None:
    def split(x):
        return x[:2], x[2:]

    assert gradcheck((split, lambda g, x: np.concatenate(g)), [normal(5)])
    rows = np.array([0, 2, 2])

    def scatter(g, w, index):
        total = np.zeros_like(w)
        np.add.at(total, index, g)
        return total

    assert gradcheck((lambda w, index: w[index], scatter), [normal(4, 2), rows])
    with_none = (lambda w, index: w[index], lambda g, w, index: (scatter(g, w, index), None))
    assert gradcheck(with_none, [normal(4, 2), rows])


def test_pairs_have_no_second_order() -> None:
    with pytest.raises(TypeError, match="no gradient of its own"):
        gradgradcheck((np.sin, lambda g, x: g * np.cos(x)), [normal(3)])


# --------------------------------------------------------------------- what it finds and says


def test_the_result_is_that_of_pytorch() -> None:
    right, wrong = (np.sin, lambda g, x: g * np.cos(x)), (np.sin, lambda g, x: -g * np.cos(x))
    assert gradcheck(right, [normal(3)]) is True
    assert gradcheck(wrong, [normal(3)], raise_exception=False) is False
    with pytest.raises(GradcheckError, match="gradient of x: right size, wrong sign"):
        gradcheck((lambda x: np.sin(x), wrong[1]), [normal(3)])


def test_an_expression_is_told_in_the_arguments_own_name() -> None:
    """And `out` is the output: y may be an input."""
    x, y = np.random.default_rng(0).uniform(0.5, 2, (2, 3, 4))
    no_x = (np.divide, lambda g, x, y: (g / y, -g / y**2))
    with pytest.raises(AssertionError, match=r"y: it is the cotangent times -1/y², which is not"):
        assert_gradients(no_x, x, y, names="xy")
    not_squared = (np.tanh, lambda g, y: g * (1 - np.tanh(y)))
    with pytest.raises(AssertionError, match="times 1 - out, out the output, which is not"):
        assert_gradients(not_squared, y, names="y")


def test_assert_gradients_fails_as_an_assertion() -> None:
    with pytest.raises(AssertionError, match=r"no graph leads from the output"):
        assert_gradients(lambda x: minigen.exp(x.detach()), normal(3))


def test_a_softmax_whose_gradient_is_zero_does_not_pass() -> None:
    """What a cotangent of ones cannot see."""

    def softmax(x):
        e = np.exp(x)
        return e / e.sum(-1, keepdims=True)

    report = check_gradients((softmax, lambda g, x: 0 * x), [normal(3, 4)])
    assert kinds(report)[0] == "zero"


def test_the_worst_entry_comes_last_with_both_values() -> None:
    x = np.array([[0.0, 1.0], [2.0, 3.0]])
    report = check_gradients(
        (lambda x: x * x, lambda g, x: 2 * g * x + 5 * g * (x == 2)), [x], seed=1
    )
    assert kinds(report)[-1] == "entries"
    text = report.findings[-1].text
    assert "entry [1, 0]" in text
    assert "1 of 4 entries differ" in text
    numbers = [float(part.split(",")[0].split(";")[0]) for part in text.split("yours ")[1:]]
    numeric = float(text.split("numerically ")[1].split(";")[0])
    assert numbers[0] / numeric == pytest.approx(9 / 4, rel=1e-4)


def test_names_of_sizes_given_by_the_user_come_first() -> None:
    x = normal(4, 4)
    pair = (lambda x: x.sum(1), lambda g, x: np.repeat(g[:, None], 4, 1) / 4)
    text = str(check_gradients(pair, [x], sizes={"batch": 4}))
    assert "1/batch, batch = 4" in text


@pytest.mark.parametrize(
    ("kind", "backward"),
    [
        ("count", lambda g, x, y: (g * y,)),
        ("count", lambda g, x, y: g * y),
        ("dtype", lambda g, x, y: ((g * y).astype("f4"), g * x)),
        ("shape", lambda g, x, y: ((g * y)[:2], g * x)),
        ("reshape", lambda g, x, y: ((g * y)[None, None].reshape(2, 6), g * x)),
        ("nonfinite", lambda g, x, y: (g * y / 0, g * x)),
        ("error", lambda g, x, y: (g @ y, g * x)),
        ("swapped", lambda g, x, y: (g * x, g * y)),
        ("zero", lambda g, x, y: (g * y, 0 * x)),
        ("cut", lambda g, x, y: (g * y, None)),
    ],
)
def test_what_can_be_wrong_with_the_form(kind: str, backward) -> None:
    with np.errstate(all="ignore"):
        report = check_gradients((lambda x, y: x * y, backward), [normal(4, 3), normal(4, 3)])
    assert kinds(report)[0] == kind


def test_inputs_that_are_written_into() -> None:
    def forward(x):
        x += 1
        return x * x

    x = normal(3)
    before = x.copy()
    report = check_gradients((forward, lambda g, x: 2 * g * x), [x])
    assert kinds(report) == ["mutated"]
    assert "x" in str(report)
    np.testing.assert_array_equal(x, before)

    def backward(g, x):
        g *= 2 * x
        return g

    assert kinds(check_gradients((np.square, backward), [x])) == ["mutated"]

    def writes_back(g, x):
        x *= 2
        return g * x

    assert kinds(check_gradients((np.square, writes_back), [x])) == ["mutated"]
    np.testing.assert_array_equal(x, before)
    assert kinds(check_gradients(lambda x: minigen.exp(x).mul_(x.add_(1)), (x,)))[0] == "mutated"


def test_a_random_backward_and_a_tolerance_for_it() -> None:
    rng = np.random.default_rng(0)
    noisy = (np.sin, lambda g, x: g * np.cos(x) + 1e-12 * rng.standard_normal(x.shape))
    assert kinds(check_gradients(noisy, [normal(3)])) == ["random"]
    assert check_gradients(noisy, [normal(3)], nondet_tol=1e-10)


def test_results_that_depend_on_strides() -> None:
    wrong = (lambda x: np.asarray(x.ravel(order="K")).reshape(x.shape) * 2, lambda g, x: 2 * g)
    assert check_gradients(wrong, [normal(3, 4)])
    assert kinds(check_gradients(wrong, [normal(4, 3).T])) == ["layout"]


# ------------------------------------------------------------------------- kinks and precision


@pytest.mark.parametrize(
    ("fn", "x"),
    [
        (F.relu, [0.0, 1.0, -2.0]),
        (lambda x: x.max(0)[0], [3.0, 3.0, 1.0]),
        (lambda x: minigen.sort(x)[0] * minigen.tensor([1.0, 2.0, 4.0], dtype=x.dtype),
         [2.0, 1.0, 2.0]),
        (lambda x: minigen.floor(x) + x, [1.0, 0.3, 2.6]),
        (lambda x: F.leaky_relu(x, 0.3), [0.0, 1.0, 2.0]),
    ],
)  # fmt: skip
def test_points_without_a_derivative_are_left_out_and_said(fn, x: list) -> None:
    report = check_gradients(fn, (np.array(x),))
    assert report
    assert "left out" in report.notes[0]
    with pytest.warns(GradcheckWarning, match="no derivative there"):
        assert gradcheck(fn, (np.array(x),))


def test_a_kink_does_not_hide_a_mistake_elsewhere() -> None:
    pair = (lambda x: np.maximum(x, 0), lambda g, x: 1.5 * g * (x > 0))
    report = check_gradients(pair, [np.array([0.0, 1.0, -2.0, 3.0])])
    assert kinds(report)[0] == "factor"


def test_nothing_but_kinks_is_an_error() -> None:
    report = check_gradients(F.leaky_relu, (np.zeros(3),))
    assert kinds(report) == ["kink"]


def test_a_kink_nearby_is_no_false_alarm() -> None:
    for distance in (1e-3, 1e-4, 3e-5, 1e-5, 1e-6):
        x = np.array([distance, -distance, 1.0, -1.0])
        assert check_gradients(F.relu, (x,)), distance


def test_a_kink_nearby_is_no_false_alarm_beside_one_that_is_left_out() -> None:
    """What is at 0 asks for entry by entry; then the step of a difference reaches across."""
    pair = (lambda x: np.maximum(x, 0), lambda g, x: g * (x > 0))
    for distance in (1e-5, 2.5e-6, 2e-6, 1.3e-6, 1e-7):
        for near in (distance, -distance):
            report = check_gradients(pair, [np.array([1.0, near, 0.0, -3.0])])
            assert report, (near, str(report))
    wrong = (lambda x: np.maximum(x, 0), lambda g, x: np.where(x < 1e-5, 0, g))
    assert not check_gradients(wrong, [np.array([1.0, 2e-6, 0.0, -3.0])])


def test_float32_is_checked_with_an_explanation() -> None:
    x = normal(3, 4).astype("f4")
    report = check_gradients(F.softmax, (x, -1), order=2)
    assert report
    assert "float32" in report.notes[0]
    assert "pass float64" in report.notes[0]
    with pytest.warns(GradcheckWarning, match="float32"):
        assert gradcheck(nn.LayerNorm(4), (x,))
    slightly = (lambda x: x * x, lambda g, x: (2.002 * g * x).astype(x.dtype))
    assert kinds(check_gradients(slightly, [x]))[0] == "factor"


def test_a_function_that_insists_on_float32() -> None:
    weight = minigen.from_numpy(normal(4, 2).astype("f4"))
    x = normal(3, 4).astype("f4")
    report = check_gradients(lambda x: x.float() @ weight, (x,))
    assert report
    assert "insists on float32" in report.notes[0]
    assert not check_gradients(lambda x: x.float() @ weight + x.float().detach().sum(), (x,))


def test_integers_and_half_precision() -> None:
    with pytest.raises(ValueError, match="nothing to check"):
        gradcheck(lambda x: x * 1.0, (np.arange(3),))
    with pytest.raises(TypeError, match="x is float16, too coarse"):
        gradcheck(lambda x: x * 1.0, (np.ones(3, np.float16),))


# ------------------------------------------------------------------ large, tiny and odd gradients


def test_one_wrong_entry_of_many_is_found() -> None:
    """By halving, not by looking at all; and without storing a Jacobian."""
    x = normal(200_000)

    def wrong(g, x):
        gradient = g * np.cos(x)
        gradient[123_456] *= 1.5
        return gradient

    report = check_gradients((lambda x: np.sin(x), wrong), [x], seed=3)
    assert kinds(report) == ["entries"]
    assert "worst at entry [123456]" in str(report)
    assert "looked at, of 200,000," in str(report)
    assert check_gradients((lambda x: np.sin(x), lambda g, x: g * np.cos(x)), [x])


def test_one_nan_among_many_does_not_pass() -> None:
    def backward(g, x):
        gradient = g * np.cos(x)
        gradient[777] = np.nan
        return gradient

    report = check_gradients((lambda x: np.sin(x), backward), [normal(100_000)])
    assert kinds(report)[0] == "nonfinite"
    assert "[777]" in str(report)


def test_what_a_sample_cannot_settle_is_said() -> None:
    """Off by 5e-6 throughout: too much for a projection, too little for a single entry."""
    pair = (lambda x: np.sin(x), lambda g, x: (1 + 5e-6) * g * np.cos(x))
    with pytest.warns(GradcheckWarning, match=r"none of the \d+ entries that were looked at"):
        assert gradcheck(pair, [normal(100_000)])


def test_a_large_gradient_that_is_wrong_throughout_is_named() -> None:
    a, b = normal(150, 150), normal(150, 150)
    pair = (lambda a, b: a @ b, lambda g, a, b: (g @ b.T, 0.5 * a.T @ g))
    report = check_gradients(pair, [a, b])
    assert [(f.kind, f.argument) for f in report.findings] == [("factor", "b"), ("entries", "b")]


@pytest.mark.parametrize("size", [1e-12, 1e-8, 1e-3, 1e4, 1e10])
def test_gradients_of_any_size_are_checked(size: float) -> None:
    x = normal(4)
    right = (lambda x: size * np.sin(x), lambda g, x: size * g * np.cos(x))
    assert check_gradients(right, [x])
    wrong = (right[0], lambda g, x: 1.01 * size * g * np.cos(x))
    assert kinds(check_gradients(wrong, [x]))[0] == "factor"
    scaled = (lambda x: np.square(x), lambda g, x: 2.02 * g * x)
    assert kinds(check_gradients(scaled, [size * x]))[0] == "factor"


def test_a_small_gradient_beside_a_large_one() -> None:
    pair = (
        lambda x, y: np.sin(x).sum() + 1e-9 * np.sin(y).sum(),
        lambda g, x, y: (g * np.cos(x), 9e-9 * g * np.cos(y)),
    )
    report = check_gradients(pair, [normal(4), normal(4)])
    assert not report
    assert report.findings[0].argument == "y"


def test_none_from_a_backward_in_numpy() -> None:
    report = check_gradients((lambda a, b: a * b, lambda g, a, b: (g * b, None)), [normal(2)] * 2)
    assert "backward returned None for it" in str(report)


def test_an_infinite_gradient_leaves_the_others_alone() -> None:
    pair = (np.sqrt, lambda g, x: g * 0.5 / np.sqrt(x))
    with np.errstate(all="ignore"):
        text = str(check_gradients(pair, [np.array([0.0, 1.0, 2.0])]))
    assert "2 of 3" not in text


def test_what_is_given_at_a_kink_has_to_lie_between_the_slopes() -> None:
    x = np.array([0.0, 1.0, -1.0])
    pair = (lambda x: np.maximum(x, 0), lambda g, x: g * (x > 0) + 5 * g * (x == 0))
    report = check_gradients(pair, [x])
    assert not report
    assert "entry [0]" in str(report)


# ------------------------------------------------------------------------------ second order


def test_a_rule_that_cannot_be_differentiated_fails_at_order_two() -> None:
    @differentiable
    def cube(input):
        return input**3

    cube.gradients(input=lambda g, input: 3 * g * input.detach() ** 2
                   if isinstance(input, minigen.Tensor) else 3 * g * input**2)  # fmt: skip
    assert gradcheck(cube, (normal(3),))
    report = check_gradients(cube, (normal(3),), order=2)
    assert report.title == "cube, second order"
    assert kinds(report)[0] == "cut"
    assert report.findings[0].argument == "input"


def test_the_second_derivative_at_given_cotangents() -> None:
    x = minigen.from_numpy(normal(3)).requires_grad_()
    assert gradgradcheck(minigen.sin, (x,), minigen.ones(3, dtype=minigen.float64))


# --------------------------------------------------------------------------------- own terms


def test_own_terms_are_used_and_believed_only_if_they_add_up() -> None:
    def terms(g, x):
        return [{"first": g * x, "second": g}]

    pair = (lambda x: 0.5 * x * x + x, lambda g, x: g * x)
    text = str(check_gradients(pair, [normal(4)], terms=terms))
    assert "the term [second] is missing; every other term is right" in text
    wrong = str(check_gradients(pair, [normal(4)], terms=lambda g, x: [{"first": g * x * x}]))
    assert "first" not in wrong
    register_terms("half square")(terms)
    try:
        assert "[second] is missing" in str(check_gradients(pair, [normal(4)]))
        assert "[second]" in str(check_gradients(pair, [normal(4)], terms="half square"))
    finally:
        TERMS.pop("half square")


def test_terms_that_cannot_be_told_from_each_other_are_not_blamed() -> None:
    def terms(g, x):
        return [{"one use": g * x, "the other": g * x, "the constant": g}]

    pair = (lambda x: x * x + x, lambda g, x: g * x + 2 * g)
    assert "use]" not in str(check_gradients(pair, [normal(4)], terms=terms))


def test_terms_are_found_by_the_gradient_whatever_the_name() -> None:
    def my_own_norm(x, gain, offset):
        h = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return h * gain + offset

    def backward(g, x, gain, offset):
        rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        h = (x - x.mean(-1, keepdims=True)) * rstd
        d = g * gain
        return rstd * (d - d.mean(-1, keepdims=True)), (g * h).sum(0), g.sum(0)

    text = str(check_gradients((my_own_norm, backward), [normal(3, 5), normal(5), normal(5)]))
    assert "the term [the path through the variance] is missing; every other term is right" in text


def test_nothing_is_warned_about_a_right_gradient_in_float64() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradcheck((np.abs, lambda g, x: g * np.sign(x)), [normal(30)])
