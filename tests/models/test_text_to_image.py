"""The writer's probabilities against sums over all maps, and what its recipe keeps from it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import minigen
from minigen import Generator
from minigen.cli.sample import sample_run
from minigen.data import load_mnist5k
from minigen.data.captions import MIDDLE, Caption, levels
from minigen.models.text_to_image import (
    TOKENS,
    TextToImage,
    TextToImageConfig,
    caption_tokens,
    leave_words_out,
)
from minigen.training import Run, RunError, train
from minigen.training.recipes import RECIPES
from minigen.training.recipes.text_to_image import (
    HELD_OUT,
    SEEN,
    agreement,
    examples,
    without,
)
from tests.training.recipes_for_tests import small

TINY = TextToImageConfig(
    size=8, widths=(2, 4), codes=2, dimension=2, layers=1, heads=2, channels=8, dropout=0.0
)
ALL_MAPS = minigen.tensor(list(itertools.product([0, 1], repeat=4))).reshape(16, 2, 2)


@pytest.fixture
def model() -> TextToImage:
    """Of two symbols on 2 x 2 places, with weights that make a difference."""
    minigen.manual_seed(0)
    model = TextToImage(TINY).double()
    with minigen.no_grad():
        for p in model.gpt.parameters():
            p.data = p.data + 0.5 * minigen.randn(*p.shape, dtype=p.dtype)
    return model.eval()


def tokens(*captions: Caption) -> minigen.Tensor:
    return caption_tokens(
        minigen.tensor([c.digit for c in captions]), minigen.tensor([c.levels for c in captions])
    )


def test_probabilities_of_all_maps_add_up_to_one(model: TextToImage) -> None:
    for caption in (Caption(3, (2, 2, 1)), Caption(0, (1, 0, 1))):
        p = model(tokens(*[caption] * 16), ALL_MAPS).exp()
        assert p.sum().item() == pytest.approx(1, rel=1e-9)
        assert p.max().item() > 2 / 16  # and are not all the same


def test_each_symbol_is_foretold_from_the_caption_and_those_before(model: TextToImage) -> None:
    ids = [2 + t for t in tokens(Caption(7, (0, 1, 2)))[0].tolist()]
    expected = 0.0
    for symbol in (1, 0, 0, 1):
        logits = model.gpt(minigen.tensor([ids]))[0, -1, :2]
        expected += logits.log_softmax(0)[symbol].item()
        ids.append(symbol)
    found = model(tokens(Caption(7, (0, 1, 2))), minigen.tensor([[[1, 0], [0, 1]]]))
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_maps_are_written_as_often_as_they_are_likely(model: TextToImage) -> None:
    n, caption = 8000, Caption(3, (2, 2, 1))
    made = model.write(tokens(*[caption] * n), Generator().manual_seed(1))
    assert made.shape == (n, 2, 2)
    places = (made.reshape(n, 4) * minigen.tensor([8, 4, 2, 1])).sum(dim=1)
    shares = np.bincount(places.numpy(), minlength=16) / n
    expected = model(tokens(*[caption] * 16), ALL_MAPS).exp().detach().numpy()
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / np.sqrt(n))


def test_every_word_makes_a_difference(model: TextToImage) -> None:
    base = Caption(3, (1, 1, 1))
    others = [Caption(4, (1, 1, 1))]
    for place, level in itertools.product(range(3), (0, 2)):
        said = [1, 1, 1]
        said[place] = level
        others.append(Caption(3, (said[0], said[1], said[2])))
    rows = {tuple(row) for row in tokens(base, *others).tolist()}
    assert len(rows) == 8
    some = minigen.tensor([[[1, 0], [1, 1]]])
    costs = [model(tokens(c), some).item() for c in (base, *others)]
    assert len({round(cost, 9) for cost in costs}) == 8


def test_tokens_are_the_words_of_the_caption() -> None:
    for caption in (*SEEN, *HELD_OUT, Caption(9, (1, 2, 0)), Caption(0, (1, 1, 1))):
        words = [TOKENS[t] for t in tokens(caption)[0].tolist()]
        assert [w for w in words if w] == str(caption).split()[1:]


def test_words_are_left_out_but_never_changed() -> None:
    said = minigen.from_numpy(np.random.default_rng(5).integers(0, 3, (4000, 3)))
    left = leave_words_out(said, 0.25, Generator().manual_seed(0)).numpy()
    before = said.numpy()
    assert (left[left != before] == MIDDLE).all()
    assert (left != before).mean() == pytest.approx(0.25 * 2 / 3, abs=0.01)


# ------------------------------------------------------------------------------- the recipe


def test_one_combination_of_each_digit_is_held_out() -> None:
    data = examples("train")
    kept = without(HELD_OUT, data)
    combinations = {(d, *s[:2]) for d, s in zip(kept[1].tolist(), kept[2].tolist())}
    assert [c.digit for c in HELD_OUT] == list(range(10))
    assert len(combinations) == 90 - 10
    for caption in HELD_OUT:
        assert (caption.digit, *caption.levels[:2]) not in combinations
    for caption in SEEN:
        assert (caption.digit, *caption.levels[:2]) in combinations
    corners = {c.levels[:2] for c in HELD_OUT}
    assert len(corners) == 4  # each is known of other digits
    lost = len(data[0]) - len(kept[0])
    assert 200 < lost < 600
    rows = {image.tobytes() for image in data[0].numpy()}
    assert {image.tobytes() for image in kept[0].numpy()} <= rows


def test_real_digits_agree_with_their_own_captions_and_not_with_others() -> None:
    images, labels = load_mnist5k("test")
    images = images / np.float32(255)
    said = levels(images, labels)
    own = [Caption(d, tuple(s)) for d, s in zip(labels.tolist(), said.tolist())]
    found = agreement("x", images, own)
    assert found == {
        "x_digit": pytest.approx(0.979),
        "x_thickness": 1,
        "x_slant": 1,
        "x_all": found["x_digit"],
    }
    of_others = agreement("x", images, [own[i] for i in np.random.default_rng(0).permutation(1000)])
    assert of_others["x_digit"] == pytest.approx(0.1, abs=0.04)
    assert of_others["x_thickness"] == pytest.approx(1 / 3, abs=0.06)
    assert of_others["x_slant"] == pytest.approx(1 / 3, abs=0.06)
    assert of_others["x_all"] == pytest.approx(1 / 90, abs=0.012)


def test_first_the_autoencoder_learns_and_then_only_the_writer() -> None:
    settings = small("text_to_image")
    minigen.manual_seed(0)
    job = RECIPES["text_to_image"](settings)
    model = job.modules["model"]

    def weights() -> tuple[bytes, bytes]:
        parts = (model.vq_vae, model.gpt)
        return tuple(
            b"".join(p.detach().numpy().tobytes() for p in part.parameters()) for part in parts
        )  # type: ignore[return-value]

    batches = itertools.cycle(job.loader)
    first = settings.options["autoencoder_steps"]
    history = [weights()]
    for _ in range(first + 3):
        job.step(next(batches))
        history.append(weights())
    for step, (before, after) in enumerate(itertools.pairwise(history)):
        assert (before[0] != after[0]) == (step < first), step
        assert (before[1] != after[1]) == (step >= first), step


def test_a_prompt_becomes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = Run.create(tmp_path / "run", small("text_to_image", steps=4, save_every=4))
    train(run, RECIPES["text_to_image"])
    assert (run.path / "samples" / "captions.png").read_bytes().startswith(b"\x89PNG")
    nothing = {"temperature": None, "prompt": "a thick tilted three"}
    sample_run(run.path, 2, nothing, 0, "last", None)
    written = Path(capsys.readouterr().out.strip())
    assert written.read_bytes().startswith(b"\x89PNG")
    assert "a-thick-tilted-three" in written.name
    with pytest.raises(RunError, match="no caption has the word 'purple'"):
        sample_run(run.path, 2, {"prompt": "a purple three"}, 0, "last", None)
