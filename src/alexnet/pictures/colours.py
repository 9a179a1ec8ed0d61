"""Colours that a file describes by a profile, in those of sRGB: as viewers show them.

A photograph in Display P3 or Adobe RGB, read as if it were sRGB, looks pale; inks read without their profile, garish.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

SAME = 3  # of 255: a profile that changes no colour by more says what sRGB says
STEPS = 8  # of each channel, in the colours by which that is found out
MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of a profile, and of its pictures


def in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture without transparency as sRGB, in mode RGB. A profile that is damaged or of other channels says nothing,
    as in viewers; inks without one are taken for the complements of red, green and blue.

    Costs three times what decoding a JPEG does, for pictures whose profile is not sRGB's.
    """
    transform = _transform(profile) if profile else None
    if transform is None or (picture.mode == "CMYK") != (transform.input_mode == "CMYK"):
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    if transform.input_mode == "L":
        return picture.convert("L").point(_levels(transform)).convert("RGB")
    return ImageCms.applyTransform(picture.convert(transform.input_mode), transform)  # type: ignore[return-value]


def _levels(transform: ImageCms.ImageCmsTransform) -> list[int]:
    """What becomes of each grey value."""
    ramp = ImageCms.applyTransform(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), transform)
    return [int(level) for level in np.asarray(ramp)[0, :, 1]]


@lru_cache(maxsize=16)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """From the profile's colours to sRGB; None where there is nothing to change."""
    try:
        described = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = MODES.get(described.profile.xcolor_space)
        if mode is None:
            return None
        exact = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE  # else dark greys are 10 off
        srgb, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.PERCEPTUAL
        transform = ImageCms.buildTransform(described, srgb, mode, "RGB", intent, exact)
        return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    levels = np.linspace(0, 255, STEPS).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3) if mode == "RGB" else levels[None]
    before = Image.fromarray(colours)
    after = ImageCms.applyTransform(before, transform)
    change = np.asarray(after).astype(int) - np.asarray(before.convert("RGB"))
    return bool(np.abs(change).max() <= SAME)
