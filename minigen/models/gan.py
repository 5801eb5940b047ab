"""A generative adversarial network: I. Goodfellow et al., "Generative Adversarial Nets", 2014.

A generator G makes images out of noise; a discriminator D tells them from real ones. D maximises,
and G minimises (equation 1 of arXiv:1406.2661),

    V(D, G) = E_x [ln D(x)] + E_z [ln(1 - D(G(z)))].

Early on D wins easily, 1 - D(G(z)) is nearly one, and G would learn nothing. So G maximises
ln D(G(z)) instead, which has the same fixed point and steep gradients where G is bad (section 3,
the "non-saturating" loss). One step of algorithm 1 is: improve D on a batch, then G.

Shapes: N images of D pixels in [-1, 1], noise of J numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import minigen
from minigen import Tensor, nn
from minigen.nn import functional as F


@dataclass(frozen=True)
class GANConfig:
    """A well-known multi-layer perceptron for 28x28 digits."""

    pixels: int = 784  # D
    latent: int = 100  # J
    generator: tuple[int, ...] = (128, 256, 512, 1024)
    discriminator: tuple[int, ...] = (512, 256)
    slope: float = 0.2  # of LeakyReLU where its input is negative
    dropout: float = 0.3  # in the discriminator
    # Widely copied scripts write BatchNorm1d(width, 0.8): meant as momentum, it is epsilon. One so
    # large hardly normalises: the same training then ended at 1.7 times the Fréchet distance.
    batch_norm_eps: float = 1e-5


class Generator(nn.Module):
    """What turns noise (N, J) into images (N, ...) in [-1, 1]; a subclass makes `model`."""

    model: nn.Module
    latent: int  # J

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z)  # (N, J) -> (N, ...)

    def noise(self, count: int, generator: minigen.Generator | None = None) -> Tensor:
        """z ~ N(0, I), (count, J), on the device and in the dtype of the network."""
        weight = next(self.parameters())
        z = minigen.randn(count, self.latent, generator=generator, dtype=weight.dtype)
        return z.to(weight.device)

    @minigen.no_grad()
    def draw(self, count: int, generator: minigen.Generator | None = None) -> Tensor:
        """Images (count, ...) in [-1, 1], batch norm with its running statistics."""
        training = self.training
        self.eval()
        try:
            return self(self.noise(count, generator))
        finally:
            self.train(training)

    def sample(self, count: int, generator: minigen.Generator | None = None) -> Tensor:
        """The same in [0, 1]."""
        return (self.draw(count, generator) + 1) / 2


class Discriminator(nn.Module):
    """What turns images (N, ...) in [-1, 1] into logits (N, 1): how surely each is real,
    ln(D / (1 - D)); a subclass makes `model`."""

    model: nn.Module
    shape: tuple[int, ...]  # of one image, as `model` takes it

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.reshape(-1, *self.shape))  # (N, ...) -> (N, *shape) -> (N, 1)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, the parameters ask for no gradient: G's step needs only that of the images."""
        parameters = list(self.parameters())
        for p in parameters:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in parameters:
                p.requires_grad_(True)


class MLPGenerator(Generator):
    """G: noise (N, J) -> images (N, D) in [-1, 1].

    >>> network = MLPGenerator(GANConfig(pixels=16, generator=(8, 12)))
    >>> network(minigen.randn(5, 100)).shape
    minigen.Size([5, 16])
    """

    def __init__(self, config: GANConfig | None = None) -> None:
        super().__init__()
        config = config or GANConfig()
        self.latent = width = config.latent
        layers: list[nn.Module] = []
        for i, wider in enumerate(config.generator):
            layers.append(nn.Linear(width, wider))
            if i > 0:
                layers.append(nn.BatchNorm1d(wider, eps=config.batch_norm_eps))
            layers.append(nn.LeakyReLU(config.slope))
            width = wider
        self.model = nn.Sequential(*layers, nn.Linear(width, config.pixels), nn.Tanh())


class MLPDiscriminator(Discriminator):
    """D: images (N, ...) of D pixels -> logits (N, 1).

    >>> MLPDiscriminator()(minigen.zeros(5, 28, 28)).shape
    minigen.Size([5, 1])
    """

    def __init__(self, config: GANConfig | None = None) -> None:
        super().__init__()
        config = config or GANConfig()
        self.shape = (config.pixels,)
        layers: list[nn.Module] = []
        width = config.pixels
        for narrower in config.discriminator:
            layers += [
                nn.Linear(width, narrower),
                nn.LeakyReLU(config.slope),
                nn.Dropout(config.dropout),
            ]
            width = narrower
        self.model = nn.Sequential(*layers, nn.Linear(width, 1))


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-1/2 (mean of ln D(x) + mean of ln(1 - D(G(z)))) from logits of any shape: -V / 2, a scalar.

    The half makes it the cross-entropy per image. ln 2 = 0.693 where D cannot tell.

    >>> discriminator_loss(minigen.zeros(4, 1), minigen.zeros(4, 1))
    tensor(0.6931)
    """
    return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2


def generator_loss(fake: Tensor) -> Tensor:
    """-mean of ln D(G(z)) from the logits D gives to generated images: non-saturating (section 3).

    >>> generator_loss(minigen.tensor([[0.0], [2.0]]))
    tensor(0.4100)
    """
    return F.softplus(-fake).mean()


# ---------------------------------------------------------------------- the Wasserstein distance
#
# M. Arjovsky et al., "Wasserstein GAN", 2017 (arXiv:1701.07875), and I. Gulrajani et al., "Improved
# Training of Wasserstein GANs", 2017 (arXiv:1704.00028). Where two distributions hardly overlap,
# ln D says nothing about how far they are apart. The distance by which probability has to be moved
# does; by duality it is
#
#     W = max over all f that rise by at most 1 per unit of distance of E_x [f(x)] - E_z [f(G(z))].
#
# A critic f, a network without a sigmoid at its end, is trained towards that maximum, and held to
# the bound on its slope by a penalty on its gradient.


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-(mean of f(x) - mean of f(G(z))), the negative estimate of W, a scalar.

    >>> critic_loss(minigen.tensor([[2.0]]), minigen.tensor([[0.5]]))
    tensor(-1.5000)
    """
    return fake.mean() - real.mean()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """Mean of (|grad f(x)| - 1)^2 at points between real and generated images, a scalar: the last
    term of equation 3 of Gulrajani et al., without its factor lambda.

    real, fake (N, ...); epsilon, uniform in [0, 1], one an image: (N, 1, ...), as many dimensions.
    Its gradient with respect to the critic's weights is a second derivative.

    >>> half = nn.Linear(4, 1, bias=False)  # f(x) = x₁ + x₂ + x₃ + x₄ rises by 2 per unit
    >>> _ = nn.init.ones_(half.weight)
    >>> gradient_penalty(half, minigen.zeros(3, 4), minigen.ones(3, 4), minigen.rand(3, 1)).item()
    1.0
    """
    between = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_()
    (slope,) = minigen.autograd.grad(critic(between).sum(), between, create_graph=True)
    lengths = minigen.linalg.vector_norm(slope.flatten(1), dim=1)  # (N, ...) -> (N, D) -> (N,)
    return ((lengths - 1) ** 2).mean()
