"""The conditional VAE: K. Sohn, H. Lee and X. Yan, "Learning Structured Output Representation using
Deep Conditional Generative Models", 2015; here with the class y of an image as the condition.

Encoder and decoder both are told y, and the bound is that of ln p(x|y) (their equation 4, with the
prior p(z) for p(z|y)):

    L(x, y) = E_q(z|x,y) [ln p(x|z, y)] - KL(q(z|x, y) || p(z))

What the class says the code need not, so that z is left with the style: one z, decoded with all
classes, gives ten digits in one hand.

Shapes: N images of D pixels, codes of J numbers, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import minigen
from minigen import Generator, Tensor, nn
from minigen.models.pixels import as_rows, require_pixels
from minigen.models.sizes import require_sizes
from minigen.models.vae import reparameterize
from minigen.nn import functional as F


@dataclass(frozen=True)
class ConditionalVAEConfig:
    """The perceptron of `VAEConfig`, with ten classes."""

    pixels: int = 784  # D
    hidden: int = 400
    latent: int = 20  # J
    classes: int = 10  # K

    def __post_init__(self) -> None:
        require_sizes(self)


class ConditionalVAE(nn.Module):
    """Images and classes -> logits of the images, mu, ln sigma^2.

    >>> model = ConditionalVAE(ConditionalVAEConfig(pixels=16, hidden=8, latent=2))
    >>> logits, mu, logvar = model(minigen.rand(5, 16), minigen.tensor([0, 1, 2, 3, 9]))
    >>> logits.shape, mu.shape
    (minigen.Size([5, 16]), minigen.Size([5, 2]))
    """

    def __init__(self, config: ConditionalVAEConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or ConditionalVAEConfig()
        self.fc1 = nn.Linear(c.pixels + c.classes, c.hidden)
        self.fc21 = nn.Linear(c.hidden, c.latent)  # mu
        self.fc22 = nn.Linear(c.hidden, c.latent)  # ln sigma^2
        self.fc3 = nn.Linear(c.latent + c.classes, c.hidden)
        self.fc4 = nn.Linear(c.hidden, c.pixels)

    def one_hot(self, y: Tensor) -> Tensor:
        """Classes (N,) -> (N, K). Raises ValueError for a class outside 0 to K - 1, on the CPU."""
        if not y.is_cuda and len(y) and not 0 <= int(y.min()) <= int(y.max()) < self.config.classes:
            raise ValueError(
                f"classes go from 0 to {self.config.classes - 1}, "
                f"got {int(y.min())} to {int(y.max())}"
            )
        return F.one_hot(y, self.config.classes).to(self.fc1.weight.dtype)

    def encode(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """q(z|x, y): images (N, D), classes (N,) -> mu, ln sigma^2 (N, J)."""
        h = F.relu(self.fc1(minigen.cat([x, self.one_hot(y)], dim=1)))  # (N, D + K) -> (N, hidden)
        return self.fc21(h), self.fc22(h)

    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        """p(x|z, y): codes (N, J), classes (N,) -> logits of the pixels (N, D)."""
        h = F.relu(self.fc3(minigen.cat([z, self.one_hot(y)], dim=1)))  # (N, J + K) -> (N, hidden)
        return self.fc4(h)

    def forward(
        self, x: Tensor, y: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, ...) in [0, 1] and classes (N,) -> logits (N, D), mu, ln sigma^2 (N, J).

        Raises ValueError for images of another size, and classes outside 0 to K - 1.
        """
        x = as_rows(x, self.config)  # (N, 28, 28) -> (N, D)
        mu, logvar = self.encode(x, y)
        return self.decode(reparameterize(mu, logvar, noise), y), mu, logvar

    @minigen.no_grad()
    def sample(self, y: Tensor, generator: Generator | None = None) -> Tensor:
        """An image of each class asked for: (N,) -> the mean of p(x|z, y), (N, D) in [0, 1]."""
        weight = self.fc3.weight
        z = minigen.randn(len(y), self.config.latent, generator=generator, dtype=weight.dtype)
        return minigen.sigmoid(self.decode(z.to(weight.device), y))

    @minigen.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor) -> Tensor:
        """Images (N, ...) of classes (N,) through the mean of their codes and back, (N, D)."""
        mu, _ = self.encode(require_pixels(as_rows(x, self.config)), y)
        return minigen.sigmoid(self.decode(mu, y))

    @minigen.no_grad()
    def in_all_classes(self, z: Tensor) -> Tensor:
        """One code (n, J) in each class: (K, n, D) in [0, 1], n hands that write K digits each."""
        n, classes = len(z), self.config.classes
        y = minigen.arange(classes, device=z.device).repeat_interleave(n)  # (K n,)
        images = minigen.sigmoid(self.decode(z.repeat(classes, 1), y))  # z: (n, J) -> (K n, J)
        return images.reshape(classes, n, -1)  # (K n, D) -> (K, n, D)


def require_classes(y: Tensor, classes: int) -> None:
    """Raises ValueError if one of the classes has no example in y, (N,).

    The weights that the class has of its own would stay as they were drawn, and what is made of
    them would look like a digit and be none.

    >>> require_classes(minigen.tensor([0, 2, 2]), 4)
    Traceback (most recent call last):
    ValueError: no example of class 1, 3 among the 3 given: nothing can be learned of it
    """
    counts = minigen.bincount(y, minlength=classes).tolist()
    missing = [str(k) for k in range(classes) if counts[k] == 0]
    if missing:
        raise ValueError(
            f"no example of class {', '.join(missing)} among the {len(y)} given: nothing can be "
            "learned of it"
        )
