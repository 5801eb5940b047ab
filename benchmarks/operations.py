"""Single operations with the graph on, beside torch: `python benchmarks/operations.py`.

    --threads 1 2       on how many threads; each in a process of its own
    --rounds 15

The same line of code runs in both libraries, on the same numbers in float32: forward alone, as it
records itself, and forward and backward with a random cotangent.  On (4, 4) arrays there is next to
no arithmetic, so that what is timed is the engine; the large sizes are those of the models.  Before
anything is timed, values and gradients must agree to 1e-4 of the largest.  Ratios, minigen's time
over torch's, go to results/operations.json.
"""

from __future__ import annotations

import json
from typing import Any

import harness

SMALL = {"x": (4, 4), "y": (4, 4), "w": (4, 4), "b": (4,)}
# expression of tensors x, y, w, b and of functions F -> shapes of the large case
OPERATIONS: dict[str, dict[str, tuple[int, ...]]] = {
    "x + y": {"x": (64, 1024), "y": (64, 1024)},
    "x * y": {"x": (64, 1024), "y": (64, 1024)},
    "x + b": {"x": (128, 784), "b": (784,)},
    "x @ w": {"x": (128, 784), "w": (784, 400)},
    "F.linear(x, w, b)": {"x": (128, 784), "w": (400, 784), "b": (400,)},
    "x.exp()": {"x": (1024, 128)},
    "x.tanh()": {"x": (1024, 128)},
    "x.sigmoid()": {"x": (1024, 128)},
    "F.relu(x)": {"x": (1024, 512)},
    "F.leaky_relu(x, 0.2)": {"x": (128, 1024)},
    "F.gelu(x)": {"x": (1024, 512)},
    "F.softplus(x)": {"x": (1024, 128)},
    "F.softmax(x, -1)": {"x": (1024, 256)},
    "F.log_softmax(x, -1)": {"x": (1024, 256)},
    "F.layer_norm(x, b.shape, b, b)": {"x": (1024, 128), "b": (128,)},
    "F.binary_cross_entropy_with_logits(x, y.detach().sigmoid())": {
        "x": (128, 784),
        "y": (128, 784),
    },
    "x.sum()": {"x": (1024, 512)},
    "x.mean(0)": {"x": (1024, 512)},
    "x.amax(1)": {"x": (1024, 512)},
    "x.transpose(0, 1).reshape(-1)": {"x": (1024, 128)},
    "x[1:, 2:]": {"x": (1024, 128)},
}


def case(module: Any, functional: Any, expression: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """The inputs, the forward pass as a call, and forward and backward as one."""
    tensors = {n: module.from_numpy(a.copy()).requires_grad_() for n, a in arrays.items()}
    forward = eval(f"lambda: {expression}", {"F": functional, **tensors})
    cotangent = module.ones_like(forward()).detach()

    def both() -> None:
        for tensor in tensors.values():
            tensor.grad = None
        forward().backward(cotangent)

    return {"tensors": tensors, "forward": forward, "forward and backward": both}


def agree(ours: dict[str, Any], theirs: dict[str, Any], what: str) -> None:
    import numpy as np

    pairs = [(ours["forward"](), theirs["forward"]())]
    for side in (ours, theirs):
        side["forward and backward"]()
    pairs += [(t.grad, theirs["tensors"][name].grad) for name, t in ours["tensors"].items()]
    for a, b in pairs:
        if b is not None:
            x, y = a.detach().numpy(), b.detach().numpy()
            assert np.abs(x - y).max() <= 1e-4 * max(1.0, np.abs(y).max()), what


def measure(threads: int, rounds: int) -> dict[str, Any]:
    import numpy as np
    import torch

    import minigen

    harness.torch_threads(threads)
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for expression, large in OPERATIONS.items():
        for size, shapes in (("small", {n: SMALL[n] for n in large}), ("large", large)):
            arrays = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
            ours = case(minigen, minigen.nn.functional, expression, arrays)
            theirs = case(torch, torch.nn.functional, expression, arrays)
            agree(ours, theirs, expression)
            for part in ("forward", "forward and backward"):
                timed = harness.compare(
                    {"torch": theirs[part], "minigen": ours[part]},
                    rounds,
                    block_seconds=0.005 if size == "small" else 0.02,
                    settle_seconds=0.12 if threads > 1 and size == "large" else 0.0,
                    retries=3,
                )
                found.setdefault(expression, {}).setdefault(size, {})[part] = timed
            ratios = [
                found[expression][size][p]["minigen"]["ratio"] for p in found[expression][size]
            ]
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"{expression:62} {size}: {shown} of torch", flush=True)
    return found


def main() -> None:
    parser = harness.parser(__doc__, rounds=15)
    options = parser.parse_args()
    if options.part is not None:
        harness.pin(options.threads[0])
        measured = measure(options.threads[0], options.rounds)
        options.part.write_text(json.dumps(measured), encoding="utf-8")
        return
    content = harness.known(options.out / "operations.json")
    for threads in options.threads:
        content[str(threads)] = harness.in_subprocess(__file__, threads, "--rounds", options.rounds)
    print(f"written to {harness.record('operations', {'threads': content}, options.out)}")


if __name__ == "__main__":
    main()
