"""The recipes of series: embedded ones and a user's own, in their own units, against what is known
of them without a network."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigen
from minigen import Generator
from minigen.data import Normalisation, load_ecg, load_sunspots
from minigen.models.linear_autoregressive import LinearAR
from minigen.models.wavenet import WaveNet, WaveNetConfig, mu_law_decode, mu_law_encode
from minigen.training import Job, Settings
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.recipes import ar as linear_recipe
from minigen.training.recipes import wavenet as wavenet_recipe

SMALL: dict[str, dict[str, Any]] = {
    "ar": {"test": 20},
    "wavenet": {"test": 40, "levels": 32, "layers": 3, "channels": 4, "skips": 8, "window": 24},
}


def trained(job: Job, steps: int) -> Job:
    batches = itertools.chain.from_iterable(itertools.repeat(job.loader))
    for batch in itertools.islice(batches, steps):
        job.step(batch)
    return job


def csv_file(path: Path, values: np.ndarray, name: str = "x") -> Path:
    rows = [f"{i},{value!r}" for i, value in enumerate(values.tolist())]
    path.write_text("\n".join([f"time,{name}", *rows]) + "\n")
    return path


def of_file(recipe: str, path: Path, column: Any = "x", **changes: Any) -> Settings:
    own = {**SMALL[recipe], "data": str(path), "column": column}
    return default_settings(recipe, own=own, **changes)


def wave(n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(n)
    return 5 + np.sin(t / 3) + 0.3 * np.sin(t) + 0.1 * rng.normal(size=n)


@pytest.fixture(scope="module")
def sunspots_job() -> Job:
    minigen.manual_seed(0)
    return trained(RECIPES["ar"](default_settings("ar", steps=1000, lr=0.1)), 1000)


def test_gradient_descent_in_the_loop_comes_to_least_squares(sunspots_job: Job) -> None:
    """Against the formula, on the years to 1958, judged by those from 1959 on."""
    x = np.round(load_sunspots().numbers.astype(np.float64), 1)
    centred = x - x[:-50].mean()
    past = np.stack([centred[8 - i : 258 - i] for i in range(9)], axis=1)
    phi = np.linalg.solve(past.T @ past, past.T @ centred[9:259])
    ahead = np.stack([centred[258 - i : 308 - i] for i in range(9)], axis=1)
    rmse = np.sqrt(((ahead @ phi - centred[259:]) ** 2).mean())
    found = sunspots_job.evaluate(True)
    weights = sunspots_job.modules["ar"].weight.detach().numpy()[0]
    np.testing.assert_allclose(weights, phi, atol=1e-9)
    assert found["test_rmse"] == pytest.approx(rmse, rel=1e-9)
    assert found["least_squares_rmse"] == pytest.approx(rmse, rel=1e-9)
    assert found["coefficient_gap"] < 1e-9
    assert found["persistence_rmse"] == pytest.approx(np.sqrt((np.diff(x[-51:]) ** 2).mean()))
    walker = LinearAR.fit(x[:-50], 9, "yule_walker")
    assert found["yule_walker_gap"] == pytest.approx(abs(walker.coefficients - phi).max())
    assert found["yule_walker_rmse"] == pytest.approx(
        np.sqrt((walker.residuals(x[-59:]) ** 2).mean())
    )


def test_intervals_hold_what_they_promise_of_a_series_that_is_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = np.zeros(3000)
    for t in range(2, 3000):
        x[t] = 1.2 * x[t - 1] - 0.6 * x[t - 2] + rng.normal()
    settings = of_file("ar", csv_file(tmp_path / "x.csv", x), steps=300, lr=0.1)
    settings = default_settings(
        "ar", own={"data": settings.options["data"], "column": 1, "test": 1000, "order": 2}
    )
    job = trained(RECIPES["ar"](settings), 400)
    found = job.evaluate(True)
    assert found["inside_80"] == pytest.approx(0.80, abs=0.03)
    assert found["inside_95"] == pytest.approx(0.95, abs=0.02)
    np.testing.assert_allclose(job.modules["ar"].weight.detach().numpy()[0], [1.2, -0.6], atol=0.05)


@pytest.mark.parametrize("recipe", ["ar", "wavenet"])
def test_what_is_drawn_is_in_the_units_of_the_data(recipe: str, tmp_path: Path) -> None:
    """A series in other units gives the same draws in those units: nothing else has changed."""
    drawn, shown = [], []
    for name, factor, offset in (("a", 1.0, 0.0), ("b", 1000.0, 77.0)):
        path = csv_file(tmp_path / f"{name}.csv", factor * wave() + offset)
        minigen.manual_seed(2)
        job = trained(RECIPES[recipe](of_file(recipe, path, seed=3)), 30)
        assert job.draw is not None
        drawn.append((job.draw(50, Generator().manual_seed(4)) - offset) / factor)
        shown.append(next(iter(job.loader)))
    assert drawn[0].shape == (50,)
    assert drawn[0].std() > 0.05
    assert 0 < drawn[0].mean() < 10
    np.testing.assert_allclose(drawn[1], drawn[0], rtol=1e-9)
    first, second = (batch[0] if recipe == "ar" else batch for batch in shown)
    np.testing.assert_allclose(first.numpy(), second.numpy(), atol=1e-6)
    assert abs(first.numpy()).max() < 4  # what the model sees is scaled


@pytest.mark.parametrize("recipe", ["ar", "wavenet"])
def test_a_draw_goes_on_from_the_end_and_is_its_generators(recipe: str, tmp_path: Path) -> None:
    """A series that climbs ends high; and equal generators draw alike, others do not."""
    climbing = 0.05 * np.arange(300) + 0.2 * np.random.default_rng(5).normal(size=300)
    job = RECIPES[recipe](of_file(recipe, csv_file(tmp_path / "x.csv", climbing)))
    trained(job, 120)
    assert job.draw is not None
    first = job.draw(5, Generator().manual_seed(0))
    assert first.mean() > 9
    np.testing.assert_array_equal(job.draw(5, Generator().manual_seed(0)), first)
    assert (job.draw(5, Generator().manual_seed(1)) != first).any()


def test_a_csv_of_the_sunspots_trains_as_the_embedded_ones(
    tmp_path: Path, sunspots_job: Job
) -> None:
    x = np.round(load_sunspots().numbers.astype(np.float64), 1)
    path = csv_file(tmp_path / "x.csv", x)
    own = {"data": str(path), "column": "x"}
    minigen.manual_seed(0)
    settings = default_settings("ar", own=own, steps=1000, lr=0.1)
    job = trained(RECIPES["ar"](settings), 1000)
    assert job.evaluate(True) == sunspots_job.evaluate(True)
    assert job.columns == ("x",)


@pytest.mark.parametrize("recipe", ["ar", "wavenet"])
@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        (None, "x", r"gone.csv cannot be read: No such file"),
        ("x\n1\nnan\n3\n", "x", r"line 3: nan stands where a number is needed"),
        ("t,x\n0,1\n1,\n2,3\n", "x", r"line 3: the value is missing"),
        ("x\n1\ntwo\n3\n", "x", r"line 3: 'two' is not a number"),
        ("x\n1\n2\n3\n", "y", r"no column 'y'; its first line is x"),
        ("x,y\n1,2\n", None, r"2 columns; say which one"),
        ("x\n1\n2\n", 1.5, r"column must be a name or a number"),
        ("x\n" + "7\n" * 200, "x", r"are all 7: there is nothing to learn"),
        ("x\n1\n2\n3\n4\n", "x", r"4 values are too few: besides 1 to test with, \d+ are needed"),
    ],
)
def test_what_is_no_series_is_refused(
    recipe: str, text: str | None, column: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "gone.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        of_file(recipe, path, column)


@pytest.mark.parametrize(
    ("recipe", "own", "message"),
    [
        ("ar", {"column": "x"}, "say which with data"),
        ("ar", {"test": 0}, "test must be 1 or more, got 0"),
        ("ar", {"order": 0}, "order must be 1 or more, got 0"),
        ("ar", {"order": 130}, r"309 values are too few: besides 50 to test with, 261 are needed"),
        ("wavenet", {"window": 0}, "window must be 1 or more, got 0"),
        ("wavenet", {"levels": 1}, "levels must be 2 or more, got 1"),
        ("wavenet", {"layers": 0}, "layers must be 1 or more, got 0"),
        ("wavenet", {"layers": 16}, r"27000 values are too few: .* 65536 are needed to train on"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    recipe: str, own: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        default_settings(recipe, own=own)


def test_a_file_that_has_changed_is_noticed_and_one_that_has_not_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run holds the full name, so that it can be used from another folder."""
    path = csv_file(tmp_path / "x.csv", wave())
    monkeypatch.chdir(tmp_path)
    settings = of_file("ar", Path("x.csv"))
    assert settings.options["data"] == str(path)
    monkeypatch.chdir(tmp_path.parent)
    RECIPES["ar"](settings)
    values = wave()
    values[17] += 1e-9
    csv_file(path, values)
    with pytest.raises(ValueError, match="not those the run was started with"):
        RECIPES["ar"](settings)


def test_what_follows_from_the_data_is_recorded(tmp_path: Path) -> None:
    x = wave(90)
    settings = of_file("ar", csv_file(tmp_path / "x.csv", x), steps=70)
    assert settings.options["test"] == 20
    training = x[:-20]
    scale = Normalisation.from_dict(settings.options["normalisation"])
    assert scale == Normalisation.standardise(training)
    assert settings.batch_size == 70 - 9  # all windows of nine values and the next
    assert settings.options["horizon"] == 70
    many = default_settings("ar", own={"data": settings.options["data"], "column": 1})
    assert many.options["test"] == 30  # of 50 asked for: a third


# --------------------------------------------------------------------------- WaveNet


def test_baselines_on_the_electrocardiogram() -> None:
    """Computed apart, with NumPy alone, before this recipe was written: 0.142 for order 100."""
    x = load_ecg().millivolts.astype(np.float64).reshape(-1, 4).mean(1)
    found = wavenet_recipe.linear(x[:20000], x[20000:])
    assert found["linear_order"] == 100
    assert found["linear_nmse"] == pytest.approx(0.142, abs=0.0005)
    assert found["persistence_nmse"] == pytest.approx(0.213, abs=0.0005)
    assert default_settings("wavenet").options["test"] == 7000


def test_a_prediction_is_made_of_what_came_before_it_alone() -> None:
    minigen.manual_seed(1)
    model = WaveNet(WaveNetConfig(levels=9, layers=2, channels=12, skips=24)).double()
    known = np.random.default_rng(2).integers(0, 9, (1, 14))
    p = wavenet_recipe.predictions(model, minigen.from_numpy(known), 10)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    for changed in range(10):
        other = known.copy()
        other[0, 4 + changed] = (other[0, 4 + changed] + 4) % 9
        q = wavenet_recipe.predictions(model, minigen.from_numpy(other), 10)
        moved = abs(q - p).max(axis=1) > 1e-12
        assert moved.tolist() == [changed < t <= changed + 4 for t in range(10)]


def test_the_loss_becomes_a_density_in_the_units_of_the_data() -> None:
    """Spread over the levels, any distribution integrates to 1; and one that is uniform over the
    levels is judged as NumPy judges its histogram."""
    units = Normalisation(0.5, 3.0)
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(16))
    inner = np.arange(1, 15)  # the outermost levels hold all that lies beyond, too
    widths = np.exp([wavenet_recipe.log_width(np.array([q]), 16, units) for q in range(16)])
    x = np.linspace(-2.5, 3.5, 400_001)[:-1] + 7.5e-6
    found = mu_law_encode((x - 0.5) / 3, 16)
    density = (p / widths)[found]
    integral = np.array([density[found == q].sum() * 1.5e-5 for q in inner])
    np.testing.assert_allclose(integral, p[inner], rtol=1e-3)


def test_nmse_of_the_mean_is_one() -> None:
    x = wave()
    assert wavenet_recipe.nmse(np.full_like(x, x.mean()), x) == pytest.approx(1)
    assert wavenet_recipe.nmse(x, x) == 0


def test_waves_are_varied_whole() -> None:
    """One factor and one shift for all values of a wave, of the spread that was asked for."""
    batch = minigen.from_numpy(np.tile(np.linspace(-1, 1, 7), (4000, 1)).astype(np.float32))
    minigen.manual_seed(4)
    made = wavenet_recipe.varied(batch, gain=0.2, shift=0.08).numpy()
    shift = made[:, 3]  # of what was 0
    factor = (made[:, 6] - made[:, 0]) / 2
    assert shift.std() == pytest.approx(0.08, rel=0.05)
    assert np.log(factor).std() == pytest.approx(0.2, rel=0.05)
    expected = factor[:, None] * batch.numpy() + shift[:, None]
    np.testing.assert_allclose(made, expected, atol=1e-6)
    still = wavenet_recipe.varied(batch, gain=0.0, shift=0.0)
    np.testing.assert_array_equal(still.numpy(), batch.numpy())


def test_wavenet_learns_what_a_linear_model_cannot(tmp_path: Path) -> None:
    """x -> 4 x (1 - x) is chaos to a line, and no more than a curve to a network."""
    x = [0.3]
    for _ in range(1500):
        x.append(4 * x[-1] * (1 - x[-1]))
    path = csv_file(tmp_path / "x.csv", np.array(x))
    own = {
        **SMALL["wavenet"], "data": str(path), "column": "x", "test": 300, "layers": 2,
        "channels": 16, "skips": 32, "levels": 64, "gain": 0.0, "shift": 0.0,
    }  # fmt: skip
    minigen.manual_seed(5)
    settings = default_settings("wavenet", own=own, steps=250, batch_size=16, lr=1e-2)
    job = trained(RECIPES["wavenet"](settings), 250)
    found = job.evaluate(True)
    assert found["linear_nmse"] > 0.9
    assert found["test_nmse"] < 0.1
    assert found["test_nll"] < found["linear_nll"] - 0.7


def test_the_levels_are_finest_around_the_median() -> None:
    x = np.array([-1.0, 0.0, 0.0, 0.2, 5.0])
    units = wavenet_recipe.around_the_median(x)
    assert units(x).tolist() == [-0.2, 0.0, 0.0, 0.04, 1.0]
    centres = wavenet_recipe.centres(64, units)
    np.testing.assert_allclose(centres, 5 * mu_law_decode(np.arange(64), 64))
    assert np.diff(centres).min() < 0.02 < 0.3 < np.diff(centres).max()


# --------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("recipe", ["ar", "wavenet"])
def test_all_pictures_can_be_drawn_for_both_pages(recipe: str, tmp_path: Path) -> None:
    job = RECIPES[recipe](of_file(recipe, csv_file(tmp_path / "x.csv", wave(90)[:80])))
    assert job.draw is not None
    assert job.plot is not None
    made = [make() for make in job.pictures.values()]
    made += [job.plot(job.draw(count, Generator().manual_seed(0))) for count in (1, 7)]
    for light, dark in made:
        assert light[:4] == dark[:4] == b"\x89PNG"
        assert light != dark
    assert set(job.pictures) | {"samples"} == set(RECIPES[recipe].captions)


def test_the_forecast_shown_knows_nothing_of_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given to the forecast ends where the test part begins; the curve of what was
    observed goes on to its end."""
    x = np.round(load_sunspots().numbers.astype(np.float64), 1)
    seen: list[np.ndarray] = []
    forecast = LinearAR.forecast
    monkeypatch.setattr(
        LinearAR, "forecast", lambda self, h, *rest: (seen.append(h), forecast(self, h, *rest))[1]
    )
    lines: dict[str, Any] = {}
    monkeypatch.setattr(
        "minigen.viz.series",
        lambda curves, bands, **_: lines.update({c.label: c for c in curves}) or b"",
    )
    RECIPES["ar"](default_settings("ar")).pictures["forecast"]()
    for history in seen:
        np.testing.assert_array_equal(history, x[:-50])
    assert lines["observed"].x[-1] == 2008
    np.testing.assert_array_equal(lines["observed"].y[-50:], x[-50:])
    assert lines["forecast"].x.tolist() == list(range(1959, 2009))


def test_steps_of_the_recipes_are_all_of_the_windows() -> None:
    job = RECIPES["ar"](default_settings("ar"))
    (batch,) = list(job.loader)
    assert batch[0].shape == (250, 9)
    assert dataclasses.replace(job.settings).batch_size == 250
    assert linear_recipe.sunspots().times(0, 309)[[0, -1]].tolist() == [1700, 2008]
