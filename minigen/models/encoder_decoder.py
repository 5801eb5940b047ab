"""The Transformer: A. Vaswani et al., "Attention Is All You Need", 2017 (arXiv:1706.03762).

An encoder reads the source, all of it at once, into a memory: a vector for each of its tokens.  A
decoder writes the target from left to right, p(y | x) = prod_t p(y_t | y_<t, x).  Each of its
layers attends to what is written already ("self-attention", which sees only what came before) and
then to the memory ("cross-attention", which sees the whole source).

Sequences of a batch differ in length, and the shorter are filled up with padding.  No token may
look at padding: that is the mask.

Shapes: N pairs of S source and T target tokens, C channels (the paper's d_model), h heads of
d = C/h numbers, a vocabulary of V, which source and target share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import minigen
from minigen import Tensor, nn
from minigen.dispatch import take_over_threads
from minigen.models.cache import KeyValueCache, causal_mask
from minigen.models.sampling import evaluating
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F

# Of a layer of the decoder: of the tokens that are written, and of the memory.
LayerCaches = tuple[KeyValueCache, KeyValueCache]


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """A small one, that a CPU trains in a minute; the paper's base model has 6 layers, 8 heads, a
    width of 512, a hidden width of 2,048, a dropout of 0.1 and the norm last."""

    vocabulary: int = 32  # V
    layers: int = 2  # of the encoder, and as many of the decoder
    heads: int = 4  # h
    width: int = 64  # C
    hidden: int = 256  # of the feed-forward
    dropout: float = 0.0
    norm_first: bool = False  # layer norm before each part instead of after the sum
    epsilon: float = 1e-5  # of layer norm
    padding: int = 0  # the token that fills up what is shorter, and is never looked at

    def __post_init__(self) -> None:
        require_sizes(self, but=("padding",))
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be split into {self.heads} equal heads")
        if self.width % 2:
            raise ValueError(f"width {self.width} is odd: a sine and a cosine are two channels")


def sinusoids(first: int, end: int, width: int) -> np.ndarray:
    """PE of the places `first` to `end` - 1, float64 (end - first, C); section 3.5.

        PE(pos, 2i) = sin(pos / 10000^(2i/C)),   PE(pos, 2i + 1) = cos(pos / 10000^(2i/C))

    Each pair of channels is the hand of a clock, the first the fastest; how far apart two places
    are shows in the angles between their hands.

    >>> sinusoids(0, 2, 4).round(3)
    array([[0.   , 1.   , 0.   , 1.   ],
           [0.841, 0.54 , 0.01 , 1.   ]])
    """
    angles = np.outer(np.arange(first, end), 10_000.0 ** (-np.arange(0, width, 2) / width))
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(end - first, width)


class MultiHeadAttention(nn.Module):
    """MultiHead(Q, K, V) = [head_1 ... head_h] W_O,  head_i = Attention(Q W_iQ, K W_iK, V W_iV)
    (section 3.2.2), with Attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V (equation 1).

    Queries come from one sequence, keys and values from another, or all from the same.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        take_over_threads()
        self.heads = config.heads
        self.in_proj = nn.Linear(config.width, 3 * config.width)  # W_Q, W_K, W_V in one
        self.out_proj = nn.Linear(config.width, config.width)  # W_O

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        is_causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """x (N, T, C) looks at memory (N, S, C), or if there is none at itself -> (N, T, C).

        mask: True where it may, or numbers to be added to the scores; broadcast to (N, h, T, S).
        cache: without memory, of what came before x, and x is added to it; with memory, of the
        memory once it was looked at, which does not change.
        """
        c = x.shape[-1]
        if memory is None:
            q, k, v = self.in_proj(x).chunk(3, dim=-1)  # (N, T, C) -> 3 x (N, T, C)
            q, k, v = (self._heads(part) for part in (q, k, v))
            if cache is not None:
                k, v = cache.extend(k, v)
        else:
            weight, bias = self.in_proj.weight, self.in_proj.bias
            q = self._heads(F.linear(x, weight[:c], bias[:c]))
            if cache is not None and len(cache):
                k, v = cache.stored()
            else:
                both = F.linear(memory, weight[c:], bias[c:])  # (N, S, C) -> (N, S, 2C)
                k, v = (self._heads(part) for part in both.chunk(2, dim=-1))
                if cache is not None:
                    cache.extend(k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)
        y = y.transpose(1, 2).reshape(x.shape)  # (N, h, T, d) -> (N, T, h, d) -> (N, T, C)
        return self.out_proj(y)

    def _heads(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        # (N, T, C) -> (N, T, h, d) -> (N, h, T, d)
        return x.reshape(n, t, self.heads, c // self.heads).transpose(1, 2)


class FeedForward(nn.Module):
    """FFN(x) = max(0, x W_1 + b_1) W_2 + b_2 (equation 2), at each place for itself."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.linear1 = nn.Linear(config.width, config.hidden)
        self.linear2 = nn.Linear(config.hidden, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(F.relu(self.linear1(x)))


class Residual(nn.Module):
    """LayerNorm(x + Sublayer(x)) (section 3.1), or, with `norm_first`, x + Sublayer(LayerNorm(x)),
    which needs no warm-up: R. Xiong et al., 2020 (arXiv:2002.04745)."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, config.epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.norm_first = config.norm_first

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.dropout(sublayer(self.norm(x)))
        return self.norm(x + self.dropout(sublayer(x)))


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(config)
        self.feed_forward = FeedForward(config)
        self.residual1, self.residual2 = Residual(config), Residual(config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.residual1(x, lambda x: self.self_attn(x, mask=mask))
        return self.residual2(x, self.feed_forward)


class DecoderLayer(nn.Module):
    """Self-attention to what is written, attention to the memory, feed-forward."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(config)
        self.cross_attn = MultiHeadAttention(config)
        self.feed_forward = FeedForward(config)
        self.residual1, self.residual2 = Residual(config), Residual(config)
        self.residual3 = Residual(config)

    def forward(
        self, x: Tensor, memory: Tensor, memory_mask: Tensor, caches: LayerCaches | None = None
    ) -> Tensor:
        written, read = caches or (None, None)
        before = len(written) if written is not None else 0
        mask = causal_mask(x.shape[1], before + x.shape[1], x.device) if before else None

        def look_back(x: Tensor) -> Tensor:
            return self.self_attn(x, mask=mask, is_causal=not before, cache=written)

        def look_at_source(x: Tensor) -> Tensor:
            return self.cross_attn(x, memory, memory_mask, cache=read)

        x = self.residual1(x, look_back)
        x = self.residual2(x, look_at_source)
        return self.residual3(x, self.feed_forward)


class EncoderDecoder(nn.Module):
    """Source (N, S) and target (N, T) tokens -> logits of the next target token (N, T, V).

    One matrix embeds the tokens of both and reads the result out (section 3.4); on its way in it is
    multiplied by sqrt(C).

    >>> model = EncoderDecoder(EncoderDecoderConfig(vocabulary=10, layers=1, width=16))
    >>> source, target = minigen.tensor([[3, 4, 5], [6, 0, 0]]), minigen.tensor([[1, 5], [1, 6]])
    >>> model(source, target).shape
    minigen.Size([2, 2, 10])
    """

    def __init__(self, config: EncoderDecoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EncoderDecoderConfig()
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = nn.ModuleList([EncoderLayer(config) for _ in range(config.layers)])
        self.decoder = nn.ModuleList([DecoderLayer(config) for _ in range(config.layers)])
        # With the norm first nothing has yet normalised what the last layer gives.
        last = nn.LayerNorm if config.norm_first else nn.Identity
        self.encoder_norm = last(config.width, config.epsilon)
        self.decoder_norm = last(config.width, config.epsilon)
        self.initialize()

    def initialize(self) -> None:
        """Xavier's uniform distribution for matrices, zeros for biases; the embedding, which is
        multiplied by sqrt(C), from N(0, 1/C)."""
        for name, parameter in self.named_parameters():
            if name == "embedding.weight":
                nn.init.normal_(parameter, std=self.config.width**-0.5)
            elif parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def mask(self, source: Tensor) -> Tensor:
        """Where a source can be looked at: (N, S) -> bool (N, 1, 1, S)."""
        n, s = source.shape
        return source.ne(self.config.padding).reshape(n, 1, 1, s)

    def encode(self, source: Tensor) -> Tensor:
        """The memory of sources: (N, S) -> (N, S, C)."""
        mask = self.mask(source)
        x = self._embed(source, 0)
        for layer in self.encoder:
            x = layer(x, mask)
        return self.encoder_norm(x)

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        memory_mask: Tensor,
        caches: Sequence[LayerCaches] | None = None,
    ) -> Tensor:
        """Logits (N, T, V) after target tokens (N, T), which follow those that are in the caches.

        Targets need no mask of their padding: it stands at their end, and nobody looks ahead.
        """
        x = self._embed(target, len(caches[0][0]) if caches else 0)
        remembered: Sequence[LayerCaches | None] = caches or [None] * len(self.decoder)
        for layer, of_layer in zip(self.decoder, remembered):
            x = layer(x, memory, memory_mask, of_layer)
        return F.linear(self.decoder_norm(x), self.embedding.weight)  # (N, T, C) -> (N, T, V)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, self.encode(source), self.mask(source))

    def _embed(self, ids: Tensor, first: int) -> Tensor:
        """(N, T) -> (N, T, C)."""
        x = self.embedding(ids) * math.sqrt(self.config.width)
        places = sinusoids(first, first + ids.shape[1], self.config.width)
        return self.dropout(x + minigen.tensor(places, dtype=x.dtype, device=x.device))

    def reader(self, source: Tensor) -> Decoding:
        """What writes answers to sources (N, S): a `sampling.Reader`, and for a beam search."""
        return Decoding(self, source)


class Decoding:
    """Targets that are being written: reads tokens (N, T), which follow those that it was given
    before, and gives the logits of the next one, (N, V)."""

    def __init__(self, model: EncoderDecoder, source: Tensor) -> None:
        self.model = model
        with evaluating(model):
            self.memory, self.mask = model.encode(source), model.mask(source)
        self.caches = [(KeyValueCache(), KeyValueCache()) for _ in model.decoder]

    def __call__(self, tokens: Tensor) -> Tensor:
        with evaluating(self.model):
            return self.model.decode(tokens, self.memory, self.mask, self.caches)[:, -1]

    def select(self, rows: Tensor) -> None:
        """Go on with these of the N targets, int64 (M,), in this order; one may be there twice."""
        self.memory, self.mask = self.memory[rows], self.mask[rows]
        for caches in self.caches:
            for cache in caches:
                cache.select(rows)


def label_smoothed_loss(
    logits: Tensor, targets: Tensor, smoothing: float = 0.1, padding: int = 0
) -> Tensor:
    """The mean of -ln p(y_t | y_<t, x) over all targets that are no padding, in nats a token:
    logits (N, T, V), targets int64 (N, T) -> scalar.

    With `smoothing` the share e of each target goes to all tokens alike (section 5.4, e = 0.1;
    C. Szegedy et al., 2016, arXiv:1512.00567, section 7): the model learns to be less sure, and the
    loss cannot fall to 0.

    >>> ids = minigen.tensor([[3, 4, 0]])
    >>> label_smoothed_loss(minigen.zeros(1, 3, 10), ids, smoothing=0.0)
    tensor(2.3026)
    """
    vocabulary = logits.shape[-1]
    return F.cross_entropy(
        logits.reshape(-1, vocabulary),  # (N, T, V) -> (N T, V)
        targets.reshape(-1),  # (N, T) -> (N T,)
        ignore_index=padding,
        label_smoothing=smoothing,
    )
