"""What generators and discriminators are trained with, and what keeps them from failing.

D gives logits: how surely an image is real, ln(D / (1 - D)), or f, a number without bound. Each
loss is a pair of functions, both to be *descended*: of D from the logits of real and generated
images, of G from the logits of generated ones. With s(a) = ln(1 + e^a), softplus, -ln D = s(-a)
and -ln(1 - D) = s(a).

| name           | D descends                | G descends | source                                 |
|----------------|---------------------------|------------|----------------------------------------|
| minimax        | (s(-r) + s(f)) / 2        | -s(f)      | Goodfellow et al. 2014, equation 1     |
| non_saturating | (s(-r) + s(f)) / 2        | s(-f)      | the same, section 3                    |
| least_squares  | ((r - 1)² + f²) / 2       | (f - 1)²/2 | Mao et al. 2017, arXiv:1611.04076      |
| hinge          | max(0, 1-r) + max(0, 1+f) | -f         | Lim & Ye 2017, arXiv:1705.02894        |
| wasserstein    | f - r                     | -f         | Arjovsky et al. 2017, arXiv:1701.07875 |

Means over images, r of real ones, f of generated. Where D is sure that an image is generated, f far
below 0, G's slope dies in minimax (it is D = sigmoid(f), nearly 0) and is 1 in non_saturating: so
the two have one fixed point and are not the same loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import minigen
from minigen import Tensor, nn
from minigen.nn import functional as F

Critic = Callable[[Tensor], Tensor]  # images (N, ...) -> logits (N, 1)


class AdversarialLoss(NamedTuple):
    """discriminator(real logits, generated logits) and generator(generated logits), scalars."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def discriminator_loss(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """-1/2 (mean of ln D(x) + mean of ln(1 - D(G(z)))) from logits of any shape: -V / 2, a scalar.

    The half makes it the cross-entropy per image. ln 2 = 0.693 where D cannot tell.
    smoothing: real images count as real with 1 - smoothing only, generated ones as generated fully
    (one-sided label smoothing, Salimans et al. 2016, arXiv:1606.03498, section 3.4): D then has a
    reason not to be too sure.

    >>> discriminator_loss(minigen.zeros(4, 1), minigen.zeros(4, 1))
    tensor(0.6931)
    """
    of_real = F.softplus(-real)
    if smoothing:
        of_real = (1 - smoothing) * of_real + smoothing * F.softplus(real)
    return (of_real.mean() + F.softplus(fake).mean()) / 2


def generator_loss(fake: Tensor) -> Tensor:
    """-mean of ln D(G(z)) from the logits D gives to generated images: non-saturating (section 3).

    >>> generator_loss(minigen.tensor([[0.0], [2.0]]))
    tensor(0.4100)
    """
    return F.softplus(-fake).mean()


def minimax_generator_loss(fake: Tensor) -> Tensor:
    """Mean of ln(1 - D(G(z))), what equation 1 has G descend.

    >>> minimax_generator_loss(minigen.zeros(3, 1))
    tensor(-0.6931)
    """
    return -F.softplus(fake).mean()


def least_squares_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 mean of (D(x) - 1)² + 1/2 mean of D(G(z))², D without a sigmoid (equation 9 of Mao et
    al.).

    >>> least_squares_discriminator_loss(minigen.ones(2, 1), minigen.ones(2, 1))
    tensor(0.5000)
    """
    return (((real - 1) ** 2).mean() + (fake**2).mean()) / 2


def least_squares_generator_loss(fake: Tensor) -> Tensor:
    """1/2 mean of (D(G(z)) - 1)².

    >>> least_squares_generator_loss(minigen.zeros(2, 1))
    tensor(0.5000)
    """
    return ((fake - 1) ** 2).mean() / 2


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Mean of max(0, 1 - f(x)) + mean of max(0, 1 + f(G(z))): images that are right by a margin of
    1 teach nothing more.

    >>> hinge_discriminator_loss(minigen.tensor([[3.0]]), minigen.tensor([[-0.5]]))
    tensor(0.5000)
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-(mean of f(x) - mean of f(G(z))), the negative estimate of W, a scalar.

    Where two distributions hardly overlap, ln D says nothing about how far they are apart. The
    distance by which probability has to be moved does; by duality it is

        W = max of E_x [f(x)] - E_z [f(G(z))] over f that rise by at most 1 per unit of distance.

    A critic f is trained towards that maximum, and held to the bound on its slope: crudely by
    `clip_weights`, better by `gradient_penalty`.

    >>> critic_loss(minigen.tensor([[2.0]]), minigen.tensor([[0.5]]))
    tensor(-1.5000)
    """
    return fake.mean() - real.mean()


def critic_generator_loss(fake: Tensor) -> Tensor:
    """-mean of f(G(z)), what G descends against a critic, and in the hinge loss."""
    return -fake.mean()


LOSSES: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(discriminator_loss, minimax_generator_loss),
    "non_saturating": AdversarialLoss(discriminator_loss, generator_loss),
    "least_squares": AdversarialLoss(
        least_squares_discriminator_loss, least_squares_generator_loss
    ),
    "hinge": AdversarialLoss(hinge_discriminator_loss, critic_generator_loss),
    "wasserstein": AdversarialLoss(critic_loss, critic_generator_loss),
}


# ---------------------------------------------------------------------------- bounds on D's slope


@minigen.no_grad()
def clip_weights(critic: nn.Module, bound: float = 0.01) -> None:
    """Put every weight back into [-bound, bound] (algorithm 1 of Arjovsky et al., line 7).

    >>> layer = nn.Linear(2, 2)
    >>> clip_weights(layer, 0.25)
    >>> bool((layer.weight.abs() <= 0.25).all())
    True
    """
    for weight in critic.parameters():
        weight.clamp_(-bound, bound)


def bound_layers(critic: nn.Module) -> None:
    """Divide the weights of all its linear and convolutional layers by their spectral norms, from
    now on and whatever they are trained to (Miyato et al. 2018, arXiv:1802.05957): a network of
    such layers, and of activations that rise by at most 1, is 1-Lipschitz. (Of a convolution it is
    the norm of its weight as a matrix, as in the paper, which only bounds the layer's own.)

    >>> layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> bound_layers(layers)
    >>> round(minigen.linalg.vector_norm(layers[2].weight).item(), 4)  # a row's is its length
    1.0
    """
    for layer in list(critic.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.utils.parametrizations.spectral_norm(layer)


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """Mean of (|grad f(x)| - 1)^2 at points between real and generated images, a scalar: the last
    term of equation 3 of Gulrajani et al. 2017, arXiv:1704.00028, without its factor lambda.

    real, fake (N, ...); epsilon, uniform in [0, 1], one an image: (N, 1, ...), as many dimensions.
    Its gradient with respect to the critic's weights is a second derivative. Raises ValueError for
    other shapes, which would mix each row or each pixel for itself.

    >>> half = nn.Linear(4, 1, bias=False)  # f(x) = x₁ + x₂ + x₃ + x₄ rises by 2 per unit
    >>> _ = nn.init.ones_(half.weight)
    >>> gradient_penalty(half, minigen.zeros(3, 4), minigen.ones(3, 4), minigen.rand(3, 1)).item()
    1.0
    """
    one_each = (len(real), *[1] * (real.ndim - 1))
    if real.shape != fake.shape or tuple(epsilon.shape) != one_each:
        raise ValueError(
            f"gradient_penalty: images {tuple(real.shape)} and {tuple(fake.shape)} must be of one "
            f"shape, and epsilon {tuple(epsilon.shape)} one number an image, {one_each}"
        )
    between = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_()
    lengths = minigen.linalg.vector_norm(_slopes(critic, between), dim=1)  # (N, D) -> (N,)
    return ((lengths - 1) ** 2).mean()


def r1_penalty(discriminator: Critic, real: Tensor) -> Tensor:
    """1/2 mean of |grad D(x)|² at real images (N, ...): equation 9 of Mescheder et al. 2018,
    arXiv:1801.04406, without its factor gamma. D is to be flat where the data is, so that a
    generator which has arrived there is not driven off again.

    >>> half = nn.Linear(4, 1, bias=False)
    >>> _ = nn.init.ones_(half.weight)
    >>> r1_penalty(half, minigen.zeros(3, 4)).item()
    2.0
    """
    slopes = _slopes(discriminator, real.detach().requires_grad_())
    return (slopes**2).sum(dim=1).mean() / 2


def _slopes(network: Critic, x: Tensor) -> Tensor:
    """The gradient of each image's logit with respect to the image: (N, ...) -> (N, D)."""
    (slope,) = minigen.autograd.grad(network(x).sum(), x, create_graph=True)
    return slope.flatten(1)


# --------------------------------------------------------------------------- against mode collapse


def feature_matching_loss(real: Iterable[Tensor], fake: Iterable[Tensor]) -> Tensor:
    """|E f(x) - E f(G(z))|² summed over layers f of D, each (N, ...): Salimans et al. 2016,
    section 3.1. G is asked for the right statistics, not for what fools D best.

    >>> feature_matching_loss([minigen.zeros(4, 2)], [minigen.ones(8, 2)])
    tensor(2.)
    """
    losses = [
        ((a.flatten(1).mean(dim=0) - b.flatten(1).mean(dim=0)) ** 2).sum()
        for a, b in zip(real, fake, strict=True)
    ]
    return minigen.stack(losses).sum()


def mode_seeking_loss(
    images_a: Tensor, images_b: Tensor, codes_a: Tensor, codes_b: Tensor, eps: float = 1e-5
) -> Tensor:
    """Mean over pairs of |z_a - z_b| / (|G(z_a) - G(z_b)| + eps), mean absolute distances, to be
    descended by G beside its own loss: equation 3 of Mao et al. 2019, arXiv:1903.05628, turned
    over. Two codes that give one picture cost most.

    images (N, ...), codes (N, J).

    >>> z = minigen.tensor([[0.0], [0.0]]), minigen.tensor([[1.0], [1.0]])
    >>> x = minigen.tensor([[0.0], [0.0]]), minigen.tensor([[2.0], [2.0]])
    >>> round(mode_seeking_loss(*x, *z).item(), 4)
    0.5
    """
    apart = (images_a - images_b).abs().flatten(1).mean(dim=1)  # (N, ...) -> (N,)
    codes = (codes_a - codes_b).abs().flatten(1).mean(dim=1)
    return (codes / (apart + eps)).mean()


class MinibatchStandardDeviation(nn.Module):
    """(N, F) -> (N, F + 1), or (N, C, H, W) -> (N, C + 1, H, W): one more feature, the same for all
    images, the mean over features of their standard deviation over the batch (Karras et al. 2018,
    arXiv:1710.10196, section 3). A generator that draws one picture again and again shows in it.

    >>> MinibatchStandardDeviation()(minigen.tensor([[0.0, 1.0], [2.0, 1.0]]))
    tensor([[0.0000, 1.0000, 0.5001],
            [2.0000, 1.0000, 0.5001]])
    """

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        variance = ((x - x.mean(dim=0, keepdim=True)) ** 2).mean(dim=0)  # (N, ...) -> (...)
        spread = (variance + self.eps).sqrt().mean()
        return minigen.cat([x, spread.expand(len(x), 1, *x.shape[2:])], dim=1)


def packed(x: Tensor, size: int) -> Tensor:
    """(N, D) -> (N / size, size D): D judges several images at once, all real or all generated
    (PacGAN, Lin et al. 2018, arXiv:1712.04086), and so sees when they are too much alike.

    Raises ValueError if N is no multiple of size.

    >>> packed(minigen.zeros(6, 2), 3).shape
    minigen.Size([2, 6])
    """
    if len(x) % size:
        raise ValueError(f"{len(x)} images cannot be packed by {size}")
    return x.reshape(len(x) // size, -1)
