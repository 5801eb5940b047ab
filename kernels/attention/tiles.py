"""The register tile under the Numba attention kernels, and what it is fed from.

All scratch memory is one workspace; `w` is its address and the rest are places in it.
"""

from __future__ import annotations

from ..jit import device
from ..simd import copy_scaled, lanes, load, multiply_add, number, peek, poke, spread, store, zeros

GROUP = 4  # rows of a tile


@device
def tile(w, a, a_row, a_step, b, b_step, depth, c, c_row, fresh):
    """C = A B for 4 rows and two vectors of columns, or C += A B if not fresh.

    Eight vectors of sums, two of B and one of A fill eleven of sixteen registers; every pair of
    loads from B serves eight multiply-adds. A is read number by number, so that a transposed A
    costs nothing: `a_row` leads from row to row, `a_step` from one step of the sum to the next. B
    is read by vectors, its columns side by side.
    """
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
        b0, b1 = load(w, b), load(w, b + n)
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
def tiles(w, a, a_row, a_step, b, b_step, b_panel, columns, depth, c, c_row, fresh):
    """Four rows of C from tiles side by side; `columns` is rounded up to whole tiles."""
    for j in range(0, columns, 2 * lanes(w)):
        tile(w, a, a_row, a_step, b, b_step, depth, c + j, c_row, fresh)
        b += b_panel


@device
def pack_columns(source, first, step, tokens, width, w, at):
    """(T, E) -> panels of 2 vectors of tokens, (T / panel, E, panel), the last filled with zeros.

    `first` is where the source's first row starts, `step` leads to the next.
    """
    panel = 2 * lanes(w)
    for t in range(round_up(tokens, panel)):
        into = at + (t - t % panel) * width + t % panel
        for d in range(width):
            value = peek(source, first + t * step + d) if t < tokens else number(w, 0.0)
            poke(w, into + d * panel, value)


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
def add_mask(w, at, mask, mask_at, mask_step, count):
    """w[at:] += mask; a mask_step of 0 repeats one number."""
    for j in range(count):
        poke(w, at + j, peek(w, at + j) + peek(mask, mask_at + j * mask_step))


@device
def start(array, b, h):
    """Where the matrix array[b, h] starts, in numbers from the array's first."""
    return (b * array.strides[0] + h * array.strides[1]) // array.itemsize


@device
def step(array):
    """The distance from row to row of a (B, H, T, E) array, in numbers."""
    return array.strides[2] // array.itemsize
