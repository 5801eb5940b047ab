"""How far vectors are from each other, and the losses that pull together or push apart."""

from __future__ import annotations

from typing import Any

from minigen.errors import ShapeError
from minigen.ops.comparison import where
from minigen.ops.elementwise import clamp, minimum
from minigen.ops.loss_reduction import chosen, reduced
from minigen.ops.norms import norm
from minigen.ops.reduction import sum
from minigen.ops.shape import broadcast_tensors

__all__ = [
    "cosine_embedding_loss", "cosine_similarity", "hinge_embedding_loss", "margin_ranking_loss",
    "pairwise_distance", "triplet_margin_loss",
]  # fmt: skip


def _floating(name: str, *tensors: Any) -> None:
    if all(tensor.array.dtype.kind != "f" for tensor in tensors):
        raise TypeError(f"{name}: needs floating-point tensors, not {tensors[0].dtype}")


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x1 · x2 / (max(‖x1‖, eps) max(‖x2‖, eps)), sums along `dim`; the shapes broadcast.

    >>> import minigen
    >>> cosine_similarity(minigen.tensor([[3.0, 4.0]]), minigen.tensor([[4.0, 3.0]]))
    tensor([0.9600])
    """
    _floating("cosine_similarity", x1, x2)
    x1, x2 = broadcast_tensors(x1, x2)
    first, second = (x / clamp(norm(x, 2, dim, keepdim=True), eps) for x in (x1, x2))
    return sum(first * second, dim)


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """‖x1 - x2 + eps‖ₚ along the last dimension; the shapes broadcast.

    >>> import minigen
    >>> pairwise_distance(minigen.tensor([[3.0, 4.0]]), minigen.tensor([[0.0, 0.0]]))
    tensor([5.0000])
    """
    return norm(x1 - x2 + eps, p, -1, keepdim)


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """A distance x where the target is 1, max(0, margin - x) where it is -1.

    >>> import minigen
    >>> x, y = minigen.tensor([0.25, 0.25]), minigen.tensor([1, -1])
    >>> hinge_embedding_loss(x, y, reduction="none")
    tensor([0.2500, 0.7500])
    """
    reduction = chosen("hinge_embedding_loss", reduction, size_average, reduce)
    _floating("hinge_embedding_loss", input)
    apart, together = clamp(margin - input, 0), input
    losses = where(target != 1, apart, 0.0) + where(target != -1, together, 0.0)
    return reduced(losses, reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """max(0, margin - y (x1 - x2)): y = 1 asks for x1 above x2, y = -1 for x1 below.

    Raises ShapeError unless all have as many dimensions.

    >>> import minigen
    >>> one, two = minigen.tensor([1.0]), minigen.tensor([3.0])
    >>> margin_ranking_loss(one, two, minigen.tensor([1]))
    tensor(2.)
    """
    reduction = chosen("margin_ranking_loss", reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(
            "margin_ranking_loss: inputs and target need as many dimensions, got shapes "
            f"{tuple(input1.shape)}, {tuple(input2.shape)}, {tuple(target.shape)}"
        )
    return reduced(clamp(margin - target * (input1 - input2), 0), reduction)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """With c the cosine of two vectors: 1 - c where the target is 1, max(0, c - margin) where -1.

    Inputs (N, D) and target (N), or (D) and a number.

    >>> import minigen
    >>> x = minigen.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> cosine_embedding_loss(x, x, minigen.tensor([1, -1]), reduction="none")
    tensor([0., 1.])
    """
    reduction = chosen("cosine_embedding_loss", reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim + 1:
        raise ShapeError(
            "cosine_embedding_loss: needs inputs (N, D) and target (N), or (D) and (), got shapes "
            f"{tuple(input1.shape)}, {tuple(input2.shape)}, {tuple(target.shape)}"
        )
    cosine = cosine_similarity(input1, input2, dim=-1)
    losses = where(target == 1, 1 - cosine, 0.0) + where(
        target == -1, clamp(cosine - margin, 0), 0.0
    )
    return reduced(losses, reduction)


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2, eps: float = 1e-6,
    swap: bool = False, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the `pairwise_distance`.

    swap: use d(positive, negative) where it is the smaller one (Balntas et al., BMVC 2016).

    >>> import minigen
    >>> a, b, c = (minigen.tensor([[x, 0.0]]) for x in (0.0, 3.0, 2.0))
    >>> triplet_margin_loss(a, b, c)
    tensor(2.)
    """
    reduction = chosen("triplet_margin_loss", reduction, size_average, reduce)
    if margin <= 0:
        raise ShapeError(f"triplet_margin_loss: margin must be positive, got {margin}")
    near, far = (
        pairwise_distance(anchor, positive, p, eps),
        pairwise_distance(anchor, negative, p, eps),
    )
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(clamp(near - far + margin, 0), reduction)
