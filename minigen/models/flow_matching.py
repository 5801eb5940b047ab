"""Flow matching: Y. Lipman, R. Chen, H. Ben-Hamu, M. Nickel and M. Le, "Flow Matching for
Generative Modeling", 2022 (arXiv:2210.02747), with straight paths (section 4.1, example II).

Noise x_0 becomes an image x_1 along a line that is walked at constant speed (equation 22; the sigma
of the image's own neighbourhood is 0 here, as in "rectified flow" of X. Liu, C. Gong and Q. Liu,
2022, arXiv:2209.03003):

    x_t = (1 - t) x_0 + t x_1,    its velocity x_1 - x_0,    0 <= t <= 1.

Through each point pass lines of many pairs. A network learns the mean of their velocities, simply
by regression (equation 23):

    L = E |v(x_t, t) - (x_1 - x_0)|^2,

and that is enough: the stream v carries the whole cloud of noise to the whole cloud of images
(their theorem 1). To sample, solve dx/dt = v(x, t) from t = 0 to 1, with any method for ordinary
differential equations.

Shapes: N images of any shape (N, ...); times t (N,), 0 for noise and 1 for images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import minigen
from minigen import Tensor
from minigen.models.denoiser import Denoiser


def between(noise: Tensor, images: Tensor, t: Tensor) -> Tensor:
    """x_t: noise and images (N, ...), times (N,) -> (N, ...).

    >>> between(minigen.zeros(2, 1), minigen.ones(2, 1), minigen.tensor([0.0, 0.25]))
    tensor([[0.0000],
            [0.2500]])
    """
    t = t.reshape(-1, *[1] * (images.ndim - 1))  # (N,) -> (N, 1, ...)
    return (1 - t) * noise + t * images


def flow_matching_loss(
    model: Denoiser, images: Tensor, y: Tensor | None, noise: Tensor, t: Tensor
) -> Tensor:
    """Equation 23 as a mean over images and pixels; noise like the images, from N(0, 1), times
    (N,) from U(0, 1)."""
    velocity = model(between(noise, images, t), t, y)
    return ((velocity - (images - noise)) ** 2).mean()


Solver = Callable[[Callable[[Tensor, float], Tensor], Tensor, float, float], Tensor]


def euler(v: Callable[[Tensor, float], Tensor], x: Tensor, t: float, h: float) -> Tensor:
    """Along the tangent: an error of order h^2 a step, for one look at v."""
    return x + h * v(x, t)


def heun(v: Callable[[Tensor, float], Tensor], x: Tensor, t: float, h: float) -> Tensor:
    """Along the mean of the tangents here and where Euler's step would end: an error of order h^3 a
    step, for two looks at v."""
    here = v(x, t)
    there = v(x + h * here, t + h)
    return x + h / 2 * (here + there)


SOLVERS: dict[str, Solver] = {"euler": euler, "heun": heun}


@minigen.no_grad()
def flow(
    model: Denoiser, noise: Tensor, y: Tensor | None, steps: int, solver: str = "heun"
) -> Iterator[Tensor]:
    """Noise (N, ...) and what becomes of it after each step; last, the images.

    Raises ValueError for a solver that is none.

    >>> *_, image = flow(lambda x, t, y: -x, minigen.ones(1, 1), None, steps=100)
    >>> image  # dx/dt = -x: 1/e
    tensor([[0.3679]])
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, got {solver!r}")

    def v(x: Tensor, t: float) -> Tensor:
        return model(x, minigen.full((len(x),), t, dtype=x.dtype, device=x.device), y)

    x = noise
    yield x
    for step in range(steps):
        x = SOLVERS[solver](v, x, step / steps, 1 / steps)
        yield x
