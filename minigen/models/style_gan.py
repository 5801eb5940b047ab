"""A style-based generator: T. Karras, S. Laine and T. Aila, "A Style-Based Generator Architecture
for Generative Adversarial Networks", 2019 (arXiv:1812.04948).

Noise does not enter at the bottom and is then stretched into a picture; the picture grows from one
learned constant, and at every layer three things act on it (figure 1b):

    style   w = f(z), the *mapping network* f of z; A turns it into a scale and a shift for each
            channel, which AdaIN gives the channel in place of its own (equation 1)
    noise   one random image, added to each channel as strongly as B has learned: what differs from
            one writing of the same digit to the next and need not be remembered in z
    conv    as everywhere

Low resolutions decide what is drawn and how it leans, high ones how the stroke looks; so styles of
two pictures can be *mixed*, those of one for the coarse layers and of the other for the fine ones
(section 3.1), and w can be drawn towards its mean, fewer surprises for less variety (*truncation*,
appendix B). Losses are in `minigen.models.gan_losses`, what is trained in
`minigen.training.recipes.style_gan`.

Shapes: N images of c channels, s x s pixels in [-1, 1]; z and w of J numbers; L layers of styles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import minigen
from minigen import Tensor, nn
from minigen.models.gan import Generator
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F


@dataclass(frozen=True)
class StyleGANConfig:
    """Three resolutions, s/4, s/2 and s, of two layers each: L = 6."""

    channels: int = 1  # c
    size: int = 28  # s, a multiple of 4
    latent: int = 64  # J
    width: int = 16  # w: channels at resolution s; twice and four times as many below
    mapping: int = 4  # layers of f
    mapping_lr: float = 0.01  # learning rate of f, of that of the others (appendix C)
    slope: float = 0.2  # of LeakyReLU
    mixing: float = 0.9  # share of the training images that are made of two styles

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.size < 8 or self.size % 4:
            raise ValueError(f"size {self.size} cannot be halved twice; take a multiple of 4")
        if not 0 <= self.mapping_lr < float("inf"):
            raise ValueError(f"mapping_lr must be 0 or a positive number, got {self.mapping_lr}")
        if not 0 <= self.mixing <= 1:
            raise ValueError(f"mixing is a share, from 0 to 1, got {self.mixing}")


def adaptive_instance_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """AdaIN(x_i, y) = y_s,i (x_i - mu(x_i)) / sigma(x_i) + y_b,i for each channel i of each image
    (equation 1): whatever mean and spread the channel had, it now has those of the style.

    x (N, C, H, W); scale y_s and shift y_b (N, C). sigma² = var + eps, var over the H W pixels.

    >>> x = minigen.tensor([[[[1.0, 3.0]]]])
    >>> adaptive_instance_norm(x, minigen.tensor([[10.0]]), minigen.tensor([[5.0]]), eps=0.0)
    tensor([[[[-5., 15.]]]])
    """
    normalised = F.instance_norm(x, eps=eps)
    return normalised * scale[:, :, None, None] + shift[:, :, None, None]  # (N, C) -> (N, C, 1, 1)


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Each pixel's channels over the root of their mean square: x (N, C, ...), of the same shape
    (T. Karras et al., "Progressive Growing of GANs", 2018, section 4.2).

    >>> pixel_norm(minigen.tensor([[3.0, 0.0], [0.0, -2.0]])).round(decimals=4)
    tensor([[ 1.4142,  0.0000],
            [ 0.0000, -1.4142]])
    """
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


class Mapping(nn.Module):
    """f: z (N, J) -> w (N, J). z is brought to length sqrt(J) first, so that only its direction
    counts, and layers of LeakyReLU may then bend the sphere into whatever shape the styles have.

    >>> Mapping(8, layers=2, slope=0.2)(minigen.randn(5, 8)).shape
    minigen.Size([5, 8])
    """

    def __init__(self, width: int, layers: int, slope: float) -> None:
        super().__init__()
        self.model = nn.Sequential()
        for _ in range(layers):
            self.model.append(nn.Linear(width, width))
            self.model.append(nn.LeakyReLU(slope))
        self.model.apply(he_normal)

    def forward(self, z: Tensor) -> Tensor:
        return self.model(pixel_norm(z))


class NoiseInput(nn.Module):
    """B: x (N, C, H, W) + b_i times one noise image (N, 1, H, W) for each channel i; b is learned
    and begins at 0.

    >>> noise = NoiseInput(2)
    >>> _ = noise.strength.data.copy_(minigen.tensor([0.0, 10.0]))
    >>> noise(minigen.zeros(1, 2, 1, 1), minigen.ones(1, 1, 1, 1)).flatten()
    tensor([ 0., 10.], grad_fn=<ReshapeBackward0>)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(minigen.zeros(channels))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + self.strength[:, None, None] * noise  # (C, 1, 1) * (N, 1, H, W) -> (N, C, H, W)


class StyledLayer(nn.Module):
    """Convolution, noise, LeakyReLU, AdaIN.

    x (N, C, H, W), w (N, J), noise (N, 1, H', W') -> (N, C', H', W').
    """

    def __init__(self, conv: nn.Module, channels: int, latent: int, slope: float) -> None:
        super().__init__()
        self.conv = conv
        self.noise = NoiseInput(channels)
        self.style = nn.Linear(latent, 2 * channels)  # A
        self.slope = slope
        self.apply(he_normal)
        with minigen.no_grad():
            self.style.weight *= 0.5  # styles differ a little from the beginning, not wildly
            self.style.bias[:channels] = 1.0  # y_s; y_b begins at 0

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        x = F.leaky_relu(self.noise(self.conv(x), noise), self.slope)
        scale, shift = self.style(w).chunk(2, dim=1)  # (N, 2C') -> 2 x (N, C')
        return adaptive_instance_norm(x, scale, shift)


class StyleGenerator(Generator):
    """G: noise (N, J) -> images (N, c, s, s).

    In training, a share `mixing` of the images has two styles, with the change at a random layer,
    so that no layer may count on what the one before it was told (*mixing regularisation*).

    >>> network = StyleGenerator(StyleGANConfig(width=2, latent=8))
    >>> network(minigen.randn(5, 8)).shape
    minigen.Size([5, 1, 28, 28])
    >>> styles = network.styles(minigen.randn(5, 8))  # one w for all layers
    >>> network.synthesize(styles).shape
    minigen.Size([5, 1, 28, 28])
    """

    def __init__(self, config: StyleGANConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or StyleGANConfig()
        self.latent = c.latent
        self.mapping = Mapping(c.latent, c.mapping, c.slope)
        small = c.size // 4
        self.constant = nn.Parameter(minigen.randn(1, 4 * c.width, small, small))
        layers = [(nn.Identity(), 4 * c.width), *convolutions(c.width)]  # the constant, as it is
        self.layers = nn.ModuleList(
            StyledLayer(conv, channels, c.latent, c.slope) for conv, channels in layers
        )
        self.to_image = nn.Conv2d(c.width, c.channels, 1)
        self.to_image.apply(he_normal)

    def forward(self, z: Tensor) -> Tensor:
        styles = self.styles(z)  # (N, L, J)
        if self.training and self.config.mixing:
            styles = self._mixed(styles)
        return self.synthesize(styles)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The mapping network learns more slowly: a small change of it changes all layers."""
        mapping = list(self.mapping.parameters())
        known = {id(p) for p in mapping}
        others = [p for p in self.parameters() if id(p) not in known]
        return [
            {"params": others, "lr": lr},
            {"params": mapping, "lr": self.config.mapping_lr * lr},
        ]

    def styles(self, z: Tensor, truncation: float = 1.0, mean: Tensor | None = None) -> Tensor:
        """z (N, J) -> w (N, L, J), the same for every layer, w' = w_mean + psi (w - w_mean) with
        the truncation psi (appendix B): 1 changes nothing, 0 gives one image, the average one."""
        w = self.mapping(z)
        if truncation != 1.0:
            mean = self.mean_style() if mean is None else mean
            w = mean + truncation * (w - mean)
        return w[:, None].expand(-1, len(self.layers), -1)  # (N, J) -> (N, L, J)

    @minigen.no_grad()
    def mean_style(self, count: int = 4096) -> Tensor:
        """w_mean = E f(z), (J,), from `count` z of a fixed seed."""
        return self.mapping(self.noise(count, minigen.Generator().manual_seed(0))).mean(dim=0)

    def synthesize(
        self,
        styles: Tensor,
        noise: Sequence[Tensor] | None = None,
        generator: minigen.Generator | None = None,
    ) -> Tensor:
        """Images (N, c, s, s) of styles w (N, L, J), a w for each layer, and noise images, L of
        (N, 1, H, W) as `noise_images` draws them; drawn anew if None."""
        if styles.ndim != 3 or styles.shape[1] != len(self.layers):
            raise ValueError(
                f"synthesize: needs styles (N, {len(self.layers)}, {self.latent}), one for each "
                f"layer, got {tuple(styles.shape)}"
            )
        n = len(styles)
        noise = self.noise_images(n, generator) if noise is None else noise
        x = self.constant.expand(n, -1, -1, -1)  # (1, 4w, s/4, s/4) -> (N, ...)
        for i, (layer, image) in enumerate(zip(self.layers, noise, strict=True)):
            x = layer(x, styles[:, i], image)
        return self.to_image(x).tanh()

    def noise_images(self, count: int, generator: minigen.Generator | None = None) -> list[Tensor]:
        """A noise image for each layer, (count, 1, H, W), H = W = s/4, s/4, s/2, s/2, s, s."""
        small, like = self.config.size // 4, self.constant
        options: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
        return [
            minigen.randn(count, 1, side, side, generator=generator, **options)
            for side in (small, small, 2 * small, 2 * small, 4 * small, 4 * small)
        ]

    def _mixed(self, styles: Tensor) -> Tensor:
        """From a random layer on, the style of another z, for a share of the images."""
        n, layers, _ = styles.shape
        other = self.styles(self.noise(n))
        there = styles.device
        change = minigen.randint(1, layers, (n, 1), device=there)  # the first with the other style
        stays = minigen.rand(n, 1, device=there) >= self.config.mixing
        later = (minigen.arange(layers, device=there) >= change) & ~stays  # (L,), (N, 1) -> (N, L)
        return minigen.where(later[:, :, None], other, styles)

    @minigen.no_grad()
    def draw(
        self, count: int, generator: minigen.Generator | None = None, truncation: float = 1.0
    ) -> Tensor:
        """Images (count, c, s, s) in [-1, 1]."""
        styles = self.styles(self.noise(count, generator), truncation)
        return self.synthesize(styles, generator=generator)


class TraditionalGenerator(Generator):
    """G: noise (N, J) -> images (N, c, s, s), as it was before styles (figure 1a): the noise itself
    is stretched into the first, smallest picture, and the same convolutions follow, each with
    LeakyReLU and `pixel_norm`.

    >>> TraditionalGenerator(StyleGANConfig(width=2, latent=8))(minigen.randn(5, 8)).shape
    minigen.Size([5, 1, 28, 28])
    """

    def __init__(self, config: StyleGANConfig) -> None:
        super().__init__()
        self.config = c = config
        self.latent = c.latent
        self.first = nn.Linear(c.latent, 4 * c.width * (c.size // 4) ** 2)
        self.convs = nn.ModuleList(conv for conv, _ in convolutions(c.width))
        self.to_image = nn.Conv2d(c.width, c.channels, 1)
        self.apply(he_normal)

    def forward(self, z: Tensor) -> Tensor:
        c, small = self.config, self.config.size // 4
        x = self.first(pixel_norm(z)).reshape(-1, 4 * c.width, small, small)  # (N, 4w, s/4, s/4)
        x = pixel_norm(F.leaky_relu(x, c.slope))
        for conv in self.convs:
            x = pixel_norm(F.leaky_relu(conv(x), c.slope))
        return self.to_image(x).tanh()


def convolutions(w: int) -> list[tuple[nn.Module, int]]:
    """Those of either generator, each with its channels, from (N, 4w, s/4, s/4) to (N, w, s, s)."""
    return [
        (nn.Conv2d(4 * w, 4 * w, 3, padding=1), 4 * w),
        (nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1), 2 * w),  # -> (N, 2w, s/2, s/2)
        (nn.Conv2d(2 * w, 2 * w, 3, padding=1), 2 * w),
        (nn.ConvTranspose2d(2 * w, w, 4, 2, 1), w),  # -> (N, w, s, s)
        (nn.Conv2d(w, w, 3, padding=1), w),
    ]


def mix_styles(coarse: Tensor, fine: Tensor, layer: int) -> Tensor:
    """Every pair of styles, (R, L, J) and (C, L, J) -> (R, C, L, J): those of `coarse` for the
    layers before `layer`, those of `fine` from it on (figure 3 of the paper is such a table).

    >>> table = mix_styles(minigen.zeros(2, 6, 1), minigen.ones(3, 6, 1), layer=2)
    >>> table.shape, table[1, 2, :, 0].tolist()
    (minigen.Size([2, 3, 6, 1]), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    """
    (rows, layers, width), columns = coarse.shape, len(fine)
    if not 0 <= layer <= layers:
        raise ValueError(f"mix_styles: layer must be from 0 to {layers}, got {layer}")
    before = coarse[:, None, :layer].expand(rows, columns, layer, width)
    after = fine[None, :, layer:].expand(rows, columns, layers - layer, width)
    return minigen.cat([before, after], dim=2)


def he_normal(module: nn.Module) -> None:
    """Weights from N(0, 2 / inputs), biases zero: activations keep their size at the beginning."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
