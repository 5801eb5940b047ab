"""The recipe of fine-tuning as it is written in torch, with minigen's names of weights."""

from __future__ import annotations

import torch
import twins
from torch import nn
from torch.nn import functional as F
from torch_job import TorchJob

from minigen.data import CharTokenizer
from minigen.training import Settings
from minigen.training.recipes import finetune as recipe
from minigen.training.recipes.manuals import new_text
from minigen.training.recipes.text import cut, plays


class TorchLoRALinear(nn.Module):
    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.weight, self.bias, self.scale = linear.weight, linear.bias, alpha / rank
        self.lora_A = nn.Parameter(torch.randn(rank, linear.in_features))
        self.lora_B = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.normal_(self.lora_A, std=linear.in_features**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = self.scale * self.lora_B @ self.lora_A
        return F.linear(x, self.weight + change, self.bias)


def add_lora(model: nn.Module, rank: int, alpha: float) -> None:
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and name in recipe.MATRICES:
                setattr(parent, name, TorchLoRALinear(layer, rank, alpha))


def is_trained(name: str, adapt: str, layers: int) -> bool:
    """Whether a parameter is changed by fine-tuning."""
    if adapt == "full":
        return True
    if adapt == "lora":
        return ".lora_" in name
    return name.startswith((f"h.{layers - 1}.", "ln_f."))


def finetune(settings: Settings, fused: bool = False) -> TorchJob:
    c, options = settings.model, settings.options
    model = twins.TorchGPT(
        c["vocabulary"], c["context"], c["layers"], c["heads"], c["width"], c["bias"]
    )
    before = nn.Module()
    before.register_buffer("losses", torch.zeros(2))
    if options["adapt"] == "lora":
        add_lora(model, options["rank"], options["alpha"])
    decay = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": decay, "weight_decay": options["weight_decay"]},
        {"params": rest, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=settings.lr, betas=tuple(options["betas"]), fused=fused
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: recipe.rate(t, settings))
    tokenizer = CharTokenizer.from_dict(options["tokenizer"])
    unseen = [
        torch.from_numpy(cut(tokenizer.encode(text), c["context"]))
        for _, text in (plays(options["characters"]), new_text(options, tokenizer.symbols))
    ]

    @torch.no_grad()
    def unseen_loss(windows: torch.Tensor) -> float:
        some = windows[:: max(1, len(windows) // 512)][:512]
        return float(F.cross_entropy(model(some[:, :-1]).flatten(0, 1), some[:, 1:].flatten()))

    def step(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        done, pretraining = schedule.last_epoch, options["pretraining"]
        tuning = done >= pretraining
        if done == pretraining:
            for place, windows in enumerate(unseen):
                before.losses[place] = unseen_loss(windows)
        for name, parameter in model.named_parameters():
            wanted = is_trained(name, options["adapt"] if tuning else "full", c["layers"])
            wanted = wanted and (tuning or ".lora_" not in name)
            parameter.requires_grad_(wanted)
        ids = batch[:, int(tuning)]
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        learned = [p for p in model.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(learned, options["clip"])
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    return TorchJob({"gpt": model, "before": before}, step)


RECIPES = {"finetune": finetune}
