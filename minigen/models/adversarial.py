"""Adversarial examples: pictures changed so little that nobody would mind, and so well that a
classifier is wrong.

A classifier's loss L(x, y) has a gradient with respect to the *picture*, too. Training goes down
along the weights'; an attack goes up along the picture's, and stays within eps of where it began:

    fgsm  one step of eps along sign(∇_x L): "Explaining and Harnessing Adversarial Examples",
          I. Goodfellow, J. Shlens, C. Szegedy, 2015 (arXiv:1412.6572), section 4
    pgd   many small ones, each followed by a projection back into the ball: "Towards Deep Learning
          Models Resistant to Adversarial Attacks", A. Madry et al., 2018 (arXiv:1706.06083),
          section 2.1, after A. Kurakin et al., 2017 (arXiv:1607.02533)

What "within eps" means is a norm of the change, over all pixels of one picture: the largest change
of a pixel (infinity), or the root of the sum of squares (2). *Targeted* attacks go down instead,
towards a class of one's choice. A classifier that is trained on attacked pictures learns to
withstand them (equation 2.1 of Madry et al.); `minigen.training.recipes.classifier` does it.

Shapes: x, N pictures (N, ...) within `bounds`; labels (N,); the model, any function of pictures,
gives logits (N, K). Its mode is left alone: a network with dropout or batch norm is best attacked
after `eval()`. Neither attack leaves gradients in the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import minigen
from minigen import Tensor
from minigen.nn import functional as F

Classifier = Callable[[Tensor], Tensor]  # pictures (N, ...) -> logits (N, K)


def fgsm(
    model: Classifier,
    x: Tensor,
    labels: Tensor,
    eps: float,
    *,
    norm: float = math.inf,
    targeted: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Tensor:
    """x + eps sign(∇_x L(x, y)), cut to the bounds: the fast gradient sign method, (N, ...).

    eps: in the units of the pixels. norm: inf, or 2 for x + eps g / |g|, g = ∇_x L. labels: the
    true classes, int64 (N,), or with `targeted` the classes that the model is to see.
    Raises ValueError for pictures with NaN or values out of bounds, labels that do not fit them,
    a negative eps, or another norm.

    >>> model = lambda x: x @ minigen.tensor([[0.0, 1.0], [0.0, -2.0]])  # second logit: x₁ - 2 x₂
    >>> x = minigen.tensor([[0.5, 0.5]])
    >>> fgsm(model, x, minigen.tensor([0]), eps=0.25)  # away from class 0, towards class 1
    tensor([[0.7500, 0.2500]])
    """
    x = _checked(x, labels, eps, norm, bounds)
    sign = -1.0 if targeted else 1.0
    g = input_gradient(model, x, labels)
    return (x + sign * eps * _unit(g, norm)).clamp(*bounds)


def pgd(
    model: Classifier,
    x: Tensor,
    labels: Tensor,
    eps: float,
    *,
    steps: int = 10,
    step_size: float | None = None,
    norm: float = math.inf,
    targeted: bool = False,
    random_start: bool = True,
    bounds: tuple[float, float] = (0.0, 1.0),
    generator: minigen.Generator | None = None,
) -> Tensor:
    """x_t+1 = Π(x_t + alpha sign(∇_x L(x_t, y))), Π back into the ball of radius eps around x and
    the bounds: projected gradient descent, (N, ...).

    step_size: alpha; 2.5 eps / steps if None, enough to get from anywhere in the ball to its rim.
    random_start: x_0 is drawn in the ball, uniformly, from `generator`; else it is x. The rest, and
    what is raised, as in `fgsm`; ValueError also for less than one step.

    >>> model = lambda x: x @ minigen.tensor([[0.0, 1.0], [0.0, -2.0]])
    >>> x = minigen.tensor([[0.5, 0.9]])
    >>> pgd(model, x, minigen.tensor([0]), eps=0.25, steps=5)
    tensor([[0.7500, 0.6500]])
    """
    x = _checked(x, labels, eps, norm, bounds)
    if steps < 1:
        raise ValueError(f"pgd: steps must be 1 or more, got {steps}")
    alpha = 2.5 * eps / steps if step_size is None else step_size
    sign = -1.0 if targeted else 1.0
    change = _drawn_in_ball(x, eps, norm, generator) if random_start else minigen.zeros_like(x)
    attacked = (x + change).clamp(*bounds)
    for _ in range(steps):
        g = input_gradient(model, attacked, labels)
        further = attacked + sign * alpha * _unit(g, norm)
        attacked = (x + project(further - x, eps, norm)).clamp(*bounds)
    return attacked


def input_gradient(model: Classifier, x: Tensor, labels: Tensor) -> Tensor:
    """∇_x L(x, y), L the cross-entropy of each picture, (N, ...): which pixels to turn, and which
    way, so that the loss rises."""
    x = x.detach().requires_grad_()
    loss = F.cross_entropy(model(x), labels, reduction="sum")  # pictures do not share a gradient
    (g,) = minigen.autograd.grad(loss, x)
    return g.detach()


def project(change: Tensor, eps: float, norm: float = math.inf) -> Tensor:
    """The nearest change (N, ...) whose norm, over each picture, is at most eps.

    >>> project(minigen.tensor([[3.0, 4.0], [0.3, 0.4]]), 1.0, norm=2)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    >>> project(minigen.tensor([[3.0, -0.5]]), 1.0)
    tensor([[ 1.0000, -0.5000]])
    """
    if norm == math.inf:
        return change.clamp(-eps, eps)
    return change * (eps / _lengths(change).clamp(min=eps or _TINY))


_TINY = 1e-30


def _unit(g: Tensor, norm: float) -> Tensor:
    """The change of norm 1 along which the loss rises most: sign(g), or g / |g|."""
    return g.sign() if norm == math.inf else g / _lengths(g).clamp(min=_TINY)


def _lengths(change: Tensor) -> Tensor:
    """|change| of each picture, with dimensions of 1 behind: (N, ...) -> (N, 1, ...)."""
    lengths = minigen.linalg.vector_norm(change.flatten(1), dim=1)
    return lengths.reshape(-1, *[1] * (change.ndim - 1))


def _drawn_in_ball(
    x: Tensor, eps: float, norm: float, generator: minigen.Generator | None
) -> Tensor:
    """Changes (N, ...) uniform in the ball: of d pixels, the radius is eps u^(1/d)."""

    def drawn(source: Callable[..., Tensor], *shape: int) -> Tensor:
        return source(*shape, generator=generator, dtype=x.dtype, device=x.device)

    if norm == math.inf:
        return eps * (2 * drawn(minigen.rand, *x.shape) - 1)
    radius = drawn(minigen.rand, len(x), *[1] * (x.ndim - 1)) ** (1 / x[0].numel())
    return eps * radius * _unit(drawn(minigen.randn, *x.shape), norm)


def _checked(
    x: Tensor, labels: Tensor, eps: float, norm: float, bounds: tuple[float, float]
) -> Tensor:
    """The pictures, or the error that says what is wrong with what was asked."""
    low, high = bounds
    if norm not in (2, math.inf):
        raise ValueError(f"attack: norm must be 2 or infinity, got {norm}")
    if not 0 <= eps < math.inf:
        raise ValueError(f"attack: eps must be 0 or more, got {eps}")
    if x.ndim < 2 or labels.ndim != 1 or len(labels) != len(x) or len(x) == 0:
        raise ValueError(
            "attack: needs pictures (N, ...) and a label for each, (N,), got "
            f"{tuple(x.shape)} and {tuple(labels.shape)}"
        )
    if bool(x.isnan().any()):
        bad = int(x.isnan().flatten(1).any(dim=1).nonzero()[0])
        raise ValueError(f"attack: picture {bad} holds NaN")
    if float(x.min()) < low or float(x.max()) > high:
        raise ValueError(
            f"attack: pixels from {float(x.min()):g} to {float(x.max()):g} are out of bounds "
            f"{low:g} to {high:g}; give `bounds` if the pictures have another scale"
        )
    return x.detach()
