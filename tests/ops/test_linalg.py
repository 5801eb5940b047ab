"""Products of matrices, einsum and linear against torch; which kernel runs, what is copied."""

from __future__ import annotations

import re
import string

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen import kernels
from minigen.ops.linalg import linear
from tests.expressions import both_reject, function, listed, normal, same
from tests.oracle import check

rng = np.random.default_rng(23)

SHAPES = [
    ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((3,), (2, 3, 4)),
    ((5, 2, 3), (3,)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((6, 5, 2, 3), (3, 4)), ((6, 5, 2, 3), (3,)),
    ((3,), (6, 5, 3, 4)), ((1, 1), (1, 1)), ((4, 0), (0, 3)), ((0, 3), (3, 4)), ((2, 3), (3, 0)),
    ((0, 2, 3), (3, 4)), ((0, 2, 3), (0, 3, 4)), ((0,), (0,)), ((2, 0), (0,)), ((1,), (1, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_matmul(a, b):
    same("x @ y", normal(*a), normal(*b))


PRODUCTS = """
x @ x.mT | x.mT @ x | m.matmul(x[0], x[1].T) | x[:, 0] @ x[0].T | x[..., ::2] @ x[:, :2, :3]
x.transpose(0, 1) @ x[0].T | x[0].expand(2, 3, 4) @ x.mT | x.flip(0) @ x.permute(0, 2, 1)
m.mm(x[0], x[1].T) | m.bmm(x, x.mT) | x.bmm(x.mT) | m.mv(x[0], x[1, 0]) | x[0].mv(x[0, 1])
m.dot(x[0, 0], x[1, 1]) | m.outer(x[0, 0], x[0, :, 0]) | m.inner(x, x[0]) | m.inner(x, x[0, 0])
m.addmm(x[0, :, :3], x[0], x[1].T, beta=0.5, alpha=-2) | x[0, 0, :3].addmm(x[0], x[1].T)
m.baddbmm(x[:, :1, :3], x, x.mT, alpha=3) | m.addmv(x[0, :, 0], x[0], x[1, 0], beta=2)
m.addmm(x[0, :, :3], x[0], x[1].T, beta=0) | m.vdot(x[0, 0], x[0, 0]) | m.inner(x[0, 0, 0], x)
m.tensordot(x, x, 1 - 1) | m.tensordot(x, x.mT, ([2], [1]))
m.tensordot(x[0], x.permute(2, 0, 1), 1) | m.tensordot(x, x, ([0, 2], [0, 2]))
m.tensordot(x, x.permute(1, 2, 0), dims=2) | m.tensordot(x, x, ((-1, 0), (2, 0)))
m.tensordot(x, x, dims=([0, 1, 2], [0, 1, 2])) | m.trace(x[0]) | m.kron(x[0], x[1, :2])
m.kron(x[0, 0], x) | x[0].kron(x[0, 0])
"""


@pytest.mark.parametrize("expression", listed(PRODUCTS))
def test_products(expression):
    same(expression, normal(2, 3, 4))


@pytest.mark.parametrize(
    "shape", [(3,), (5, 3), (2, 5, 3), (2, 1, 4, 3), (0, 3), (2, 0, 3), (1, 3)]
)
def test_linear(shape):
    w, b = normal(4, 3), normal(4)
    for ours, theirs in [(linear, torch.nn.functional.linear)]:
        check(ours, theirs, normal(*shape), w, b)
        check(ours, theirs, normal(*shape), w)
        square = [lambda *a, f=f: f(*a) * f(*a) for f in (ours, theirs)]
        check(*square, normal(*shape), w, b, numeric=False)
    check(
        lambda x, w: linear(x.mT, w),
        lambda x, w: torch.nn.functional.linear(x.mT, w),
        normal(2, 3, 5),
        w,
    )


def test_linear_changes_none_of_its_arguments():
    """The bias is added in place: on the product, which must be nobody else's."""
    x, w, b = (minigen.from_numpy(normal(*s)) for s in ((1, 3), (4, 3), (4,)))
    before = [t.numpy().copy() for t in (x, w, b)]
    first = linear(x, w, b).numpy().copy()
    np.testing.assert_array_equal(linear(x, w, b).numpy(), first)
    for t, old in zip((x, w, b), before):
        np.testing.assert_array_equal(t.numpy(), old)


def count_products(call):
    """The shapes of all matrix products that a call runs."""
    seen = []

    def spy(a, b):
        seen.append((a.shape, b.shape))
        return np.matmul(a, b)

    with kernels.use(matmul=spy):
        call()
    return seen


def test_every_product_runs_on_the_chosen_kernel():
    """`kernels.use` reaches forward, gradients and second gradients, of all spellings."""
    for expression in [
        "x @ y",
        "m.einsum('ij,jk->ik', x, y)",
        "m.tensordot(x, y, 1)",
        "m.mm(x, y)",
    ]:
        x, y = (minigen.from_numpy(normal(3, 3)).requires_grad_() for _ in range(2))

        def run(e=expression, x=x, y=y):
            z = function(e, minigen)(x, y)
            grads = minigen.autograd.grad((z * z).sum(), [x, y], create_graph=True)
            minigen.autograd.grad((grads[0] * grads[1]).sum(), [x, y])

        assert len(count_products(run)) >= 7


def test_the_kernel_decides_the_result():
    def doubled(a, b):
        return 2 * np.matmul(a, b)

    x = minigen.from_numpy(normal(2, 2))
    with kernels.use(matmul=doubled):
        twice = x @ x
        line = linear(x, x)
    np.testing.assert_allclose(twice.numpy(), 2 * (x @ x).numpy())
    np.testing.assert_allclose(line.numpy(), 2 * linear(x, x).numpy())


def test_linear_is_one_product_and_asks_for_no_gradient_nobody_wants():
    x, w, b = (minigen.from_numpy(normal(*s)) for s in ((6, 5, 3), (4, 3), (4,)))
    w.requires_grad_(), b.requires_grad_()
    result = []
    assert count_products(lambda: result.append(linear(x, w, b))) == [((30, 3), (3, 4))]
    assert count_products(lambda: result[0].sum().backward()) == [((4, 30), (30, 3))]


def test_transposed_operands_are_not_copied():
    """BLAS reads `w.mT` as it lies: the kernel gets the very memory, backward as well."""
    x, w = (minigen.from_numpy(normal(*s)).requires_grad_() for s in ((6, 3), (4, 3)))
    operands = []

    def spy(a, b):
        operands.extend((a, b))
        return np.matmul(a, b)

    with kernels.use(matmul=spy):
        (x @ w.mT).square().sum().backward()
        linear(x, w).square().sum().backward()
    held = [x.array, w.array]
    shared = [any(np.shares_memory(o, h) for h in held) for o in operands]
    # forward: both; dX = dY W: W; dW (or its transpose): X
    assert sum(shared) == 2 * (2 + 1 + 1)


def test_dtypes():
    for kind in (np.float32, np.int64, np.int32, np.uint8):
        a, b = (rng.integers(0, 5, s).astype(kind) for s in ((2, 3), (3, 4)))
        same("x @ y", a, b, order=0)
    x = minigen.ones(2, 3, requires_grad=True)
    linear(x, minigen.ones(4, 3), minigen.ones(4)).sum().backward()
    assert x.grad.dtype is minigen.float32


@pytest.mark.parametrize(
    ("expression", "kind", "text"),
    [
        ("x @ x", RuntimeError, "do not fit"),
        ("x @ x[0, :2]", RuntimeError, "do not fit"),
        ("x[0, 0] @ x", RuntimeError, "1 dimension"),
        ("x @ x.float().mT", RuntimeError, "same dtype"),
        ("x @ x.long().mT", RuntimeError, "same dtype"),
        ("(x > 0) @ (x > 0).mT", (RuntimeError, TypeError), "boolean"),
        ("x.expand(2, 2, 3) @ x.mT.expand(4, 3, 2)", RuntimeError, "matmul"),
        ("m.mm(x, x[0])", RuntimeError, "dimensions"),
        ("m.bmm(x, x.mT)", RuntimeError, "dimensions"),
        ("m.bmm(x[None], x.mT.expand(2, 3, 2))", RuntimeError, "pair"),
        ("m.dot(x, x)", RuntimeError, "dimensions"),
        ("m.dot(x[0], x[0, :2])", RuntimeError, "do not fit"),
        ("m.outer(x, x[0])", RuntimeError, "dimensions"),
        ("m.addmm(x, x, x.mT)", RuntimeError, "broadcast"),
        ("m.tensordot(x, x, 1)", RuntimeError, "differ"),
        ("m.tensordot(x, x, 3)", (RuntimeError, IndexError), "out of range"),
        ("m.trace(x[0])", RuntimeError, "matrix"),
        ("m.einsum('ij,jk', x, x)", RuntimeError, "size"),
        ("m.einsum('ij,jk', x)", RuntimeError, "operands"),
        ("m.einsum('ijk', x)", RuntimeError, "label"),
        ("m.einsum('i', x)", RuntimeError, "label"),
        ("m.einsum('ij->k', x)", RuntimeError, "output label"),
        ("m.einsum('ij->ii', x)", RuntimeError, "output label"),
        ("m.einsum('i1', x)", RuntimeError, "letters"),
        ("m.einsum('ii', x)", RuntimeError, "different sizes|size"),
        ("m.einsum('...->i', x)", RuntimeError, "output label"),
    ],
)
def test_errors(expression, kind, text):
    error = both_reject(expression, normal(2, 3))
    assert isinstance(error, kind), repr(error)
    assert re.search(text, str(error)), error


def test_linear_rejects_what_does_not_fit():
    x, w, b = normal(2, 3), normal(4, 3), normal(4)
    wrong_biases = [(x, w, b[:3]), (x, w, b[None]), (x, w, b.astype("f"))]
    for wrong in [(x, w.T), (x, w.astype("f")), (x, w[0]), (x[0, 0], w), *wrong_biases]:
        ours = [minigen.from_numpy(np.array(a)) for a in wrong]
        with pytest.raises(RuntimeError, match="linear"):
            linear(*ours)


# ----------------------------------------------------------------------------------- einsum

EQUATIONS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ij,kj->ik", [(2, 3), (4, 3)]),
    ("ij->ji", [(2, 3)]), ("ij->", [(2, 3)]), ("ij->i", [(2, 3)]), ("ba", [(2, 3)]),
    ("ii", [(3, 3)]), ("ii->i", [(3, 3)]), ("iij->ij", [(3, 3, 2)]), ("iii->i", [(3, 3, 3)]),
    ("ijij->", [(2, 3, 2, 3)]), ("i,i->", [(3,), (3,)]), ("i,j->ij", [(3,), (4,)]),
    ("i,j", [(3,), (4,)]), (",->", [(), ()]), ("i,->i", [(3,), ()]),
    ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]), ("bij,jk->bik", [(5, 2, 3), (3, 4)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("bqhd,bkhd->bhqk", [(2, 4, 3, 5), (2, 6, 3, 5)]),
    ("bhqk,bkhd->bqhd", [(2, 3, 4, 6), (2, 6, 3, 5)]), ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
    ("ij,jk,ki->", [(2, 3), (3, 4), (4, 2)]), ("ij,ij,ij->ij", [(2, 3), (2, 3), (2, 3)]),
    ("i,i,i->", [(3,), (3,), (3,)]), ("a,b,c,d->dcba", [(2,), (3,), (2,), (2,)]),
    ("ij,ik,il->jkl", [(4, 2), (4, 3), (4, 2)]), ("...ij,...jk->...ik", [(5, 2, 3), (5, 3, 4)]),
    ("...ij,jk->...ik", [(6, 5, 2, 3), (3, 4)]), ("...ij,...jk", [(6, 1, 2, 3), (5, 3, 4)]),
    ("...,...->...", [(2, 3), (3,)]), ("...i->...", [(2, 3)]), ("i...->...", [(2, 3)]),
    ("...ii->...i", [(2, 3, 3)]), ("...ij->...ji", [(2, 3, 4)]),
    ("i...j,j...->...i", [(2, 5, 3), (3, 5)]), ("...,i->i...", [(2, 3), (4,)]),
    ("ij,j->i", [(2, 3), (3,)]), ("ijk,k,j->i", [(2, 3, 4), (4,), (3,)]),
    ("ij,kl->", [(2, 3), (4, 2)]), ("ij,kl->ik", [(2, 3), (4, 2)]),
    ("bij,bij->b", [(2, 3, 4), (2, 3, 4)]), ("ij , jk -> ik", [(2, 3), (3, 4)]),
    ("iJ,Jk", [(2, 3), (3, 4)]), ("ij,ij->", [(1, 3), (2, 3)]), ("ij,ij->j", [(2, 1), (2, 3)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]), ("ij,jk->ik", [(0, 3), (3, 4)]),
    ("ij,jk->ik", [(2, 0), (0, 4)]), ("ij->", [(0, 3)]), ("...->", [(2, 3)]),
    ("ii,i->i", [(3, 3), (3,)]), ("ij,jj->i", [(2, 3), (3, 3)]),
    ("abc,cd,be->ade", [(2, 3, 4), (4, 2), (3, 5)]),
]  # fmt: skip


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum(equation, shapes):
    inputs = [normal(*shape) for shape in shapes]
    names = ", ".join("xyzw"[: len(shapes)])
    same(f"m.einsum({equation!r}, {names})", *inputs)
    same(f"m.einsum({equation!r}, [{names}])", *inputs, order=0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_einsum(data):
    sizes = {c: data.draw(st.integers(1, 3)) for c in string.ascii_lowercase[:5]}
    letters = st.lists(st.sampled_from("abcde"), max_size=3)
    terms = data.draw(st.lists(letters, min_size=1, max_size=3))
    used = sorted({c for term in terms for c in term})
    output = (
        data.draw(st.permutations(used))[: data.draw(st.integers(0, len(used)))] if used else []
    )
    equation = ",".join("".join(term) for term in terms)
    if data.draw(st.booleans()):
        equation += "->" + "".join(output)
    inputs = [normal(*(sizes[c] for c in term)) for term in terms]
    check(
        lambda *a: minigen.einsum(equation, *a),
        lambda *a: torch.einsum(equation, *a),
        *inputs,
        order=1,
    )


def test_einsum_of_matrices_is_one_matrix_product():
    x, y = (minigen.from_numpy(normal(*s)) for s in ((2, 5, 3, 4), (2, 6, 3, 4)))
    seen = count_products(lambda: minigen.einsum("bqhd,bkhd->bhqk", x, y))
    assert seen == [((2, 3, 5, 4), (2, 3, 4, 6))]
