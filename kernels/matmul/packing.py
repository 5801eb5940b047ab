"""Copies of parts of A and B in the order in which the register tile reads them.

    strip of A    (depth / w, height, w): w steps of each row side by side, w numbers to a vector
    panel of B    (depth, 2 w): the next two vectors of columns, step after step

The strip keeps w steps of a row together because they lie together in A: packing it is copying
vectors. Where the numbers that should lie side by side are a row apart instead (A or B transposed)
they pass through blocks of w x w, transposed in registers. The depth is filled up to a multiple of
w with zeros, and rows and columns that a matrix does not have repeat its last one; the products of
the latter are computed and thrown away.
"""

from __future__ import annotations

from ..jit import device
from ..simd import lanes, load, number, peek, poke, shifted, store, transpose_block


@device
def pack_panel(b, b_row, b_step, depth, columns, panel):
    """The panel of `depth` rows and up to two vectors of columns; b is where it starts in B."""
    w = lanes(b)
    done = 0
    if columns == 2 * w and b_step == 1:
        done = depth
        for k in range(depth):
            store(panel, 2 * w * k, load(b, k * b_row))
            store(panel, 2 * w * k + w, load(b, k * b_row + w))
    elif columns == 2 * w and b_row == 1:
        done = depth - depth % w
        for k in range(0, done, w):
            transpose_block(shifted(b, k), b_step, shifted(panel, 2 * w * k), 2 * w)
            right = shifted(panel, 2 * w * k + w)
            transpose_block(shifted(b, k + w * b_step), b_step, right, 2 * w)
    for k in range(done, depth):
        for j in range(2 * w):
            poke(panel, 2 * w * k + j, peek(b, k * b_row + min(j, columns - 1) * b_step))
    for at in range(2 * w * depth, 2 * w * (depth + -depth % w)):
        poke(panel, at, number(b, 0.0))


@device
def strip_height(left):
    """Rows of the next strip if so many are left: sixes, and up to two fours to end evenly."""
    return 4 if left <= 4 or left == 7 or left == 8 else 6


@device
def pack_strips(a, a_row, a_step, m, depth, strips, strip_row):
    """All m rows of A in strips, each of which begins `strip_row` numbers a row behind the first.

    `strip_row` is at least w more than the depth, rounded up: four rows of a block that is
    transposed may lie beyond the strip.
    """
    w = lanes(a)
    deep = depth - depth % w
    blocks = a_row == 1 and a_step != 1
    if blocks:
        _pack_transposed(a, a_step, m, deep, strips, strip_row)
    i = 0
    while i < m:
        height = strip_height(m - i)
        packed = deep if blocks and i + 8 <= m else 0
        for r in range(height):
            row = shifted(a, min(i + r, m - 1) * a_row)
            to = shifted(strips, i * strip_row + r * w)
            if a_step == 1:
                packed = deep
                for k in range(0, deep, w):
                    store(to, k * height, load(row, k))
            for k in range(packed, depth + -depth % w):
                value = peek(row, k * a_step) if k < depth else number(a, 0.0)
                poke(to, (k - k % w) * height + k % w, value)
        i += height


@device
def _pack_transposed(a, a_step, m, deep, strips, strip_row):
    """The same of a transposed A, as long as eight rows are left; step by step as A lies."""
    w = lanes(a)
    for k in range(0, deep, w):
        i = 0
        while i + 8 <= m:
            height = strip_height(m - i)
            to = shifted(strips, i * strip_row + k * height)
            for r in range(0, height, w):
                transpose_block(shifted(a, k * a_step + i + r), a_step, shifted(to, r * w), w)
            i += height


@device
def transpose(b, b_row, b_step, depth, columns, c, c_row):
    """C (columns, depth) = Bᵀ, rows of C contiguous and `c_row` apart."""
    w = lanes(b)
    wide = columns - columns % w if b_step == 1 else 0
    deep = depth - depth % w
    for j in range(0, wide, w):
        for k in range(0, deep, w):
            transpose_block(shifted(b, k * b_row + j), b_row, shifted(c, j * c_row + k), c_row)
    for j in range(columns):
        for k in range(deep if j < wide else 0, depth):
            poke(c, j * c_row + k, peek(b, k * b_row + j * b_step))
