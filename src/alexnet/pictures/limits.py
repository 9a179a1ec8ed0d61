"""The largest picture that is decoded: a value that travels from the command line to the decoder."""

from __future__ import annotations

from dataclasses import dataclass

from alexnet.errors import PictureError


@dataclass(frozen=True)
class Limits:
    """Pixels and frames that a file may claim to have, and bytes that it may have. Checked before memory is spent."""

    pixels: int = 100_000_000
    frames: int = 1_000
    bytes: int = 64 * 2**20

    def check_size(self, width: int, height: int) -> None:
        """Raises PictureError for more pixels than allowed."""
        if width * height > self.pixels:
            raise PictureError(f"{width} x {height} pixels are more than the limit of {self.pixels:,}")

    def check_frames(self, frames: int) -> None:
        """Raises PictureError for more frames or pages than allowed; a count may stop at the first beyond the limit."""
        if frames > self.frames:
            raise PictureError(f"{frames:,} frames are more than the limit of {self.frames:,}")

    def check_bytes(self, count: int) -> None:
        """Raises PictureError for more bytes than allowed."""
        if count > self.bytes:
            raise PictureError(f"{count:,} bytes are more than the limit of {self.bytes:,}")


LIMITS = Limits()
