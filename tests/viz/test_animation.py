from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from minigen.viz import gif, png


def test_every_frame_is_shown_in_turn_and_the_last_one_longest() -> None:
    frames = [png(np.full((4, 6), grey)) for grey in (0.0, 0.5, 1.0)]
    animation = Image.open(io.BytesIO(gif(frames, milliseconds=100, hold=900)))
    shown = []
    for i in range(animation.n_frames):  # type: ignore[attr-defined]
        animation.seek(i)
        shown.append((animation.info["duration"], int(np.asarray(animation.convert("L"))[3, 3])))
    assert [duration for duration, _ in shown] == [100, 100, 900]
    assert [grey for _, grey in shown] == pytest.approx([0, 127, 255], abs=2)
    assert animation.info["loop"] == 0


def test_no_frames_or_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="got sizes"):
        gif([])
    with pytest.raises(ValueError, match="got sizes"):
        gif([png(np.zeros((2, 2))), png(np.zeros((2, 3)))])
