"""all-MiniLM-L6-v2, a real model with real weights: its published sentence vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from minigen.cli import main
from minigen.cli.embed import find_model
from minigen.models.sentence import SentenceEncoder, load_sentence_encoder

SENTENCES = [
    "This is an example sentence",
    "Each sentence is converted",
    "Ein Café in Zürich, für 3.50 €!",
    "東京 is a city; snowboarding isn't unaffordable",
    "",
    "word " * 400,  # longer than the model reads
]
# The first numbers of the first sentence, as other programs publish them.
PUBLISHED = [0.06765693, 0.06349593, 0.04871314, 0.07930495, 0.03744806, 0.00265273]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return load_sentence_encoder(find_model())


@pytest.fixture(scope="module")
def vectors(encoder: SentenceEncoder) -> np.ndarray:
    return encoder.encode(SENTENCES)


def test_the_published_vector(vectors: np.ndarray) -> None:
    np.testing.assert_allclose(vectors[0, :6], PUBLISHED, rtol=0, atol=1e-5)


def test_all_numbers_are_those_of_transformers(vectors: np.ndarray) -> None:
    model = transformers.BertModel.from_pretrained(find_model()).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(find_model())
    read = tokenizer(SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        states = model(**read).last_hidden_state
    weights = read["attention_mask"][:, :, None].to(states.dtype)
    means = (states * weights).sum(1) / weights.sum(1)
    expected = torch.nn.functional.normalize(means, dim=1)
    np.testing.assert_allclose(vectors, expected.numpy(), rtol=0, atol=1e-5)


def test_ids_are_those_of_transformers(encoder: SentenceEncoder) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(find_model())
    for sentence in SENTENCES:
        expected = tokenizer(sentence, truncation=True, max_length=256)["input_ids"]
        assert encoder.tokens(sentence).tolist() == expected


def test_what_belongs_together_is_together(encoder: SentenceEncoder) -> None:
    pairs = [
        "How do I bake bread?", "Instructions for making a loaf",
        "The train leaves at noon.", "Departure is at twelve o'clock.",
        "The court found him guilty.", "He was convicted by the judge.",
    ]  # fmt: skip
    vectors = encoder.encode(pairs)
    similarity = vectors @ vectors.T - 2 * np.eye(len(pairs))
    assert similarity.argmax(axis=1).tolist() == [1, 0, 3, 2, 5, 4]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    target = tmp_path / "vectors.npy"
    with pytest.raises(SystemExit) as caught:
        main(["embed", *SENTENCES[:2], "--out", str(target)])
    assert not caught.value.code, capsys.readouterr().err
    written = np.load(target)
    assert written.shape == (2, 384)
    np.testing.assert_allclose(written[0, :6], PUBLISHED, rtol=0, atol=1e-5)
