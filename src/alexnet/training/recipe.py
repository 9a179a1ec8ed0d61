"""What a recipe is: everything about a training run that is not the architecture, as a value.

Fields carry torch's names where torch has one; `--set field=value` replaces scalars. Views are what happens to a
training picture, in order; they are carried out by `augment`. Phases are stretches of a run with rates, and perhaps
views, of their own. The recipes themselves: `recipes`.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, TypeVar

from alexnet.errors import UsageError, unknown
from alexnet.pictures.limits import LIMITS, Limits

T = TypeVar("T")


@dataclass(frozen=True)
class RandomCrop:
    """A view of the network's size from anywhere in the stored picture; `chunk` pictures in a row share the place."""

    chunk: int = 1
    purposes = ("left", "top")


@dataclass(frozen=True)
class RandomResizedCrop:
    """A rectangle of `area` (share of the picture) and of an aspect within e^±`aspect`, scaled to the view."""

    area: tuple[float, float] = (0.45, 1.0)
    aspect: float = 0.22
    purposes = ("area", "aspect", "left", "top")
    chunk = 1


@dataclass(frozen=True)
class RandomAffine:
    """Turned by up to ± `degrees` about its centre and shifted by up to ± `shift` of its side, both ways; beyond the
    picture its nearest pixel goes on. Bilinear; as Keras' `ImageDataGenerator` does it."""

    degrees: float = 0.0
    shift: float = 0.0
    purposes = ("angle", "down", "right")
    chunk = 1


@dataclass(frozen=True)
class Flip:
    """Mirrored left to right, every other time; `chunk` pictures in a row share the decision."""

    chunk: int = 1
    purposes = ("flip",)


@dataclass(frozen=True)
class Colour:
    """All channels times 1 ± `brightness`; then each channel plus ± `tint`, in units of 255."""

    brightness: float = 0.2
    tint: float = 0.05
    purposes = ("brightness", "red", "green", "blue")
    chunk = 1


@dataclass(frozen=True)
class ColourNoise:
    """The paper's second augmentation (§4.1): one colour added to all of a picture, `std` · Σ αᵢ σᵢ pᵢ with αᵢ normal;
    then the distance from the mean divided by `divisor`.

    pᵢ and σᵢ are the principal axes of the training pictures' RGB values and the deviations along them; `components`
    holds σᵢ pᵢ (three rows of red, green, blue in 0..255), computed from the training set when a run is resolved.
    """

    # PAPER §4.1: prints λᵢ, the eigenvalues, where the source has deviations. Variances of 0..255 values make a noise
    # of 1,483 grey levels, and only deviations give the same noise whatever the unit of the pixels.
    std: float = 0.1
    divisor: float = 1.0
    components: tuple[tuple[float, ...], ...] = ()
    purposes = ("noise1", "noise2", "noise3")
    chunk = 1


View = RandomCrop | RandomResizedCrop | RandomAffine | Flip | Colour | ColourNoise
VIEWS: dict[str, type[View]] = {kind.__name__: kind for kind in typing.get_args(View)}


@dataclass(frozen=True)
class Phase:
    """A stretch of a run: from where the phase before ends until `until` epochs are complete (None: to the end).

    `factor` multiplies the rate that the schedule gives; `rates` multiply it once more for parameters by name pattern,
    the first that fits wins, and 0 freezes them; `views` stand in for the recipe's.
    """

    until: float | None = None
    factor: float = 1.0
    rates: tuple[tuple[str, float], ...] = ()
    views: tuple[View, ...] | None = None

    @property
    def end(self) -> float:
        """Epochs that are complete where the phase ends."""
        return math.inf if self.until is None else self.until


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    name: str
    title: str
    source: str

    variant: str = "batch-norm"
    size: int = 0  # side of the view; 0: the variant's own; the stored picture is scaled along
    resize: Literal["crop", "squash", "pad"] = "crop"
    decode: Literal["full", "scaled"] = "full"  # scaled: large JPEGs at part of their size, see `Input`
    margin: Literal["variant", "none"] = "variant"  # what the stored picture has around the view; none: it is the view
    mean: Literal["channels", "picture", "imagenet", "none"] = "channels"  # subtracted from every picture, see `config`
    scale: float = 1 / 64  # what 0..255 is multiplied by after that; 1/64 gives photographs unit variance
    views: tuple[View, ...] = (RandomCrop(), Flip())

    epochs: int = 24  # 0: EPOCHS, or as many more as make STEPS steps of a small set
    batch_size: int = 64  # of one step, over all processes
    shuffle: int = 0  # pictures in tf.data's shuffle buffer, which runs over the stored order; 0: all of them
    update: Literal["adamw", "adam", "sgd", "lars", "muon"] = "adamw"  # muon: AdamW but for kernels of convolutions
    learning_rate: float = 6e-4
    reference_batch: int = 0  # the batch that the rate is meant for; another's is in proportion; 0: whatever the batch
    warm_up_epochs: float = 0.0  # in which the rate rises from that of `reference_batch`, or from nothing
    momentum: float = 0.9  # Adam's first beta
    trust: float = 0.001  # lars: length of a step over that of the weights, at a rate of 1
    eps: float = 1e-8  # Adam's, added to the root of the second moment
    weight_decay: float = 0.05
    rates: tuple[tuple[str, float, float], ...] = ()  # (name pattern, learning-rate factor, decay factor), first wins
    schedule: Literal["one-cycle", "stall", "constant", "polynomial"] = "one-cycle"  # the last falls as a square
    phases: tuple[Phase, ...] = (Phase(),)
    warm_up: float = 0.3  # one-cycle: share of the steps in which the rate rises
    drops: int = 3  # stall: how often the rate falls to a tenth
    stall: int = 5  # stall: epochs without a better validation top-1 before it falls
    label_smoothing: float = 0.0
    dropout: float | None = None  # None: the variant's own
    layer_decay: float | None = None  # a layer's rate over that of the next one up; None: 1, with --weights less
    freeze: str = ""  # layers that stay as --weights has them: names, or patterns of names, with commas between
    class_weights: Literal["none", "balanced"] = "none"

    validation: float = 0.1  # share of the training part set aside where there is no validation part
    watch: Literal["validation", "test"] = "validation"  # looked at each epoch; the test part chooses nothing, though
    stop_on: str = ""  # a column of history.csv: stop when it has not improved for `patience` epochs
    patience: int = 5

    unreadable: Literal["refuse", "skip"] = "refuse"
    max_pixels: int = LIMITS.pixels  # of a picture; a larger one is unreadable
    max_frames: int = LIMITS.frames  # the same: of an animation, pages of a TIFF
    max_bytes: int = LIMITS.bytes  # the same: of a file
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    batch_statistics: Literal["own", "global"] = "own"  # of batch normalisation: each process's own share, or all's
    gradients: Literal["float32", "bfloat16"] = "float32"  # as which they travel between processes
    compile: Literal["none", "default", "reduce-overhead"] = "none"  # mode of torch.compile; the last uses CUDA graphs
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    execution: Literal["data", "towers", "one-weird-trick"] = "data"  # over several processes
    workers: int = 1  # threads that read ahead
    checkpoint_minutes: float = 0.0  # between two
    checkpoint_steps: int = 0  # between two; where both are 0: as often as costs 2 % of the time
    track: Literal["none", "tensorboard"] = "none"  # where the curves go besides history.csv
    timeout: float = 600.0  # seconds in which another process must answer while they train

    @property
    def limits(self) -> Limits:
        """The largest picture that is decoded."""
        return Limits(self.max_pixels, self.max_frames, self.max_bytes)


EPOCHS, STEPS = 18, 200
"""How long a recipe trains that leaves its epochs to the size of the set: so many epochs, but no fewer steps."""

EXECUTION = frozenset({"device", "execution", "workers", "checkpoint_minutes", "checkpoint_steps", "track", "timeout"})
"""Fields that may differ on resume: they change where and when, not what."""


# ------------------------------------------------------------------------------------------------------ views, phases


def phase_at(recipe: Recipe, epochs: float) -> int:
    """Number of the phase in which a step falls that begins when `epochs` epochs are complete."""
    return bisect_right([phase.end for phase in recipe.phases[:-1]], epochs)


def views_in(recipe: Recipe, phase: int) -> tuple[View, ...]:
    """The views of a phase."""
    own = recipe.phases[phase].views
    return recipe.views if own is None else own


def purposes(recipe: Recipe) -> dict[str, int]:
    """Columns of the table of chance that the views of any phase need, and how many pictures in a row share a cell."""
    phases = range(len(recipe.phases))
    return {purpose: view.chunk for phase in phases for view in views_in(recipe, phase) for purpose in view.purposes}


def with_components(recipe: Recipe, components: tuple[tuple[float, ...], ...]) -> Recipe:
    """The recipe with colour noise along these components."""

    def of(views: tuple[View, ...]) -> tuple[View, ...]:
        return tuple(replace(v, components=components) if isinstance(v, ColourNoise) else v for v in views)

    phases = (p if p.views is None else replace(p, views=of(p.views)) for p in recipe.phases)
    return replace(recipe, views=of(recipe.views), phases=tuple(phases))


# ----------------------------------------------------------------------------------------------------------- settings


def with_settings(base: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with `field=value` texts applied. Raises UsageError that lists the fields or the values allowed."""
    changes: dict[str, Any] = {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set takes field=value, not {setting!r}")
        changes[field] = parse(field, text)
    return checked(replace(base, **changes))


HINTS = typing.get_type_hints(Recipe)
STRUCTURED = ("name", "title", "source", "views", "rates", "phases")
SETTABLE = [field.name for field in dataclasses.fields(Recipe) if field.name not in STRUCTURED]


def parse(field: str, text: str) -> Any:
    """The value that `text` means for a field."""
    if field not in SETTABLE:
        raise unknown("field of a recipe", field, SETTABLE)
    hint = HINTS[field]
    if typing.get_origin(hint) is Literal:
        return text
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in kinds and text.lower() in ("none", ""):
        return None
    try:
        return kinds[0](text)
    except ValueError:
        raise UsageError(f"--set {field}: {text!r} is not of type {kinds[0].__name__}") from None


RANGES: dict[str, tuple[float, float]] = {
    "size": (0, 4096),
    "scale": (1e-6, 1e3),
    "epochs": (0, 1e6),
    "batch_size": (1, 1e6),
    "shuffle": (0, 1e9),
    "learning_rate": (0, 1e3),
    "reference_batch": (0, 1e6),
    "warm_up_epochs": (0, 1e6),
    "momentum": (0, 0.9999),
    "trust": (1e-9, 1e3),
    "eps": (1e-16, 1),
    "weight_decay": (0, 1e3),
    "warm_up": (0, 1),
    "drops": (0, 100),
    "stall": (1, 1e6),
    "label_smoothing": (0, 0.999),
    "dropout": (0, 0.999),
    "layer_decay": (0.01, 1),
    "validation": (0, 0.9),
    "patience": (1, 1e6),
    "workers": (1, 256),
    "checkpoint_minutes": (0, 1e6),
    "checkpoint_steps": (0, 1e9),
    "timeout": (1, 1e6),
    "max_pixels": (1, 1e12),
    "max_frames": (1, 1e12),
    "max_bytes": (1, 1e12),
}


WATCHED = ("train_loss", "train_top1", "valid_loss", "valid_top1", "valid_top5")


def checked(recipe: Recipe) -> Recipe:
    """The recipe itself, if every number lies in its range and every word is known. Raises UsageError."""
    for field, hint in HINTS.items():
        value = getattr(recipe, field)
        if hint is str and not isinstance(value, str):
            raise UsageError(f"--set {field}: {value!r} is not a text")
        if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
            raise UsageError(f"--set {field}: {value!r} is not one of {', '.join(typing.get_args(hint))}")
    for field, (low, high) in RANGES.items():
        value = getattr(recipe, field)
        if type(value) not in ((int,) if HINTS[field] is int else (int, float, type(None))):
            raise UsageError(f"--set {field}: {value!r} is not a number of its kind")
        if value is not None and not low <= value <= high:
            raise UsageError(f"--set {field}: {value:g} is outside {low:g} to {high:g}")
    if recipe.stop_on not in ("", *WATCHED):
        raise unknown("column for stop_on", recipe.stop_on, WATCHED)
    if recipe.watch == "test" and (recipe.schedule == "stall" or recipe.stop_on.startswith("valid")):
        choice = "schedule=stall" if recipe.schedule == "stall" else f"stop_on={recipe.stop_on}"
        raise UsageError(f"--set {choice} would let the test part choose; it needs --set watch=validation")
    _check_phases(recipe)
    return recipe


def _check_phases(recipe: Recipe) -> None:
    ends = [phase.end for phase in recipe.phases]
    if not ends or any(before >= after for before, after in pairwise(ends)):
        raise UsageError(f"recipe {recipe.name}: its phases must end one after the other, not at {ends}")
    shared = purposes(recipe)
    for phase in range(len(recipe.phases)):
        for view in views_in(recipe, phase):
            if view.chunk < 1 or any(shared[purpose] != view.chunk for purpose in view.purposes):
                raise UsageError(
                    f"recipe {recipe.name}: {type(view).__name__} needs one chunk, 1 or more, in all phases"
                )
        _check_noise(recipe, views_in(recipe, phase))


def _check_noise(recipe: Recipe, views: tuple[View, ...]) -> None:
    """The mean picture has the size of a view: what divides the distance from it cannot come before the crop."""
    cropped = recipe.margin == "none" or recipe.mean != "picture"
    for view in views:
        cropped = cropped or isinstance(view, RandomCrop | RandomResizedCrop)
        if isinstance(view, ColourNoise) and view.divisor != 1 and not cropped:
            remedy = "put a crop before it, or set divisor to 1 or mean to channels"
            raise UsageError(f"recipe {recipe.name}: ColourNoise divides by {view.divisor:g} before the crop: {remedy}")


# --------------------------------------------------------------------------------------------------------------- JSON


def to_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values; `from_json` is its inverse."""
    phases = [{**dataclasses.asdict(p), "views": p.views and _views_to_json(p.views)} for p in recipe.phases]
    return {**dataclasses.asdict(recipe), "views": _views_to_json(recipe.views), "phases": phases}


def _views_to_json(views: tuple[View, ...]) -> list[dict[str, Any]]:
    return [{"type": type(view).__name__, **dataclasses.asdict(view)} for view in views]


def from_json(document: dict[str, Any]) -> Recipe:
    """A recipe from what `to_json` made. Raises ValueError, KeyError or TypeError when the document is not one."""
    given = dict(document)
    given["views"] = _views(document["views"])
    given["rates"] = tuple((str(name), float(rate), float(decay)) for name, rate, decay in document.get("rates", ()))
    if "phases" in document:
        given["phases"] = tuple(map(_phase, document["phases"]))
    return checked(Recipe(**given))


def _phase(document: dict[str, Any]) -> Phase:
    given = dict(document)
    views = given.pop("views", None)
    given["rates"] = tuple((str(name), float(rate)) for name, rate in given.get("rates", ()))
    return _made(Phase, {**given, "views": None if views is None else _views(views)})


def _views(documents: list[dict[str, Any]]) -> tuple[View, ...]:
    views: list[View] = []
    for document in documents:
        values = {key: _tuples(value) for key, value in dict(document).items()}
        views.append(_made(VIEWS[values.pop("type")], values))
    return tuple(views)


def _made(kind: type[T], values: dict[str, Any]) -> T:
    """A view or a phase, if every value is of its field's type. Raises TypeError."""
    hints = typing.get_type_hints(kind)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise TypeError(f"{kind.__name__}.{name} cannot be {value!r}")
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    options = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = options[:1] * len(value) if options[-1] is ... else options
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if options:
        return any(_fits(value, option) for option in options)
    return type(value) in (int, float) and math.isfinite(value) if hint is float else type(value) is hint


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
