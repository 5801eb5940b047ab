"""The VQ-VAE: A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural Discrete Representation
Learning", 2017 (arXiv:1711.00937).

The code is no vector of numbers but a small map of symbols: what the encoder gives at each place is
replaced by the nearest of K vectors e, the codebook (equations 1 and 2),

    z_q = e_k,  k = argmin_j |z_e - e_j|.

argmin has no gradient, so the decoder's is handed to the encoder as if nothing had happened between
them ("straight-through"), and two further terms bring z_e and e together (equation 3):

    L = -ln p(x|z_q) + |sg[z_e] - e|^2 + beta |z_e - sg[e]|^2,     sg: no gradient through here.

There is no divergence to pay: the prior is learned afterwards, over maps of symbols, by any
autoregressive model.

Shapes: N images of c channels, s x s; codes of C numbers on a map of h x w places, K in the book.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import minigen
from minigen import Tensor, nn
from minigen.models.pixels import as_rows, require_pixels
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F


@dataclass(frozen=True)
class VQVAEConfig:
    """Two halvings of a 28x28 image, 7 x 7 places, 64 symbols of 16 numbers."""

    channels: int = 1  # c
    size: int = 28  # s, a multiple of 4
    widths: tuple[int, int] = (32, 64)
    codes: int = 64  # K
    dimension: int = 16  # C
    commitment: float = 0.25  # beta

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.size % 4:
            raise ValueError(f"size {self.size} cannot be halved twice; take a multiple of 4")

    @property
    def pixels(self) -> int:
        """D = c s^2."""
        return self.channels * self.size**2


class Quantized(NamedTuple):
    """What comes out of a codebook."""

    codes: Tensor  # z_q (N, C, h, w), with the encoder's gradient
    symbols: Tensor  # k, int64 (N, h, w)
    loss: Tensor  # the second and third term of equation 3, a scalar


class Codebook(nn.Module):
    """K vectors of C numbers, and the replacement of any vector by the nearest of them.

    >>> book = Codebook(2, 1)
    >>> book.vectors.data = minigen.tensor([[-1.0], [1.0]])
    >>> book(minigen.tensor([[[[0.3, -7.0]]]])).symbols
    tensor([[[1, 0]]])
    """

    def __init__(self, codes: int, dimension: int, commitment: float = 0.25) -> None:
        super().__init__()
        self.commitment = commitment
        self.vectors = nn.Parameter(minigen.empty(codes, dimension))
        nn.init.uniform_(self.vectors, -1 / codes, 1 / codes)

    def forward(self, z_e: Tensor) -> Quantized:
        """z_e (N, C, h, w) -> the nearest vectors, their numbers, and the loss."""
        symbols = self.nearest(z_e)
        z_q = self.look_up(symbols)
        book = ((z_q - z_e.detach()) ** 2).mean()  # moves the vectors to what they stand for
        commit = ((z_e - z_q.detach()) ** 2).mean()  # moves the encoder to its vectors
        straight_through = z_e + (z_q - z_e).detach()  # the value of z_q, the gradient of z_e
        return Quantized(straight_through, symbols, book + self.commitment * commit)

    @minigen.no_grad()
    def nearest(self, z_e: Tensor) -> Tensor:
        """(N, C, h, w) -> int64 (N, h, w), the number of the nearest vector (equation 1)."""
        n, c, h, w = z_e.shape
        flat = z_e.permute(0, 2, 3, 1).reshape(-1, c)  # (N, C, h, w) -> (N h w, C)
        # |z - e|^2 = |z|^2 - 2 z e + |e|^2, of which |z|^2 decides nothing
        distances = (self.vectors**2).sum(dim=1) - 2 * flat @ self.vectors.T  # (N h w, K)
        return distances.argmin(dim=1).reshape(n, h, w)

    @minigen.no_grad()
    def revive(self, z_e: Tensor) -> int:
        """Vectors that are the nearest of none of z_e, (N, C, h, w), start again as one of them,
        drawn at random: a vector that is never chosen gets no gradient and would never be. (Not of
        this paper: P. Dhariwal et al., "Jukebox", 2020, arXiv:2005.00341, section 3.)

        Returns how many there were.
        """
        k, c = self.vectors.shape
        counts = minigen.bincount(self.nearest(z_e).flatten(), minlength=k)
        dead = (counts == 0).nonzero().flatten()
        flat = z_e.permute(0, 2, 3, 1).reshape(-1, c)  # (N, C, h, w) -> (N h w, C)
        chosen = minigen.randint(len(flat), (len(dead),)).to(flat.device)
        vectors = self.vectors.detach().clone()
        vectors[dead] = flat[chosen]
        self.vectors.data = vectors
        return len(dead)

    def look_up(self, symbols: Tensor) -> Tensor:
        """int64 (N, h, w) -> vectors (N, C, h, w)."""
        return F.embedding(symbols, self.vectors).permute(0, 3, 1, 2)  # (N, h, w, C) -> ...


class VQVAE(nn.Module):
    """Images (N, c, s, s) -> logits of their pixels, and what the codebook made of them.

    >>> model = VQVAE(VQVAEConfig(size=8, widths=(4, 8), codes=5, dimension=3))
    >>> logits, quantized = model(minigen.rand(2, 1, 8, 8))
    >>> logits.shape, quantized.symbols.shape
    (minigen.Size([2, 1, 8, 8]), minigen.Size([2, 2, 2]))
    """

    def __init__(self, config: VQVAEConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or VQVAEConfig()
        w1, w2 = c.widths
        self.encoder = nn.Sequential(
            nn.Conv2d(c.channels, w1, 4, 2, 1), nn.ReLU(),  # s -> s / 2
            nn.Conv2d(w1, w2, 4, 2, 1), nn.ReLU(),  # -> s / 4
            nn.Conv2d(w2, c.dimension, 1),
        )  # fmt: skip
        self.codebook = Codebook(c.codes, c.dimension, c.commitment)
        self.decoder = nn.Sequential(
            nn.Conv2d(c.dimension, w2, 3, 1, 1), nn.ReLU(),
            nn.ConvTranspose2d(w2, w1, 4, 2, 1), nn.ReLU(),  # s / 4 -> s / 2
            nn.ConvTranspose2d(w1, c.channels, 4, 2, 1),  # -> s
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Quantized]:
        """Images (N, ...) in [0, 1] -> logits (N, c, s, s), codes (N, C, s/4, s/4).

        Raises ValueError for images of another size or number of channels.
        """
        quantized = self.codebook(self.encoder(self.as_maps(x)))
        return self.decoder(quantized.codes), quantized

    @minigen.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Images (N, ...) -> maps of symbols, int64 (N, s/4, s/4).

        Raises ValueError for images of another size, and for pixels that are not in [0, 1]: the
        nearest vector to NaN is a symbol like any other.
        """
        return self.codebook.nearest(self.encoder(self.as_maps(require_pixels(x))))

    def as_maps(self, x: Tensor) -> Tensor:
        """Images (N, ...) -> (N, c, s, s)."""
        c = self.config
        return as_rows(x, c).reshape(-1, c.channels, c.size, c.size)

    @minigen.no_grad()
    def decode(self, symbols: Tensor) -> Tensor:
        """Maps of symbols (N, s/4, s/4) -> images (N, c, s, s) in [0, 1]."""
        return minigen.sigmoid(self.decoder(self.codebook.look_up(symbols)))


def vq_vae_loss(logits: Tensor, x: Tensor, quantized: Quantized) -> Tensor:
    """Equation 3 as a scalar, everything a mean over pixels and numbers: cross-entropy of the
    pixels, x (N, ...) in [0, 1], and the codebook's two terms."""
    x = x.reshape(logits.shape)
    return F.binary_cross_entropy_with_logits(logits, x) + quantized.loss


class CodebookUsage(NamedTuple):
    """used: how many symbols occur; perplexity: how many they are worth, e^(entropy in nats)."""

    used: int
    perplexity: float


def codebook_usage(symbols: Tensor, codes: int) -> CodebookUsage:
    """Of symbols of any shape, from a book of `codes`.

    >>> usage = codebook_usage(minigen.tensor([0, 0, 3, 3]), 8)
    >>> usage.used, round(usage.perplexity, 6)
    (2, 2.0)
    """
    counts = minigen.bincount(symbols.flatten(), minlength=codes)
    shares = counts[counts > 0] / symbols.numel()
    entropy = -(shares * shares.log()).sum().item()
    return CodebookUsage(len(shares), math.exp(entropy))
