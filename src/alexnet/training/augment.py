"""Training views: what happens to a batch of stored pictures before the network sees it, on the device.

Each view is a function of the pictures and of their cells of the table of chance; none draws anything itself.

On a CPU what is done picture by picture is left to numpy: torch would wake all its threads each time and wait for them,
which on cores that others use too takes a time slice each.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.training.recipe import Colour, ColourNoise, Flip, RandomAffine, RandomCrop, RandomResizedCrop, View

Chance = dict[str, Tensor]


def augment(pictures: Tensor, chance: Chance, views: tuple[View, ...], size: int, mean: Tensor | float = 0.0) -> Tensor:
    """uint8 [B, S, S, 3] → uint8 or float32 [B, size, size, 3] in units of 0..255, one view after the other; the
    centre of what is still larger then.

    `chance`: float [B] in [0, 1), on the CPU, for every purpose that the views name. `mean`: what the network's first
    stage subtracts.
    """
    for view in views:
        pictures = apply(view, pictures, chance, size, mean)
    margin = (pictures.shape[1] - size) // 2
    return pictures[:, margin : margin + size, margin : margin + size]


def apply(view: View, pictures: Tensor, chance: Chance, size: int, mean: Tensor | float) -> Tensor:
    """One view of a batch."""
    match view:
        case RandomCrop():
            return _random_crop(pictures, chance, size)
        case RandomResizedCrop():
            return _random_resized_crop(view, pictures, chance, size)
        case RandomAffine():
            return _random_affine(view, pictures, chance)
        case Flip():
            return _flip(pictures, chance)
        case Colour():
            return _colour(view, pictures, chance)
        case ColourNoise():
            return _colour_noise(view, pictures, chance, mean)


def _random_crop(pictures: Tensor, chance: Chance, size: int) -> Tensor:
    room = pictures.shape[1] - size + 1
    top, left = ((chance[purpose] * room).long() for purpose in ("top", "left"))
    if pictures.device.type != "cpu":  # which would start a copy for each picture
        rows, columns = (corner[:, None] + torch.arange(size) for corner in (top, left))
        places = (torch.arange(len(pictures))[:, None, None], rows[:, :, None], columns[:, None])
        return pictures[tuple(place.to(pictures.device, non_blocking=True) for place in places)]
    corners = zip(pictures.numpy(), top.tolist(), left.tolist(), strict=True)
    return torch.from_numpy(np.stack([picture[y : y + size, x : x + size] for picture, y, x in corners]))


def _random_resized_crop(view: RandomResizedCrop, pictures: Tensor, chance: Chance, size: int) -> Tensor:
    views = pictures.new_empty((len(pictures), size, size, 3))
    boxes = rectangles(view, chance, pictures.shape[1])
    for out, picture, (x, y, width, height) in zip(views, pictures, boxes, strict=True):
        resize(picture[y : y + height, x : x + width], out)
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


def resize(picture: Tensor, out: Tensor) -> None:
    """uint8 [h, w, 3] into uint8 [size, size, 3], bilinear with antialiasing as in Pillow."""
    size = list(out.shape[:2])
    if picture.device.type != "cpu":  # accelerators resample floats alone
        planes = F.interpolate(picture.permute(2, 0, 1)[None].float(), size, mode="bilinear", antialias=True)
        out.copy_(planes[0].round().permute(1, 2, 0))
        return
    # From contiguous bytes, and by the operator itself, which can be told where to write: so bytes stay interleaved
    # on both sides, in a third of the time. numpy copies, since torch would wake all its threads for each picture.
    source = torch.from_numpy(np.ascontiguousarray(picture.numpy())[None]).permute(0, 3, 1, 2)
    target = out[None].permute(0, 3, 1, 2)
    torch.ops.aten._upsample_bilinear2d_aa.out(source, size, False, None, None, out=target)


def _random_affine(view: RandomAffine, pictures: Tensor, chance: Chance) -> Tensor:
    # Keras reads an output pixel at turn · (place + shift) of the input, places counted from the centre; so does
    # affine_grid, whose unit is half a side, with (x, y) where Keras has (row, column).
    angle = math.radians(view.degrees) * _signed(chance["angle"])
    x, y = (2 * view.shift * _signed(chance[purpose]) for purpose in ("right", "down"))
    sine, cosine = torch.sin(angle), torch.cos(angle)
    across = torch.stack([cosine, sine, cosine * x + sine * y], 1)
    along = torch.stack([-sine, cosine, cosine * y - sine * x], 1)
    planes = pictures.permute(0, 3, 1, 2).float()
    places = F.affine_grid(torch.stack([across, along], 1).to(planes.device), list(planes.shape), align_corners=False)
    moved = F.grid_sample(planes, places, mode="bilinear", padding_mode="border", align_corners=False)
    return moved.permute(0, 2, 3, 1)


def _flip(pictures: Tensor, chance: Chance) -> Tensor:
    mirrored = chance["flip"] < 0.5
    if pictures.device.type != "cpu":
        return torch.where(mirrored.view(-1, 1, 1, 1).to(pictures.device), pictures.flip(2), pictures)
    views = pictures.flip(2)  # all, and some put back: a quarter of the time of choosing by `where`, value by value
    for view, picture, flipped in zip(views.numpy(), pictures.numpy(), mirrored.tolist(), strict=True):
        if not flipped:
            view[:] = picture
    return views


def _colour(view: Colour, pictures: Tensor, chance: Chance) -> Tensor:
    gain = 1 + view.brightness * _signed(chance["brightness"])
    tint = 255 * view.tint * _signed(torch.stack([chance[c] for c in ("red", "green", "blue")], 1))
    return _shifted(pictures, gain, tint)


def _colour_noise(view: ColourNoise, pictures: Tensor, chance: Chance, mean: Tensor | float) -> Tensor:
    amounts = torch.stack([normal(chance[purpose]) for purpose in view.purposes], 1)
    colours = view.std * amounts @ torch.tensor(view.components)
    share = 1 / view.divisor
    # share · (x + colour − mean) + mean, in two passes over the pictures
    noisy = _shifted(pictures, torch.full((len(pictures),), share), share * colours)
    return noisy if share == 1 else noisy.add_((1 - share) * mean)


def _shifted(pictures: Tensor, gain: Tensor, colours: Tensor) -> Tensor:
    """gain · x + colour for each picture, float32 [B, S, S, 3]; `gain` [B], `colours` [B, 3]."""
    # By whole rows of pixels: loops over three values at a time are slow.
    rows = colours.repeat(1, pictures.shape[2])[:, None].to(pictures.device)
    factors = gain.view(-1, 1, 1).to(pictures.device)
    views = pictures.flatten(2).to(torch.float32, copy=True)
    return torch.addcmul(rows, views, factors, out=views).view(pictures.shape)


def normal(uniform: Tensor) -> Tensor:
    """Standard normal numbers from uniform ones in [0, 1), which are kept off 0, where there is none."""
    numbers: Tensor = torch.special.ndtri(uniform.double().clamp(min=2**-25))
    return numbers.float()


def _signed(uniform: Tensor) -> Tensor:
    return (2 * uniform - 1).float()
