"""A small SVG by hand: rounded to a tenth of a pixel, so that the same picture is the same text everywhere. Nothing of searches here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

INK, MUTED, GRID, LOST = "#24292f", "#6e7781", "#e4e7eb", "#cf222e"
BLUES = ("#cfe3f7", "#8dbbe8", "#4a8ed0", "#1f5fa8", "#0b3469")
"""From little to much."""
GOLD = "#e8a317"


def shade(place: int, places: int) -> str:
    """Return the blue of one place among several, the last one darkest."""
    return BLUES[-1] if places == 1 else BLUES[round(place * (len(BLUES) - 1) / (places - 1))]


@dataclass
class Drawing:
    """A picture of a width and a height in pixels, to which shapes are added."""

    width: float
    height: float
    title: str
    _shapes: list[str] = field(default_factory=list)

    def rect(self, x: float, y: float, width: float, height: float, fill: str, *, round_: float = 0) -> None:
        """Add a filled rectangle."""
        rounded = f' rx="{_n(round_)}"' if round_ else ""
        self._shapes.append(f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"{rounded} fill="{fill}"/>')

    def line(self, points: Iterable[tuple[float, float]], colour: str, *, width: float = 1, fill: str = "none", dash: str = "") -> None:
        """Add a line through points; with a fill, an area."""
        through = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._shapes.append(f'<polyline points="{through}" fill="{fill}" stroke="{colour}" stroke-width="{_n(width)}"{dashed}/>')

    def circle(self, x: float, y: float, radius: float, fill: str, *, edge: str = "white") -> None:
        """Add a dot."""
        self._shapes.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="{fill}" stroke="{edge}"/>')

    def ellipse(self, x: float, y: float, across: float, down: float, colour: str) -> None:
        """Add the outline of an ellipse by its half axes."""
        self._shapes.append(f'<ellipse cx="{_n(x)}" cy="{_n(y)}" rx="{_n(across)}" ry="{_n(down)}" fill="none" stroke="{colour}"/>')

    def cross(self, x: float, y: float, size: float = 2.5) -> None:
        """Add a red cross with a white edge, which shows on any ground."""
        for colour, width in (("white", 3.4), (LOST, 1.6)):
            for slant in (size, -size):
                self.line([(x - size, y - slant), (x + size, y + slant)], colour, width=width)

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", colour: str = MUTED, bold: bool = False) -> None:
        """Add words on a line; y is the line that they stand on."""
        heavy = ' font-weight="bold"' if bold else ""
        self._shapes.append(f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" fill="{colour}"{heavy}>{escape(words)}</text>')

    def __str__(self) -> str:
        size = f'width="{_n(self.width)}" height="{_n(self.height)}" viewBox="0 0 {_n(self.width)} {_n(self.height)}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
        ground = f'<rect width="{_n(self.width)}" height="{_n(self.height)}" rx="4" fill="white"/>'
        return "\n".join((head, f"<title>{escape(self.title)}</title>", ground, *self._shapes, "</svg>", ""))


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


@dataclass(frozen=True)
class Axes:
    """A frame in a drawing: from numbers in lows..highs to pixels.

    Attributes:
        left, top, width, height: of the frame, in pixels.
        x, y: the least and the greatest number along each side; y grows upwards.
    """

    drawing: Drawing
    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of two numbers."""
        across, up = (x - self.x[0]) / (self.x[1] - self.x[0]), (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def ticks(self, x: Iterable[tuple[float, str]], y: Iterable[tuple[float, str]], x_label: str, y_label: str) -> None:
        """Draw the frame's lines, with numbers and words beside them."""
        bottom = self.top + self.height
        for number, words in x:
            across, _ = self.at(number, self.y[0])
            self.drawing.line([(across, self.top), (across, bottom)], GRID)
            self.drawing.text(across, bottom + 14, words, anchor="middle")
        for number, words in y:
            _, down = self.at(self.x[0], number)
            self.drawing.line([(self.left, down), (self.left + self.width, down)], GRID)
            self.drawing.text(self.left - 6, down + 4, words, anchor="end")
        self.drawing.text(self.left + self.width, bottom + 30, x_label, anchor="end", colour=INK)
        self.drawing.text(self.left, self.top - 8, y_label, colour=INK)


def hours(end_s: float) -> list[tuple[float, str]]:
    """Return about six whole steps of a time axis in hours, from seconds."""
    step = next(step for step in (0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 24, 48) if end_s / 3600 / step <= 7)
    return [(number * step * 3600, f"{number * step:g} h") for number in range(int(end_s / 3600 / step) + 1)]
