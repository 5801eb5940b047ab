"""Tighter bounds from several draws: Y. Burda, R. Grosse and R. Salakhutdinov, "Importance
Weighted Autoencoders", 2016 (arXiv:1509.00519).

One draw of z gives the ELBO. The mean of k importance weights under the logarithm gives more,

    L_k(x) = E [ ln 1/k Σᵢ wᵢ ],   wᵢ = p(x|zᵢ) p(zᵢ) / q(zᵢ|x),   zᵢ ~ q(z|x),      (8)

with L_1 = ELBO, L_k <= L_{k+1} <= ln p(x), and L_k -> ln p(x) (theorem 1). Trained with, it
forgives an encoder that is right only now and then; with k in the thousands it measures ln p(x).

Shapes: N images of D pixels, k draws each, codes of J numbers.
"""

from __future__ import annotations

import math

import minigen
from minigen import Generator, Tensor
from minigen.models.pixels import as_rows, require_pixels
from minigen.models.vae import VAE, reparameterize


def normal_log_density(z: Tensor, mu: Tensor | float = 0.0, logvar: Tensor | float = 0.0) -> Tensor:
    """ln N(z; mu, e^logvar) summed over the J numbers of a code: (N, J) -> (N,).

    >>> normal_log_density(minigen.zeros(1, 2))
    tensor([-1.8379])
    """
    mu, logvar = (minigen.as_tensor(a, dtype=z.dtype, device=z.device) for a in (mu, logvar))
    squares = (z - mu) ** 2 * (-logvar).exp()
    return -0.5 * (squares + logvar + math.log(2 * math.pi)).sum(dim=1)


def log_importance_weights(model: VAE, x: Tensor, k: int, noise: Tensor | None = None) -> Tensor:
    """ln w of (8) for k draws of every image: x (N, ...) in [0, 1] -> (N, k).

    noise: (N k, J), drawn from the default generator if None. Differentiable. Raises ValueError
    for fewer than one draw, and for images of another size.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more draws, got {k}")
    x = as_rows(x, model.config)  # (N, 28, 28) -> (N, D)
    mu, logvar = model.encode(x)
    mu, logvar, x = (a.repeat_interleave(k, dim=0) for a in (mu, logvar, x))  # N -> N k rows
    z = reparameterize(mu, logvar, noise)  # (N k, J)
    log_w = (
        model.log_likelihood(model.decode(z), x)
        + normal_log_density(z)
        - normal_log_density(z, mu, logvar)
    )
    return log_w.reshape(-1, k)  # (N k,) -> (N, k)


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """L_k of (8) in nats, from the logarithms of k weights an image: (N, k) -> (N,).

    Its gradient weighs every draw by its share of Σ w (equation 14), which is what softmax, the
    derivative of logsumexp, says by itself.

    >>> importance_weighted_bound(minigen.tensor([[0.0, math.log(3.0)]]))
    tensor([0.6931])
    """
    return minigen.logsumexp(log_weights, dim=1) - math.log(log_weights.shape[1])


@minigen.no_grad()
def negative_log_likelihood(
    model: VAE,
    x: Tensor,
    samples: int = 500,
    generator: Generator | None = None,
    rows: int = 10_000,
) -> Tensor:
    """-L_k(x) with k = samples, the field's estimate of -ln p(x) in nats: (N, ...) -> (N,).

    It comes down to the truth from above as `samples` grows; figures of different k do not
    compare. rows: how many decoded images are held in memory at a time. Raises ValueError for
    images of another size, and for pixels that are not in [0, 1].
    """
    x = require_pixels(as_rows(x, model.config))
    at_once = max(1, rows // samples)
    bounds = []
    for part in x.split(at_once):
        shape = (len(part) * samples, model.config.latent)
        noise = minigen.randn(*shape, generator=generator, dtype=part.dtype, device=part.device)
        bounds.append(
            importance_weighted_bound(log_importance_weights(model, part, samples, noise))
        )
    return -minigen.cat(bounds)


def active_units(mu: Tensor, threshold: float = 0.01) -> int:
    """How many of the J numbers of a code say anything about the image: (N, J) -> 0 to J.

    mu: the means E_q[z] of the codes of N images. A number is active if its mean varies from image
    to image, Var_x E_q(z|x)[z] > threshold (section 5.2 has 10^-2, and finds the gap to be wide).

    >>> active_units(minigen.tensor([[1.0, 0.5], [-1.0, 0.5]]))
    1
    """
    return int((mu.var(dim=0) > threshold).sum())
