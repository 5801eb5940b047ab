"""Pictures one after another, as a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence


def gif(frames: Sequence[bytes], *, milliseconds: int = 120, hold: int = 1500) -> bytes:
    """The bytes of a GIF that shows PNG pictures of one size in turn, again and again.

    Each is shown for so many milliseconds, the last one for `hold`. Raises ValueError if there is
    none, or their sizes differ.

    >>> from minigen.viz import png
    >>> gif([png([[0.0, 1.0]]), png([[1.0, 0.0]])])[:6]
    b'GIF89a'
    """
    from PIL import Image

    pictures = []
    for frame in frames:
        picture = Image.open(io.BytesIO(frame)).convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")  # behind what is transparent
        pictures.append(Image.alpha_composite(paper, picture).convert("RGB"))
    if not pictures or len({picture.size for picture in pictures}) > 1:
        sizes = sorted({picture.size for picture in pictures})
        raise ValueError(f"gif: expects pictures of one size, got sizes {sizes}")
    # One table of 256 colours for all, so that nothing flickers that does not change.
    width, height = pictures[0].size
    everything = Image.new("RGB", (width, height * len(pictures)))
    for i, picture in enumerate(pictures):
        everything.paste(picture, (0, i * height))
    table = everything.quantize(256)
    first, *rest = [picture.quantize(palette=table) for picture in pictures]
    durations = [milliseconds] * (len(pictures) - 1) + [hold]
    buffer = io.BytesIO()
    first.save(
        buffer, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, disposal=1
    )
    return buffer.getvalue()
