"""The simulator of CUDA blocks: right results, exact counts, every planted bug found in place."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minigen.kernels.simulator import Report, SimulationError, simulate
from numba import cuda, float32

SCHEDULES = ("lock-step", "forward", "reverse", "random")
TILE = 4


def line_of(kernel: Any, text: str, number: int = 0) -> int:
    """The line of this file in which the kernel has the text, the first or a later time."""
    lines, first = inspect.getsourcelines(getattr(kernel, "py_func", kernel))
    found = [first + i for i, line in enumerate(lines) if text in line]
    return found[number]


def only(report: Report, kind: str, line: int) -> Any:
    """The one finding there is."""
    assert [(f.kind, f.line) for f in report.findings] == [(kind, line)], str(report)
    return report.findings[0]


# ------------------------------------------------------------------ control flow


def collatz(start, steps):
    """Every thread its own number of turns, with break, continue and nested ifs."""
    i = cuda.grid(1)
    if i >= start.size:
        return
    n = start[i]
    count = 0
    while True:
        if n == 1:
            break
        count += 1
        if n % 2 == 0:
            n //= 2
            continue
        n = 3 * n + 1
    steps[i] = count


def triangle(x, y):
    """Loops of different length for each thread, `for … else` by hand, chained comparisons."""
    i, j = cuda.grid(2)
    if not (0 <= i < x.shape[0] and 0 <= j < x.shape[1]):
        return
    total = 0.0
    for k in range(j, -1, -2):
        if k == 1 and i == 2:
            continue
        for extra in range(k):
            if extra > i:
                break
            total += 1.0
        total += x[i, k]
    last = -1
    for last in range(i):
        if last == 2:
            break
    y[i, j] = total * (2.0 if i % 2 == 0 or j == 0 else -1.0) + last


def plain_collatz(n: int) -> int:
    count = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        count += 1
    return count


def plain_triangle(x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    for i, j in np.ndindex(x.shape):
        total = 0.0
        for k in range(j, -1, -2):
            if k == 1 and i == 2:
                continue
            total += min(k, i + 1) + x[i, k]
        last = -1
        for last in range(i):
            if last == 2:
                break
        y[i, j] = total * (2.0 if i % 2 == 0 or j == 0 else -1.0) + last
    return y


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_branches_and_loops_of_every_thread(schedule: str) -> None:
    start = np.arange(1, 60)
    steps = np.full(59, -7)
    simulate(collatz, schedule)[2, 40](start, steps).check()
    assert steps.tolist() == [plain_collatz(n) for n in range(1, 60)]
    x = np.random.default_rng(0).standard_normal((5, 7))
    y = np.full_like(x, np.nan)
    simulate(triangle, schedule)[(2, 2), (4, 5)](x, y).check()
    np.testing.assert_allclose(y, plain_triangle(x))


def factorial(n):
    result = 1
    for k in range(2, n + 1):
        result *= k
    if result > 100:
        return 100
    return result


def neighbour(shared, i):
    cuda.syncthreads()
    return shared[(i + 1) % shared.size]


def calls(x, y):
    shared = cuda.shared.array(8, float32)
    i = cuda.threadIdx.x
    shared[i] = x[i]
    y[i] = neighbour(shared, i) + factorial(i)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_functions_that_a_kernel_calls(schedule: str) -> None:
    x, y = np.arange(8, dtype=np.float32), np.empty(8, np.float32)
    simulate(calls, schedule)[1, 8](x, y)
    expected = [(i + 1) % 8 + min(100, math.factorial(i)) for i in range(8)]
    assert y.tolist() == expected


def places(out):
    x, y, z = cuda.grid(3)
    w, h, d = cuda.gridsize(3)
    out[z, y, x] = x + w * (y + h * (z + d * 0)) + 1000 * cuda.laneid * (cuda.blockIdx.z == 9)


def test_grid_and_gridsize() -> None:
    out = np.empty((4, 6, 6), np.int64)
    simulate(places)[(3, 2, 1), (2, 3, 4)](out).check()
    np.testing.assert_array_equal(out.ravel(), np.arange(4 * 6 * 6))


def numbers(x, y):
    i = cuda.threadIdx.x
    y[i, 0] = max(x[i], float32(0))
    y[i, 1] = math.exp(x[i]) + math.sqrt(abs(x[i]))
    y[i, 2] = int(x[i])
    y[i, 3] = min(x[i], x[i] * x[i])
    y[i, 4] = math.erf(x[i])


def test_numbers_keep_float32() -> None:
    x = np.array([-1.5, 2.25], np.float32)
    y = np.full((2, 5), np.nan, np.float32)
    simulate(numbers)[1, 2](x, y).check()
    expected = [
        [max(v, 0), math.exp(v) + math.sqrt(abs(v)), int(v), min(v, v * v), math.erf(v)]
        for v in (-1.5, 2.25)
    ]
    np.testing.assert_allclose(y, expected, rtol=1e-6)


# ------------------------------------------------------------------ warps and atomics


def warp_sum(x, y):
    i = cuda.threadIdx.x
    value = x[i]
    distance = 16
    while distance > 0:
        value += cuda.shfl_down_sync(0xFFFFFFFF, value, distance)
        distance //= 2
    if i % 32 == 0:
        y[i // 32] = value


def histogram(x, counts):
    i = cuda.grid(1)
    if i < x.size:
        cuda.atomic.add(counts, x[i], 1)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_shuffles_and_atomics(schedule: str) -> None:
    x = np.random.default_rng(1).standard_normal(64)
    y = np.full(2, np.nan)
    simulate(warp_sum, schedule)[1, 64](x, y).check()
    np.testing.assert_allclose(y, x.reshape(2, 32).sum(axis=1))
    picks = np.random.default_rng(2).integers(0, 5, 100)
    counts = np.zeros(5, np.int64)
    report = simulate(histogram, schedule)[2, 64](picks, counts).check()
    np.testing.assert_array_equal(counts, np.bincount(picks, minlength=5))
    assert report.total("global", "atomic") == 100


def lonely_shuffle(x, y):
    i = cuda.threadIdx.x
    if i < 20:
        y[i] = cuda.shfl_xor_sync(0xFFFFFFFF, x[i], 1)


def test_a_shuffle_that_a_lane_misses() -> None:
    x = np.ones(32)
    report = simulate(lonely_shuffle)[1, 32](x, x.copy())
    found = only(report, "shuffle", line_of(lonely_shuffle, "shfl_xor"))
    assert found.thread == (20, 0, 0)
    assert "names this thread, which does not take part" in found.message


# ------------------------------------------------------------------ traffic, counted by hand


def tiled(a, b, c):
    a_tile = cuda.shared.array((TILE, TILE), a.dtype)
    b_tile = cuda.shared.array((TILE, TILE), a.dtype)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    j, i = cuda.grid(2)
    total = a.dtype.type(0)
    for first in range(0, a.shape[1], TILE):
        inside = i < a.shape[0] and first + x < a.shape[1]
        a_tile[y, x] = a[i, first + x] if inside else a.dtype.type(0)
        inside = first + y < b.shape[0] and j < b.shape[1]
        b_tile[y, x] = b[first + y, j] if inside else a.dtype.type(0)
        cuda.syncthreads()
        for k in range(TILE):
            total += a_tile[y, k] * b_tile[k, x]
        cuda.syncthreads()
    if i < c.shape[0] and j < c.shape[1]:
        c[i, j] = total


def run(kernel: Any, m: int, k: int, n: int, schedule: str = "lock-step") -> tuple[Any, Report]:
    rng = np.random.default_rng(m + k + n)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n)))
    c = np.full((m, n), np.nan, np.float32)
    grid = (-(-n // TILE), -(-m // TILE))
    report = simulate(kernel, schedule, seed=3)[grid, (TILE, TILE)](a, b, c)
    return abs(c - a.astype(np.float64) @ b).max(), report


@settings(max_examples=25, deadline=None)
@given(*[st.integers(1, 11)] * 3, st.sampled_from(SCHEDULES))
def test_traffic_of_the_tiled_product(m: int, k: int, n: int, schedule: str) -> None:
    error, report = run(tiled, m, k, n, schedule)
    report.check()
    assert error < 1e-5
    blocks = -(-n // TILE) * -(-m // TILE)
    steps = -(-k // TILE)
    assert report.global_reads == m * k * -(-n // TILE) + k * n * -(-m // TILE)
    assert report.global_writes == m * n
    assert report.shared_writes == 2 * blocks * steps * TILE**2
    assert report.shared_reads == 2 * blocks * steps * TILE**3
    assert report.barriers == 2 * blocks * steps


def strides(x, y, step):
    shared = cuda.shared.array(2048, float32)
    i = cuda.threadIdx.x
    shared[i * step] = x[i * step]
    y[i] = shared[i * step]


@pytest.mark.parametrize(
    ("step", "sectors", "passes"), [(1, 4, 1), (2, 8, 2), (3, 12, 1), (8, 32, 8), (32, 32, 32)]
)
def test_sectors_and_bank_conflicts(step: int, sectors: int, passes: int) -> None:
    x, y = np.ones(2048, np.float32), np.empty(64, np.float32)
    report = simulate(strides)[1, 64](x, y, step).check()
    assert report.sectors("x") == sectors
    assert report.sectors("y") == 4
    assert report.wavefronts() == passes
    site = next(s for s in report.sites.values() if s.array == "x")
    assert (site.accesses, site.requests, site.best) == (64, 2, 8)
    assert f"{sectors:.2f} sectors  4.00" in str(report)


# ------------------------------------------------------------------ planted bugs


def no_first_barrier(a, b, c):
    a_tile = cuda.shared.array((TILE, TILE), a.dtype)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    total = a.dtype.type(0)
    a_tile[y, x] = a[y, x]
    for k in range(TILE):
        total += a_tile[y, k] * b[k, x]
    c[y, x] = total


def no_second_barrier(a, b, c):
    a_tile = cuda.shared.array((TILE, TILE), a.dtype)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    total = a.dtype.type(0)
    for _ in range(2):
        a_tile[y, x] = a[y, x]
        cuda.syncthreads()
        for k in range(TILE):
            total += a_tile[y, k] * b[k, x]
    c[y, x] = total


def off_by_one(a, b, c):
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    total = a.dtype.type(0)
    for k in range(a.shape[1] + 1):
        total += a[y, k]
    c[y, x] = total + b[y, x]


def negative(a, b, c):
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    c[y, x] = a[y, x - 1] + b[y, x]


def store_outside(a, b, c):
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    c[y, x + 1] = a[y, x] + b[y, x]


def divergent_barrier(a, b, c):
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    if x < 2:
        cuda.syncthreads()
    c[y, x] = a[y, x] + b[y, x]


def early_return(a, b, c):
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    if y == 3:
        return
    cuda.syncthreads()
    c[y, x] = a[y, x] + b[y, x]


def racing_reduction(a, b, c):
    sums = cuda.shared.array(16, float32)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    i = y * TILE + x
    sums[i] = a[y, x]
    cuda.syncthreads()
    half = 8
    while half > 0:
        if i < half:
            sums[i] += sums[i + half]
        half //= 2
    cuda.syncthreads()
    c[y, x] = sums[0] + b[y, x]


def racing_sum(a, b, c):
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    c[0, 0] = a[y, x] + b[y, x]


def unset_memory(a, b, c):
    tile = cuda.shared.array((TILE, TILE), float32)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    if x > 0:
        tile[y, x] = a[y, x]
    cuda.syncthreads()
    c[y, x] = tile[y, x] + b[y, x]


def double_literal(a, b, c):
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    c[y, x] = 0.5 * a[y, x] + b[y, x]


EXPECTED = {
    # kernel: (kind, the line's text, the thread that is named)
    no_first_barrier: ("race", "total += a_tile", (1, 0, 0)),
    no_second_barrier: ("race", "total += a_tile", (1, 0, 0)),
    off_by_one: ("out of bounds", "total += a", (0, 0, 0)),
    negative: ("out of bounds", "c[y, x] = a", (0, 0, 0)),
    store_outside: ("out of bounds", "c[y, x + 1]", (3, 0, 0)),
    divergent_barrier: ("divergence", "syncthreads", (2, 0, 0)),
    early_return: ("divergence", "syncthreads", (0, 3, 0)),
    racing_reduction: ("race", "sums[i] += sums", None),
    racing_sum: ("race", "c[0, 0]", None),
    unset_memory: ("unset", "c[y, x] = tile", (0, 0, 0)),
    double_literal: ("float64", "c[y, x] = 0.5", (0, 0, 0)),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kernel", EXPECTED, ids=lambda kernel: kernel.__name__)
def test_planted_bugs(kernel: Any, schedule: str) -> None:
    kind, text, thread = EXPECTED[kernel]
    a, b = np.ones((TILE, TILE), np.float32), np.ones((TILE, TILE), np.float32)
    report = simulate(kernel, schedule)[1, (TILE, TILE)](a, b, np.zeros_like(a))
    found = report.found(kind)
    assert found[0].line == line_of(kernel, text)
    if thread is not None:
        assert found[0].thread == thread
    with pytest.raises(SimulationError, match=f"kernel {kernel.__name__}:\n{kind}: line"):
        report.check()


def test_what_the_findings_say() -> None:
    a = np.ones((TILE, TILE), np.float32)

    def message(kernel: Any) -> str:
        return simulate(kernel)[1, (TILE, TILE)](a, a.copy(), a.copy()).findings[0].message

    written = line_of(no_first_barrier, "a_tile[y, x] = a")
    assert message(no_first_barrier) == (
        "block 0, thread (1, 0): reads a_tile[0, 0], which thread (0, 0) writes "
        f"at line {written}, with no barrier between"
    )
    assert "a[0, 4] is outside its shape (4, 4)" in message(off_by_one)
    assert "a[0, -1] is outside its shape (4, 4); Numba would count from the end" in message(
        negative
    )
    assert "is in another branch while thread (0, 0) waits" in message(divergent_barrier)
    assert "has returned while thread (0, 0) waits" in message(early_return)
    assert "tile[0, 0] is read before any thread has written it" in message(unset_memory)
    assert "a float64 is stored in the float32 array c" in message(double_literal)


def between_blocks(x):
    i = cuda.threadIdx.x
    x[i] = x[i] + cuda.blockIdx.x


def waits_in_one_warp(x):
    i = cuda.threadIdx.x
    if i < 32:
        cuda.syncthreads()
    else:
        cuda.syncthreads()
    x[i] = i


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_races_between_blocks_and_warps_at_two_barriers(schedule: str) -> None:
    report = simulate(between_blocks, schedule)[3, 8](np.zeros(8, np.int64))
    found = only(report, "race", line_of(between_blocks, "x[i] = x[i]"))
    assert ", which block (" in found.message
    assert "nothing orders two blocks" in found.message
    report = simulate(waits_in_one_warp, schedule)[1, 64](np.zeros(64, np.int64))
    assert {f.kind for f in report.findings} == {"divergence"}


def warp_synchronous(x, synchronised):
    shared = cuda.shared.array(32, float32)
    i = cuda.threadIdx.x
    shared[i] = x[i]
    if synchronised:
        cuda.syncwarp()
    x[i] = shared[31 - i]


def test_syncwarp_orders_the_threads_of_a_warp() -> None:
    x = np.arange(32, dtype=np.float32)
    only(
        simulate(warp_synchronous)[1, 32](x.copy(), False), "race", line_of(warp_synchronous, "31")
    )
    simulate(warp_synchronous)[1, 32](x, True).check()
    assert x.tolist() == list(range(31, -1, -1))


def test_a_swapped_index_shows_in_the_sectors() -> None:
    a, c = np.ones((32, 32), np.float32), np.empty((32, 32), np.float32)
    assert simulate(copy_rows)[1, (32, 32)](a, c).check().sectors() == 4
    assert simulate(copy_columns)[1, (32, 32)](a, c).check().sectors() == 32


def copy_rows(a, c):
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    c[y, x] = a[y, x]


def copy_columns(a, c):
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    c[x, y] = a[x, y]


# ------------------------------------------------------------------ what is refused


def with_slice(x):
    x[0] = x[1:2]


def too_few_indices(x):
    x[0] = 1.0


def over_a_list(x):
    for i in x:
        x[i] = 1


def with_try(x):
    try:
        x[0] = 1
    finally:
        pass


def barrier_in_an_expression(x):
    x[0] = cuda.syncthreads()


def unknown_name(x):
    x[0, 0] = cuda.ballot_sync(1, True)


def float_index(x):
    x[0.5, 0] = 1


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (with_slice, "no slices"),
        (too_few_indices, r"shape \(2, 2\); an index needs 2 numbers, got 1"),
        (over_a_list, "must be `for name in range"),
        (with_try, "does not know this statement"),
        (barrier_in_an_expression, "must be a statement of its own"),
        (unknown_name, r"cuda.ballot_sync is not simulated; there are: atomic, .*syncthreads"),
        (float_index, "must be an integer, got np.float64"),
    ],
)
def test_what_cannot_be_simulated_is_refused(kernel: Any, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        simulate(kernel)[1, 1](np.ones((2, 2)))


def test_launches_that_no_gpu_takes() -> None:
    x = np.ones((2, 2))
    with pytest.raises(ValueError, match="a block has 1 to 1024 threads"):
        simulate(copy_rows)[1, 1025](x, x)
    with pytest.raises(ValueError, match="at least one block"):
        simulate(copy_rows)[0, 1](x, x)
    with pytest.raises(ValueError, match="no schedule 'sideways'; there are: lock-step"):
        simulate(copy_rows, "sideways")
    with pytest.raises(ValueError, match="a is not C-contiguous"):
        simulate(copy_rows)[1, 1](x.T, x)
    with pytest.raises(SimulationError, match=r"takes 2 arguments \(a, c\), got 1"):
        simulate(copy_rows)[1, 1](x)


def test_a_global_that_changed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tiled, 8, 8, 8)[1].shared_writes == 2 * 4 * 2 * 16
    monkeypatch.setitem(globals(), "TILE", 8)
    assert run(tiled, 8, 8, 8)[1].shared_writes == 2 * 64


def test_the_report_in_print() -> None:
    _, report = run(tiled, 8, 8, 8)
    lines = str(report).splitlines()
    assert lines[0] == "tiled[(2, 2), (4, 4)], lock-step, 16 barriers"
    assert lines[1].split() == ["array", "memory", "line", "accesses", "a", "warp", "best"]
    assert lines[-1] == "nothing found"
    a = np.ones((TILE, TILE), np.float32)
    text = str(simulate(off_by_one)[1, (TILE, TILE)](a, a, a.copy()))
    assert text.endswith("(16 times)\n    total += a[y, k]")
