"""A GAN that is told what to draw: M. Mirza and S. Osindero, "Conditional Generative Adversarial
Nets", 2014 (arXiv:1411.1784).

Both networks get the class y beside their input, as in equation 2,

    V(D, G) = E_x [ln D(x | y)] + E_z [ln(1 - D(G(z | y) | y))],

as ten more numbers, all 0 but the one of the class (figure 1). D then asks whether an
image looks like a real one *of that class*, and a G that draws another does not fool it.

The layers are those of `minigen.models.gan`. Shapes: N images of D pixels in [-1, 1], N classes
(integers), noise of J numbers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import minigen
from minigen import Tensor
from minigen.models.gan import GANConfig, MLPDiscriminator, MLPGenerator
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F


@dataclass(frozen=True)
class ConditionalGANConfig(GANConfig):
    """The multi-layer perceptron of the GAN, smaller: a class is a narrower thing to draw."""

    generator: tuple[int, ...] = (128, 256, 512)
    discriminator: tuple[int, ...] = (256, 128)
    classes: int = 10  # C

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.pack != 1:
            raise ValueError("a conditional GAN judges images one by one, each with its class")


class ConditionalGenerator(MLPGenerator):
    """G: noise (N, J) and classes (N,) -> images (N, D) in [-1, 1].

    >>> network = ConditionalGenerator(ConditionalGANConfig(pixels=16, generator=(8, 12)))
    >>> network(minigen.randn(5, 100), minigen.arange(5)).shape
    minigen.Size([5, 16])
    """

    def __init__(self, config: ConditionalGANConfig | None = None) -> None:
        c = config or ConditionalGANConfig()
        super().__init__(dataclasses.replace(c, latent=c.latent + c.classes))
        self.latent, self.classes = c.latent, c.classes

    def forward(self, z: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]  # y as well
        return self.model(beside(z, y, self.classes))  # (N, J + C) -> (N, D)

    @minigen.no_grad()
    def draw(
        self, count: int, generator: minigen.Generator | None = None, y: Tensor | None = None
    ) -> Tensor:
        """Images (count, D) in [-1, 1] of classes y (count,), or of all of them in turn, batch norm
        with its running statistics."""
        z = self.noise(count, generator)
        y = minigen.arange(count) % self.classes if y is None else y
        training = self.training
        self.eval()
        try:
            return self(z, y.to(z.device))
        finally:
            self.train(training)


class ConditionalDiscriminator(MLPDiscriminator):
    """D: images (N, ...) of D pixels and classes (N,) -> logits (N, 1).

    >>> ConditionalDiscriminator()(minigen.zeros(5, 28, 28), minigen.arange(5)).shape
    minigen.Size([5, 1])
    """

    def __init__(self, config: ConditionalGANConfig | None = None) -> None:
        c = config or ConditionalGANConfig()
        super().__init__(dataclasses.replace(c, pixels=c.pixels + c.classes))
        self.classes = c.classes

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(self.told(x, y))  # (N, D + C) -> (N, 1)

    def features(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """What the last layer sees of images (N, ...) of classes y: (N, F)."""
        return super().features(self.told(x, y))

    def told(self, x: Tensor, y: Tensor) -> Tensor:
        """(N, ...) and (N,) -> (N, D + C). The class is as long a vector as an image of D pixels
        at -1 or 1: beside one, a plain 1 is hardly heard, and G is free to draw any digit."""
        x = x.flatten(1)  # (N, ...) -> (N, D)
        return beside(x, y, self.classes, length=x.shape[1] ** 0.5)


def beside(x: Tensor, y: Tensor, classes: int, length: float = 1.0) -> Tensor:
    """(N, K) and classes (N,) -> (N, K + C): y as one-hot numbers of that length after those of x.

    >>> beside(minigen.tensor([[0.5]]), minigen.tensor([2]), classes=3, length=4)
    tensor([[0.5000, 0.0000, 0.0000, 4.0000]])
    """
    return minigen.cat([x, length * F.one_hot(y, classes).to(x.dtype)], dim=1)
