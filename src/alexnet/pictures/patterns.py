"""Pictures of ten texture patterns, drawn by this module itself: a data set with nothing to download.

Each picture shows one patch of pattern lying on a soft, blurry ground. The pattern is the class; outline, place,
colours, ground and light are drawn without looking at it, so they say nothing about it.

A picture is a pure function of its index. All chance comes from raw words of the counter-based generator Philox,
whose stream is fixed for good, and every stage of the drawing reads a stream of its own. Another kind of machine may
round sines and powers otherwise, which moves a byte by one here and there.

A plane is a float32 array that broadcasts to [SIZE, SIZE], rows first, or to three of these, one per colour channel.
Lengths are in pixels, light is in 0-255.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, radians, sin, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.floating]  # always float32, which the types lose in sums with Python's numbers
Shape: TypeAlias = Callable[[Plane, Plane, float], Plane]

SIZE = 256
COUNTS = {"train": 4000, "test": 1000}


def label(index: int) -> int:
    """Class of picture `index`, a position in CLASSES; any ten pictures in a row hold each class once."""
    return index % len(CLASSES)


def draw(index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Picture `index`: RGB uint8 [SIZE, SIZE, 3] and the mask bool [SIZE, SIZE] of its patterned patch.

    The train pictures are 0 to train - 1 and the test pictures follow. Any thread may draw any picture.
    """
    patch, x, y = _layout(index)
    picture = _mix(_ground(index) * _shadow(patch), _cloth(index, x, y), _cover(patch))
    picture *= _light(index)
    picture += _grain(index)
    red, green, blue = picture.clip(0, 255).astype(np.uint8)
    return np.stack((red, green, blue), axis=2), patch > 0


# --- Chance ---

_KEY = 2012
_LAYOUT, _CLOTH, _WARP, _INKS, _GROUND, _CLOUDS, _LIGHT, _COARSE, _GRAIN = range(9)


def _words(index: int, stream: int, count: int) -> NDArray[np.uint64]:
    words: NDArray[np.uint64] = np.random.Philox(key=_KEY, counter=[0, 0, stream, index]).random_raw(count)
    return words


def _chances(index: int, stream: int, count: int) -> list[float]:
    """`count` numbers, uniform in [0, 1)."""
    return [(word >> 11) / 2**53 for word in _words(index, stream, count).tolist()]


def _between(low: float, high: float, chance: float) -> float:
    return low + (high - low) * chance


# --- Patterns: from coordinates in units of the pattern's period to the signed distance from the nearest edge of
# its ink, positive inside. The whim, in [0, 1), is the freedom a pattern has in its proportions.


def _fold(u: Plane) -> Plane:
    """Distance to the nearest whole number."""
    return abs(u - u.round())


def _length(u: Plane, v: Plane) -> Plane:
    # Three times as fast as np.hypot, whose care about overflow is not needed here.
    return (u * u + v * v) ** 0.5


def _bricks(u: Plane, v: Plane, whim: float) -> Plane:
    course = (v * 1.5).round()
    from_joint: Plane = np.minimum(0.5 - _fold(u * 0.75 + course * 0.5), (0.5 - _fold(v * 1.5)) / 1.5)
    return from_joint - _between(0.05, 0.1, whim)


def _checks(u: Plane, v: Plane, whim: float) -> Plane:
    a, b = 0.25 - _fold(u * _between(0.65, 0.85, whim)), 0.25 - _fold(v * 0.75)
    inside: Plane = np.maximum(np.minimum(a, b), -np.maximum(a, b))
    return inside


def _dots(u: Plane, v: Plane, whim: float) -> Plane:
    return _between(0.25, 0.4, whim) - _length(_fold(u), _fold(v))


def _honeycomb(u: Plane, v: Plane, whim: float) -> Plane:
    tall = sqrt(3)
    u0, v0 = _fold(u), _fold(v / tall) * tall
    u1, v1 = 0.5 - u0, tall / 2 - v0
    nearer = _length(u0, v0) < _length(u1, v1)
    u, v = np.where(nearer, u0, u1), np.where(nearer, v0, v1)
    radius: Plane = np.maximum(u, u / 2 + v * tall / 2)
    return _between(0.4, 0.46, whim) - radius


def _rays(u: Plane, v: Plane, whim: float) -> Plane:
    rays_per_radian = round(_between(9, 16, whim)) / (2 * pi)
    return (0.25 - _fold(np.arctan2(v, u) * rays_per_radian)) * _length(u, v) / rays_per_radian


def _rings(u: Plane, v: Plane, whim: float) -> Plane:
    return _between(0.2, 0.3, whim) - _fold(_length(u, v))


def _scales(u: Plane, v: Plane, whim: float) -> Plane:
    row = (v * 1.4 - 0.5).round()
    radius = _length(_fold(u * 0.7 + row * 0.5), v * 0.7 - row * 0.5)
    return abs(radius - 0.5) - _between(0.06, 0.12, whim)


def _spiral(u: Plane, v: Plane, whim: float) -> Plane:
    arms = 4
    return _between(0.2, 0.3, whim) - _fold(_length(u, v) + np.arctan2(v, u) * arms / (2 * pi))


def _weave(u: Plane, v: Plane, whim: float) -> Plane:
    upright = _fold(((u * 0.5).round() + (v * 0.5).round()) * 0.5) > 0.25
    return _between(0.25, 0.33, whim) - _fold(np.where(upright, u, v) * 1.5)


def _zigzag(u: Plane, v: Plane, whim: float) -> Plane:
    return (_between(0.2, 0.3, whim) - _fold(v + _fold(u * 0.5) * 1.6)) * 0.8


_PATTERNS: dict[str, Shape] = {
    "bricks": _bricks,
    "checks": _checks,
    "dots": _dots,
    "honeycomb": _honeycomb,
    "rays": _rays,
    "rings": _rings,
    "scales": _scales,
    "spiral": _spiral,
    "weave": _weave,
    "zigzag": _zigzag,
}

CLASSES: tuple[str, ...] = tuple(sorted(_PATTERNS))


# --- Outlines: from coordinates about the patch's middle to how far out a pixel lies, in the outline's own measure.
# The patch is the part of the picture where that is least.


def _ellipse(u: Plane, v: Plane, whim: float) -> Plane:
    return _length(u * _between(1, 1.2, whim), v)


def _box(u: Plane, v: Plane, whim: float) -> Plane:
    u, v = u * u * _between(1, 1.2, whim), v * v
    return (u**4 + v**4) ** 0.125


def _polygon(u: Plane, v: Plane, whim: float) -> Plane:
    sides = int(_between(5, 8, whim))
    out = u
    for turn in (2 * pi * side / sides for side in range(1, sides)):
        out = np.maximum(out, cos(turn) * u + sin(turn) * v)
    return out


def _pebble(u: Plane, v: Plane, whim: float) -> Plane:
    angle = np.arctan2(v, u)
    bumps: Plane = np.sin(3 * angle) + np.sin(2 * angle + 2 * pi * whim)
    return _length(u, v) * (1 + 0.08 * bumps)


_OUTLINES: tuple[Shape, ...] = (_ellipse, _box, _polygon, _pebble)
_AXIS: Plane = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2


def _turned(x: Plane, y: Plane, angle: float) -> tuple[Plane, Plane]:
    return cos(angle) * x + sin(angle) * y, cos(angle) * y - sin(angle) * x


def _layout(index: int) -> tuple[Plane, Plane, Plane]:
    """Distance inside the patch's outline (negative outside), and coordinates x, y about the patch's middle."""
    right, down, angle, stretch, area, outline, whim = _chances(index, _LAYOUT, 7)
    x = _AXIS[None, :] - SIZE * _between(-0.18, 0.18, right)
    y = _AXIS[:, None] - SIZE * _between(-0.18, 0.18, down)
    u, v = _turned(x, y, 2 * pi * angle)
    stretch = _between(1, 1.25, stretch)
    out = _OUTLINES[int(outline * len(_OUTLINES))](u * stretch, v / stretch, whim)
    # The edge is a quantile, so an outline of any shape, even one cut by the frame, covers just the area it is given.
    sample = out[::4, ::4].ravel()
    rank = int(_between(0.12, 0.36, area) * sample.size)
    return np.partition(sample, rank)[rank] - out, x, y


def _cover(distance: Plane) -> Plane:
    """Share, 0 to 1, of a pixel that lies inside an edge at this distance: what makes edges smooth."""
    return (distance + 0.5).clip(0, 1)


def _shadow(patch: Plane) -> Plane:
    """The soft shadow the patch casts all round: a factor that reaches 1 some way off."""
    near: Plane = (1 + patch / 18).clip(0, 1)
    return 1 - 0.45 * near * near


# --- Paint ---


def _colour(hue: float, lightness: float, depth: float) -> Plane:
    """A colour [3, 1, 1]; the hue runs round the colour wheel from 0 to 1, a depth of 0 is grey."""
    channels = [255 * (lightness + depth * cos(2 * pi * (hue + third / 3))) for third in range(3)]
    return np.array(channels, dtype=np.float32).reshape(3, 1, 1)


def _mix(first: Plane, second: Plane, share: Plane) -> Plane:
    """From the first, where the share is 0, to the second, where it is 1."""
    mixed = (second - first) * share
    mixed += first
    return mixed


def _spline(knots: int) -> Plane:
    """Weights [knots, SIZE] that blow `knots` values up to a smooth curve, a cubic B-spline."""
    t = np.abs(np.linspace(0.5, knots - 1.5, SIZE) - np.arange(knots)[:, None])
    weights: Plane = np.where(t < 1, 4 - 6 * t**2 + 3 * t**3, (2 - t).clip(0) ** 3)
    weights /= weights.sum(axis=0)
    return weights.astype(np.float32)


_KNOTS = 8
_SPLINE = _spline(_KNOTS)


def _clouds(index: int, stream: int) -> tuple[Plane, Plane]:
    """Two planes that wander smoothly within -1 to 1."""
    words = _words(index, stream, 2 * _KNOTS**2) >> np.uint64(40)
    knots = words.astype(np.float32).reshape(2, _KNOTS, _KNOTS) / 2**23 - 1
    # einsum and not @, whose BLAS threads would get in the way of callers that draw on several threads.
    first, second = np.einsum("cyk,kx->cyx", np.einsum("cjk,jy->cyk", knots, _SPLINE), _SPLINE)
    return first, second


def _cloth(index: int, x: Plane, y: Plane) -> Plane:
    """The pattern in its two inks [3, SIZE, SIZE], gently warped, its origin near the middle of the patch."""
    turn, size, right, down, whim = _chances(index, _CLOTH, 5)
    period = 12 * 2.2**size
    u, v = _turned(x, y, radians(_between(-22, 22, turn)))
    sway, heave = _clouds(index, _WARP)
    u = u / period + 0.5 * sway + _between(-1, 1, right)
    v = v / period + 0.5 * heave + _between(-1, 1, down)
    ink, paper = _inks(index)
    pattern = _PATTERNS[CLASSES[label(index)]](u, v, whim)
    return _mix(paper, ink, _cover(pattern * period))


def _inks(index: int) -> tuple[Plane, Plane]:
    hue, other, lightness, contrast, depth, swap = _chances(index, _INKS, 6)
    middle, reach, depth = _between(0.4, 0.6, lightness), _between(0.06, 0.26, contrast), _between(0.1, 0.25, depth)
    dark = _colour(hue, middle - reach, depth)
    light = _colour(hue + _between(0.2, 0.8, other), middle + reach, depth)
    return (dark, light) if swap < 0.5 else (light, dark)


def _ground(index: int) -> Plane:
    """A blurry ground [3, SIZE, SIZE]: two related colours that drift into each other, under clouds of shade."""
    hue, other, lightness, depth, turn = _chances(index, _GROUND, 5)
    depth = _between(0.03, 0.15, depth)
    first = _colour(hue, _between(0.4, 0.85, lightness), depth)
    second = _colour(hue + _between(-0.25, 0.25, other), _between(0.85, 0.4, lightness), depth)
    drift, shade = _clouds(index, _CLOUDS)
    slope, _ = _turned(_AXIS[None, :] / SIZE, _AXIS[:, None] / SIZE, 2 * pi * turn)
    ground = _mix(first, second, 0.5 + 0.5 * drift + 0.7 * slope)
    ground += 45 * shade
    return ground


def _light(index: int) -> Plane:
    """Light that falls in from one side and fades towards the corners: a factor about 1."""
    right, down, fade = _chances(index, _LIGHT, 3)
    axis = _AXIS / (SIZE / 2)
    fall = 0.55 - _between(0, 0.2, fade) * axis * axis
    return (fall + _between(-0.2, 0.2, right) * axis)[None, :] + (fall + _between(-0.2, 0.2, down) * axis)[:, None]


def _grain(index: int) -> Plane:
    """Noise [3, SIZE, SIZE], at most some grey levels up or down."""
    [coarse] = _chances(index, _COARSE, 1)
    grains = _words(index, _GRAIN, 3 * SIZE * SIZE // 8).astype("<u8").view(np.uint8).reshape(3, SIZE, SIZE)
    return (grains.astype(np.float32) - 127.5) * (_between(4, 20, coarse) / 127.5)
