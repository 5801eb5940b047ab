"""Every rung of LSTM and GRU against the float64 reference, inside a bound that goes along with it.

The bound is a running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
section 3.3): beside every state goes a bound of its error, to which each step adds its roundings
and in which the step multiplies what it received by the largest slopes of its functions. Nothing in
it is fitted; FUNCTION is what `kernels/elementary.py` promises of exp and tanh, in units of u, with
the additions and the quotient of a sigmoid.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minigen.kernels import parallel
from minigen.kernels.recurrence import panels
from minigen.kernels.recurrence.walk import walk

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
FUNCTION = 10  # u: 4e-7 is 7 u in float32; NumPy's and the C library's functions err less
RUNGS = ("numpy", "numba")

# sizes, features: around the lanes of a vector, groups of four rows and tiles of three vectors
CASES = [
    ((1,), 1),
    ((2, 2, 2), 3),
    ((3, 2, 2, 1), 7),
    ((4, 4, 1), 8),
    ((5, 5, 3, 1, 1), 9),
    ((9, 8, 4, 2), 16),
    ((13, 7), 25),
    ((17, 16, 16, 3), 33),
    ((3, 2), 65),  # sums of more than DEPTH terms, backward
]


def inputs(rng: Any, sizes: tuple, features: int, dtype: str, projection: int = 0) -> tuple:
    width, total, batch = projection or features, sum(sizes), sizes[0] if sizes else 2
    shapes = ((total, 4 * features), (batch, width), (batch, features), (4 * features, width))
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    arrays[3] *= max(1, width) ** -0.5
    weight_hr = rng.standard_normal((width, features)).astype(dtype) if projection else None
    return (*arrays, weight_hr)


def backward_inputs(rng: Any, arguments: tuple) -> tuple:
    """Gradients of output and last cells, and what forward keeps, in the dtype of the inputs."""
    dtype = arguments[0].dtype
    output, last, *kept, _ = kernels.get("lstm", "reference")(*arguments)
    grads = (rng.standard_normal(a.shape).astype(dtype) for a in (output, last))
    return (*grads, *(a.astype(dtype) for a in kept), *arguments[3:])


def bounds(arguments: tuple, results: tuple, u: float) -> list[np.ndarray]:
    """A bound of the error of every number that forward returns."""
    projected, hidden, cell, weight, weight_hr, sizes, reverse = arguments
    _, _, gates, squashed, cells, previous = results
    w, hr = abs(weight.astype(float)), None if weight_hr is None else abs(weight_hr.astype(float))
    e_h, e_c = np.zeros(hidden.shape), np.zeros(cell.shape)
    errors = [np.zeros(a.shape) for a in results]
    for rows, n in walk(sizes, reverse):
        errors[4][rows], errors[5][rows] = e_c[:n], e_h[:n]
        sums = abs(projected[rows]) + abs(previous[rows]) @ w.T
        e_sum = (w.shape[1] + 2) * u * sums + e_h[:n] @ w.T
        i, f, g, o = np.split(e_sum, 4, axis=1)
        i, f, g, o = (  # σ' <= 1/4, tanh' <= 1
            e * slope + FUNCTION * u for e, slope in ((i, 0.25), (f, 0.25), (g, 1), (o, 0.25))
        )
        errors[2][rows] = np.concatenate([i, f, g, o], axis=1)
        e_c[:n] = f * abs(cells[rows]) + e_c[:n] * (1 + f) + i + g + i * g
        e_c[:n] += 3 * u * (abs(cells[rows]) + 1)
        errors[3][rows] = e_c[:n] + FUNCTION * u
        e_m = o + errors[3][rows] + o * errors[3][rows] + u
        if hr is not None:
            m = np.split(gates[rows], 4, axis=1)[3] * abs(squashed[rows])
            e_m = e_m @ hr.T + (hr.shape[1] + 1) * u * (m @ hr.T)
        errors[0][rows] = e_h[:n] = e_m
    errors[1] = e_c
    return errors


def backward_bounds(arguments: tuple, results: tuple, u: float) -> list[np.ndarray]:
    """The same of the gradients of projected, hidden and cell; without a projection.

    1 - s² errs by u s² + u (1 - s²), which is u; every other factor by a unit of itself.
    """
    grad, last_grad, gates, squashed, cells, weight, _, sizes, reverse = arguments
    gates, squashed, cells = (abs(a.astype(float)) for a in (gates, squashed, cells))
    w = abs(weight.astype(float))
    delta = abs(results[0])
    dc, dh = abs(last_grad.astype(float)), np.zeros_like(last_grad, float)
    e_dc, e_dh, e_delta = np.zeros_like(dc), np.zeros_like(dh), np.zeros_like(delta)
    for rows, n in reversed(walk(sizes, reverse)):
        i, f, g, o = np.split(gates[rows], 4, axis=1)
        s, c = squashed[rows], cells[rows]
        dm = dh[:n] + abs(grad[rows])  # with absolute values everywhere
        e_dm = e_dh[:n] * (1 + u) + u * dm
        e_dc[:n] += e_dm * o + 6 * u * (dc[:n] + dm * o)
        dc[:n] += dm * o * (1 - s * s)
        factors = np.concatenate([g * i * (1 - i), c * f * (1 - f), i, s * o * (1 - o)], axis=1)
        e_delta[rows] = factors * np.hstack([e_dc[:n]] * 3 + [e_dm])
        e_delta[rows] += 6 * u * factors * np.hstack([dc[:n]] * 3 + [dm])
        absolute = factors * np.hstack([dc[:n]] * 3 + [dm])
        dc[:n] *= f
        e_dc[:n] = e_dc[:n] * f + u * dc[:n]
        e_dh[:n] = e_delta[rows] @ w + (w.shape[0] + 1) * u * (absolute @ w)
        dh[:n] = absolute @ w
    return [e_delta, e_dh, e_dc]


def gru_inputs(arguments: tuple, rng: Any) -> tuple:
    """Three of the LSTM's four gates, with a bias for every other number of features."""
    projected, hidden, _, weight, _, sizes, reverse = arguments
    n = 3 * hidden.shape[1]
    bias = rng.standard_normal(n).astype(weight.dtype) if hidden.shape[1] % 2 else None
    return projected[:, :n].copy(), hidden, weight[:n], bias, sizes, reverse


def gru_backward_inputs(rng: Any, arguments: tuple) -> tuple:
    projected, hidden, weight, _, *options = arguments
    output, *kept = kernels.get("gru", "reference")(*arguments)
    grad, *kept = (a.astype(projected.dtype) for a in (rng.standard_normal(output.shape), *kept))
    return grad, *kept, weight, *options, hidden.shape[0]


def gru_bounds(arguments: tuple, results: tuple, u: float) -> list[np.ndarray]:
    projected, hidden, weight, bias, sizes, reverse = arguments
    _, gates, inner, previous = results
    w, b = abs(weight.astype(float)), 0 if bias is None else abs(bias.astype(float))
    e_h = np.zeros(hidden.shape)
    errors = [np.zeros(a.shape) for a in results]
    for rows, count in walk(sizes, reverse):
        h, e_before = abs(previous[rows]), e_h[:count].copy()
        sums = h @ w.T + b
        e_q = (w.shape[1] + 2) * u * sums + e_before @ w.T
        r, z, n = np.split(abs(gates[rows]), 3, axis=1)
        p_n, q_n = abs(np.split(projected[rows], 3, axis=1)[2]), abs(inner[rows])
        e_sum = e_q + u * (abs(projected[rows]) + sums)
        e_r, e_z = (e / 4 + FUNCTION * u for e in np.split(e_sum, 3, axis=1)[:2])
        errors[2][rows] = e_qn = np.split(e_q, 3, axis=1)[2]
        e_n = e_r * q_n + (r + e_r) * e_qn + 3 * u * (p_n + q_n) + FUNCTION * u
        errors[1][rows] = np.concatenate([e_r, e_z, e_n], axis=1)
        errors[3][rows] = e_before
        e_h[:count] = (z + e_z) * (e_before + e_n) + e_z * (h + n) + e_n + 4 * u * (h + n)
        errors[0][rows] = e_h[:count]
    return errors


def gru_backward_bounds(arguments: tuple, results: tuple, u: float) -> list[np.ndarray]:
    grad, gates, inner, previous, weight, sizes, reverse, batch = arguments
    gates, inner, previous = (abs(a.astype(float)) for a in (gates, inner, previous))
    w, shape = abs(weight.astype(float)), (batch, grad.shape[1])
    dh, e_dh = np.zeros(shape), np.zeros(shape)
    e_delta, e_dq = np.zeros_like(gates), np.zeros_like(gates)
    for rows, count in reversed(walk(sizes, reverse)):
        r, z, n = np.split(gates[rows], 3, axis=1)
        reached = dh[:count] + abs(grad[rows])
        e_reached = e_dh[:count] + 2 * u * reached
        new = r * inner[rows] * (1 - r), z * (1 - z) * (previous[rows] + n)
        factors = np.concatenate([(1 - z) * new[0], new[1], 1 - z], axis=1)
        scale = np.tile(e_reached + 9 * u * reached, (1, 3))
        e_delta[rows] = factors * scale
        factors[:, -r.shape[1] :] *= r
        e_dq[rows] = factors * scale
        absolute = factors * np.tile(reached, (1, 3))
        e_dh[:count] = e_reached * z + e_dq[rows] @ w
        dh[:count] = reached * z + absolute @ w
        e_dh[:count] += (w.shape[0] + 2) * u * dh[:count]
    return [e_delta, e_dq, e_dh]


BOUNDS = {
    "lstm": bounds,
    "lstm_backward": backward_bounds,
    "gru": gru_bounds,
    "gru_backward": gru_backward_bounds,
}


def calls(rng: Any, arguments: tuple) -> list[tuple[str, tuple]]:
    """(operation, arguments) of all four, from those of lstm."""
    small = gru_inputs(arguments, rng)
    return [
        ("lstm", arguments),
        ("lstm_backward", backward_inputs(rng, arguments)),
        ("gru", small),
        ("gru_backward", gru_backward_inputs(rng, small)),
    ]


def check(name: str, rung: str, arguments: tuple) -> tuple:
    """Shapes, dtypes and layouts; inputs as they were; errors inside their bounds."""
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    results = kernels.get(name, rung)(*arguments)
    exact = kernels.get(name, "reference")(*arguments)
    dtype = arguments[0].dtype
    expected = kernels.registry.operation(name).expected(*arguments)
    assert [(a.shape, a.dtype) for a in results] == list(expected)
    assert [a.shape for a in exact] == [shape for shape, _ in expected]
    errors = BOUNDS[name](arguments, exact, UNIT[str(dtype)])
    for result, right, error in zip(results, exact, errors):
        assert result.flags.c_contiguous
        assert (np.abs(result - right) <= error * (1 + 1e-3)).all()  # for terms in u²
    for array, copy in zip(arguments, before):
        np.testing.assert_array_equal(array, copy)
    return results


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "MULTIPLY_ADDS", 0)
    monkeypatch.setattr(panels, "ROWS", (3, 3))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_ragged_shapes(case, rung, dtype, reverse, rng, poisoned) -> None:
    arguments = (*inputs(rng, *case, dtype), case[0], reverse)
    for name, these in calls(rng, arguments):
        check(name, rung, these)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_parts(case, reverse, rng, poisoned, small_parts) -> None:
    """The same bits in parts of three sequences as in one."""
    arguments = (*inputs(rng, *case, "float32"), case[0], reverse)
    for name, given_ in calls(rng, arguments):
        parts = check(name, "numba", given_)
        panels.MULTIPLY_ADDS = 2**40
        whole = kernels.get(name, "numba")(*given_)
        panels.MULTIPLY_ADDS = 0
        assert [a.tobytes() for a in parts] == [a.tobytes() for a in whole]


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("projection", [1, 3, 5])
def test_projections(projection, rung, rng, poisoned) -> None:
    arguments = (*inputs(rng, (4, 3, 1), 5, "float64", projection), (4, 3, 1), False)
    check("lstm", rung, arguments)
    given_ = backward_inputs(rng, arguments)
    exact = kernels.get("lstm_backward", "reference")(*given_)
    for result, right in zip(kernels.get("lstm_backward", rung)(*given_), exact, strict=True):
        np.testing.assert_allclose(result, right, rtol=1e-12, atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 10), min_size=1, max_size=5).map(lambda n: tuple(sorted(n)[::-1])),
    st.integers(1, 40), st.booleans(), st.sampled_from(sorted(UNIT)), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_sizes(sizes, features, reverse, dtype, seed) -> None:
    rng = np.random.default_rng(seed)
    arguments = (*inputs(rng, sizes, features, dtype), sizes, reverse)
    for rung in RUNGS:
        for name, these in calls(rng, arguments):
            check(name, rung, these)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("variant", ["every second", "backwards", "transposed", "misaligned"])
def test_any_strides(variant, rung, rng, poisoned) -> None:
    def strided(array: Any) -> Any:
        if not isinstance(array, np.ndarray) or array.ndim < 2:
            return array
        if variant == "every second":
            array = np.repeat(np.repeat(array, 2, 0), 3, 1)[::2, ::3]
        elif variant == "backwards":
            array = np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
        elif variant == "transposed":
            array = np.ascontiguousarray(array.T).T
        else:
            memory = np.frombuffer(b"?" + array.tobytes(), np.uint8)[1:]
            array = memory.view(array.dtype).reshape(array.shape)
        array.flags.writeable = False
        return array

    sizes = (5, 4, 4, 1)
    arguments = (*inputs(rng, sizes, 9, "float32"), sizes, False)
    for name, these in calls(rng, arguments):
        check(name, rung, tuple(map(strided, these)))


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(("sizes", "features"), [((), 3), ((2, 2), 0), ((0, 0), 3)])
def test_nothing_to_compute(sizes, features, rung, rng) -> None:
    """No step, no feature, no sequence: states come back, gradients pass."""
    arguments = (*inputs(rng, sizes, features, "float32"), sizes, False)
    results = kernels.get("lstm", rung)(*arguments)
    assert results[0].shape == (sum(sizes), features)
    np.testing.assert_array_equal(results[1], arguments[2])
    gradients = kernels.get("lstm_backward", rung)(*backward_inputs(rng, arguments))
    assert gradients[0].shape == arguments[0].shape
    np.testing.assert_array_equal(gradients[1], np.zeros_like(arguments[1]))


@pytest.mark.parametrize("rung", RUNGS)
def test_nan_and_infinity_stay_in_their_sequence(rung, rng) -> None:
    """They go the way that they go in the formula, and reach no other sequence."""
    sizes = (6, 6, 4)
    p, h, c, w, _ = inputs(rng, sizes, 9, "float32")
    p[7, 3], c[4, 2], h[0, 0] = np.nan, np.inf, -np.inf
    arguments = (p, h, c, w, None, sizes, False)
    with np.errstate(invalid="ignore"):
        for name, these in calls(rng, arguments):
            results = kernels.get(name, rung)(*these)
            exact = kernels.get(name, "reference")(*these)
            for result, right in zip(results, exact):
                np.testing.assert_allclose(result, right, rtol=1e-4, atol=1e-4)
            assert np.isnan(results[0]).any()
            assert np.isfinite(results[0][[2, 3, 5, 8, 9, 11, 14, 15]]).all()


@pytest.mark.parametrize("rung", RUNGS)
def test_large_numbers_saturate_without_warnings(rung, rng) -> None:
    sizes = (3, 2)
    p, h, c, w, _ = inputs(rng, sizes, 8, "float32")
    check("lstm", rung, (np.sign(p) * np.float32(1e4), h, c, w, None, sizes, False))


def test_the_same_on_any_number_of_threads(rng, small_parts) -> None:
    sizes = (17, 16, 16, 3)
    arguments = (*inputs(rng, sizes, 33, "float32"), sizes, False)
    given_ = calls(rng, arguments)
    threads, found = parallel.threads(), []
    try:
        for number in (1, 2, 3):
            parallel.set_threads(number)
            results = [a for name, these in given_ for a in kernels.get(name, "numba")(*these)]
            found.append([a.tobytes() for a in results])
    finally:
        parallel.set_threads(threads)
    assert found[0] == found[1] == found[2]


def test_python_threads_at_once(rng) -> None:
    jobs = [(*inputs(rng, *case, "float32"), case[0], False) for case in CASES] * 3

    def run(arguments: tuple) -> list[bytes]:
        return [a.tobytes() for a in kernels.get("lstm", "numba")(*arguments)]

    alone = [run(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, jobs)) == alone


def test_parts_are_cut_by_shapes_alone() -> None:
    assert panels.parts(16, 2**28) == [(0, 8), (8, 16)]
    assert panels.parts(16, panels.MULTIPLY_ADDS - 1) == [(0, 16)]
    assert panels.parts(70, 2**28)[-1] == (64, 70)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("reverse", [False, True])
def test_backward_is_the_derivative(reverse, rung, rng) -> None:
    """Differences of forward, in float64, along one random direction of all three inputs."""
    sizes, step = (4, 3, 3, 1), 1e-6
    p, h, c, w, _ = arguments = inputs(rng, sizes, 5, "float64")
    forward = kernels.get("lstm", rung)
    given_ = backward_inputs(rng, (*arguments, sizes, reverse))
    gradients = kernels.get("lstm_backward", rung)(*given_)
    directions = [rng.standard_normal(a.shape) for a in (p, h, c)]

    def value(by: float) -> float:
        moved = [a + by * d for a, d in zip((p, h, c), directions)]
        output, last, *_ = forward(*moved, w, None, sizes, reverse)
        return float(np.vdot(output, given_[0]) + np.vdot(last, given_[1]))

    slope = (value(step) - value(-step)) / (2 * step)
    np.testing.assert_allclose(slope, sum(map(np.vdot, gradients, directions)), rtol=1e-7)
