"""A training step on a GPU, beside torch: `python benchmarks/gpu/steps.py --out FOLDER`.

The recipes of `minigen train`, with the same weights and the same batches on the device, in float32
(torch with TF32 off, its default), with minigen's products on tensor cores by 3xTF32, which is as
exact, beside torch's float32, and in mixed precision: minigen with
`set_float32_matmul_precision("medium")`, torch under `autocast(dtype=bfloat16)`.

minigen trains as `minigen train` does, by replaying a CUDA graph of the step, and "minigen eager"
launches every kernel from Python. What it is compared with is torch's eager mode with its fused
Adam; beside it stands torch with the same step in a CUDA graph, which its users capture by hand,
and for one GPT torch.compile.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import device

# name -> (recipe, changes of its model, batch, what one step works through)
GPT_SMALL = {"context": 256, "layers": 6, "heads": 6, "width": 384}
GPT_LARGE = {"context": 1024, "layers": 12, "heads": 12, "width": 768}
MODELS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "gpt, 4 x 128": ("gpt", {}, 16, "tokens"),
    "gpt, 6 x 384": ("gpt", GPT_SMALL, 64, "tokens"),
    "gpt, 12 x 768": ("gpt", GPT_LARGE, 8, "tokens"),
    "vae": ("vae", {}, 128, "images"),
    "gan": ("gan", {}, 64, "images"),
    "dcgan": ("dcgan", {"width": 64}, 128, "images"),
}
COMPILED = "gpt, 6 x 384"
EAGER_IN_TORCH = {"dcgan"}  # torch fails to capture it as it is written
BATCHES = 8
# precision -> relative distance that the losses of the first steps may have
AGREE = {"fp32": 2e-3, "3xTF32": 2e-3, "bf16": 3e-2}
LEVELS = {"fp32": "highest", "3xTF32": "high", "bf16": "medium"}


def settings_of(name: str) -> Any:
    from minigen.training.recipes import default_settings

    recipe, changes, batch, _ = MODELS[name]
    settings = default_settings(recipe)
    model = {**settings.model, **changes}
    if "dropout" in model:
        model["dropout"] = 0.0  # the two libraries would not drop the same
    return dataclasses.replace(settings, device=device.PLACE, batch_size=batch, model=model)


def work(name: str, settings: Any) -> int:
    """Tokens, or images, of a step."""
    _, _, batch, unit = MODELS[name]
    return batch * settings.model["context"] if unit == "tokens" else batch


def ours(settings: Any) -> tuple[Any, list]:
    """A job of minigen and batches that are on the device already."""
    import minigen
    from minigen.training.loop import moved
    from minigen.training.recipes import RECIPES

    minigen.manual_seed(settings.seed)
    job = RECIPES[settings.recipe](settings)
    batches = itertools.islice(job.loader, BATCHES)
    return job, [moved(batch, minigen.device(device.PLACE)) for batch in batches]


@contextlib.contextmanager
def capturable() -> Iterator[None]:
    """A block in which torch's Adam is made so that a graph can hold its steps."""
    import torch

    makers = {kind: kind.__init__ for kind in (torch.optim.Adam, torch.optim.AdamW)}

    def made(kind: type, *args: Any, **options: Any) -> None:
        makers[kind](*args, **{"capturable": True, **options})

    for kind in makers:
        kind.__init__ = lambda *args, _kind=kind, **options: made(_kind, *args, **options)
    try:
        yield
    finally:
        for kind, make in makers.items():
            kind.__init__ = make


def graphed(step: Callable, batches: list, bits: str) -> Callable[[], Any]:
    """torch's step, replayed as a CUDA graph; a batch is copied to where the graph reads it."""
    import torch

    parts = lambda batch: batch if isinstance(batch, list) else [batch]  # noqa: E731
    static = [part.clone() for part in parts(batches[0])]
    batch = static if isinstance(batches[0], list) else static[0]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), precision("torch", bits):
        for _ in range(3):
            step(batch)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), precision("torch", bits):
        step(batch)
    endless = itertools.cycle(batches)

    def replay() -> None:
        for there, new in zip(static, parts(next(endless))):
            there.copy_(new)
        graph.replay()

    return replay


def theirs(settings: Any, job: Any, batches: list) -> tuple[Any, list]:
    """The same in torch, with the same weights."""
    import torch
    import torch_recipes
    import twins

    other = torch_recipes.RECIPES[settings.recipe](settings, fused=True)
    for name, module in job.modules.items():
        twins.copy_weights(module, other.modules[name])
        other.modules[name].to(device.PLACE)
    other.noise = lambda *shape: torch.randn(*shape, device=device.PLACE)
    other.uniform = lambda *shape: torch.rand(*shape, device=device.PLACE)
    return other, [to_cuda(twins.to_torch(batch)) for batch in batches]


def to_cuda(batch: Any) -> Any:
    return [to_cuda(part) for part in batch] if isinstance(batch, list) else batch.to(device.PLACE)


@contextlib.contextmanager
def precision(library: str, bits: str) -> Iterator[None]:
    if library == "torch":
        import torch

        with torch.autocast(device.PLACE, dtype=torch.bfloat16, enabled=bits == "bf16"):
            yield
        return
    import minigen

    before = minigen.get_float32_matmul_precision()
    minigen.set_float32_matmul_precision(LEVELS[bits])
    try:
        yield
    finally:
        minigen.set_float32_matmul_precision(before)


def stepper(step: Callable, batches: list, library: str, bits: str) -> Callable[[], Any]:
    endless = itertools.cycle(batches)

    def timed() -> Any:
        with precision(library, bits):
            return step(next(endless))

    return timed


def agree(name: str, bits: str, a: Callable, b: Callable) -> list[list[float]]:
    """The losses of the first three steps of both; those without noise must agree."""
    found = []
    for _ in range(3):
        pair = [next(iter(step().values())).item() for step in (a, b)]
        found.append(pair)
        if name.startswith("gpt"):
            assert abs(pair[0] - pair[1]) <= AGREE[bits] * abs(pair[1]), (name, bits, found)
    return found


def measure(name: str, bits: str) -> dict[str, Any]:
    from minigen.training.replay import WARM_UP, Replayed

    settings = settings_of(name)
    job, batches = ours(settings)
    other, their_batches = theirs(settings, job, batches)
    replayed = job.step
    if device.PLACE == "cuda":
        replayed = Replayed(job.step, lambda text: print(f"{name}, {bits}: {text}", flush=True))
    contenders = {
        "torch": stepper(other.step, their_batches, "torch", bits),
        "minigen": stepper(replayed, batches, "minigen", bits),
        "minigen eager": stepper(job.step, batches, "minigen", bits),
    }
    losses = agree(name, bits, contenders["minigen"], contenders["torch"])
    for _ in range(WARM_UP):  # until the graph is there
        contenders["minigen"]()
    alone = bits == "3xTF32"  # torch has nothing of the kind: it is measured in float32 again
    if device.PLACE == "cuda" and name not in EAGER_IN_TORCH and not alone:
        with capturable():
            captured, more = theirs(settings, job, batches)
        contenders["torch graph"] = graphed(captured.step, more, bits)
    if name == COMPILED and not alone and not os.environ.get("WITHOUT_COMPILE"):
        import torch

        compiled, more = theirs(settings, job, batches)
        for module in compiled.modules.values():
            module.forward = torch.compile(module.forward)
        contenders["torch compiled"] = stepper(compiled.step, more, "torch", bits)
    timed = device.compare(contenders, rounds=5, block=0.12)
    for figures in timed.values():
        figures["rate"] = work(name, settings) / figures["seconds"]
        figures["speed"] = 1 / figures["ratio"]
    return {"unit": MODELS[name][3], "losses": losses, **timed}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=AGREE, default=list(AGREE))
    parser.add_argument("--out", type=Path, default=device.RESULTS)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name in options.models:
        for bits in options.precisions:
            began = time.perf_counter()
            try:
                timed = measure(name, bits)
            except Exception as error:  # the others are to be measured all the same
                print(f"{name}, {bits}: {type(error).__name__}: {error}"[:600], flush=True)
                found.setdefault(name, {})[bits] = {"failed": f"{type(error).__name__}: {error}"}
                continue
            found.setdefault(name, {})[bits] = timed
            rates = ", ".join(
                f"{who} {timed[who]['rate']:,.0f} {timed['unit']}/s ({timed[who]['ratio']:.2f})"
                for who in ("torch", "minigen", "minigen eager", "torch graph", "torch compiled")
                if who in timed
            )  # fmt: skip
            print(f"{name}, {bits}: {rates}  [{time.perf_counter() - began:.0f} s]", flush=True)
            device.record("steps", {"steps": found}, options.out)


if __name__ == "__main__":
    main()
