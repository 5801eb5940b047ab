"""One training step of the VAE in the libraries that a learner would pick instead:
`python benchmarks/peers.py`.

    --threads 1 2     on how many threads; each in a process of its own

The recipe of `minigen train vae`, 784-400-20 on batches of 128 with Adam, in HIPS autograd, DeZero
and tinygrad, each written as its own examples are, as far as they are installed; in torch; and in
minigen.  All begin with the same weights; the losses of the first three steps, with the same noise,
must agree to 1e-3 before anything is timed.  Ratios go to results/peers.json.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import harness

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
LAYERS = ("fc1", "fc21", "fc22", "fc3", "fc4")
Step = Callable[[Any, Any], float]  # images (128, 784), noise (128, 20) -> loss
Make = Callable[[dict[str, Any]], Step]  # from the weights by name


def adam(parameters: list, gradients: list, state: list, t: int) -> None:
    """As one writes it in NumPy, in place."""
    import numpy as np

    rate = LR * math.sqrt(1 - BETA2**t) / (1 - BETA1**t)
    for p, g, (m, v) in zip(parameters, gradients, state):
        m += (1 - BETA1) * (g - m)
        v += (1 - BETA2) * (g * g - v)
        p -= rate * m / (np.sqrt(v) + EPS)


def with_hips(weights: dict[str, Any]) -> Step:
    import autograd
    import autograd.numpy as anp
    import numpy as np

    names = list(weights)
    parameters = [weights[n].copy() for n in names]
    state = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    steps = itertools.count(1)

    def layer(w: dict, name: str, x: Any) -> Any:
        return anp.dot(x, w[f"{name}.weight"].T) + w[f"{name}.bias"]

    def loss(values: list, x: Any, noise: Any) -> Any:
        w = dict(zip(names, values))
        h = anp.maximum(layer(w, "fc1", x), 0)
        mu, logvar = layer(w, "fc21", h), layer(w, "fc22", h)
        z = mu + anp.exp(0.5 * logvar) * noise
        logits = layer(w, "fc4", anp.maximum(layer(w, "fc3", z), 0))
        softplus = anp.maximum(logits, 0) + anp.log(1 + anp.exp(-anp.abs(logits)))
        reconstruction = anp.sum(softplus - x * logits)
        divergence = -0.5 * anp.sum(1 + logvar - mu**2 - anp.exp(logvar))
        return (reconstruction + divergence) / len(x)

    gradient = autograd.value_and_grad(loss)

    def step(x: Any, noise: Any) -> float:
        value, gradients = gradient(parameters, x, noise)
        adam(parameters, gradients, state, next(steps))
        return float(value)

    return step


def with_dezero(weights: dict[str, Any]) -> Step:
    import numpy as np

    np.int = int  # type: ignore[attr-defined]  # noqa: NPY001  (DeZero predates NumPy 1.24)
    import dezero
    import dezero.functions as D

    p = {n: dezero.Parameter(v.T.copy() if v.ndim == 2 else v.copy()) for n, v in weights.items()}
    state = [(np.zeros_like(q.data), np.zeros_like(q.data)) for q in p.values()]
    steps = itertools.count(1)

    def layer(name: str, x: Any) -> Any:
        return D.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])

    def step(x: Any, noise: Any) -> float:
        h = D.relu(layer("fc1", dezero.Variable(x)))
        mu, logvar = layer("fc21", h), layer("fc22", h)
        z = mu + D.exp(0.5 * logvar) * noise
        y = D.clip(D.sigmoid(layer("fc4", D.relu(layer("fc3", z)))), 1e-7, 1 - 1e-7)
        reconstruction = -D.sum(x * D.log(y) + (1 - x) * D.log(1 - y))
        divergence = -0.5 * D.sum(1 + logvar - mu**2 - D.exp(logvar))
        loss = (reconstruction + divergence) / len(x)
        for q in p.values():
            q.cleargrad()
        loss.backward()
        gradients = [q.grad.data for q in p.values()]
        adam([q.data for q in p.values()], gradients, state, next(steps))
        return float(loss.data)

    return step


def with_tinygrad(weights: dict[str, Any]) -> Step:
    from tinygrad import Tensor, TinyJit, nn
    from tinygrad.helpers import Context

    p = {n: Tensor(v.copy()).realize() for n, v in weights.items()}
    optimizer = nn.optim.Adam(list(p.values()), lr=LR, b1=BETA1, b2=BETA2, eps=EPS)

    def layer(name: str, x: Any) -> Any:
        return x.linear(p[f"{name}.weight"].T, p[f"{name}.bias"])

    @TinyJit
    def update(x: Any, noise: Any) -> Any:
        h = layer("fc1", x).relu()
        mu, logvar = layer("fc21", h), layer("fc22", h)
        z = mu + (0.5 * logvar).exp() * noise
        logits = layer("fc4", layer("fc3", z).relu())
        reconstruction = logits.binary_crossentropy_logits(x, reduction="sum")
        divergence = -0.5 * (1 + logvar - mu * mu - logvar.exp()).sum()
        loss = (reconstruction + divergence) / x.shape[0]
        optimizer.zero_grad()
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    def step(x: Any, noise: Any) -> float:
        with Context(TRAINING=1):
            return float(update(Tensor(x).realize(), Tensor(noise).realize()).item())

    return step


def with_torch(weights: dict[str, Any]) -> Step:
    import torch
    import twins

    model = twins.TorchVAE()
    model.load_state_dict({n: torch.from_numpy(v.copy()) for n, v in weights.items()})
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def step(x: Any, noise: Any) -> float:
        loss = model.loss(torch.from_numpy(x), torch.from_numpy(noise))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def with_minigen(weights: dict[str, Any]) -> Step:
    import minigen
    from minigen import optim
    from minigen.models.vae import VAE, elbo

    model = VAE()
    model.load_state_dict({n: minigen.from_numpy(v.copy()) for n, v in weights.items()})
    optimizer = optim.Adam(model.parameters(), lr=LR)

    def step(x: Any, noise: Any) -> float:
        images = minigen.from_numpy(x)
        logits, mu, logvar = model(images, minigen.from_numpy(noise))
        loss = -elbo(logits, images, mu, logvar).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


LIBRARIES: dict[str, Make] = {
    "minigen": with_minigen,
    "torch": with_torch,
    "hips": with_hips,
    "dezero": with_dezero,
    "tinygrad": with_tinygrad,
}


def measure(threads: int, rounds: int) -> dict[str, Any]:
    import numpy as np

    import minigen
    from minigen.models.vae import VAE
    from minigen.training.recipes.images import digits

    harness.torch_threads(threads)
    minigen.manual_seed(0)
    weights = {name: value.numpy() for name, value in VAE().state_dict().items()}
    rng = np.random.default_rng(0)
    images = digits("train").numpy()
    batches = [
        (images[i * 128 : (i + 1) * 128], rng.standard_normal((128, 20)).astype(np.float32))
        for i in range(16)
    ]
    contenders, losses = {}, {}
    for name, make in LIBRARIES.items():
        try:
            step = make(weights)
            losses[name] = [step(*batch) for batch in batches[:3]]
        except (ImportError, RuntimeError) as error:  # tinygrad compiles with clang
            if name in ("minigen", "torch"):
                raise
            print(f"{name}: left out ({type(error).__name__}: {error})")
            continue
        np.testing.assert_allclose(losses[name], losses["minigen"], rtol=1e-3, err_msg=name)
        endless = itertools.cycle(batches)
        contenders[name] = lambda step=step, endless=endless: step(*next(endless))
    settle = 0.12 if threads > 1 else 0.0
    timed = harness.compare(contenders, rounds, block_seconds=0.1, settle_seconds=settle)
    for name in contenders:
        print(f"{name:9} {timed[name]['ratio']:.2f} of minigen's time")
    return timed


def main() -> None:
    parser = harness.parser(__doc__, rounds=15)
    options = parser.parse_args()
    if options.part is not None:
        harness.pin(options.threads[0])
        measured = measure(options.threads[0], options.rounds)
        options.part.write_text(json.dumps(measured), encoding="utf-8")
        return
    content = harness.known(options.out / "peers.json")
    for threads in options.threads:
        content[str(threads)] = harness.in_subprocess(__file__, threads, "--rounds", options.rounds)
    print(f"written to {harness.record('peers', {'threads': content}, options.out)}")


if __name__ == "__main__":
    main()
