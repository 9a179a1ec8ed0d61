"""The drawing: that nothing written lies over anything else, and that what it shows is true."""

from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from PIL import Image
from torch.nn import functional as F

from alexnet.errors import UsageError
from alexnet.network.architecture import Variant, Windowed
from alexnet.network.drawing.arrangement import arrange
from alexnet.network.drawing.sheet import ACROSS, draw, sheet
from alexnet.network.drawing.steps import steps
from alexnet.network.drawing.thread import inside, seen, thread
from alexnet.network.drawing.writing import spread
from alexnet.network.summary import summary
from alexnet.network.variants import VARIANTS, variant

PICTURES = Path(__file__).parents[2] / "docs/pictures"
TWO_COLUMNS = {
    *("krizhevsky-2012", "batch-norm", "source-145", "no-normalisation", "no-overlap"),
    *("bvlc-alexnet", "caffenet"),
}


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """What is written, and where it is in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for axis in figure.axes for text in axis.texts if text.get_text()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts]


def faults(figure: Figure) -> Iterator[tuple[str, ...]]:
    """Texts that leave the sheet, and pairs of texts that meet."""
    found = boxes(figure)
    assert len(found) > 40
    for text, box in found:
        if box.x0 < 0 or box.y0 < 0 or box.x1 > figure.bbox.width or box.y1 > figure.bbox.height:
            yield (text,)
    for (text, box), (other, beside) in combinations(found, 2):
        if box.x0 < beside.x1 and beside.x0 < box.x1 and box.y0 < beside.y1 and beside.y0 < box.y1:
            yield text, other


def written(path: Path) -> set[str | None]:
    """The texts of an .svg file."""
    return {element.text for element in ElementTree.parse(path).iter() if element.tag.endswith("text")}


def forms(name: str) -> Iterator[Variant]:
    """The variant as published, for few and many classes, and grey; where it can be that."""
    published = variant(name)
    yield published
    yield variant(name, channels=1)
    for classes in {2, 1000, 21_841} - {published.classes}:
        try:
            yield variant(name, classes)
        except UsageError:
            assert name == "yenigun-batch-norm"


@pytest.mark.parametrize("name", VARIANTS)
def test_no_text_meets_another_or_leaves_the_sheet(name: str) -> None:
    for value in forms(name):
        assert list(faults(sheet(value))) == [], (value.classes, value.channels)


@pytest.mark.parametrize(
    ("name", "size"), [("krizhevsky-2012", 1024), ("batch-norm", 64), ("torchvision", 127), ("lenet-5", 64)]
)
def test_any_size_and_any_number_of_channels_fit_too(name: str, size: int) -> None:
    assert list(faults(sheet(variant(name, channels=7), size))) == []


def test_what_an_overlap_looks_like() -> None:
    """The test above can fail."""
    figure = sheet(variant("lenet-5"))
    figure.axes[0].text(*figure.axes[0].texts[0].get_position(), "over the title")
    figure.axes[0].text(415, 100, "over the edge")
    assert {("over the edge",), ("LeNet-5", "over the title")} <= set(faults(figure))


def test_no_text_lies_over_a_block() -> None:
    """Those beside their blocks, that is: in dark blocks they could not be read."""
    figure = sheet(variant("krizhevsky-2012"))
    canvas = FigureCanvasAgg(figure)
    shapes = [(text, box) for text, box in boxes(figure) if text in ("48 × 55 × 55", "192 × 13 × 13", "4,096")]
    assert len(shapes) == 2 + 4 + 2
    for text in figure.axes[0].texts:
        text.set_visible(False)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[::-1]
    for text, box in shapes:
        covered = pixels[int(box.y0) : int(box.y1) + 1, int(box.x0) : int(box.x1) + 1, :3]
        assert (covered > 230).all(), text


@pytest.mark.parametrize("name", VARIANTS)
def test_towers_stand_apart_where_the_groups_are(name: str) -> None:
    found = {step.name: step for step in steps(variant(name))}
    if name not in TWO_COLUMNS:
        assert {step.columns for step in found.values()} == {1}
        return
    maps = {step.name for step in found.values() if len(step.shape) == 3 and step.name != "input"}
    assert {step.name for step in found.values() if step.columns == 2} == maps
    # Figure 2 of the paper: the columns see the same picture and meet at layer 3.
    assert {step.name for step in found.values() if step.apart} == maps - {"conv1", "conv3"}


@pytest.mark.parametrize("name", VARIANTS)
def test_edges_go_with_the_square_root(name: str) -> None:
    found = steps(variant(name))
    scale, columns = arrange(found, [20.0] * len(found), ACROSS, (130, 256))
    assert [column.step for column in columns] == list(found)
    for column in columns:
        shape, block = column.step.shape, column.blocks[0]
        assert len(column.blocks) == column.step.columns
        if len(shape) == 3:
            assert block.side == pytest.approx(scale.pixel * shape[1] ** 0.5)
            assert block.thick == pytest.approx(max(0.6, scale.unit * (shape[0] / column.step.columns) ** 0.5))
        else:
            assert block.side == pytest.approx(max(1.0, scale.unit * shape[0] ** 0.5))
        assert all(block.y >= 130 and block.top <= 256 for block in column.blocks)
    for below, column in pairwise(columns):
        assert below.blocks[0].right < column.blocks[0].left


@pytest.mark.parametrize("name", ["krizhevsky-2012", "batch-norm", "cifar-13pct", "yenigun-batch-norm"])
def test_bars_share_out_all_weights_and_all_arithmetic(name: str) -> None:
    figure = sheet(variant(name))
    bars = [patch for patch in figure.axes[0].get_children() if isinstance(patch, Rectangle)]
    bars = [bar for bar in bars if bar is not figure.axes[0].patch]
    document = summary(variant(name))
    weighted = [layer for layer in document["layers"] if layer["macs"]]
    for level, key in ((max(bar.get_y() for bar in bars), "parameters"), (min(bar.get_y() for bar in bars), "macs")):
        lengths = np.array([bar.get_width() for bar in bars if bar.get_y() == level])
        assert lengths.sum() == pytest.approx(ACROSS[1] - ACROSS[0])
        exact = np.array([layer[key] for layer in weighted]) / document[key]
        # A normalisation's values are told with the layer that they normalise: 0.03 % of all.
        np.testing.assert_allclose(lengths / lengths.sum(), exact, atol=1e-9 if key == "macs" else 5e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_written_counts_are_those_of_the_table(name: str) -> None:
    found, document = steps(variant(name)), summary(variant(name))
    for key in ("parameters", "macs"):
        assert sum(getattr(step, key) for step in found) == document[key]


def test_the_famous_contrast() -> None:
    """96 % of the weights are in the fully connected layers, 8 % of the arithmetic."""
    written = {text for text, _ in boxes(sheet(variant("krizhevsky-2012")))}
    assert {
        *("convolutions: 3.8 % of the weights", "fully connected layers: 96.2 % of the weights"),
        *("convolutions: 91.9 % of the arithmetic", "fully connected layers: 8.1 % of the arithmetic"),
    } <= written


# --------------------------------------------------------------------------------------------------- what a value sees


def test_receptive_fields_of_alexnet() -> None:
    """The known ones: 195 for the last pooling, as in Araujo et al.: Computing receptive fields (Distill, 2019)."""
    fields = [step.field for step in steps(variant("krizhevsky-2012"))]
    assert [field and field.size for field in fields] == [1, 11, 19, 51, 67, 99, 131, 163, 195, None, None, None]


@pytest.mark.parametrize("name", ["krizhevsky-2012", "cifar-11pct", "no-normalisation", "yenigun-batch-norm"])
def test_windows_upon_windows_make_the_outlines_on_the_picture(name: str) -> None:
    maps = [step for step in steps(variant(name)) if len(step.shape) == 3]
    pixels = thread(maps)
    for last, window in enumerate(pixels):
        for index in range(last, 0, -1):
            window = seen(maps[index], maps[index - 1], window)
        field = maps[last].field
        assert field is not None and field.pixels(pixels[last][0]) == inside(window, maps[0].shape[1])


@pytest.mark.parametrize("name", VARIANTS)
def test_windows_are_those_that_torch_cuts(name: str) -> None:
    maps = [step for step in steps(variant(name)) if len(step.shape) == 3]
    for (below, step), (pixel, _) in zip(pairwise(maps), thread(maps)[1:], strict=True):
        layer, side = step.layer, below.shape[1]
        assert isinstance(layer, Windowed)
        margin = getattr(layer, "padding", 0)
        places = torch.arange(1, side + 1).float().expand(1, 1, side, side)  # each pixel holds its column, from 1
        padded = F.pad(places, (margin, margin + layer.kernel, margin, margin + layer.kernel))  # may overhang
        windows = F.unfold(padded, layer.kernel, stride=layer.stride)
        count = (side + 2 * margin) // layer.stride + 1
        columns = windows.reshape(layer.kernel**2, count, -1)[:, pixel, pixel]
        expected = set(columns[columns > 0].int().tolist())
        start, stop = inside(seen(step, below, (pixel, pixel + 1)), side)
        assert set(range(start + 1, stop + 1)) == expected, step.name


@pytest.mark.parametrize("name", VARIANTS)
def test_the_thread_stays_in_the_middle(name: str) -> None:
    maps = [step for step in steps(variant(name)) if len(step.shape) == 3]
    for step, (start, _) in zip(maps, thread(maps), strict=True):
        assert abs(start + 0.5 - step.shape[1] / 2) <= 0.16 * step.shape[1] + 1, step.name


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(1, 15)), min_size=1, max_size=5))
def test_labels_are_spread_within_their_room(wanted: list[tuple[float, float]]) -> None:
    middles, widths = sorted(middle for middle, _ in wanted), [wide for _, wide in wanted]
    places = spread(middles, widths, 0, 100)
    ends = [(place - wide / 2, place + wide / 2) for place, wide in zip(places, widths, strict=True)]
    assert ends[0][0] >= -1e-9 and ends[-1][1] <= 100 + 1e-9
    assert all(after[0] - before[1] >= 4 - 1e-9 for before, after in pairwise(ends))


# ------------------------------------------------------------------------------------------------------------ its files


@pytest.mark.parametrize("name", ["krizhevsky-2012", "figure-1-tanh"])
def test_drawing_as_svg(name: str, tmp_path: Path) -> None:
    path = tmp_path / "network.svg"
    draw(variant(name), None, path, 100)
    root = ElementTree.fromstring(path.read_text("utf-8"))
    texts = written(path)
    for layer in summary(variant(name))["layers"]:
        if layer["name"].startswith(("conv", "local", "fc")):
            assert {layer["name"], f"{layer['parameters']:,}", f"{layer['macs']:,}"} <= texts
    assert f"{name}: {variant(name).title}" in {element.text for element in root.iter()}
    first = path.read_bytes()
    assert len(first) < 150_000
    draw(variant(name), None, path, 100)
    assert path.read_bytes() == first


def test_drawing_as_png(tmp_path: Path) -> None:
    path = tmp_path / "network.png"
    draw(variant("batch-norm", classes=2), None, path, 30)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    painted = (pixels != np.array(to_rgb("white")) * 255).any(axis=1).mean()
    assert 0.1 < painted < 0.6, "an empty sheet"


def test_dpi_of_the_drawing(tmp_path: Path) -> None:
    """A3 at that many dots per inch."""
    for dpi in (20, 40):
        draw(variant("lenet-5", channels=3), 64, tmp_path / f"{dpi}.png", dpi)
        with Image.open(tmp_path / f"{dpi}.png") as picture:
            assert picture.size == pytest.approx((420 / 25.4 * dpi, 297 / 25.4 * dpi), abs=1)


def test_the_drawing_in_the_documents_is_this_one(tmp_path: Path) -> None:
    """`alexnet summary krizhevsky-2012 --plot docs/pictures/krizhevsky-2012.svg --force` makes it anew."""
    draw(variant("krizhevsky-2012"), None, tmp_path / "network.svg", 100)
    assert written(tmp_path / "network.svg") == written(PICTURES / "krizhevsky-2012.svg")
