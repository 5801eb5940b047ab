"""What a chapter may say and show."""

import sys

import pytest

from minigen.chapters import lesson
from minigen.chapters.lesson import ClaimError, claim, show


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.693", 0.69349),
        ("1,000", 1000.4),
        ("2.1e-7", 2.14e-7),
        ("93 %", 0.934),
        ("-0.5", -0.54),
        (".25", 0.25),
    ],
)
def test_a_number_is_true_as_rounded_in_the_text(text: str, value: float) -> None:
    claim(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.693", 0.6937),
        ("1,000", 1001.0),
        ("2.1e-7", 2.2e-7),
        ("93 %", 93.0),
        ("0.5", -0.5),
        ("1.35", float("nan")),
    ],
)
def test_another_number_is_refused(text: str, value: float) -> None:
    with pytest.raises(ClaimError, match="the text says"):
        claim(text, value)


def test_what_a_training_reached_is_asked_for_in_a_full_run_only(monkeypatch) -> None:
    monkeypatch.delenv("MINIGEN_FAST", raising=False)
    monkeypatch.setattr(sys, "argv", ["09_vae.py"])
    with pytest.raises(ClaimError):
        claim("1.0", 2.0, trained=True)
    monkeypatch.setattr(sys, "argv", ["09_vae.py", "--fast"])
    claim("1.0", 2.0, trained=True)
    with pytest.raises(ClaimError):
        claim("1.0", 2.0)


def test_a_text_without_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no number in 'many'"):
        claim("many", 3)


def test_a_script_writes_its_pictures_beside_itself(tmp_path, monkeypatch, capsys) -> None:
    from matplotlib.figure import Figure

    monkeypatch.setattr(sys, "argv", [str(tmp_path / "01_tensors.py")])
    show(Figure(), "empty", "Nothing.")
    show("<svg/>", "graph", "A graph.")
    folder = tmp_path / "_build" / "01_tensors"
    assert (folder / "empty.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "graph.svg").read_text() == "<svg/>"
    assert "A graph." in capsys.readouterr().out
    with pytest.raises(TypeError, match="got int"):
        show(3, "three", "A number.")


def test_whoever_makes_a_page_gets_the_pictures() -> None:
    seen: list[tuple[bytes | str, str, str]] = []
    lesson.view_with(lambda *picture: seen.append(picture))
    try:
        show(b"\x89PNG", "a", "A.")
    finally:
        lesson.view_with(None)
    assert seen == [(b"\x89PNG", "a", "A.")]
