"""The fused CUDA C++ kernels, unchanged, in the emulator: against the formulas in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from minigen.kernels import KernelError
from minigen.kernels.cuda import emulated, source
from minigen.kernels.cuda import emulator as machine
from minigen.kernels.fused import cuda
from minigen.kernels.fused.cuda import elementwise, launching, rows, scatter, updates

import minigen
from minigen import kernels

U = 2.0**-24
# By (warps a row, columns a step): ragged ends, more rows than a block takes, one row alone.
SHAPES = {
    (1, 1): [(1, 1), (3, 31), (3, 33)],
    (1, 4): [(257, 32), (1, 4)],
    (8, 1): [(2, 4097)],
    (8, 4): [(1, 1000), (3, 1000)],
}
# A configuration takes a second to compile. These two run in all four, the others in two of them in
# turn: the ways through a row are the same code (rows.cuh).
IN_ALL = ("softmax", "layer_norm_backward")


@pytest.fixture(autouse=True)
def in_the_emulator() -> Any:
    with emulated():
        yield


def reference(name: str, *arguments: Any) -> tuple:
    result = kernels.get(name, "reference")(*arguments)
    return result if isinstance(result, tuple) else (result,)


def terms(name: str, arguments: tuple) -> float:
    """How large the terms are that may cancel in the gradient of a normalisation."""
    if not name.endswith("norm_backward"):
        return 0.0
    grad, _, weight, *_, rstd = arguments
    return float(np.abs(grad).max() * rstd.max() * (1 if weight is None else np.abs(weight).max()))


def close(name: str, found: Any, exact: tuple, scale: float = 1.0, least: float = 0.0) -> None:
    """Every result of the right shape and dtype, and near the formula's for its size."""
    found = found if isinstance(found, tuple) else (found,)
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.dtype == np.float32, name
        assert ours.shape == theirs.shape, name
        size = np.abs(theirs).max(initial=least)
        assert (np.abs(ours - theirs) <= 32 * U * scale * size + 1e-37).all(), name


def draw(rng: Any, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def row_calls(rng: Any, shape: tuple[int, int]) -> dict[str, tuple[Callable, tuple]]:
    """Operation -> (kernel, arguments) on rows of that shape."""
    n, width = shape
    x, grad, weight, bias = draw(rng, *shape) + 1, draw(rng, *shape), draw(rng, width), draw(rng, 1)
    bias = np.repeat(bias, width)
    target = rng.integers(0, width, n)
    y, logs = (reference(name, x)[0].astype(np.float32) for name in ("softmax", "log_softmax"))
    logsumexp = reference("cross_entropy", x, target)[1].astype(np.float32)
    _, mean, rstd = (a.astype(np.float32) for a in reference("layer_norm", x, weight, bias, 1e-5))
    rrms = reference("rms_norm", x, weight, 1e-5)[1].astype(np.float32)
    return {
        "softmax": (rows.softmax_cuda, (x,)),
        "softmax_backward": (rows.softmax_backward_cuda, (grad, y)),
        "log_softmax": (rows.log_softmax_cuda, (x,)),
        "log_softmax_backward": (rows.log_softmax_backward_cuda, (grad, logs)),
        "cross_entropy": (rows.cross_entropy_cuda, (x, target)),
        "cross_entropy_backward": (
            rows.cross_entropy_backward_cuda,
            (draw(rng, n), x, target, logsumexp),
        ),
        "layer_norm": (rows.layer_norm_cuda, (x, weight, bias, 1e-5)),
        "layer_norm_backward": (rows.layer_norm_backward_cuda, (grad, x, weight, mean, rstd)),
        "rms_norm": (rows.rms_norm_cuda, (x, weight, 1e-5)),
        "rms_norm_backward": (rows.rms_norm_backward_cuda, (grad, x, weight, rrms)),
    }


ROW_OPERATIONS = list(row_calls(np.random.default_rng(0), (2, 2)))


@pytest.mark.parametrize("name", ROW_OPERATIONS)
def test_rows(name: str, rng: Any) -> None:
    pair = ((1, 1), (8, 4)) if ROW_OPERATIONS.index(name) % 2 else ((1, 4), (8, 1))
    for shape in (s for team in (SHAPES if name in IN_ALL else pair) for s in SHAPES[team]):
        assert launching.shape_of_team(shape[1]) in (SHAPES if name in IN_ALL else pair)
        function, arguments = row_calls(rng, shape)[name]
        before = [np.copy(a) for a in arguments]
        least = terms(name, arguments)
        close(f"{name} {shape}", function(*arguments), reference(name, *arguments), 4, least)
        for argument, copy in zip(arguments, before):
            np.testing.assert_array_equal(argument, copy)


@pytest.mark.parametrize("name", ["layer_norm", "layer_norm_backward", "rms_norm_backward"])
def test_absent_parameters(name: str, rng: Any) -> None:
    function, arguments = row_calls(rng, (5, 36))[name]
    without = tuple(None if a is not None and np.shape(a) == (36,) else a for a in arguments)
    close(name, function(*without), reference(name, *without), scale=4)


def test_gradients_of_a_norm_are_kept_as_they_are(rng: Any) -> None:
    """Arrays of their own, so that a parameter's `.grad` is the array and no copy of it."""
    for norm, count in (("layer_norm", 2), ("rms_norm", 1)):
        found: list[Any] = []
        backward = getattr(rows, f"{norm}_backward_cuda")

        def noted(*arrays: Any, backward: Callable = backward, found: list = found) -> Any:
            found.extend(backward(*arrays)[1:])
            return arrays[0].copy(), *found

        parameters = [minigen.ones(300, requires_grad=True) for _ in range(count)]
        x = minigen.tensor(draw(rng, 9, 300), requires_grad=True)
        with kernels.use(**{f"{norm}_backward": noted}):
            getattr(minigen.nn.functional, norm)(x, [300], *parameters).backward(
                minigen.ones(9, 300)
            )
        assert all(p.grad.array is dw for p, dw in zip(parameters, found, strict=True))


@pytest.mark.parametrize("name", ["softmax", "cross_entropy", "layer_norm_backward"])
@pytest.mark.parametrize("shape", [(9, 33), (3, 600)])
def test_every_schedule_gives_the_same_bits(name: str, shape: tuple, rng: Any) -> None:
    function, arguments = row_calls(rng, shape)[name]
    results = []
    for schedule in (0, 1, 7):
        with emulated(schedule):
            found = function(*arguments)
        results.append(found if isinstance(found, tuple) else (found,))
    for other in results[1:]:
        for one, same in zip(results[0], other):
            np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("width", [33, 1000])
def test_nan_and_infinity_go_through_as_in_the_formula(width: int, rng: Any) -> None:
    x = draw(rng, 6, width)
    x[1, 7], x[2, width - 1], x[3, :] = np.nan, np.inf, -np.inf
    x[4, : width - 1] = -np.inf  # all but one class masked out
    x[5, 3] = -np.inf
    target = np.array([0, 5, 3, 2, width - 1, 1])
    with np.errstate(all="ignore"):
        for name, function, arguments in (
            ("softmax", rows.softmax_cuda, (x,)),
            ("log_softmax", rows.log_softmax_cuda, (x,)),
            ("cross_entropy", rows.cross_entropy_cuda, (x, target)),
            ("layer_norm", rows.layer_norm_cuda, (x, None, None, 1e-5)),
        ):
            found = function(*arguments)
            found = found if isinstance(found, tuple) else (found,)
            for ours, theirs in zip(found, reference(name, *arguments)):
                np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs), err_msg=name)
                finite = np.isfinite(theirs)
                np.testing.assert_allclose(ours[finite], theirs[finite], rtol=1e-5, atol=1e-6)
                np.testing.assert_array_equal(ours[~finite], theirs[~finite].astype(np.float32))


def test_a_target_that_is_no_class_is_nan(rng: Any) -> None:
    x = draw(rng, 4, 5)
    target = np.array([0, -1, 5, 4])
    losses, logsumexp = rows.cross_entropy_cuda(x, target)
    dlogits = rows.cross_entropy_backward_cuda(np.ones(4, np.float32), x, target, logsumexp)
    wrong = [False, True, True, False]
    np.testing.assert_array_equal(np.isnan(losses), wrong)
    np.testing.assert_array_equal(np.isnan(dlogits).all(axis=1), wrong)
    assert np.isfinite(dlogits[[0, 3]]).all()
    with pytest.raises(ValueError, match=r"target has shape \(3,\), expected \(4,\)"):
        rows.cross_entropy_cuda(x, target[:3])


# ------------------------------------------------------------------------------ elementwise


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str, rng: Any) -> None:
    for size in (0, 1, 3, 4, 5, 1023, 1025):
        x, grad = 4 * draw(rng, size), draw(rng, size)
        exact = kernels.get("gelu", "reference")(x, approximate)
        assert (np.abs(elementwise.gelu_cuda(x, approximate) - exact) <= 10 * U * np.abs(x)).all()
        exact = kernels.get("gelu_backward", "reference")(grad, x, approximate)
        found = elementwise.gelu_backward_cuda(grad, x, approximate)
        assert (np.abs(found - exact) <= 40 * U * np.abs(grad)).all()
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 1e30, -1e30, 1e-40], np.float32)
    for name, function in (("gelu", elementwise.gelu_cuda),):
        found, exact = (
            function(special, approximate),
            kernels.get(name, "numpy")(special, approximate),
        )
        np.testing.assert_array_equal(found, exact)


def test_any_strides(rng: Any) -> None:
    base = draw(rng, 4, 6, 8)
    for x in (
        np.asfortranarray(base),
        base[::-1, ::2],
        base[:, 1:, 1:],
        base[0, 0, :1].reshape(()),
    ):
        close("gelu", elementwise.gelu_cuda(x), reference("gelu", x))
    x = draw(rng, 8, 6)
    close("softmax", rows.softmax_cuda(x.T), reference("softmax", x.T))
    close("softmax", rows.softmax_cuda(x.ravel()[3:33].reshape(5, 6)), reference(
        "softmax", x.ravel()[3:33].reshape(5, 6)
    ))  # fmt: skip


def test_dropout(rng: Any) -> None:
    for size in (1, 4, 1027):
        x, mask = draw(rng, size), rng.random(size) < 0.6
        x[0] = np.nan
        found = elementwise.dropout_cuda(x, mask, 2.5)
        np.testing.assert_array_equal(found, kernels.get("dropout", "numpy")(x, mask, 2.5))


# ------------------------------------------------------------------------------ sums into rows


def test_add_rows(rng: Any) -> None:
    for n, width, count in [(0, 3, 4), (1, 1, 1), (300, 33, 7), (65, 64, 40)]:
        values, where = draw(rng, n, width), rng.integers(-count, count, n)
        exact = kernels.get("add_rows", "reference")(values, where, count)
        terms = kernels.get("add_rows", "reference")(np.abs(values), where, count)
        found = scatter.add_rows_cuda(values, where, count)
        assert found.shape == exact.shape
        assert (np.abs(found - exact) <= 32 * U * terms).all()
        with emulated(5):
            np.testing.assert_array_equal(scatter.add_rows_cuda(values, where, count), found)


def test_a_table_so_long_that_a_block_takes_all_columns(
    rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scatter, "BLOCKS", 10)
    values, where = draw(rng, 9, 70), rng.integers(0, 12, 9)
    exact = reference("add_rows", values, where, 12)
    close("add_rows", scatter.add_rows_cuda(values, where, 12), exact)


def test_a_row_outside_of_the_table_is_nan(rng: Any) -> None:
    values = draw(rng, 4, 3)
    below = scatter.add_rows_cuda(values, np.array([0, 1, -4, 2]), 3)
    above = scatter.add_rows_cuda(values, np.array([0, 1, 3, 2]), 3)
    np.testing.assert_array_equal(np.isnan(below).all(axis=1), [True, False, False])
    np.testing.assert_array_equal(np.isnan(above).all(axis=1), [False, False, True])


# ------------------------------------------------------------------------------ optimizers

SIZES = [(3, 5), (1,), (0,), (4096,), (4099,), (2, 2, 2)]


def lists(rng: Any, count: int) -> list[list[np.ndarray]]:
    """Parameters, gradients and so many further arrays of SIZES; the last ones are squares."""
    made = [[draw(rng, *shape) for shape in SIZES] for _ in range(2 + count)]
    made[-1] = [np.square(a) for a in made[-1]] if count == 2 else made[-1]
    return made


def check_step(name: str, function: Callable, arrays: list, options: tuple) -> None:
    exact = [[a.astype(np.float64) for a in column] for column in arrays]
    kernels.get(name, "reference")(*exact, *options)
    function(*arrays, *options)
    for ours, theirs in zip(arrays, exact):
        for one, other in zip(ours, theirs):
            assert (np.abs(one - other) <= 16 * U * (1 + np.abs(other))).all()


@pytest.mark.parametrize("decoupled", [True, False])
def test_adam(decoupled: bool, rng: Any) -> None:
    for step, decay in ((1, 0.0), (9, 0.1)):
        options = (1e-2, 0.9, 0.999, 1e-8, decay, decoupled, step)
        check_step("adam", updates.adam_cuda, lists(rng, 2), options)


def test_sgd(rng: Any) -> None:
    for momentum, nesterov, first, maximize in [
        (0.9, False, True, False), (0.9, True, True, True), (0.9, True, False, False),
        (0.8, False, False, True),
    ]:  # fmt: skip
        options = (0.1, momentum, 0.25, 0.01, nesterov, maximize, first)
        check_step("sgd", updates.sgd_cuda, lists(rng, 1), options)
    p, g = lists(rng, 0)
    exact = [a - 0.1 * (b + 0.01 * a) for a, b in zip(p, g)]
    updates.sgd_cuda(p, g, None, 0.1, 0.0, 0.0, 0.01, False, False, False)
    for ours, theirs in zip(p, exact):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_a_step_of_what_no_flat_memory_shows(rng: Any) -> None:
    """A transposed parameter is left to the plain rung; a transposed gradient is copied."""
    p, g, m, v = ([draw(rng, 6, 4).T, draw(rng, 4, 6)] for _ in range(4))
    v = [np.square(a) for a in v]
    p[0], g[1] = p[0], draw(rng, 6, 4).T
    check_step("adam", updates.adam_cuda, [p, g, m, v], (1e-2, 0.9, 0.99, 1e-8, 0.0, False, 2))


def test_a_step_refuses_what_it_could_only_get_wrong(rng: Any) -> None:
    p, g, m, v = lists(rng, 2)
    options = (1e-2, 0.9, 0.99, 1e-8, 0.0, False, 2)
    with pytest.raises(KernelError, match=r"float32 arrays that are there; got float64\(3, 5\)"):
        updates.adam_cuda(p, [g[0].astype(np.float64), *g[1:]], m, v, *options)
    with pytest.raises(KernelError, match=r"got float32\(2,\) beside float32\(3, 5\)"):
        updates.adam_cuda(p, [np.zeros(2, np.float32), *g[1:]], m, v, *options)


# ------------------------------------------------------------------------------ clipping

MANY = [(3, 5), (1,), (0,), (4096,), (4099,), (), (2, 2, 2), (9000,), (0,)]


def check_clipping(grads: list[np.ndarray], max_norm: float) -> float:
    """The factor, after norm, factor and gradients were held against the formula in float64."""
    exact = [g.astype(np.float64) for g in grads]
    norm, factor = kernels.get("clip_norm", "reference")(exact, max_norm)
    found = updates.clip_norm_cuda(grads, max_norm)
    for ours, theirs, units in zip(found, (norm, factor), (10, 12)):
        assert ours.dtype == np.float32
        assert ours.shape == ()
        assert np.abs(ours - theirs) <= units * U * theirs
    for ours, theirs in zip(grads, exact):
        assert (np.abs(ours - theirs) <= 13 * U * np.abs(theirs)).all()
    return float(found[1])


@pytest.mark.parametrize("size", [1, 3, 255, 1024, 4095, 4096, 4097, 70_001])
def test_clip_norm_of_one_array(size: int, rng: Any) -> None:
    g = draw(rng, size)
    before = g.copy()
    assert check_clipping([g], 1e9) == 1
    np.testing.assert_array_equal(g, before)  # nothing is to be clipped
    assert check_clipping([g], 0.25 * float(np.linalg.norm(g))) < 0.26
    norm, _ = updates.clip_norm_cuda(g, 1.0)  # an array alone
    assert abs(norm - np.linalg.norm(before) / 4) < 1e-4 * norm


def test_clip_norm_of_many(rng: Any) -> None:
    grads = [draw(rng, *shape) for shape in MANY]
    with emulated() as run:
        assert check_clipping(grads, 2.0) < 0.1
    assert run.launches == 3
    assert run.shared_conflicts == 1
    small = [np.asarray(g * np.float32(1e-12)) for g in grads]
    assert check_clipping(small, 1.0) == 1
    empty = [np.zeros((0, 3), np.float32)]
    assert updates.clip_norm_cuda(empty, 1.0) == (0, 1)
    assert updates.clip_norm_cuda([np.zeros(5, np.float32), *empty], 0.0)[1] == 0


def test_more_blocks_than_a_block_has_threads(rng: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 4 elements in place of 4,096: the partial sums are more than 256."""
    monkeypatch.setattr(updates, "CHUNK", 4)
    with machine.changed("fused/cuda/updates.cu", ("CHUNK = 4096", "CHUNK = 4")):
        check_clipping([draw(rng, 1500), draw(rng, 3), draw(rng, 700)], 1.0)


def test_every_schedule_clips_to_the_same_bits(rng: Any) -> None:
    grads = [draw(rng, *shape) for shape in MANY]
    results = []
    for schedule in (0, 1, 7):
        copies = [g.copy() for g in grads]
        with emulated(schedule):
            results.append([*updates.clip_norm_cuda(copies, 3.0), *copies])
    for other in results[1:]:
        for one, same in zip(results[0], other):
            np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("max_norm", [1.0, np.inf])
def test_nan_and_infinity_are_clipped_as_by_numpy(value: float, max_norm: float, rng: Any) -> None:
    grads = [draw(rng, 5000), draw(rng, 3)]
    grads[0][4097] = value
    expected = [g.copy() for g in grads]
    with np.errstate(all="ignore"):
        found = updates.clip_norm_cuda(grads, max_norm)
        theirs = kernels.get("clip_norm", "numpy")(expected, max_norm)
    np.testing.assert_array_equal(
        [*found, *grads[0], *grads[1]], [*theirs, *expected[0], *expected[1]]
    )


def test_clipping_of_what_no_launch_can_scale(rng: Any) -> None:
    """Transposed, starting anywhere, listed twice, one part of another: each is scaled as often as
    it is listed, by the plain way where one launch would meet it twice."""
    base = draw(rng, 64)
    copy = base.copy()

    def views(of: np.ndarray) -> list[np.ndarray]:
        return [of[8:24], of[40:64].reshape(4, 6).T, of[1:8], of[8:24], of[16:32].reshape(4, 4)]

    grads, expected = [*views(base), draw(rng, 5)], views(copy)
    expected.append(grads[-1].copy())
    found = updates.clip_norm_cuda(grads, 0.5)
    theirs = kernels.get("clip_norm", "numpy")(expected, 0.5)
    np.testing.assert_allclose(found, theirs, rtol=1e-6)
    for ours, other in zip([*grads, base], [*expected, copy]):
        np.testing.assert_allclose(ours, other, rtol=1e-6)


def test_clipping_refuses_what_it_could_only_get_wrong(rng: Any) -> None:
    with pytest.raises(KernelError, match=r"float32 arrays that are there; got float64\(3,\)"):
        updates.clip_norm_cuda([draw(rng, 3), np.zeros(3)], 1.0)


# ------------------------------------------------------------------------------ bugs


def planted(monkeypatch: pytest.MonkeyPatch, file: str, was: str, bug: str) -> None:
    """The source with a mistake in it, for the emulator to compile."""
    text = source.read(f"fused/cuda/{file}")
    assert was in text
    if file.endswith(".cu"):
        monkeypatch.setitem(machine._changed, f"fused/cuda/{file}", text.replace(was, bug))
    else:  # a header: the source that includes it gets it whole
        including = source.read("fused/cuda/softmax.cu")
        whole = including.replace(f'#include "{file}"', text.replace(was, bug))
        monkeypatch.setitem(machine._changed, "fused/cuda/softmax.cu", whole)


@pytest.mark.parametrize(
    ("was", "bug"),
    [
        # a lane's sum is forgotten
        ("(sums.at[0] + sums.at[1]) + (sums.at[2]", "(sums.at[0] + sums.at[1]) + (sums.at[0]"),
        # only the last square of each lane is kept
        ("sums.at[e] += g.at[e]", "sums.at[e] = g.at[e]"),
        # the sums of a block's other warps are left out, or read before they are there
        ("warp < BLOCK_WARPS; warp++", "warp < 1; warp++"),
        ("  __syncthreads();\n  Number total", "  Number total"),
        # all blocks write to one place
        ("partial[blockIdx.x] = total", "partial[0] = total"),
        # partial sums behind the first are left out
        ("i < partials; i += THREADS", "i < 1; i += THREADS"),
        ("(float)sqrt(total)", "(float)total"),
        # gradients grow where they are short
        ("factor > 1 ? 1 : factor", "factor"),
        # NaN is taken for nothing to be clipped
        ("factor > 1 ? 1 : factor", "factor < 1 ? factor : 1"),
        # the norm in place of the factor
        ("float factor = found[1]", "float factor = found[0]"),
        # every fourth element is left as it is
        ("g.at[e] *= factor", "if (e < 3) g.at[e] *= factor"),
    ],
)
def test_a_planted_bug_in_clipping_is_caught(was: str, bug: str, rng: Any) -> None:
    def examine() -> None:
        check_clipping([draw(rng, 4099), draw(rng, 5)], 1.5)
        check_clipping([draw(rng, 600)], 1e3)
        assert np.isnan(updates.clip_norm_cuda(np.full(2, np.nan, np.float32), 1.0)).all()

    examine()  # without the bug
    with (
        machine.changed("fused/cuda/updates.cu", (was, bug)),
        pytest.raises((AssertionError, KernelError)),
    ):
        examine()


@pytest.mark.parametrize(
    ("file", "was", "bug", "name", "shape"),
    [
        # the old sum is not scaled down when a larger element comes
        ("rows.cuh", "seen.sum *= expf(seen.largest - largest);", "", "softmax", (3, 99)),
        # -∞ - -∞ before the first finite element
        ("rows.cuh", "largest == -infinity() ? 0.0f : largest", "largest", "masked", (3, 40)),
        # the end of a row that is no multiple of the team
        ("softmax.cu", "< columns / VECTOR", "< columns / VECTOR - 1", "softmax", (3, 33)),
        ("layer_norm.cu", "square) / columns", "square) / (columns - 1)", "layer_norm", (3, 33)),
        # only the first team's sums are written
        ("layer_norm.cu", "team < TEAMS", "team < 1", "layer_norm_backward", (9, 33)),
        # every other slice of rows is forgotten
        ("columns.cu", "+= PARTIAL_SLICES", "+= 2 * PARTIAL_SLICES", "layer_norm_backward",
         (300, 33)),
        # sums over grad begin in the place of the last one over grad x̂
        ("columns.cu", "column < columns ?", "column + 1 < columns ?", "layer_norm_backward",
         (9, 33)),
        ("cross_entropy.cu", "pack * VECTOR + e == chosen", "pack + e == chosen",
         "cross_entropy_backward", (9, 32)),
    ],
)  # fmt: skip
def test_a_planted_bug_is_caught(
    file: str, was: str, bug: str, name: str, shape: tuple, rng: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if name == "masked":
        x = draw(rng, *shape)
        x[:, :35] = -np.inf
        function, arguments, name = rows.softmax_cuda, (x,), "softmax"
    else:
        function, arguments = row_calls(rng, shape)[name]
    exact, least = reference(name, *arguments), terms(name, arguments)
    close(name, function(*arguments), exact, 4, least)  # without the bug
    planted(monkeypatch, file, was, bug)
    with pytest.raises((AssertionError, KernelError)):
        close(name, function(*arguments), exact, 4, least)


def test_a_missing_barrier_is_caught(rng: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a warp reads sums that the other warps have not left there yet."""
    barrier = "    of_warps[threadIdx.x / WARP] = value;\n  }\n  __syncthreads();"
    planted(monkeypatch, "rows.cuh", barrier, barrier.replace("__syncthreads();", ""))
    function, arguments = row_calls(rng, (2, 600))["softmax"]
    with pytest.raises((AssertionError, KernelError)):
        close("softmax", function(*arguments), reference("softmax", *arguments), scale=4)


# ------------------------------------------------------------------------------ configurations


def test_every_kernel_of_the_sources_is_in_the_catalogue() -> None:
    declared = {
        (file, name)
        for file in ("softmax", "cross_entropy", "layer_norm", "columns", "elementwise", "updates")
        for name in source.parameters(source.read(f"fused/cuda/{file}.cu"))
    }
    assert {(k.file.split("/")[-1][:-3], k.name) for k in cuda.KERNELS} == declared
    assert launching.on_rows("softmax", "softmax", 1, 4) in cuda.KERNELS


def test_the_configurations_compile_without_spills() -> None:
    for kernel in cuda.KERNELS:
        if kernel.defines in ({}, {"WARPS": 8, "VECTOR": 4}):
            compiled = kernel.compile()
            assert compiled.warnings == ()
            assert compiled.kernels[kernel.name]["spills"] == 0
