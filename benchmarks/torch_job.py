"""What torch's side of a comparison is: `TorchJob`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Noise = Callable[..., torch.Tensor]


@dataclass
class TorchJob:
    """`step` updates the modules from a batch and returns losses; `noise(*shape)` is what it uses,
    and may be replaced."""

    modules: dict[str, nn.Module]
    step: Callable[[Any], dict[str, torch.Tensor]]
    noise: Noise = torch.randn
    uniform: Noise = torch.rand
