"""The register tiles under the Numba attention kernels, and what they are fed from.

A tile is C = A B for four rows of A and one, two or three vectors of columns of B: its sums stay in
registers while a loop runs over the inner dimension. With three vectors twelve registers hold sums,
three a row of B and one a number of A, all sixteen of AVX2, and seven loads serve twelve
multiply-adds, where one row and one vector would need two loads for each.

All scratch memory is one workspace; `w` is its address and the rest are places in it. B may also
lie in an array of the caller, so its address comes with it.
"""

from __future__ import annotations

from ..jit import device
from ..simd import (
    copy_scaled,
    lanes,
    load,
    multiply_add,
    number,
    peek,
    poke,
    shifted,
    spread,
    store,
    transpose_block,
    zeros,
)

GROUP = 4  # rows of a tile


@device
def tile3(w, a, a_row, a_step, bs, b, b_step, b_vector, depth, c, c_row, fresh):
    """C = A B for 4 rows and three vectors of columns, or C += A B if not fresh.

    A is read number by number, so that a transposed A costs nothing: `a_row` leads from row to row,
    `a_step` from one step of the sum to the next. B is read by vectors: `b_step` leads to the next
    step of the sum, `b_vector` to the next vector of columns.
    """
    n = lanes(w)
    c1, c2, c3 = c + c_row, c + 2 * c_row, c + 3 * c_row
    if fresh:
        c00 = c01 = c02 = c10 = c11 = c12 = zeros(w)
        c20 = c21 = c22 = c30 = c31 = c32 = zeros(w)
    else:
        c00, c01, c02 = load(w, c), load(w, c + n), load(w, c + 2 * n)
        c10, c11, c12 = load(w, c1), load(w, c1 + n), load(w, c1 + 2 * n)
        c20, c21, c22 = load(w, c2), load(w, c2 + n), load(w, c2 + 2 * n)
        c30, c31, c32 = load(w, c3), load(w, c3 + n), load(w, c3 + 2 * n)
    for _ in range(depth):
        b0, b1, b2 = load(bs, b), load(bs, b + b_vector), load(bs, b + 2 * b_vector)
        x = spread(w, a)
        c00, c01, c02 = multiply_add(x, b0, c00), multiply_add(x, b1, c01), multiply_add(x, b2, c02)
        x = spread(w, a + a_row)
        c10, c11, c12 = multiply_add(x, b0, c10), multiply_add(x, b1, c11), multiply_add(x, b2, c12)
        x = spread(w, a + 2 * a_row)
        c20, c21, c22 = multiply_add(x, b0, c20), multiply_add(x, b1, c21), multiply_add(x, b2, c22)
        x = spread(w, a + 3 * a_row)
        c30, c31, c32 = multiply_add(x, b0, c30), multiply_add(x, b1, c31), multiply_add(x, b2, c32)
        a += a_step
        b += b_step
    store3(w, c, c00, c01, c02)
    store3(w, c1, c10, c11, c12)
    store3(w, c2, c20, c21, c22)
    store3(w, c3, c30, c31, c32)


@device
def store3(w, c, x, y, z):
    """Three vectors side by side."""
    store(w, c, x)
    store(w, c + lanes(w), y)
    store(w, c + 2 * lanes(w), z)


@device
def tile2(w, a, a_row, a_step, bs, b, b_step, b_vector, depth, c, c_row, fresh):
    """The same for two vectors of columns."""
    n = lanes(w)
    c1, c2, c3 = c + c_row, c + 2 * c_row, c + 3 * c_row
    if fresh:
        c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = zeros(w)
    else:
        c00, c01 = load(w, c), load(w, c + n)
        c10, c11 = load(w, c1), load(w, c1 + n)
        c20, c21 = load(w, c2), load(w, c2 + n)
        c30, c31 = load(w, c3), load(w, c3 + n)
    for _ in range(depth):
        b0, b1 = load(bs, b), load(bs, b + b_vector)
        x = spread(w, a)
        c00, c01 = multiply_add(x, b0, c00), multiply_add(x, b1, c01)
        x = spread(w, a + a_row)
        c10, c11 = multiply_add(x, b0, c10), multiply_add(x, b1, c11)
        x = spread(w, a + 2 * a_row)
        c20, c21 = multiply_add(x, b0, c20), multiply_add(x, b1, c21)
        x = spread(w, a + 3 * a_row)
        c30, c31 = multiply_add(x, b0, c30), multiply_add(x, b1, c31)
        a += a_step
        b += b_step
    store(w, c, c00)
    store(w, c + n, c01)
    store(w, c1, c10)
    store(w, c1 + n, c11)
    store(w, c2, c20)
    store(w, c2 + n, c21)
    store(w, c3, c30)
    store(w, c3 + n, c31)


@device
def tile1(w, a, a_row, a_step, bs, b, b_step, depth, c, c_row, fresh):
    """The same for one vector of columns."""
    c1, c2, c3 = c + c_row, c + 2 * c_row, c + 3 * c_row
    if fresh:
        s0 = s1 = s2 = s3 = zeros(w)
    else:
        s0, s1, s2, s3 = load(w, c), load(w, c1), load(w, c2), load(w, c3)
    for _ in range(depth):
        x = load(bs, b)
        s0 = multiply_add(spread(w, a), x, s0)
        s1 = multiply_add(spread(w, a + a_row), x, s1)
        s2 = multiply_add(spread(w, a + 2 * a_row), x, s2)
        s3 = multiply_add(spread(w, a + 3 * a_row), x, s3)
        a += a_step
        b += b_step
    store(w, c, s0)
    store(w, c1, s1)
    store(w, c2, s2)
    store(w, c3, s3)


@device
def tile(w, a, a_row, a_step, bs, b, b_step, b_vector, vectors, depth, c, c_row, fresh):
    """The tile of that many vectors."""
    if vectors == 3:
        tile3(w, a, a_row, a_step, bs, b, b_step, b_vector, depth, c, c_row, fresh)
    elif vectors == 2:
        tile2(w, a, a_row, a_step, bs, b, b_step, b_vector, depth, c, c_row, fresh)
    else:
        tile1(w, a, a_row, a_step, bs, b, b_step, depth, c, c_row, fresh)


@device
def next_tile(left):
    """How many of the vectors left the next tile takes: threes, but two twos for four."""
    return 3 if left == 3 or left > 4 else min(left, 2)


@device
def scores(w, a, a_row, depth, rows, columns, count, c, c_row, lag):
    """C = A Bᵀ: A (rows, depth) at a, B (count, depth) packed by `pack_columns`.

    Row i is asked for columns j <= i - lag; tiles in which no row is, are left out. Columns are the
    outer loop: a panel of B stays in the first-level cache while all rows pass by.
    """
    n = lanes(w)
    j = 0
    while j < count:
        take = next_tile((count - j + n - 1) // n)
        first = max(0, j + lag)
        for i in range(first - first % GROUP, rows, GROUP):
            tile(
                w, a + i * a_row, a_row, 1, w, columns + j * depth, n, n * depth, take,
                depth, c + i * c_row + j, c_row, True,
            )  # fmt: skip
        j += take * n


@device
def mixtures(w, p, p_row, rows, count, lag, bs, b, b_row, width, c, c_row, fresh):
    """C (+)= P B: P (rows, count) at p, B (count, width) at b; row i of P ends at column i - lag.

    The last columns of a group of rows are the last row's; what the others have there is zero.
    """
    n = lanes(w)
    j = 0
    while j < width:
        take = next_tile((width - j + n - 1) // n)
        for i in range(0, rows, GROUP):
            depth = max(0, min(count, i + GROUP - lag))
            tile(
                w, p + i * p_row, p_row, 1, bs, b + j, b_row, n, take, depth,
                c + i * c_row + j, c_row, fresh,
            )  # fmt: skip
        j += take * n


@device
def add_to_keys(w, p, p_row, rows, count, lag, b, width, c):
    """C += Pᵀ B: P (rows, count) at p, B (rows, width) at b, C (count, width) at c.

    Key j is met by the rows from j + lag on; what lies before is zero and left out.
    """
    n = lanes(w)
    j = 0
    while j < width:
        take = next_tile((width - j + n - 1) // n)
        for key in range(0, count, GROUP):
            i = min(rows, max(0, key + lag))
            tile(
                w, p + i * p_row + key, 1, p_row, w, b + i * width + j, width, n, take, rows - i,
                c + key * width + j, width, False,
            )  # fmt: skip
        j += take * n


@device
def pack_columns(source, first, step, tokens, width, w, at):
    """(T, E) -> panels of one vector of tokens, (T / lanes, E, lanes), filled up with zeros.

    `first` is where the source's first row starts, `step` leads to the next. Squares of as many
    tokens and features as a vector has lanes are transposed in registers.
    """
    n = lanes(w)
    whole = width - width % n
    for t in range(0, tokens, n):
        panel = at + t * width
        if t + n <= tokens:
            for d in range(0, whole, n):
                block = shifted(source, first + t * step + d)
                transpose_block(block, step, shifted(w, panel + d * n), n)
            start = whole
        else:
            start = 0
        for d in range(start, width):
            for i in range(n):
                inside = t + i < tokens
                value = peek(source, first + (t + i) * step + d) if inside else number(w, 0.0)
                poke(w, panel + d * n + i, value)


@device
def pack_rows(source, first, step, count, width, scale, w, at, wide):
    """(count, width) -> (count, wide), times scale; what lies beyond width stays as it is."""
    for t in range(count):
        copy_scaled(source, first + t * step, width, scale, w, at + t * wide)


@device
def unpack_rows(w, at, wide, count, width, scale, out, first):
    """`count` rows of `out` from `first` on become scale times (count, wide) without padding."""
    for t in range(count):
        copy_scaled(w, at + t * wide, width, scale, out, (first + t) * width)


@device
def round_up(count, multiple):
    """The least multiple that is not smaller than count."""
    return (count + multiple - 1) // multiple * multiple


@device
def add_mask(w, at, row, rows, count, mask, mask_at, step_i, step_j):
    """(rows, count) += mask; a step of 0 repeats a number."""
    for i in range(rows):
        for j in range(count):
            here = at + i * row + j
            poke(w, here, peek(w, here) + peek(mask, mask_at + i * step_i + j * step_j))
