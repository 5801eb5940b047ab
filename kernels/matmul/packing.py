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
from ..simd import lanes, load, number, peek, poke, shifted, store, zip_first, zip_second


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
def pack_strip(a, a_row, a_step, depth, rows, height, strip):
    """The strip of `height` rows; a is where it starts in A, which goes on for `rows` rows.

    Writes up to 4 w numbers beyond the strip's end.
    """
    w = lanes(a)
    for k in range(0, depth, w):
        if k + w <= depth and a_step == 1:
            for i in range(height):
                store(strip, i * w, load(a, min(i, rows - 1) * a_row))
        elif k + w <= depth and a_row == 1 and rows >= 8:
            for i in range(0, height, w):
                transpose_block(shifted(a, i), a_step, shifted(strip, i * w), w)
        else:
            for i in range(height):
                for t in range(w):
                    at = min(i, rows - 1) * a_row + t * a_step
                    poke(strip, i * w + t, peek(a, at) if k + t < depth else number(a, 0.0))
        a, strip = shifted(a, w * a_step), shifted(strip, height * w)


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


@device
def transpose_block(a, a_row, c, c_row):
    """C = Aᵀ, both w x w, w the lanes of a vector.

    Vectors i and i + w/2 are interleaved, all pairs at once; after log₂ w rounds row i has become
    column i.
    """
    if lanes(a) == 8:
        x0, x4 = load(a, 0), load(a, 4 * a_row)
        x1, x5 = load(a, a_row), load(a, 5 * a_row)
        x2, x6 = load(a, 2 * a_row), load(a, 6 * a_row)
        x3, x7 = load(a, 3 * a_row), load(a, 7 * a_row)
        x0, x1, x2, x3, x4, x5, x6, x7 = _zip_pairs(x0, x1, x2, x3, x4, x5, x6, x7)
        x0, x1, x2, x3, x4, x5, x6, x7 = _zip_pairs(x0, x1, x2, x3, x4, x5, x6, x7)
        x0, x1, x2, x3, x4, x5, x6, x7 = _zip_pairs(x0, x1, x2, x3, x4, x5, x6, x7)
        store(c, 4 * c_row, x4)
        store(c, 5 * c_row, x5)
        store(c, 6 * c_row, x6)
        store(c, 7 * c_row, x7)
    else:
        x0, x1, x2, x3 = load(a, 0), load(a, a_row), load(a, 2 * a_row), load(a, 3 * a_row)
        x0, x1, x2, x3 = (
            zip_first(x0, x2), zip_second(x0, x2), zip_first(x1, x3), zip_second(x1, x3),
        )  # fmt: skip
        x0, x1, x2, x3 = (
            zip_first(x0, x2), zip_second(x0, x2), zip_first(x1, x3), zip_second(x1, x3),
        )  # fmt: skip
    store(c, 0, x0)
    store(c, c_row, x1)
    store(c, 2 * c_row, x2)
    store(c, 3 * c_row, x3)


@device
def _zip_pairs(x0, x1, x2, x3, x4, x5, x6, x7):
    return (
        zip_first(x0, x4), zip_second(x0, x4), zip_first(x1, x5), zip_second(x1, x5),
        zip_first(x2, x6), zip_second(x2, x6), zip_first(x3, x7), zip_second(x3, x7),
    )  # fmt: skip
