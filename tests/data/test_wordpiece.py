"""BERT's tokenizer against the library `tokenizers`, on Unicode."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer, Tokenizer, decoders, models, trainers

from minigen.data import WordPieceTokenizer, load_shakespeare
from minigen.data.tokenizers.wordpiece import SPECIAL, normalize, words

# The tables of the other library are of an old Unicode: characters whose category has been the same
# since Unicode 3.2, which Python keeps for such purposes.
OLD = [
    c
    for c in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(c) == unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Cs")
    and unicodedata.normalize("NFD", c) == unicodedata.ucd_3_2_0.normalize("NFD", c)
]
KINDS = sorted({unicodedata.category(c) for c in OLD})
by_kind = {kind: [c for c in OLD if unicodedata.category(c) == kind] for kind in KINDS}
characters = st.sampled_from(KINDS).flatmap(lambda kind: st.sampled_from(by_kind[kind]))
usual = st.sampled_from(
    [*"abcehlnorst ABC,.!?$+<^`\t\n\0", "e\u0301", "é", "好", "[MASK]", "\ufffd"]
)
texts = st.lists(st.one_of(usual, usual, characters), max_size=40).map("".join)

EXAMPLE = "Hamlet's crème brûlée, 好吃!\tΣΊΣΥΦΟΣ İstanbul [MASK]"


@pytest.fixture(scope="module")
def pieces() -> list[str]:
    """Learned by the other library from a play."""
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trainer = trainers.WordPieceTrainer(
        vocab_size=500, special_tokens=list(SPECIAL), show_progress=False
    )
    text = normalize(load_shakespeare()[:30_000] + " 好 吃 σισυφος", lowercase=True)
    trained.train_from_iterator(words(text), trainer)
    vocabulary = trained.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def other_library(pieces: list[str], lowercase: bool) -> BertWordPieceTokenizer:
    return BertWordPieceTokenizer(
        {piece: id for id, piece in enumerate(pieces)}, lowercase=lowercase
    )


@pytest.mark.parametrize("lowercase", [True, False])
@settings(deadline=None, max_examples=300)
@given(text=texts)
@example(text=EXAMPLE)
@example(text="a" * 100 + " " + "b" * 101)
def test_ids_are_those_of_the_other_library(pieces: list[str], lowercase: bool, text: str) -> None:
    ids = WordPieceTokenizer(pieces, lowercase=lowercase).encode(text)
    assert ids.dtype == np.int64
    assert ids.tolist() == other_library(pieces, lowercase).encode(text).ids


@settings(deadline=None, max_examples=50)
@given(text=texts, second=texts)
def test_pairs_are_those_of_the_other_library(pieces: list[str], text: str, second: str) -> None:
    ids = WordPieceTokenizer(pieces).encode(text, second).tolist()
    assert ids == other_library(pieces, True).encode(text, second).ids


@settings(deadline=None, max_examples=200)
@given(ids=st.lists(st.integers(0, 499)))
def test_ids_decode_as_in_the_other_library(pieces: list[str], ids: list[int]) -> None:
    reference = other_library(pieces, True)
    reference._tokenizer.decoder = decoders.WordPiece(cleanup=False)
    ours = WordPieceTokenizer(pieces)
    assert ours.decode(ids) == reference.decode(ids, skip_special_tokens=False)


def test_every_old_character_is_normalized_as_there(pieces: list[str]) -> None:
    """One by one, and not only those that hypothesis happens to draw."""
    for lowercase in (True, False):
        normalizer = other_library(pieces, lowercase)._tokenizer.normalizer
        for c in OLD:
            ours, theirs = normalize(c, lowercase=lowercase), normalizer.normalize_str(c)
            assert ours.split() == theirs.split(), hex(ord(c))


def test_words_come_back_in_their_normal_form(pieces: list[str]) -> None:
    tokenizer = WordPieceTokenizer(pieces)
    ids = tokenizer.encode("The  Prince of Denmark's sword")[1:-1]
    assert tokenizer.decode(ids) == "the prince of denmark ' s sword"


def test_files(pieces: list[str], tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    tokenizer = WordPieceTokenizer(pieces)
    tokenizer.save(path)
    again = WordPieceTokenizer.load(path)
    assert again.pieces == tokenizer.pieces
    assert len(again) == len(pieces)
    reference = BertWordPieceTokenizer(str(path))
    assert reference.encode(EXAMPLE).ids == again.encode(EXAMPLE).tolist()
    path.write_bytes("\r\n".join(pieces).encode())  # as Windows has it, without the last line break
    assert WordPieceTokenizer.load(path).pieces == pieces


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[UNK]\na\n", r"vocab.txt: .* lacks \[CLS\], \[SEP\]"),
        (b"[UNK]\n[CLS]\n[SEP]\na\na\n", "'a' is there twice"),
        (b"\xff", "no text in UTF-8"),
        (b"", "lacks"),
    ],
)
def test_broken_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        WordPieceTokenizer.load(tmp_path / "vocab.txt")


def test_ids_outside_are_refused(pieces: list[str]) -> None:
    with pytest.raises(IndexError, match="outside 0 to"):
        WordPieceTokenizer(pieces).decode([len(pieces)])
