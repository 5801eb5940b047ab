"""A picture of a graph as SVG text: title, facts and legend on top, then edges, labels and boxes.

Nothing outside the file is needed to show it, and the same graph always gives the same bytes.
Formatting is by attributes only, so that the drawing changes nothing on a page that it is put into.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from minigen.viz.picture import LABEL, SMALL, Box, Picture, Route, line_height
from minigen.viz.text import byte_text, counted, text_width
from minigen.viz.trace import (
    CUT,
    INPUT,
    MODULE,
    OPERATION,
    OUTPUT,
    PARAMETER,
    Edge,
    Trace,
    Vertex,
)  # fmt: skip

FONT = (
    "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'Noto Sans', 'DejaVu Sans', "
    "'Noto Sans CJK SC', 'Microsoft YaHei', sans-serif"
)
MARGIN, HEADING, LINE = 24, 17, 18
WIDTH = 460  # that the text on top may have at least

# fill, line, ink, what the legend says
STYLES = {
    PARAMETER: ("#e9f1fe", "#2f6fde", "#1c4a9c", "parameter"),
    INPUT: ("#e6f6ee", "#2a9d6f", "#176046", "other leaf"),
    OPERATION: ("#f5f6f9", "#98a1b1", "#2b313c", "operation"),
    MODULE: ("#f3edfc", "#8058cf", "#4c2f8a", "folded module"),
    OUTPUT: ("#fdefe6", "#d9622b", "#8f3c14", "output"),
    CUT: ("#ffffff", "#98a1b1", "#626b7a", "goes on, not drawn"),
}
EDGE_COLORS = {PARAMETER: "#a9c4f3", INPUT: "#9ad0b8"}
EDGE_COLOR, SOFT, INK = "#8a93a3", "#626b7a", "#1d222b"
EXPLANATION = (
    "Values go down the arrows, gradients back up. Beside an arrow: the argument, and the shape of "
    "its gradient."
)


def render(picture: Picture, title: str | None = None) -> str:
    """The whole file."""
    graph = picture.graph
    heading = text_width(title or "", HEADING, bold=True)
    width = max(picture.width + 2 * picture.overhang, WIDTH, heading)
    caption, top = _caption(graph, title, width)
    left = MARGIN + (width - picture.width) / 2
    width, height = width + 2 * MARGIN, top + picture.height + 2 * MARGIN
    kinds = [vertex.kind for vertex in graph.vertices]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" font-family="{FONT}" role="img">',
        f"<title>{_text(title or 'autograd graph')}</title>",
        f'<rect width="{_n(width)}" height="{_n(height)}" rx="10" fill="#ffffff"/>',
        *caption,
        f'<g transform="translate({_n(left)} {_n(MARGIN + top)})">',
        '<g fill="none" stroke-width="1.4">',
        *(
            _edge(edge, route, picture, EDGE_COLORS.get(kinds[edge.source], EDGE_COLOR))
            for edge, route in zip(graph.edges, picture.routes)
        ),
        f'</g>\n<g font-size="{LABEL}" fill="{SOFT}">',
        *(
            f'<text class="label" x="{_n(label.x)}" y="{_n(label.y + 0.35 * LABEL)}">'
            f"{_text(label.text)}</text>"
            for label in picture.labels
        ),
        "</g>",
        *(_node(i, v, box) for i, (v, box) in enumerate(zip(graph.vertices, picture.boxes))),
        "</g>\n</svg>",
    ]
    return "\n".join(parts) + "\n"


def _edge(edge: Edge, route: Route, picture: Picture, color: str) -> str:
    """A smooth path with an arrowhead at its lower end, and what it means as a tooltip."""
    path = [f"M{_n(route.curves[0][0])} {_n(route.start)}"]
    for above, below, gap in route.curves:
        top, bottom = picture.rank_bottom[gap], picture.rank_top[gap + 1]
        if above != below:
            middle = _n((top + bottom) / 2)
            path.append(
                f"V{_n(top)}C{_n(above)} {middle} {_n(below)} {middle} {_n(below)} {_n(bottom - 6)}"
            )
    x, y = route.curves[-1][1], route.end
    path.append(f"V{_n(y - 6)}")
    used = f"as {edge.argument}, " if edge.argument else ""
    return (
        f'<g class="edge" data-from="{edge.source}" data-to="{edge.target}" stroke="{color}">'
        f"<title>{_text(f'{used}gradient {edge.shape}')}</title>"
        f'<path d="{"".join(path)}"/>'
        f'<path d="M{_n(x)} {_n(y - 0.6)}l-3.6 -7h7.2z" fill="{color}" stroke="none"/></g>'
    )


def _node(number: int, vertex: Vertex, box: Box) -> str:
    ink = STYLES[vertex.kind][2]
    texts = []
    y = box.y + 6
    for text, size, bold in box.lines:
        weight = ' font-weight="600"' if bold else ""
        texts.append(
            f'<text x="{_n(box.x)}" y="{_n(y + size + 0.5)}" font-size="{size}"{weight} '
            f'fill="{ink if bold else SOFT}" text-anchor="middle">{_text(text)}</text>'
        )
        y += line_height(size)
    tip = [f"{vertex.title}: {vertex.shape} {vertex.dtype}"]
    tip += [f"saves {name} {what}" for name, what in vertex.saved]
    tooltip = _text("\n".join(tip))
    shape = _rect(box.x - box.width / 2, box.y, box.width, box.height, vertex.kind)
    return (
        f'<g class="node" data-node="{number}" data-kind="{vertex.kind}">'
        f"<title>{tooltip}</title>{shape}{''.join(texts)}</g>"
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    fill, line, _, _ = STYLES[kind]
    radius = min(14.0, height / 2) if kind in (PARAMETER, INPUT) else min(6.0, height / 3)
    dashes = ' stroke-dasharray="4 3"' if kind == CUT else ""
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
        f'rx="{_n(radius)}" fill="{fill}" stroke="{line}" stroke-width="1.2"{dashes}/>'
    )


def _caption(graph: Trace, title: str | None, width: float) -> tuple[list[str], float]:
    """Title, facts and legend, and their height."""
    parts = []
    y = float(MARGIN)
    if title:
        parts.append(_line(title, y, HEADING, INK, ' font-weight="600"'))
        y += HEADING + 9
    for text in facts(graph):
        for line in wrap(text.split(" "), width):
            parts.append(_line(line, y, SMALL, SOFT))
            y += LINE - 2
    y += 6
    kinds = {vertex.kind for vertex in graph.vertices}
    x = float(MARGIN)
    for kind in (k for k in STYLES if k in kinds):
        text = STYLES[kind][3]
        needed = 24 + text_width(text, SMALL)
        if x > MARGIN and x + needed > MARGIN + width:
            x, y = float(MARGIN), y + LINE
        parts.append(_rect(x, y, 17, 11, kind))
        parts.append(_line(text, y, SMALL, SOFT, x=x + 23))
        x += needed + 16
    y += LINE
    for line in wrap(EXPLANATION.split(" "), width):
        parts.append(_line(line, y, SMALL, SOFT))
        y += LINE - 2
    return parts, y - MARGIN + 22


def facts(graph: Trace) -> list[str]:
    """What the drawing says about the whole graph, in sentences."""
    lines = [
        f"{counted(graph.operations + graph.hidden, 'operation')}, "
        f"{counted(graph.leaves, 'leaf')}; "
        f"{byte_text(graph.saved_bytes)} saved for the gradient."
    ]
    if graph.hidden:
        lines.append(f"{counted(graph.hidden, 'operation')} further back not drawn.")
    if graph.unreached:
        names = ", ".join(graph.unreached[:6])
        more = len(graph.unreached) - 6
        lines.append(f"Not reached: {names}" + (f" and {more} more." if more > 0 else "."))
    return lines


def wrap(words: Iterable[str], width: float) -> list[str]:
    """Lines of words that are no wider than `width` pixels, unless a word is."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, SMALL) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _line(
    text: str, y: float, size: int, color: str, extra: str = "", x: float = float(MARGIN)
) -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y + size * 0.9)}" font-size="{size}" fill="{color}"{extra}>'
        f"{_text(text)}</text>"
    )


def _text(text: str) -> str:
    """Escaped; what XML cannot hold at all (control characters, lone surrogates) as �."""
    return escape("".join(c if _allowed(c) else "\ufffd" for c in text))


def _allowed(character: str) -> bool:
    code = ord(character)
    return (code >= 32 or character in "\t\n") and not (
        0xD800 <= code <= 0xDFFF or 0x7F <= code <= 0x9F or code in (0xFFFE, 0xFFFF)
    )


def _n(number: float) -> str:
    """A number as short as it can be written, to a hundredth."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
