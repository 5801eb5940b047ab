"""The recipe of the linear autoregressive model, which three ways of fitting must agree on."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import Normalisation, TensorDataset, load_sunspots
from minigen.models.linear_autoregressive import LinearAR, lagged
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.loading import batches
from minigen.training.recipes.series import Measured, Values, measured, recorded, scale, split

LEVELS = (0.80, 0.95)  # of the intervals around a forecast


def sunspots() -> Measured:
    years, numbers = load_sunspots()
    exact = numbers.astype(np.float64).round(1)  # published to one decimal, kept in float32
    return Measured(exact, "sunspots", "year", start=float(years[0]))


def ar(settings: Settings) -> Job:
    """Minimise the squared error of one step ahead with Adam, as all larger models are trained."""
    series = measured(settings, sunspots)
    training, test = split(series, settings)
    order = settings.model["order"]
    past, present = lagged(scale(settings)(training), order)  # (M, p), (M,)
    layer = nn.Linear(order, 1, bias=False, dtype=minigen.float64)
    nn.init.zeros_(layer.weight)
    layer.to(settings.device)
    optimizer = optim.Adam(layer.parameters(), lr=settings.lr)
    schedule = optim.lr_scheduler.cosine_with_warmup(
        optimizer,
        warmup_steps=settings.options["warmup"],
        total_steps=settings.options["horizon"],
        min_ratio=settings.options["lowest_lr"],
    )

    def step(batch: Any) -> dict[str, Tensor]:
        x, y = batch  # (N, p), (N, 1)
        loss = nn.functional.mse_loss(layer(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    def fitted() -> LinearAR:
        """What is learned so far, in the units of the series: φ has none, so it stays as it is."""
        coefficients = layer.weight.detach().cpu().numpy()[0].copy()
        return with_sigma(coefficients, training)

    def evaluate(thorough: bool) -> dict[str, float]:
        known = np.concatenate([training[-order:], test])
        metrics = {"test_rmse": _rms(fitted().residuals(known))}
        return metrics | (comparison(fitted(), training, known) if thorough else {})

    def draw(count: int, generator: Generator) -> Values:
        """One possible future of the whole series: (count,)."""
        return fitted().sample(series.values, count, generator=generator)[0]

    return Job(
        settings,
        modules={"ar": layer},
        optimizers={"adam": optimizer},
        schedules={"cosine": schedule},
        loader=batches(
            settings,
            TensorDataset(
                minigen.from_numpy(np.ascontiguousarray(past)),
                minigen.from_numpy(present[:, None].copy()),
            ),
        ),
        step=step,
        evaluate=evaluate,
        best="test_rmse",
        draw=draw,
        plot=lambda values: picture(fitted(), series, len(series.values), len(values), values),
        columns=(series.name,),
        shown=len(test),
        pictures={"forecast": lambda: picture(fitted(), series, len(training), len(test))},
    )


def _rms(errors: Values) -> float:
    return math.sqrt(float((errors**2).mean()))


def with_sigma(coefficients: Values, training: Values) -> LinearAR:
    """The model with these φ, and the μ and σ that the training values give it."""
    model = LinearAR(coefficients, float(training.mean()), sigma=1.0)
    return dataclasses.replace(model, sigma=_rms(model.residuals(training)))


def comparison(model: LinearAR, training: Values, known: Values) -> dict[str, float]:
    """The other two ways to φ, no model at all, and whether the intervals hold what they promise.

    known: the values to be judged by, after the p before them.
    """
    order = model.order
    exact = LinearAR.fit(training, order, "least_squares")
    walker = LinearAR.fit(training, order, "yule_walker")
    errors = model.residuals(known)
    metrics = {
        "least_squares_rmse": _rms(exact.residuals(known)),
        "yule_walker_rmse": _rms(walker.residuals(known)),
        "persistence_rmse": _rms(np.diff(known[order - 1 :])),
        "coefficient_gap": float(abs(model.coefficients - exact.coefficients).max()),
        "yule_walker_gap": float(abs(walker.coefficients - exact.coefficients).max()),
    }
    for level in LEVELS:
        width = NormalDist().inv_cdf((1 + level) / 2) * model.sigma
        metrics[f"inside_{100 * level:.0f}"] = float((abs(errors) <= width).mean())
    return metrics


def picture(
    model: LinearAR, series: Measured, begin: int, count: int, future: Values | None = None
) -> tuple[bytes, bytes]:
    """The forecast of `count` values from number `begin` on, from those before it alone, with its
    intervals; beside it `future`, if given, or else what came."""
    from minigen.viz import Band, Curve, light_and_dark
    from minigen.viz import series as draw

    before = min(begin, max(2 * count, 20))
    history, times = series.values[:begin], series.times(begin, count)
    intervals = [model.forecast(history, count, level) for level in reversed(LEVELS)]
    bands = [
        Band(f"{100 * level:.0f} % interval", times, forecast.lower, forecast.upper)
        for level, forecast in zip(reversed(LEVELS), intervals)
    ]
    observed = series.values[begin - before : begin + (count if future is None else 0)]
    lines = [
        Curve("observed", series.times(begin - before, len(observed)), observed),
        Curve("forecast", times, intervals[0].mean),
    ]
    if future is not None:
        lines.append(Curve("sampled", times, future))
    now = float(times[0]) - series.step / 2
    return light_and_dark(
        partial(draw, lines, bands, xlabel=series.time, ylabel=series.name, now=now)
    )


def ar_settings(fast: bool) -> Settings:
    return Settings(
        recipe="ar",
        steps=100 if fast else 1500,
        batch_size=250,  # all windows of nine years and the next one
        lr=0.1 if fast else 0.05,
        log_every=10,
        save_every=50 if fast else 500,
        model={"order": 9},
        options={
            "data": None,  # a CSV file of your own
            "column": None,  # its name, or its number counted from 0
            "test": 50,  # the last values, to be judged by
            "warmup": 0,
            "lowest_lr": 0.01,
        },
    )


def follow(settings: Settings) -> Settings:
    """The settings with what follows from the data, and the schedule's length."""
    order = settings.model["order"]
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"order must be 1 or more, got {order!r}")
    settings = recorded(
        settings, sunspots, Normalisation.standardise,
        window=order + 1,
        least=2 * order + 1,  # an equation for each φ: fewer have no one solution
    )  # fmt: skip
    return dataclasses.replace(settings, options={**settings.options, "horizon": settings.steps})


RECIPES = {
    "ar": Recipe(
        build=ar,
        settings=ar_settings,
        title="Linear autoregressive model",
        lead="It predicts the next number of a series as a weighted sum of the last ones: the "
        "sunspots of a year from those of nine. Predicting again and again is a forecast; adding "
        "chance to every step makes a possible future.",
        figures=(
            Figure(
                "test_rmse",
                "error of one step ahead on the last values",
                "The root of its mean square, in the units of the data; the model saw none of "
                "these values. Lower is better.",
                beside="persistence_rmse",
                against="the same as last time",
                goal="beside",
                digits=2,
            ),
            Figure(
                "test_rmse",
                "the same, beside the exact solution",
                "Gradient descent should come to the one solution of least squares.",
                beside="least_squares_rmse",
                against="least squares",
                goal="beside",
                slack=0.01,
                digits=2,
            ),
            Figure(
                "coefficient_gap",
                "coefficients: largest difference from least squares",
                "Yule-Walker takes the series for one that is zero before and after, and so comes "
                "to slightly other coefficients.",
                beside="yule_walker_gap",
                against="Yule-Walker",
                goal="beside",
                digits=6,
            ),
            Figure(
                "inside_95",
                "share of the last values within their 95 % interval",
                "Of one step ahead. Less than 0.95 if the last values vary more than those before.",
                digits=2,
            ),
        ),
        curve=LossCurve(
            "squared error (standardised)", "Loss over the steps", losses=(("loss", "training"),)
        ),
        captions={
            "samples": "What was observed, and beyond it a forecast with its 80 % and 95 % "
            "intervals and one possible future, drawn value by value",
            "forecast": "A forecast of the last values from those before the dashed line alone, "
            "with its 80 % and 95 % intervals, and what came",
        },
        follow=follow,
    )
}
