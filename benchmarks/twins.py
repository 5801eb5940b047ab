"""The models written in torch, with minigen's names of weights: what minigen's are compared
with, in the tests (10 steps to 1e-8 in float64) and in the benchmarks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import minigen


def copy_weights(ours: Any, theirs: nn.Module) -> None:
    """Give the torch model our weights and buffers, key by key, and our dtype."""
    state = {k: torch.from_numpy(np.array(v.cpu().numpy())) for k, v in ours.state_dict().items()}
    theirs.to(next(v.dtype for v in state.values() if v.is_floating_point()))
    theirs.load_state_dict(state, strict=True)


def copy_weights_back(theirs: nn.Module, ours: Any) -> None:
    """Give our model the weights and buffers of the torch model."""
    state = {k: minigen.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)


def to_torch(batch: Any) -> Any:
    """A batch as a loader of minigen gives it, in torch tensors that share no memory with it."""
    if isinstance(batch, tuple | list):
        return [to_torch(part) for part in batch]
    return torch.from_numpy(batch.cpu().numpy().copy())


def same_weights(ours: Any, theirs: nn.Module, tolerance: float = 1e-8) -> None:
    expected = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        np.testing.assert_allclose(
            tensor.numpy(), expected[name].numpy(), rtol=tolerance, atol=tolerance, err_msg=name
        )


def distance(ours: Any, theirs: nn.Module) -> float:
    """The norm of the difference of all parameters over their norm."""
    expected = dict(theirs.named_parameters())
    apart = whole = 0.0
    for name, parameter in ours.named_parameters():
        a, b = parameter.detach().numpy(), expected[name].detach().numpy()
        apart, whole = apart + float(((a - b) ** 2).sum()), whole + float((b**2).sum())
    return math.sqrt(apart / whole)


def drawn(seed: int, *shape: int) -> np.ndarray:
    """What the default generator gives first after `manual_seed(seed)`."""
    generator = minigen.Generator().manual_seed(seed)
    return minigen.randn(*shape, generator=generator, dtype=minigen.float64).numpy()


class TorchVAE(nn.Module):
    """Written as PyTorch's own example is: the sigmoid first, then the cross-entropy."""

    def __init__(
        self,
        pixels: int = 784,
        hidden: int = 400,
        latent: int = 20,
        likelihood: str = "bernoulli",
    ) -> None:
        super().__init__()
        self.gaussian = likelihood == "gaussian"
        self.fc1 = nn.Linear(pixels, hidden)
        self.fc21, self.fc22 = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.fc3, self.fc4 = nn.Linear(latent, hidden), nn.Linear(hidden, pixels)
        if self.gaussian:
            self.output_logvar = nn.Parameter(torch.tensor(-3.0))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = F.relu(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.fc4(F.relu(self.fc3(z)))

    def forward(self, x: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * noise
        return self.decode(z), mu, logvar

    def loss(self, x: torch.Tensor, noise: torch.Tensor, beta: float = 1.0) -> torch.Tensor:
        out, mu, logvar = self(x, noise)
        if self.gaussian:
            variance = self.output_logvar.exp().expand_as(out)
            unlikely = F.gaussian_nll_loss(out, x, variance, full=True, reduction="sum")
        else:
            unlikely = F.binary_cross_entropy(torch.sigmoid(out), x, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (unlikely + beta * kld) / len(x)


class TorchConvVAE(TorchVAE):
    def __init__(
        self,
        channels: int,
        size: int,
        widths: Sequence[int],
        hidden: int,
        latent: int,
        likelihood: str = "bernoulli",
    ) -> None:
        nn.Module.__init__(self)
        self.gaussian = likelihood == "gaussian"
        w1, w2 = widths
        self.shape, self.small = (channels, size, size), (w2, size // 4, size // 4)
        self.conv1, self.conv2 = nn.Conv2d(channels, w1, 4, 2, 1), nn.Conv2d(w1, w2, 4, 2, 1)
        self.fc1 = nn.Linear(math.prod(self.small), hidden)
        self.fc21, self.fc22 = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.fc3, self.fc4 = nn.Linear(latent, hidden), nn.Linear(hidden, math.prod(self.small))
        self.deconv1 = nn.ConvTranspose2d(w2, w1, 4, 2, 1)
        self.deconv2 = nn.ConvTranspose2d(w1, channels, 4, 2, 1)
        if self.gaussian:
            self.output_logvar = nn.Parameter(torch.tensor(-3.0))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = F.relu(self.conv2(F.relu(self.conv1(x.reshape(-1, *self.shape)))))
        h = F.relu(self.fc1(h.flatten(1)))
        return self.fc21(h), self.fc22(h)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.fc4(F.relu(self.fc3(z)))).reshape(-1, *self.small)
        return self.deconv2(F.relu(self.deconv1(h))).flatten(1)


def torch_generator(
    sizes: Sequence[int], latent: int, pixels: int, batch_norm_eps: float = 1e-5
) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(latent, sizes[0]), nn.LeakyReLU(0.2)]
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b, batch_norm_eps), nn.LeakyReLU(0.2)]
    module = nn.Module()
    module.model = nn.Sequential(*layers, nn.Linear(sizes[-1], pixels), nn.Tanh())
    return module


def torch_discriminator(sizes: Sequence[int], pixels: int, dropout: float = 0.0) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in zip([pixels, *sizes], sizes):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
    module = nn.Module()
    module.model = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
    return module


def torch_conv_generator(
    channels: int, size: int, latent: int, width: int, kernel: int
) -> nn.Module:
    small, w, k = size // 4, width, kernel
    up = {"kernel_size": k, "stride": 2, "padding": k // 2, "output_padding": 1, "bias": False}
    module = nn.Module()
    module.model = nn.Sequential(
        *[nn.Linear(latent, 4 * w * small**2, bias=False), nn.BatchNorm1d(4 * w * small**2)],
        *[nn.ReLU(), nn.Unflatten(1, (4 * w, small, small))],
        nn.ConvTranspose2d(4 * w, 2 * w, k, padding=k // 2, bias=False),
        *[nn.BatchNorm2d(2 * w), nn.ReLU(), nn.ConvTranspose2d(2 * w, w, **up)],
        *[nn.BatchNorm2d(w), nn.ReLU(), nn.ConvTranspose2d(w, channels, **up), nn.Tanh()],
    )
    return module.apply(narrow)


def torch_conv_discriminator(
    channels: int, size: int, width: int, kernel: int, slope: float, dropout: float
) -> nn.Module:
    down = {"kernel_size": kernel, "stride": 2, "padding": kernel // 2}
    module = nn.Module()
    module.model = nn.Sequential(
        *[nn.Conv2d(channels, width, **down), nn.LeakyReLU(slope), nn.Dropout(dropout)],
        *[nn.Conv2d(width, 2 * width, **down), nn.LeakyReLU(slope), nn.Dropout(dropout)],
        *[nn.Flatten(), nn.Linear(2 * width * (size // 4) ** 2, 1)],
    )
    return module.apply(narrow)


def narrow(module: nn.Module) -> None:
    norms = nn.BatchNorm1d | nn.BatchNorm2d
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | norms):
        nn.init.normal_(module.weight, 1.0 if isinstance(module, norms) else 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class TorchRNN(nn.Module):
    def __init__(
        self, vocabulary: int, cell: str, embedding: int, hidden: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        layer = nn.LSTM if cell == "lstm" else nn.GRU
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.rnn = layer(embedding, hidden, layers, batch_first=True, dropout=dropout)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.embedding(ids))[0])


class TorchBlock(nn.Module):
    def __init__(self, width: int, heads: int, bias: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.ln_1, self.ln_2 = nn.LayerNorm(width, bias=bias), nn.LayerNorm(width, bias=bias)
        self.attn, self.mlp = nn.Module(), nn.Module()
        self.attn.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.attn.c_proj = nn.Linear(width, width, bias=bias)
        self.mlp.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.mlp.c_proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, c = x.shape
        q, k, v = self.attn.c_attn(self.ln_1(x)).split(c, dim=2)
        q, k, v = (a.view(n, t, self.heads, c // self.heads).transpose(1, 2) for a in (q, k, v))
        drop = self.dropout.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=drop, is_causal=True)
        x = x + self.dropout(self.attn.c_proj(y.transpose(1, 2).reshape(n, t, c)))
        return x + self.dropout(self.mlp.c_proj(F.gelu(self.mlp.c_fc(self.ln_2(x)))))


class TorchGPT(nn.Module):
    def __init__(
        self,
        vocabulary: int,
        context: int,
        layers: int,
        heads: int,
        width: int,
        bias: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.h = nn.ModuleList([TorchBlock(width, heads, bias, dropout) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width, bias=bias)
        narrow = 0.02 / math.sqrt(2 * layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=narrow if "c_proj" in name else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.dropout(self.wte(ids) + self.wpe.weight[: ids.shape[1]])
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)
