"""Training views: what happens to a batch of stored pictures before the network sees it, on the device.

Each view is a function of the pictures and of their cells of the table of chance; none draws anything itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.training.recipes import Colour, Flip, RandomCrop, RandomResizedCrop, View

Chance = dict[str, Tensor]


def augment(pictures: Tensor, chance: Chance, views: tuple[View, ...], size: int) -> Tensor:
    """uint8 [B, S, S, 3] → uint8 or float32 [B, size, size, 3] in units of 0..255, one view after the other.

    `chance`: float [B] in [0, 1), on the CPU, for every purpose that the views name.
    """
    for view in views:
        pictures = apply(view, pictures, chance, size)
    return pictures


def apply(view: View, pictures: Tensor, chance: Chance, size: int) -> Tensor:
    """One view of a batch."""
    match view:
        case RandomCrop():
            return _random_crop(pictures, chance, size)
        case RandomResizedCrop():
            return _random_resized_crop(view, pictures, chance, size)
        case Flip():
            return _flip(pictures, chance)
        case Colour():
            return _colour(view, pictures, chance)


def _random_crop(pictures: Tensor, chance: Chance, size: int) -> Tensor:
    room = pictures.shape[1] - size + 1
    corners = zip((chance["top"] * room).long().tolist(), (chance["left"] * room).long().tolist(), strict=True)
    return torch.stack([p[y : y + size, x : x + size] for p, (y, x) in zip(pictures, corners, strict=True)])


def _random_resized_crop(view: RandomResizedCrop, pictures: Tensor, chance: Chance, size: int) -> Tensor:
    views = pictures.new_empty((len(pictures), size, size, 3))
    for out, picture, (x, y, width, height) in zip(
        views, pictures, rectangles(view, chance, pictures.shape[1]), strict=True
    ):
        out.copy_(resized(picture[y : y + height, x : x + width], size))
    return views


def rectangles(view: RandomResizedCrop, chance: Chance, side: int) -> list[tuple[int, int, int, int]]:
    """(left, top, width, height) in whole pixels of each picture's rectangle."""
    low, high = view.area
    area = low + (high - low) * chance["area"].double()
    stretch = torch.exp(view.aspect * (chance["aspect"].double() - 0.5))
    width = (side * torch.sqrt(area) * stretch).round().clamp(1, side)
    height = (side * torch.sqrt(area) / stretch).round().clamp(1, side)
    left = (chance["left"] * (side - width + 1)).floor()
    top = (chance["top"] * (side - height + 1)).floor()
    return [tuple(row) for row in torch.stack([left, top, width, height], 1).long().tolist()]


def resized(picture: Tensor, size: int) -> Tensor:
    """uint8 [h, w, 3] → uint8 [size, size, 3], bilinear with antialiasing as in Pillow."""
    # Made contiguous first: torch then takes its path for interleaved bytes, three times as fast.
    planes = picture.contiguous().permute(2, 0, 1)[None]
    if picture.device.type != "cpu":  # accelerators resample floats alone
        planes = F.interpolate(planes.float(), (size, size), mode="bilinear", antialias=True).round()
    else:
        planes = F.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    return planes[0].permute(1, 2, 0)


def _flip(pictures: Tensor, chance: Chance) -> Tensor:
    mirrored = (chance["flip"] < 0.5).view(-1, 1, 1, 1).to(pictures.device)
    return torch.where(mirrored, pictures.flip(2), pictures)


def _colour(view: Colour, pictures: Tensor, chance: Chance) -> Tensor:
    gain = 1 + view.brightness * _signed(chance["brightness"]).view(-1, 1, 1, 1)
    tint = 255 * view.tint * _signed(torch.stack([chance[c] for c in ("red", "green", "blue")], 1))
    shift = tint.view(-1, 1, 1, 3).to(pictures.device)
    return torch.addcmul(shift, pictures.float(), gain.to(pictures.device))


def _signed(uniform: Tensor) -> Tensor:
    return (2 * uniform - 1).float()
