"""Variational autoencoders: D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", 2013.

An image x is thought to come from a hidden code z. The decoder says how, p(x|z); the encoder
guesses the code back, q(z|x). Both are trained at once by maximising a lower bound of ln p(x), the
ELBO (equation 3 of arXiv:1312.6114),

    L(x) = E_q(z|x) [ln p(x|z)] - KL(q(z|x) || p(z)),        p(z) = N(0, I),

how well the code explains the image, less what the code tells beyond the prior. To differentiate
through the draw of z, it is written as a function of noise that does not depend on the parameters
(section 2.4): z = mu + sigma * epsilon, epsilon ~ N(0, I).

Shapes: N images of D pixels, codes of J numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import minigen
from minigen import Generator, Tensor, nn
from minigen.models.pixels import as_rows, require_pixels
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F


@dataclass(frozen=True)
class VAEConfig:
    """The multi-layer perceptron 784-400-20, the size of PyTorch's own VAE example."""

    pixels: int = 784  # D
    hidden: int = 400
    latent: int = 20  # J
    likelihood: str = "bernoulli"  # of a pixel: or "gaussian", its variance learned

    def __post_init__(self) -> None:
        require_sizes(self)
        require_likelihood(self.likelihood)


class VAE(nn.Module):
    """Encoder D -> hidden -> (mu, ln sigma^2) of J numbers each; decoder J -> hidden -> D outputs.

    What the decoder's outputs are depends on the likelihood p(x|z): the logits of Bernoulli
    distributions, or the means of normal ones, which have one variance in common. That is learned,
    too (`output_logvar`; appendix C.2 has one for every pixel, of which those that are always black
    would go to zero).

    >>> model = VAE(VAEConfig(pixels=16, hidden=8, latent=2))
    >>> logits, mu, logvar = model(minigen.rand(5, 16))
    >>> logits.shape, mu.shape, logvar.shape
    (minigen.Size([5, 16]), minigen.Size([5, 2]), minigen.Size([5, 2]))
    """

    def __init__(self, config: VAEConfig | None = None) -> None:
        super().__init__()
        config = config or VAEConfig()
        self.config: VAEConfig | ConvVAEConfig = config
        self.fc1 = nn.Linear(config.pixels, config.hidden)
        self.fc21 = nn.Linear(config.hidden, config.latent)  # mu
        self.fc22 = nn.Linear(config.hidden, config.latent)  # ln sigma^2
        self.fc3 = nn.Linear(config.latent, config.hidden)
        self.fc4 = nn.Linear(config.hidden, config.pixels)
        self._learn_variance()

    def _learn_variance(self) -> None:
        """A parameter more, ln sigma^2 of the pixels, if they are Gaussian.

        It begins near what it will be for pixels in [0, 1]: an Adam moves it by its learning rate a
        step, and from 0 it would be on its way for thousands of them.
        """
        if self.config.likelihood == "gaussian":
            self.output_logvar = nn.Parameter(minigen.tensor(-3.0))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """q(z|x) = N(mu, diag sigma^2), appendix C.2: images (N, D) -> mu, ln sigma^2 (N, J)."""
        h = F.relu(self.fc1(x))  # (N, D) -> (N, hidden)
        return self.fc21(h), self.fc22(h)  # (N, hidden) -> 2 x (N, J)

    def decode(self, z: Tensor) -> Tensor:
        """p(x|z), appendix C.1: codes (N, J) -> logits, or means, of the pixels (N, D)."""
        h = F.relu(self.fc3(z))  # (N, J) -> (N, hidden)
        return self.fc4(h)  # (N, hidden) -> (N, D)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Images of N x anything in [0, 1] -> outputs (N, D), mu (N, J), ln sigma^2 (N, J).

        `noise` is epsilon, (N, J); drawn from the default generator if None. Raises ValueError for
        images of another size.
        """
        x = as_rows(x, self.config)  # (N, 28, 28) -> (N, D)
        mu, logvar = self.encode(x)
        z = reparameterize(mu, logvar, noise)
        return self.decode(z), mu, logvar

    def log_likelihood(self, output: Tensor, x: Tensor) -> Tensor:
        """ln p(x|z) in nats of what `decode` gave: two times (N, D) -> (N,)."""
        if self.config.likelihood == "gaussian":
            return gaussian_log_likelihood(output, x, self.output_logvar)
        return bernoulli_log_likelihood(output, x)

    def mean(self, output: Tensor) -> Tensor:
        """The mean of p(x|z), a picture in [0, 1], of what `decode` gave: (N, D) -> (N, D)."""
        if self.config.likelihood == "gaussian":
            return output.clamp(0, 1)  # a normal distribution does not know that pixels end there
        return minigen.sigmoid(output)

    @minigen.no_grad()
    def sample(self, count: int, generator: Generator | None = None) -> Tensor:
        """Images from codes drawn from the prior: the mean of p(x|z), (count, D) in [0, 1]."""
        weight = next(self.parameters())
        z = minigen.randn(count, self.config.latent, generator=generator, dtype=weight.dtype)
        return self.mean(self.decode(z.to(weight.device)))

    @minigen.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Images (N, ...) through the mean of their codes and back, (N, D) in [0, 1].

        Raises ValueError for images of another size, and for pixels that are not in [0, 1].
        """
        mu, _ = self.encode(require_pixels(as_rows(x, self.config)))  # (N, 28, 28) -> (N, D)
        return self.mean(self.decode(mu))


@dataclass(frozen=True)
class ConvVAEConfig:
    """Two convolutions that halve the image, one hidden layer, a code of J numbers."""

    channels: int = 1  # c
    size: int = 28  # s, a multiple of 4
    widths: tuple[int, int] = (32, 64)  # channels after the first and the second convolution
    hidden: int = 256
    latent: int = 20  # J
    likelihood: str = "bernoulli"  # of a pixel: or "gaussian", its variance learned

    def __post_init__(self) -> None:
        require_sizes(self)
        require_likelihood(self.likelihood)
        if self.size % 4:
            raise ValueError(f"size {self.size} cannot be halved twice; take a multiple of 4")

    @property
    def pixels(self) -> int:
        """D = c s^2."""
        return self.channels * self.size**2


class ConvVAE(VAE):
    """A VAE whose encoder and decoder know that pixels have neighbours.

    >>> model = ConvVAE(ConvVAEConfig(size=8, widths=(4, 8), hidden=16, latent=2))
    >>> logits, mu, logvar = model(minigen.rand(5, 64))
    >>> logits.shape, mu.shape
    (minigen.Size([5, 64]), minigen.Size([5, 2]))
    """

    def __init__(self, config: ConvVAEConfig | None = None) -> None:
        nn.Module.__init__(self)
        config = config or ConvVAEConfig()
        self.config = config
        w1, w2 = config.widths
        self.image = (config.channels, config.size, config.size)
        self.small = (w2, config.size // 4, config.size // 4)  # the shape between the halves
        flat = math.prod(self.small)
        self.conv1 = nn.Conv2d(config.channels, w1, 4, 2, 1)  # s -> s / 2
        self.conv2 = nn.Conv2d(w1, w2, 4, 2, 1)
        self.fc1 = nn.Linear(flat, config.hidden)
        self.fc21 = nn.Linear(config.hidden, config.latent)  # mu
        self.fc22 = nn.Linear(config.hidden, config.latent)  # ln sigma^2
        self.fc3 = nn.Linear(config.latent, config.hidden)
        self.fc4 = nn.Linear(config.hidden, flat)
        self.deconv1 = nn.ConvTranspose2d(w2, w1, 4, 2, 1)  # s -> 2 s
        self.deconv2 = nn.ConvTranspose2d(w1, config.channels, 4, 2, 1)
        self._learn_variance()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, D) -> mu, ln sigma^2 (N, J)."""
        x = x.reshape(-1, *self.image)  # (N, D) -> (N, c, s, s)
        h = F.relu(self.conv2(F.relu(self.conv1(x))))  # -> (N, w1, s/2, s/2) -> (N, w2, s/4, s/4)
        h = F.relu(self.fc1(h.flatten(1)))  # -> (N, w2 s^2 / 16) -> (N, hidden)
        return self.fc21(h), self.fc22(h)  # -> 2 x (N, J)

    def decode(self, z: Tensor) -> Tensor:
        """Codes (N, J) -> logits, or means, of the pixels (N, D)."""
        h = F.relu(self.fc4(F.relu(self.fc3(z))))  # (N, J) -> (N, hidden) -> (N, w2 s^2 / 16)
        h = h.reshape(-1, *self.small)  # -> (N, w2, s/4, s/4)
        h = self.deconv2(F.relu(self.deconv1(h)))  # -> (N, w1, s/2, s/2) -> (N, c, s, s)
        return h.flatten(1)  # -> (N, D)


LIKELIHOODS = ("bernoulli", "gaussian")


def require_likelihood(name: str) -> None:
    if name not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}, got {name!r}")


def reparameterize(mu: Tensor, logvar: Tensor, noise: Tensor | None = None) -> Tensor:
    """A draw of N(mu, sigma^2) that can be differentiated: z = mu + sigma * epsilon (section 2.4).

    mu, logvar = ln sigma^2 and noise = epsilon, all (N, J); noise is drawn here if None.

    >>> mu, logvar = minigen.zeros(1, 2), minigen.zeros(1, 2)
    >>> reparameterize(mu, logvar, noise=minigen.tensor([[0.5, -1.0]]))
    tensor([[ 0.5000, -1.0000]])
    """
    if noise is None:
        noise = minigen.randn_like(mu)
    return mu + (0.5 * logvar).exp() * noise


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL( N(mu, sigma^2) || N(0, I) ) in nats, (N, J), or codes of any shape, -> (N,); appendix B:

        -1/2 sum_j (1 + ln sigma_j^2 - mu_j^2 - sigma_j^2)

    >>> kl_divergence(minigen.tensor([[0.0, 2.0]]), minigen.zeros(1, 2))
    tensor([2.])
    """
    return -0.5 * (1 + logvar - mu * mu - logvar.exp()).flatten(1).sum(dim=1)


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """ln p(x|z) in nats, (N, D) or (N, ...) -> (N,), for pixels in [0, 1]; equation 11:

        sum_i x_i ln y_i + (1 - x_i) ln(1 - y_i),        y = sigmoid(logits)

    For grey pixels this is the cross-entropy between the two greys: no likelihood of a real
    number in [0, 1], but the usual yardstick (and what the binary images of which the greys are the
    mean would score on average).
    """
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(dim=1)


def gaussian_log_likelihood(mean: Tensor, x: Tensor, logvar: Tensor | float = 0.0) -> Tensor:
    """ln N(x; mean, e^logvar) in nats, (N, D) or (N, ...) -> (N,), for values without bound;
    appendix C.2:

        -1/2 sum_i (ln 2 pi + logvar + (x_i - mean_i)^2 / e^logvar)

    logvar = ln sigma^2, one for all, (D,) or (N, D). It has to be learned, or chosen with care: it
    decides how much the code is paid for, as beta does in `elbo`. In nats a unit of x: densities
    of x in other units differ by D ln(the ratio of the units).

    >>> zeros = minigen.zeros(1, 2)
    >>> gaussian_log_likelihood(zeros, zeros)
    tensor([-1.8379])
    """
    logvar = minigen.as_tensor(logvar, dtype=mean.dtype, device=mean.device)
    squares = (x - mean) ** 2 * (-logvar).exp()
    return -0.5 * (squares + logvar + math.log(2 * math.pi)).flatten(1).sum(dim=1)


def elbo(
    output: Tensor,
    x: Tensor,
    mu: Tensor,
    logvar: Tensor,
    beta: float = 1.0,
    log_likelihood: Callable[[Tensor, Tensor], Tensor] = bernoulli_log_likelihood,
) -> Tensor:
    """The lower bound of ln p(x) in nats for each image, (N,); equation 10 with one draw of z.

    output (N, D) of the decoder, images x (N, D) or (N, 28, 28) in [0, 1], mu and logvar (N, J) of
    the encoder. Its negative mean is the loss. beta weighs the divergence (Higgins et al. 2017,
    "beta-VAE", equation 4): more than 1 buys independent codes with blurred images, and what comes
    out is a bound of ln p(x) for beta >= 1 only. log_likelihood: what to make of the output;
    `VAE.log_likelihood` knows.

    >>> model = VAE()
    >>> x = minigen.rand(3, 28, 28)
    >>> elbo(*model(x)[:1], x, *model(x)[1:]).shape
    minigen.Size([3])
    """
    x = x.reshape(output.shape)  # (N, 28, 28) -> (N, D)
    return log_likelihood(output, x) - beta * kl_divergence(mu, logvar)
