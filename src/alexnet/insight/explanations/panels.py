"""Pictures made pixel by pixel: heat over a picture, maps and kernels as tiles, panels side by side under some text.

Everything is uint8 and magnified by whole numbers only, so that a pixel of a picture or map stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from alexnet.network.architecture import LUMA, Input
from alexnet.pictures.decode import Pixels
from alexnet.storage import whole

Floats = NDArray[np.float32]

LEAST = 224  # pixels a side that a panel is magnified to at least
SHEET = 400  # pixels a side that a sheet of few maps is magnified to, about
GAP, MARGIN, TEXT = 8, 10, 13  # pixels between panels, around them; the height of letters
PAPER, INK = (255, 255, 255), (32, 32, 32)
OPACITY = 0.7


def heat_colours(heat: Floats) -> Pixels:
    """Heat [..., H, W] of 0..1 → RGBA [..., H, W, 4]: dark, red, yellow; the hotter, the less transparent."""
    levels = np.rint(heat * 255).astype(np.uint8)
    return np.concatenate([_colours("inferno")[levels], levels[..., None]], axis=-1)


def overlay(picture: Pixels, heat: Floats, opacity: float = OPACITY) -> Pixels:
    """A picture [H, W, 3] with heat [H, W] of 0..1 over it, RGB: the hottest place hides `opacity` of the picture."""
    colours = heat_colours(heat).astype(np.float32)
    share = opacity / 255 * colours[..., 3:]
    return np.asarray(np.rint(picture * (1 - share) + colours[..., :3] * share), np.uint8)


def heat_alone(heat: Floats) -> Pixels:
    """Heat [..., H, W] of 0..1 on black, RGB."""
    colours: Pixels = heat_colours(heat)[..., :3]
    return colours


def as_seen(pictures: Pixels, rule: Input) -> Pixels:
    """Pictures [..., 3] as a network with that input rule takes them: grey, where it takes no colours."""
    if rule.order != "grey":
        return pictures
    grey = np.rint(pictures @ np.array(LUMA)).astype(np.uint8)
    return np.asarray(grey[..., None].repeat(3, axis=-1))


def maps(values: Floats) -> Pixels:
    """What a layer gives, [channels, H, W] or [units], as one RGB picture: a tile for each map, row by row.

    All tiles share one scale, so that silent maps stay dark; where there are negative values, 0 is white, red above.
    The strongest thousandth of the values is cut off at the top of the scale.
    """
    if values.ndim == 1:
        values = values[:, None, None]  # a unit is a map of one cell
    least = max(32, round(SHEET / math.sqrt(len(values)))) if values[0].size > 1 else 8 if len(values) > 512 else 24
    tiles = magnified(_coloured(values), least)
    return tiled(tiles, _columns(len(tiles), tiles.shape[1] / tiles.shape[2]))


def kernels(weights: Floats, columns: int = 1, least: int = 40, largest: float | None = None) -> Pixels:
    """Kernels [K, channels, k, k] as RGB tiles in rows of up to 16, grey where the weight is 0; the network's `columns`
    one above the other. All on one scale, to ± `largest`: by default `scale`."""
    shades = _signed(weights.transpose(0, 2, 3, 1), scale(weights) if largest is None else largest)
    tiles = magnified(np.repeat(shades, 3, axis=3) if shades.shape[3] == 1 else shades, least)
    return stacked([tiled(column, min(16, len(column)), gap=2) for column in np.split(tiles, columns)])


def scale(values: Floats) -> float:
    """The largest magnitude, but for the strongest thousandth of the values, which a drawing cuts off."""
    return max(float(np.quantile(abs(values), 0.999)), float(np.finfo(np.float32).tiny))


def magnified(tiles: Pixels, least: int) -> Pixels:
    """Tiles [..., H, W, 3] with each pixel repeated, so that the longer side has at least `least` pixels."""
    factor = max(1, -(-least // max(tiles.shape[-3:-1])))
    return np.asarray(tiles.repeat(factor, axis=-3).repeat(factor, axis=-2))


def tiled(tiles: Pixels, columns: int, gap: int = 1) -> Pixels:
    """Tiles [N, H, W, 3] row by row on white, `gap` pixels apart."""
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def stacked(pictures: Sequence[Pixels], gap: int = GAP) -> Pixels:
    """RGB pictures one above the other on white."""
    return beside([picture.transpose(1, 0, 2) for picture in pictures], gap).transpose(1, 0, 2)


def beside(pictures: Sequence[Pixels], gap: int = GAP) -> Pixels:
    """RGB pictures side by side on white, their tops in line."""
    height = max((len(picture) for picture in pictures), default=1)
    width = max(1, sum(picture.shape[1] + gap for picture in pictures) - gap)
    canvas, left = np.full((height, width, 3), 255, np.uint8), 0
    for picture in pictures:
        canvas[: len(picture), left : left + picture.shape[1]] = picture
        left += picture.shape[1] + gap
    return canvas


def titled(picture: Pixels, lines: Sequence[str]) -> Pixels:
    """A picture with a margin and lines of text above it; the picture is widened where a line would be cut."""
    shown = [_short(line, max(picture.shape[1], 3 * LEAST)) for line in lines]
    width = max(picture.shape[1], *(math.ceil(_font().getlength(line)) for line in shown), 1)
    step = TEXT + 6
    top = MARGIN + step * len(shown)
    canvas = np.full((top + len(picture) + MARGIN, width + 2 * MARGIN, 3), 255, np.uint8)
    canvas[top : top + len(picture), MARGIN : MARGIN + picture.shape[1]] = picture
    image = Image.fromarray(canvas)
    drawing = ImageDraw.Draw(image)
    for place, line in enumerate(shown):
        drawing.text((MARGIN, MARGIN - 2 + step * place), line, INK, _font())
    return np.asarray(image)


def patch(picture: Pixels, box: Sequence[int], shown: Sequence[int], side: int = 96) -> Pixels:
    """The square `shown` (left, top, right, bottom) of a picture, at `side` x `side`; paler outside `box`."""
    left, top, right, bottom = shown
    canvas = (picture + 2 * np.array(PAPER)) // 3
    own = slice(box[1], box[3]), slice(box[0], box[2])
    canvas[own] = picture[own]
    cut = Image.fromarray(canvas[top:bottom, left:right].astype(np.uint8))
    return np.asarray(cut.resize((side, side), Image.Resampling.BICUBIC))


def write(picture: Pixels, path: Path) -> None:
    """Save a picture, whole or not at all."""
    with whole(path) as partial:
        Image.fromarray(picture).save(partial)


def animate(pictures: Sequence[Pixels], path: Path, seconds: float = 0.3) -> None:
    """Save pictures of one size as a GIF that runs for ever and rests at the end; whole or not at all."""
    frames = [Image.fromarray(picture) for picture in pictures]
    length = [round(1000 * seconds)] * len(frames)
    length[-1] = 2000
    with whole(path) as partial:
        frames[0].save(partial, save_all=True, append_images=frames[1:], duration=length, loop=0)


def _coloured(maps: Floats) -> Pixels:
    """Maps [N, H, W] → RGB [N, H, W, 3], all on one scale."""
    if maps.min() < 0:
        return np.asarray(_colours("RdBu_r")[_signed(maps, scale(maps))])
    return heat_alone((maps / scale(maps)).clip(0, 1))


def _signed(values: Floats, largest: float) -> Pixels:
    """Values as levels: 0 in the middle, ± `largest` at the ends."""
    return np.rint(127.5 + 127.5 * (values / largest).clip(-1, 1)).astype(np.uint8)


def _columns(count: int, shape: float) -> int:
    """In how many columns tiles, `shape` times as high as wide, make about 4 : 3, if possible in full rows."""
    ideal = math.sqrt(count * shape * 4 / 3)
    full = [columns for columns in range(1, count + 1) if count % columns == 0 and 0.6 < columns / ideal < 1.6]
    return min(full, key=lambda columns: abs(columns - ideal)) if full else max(1, min(count, round(ideal)))


@lru_cache(maxsize=4)
def _colours(name: str) -> Pixels:
    """The 256 colours of one of matplotlib's scales, RGB."""
    from matplotlib import colormaps

    colours: NDArray[Any] = colormaps[name](np.arange(256), bytes=True)[:, :3]
    return colours


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    """matplotlib's own font, which has Latin, Greek and Cyrillic letters."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf", TEXT)


def _short(line: str, width: int) -> str:
    """A line cut so that it takes at most `width` pixels, with nothing in it that a font has no sign for at all."""
    line = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
    if _font().getlength(line) <= width:
        return line
    while line and _font().getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
