"""The colours of the drawing: cold where weights are shared by many places, warm where each is used once."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.colors import to_rgb

from alexnet.network.drawing.steps import Kind, Step

Colour = tuple[float, float, float]

PAPER, INK, GREY = to_rgb("#ffffff"), to_rgb("#20262d"), to_rgb("#646c77")
PICTURE = to_rgb("#c6cbd2")
CHANNELS = tuple(map(to_rgb, ("#c4655a", "#5f9e72", "#5a7fbd")))
TONES: dict[Kind, tuple[Colour, Colour]] = {  # of the first and of the last of a kind
    "convolutions": (to_rgb("#74abcc"), to_rgb("#17456e")),
    "untied convolutions": (to_rgb("#7fb98a"), to_rgb("#2f6b45")),
    "fully connected layers": (to_rgb("#e5a04f"), to_rgb("#ad3c2a")),
}


def blend(colour: Colour, other: Colour, part: float) -> Colour:
    """`part` (0..1) of the way from one colour to another."""
    red, green, blue = (a + (b - a) * part for a, b in zip(colour, other, strict=True))
    return red, green, blue


def dark(colour: Colour) -> bool:
    """Whether white stands out from it better than black."""
    red, green, blue = colour
    return 0.30 * red + 0.59 * green + 0.11 * blue < 0.6


def tones(steps: Sequence[Step]) -> list[Colour]:
    """A colour for each step; what has no weights is a paler form of what it follows."""
    result: list[Colour] = []
    for step in steps:
        if step.kind == "without weights":
            result.append(blend(result[-1], PAPER, 0.4))
        elif step.kind == "input":
            result.append(PICTURE)
        else:
            alike = [other.name for other in steps if other.kind == step.kind]
            result.append(blend(*TONES[step.kind], alike.index(step.name) / max(1, len(alike) - 1)))
    return result
