"""Pictures of what a VAE's code means: reconstructions, ways between digits, walks along single
numbers, and, where a code has two, the whole plane of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Tensor
from minigen.data import load_mnist5k
from minigen.distributions import Normal
from minigen.models.vae import VAE, kl_divergence
from minigen.training.recipes.images import digits

STEPS = 11  # from one end to the other


def pictures(model: VAE) -> dict[str, Callable[[], Any]]:
    """What there is to draw of the model, by name; each is drawn when it is called."""
    drawn: dict[str, Callable[[], Any]] = {
        "reconstructions": lambda: reconstructions(model),
        "interpolation": lambda: interpolation(model),
        "walk": lambda: walk(model),
    }
    if model.config.latent == 2:
        drawn |= {"plane": lambda: plane(model), "codes": lambda: codes(model)}
    return drawn


def reconstructions(model: VAE) -> NDArray[np.float32]:
    """Ten test digits and what is left of them: (2, 10, 28, 28)."""
    originals = _test_digits(model)[:10]
    copies = model.reconstruct(originals)
    return np.stack([originals.cpu().numpy(), copies.cpu().numpy()]).reshape(2, -1, 28, 28)


@minigen.no_grad()
def interpolation(model: VAE, rows: int = 6) -> NDArray[np.float32]:
    """Straight ways from the code of one test digit to that of the next: (rows, STEPS, 28, 28)."""
    mu, _ = model.encode(_test_digits(model)[: 2 * rows])  # (2 rows, J)
    first, last = mu[:rows, None], mu[rows:, None]  # 2 x (rows, 1, J)
    t = minigen.linspace(0, 1, STEPS, dtype=mu.dtype).to(mu.device)[:, None]  # (STEPS, 1)
    return _decoded(model, (1 - t) * first + t * last)


@minigen.no_grad()
def walk(model: VAE, rows: int = 8) -> NDArray[np.float32]:
    """One test digit, of whose code one number goes from -3 to 3: (rows, STEPS, 28, 28).

    The rows are the numbers that say most about the test digits, by their mean divergence from the
    prior.
    """
    mu, logvar = model.encode(_test_digits(model))  # 2 x (N, J)
    told = [float(kl_divergence(mu[:, [j]], logvar[:, [j]]).mean()) for j in range(mu.shape[1])]
    chosen = np.argsort(told)[::-1][:rows].copy()
    z = np.tile(mu[0].cpu().numpy(), (len(chosen), STEPS, 1))  # (rows, STEPS, J)
    z[np.arange(len(chosen)), :, chosen] = np.linspace(-3, 3, STEPS)
    return _decoded(model, minigen.from_numpy(z).to(mu.device))


@minigen.no_grad()
def plane(model: VAE, side: int = 20) -> NDArray[np.float32]:
    """The plane of codes of two numbers, decoded: (side, side, 28, 28), as figure 4 of the paper.

    The places divide the prior into parts of equal probability: they are the quantiles of a normal
    distribution. Up and to the right the numbers grow.
    """
    p = (minigen.arange(side, dtype=minigen.float64) + 0.5) / side
    quantiles = Normal(minigen.zeros_like(p[0]), minigen.ones_like(p[0])).icdf(p)  # (side,)
    y, x = minigen.meshgrid(quantiles.flip(0), quantiles, indexing="ij")
    weight = next(model.parameters())
    return _decoded(model, minigen.stack([x, y], dim=-1).to(weight.dtype).to(weight.device))


@minigen.no_grad()
def codes(model: VAE) -> bytes:
    """The means of the codes of the test digits on the plane, a colour for each digit: a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mu, _ = model.encode(_test_digits(model))
    x, y = mu.cpu().numpy().T
    _, labels = load_mnist5k("test")
    figure = Figure(figsize=(5.0, 5.0), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(aspect="equal")
    for digit in range(10):
        of = labels == digit
        axes.scatter(x[of], y[of], s=9, color=f"C{digit}", label=str(digit), linewidths=0)
    axes.legend(frameon=False, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _decoded(model: VAE, z: Tensor) -> NDArray[np.float32]:
    """A table of codes (rows, columns, J) -> images (rows, columns, 28, 28)."""
    rows, columns, _ = z.shape
    images = model.mean(model.decode(z.flatten(0, 1)))  # (rows columns, J) -> (rows columns, D)
    return images.cpu().numpy().reshape(rows, columns, 28, 28)


def _test_digits(model: VAE) -> Tensor:
    """(1000, 784), where the model is."""
    return digits("test").to(next(model.parameters()).device)
