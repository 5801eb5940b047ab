"""The picture of the front page, from a demo: `python benchmarks/front_picture.py DEMO`.

DEMO is the folder that `minigen demo` wrote. Samples of the VAE and of the GAN as the demo saved
them, none selected, and the loss of the GPT as in its report.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import harness


def read(folder: Path) -> list[bytes]:
    """The three pictures as PNG files: two grids, one plot."""
    from minigen.cli.report import run_section
    from minigen.training import Run

    sections = {name: run_section(Run.open(folder / name), 0) for name in ("vae", "gan", "gpt")}
    grids = [sections[name].pictures[1].png for name in ("vae", "gan")]
    return [*grids, sections["gpt"].pictures[0].png]


def join(pictures: list[bytes], height: int = 400, gap: int = 12) -> bytes:
    """The pictures side by side on white, all of one height in pixels, as a PNG file's bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    images = [imread(io.BytesIO(picture)) for picture in pictures]
    widths = [round(height * image.shape[1] / image.shape[0]) for image in images]
    total = sum(widths) + gap * (len(widths) - 1)
    figure = Figure(figsize=(total / 100, height / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    left = 0
    for image, width in zip(images, widths):
        axes = figure.add_axes((left / total, 0, width / total, 1))
        axes.imshow(image, aspect="auto", interpolation="antialiased")
        axes.set_axis_off()
        left += width + gap
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("demo", type=Path)
    parser.add_argument("--out", type=Path, default=harness.RESULTS / "demo.png")
    options = parser.parse_args()
    options.out.write_bytes(join(read(options.demo)))
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
