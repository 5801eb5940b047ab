"""The recipe of WaveNet, at the size of an electrocardiogram: dilated causal convolutions that
write a series value by value."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import Normalisation, load_ecg
from minigen.models.linear_autoregressive import LinearAR
from minigen.models.transformer import next_token_loss
from minigen.models.wavenet import WaveNet, WaveNetConfig, mu_law_decode, mu_law_levels
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.loading import batches
from minigen.training.recipes.series import Measured, Values, measured, recorded, scale, split
from minigen.training.recipes.text import Windows, gather

LINEAR_ORDER = 100  # of the AR(p) to compare with, which sees about as far as the network


def ecg() -> Measured:
    """The means of four values each, 90 a second: what is faster is noise, and easily predicted."""
    millivolts, rate = load_ecg()
    means = millivolts.astype(np.float64).reshape(-1, 4).mean(1)  # (108000,) -> (27000,)
    return Measured(means, "mV", "s", step=4 / rate)


def around_the_median(training: Values) -> Normalisation:
    """The median to 0, where levels are finest, and the value farthest from it to -1 or 1."""
    middle = float(np.median(training))
    return Normalisation(middle, float(abs(training - middle).max()))


def wavenet(settings: Settings) -> Job:
    """Predict the level of the next value from those before it, with Adam, warm-up and a cosine."""
    series, options = measured(settings, ecg), settings.options
    training, test = split(series, settings)
    config = WaveNetConfig(**settings.model)
    model = WaveNet(config).to(settings.device)
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    schedule = optim.lr_scheduler.cosine_with_warmup(
        optimizer,
        warmup_steps=options["warmup"],
        total_steps=options["horizon"],
        min_ratio=options["lowest_lr"],
    )

    units = scale(settings)
    scaled = units(training).astype(np.float32)

    def levels(values: Values) -> Tensor:
        """Numbers in the data's units (T,) -> their levels (1, T)."""
        return mu_law_levels(minigen.from_numpy(units(values)), config.levels)[None].to(
            settings.device
        )

    def step(batch: Tensor) -> dict[str, Tensor]:
        ids = mu_law_levels(varied(batch, options["gain"], options["shift"]), config.levels)
        loss = next_token_loss(model(ids[:, :-1]), ids[:, 1:])  # (N, T + 1) -> 2 x (N, T)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    def predicted() -> Values:
        known = levels(np.concatenate([training[-config.field :], test]))  # (1, F + T)
        return predictions(model, known, len(test))

    def evaluate(thorough: bool) -> dict[str, float]:
        p = predicted()
        found = levels(test)[0].cpu().numpy()
        loss = -float(np.log(p[np.arange(len(found)), found]).mean())
        metrics = {
            "test_loss": loss,  # nats a level
            "test_nll": loss + log_width(found, config.levels, units),
            "test_nmse": nmse(p @ centres(config.levels, units), test),
        }
        return metrics | (linear(training, test) if thorough else {})

    def draw(count: int, generator: Generator, **how: Any) -> Values:
        """What may follow the last value of the series: (count,)."""
        ids = levels(series.values[-config.field :])
        made = model.generate(ids, count, generator=generator, **how)[0, -count:]
        return centres(config.levels, units)[made.cpu().numpy()]

    return Job(
        settings,
        modules={"wavenet": model},
        optimizers={"adam": optimizer},
        schedules={"cosine": schedule},
        loader=batches(settings, Windows(scaled, options["window"] + 1), gather),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        draw=draw,
        chosen=True,
        plot=lambda values: picture(values, series),
        columns=(series.name,),
        shown=min(4 * ROW, len(test)),
        pictures={"predictions": lambda: prediction_picture(predicted(), series, settings)},
    )


def varied(batch: Tensor, gain: float, shift: float) -> Tensor:
    """Every wave (N, T) taller or flatter, and moved up or down, as breathing and electrodes do.

    By chance: `gain` is the standard deviation of the logarithm of a factor, `shift` of what is
    added to all values of a wave. More of a series than was measured, and no two batches alike.
    """
    factor = (gain * minigen.randn(len(batch), 1, device=batch.device)).exp()
    return factor * batch + shift * minigen.randn(len(batch), 1, device=batch.device)


@minigen.no_grad()
def predictions(model: WaveNet, known: Tensor, count: int) -> Values:
    """p(level | what came before) for each of the last `count` of the levels known, (1, M):
    (count, Q)."""
    logits = model(known[:, :-1])[0, -count:]  # (1, M - 1, Q) -> (count, Q)
    return logits.double().softmax(dim=-1).cpu().numpy()


def centres(levels: int, units: Normalisation) -> Values:
    """What each level stands for, in the data's units: (Q,)."""
    return units.inverse(mu_law_decode(np.arange(levels), levels))


def log_width(found: NDArray[np.int64], levels: int, units: Normalisation) -> float:
    """The mean logarithm of how wide the levels found are, in the data's units.

    To be added to a loss in nats a level: spread over the widths of the levels, the probabilities
    are a density, which can be compared with that of a model that knows no levels.
    """
    edges = units.inverse(mu_law_decode(np.arange(levels + 1) - 0.5, levels))  # (Q + 1,)
    return float(np.log(np.diff(edges))[found].mean())


def nmse(predicted: Values, true: Values) -> float:
    """The mean squared error over the variance: 1 is as good as the mean of what is to predict."""
    return float(((predicted - true) ** 2).mean() / true.var())


def linear(training: Values, test: Values) -> dict[str, float]:
    """What a linear model reaches on the same values, and the last value as a prediction."""
    order = max(1, min(LINEAR_ORDER, len(training) // 20))
    model = LinearAR.fit(training, order)
    known = np.concatenate([training[-order:], test])
    return {
        "linear_order": order,
        "linear_nll": -model.log_likelihood(known) / len(test),
        "linear_nmse": nmse(test - model.residuals(known), test),
        "persistence_nmse": nmse(known[order - 1 : -1], test),
    }


ROW = 450  # values in a row of the picture: five seconds of the electrocardiogram


def picture(values: Values, series: Measured) -> tuple[bytes, bytes]:
    """Real waves, the last of the series, above as many values of made ones in rows."""
    from minigen.viz import light_and_dark, waves

    width = min(ROW, len(values), len(series.values) // 2)
    made = values[: len(values) // width * width].reshape(-1, width)  # (rows, width)
    real = series.values[-2 * width :].reshape(2, width)
    rows, labels = np.concatenate([real, made]), ["real"] * 2 + ["made"] * len(made)
    return light_and_dark(
        partial(waves, rows, labels, step=series.step, xlabel=series.time, ylabel=series.name)
    )


def prediction_picture(p: Values, series: Measured, settings: Settings) -> tuple[bytes, bytes]:
    """The first values of the test part, each with the interval it was expected in."""
    from minigen.viz import Band, Curve, light_and_dark
    from minigen.viz import series as draw

    shown = p[: ROW // 2]
    begin = len(series.values) - len(p)
    times = series.times(begin, len(shown))
    true = series.values[begin : begin + len(shown)]
    values = centres(p.shape[1], scale(settings))
    below = shown.cumsum(axis=1)  # (T, Q): the probability of each level and all lower ones
    lower, upper = (
        values[(below < q).sum(axis=1).clip(max=len(values) - 1)] for q in (0.025, 0.975)
    )
    lines = [Curve("observed", times, true), Curve("mean", times, shown @ values)]
    bands = [Band("95 % interval", times, lower, upper)]
    return light_and_dark(partial(draw, lines, bands, xlabel=series.time, ylabel=series.name))


def wavenet_settings(fast: bool) -> Settings:
    config = WaveNetConfig(
        levels=128, one_hot=False, layers=3 if fast else 7, channels=16, skips=32
    )
    return Settings(
        recipe="wavenet",
        steps=40 if fast else 1500,
        batch_size=8,
        lr=6e-3,
        log_every=10 if fast else 50,
        save_every=20 if fast else 500,
        model=dataclasses.asdict(config),
        options={
            "data": None,  # a CSV file of your own
            "column": None,  # its name, or its number counted from 0
            "test": 500 if fast else 7000,  # the last values, to be judged by
            "window": 64 if fast else 256,  # values of a wave of a batch
            "gain": 0.2,
            "shift": 0.08,  # where all values lie between -1 and 1
            "clip": 1.0,
            "lowest_lr": 0.05,
        },
    )


def follow(settings: Settings) -> Settings:
    """The settings with what follows from the data and the model, and the schedule's length."""
    if settings.options["window"] < 1:
        raise ValueError(f"window must be 1 or more, got {settings.options['window']}")
    window = settings.options["window"] + 1
    field = WaveNetConfig(**settings.model).field
    settings = recorded(settings, ecg, around_the_median, window=window, least=max(window, field))
    schedule = {"warmup": min(50, settings.steps // 10), "horizon": settings.steps}
    return dataclasses.replace(settings, options={**settings.options, **schedule})


RECIPES = {
    "wavenet": Recipe(
        build=wavenet,
        settings=wavenet_settings,
        title="WaveNet on an electrocardiogram",
        lead="It reads the last second and a half of a heart and says how likely every voltage is "
        "a ninetieth of a second later. Drawing one and reading on makes heartbeats.",
        figures=(
            Figure(
                "test_nll",
                "surprise at an unseen value",
                "The negative logarithm of the density it was given, in the units of the data; it "
                "can be below zero. Lower is better.",
                unit="nats",
                beside="linear_nll",
                against="linear autoregressive model",
                goal="beside",
                digits=3,
            ),
            Figure(
                "test_nmse",
                "squared error of one step ahead, of the variance",
                "Of the mean of what it holds possible. 1 is no better than a constant; lower is "
                "better.",
                beside="linear_nmse",
                against="linear autoregressive model",
                goal="beside",
                digits=4,
            ),
            Figure(
                "test_nmse",
                "the same, beside no model",
                "The last value as the prediction of the next one.",
                beside="persistence_nmse",
                against="the same as last time",
                goal="beside",
                digits=4,
            ),
        ),
        curve=LossCurve(
            "nats a level",
            "Loss over the steps; waves to train on are varied, those to test on are not",
            losses=(("loss", "training"),),
            measured=(("test_loss", "unseen values"),),
        ),
        captions={
            "samples": "The last seconds of the series, and below them what the model makes of "
            "them, drawn value by value, not selected",
            "predictions": "Unseen values, and the interval in which each was expected with 95 % "
            "from those before it: it does not know when the next beat comes, and knows how one "
            "goes on",
        },
        follow=follow,
    )
}
