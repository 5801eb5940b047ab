"""The linear autoregressive model AR(p): Yule 1927, "On a method of investigating periodicities in
disturbed series, with special reference to Wolfer's sunspot numbers", Phil. Trans. A 226.

    x_t - μ = φ₁ (x_{t-1} - μ) + … + φ_p (x_{t-p} - μ) + ε_t,   ε_t ~ N(0, σ²)            (1)

The oldest of the generative models, and the smallest one in which all of them can be seen: the
density of a series is a product of p(x_t | what came before), it is fitted by maximum likelihood,
and sampled by drawing one value after the other. Three ways lead to φ:

    least squares      min Σ_t (x_t - μ - Σᵢ φᵢ (x_{t-i} - μ))²                          (2)
    Yule-Walker        R φ = r, r(k) the autocovariances of the series, Rᵢⱼ = r(|i - j|) (3)
    gradient descent   on (2), by minigen's own engine: what all larger models must do

(3) are the normal equations of (2) for the series with p zeros put before and behind it, so the two
agree exactly on the padded series, and on the bare one up to terms of order p / n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import minigen
from minigen import nn, optim

METHODS = ("least_squares", "yule_walker", "gradient_descent")


class Forecast(NamedTuple):
    """mean, lower, upper: float64 (steps,); the interval holds each value with the level asked."""

    mean: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


@dataclass(frozen=True)
class LinearAR:
    """A fitted model: φ (p,), μ and σ, in the units of the series."""

    coefficients: NDArray[np.float64]
    mean: float
    sigma: float

    @property
    def order(self) -> int:
        return len(self.coefficients)

    @classmethod
    def fit(
        cls,
        series: ArrayLike,
        order: int,
        method: str = "least_squares",
        *,
        padded: bool = False,
        unbiased: bool = False,
    ) -> LinearAR:
        """Fit AR(order) to a series, (n,) numbers at equal distances in time.

        μ is the mean of the series. padded: p zeros before and behind the centred series, for
        least squares and gradient descent, which then equal Yule-Walker. unbiased: autocovariances
        of Yule-Walker divided by n - k instead of n.

        Raises ValueError for an unknown method, values that are not finite, a constant series
        (which no φ can be told from), or one of fewer than 2 order + 1 values.

        >>> wave = np.sin(np.arange(200))  # obeys x_t = 2 cos(1) x_{t-1} - x_{t-2}
        >>> model = LinearAR.fit(wave - wave.mean(), 2)
        >>> bool(abs(model.coefficients - [2 * math.cos(1), -1]).max() < 1e-3)
        True
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        values = _checked(series, order)
        mean = float(values.mean())
        centred = values - mean
        if method == "yule_walker":
            coefficients, variance = yule_walker(centred, order, unbiased)
            return cls(coefficients, mean, math.sqrt(max(variance, 0.0)))
        past, present = lagged(np.pad(centred, order) if padded else centred, order)
        solve = _least_squares if method == "least_squares" else _gradient_descent
        coefficients = solve(past, present)
        # Padding adds 2p residuals of one-sided windows; Yule-Walker counts n of them.
        count = len(values) if padded else len(present)
        squares = float(((present - past @ coefficients) ** 2).sum())
        return cls(coefficients, mean, math.sqrt(squares / count))

    def residuals(self, series: ArrayLike) -> NDArray[np.float64]:
        """ε_t of (1), the errors of one step ahead, for all but the first p: (n,) -> (n - p,).

        Raises ValueError for values that are not finite, or p of them or fewer.
        """
        values = _finite(series, self.order, least=self.order + 1)
        past, present = lagged(values - self.mean, self.order)
        return present - past @ self.coefficients

    def log_likelihood(self, series: ArrayLike) -> float:
        """log p(x_{p+1}, …, x_n | x_1, …, x_p) in nats."""
        errors = self.residuals(series)
        constant = 0.5 * math.log(2 * math.pi) + math.log(self.sigma)
        return float(-0.5 * ((errors / self.sigma) ** 2).sum() - len(errors) * constant)

    def forecast(self, history: ArrayLike, steps: int, level: float = 0.95) -> Forecast:
        """The next values after `history`, (m,) with m >= p, and the interval of each.

        The error of h steps is Σ_{j<h} ψⱼ ε, where ψ are the weights of (1) written as a moving
        average: ψ₀ = 1, ψⱼ = Σᵢ φᵢ ψⱼ₋ᵢ (Box & Jenkins 1970, section 5.1). That φ itself is an
        estimate is not in the interval.

        >>> walk = LinearAR(np.array([1.0]), mean=0.0, sigma=1.0)
        >>> mean, lower, upper = walk.forecast([3.0], 4)
        >>> mean
        array([3., 3., 3., 3.])
        >>> (upper - mean).round(2)  # grows with the root of the steps
        array([1.96, 2.77, 3.39, 3.92])
        """
        from statistics import NormalDist

        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, got {level}")
        state = self._state(history)
        mean, psi = np.empty(steps), np.zeros(steps)
        for h in range(steps):
            mean[h] = self.coefficients @ state
            state = np.roll(state, 1)
            state[0] = mean[h]
            earlier = psi[max(0, h - self.order) : h][::-1]
            psi[h] = 1.0 if h == 0 else self.coefficients[: len(earlier)] @ earlier
        width = NormalDist().inv_cdf((1 + level) / 2) * self.sigma * np.sqrt(np.cumsum(psi**2))
        mean += self.mean
        return Forecast(mean, mean - width, mean + width)

    def sample(
        self,
        history: ArrayLike,
        steps: int,
        count: int = 1,
        generator: minigen.Generator | None = None,
    ) -> NDArray[np.float64]:
        """`count` possible futures of `history`, drawn value by value: (count, steps)."""
        noise = minigen.randn(steps, count, generator=generator, dtype=minigen.float64).numpy()
        states = np.repeat(self._state(history)[:, None], count, axis=1)  # (p, count), newest first
        drawn = np.empty((count, steps))
        for t in range(steps):
            drawn[:, t] = self.coefficients @ states + self.sigma * noise[t]
            states = np.concatenate([drawn[None, :, t], states[:-1]])
        return drawn + self.mean

    def _state(self, history: ArrayLike) -> NDArray[np.float64]:
        """The last p values without μ, the newest first."""
        values = np.asarray(history, np.float64)
        if values.ndim != 1 or len(values) < self.order or not np.isfinite(values).all():
            raise ValueError(
                f"AR({self.order}) needs a history of at least {self.order} finite values, "
                f"got shape {values.shape}"
            )
        return values[::-1][: self.order] - self.mean


def _finite(series: ArrayLike, order: int, least: int) -> NDArray[np.float64]:
    values = np.asarray(series, np.float64)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(
            f"AR({order}) needs a series of at least {least} values, got shape {values.shape}"
        )
    if not np.isfinite(values).all():
        first = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"the series holds {values[first]} at position {first}")
    return values


def _checked(series: ArrayLike, order: int) -> NDArray[np.float64]:
    if order < 1:
        raise ValueError(f"the order must be 1 or more, got {order}")
    values = _finite(series, order, least=2 * order + 1)
    if values.min() == values.max():
        raise ValueError(f"the series is constant ({values[0]:g}): there is nothing to model")
    return values


def lagged(
    values: NDArray[np.float64], order: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The past p values of every value, newest first, and the value: (n,) -> (n - p, p), (n - p,).

    >>> past, present = lagged(np.array([1.0, 2, 3, 4]), 2)
    >>> past.tolist(), present.tolist()
    ([[2.0, 1.0], [3.0, 2.0]], [3.0, 4.0])
    """
    windows = np.lib.stride_tricks.sliding_window_view(values, order + 1)
    return windows[:, -2::-1], windows[:, -1]


def autocovariances(
    centred: NDArray[np.float64], order: int, unbiased: bool = False
) -> NDArray[np.float64]:
    """r(0), …, r(p) of a series with mean 0, divided by n, or by n - k where `unbiased`.

    >>> autocovariances(np.array([1.0, -1.0, 1.0, -1.0]), 2)
    array([ 1.  , -0.75,  0.5 ])
    """
    n = len(centred)
    sums = [float(centred[k:] @ centred[: n - k]) for k in range(order + 1)]
    return np.array([s / (n - k if unbiased else n) for k, s in enumerate(sums)])


def yule_walker(
    centred: NDArray[np.float64], order: int, unbiased: bool = False
) -> tuple[NDArray[np.float64], float]:
    """φ and σ² of (3), by the recursion of Levinson (1946) and Durbin (1960).

    Order by order: the new last coefficient is what the old model leaves of r(k), over the variance
    that it leaves; the others move by it times themselves, mirrored.
    """
    r = autocovariances(centred, order, unbiased)
    phi, variance = np.zeros(0), float(r[0])
    for k in range(1, order + 1):
        last = (r[k] - phi @ r[k - 1 : 0 : -1]) / variance
        phi = np.append(phi - last * phi[::-1], last)
        variance *= 1 - last**2
    return phi, variance


def _least_squares(past: NDArray[np.float64], present: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.lstsq(past, present, rcond=None)[0], np.float64)


def _gradient_descent(
    past: NDArray[np.float64], present: NDArray[np.float64], tolerance: float = 1e-12
) -> NDArray[np.float64]:
    """(2) as a linear layer and a mean squared error, with the gradients of minigen's engine.

    Plain descent needs as many steps as the condition of the problem, thousands for sunspots; the
    quasi-Newton steps of L-BFGS need a few dozen, from the same gradients.
    """
    scale = float(present.std())
    x = minigen.from_numpy(np.ascontiguousarray(past / scale))
    y = minigen.from_numpy(np.ascontiguousarray(present / scale)[:, None])
    layer = nn.Linear(past.shape[1], 1, bias=False, dtype=minigen.float64)
    nn.init.zeros_(layer.weight)
    optimizer = optim.LBFGS(
        layer.parameters(), max_iter=500, tolerance_grad=tolerance, tolerance_change=0.0,
        history_size=past.shape[1] + 5, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> minigen.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(layer(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    return np.asarray(layer.weight.detach().numpy()[0], np.float64)
