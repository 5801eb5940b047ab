"""The ladders of the optimizers' steps, and of clipping before them."""

from __future__ import annotations

from . import clip, optimizers
from .ladders import fused, in_place

ABOUT = ("blocks that fit the cache, ufuncs in place", "one loop a parameter")

UPDATES = (
    fused(
        "adam(parameters, grads, exp_avgs, exp_avg_sqs, lr, beta1, beta2, eps, weight_decay,"
        " decoupled, step) -> None",
        optimizers.adam_reference,
        optimizers.adam,
        "optimizer_loops",
        ABOUT,
        "8 u (|parameter| + lr)",
        in_place,
        cuda=("updates", "one launch for all parameters"),
    ),
    fused(
        "sgd(parameters, grads, buffers, lr, momentum, dampening, weight_decay, nesterov, maximize,"
        " first) -> None",
        optimizers.sgd_reference,
        optimizers.sgd,
        "optimizer_loops",
        ABOUT,
        "8 u (|parameter| + lr (|grad| + |buffer|))",
        in_place,
        cuda=("updates", "one launch for all parameters"),
    ),
    fused(
        "clip_norm(grads, max_norm) -> (norm, factor)",
        clip.clip_norm_reference,
        clip.clip_norm,
        "clip_loops",
        ("a dot product and a multiplication each", "a loop that sums, one that scales"),
        "n u/2 (norm, factor, |grads|), the worst of a dot product; numba 140 u, cuda 13 u",
        clip.norm_and_factor,
        cuda=("updates", "three launches for all gradients, partial sums in between"),
    ),
)
