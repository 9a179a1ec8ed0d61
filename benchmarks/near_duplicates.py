"""How well near-duplicates are found among photographs, measured; writes results/near-duplicates.json.

`python benchmarks/near_duplicates.py cats-and-dogs.tar [--counts 10000 100000]`: the archive of dogs and cats, whose
pictures that really are there twice were found by eye (`REAL`). Of the photographs one half chooses the threshold, the
other is reported. `--counts`: of how many pictures the search is timed.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance
from record import record

from alexnet.pictures.checks import near_duplicates
from alexnet.pictures.checks.near_duplicates import SIDE, Sketches, groups, sketch
from alexnet.pictures.prepare import source_of

COPIED = 5  # one photograph in so many is copied
THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
REAL = (  # pairs that show the same, seen by eye
    ("cat.2565.jpg", "cat.3565.jpg"),
    ("cat.4726.jpg", "cat.2580.jpg"),
    ("cat.4435.jpg", "cat.3411.jpg"),
    ("dog.1273.jpg", "dog.980.jpg"),
    ("dog.180.jpg", "dog.74.jpg"),
    ("dog.2027.jpg", "dog.3082.jpg"),
    ("cat.4126.jpg", "cat.4575.jpg"),
)

Change = Callable[[Image.Image], Image.Image]


def saved(quality: int) -> Change:
    def change(picture: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality)
        return Image.open(stream).convert("RGB")

    return change


def scaled(factor: float) -> Change:
    return lambda p: p.resize((round(p.width * factor), round(p.height * factor)), Image.Resampling.LANCZOS)


def cropped(share: float) -> Change:
    """Without `share` of each side, half of it at either end."""
    cut = share / 2
    return lambda p: p.crop(
        (round(cut * p.width), round(cut * p.height), round((1 - cut) * p.width), round((1 - cut) * p.height))
    )


def marked(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    place = (picture.width // 10, 4 * picture.height // 5)
    ImageDraw.Draw(copy).text(place, "(c) someone", fill="white", font_size=picture.height // 12)
    return copy


CHANGES: dict[str, Change] = {
    "saved as JPEG of quality 50": saved(50),
    "saved as JPEG of quality 20": saved(20),
    "half the size": scaled(0.5),
    "a quarter of the size": scaled(0.25),
    "twice the size": scaled(2),
    "squashed to 256 x 192": lambda p: p.resize((256, 192)),
    "2 % cropped": cropped(0.02),
    "5 % cropped": cropped(0.05),
    "10 % cropped": cropped(0.1),
    "brightness x 0.7": lambda p: ImageEnhance.Brightness(p).enhance(0.7),
    "brightness x 1.3": lambda p: ImageEnhance.Brightness(p).enhance(1.3),
    "contrast x 1.3": lambda p: ImageEnhance.Contrast(p).enhance(1.3),
    "grey": lambda p: p.convert("L").convert("RGB"),
    "turned by 2 degrees": lambda p: p.rotate(2, Image.Resampling.BILINEAR),
    "with writing on it": marked,
    "mirrored (another picture)": lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def thumbnail(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0))


class Half:
    """Some photographs, and copies of some of them, as thumbnails."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.originals: list[np.ndarray] = []
        self.copied: list[int] = []
        self.copies: dict[str, list[np.ndarray]] = {name: [] for name in CHANGES}

    def add(self, name: str, picture: Image.Image) -> None:
        if len(self.names) % COPIED == 0:
            self.copied.append(len(self.names))
            for change, copies in self.copies.items():
                copies.append(thumbnail(CHANGES[change](picture)))
        self.names.append(name)
        self.originals.append(thumbnail(picture))

    def found(self) -> dict[str, float | int]:
        """Share of the copies of each kind that are found, and how many pairs of different photographs are."""
        count, wrong = len(self.names), set()
        shares: dict[str, float | int] = {}
        for change, copies in self.copies.items():
            first = groups(sketch(np.stack(self.originals + copies)))
            shares[change] = float((first[count:] == first[self.copied]).mean())
            for place in np.flatnonzero(first[:count] != np.arange(count)):
                wrong.add(frozenset((self.names[place], self.names[first[place]])))
        real = {frozenset(pair) for pair in REAL}
        return shares | {"pairs of the same, by eye": len(wrong & real), "pairs of others": len(wrong - real)}


def halves(data: str) -> tuple[Half, Half]:
    """The photographs, one after the other dealt to the two halves; both of a real pair to one."""
    source = source_of(data)
    paths = [path for entries in source.samples().parts.values() for path, _ in entries]
    second = {b: a for a, b in REAL}
    number = {Path(path).name: place for place, path in enumerate(paths)}
    half = Half(), Half()
    for index, read in source.pictures(paths):
        name = Path(paths[index]).name
        half[number[second.get(name, name)] % 2].add(name, read())
    return half


def chosen(half: Half) -> tuple[float, list[dict[str, float | int]]]:
    """Two steps above the lowest threshold with no pair of others: other kinds of pictures may be more alike."""
    rows = []
    for threshold in THRESHOLDS:
        near_duplicates.EXPLAINED = threshold
        rows.append({"threshold": threshold, **half.found()})
    clean = next(place for place, row in enumerate(rows) if not row["pairs of others"])
    return THRESHOLDS[min(clean + 2, len(THRESHOLDS) - 1)], rows


def timed(half: Half, counts: list[int]) -> list[dict[str, float]]:
    """Seconds and memory of a search among sketches that are those of photographs with a third of their bits turned."""
    known, rng = sketch(np.stack(half.originals)), np.random.default_rng(0)
    rows = []
    for count in counts:
        rows_of = rng.integers(0, len(known.hashes), count)
        flips = np.packbits(rng.random((count, 64)) < 0.33, axis=1).view(np.uint64)[:, 0]
        many = Sketches(known.hashes[rows_of] ^ flips, known.grey[rows_of], known.colours[rows_of])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, began = time.perf_counter(), time.process_time()
        groups(many)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sketches = many.hashes.nbytes + many.grey.nbytes + many.colours.nbytes
        rows.append(
            {
                "pictures": count,
                "seconds": time.perf_counter() - started,
                "processor_seconds": time.process_time() - began,
                "sketches_megabytes": sketches / 1e6,
                "search_megabytes_more": (peak - before) / 1e3,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--counts", type=int, nargs="*", default=[10_000, 100_000, 1_281_167])
    given = parser.parse_args()
    used = near_duplicates.EXPLAINED
    one, other = halves(given.data)
    threshold, rows = chosen(one)
    near_duplicates.EXPLAINED = used
    figures = {
        "photographs": [len(one.names), len(other.names)],
        "copies_of_each_kind": [len(one.copied), len(other.copied)],
        "first_half": {"rows": rows, "chosen": threshold},
        "second_half": {"threshold": used, **other.found()},
        "search": timed(one, given.counts),
    }
    record("near-duplicates", figures)


if __name__ == "__main__":
    main()
