"""Einstein's summation: any product of tensors, written with a letter for each dimension."""

from __future__ import annotations

from typing import Any

from minigen.errors import ShapeError
from minigen.ops.linalg import matmul
from minigen.ops.reduction import sum
from minigen.ops.shape import diagonal, permute, reshape

__all__ = ["einsum"]

# A term is the labels of a tensor's dimensions: letters, and for the dimensions under an ellipsis
# the negative numbers -1, -2, ... counted from the last, so that they line up as broadcasting does.


def _labels(text: str, ndim: int) -> tuple:
    """The label of each of ndim dimensions."""
    before, dots, after = text.partition("...")
    letters = before + after
    if not all(c.isalpha() and c.isascii() for c in letters):
        raise ShapeError(f"einsum: labels are letters and one ellipsis (...), got {text!r}")
    hidden = ndim - len(letters)
    if hidden < 0 or (hidden and not dots):
        raise ShapeError(f"einsum: {text!r} does not label {ndim} dimensions")
    return (*before, *range(-hidden, 0), *after)


def _parse(equation: str, shapes: list) -> tuple[list, tuple]:
    """The terms of the operands, and of the output."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    if len(texts) != len(shapes):
        raise ShapeError(f"einsum: {equation!r} is about {len(texts)} operands, got {len(shapes)}")
    terms = [_labels(text, len(shape)) for text, shape in zip(texts, shapes)]
    seen = [label for term in terms for label in term]
    dots = tuple(sorted({label for label in seen if isinstance(label, int)}))
    if not arrow:
        return terms, (*dots, *sorted(c for c in set(seen) - set(dots) if seen.count(c) == 1))
    before, given, after = right.partition("...")
    output = (*before, *(dots if given else ()), *after)
    for label in output:
        if label not in seen or output.count(label) > 1:
            raise ShapeError(
                f"einsum: output label {label!r} in {equation!r} must occur in an operand, and "
                "once in the output"
            )
    return terms, output


def _sizes(terms: list, shapes: list) -> dict:
    """The size of each label; 1 stretches."""
    sizes: dict = {}
    for term, shape in zip(terms, shapes):
        for label, n in zip(term, shape):
            known = sizes.setdefault(label, n)
            if known == 1:
                sizes[label] = n
            elif n not in (1, known):
                raise ShapeError(f"einsum: label {label!r} has size {known} and size {n}")
    return sizes


def _single(operand: Any, term: tuple) -> tuple[Any, tuple]:
    """Repeated labels of one operand as its diagonal."""
    for label in term:
        while term.count(label) > 1:
            i = term.index(label)
            j = term.index(label, i + 1)
            if operand.shape[i] != operand.shape[j]:
                given = operand.shape[i], operand.shape[j]
                raise ShapeError(f"einsum: repeated label {label!r} has different sizes {given}")
            operand = diagonal(operand, 0, i, j)
            term = (*(c for n, c in enumerate(term) if n not in (i, j)), label)
    return operand, term


def _summed(operand: Any, term: tuple, kept: set) -> tuple[Any, tuple]:
    """Without the labels that nobody else needs."""
    gone = [i for i, label in enumerate(term) if label not in kept]
    if not gone:
        return operand, term
    return sum(operand, gone), tuple(label for label in term if label in kept)


def _aligned(operand: Any, term: tuple, order: tuple) -> Any:
    """With a dimension for each label of `order`, of size 1 where the term has none."""
    present = tuple(label for label in order if label in term)
    operand = permute(operand, tuple(term.index(label) for label in present))
    sizes = dict(zip(present, operand.shape))
    return reshape(operand, tuple(sizes.get(label, 1) for label in order))


def _pair(a: Any, left: tuple, b: Any, right: tuple, kept: set, sizes: dict) -> tuple[Any, tuple]:
    """The product of two operands, summed over the labels that are not kept, as one matmul.

    The labels are of four kinds: in both and kept (a batch), in both and summed (the inner
    dimension), only in a (rows), only in b (columns).
    """
    a, left = _summed(a, left, kept | set(right))
    b, right = _summed(b, right, kept | set(left))
    full = [label for label in left if label in right]
    inner = [label for label in full if label not in kept]
    for label in inner:  # size 1 against n: sum the longer first, the rest is a product
        i, j = left.index(label), right.index(label)
        if a.shape[i] != b.shape[j]:
            a, left = _single_out(a, left, label, sizes)
            b, right = _single_out(b, right, label, sizes)
    batch = tuple(label for label in full if label in kept)
    inner = [label for label in inner if label in left and label in right]
    rows = tuple(label for label in left if label not in right)
    columns = tuple(label for label in right if label not in left)
    if not inner:
        order = (*batch, *rows, *columns)
        return _aligned(a, left, order) * _aligned(b, right, order), order
    k = tuple(inner)
    x, y = _aligned(a, left, (*batch, *rows, *k)), _aligned(b, right, (*batch, *k, *columns))
    nb = len(batch)
    row_sizes, column_sizes = x.shape[nb : len(x.shape) - len(k)], y.shape[nb + len(k) :]
    inner_size = _count(y.shape[nb : nb + len(k)])
    x = reshape(x, (*x.shape[:nb], _count(row_sizes), inner_size))
    y = reshape(y, (*y.shape[:nb], inner_size, _count(column_sizes)))
    product = matmul(x, y)
    return reshape(product, (*product.shape[:nb], *row_sizes, *column_sizes)), (
        *batch,
        *rows,
        *columns,
    )


def _single_out(operand: Any, term: tuple, label: Any, sizes: dict) -> tuple[Any, tuple]:
    """Without a label that one operand has in size 1 and the other in size n: the sum over the n,
    or the only slice."""
    i = term.index(label)
    if operand.shape[i] == sizes[label]:
        return _summed(operand, term, set(term) - {label})
    shape = (*operand.shape[:i], *operand.shape[i + 1 :])
    return reshape(operand, shape), (*term[:i], *term[i + 1 :])


def _count(sizes: Any) -> int:
    count = 1
    for n in sizes:
        count *= n
    return count


def einsum(equation: str, *operands: Any) -> Any:
    """The sum of products that the equation names, "ij,jk->ik" for a product of matrices.

    Labels that are not in the output are summed over; a label repeated within an operand takes its
    diagonal; "..." stands for dimensions that broadcast; without "->" the output has the labels
    that occur once, in alphabetical order.  Operands are contracted from left to right, by matmul.

    Raises ShapeError if labels and dimensions do not agree.

    >>> import minigen
    >>> x = minigen.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> minigen.einsum("ij,ij->i", x, x), minigen.einsum("ii", x)
    (tensor([ 5., 25.]), tensor(5.))
    """
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    if not operands:
        raise ShapeError("einsum: expects at least one operand")
    shapes = [tuple(each.shape) for each in operands]
    terms, output = _parse(equation, shapes)
    sizes = _sizes(terms, shapes)
    parts = [_single(operand, term) for operand, term in zip(operands, terms)]
    result, term = parts[0]
    for i, (operand, other) in enumerate(parts[1:], start=1):
        kept = {*output, *(label for _, later in parts[i + 1 :] for label in later)}
        result, term = _pair(result, term, operand, other, kept, sizes)
    result, term = _summed(result, term, set(output))
    return permute(result, tuple(term.index(label) for label in output))
