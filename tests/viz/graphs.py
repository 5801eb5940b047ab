"""Graphs of every kind to be drawn, and a reader of the drawings: what a viewer would see."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font

import minigen
from minigen import nn
from minigen.models.transformer import GPT, GPTConfig, next_token_loss
from minigen.models.vae import VAE, VAEConfig, elbo
from minigen.nn import functional as F

SVG = "{http://www.w3.org/2000/svg}"


def mlp() -> tuple[Any, Any]:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    return F.mse_loss(model(minigen.ones(5, 4)), minigen.zeros(5, 1)), model


def gpt() -> tuple[Any, Any]:
    model = GPT(GPTConfig(vocabulary=20, context=8, layers=2, width=16))
    ids = minigen.zeros(2, 8, dtype=minigen.int64)
    return next_token_loss(model(ids), ids), model


def vae() -> tuple[Any, Any]:
    model = VAE(VAEConfig(pixels=16, hidden=8, latent=2))
    x = minigen.rand(5, 16)
    logits, mu, logvar = model(x)
    return -elbo(logits, x, mu, logvar).mean(), model


def outputs() -> tuple[Any, Any]:
    model = VAE(VAEConfig(pixels=16, hidden=8, latent=2))
    return model(minigen.rand(5, 16)), model


def diamond() -> tuple[Any, Any]:
    x = minigen.ones(3, requires_grad=True)
    y = x * x
    return y.exp() + y.sin(), {"x": x, "y": y}


def pieces() -> tuple[Any, Any]:
    x = minigen.ones(6, 2, requires_grad=True)
    a, b, c = x.split(2)
    return minigen.cat([a * b, c, a]), {"x": x}


def views_and_in_place() -> tuple[Any, Any]:
    x = minigen.ones(4, 3, requires_grad=True)
    y = x * 2
    row = y[1]
    y.mul_(3)
    y[0] = 1.0
    return (row.sum() + y.reshape(12).sum()), {"x": x}


def second_order() -> tuple[Any, Any]:
    x = minigen.tensor([1.0, 2.0], requires_grad=True)
    (slope,) = minigen.autograd.grad((x.exp() * x.sin()).sum(), x, create_graph=True)
    return slope, {"x": x}


def recurrence() -> tuple[Any, Any]:
    weight = minigen.ones(3, 3, requires_grad=True)
    h, losses = minigen.ones(1, 3), []
    for _ in range(12):
        h = (h @ weight).tanh()
        losses.append(h.sum())
    return minigen.stack(losses).sum(), {"weight": weight}


def dense() -> tuple[Any, Any]:
    """Many that use many: no order of it is without crossings."""
    names = {f"x{i}": minigen.ones(2, requires_grad=True) for i in range(6)}
    first = list(names.values())
    second = [minigen.stack(first[i:] + first[:i]).sum(0) for i in range(5)]
    return minigen.stack([a * b for a in second for b in second[:3]]).sum(), names


def leaf() -> tuple[Any, Any]:
    x = minigen.ones(2, requires_grad=True)
    return [x, x + 1], None


def strange_names() -> tuple[Any, Any]:
    names = [
        "<w> & \"q\" 'a'",
        "权重矩阵的名字很长",
        "ünï–çødé→∂",
        "tab\x07\x00",
        "x" * 90,
        "🙂 W@M",
    ]
    tensors = {name: minigen.ones(1, requires_grad=True) for name in names}
    return sum(tensors.values()), tensors


GRAPHS: list[Callable[[], tuple[Any, Any]]] = [
    mlp, gpt, vae, outputs, diamond, pieces, views_and_in_place, second_order, recurrence, dense,
    leaf, strange_names,
]  # fmt: skip


@dataclass
class Rect:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Rect, clearance: float = 0.0) -> bool:
        return (
            self.left < other.right + clearance
            and other.left < self.right + clearance
            and self.top < other.bottom + clearance
            and other.top < self.bottom + clearance
        )

    def holds(self, x: float, y: float) -> bool:
        """Strictly; numbers in the drawing are rounded to hundredths."""
        return self.left + 0.05 < x < self.right - 0.05 and self.top + 0.05 < y < self.bottom - 0.05


@dataclass
class Node:
    kind: str
    rect: Rect
    tooltip: str
    lines: list[tuple[str, Rect]]  # each with the place it takes


@dataclass
class Edge:
    source: int
    target: int
    points: list[tuple[float, float]]  # along the curve, closely


@dataclass
class Page:
    """All that is in a drawing."""

    width: float
    height: float
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    labels: list[tuple[str, Rect]] = field(default_factory=list)
    caption: list[tuple[str, Rect]] = field(default_factory=list)


def read(svg: str) -> Page:
    """Parse a drawing, with everything in the coordinates of the page."""
    root = ET.fromstring(svg)
    page = Page(float(root.get("width", "")), float(root.get("height", "")))
    for element in root:
        if element.tag == SVG + "text":
            page.caption.append(_text(element, 0, 0))
        if element.tag != SVG + "g":
            continue
        shift = re.fullmatch(r"translate\((\S+) (\S+)\)", element.get("transform", ""))
        assert shift
        dx, dy = map(float, shift.groups())
        for group in element.iter(SVG + "g"):
            if group.get("class") == "node":
                assert int(group.get("data-node", "")) == len(page.nodes)
                page.nodes.append(_node(group, dx, dy))
            elif group.get("class") == "edge":
                page.edges.append(_edge(group, dx, dy))
            elif group.get("font-size"):
                size = float(group.get("font-size", ""))
                page.labels += [_text(t, dx, dy, size) for t in group.findall(SVG + "text")]
    return page


def _node(group: ET.Element, dx: float, dy: float) -> Node:
    box = group.find(SVG + "rect")
    assert box is not None
    x, y, w, h = (float(box.get(name, "")) for name in ("x", "y", "width", "height"))
    rect = Rect(x + dx, y + dy, x + w + dx, y + h + dy)
    lines = [_text(element, dx, dy) for element in group.findall(SVG + "text")]
    return Node(group.get("data-kind", ""), rect, group.findtext(SVG + "title") or "", lines)


def _text(element: ET.Element, dx: float, dy: float, size: float = 0) -> tuple[str, Rect]:
    size = size or float(element.get("font-size", ""))
    text = element.text or ""
    width = drawn_width(text, size, element.get("font-weight") == "600")
    x = float(element.get("x", "")) + dx - (width / 2) * (element.get("text-anchor") == "middle")
    baseline = float(element.get("y", "")) + dy
    return text, Rect(x, baseline - 0.76 * size, x + width, baseline + 0.24 * size)


def _edge(group: ET.Element, dx: float, dy: float) -> Edge:
    path = group.findall(SVG + "path")[0].get("d", "")
    points: list[tuple[float, float]] = []
    for command, arguments in re.findall(r"([MVC])([^MVC]*)", path):
        numbers = list(map(float, arguments.split()))
        if command == "M":
            points.append((numbers[0], numbers[1]))
            continue
        (x0, y0), steps = points[-1], [i / 16 for i in range(1, 17)]
        if command == "V":
            points += [(x0, y0 + (numbers[0] - y0) * s) for s in steps]
        else:
            x1, y1, x2, y2, x3, y3 = numbers
            for s in steps:
                a, b, c, d = (1 - s) ** 3, 3 * s * (1 - s) ** 2, 3 * s * s * (1 - s), s**3
                points.append(
                    (a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3)
                )
    source, target = int(group.get("data-from", "")), int(group.get("data-to", ""))
    return Edge(source, target, [(x + dx, y + dy) for x, y in points])


_FONTS = {
    bold: FT2Font(str(Path(get_data_path()) / "fonts/ttf" / name))
    for bold, name in ((False, "DejaVuSans.ttf"), (True, "DejaVuSans-Bold.ttf"))
}


def drawn_width(text: str, size: float, bold: bool) -> float:
    """How wide DejaVu Sans draws it; Chinese characters and others it lacks as wide as high."""
    font = _FONTS[bold]
    font.set_size(100, 72)
    total = 0.0
    for character in text:
        if font.get_char_index(ord(character)):
            total += font.load_char(ord(character)).linearHoriAdvance / 65536 / 100
        else:
            total += 1.0
    return total * size
