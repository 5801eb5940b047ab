"""The recipes that answer questions (`minigen.training.recipes`: sequences, arithmetic) in torch;
the encoder-decoder is torch's own `nn.Transformer`."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch_job import TorchJob

from minigen.training import Settings

# What torch calls the weights, and what minigen does.
RENAMED = (
    (r"^transformer\.(encoder|decoder)\.layers\.", r"\1."),
    (r"^transformer\.(encoder|decoder)\.norm\.", r"\1_norm."),
    (r"\.in_proj_", ".in_proj."),
    (r"\.multihead_attn\.", ".cross_attn."),
    (r"\.linear(\d)\.", r".feed_forward.linear\1."),
    (r"\.norm(\d)\.", r".residual\1.norm."),
)


def our_name(name: str) -> str:
    """What `minigen.models.EncoderDecoder` calls a weight of torch's."""
    for theirs, ours in RENAMED:
        name = re.sub(theirs, ours, name)
    return name


class TorchEncoderDecoder(nn.Module):
    """`state_dict` and `load_state_dict` speak of weights by minigen's names."""

    def __init__(
        self, vocabulary: int, layers: int, heads: int, width: int, hidden: int, dropout: float,
        norm_first: bool, epsilon: float, padding: int,
    ) -> None:  # fmt: skip
        super().__init__()
        options: dict[str, Any] = {
            "d_model": width, "nhead": heads, "dim_feedforward": hidden, "dropout": dropout,
            "layer_norm_eps": epsilon, "norm_first": norm_first, "batch_first": True,
        }  # fmt: skip
        norms = [nn.LayerNorm(width, epsilon) if norm_first else None for _ in range(2)]
        self.padding, self.width = padding, width
        self.embedding = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        self.transformer = nn.Transformer(
            **options,
            custom_encoder=nn.TransformerEncoder(
                nn.TransformerEncoderLayer(**options), layers, norms[0], enable_nested_tensor=False
            ),
            custom_decoder=nn.TransformerDecoder(
                nn.TransformerDecoderLayer(**options), layers, norms[1]
            ),
        )
        nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def state_dict(self, *args: Any, **options: Any) -> dict[str, torch.Tensor]:
        return {our_name(k): v for k, v in super().state_dict(*args, **options).items()}

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        names = {our_name(name): name for name in super().state_dict()}
        return super().load_state_dict({names[k]: v for k, v in state.items()}, strict, assign)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        hidden = source == self.padding
        later = nn.Transformer.generate_square_subsequent_mask(target.shape[1]).isinf()
        out = self.transformer(
            self._embed(source),
            self._embed(target),
            tgt_mask=later,
            src_key_padding_mask=hidden,
            memory_key_padding_mask=hidden,
            tgt_is_causal=True,
        )
        return out @ self.embedding.weight.T

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        place = torch.arange(ids.shape[1], dtype=torch.float64)[:, None]
        channel = torch.arange(0, self.width, 2, dtype=torch.float64)
        angle = place * torch.exp(-math.log(10_000.0) / self.width * channel)
        waves = torch.empty(ids.shape[1], self.width, dtype=torch.float64)
        waves[:, 0::2], waves[:, 1::2] = angle.sin(), angle.cos()
        x = self.embedding(ids) * math.sqrt(self.width)
        return self.dropout(x + waves.to(x.dtype))


class TorchAverage(AveragedModel):
    """That of a TorchEncoderDecoder, with its names of weights."""

    def state_dict(self, *args: Any, **options: Any) -> dict[str, torch.Tensor]:
        weights = {f"module.{name}": weight for name, weight in self.module.state_dict().items()}
        return {"n_averaged": self.n_averaged, **weights}

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        self.n_averaged.copy_(state["n_averaged"])
        weights = {k.removeprefix("module."): v for k, v in state.items() if k != "n_averaged"}
        return self.module.load_state_dict(weights, strict, assign)


def encoder_decoder(settings: Settings, fused: bool = False) -> TorchJob:
    options = settings.options
    model = TorchEncoderDecoder(**settings.model)
    optimizer = torch.optim.Adam(
        model.parameters(), settings.lr, tuple(options["betas"]), eps=1e-9, fused=fused
    )
    average = TorchAverage(model, multi_avg_fn=get_ema_multi_avg_fn(options["average"]))
    warmup = options["warmup"]
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min((t + 1) / warmup, (warmup / (t + 1)) ** 0.5)
    )

    def step(batch: Any) -> dict[str, torch.Tensor]:
        source, target = batch
        logits = model(source, target[:, :-1])
        loss = F.cross_entropy(
            logits.flatten(0, 1),
            target[:, 1:].flatten(),
            ignore_index=settings.model["padding"],
            label_smoothing=options["smoothing"],
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        return {"loss": loss}

    return TorchJob({settings.recipe: model, "average": average}, step)


RECIPES = dict.fromkeys(("reverse", "sort", "dates"), encoder_decoder)
