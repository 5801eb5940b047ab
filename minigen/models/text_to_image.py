"""Text to image in two stages: A. Ramesh et al., "Zero-Shot Text-to-Image Generation" (DALL-E),
2021 (arXiv:2102.12092), section 2, in small.

First a discrete autoencoder, here the VQ-VAE of `minigen.models.vq_vae`, writes each image as a map
of h x w symbols. Then a Transformer reads a caption and after it the symbols, row by row, as one
text, and learns what comes next: the caption c is what the chain rule of the image begins with,

    ln p(x, k | c) = ln p(x | k) + sum_t ln p(k_t | k_<t, c).

To draw a picture, write symbols after a caption and decode them. Captions here are those of
`minigen.data.captions`, of four words: one for each attribute, or that nothing is said of it, and
the digit.

Shapes: N pictures; captions of 4 tokens; maps of T = h w symbols, 0 to K - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import minigen
from minigen import Generator, Tensor, nn
from minigen.data.captions import ATTRIBUTES, DIGITS, MIDDLE, WORDS, Caption
from minigen.models import sampling
from minigen.models.sizes import require_sizes
from minigen.models.transformer import GPT, GPTConfig
from minigen.models.vq_vae import VQVAE, VQVAEConfig
from minigen.nn import functional as F

UNSAID = 0  # the token of an attribute without a word
TOKENS = (None, *(word for pair in WORDS for word in pair), *DIGITS)  # of captions
FIRST_DIGIT = TOKENS.index(DIGITS[0])
LENGTH = len(ATTRIBUTES) + 1  # of a caption


@dataclass(frozen=True)
class TextToImageConfig:
    """For 28 x 28 digits: maps of 7 x 7 symbols, and a Transformer of 0.3 million parameters."""

    size: int = 28
    widths: tuple[int, int] = (32, 64)  # of the autoencoder
    codes: int = 64  # K
    dimension: int = 16  # of the vectors behind the symbols
    layers: int = 3
    heads: int = 4
    channels: int = 96  # of the Transformer's stream
    dropout: float = 0.1

    def __post_init__(self) -> None:
        require_sizes(self)

    @property
    def side(self) -> int:
        """h = w, of the maps."""
        return self.size // 4


def caption_tokens(digits: Tensor, levels: Tensor) -> Tensor:
    """What captions are to the Transformer: digits (N,), levels (N, 3) -> int64 (N, 4).

    >>> tokens = caption_tokens(minigen.tensor([3]), minigen.tensor([[2, 2, 1]]))
    >>> [TOKENS[token] for token in tokens[0].tolist()]
    ['thick', 'tilted', None, 'three']
    """
    attribute = minigen.arange(len(ATTRIBUTES), device=levels.device)
    words = 1 + 2 * attribute + levels // 2  # low 0, high 2 -> the pair's first, second word
    words = words.masked_fill(levels == MIDDLE, UNSAID)
    return minigen.cat([words, FIRST_DIGIT + digits[:, None]], dim=1)  # (N, 3), (N, 1) -> (N, 4)


def leave_words_out(
    levels: Tensor, probability: float, generator: Generator | None = None
) -> Tensor:
    """Levels (N, 3), each with that probability as if nothing had been said of it."""
    unsaid = minigen.rand(*levels.shape, generator=generator, device=levels.device) < probability
    return levels.masked_fill(unsaid, MIDDLE)


class TextToImage(nn.Module):
    """The autoencoder, and a Transformer that writes its symbols after a caption.

    >>> model = TextToImage(TextToImageConfig(size=8, widths=(2, 4), codes=5, channels=8, heads=2))
    >>> captions = caption_tokens(minigen.tensor([3, 1]), minigen.ones(2, 3).long())
    >>> model(captions, minigen.zeros(2, 2, 2).long()).shape
    minigen.Size([2])
    """

    def __init__(self, config: TextToImageConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or TextToImageConfig()
        self.vq_vae = VQVAE(
            VQVAEConfig(size=c.size, widths=c.widths, codes=c.codes, dimension=c.dimension)
        )
        self.gpt = GPT(
            GPTConfig(
                vocabulary=c.codes + len(TOKENS),  # a caption's tokens come after the symbols
                context=LENGTH + c.side**2 - 1,  # nothing is read after the last symbol
                layers=c.layers,
                heads=c.heads,
                width=c.channels,
                dropout=c.dropout,
            )
        )

    def forward(self, captions: Tensor, symbols: Tensor) -> Tensor:
        """ln p(k | c) in nats: captions (N, 4), maps (N, h, w) -> (N,)."""
        k = self.config.codes
        targets = symbols.flatten(1)  # (N, h, w) -> (N, T)
        ids = minigen.cat([k + captions, targets[:, :-1]], dim=1)  # (N, 4 + T - 1)
        logits = self.gpt(ids)[:, LENGTH - 1 :, :k]  # (N, 4 + T - 1, K + words) -> (N, T, K)
        costs = F.cross_entropy(
            logits.flatten(0, 1),  # (N, T, K) -> (N T, K)
            targets.flatten(),  # (N, T) -> (N T,)
            reduction="none",
        )
        return -costs.reshape(targets.shape).sum(dim=1)  # (N T,) -> (N, T) -> (N,)

    @minigen.no_grad()
    def write(
        self,
        captions: Tensor,
        generator: Generator | None = None,
        how: sampling.Sampling | None = None,
    ) -> Tensor:
        """Maps for captions (N, 4), symbol by symbol: int64 (N, h, w)."""
        c = self.config
        read = self.gpt.reader()
        ids = sampling.generate(
            lambda ids: read(ids)[:, : c.codes],  # no word comes after a caption
            c.codes + captions,
            c.side**2,
            how or sampling.Sampling(),
            generator,
        )
        return ids[:, LENGTH:].reshape(-1, c.side, c.side)  # (N, 4 + T) -> (N, T) -> (N, h, w)

    @minigen.no_grad()
    def draw(
        self,
        captions: Sequence[Caption],
        generator: Generator | None = None,
        how: sampling.Sampling | None = None,
    ) -> Tensor:
        """A picture for each caption: (N, 1, s, s) in [0, 1]."""
        digits = minigen.tensor([caption.digit for caption in captions])
        levels = minigen.tensor([caption.levels for caption in captions])
        tokens = caption_tokens(digits, levels).to(self.gpt.wte.weight.device)
        return self.vq_vae.decode(self.write(tokens, generator, how))
