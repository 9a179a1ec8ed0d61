"""The sheets of figure 4: nothing overlaps or is cut, whatever the number of classes, pictures and lines."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from networks import described, saved, stirred
from PIL import Image

from alexnet.errors import UsageError
from alexnet.insight.reports import sheets
from alexnet.insight.reports.sheets import Answer, Captioned
from alexnet.network.variants import variant
from alexnet.pictures.decode import stored
from alexnet.pictures.jobs import WHOLE, Shard
from alexnet.use import predict
from alexnet.weights import onnx_graph
from alexnet.weights.model import BATCH, load

LONG = "a class with a very long name, $x^2$ and ünïcode"


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written."""
    figures: list[Figure] = []
    monkeypatch.setattr(sheets, "write", lambda figure, path: figures.append(figure))
    return figures


def boxes(figure):
    """Every text of a figure with its place in pixels, once it is laid out."""
    figure.canvas.draw()
    (axis,) = figure.axes
    texts = [text for text in axis.texts if text.get_text()]
    return [(text.get_text(), text.get_window_extent()) for text in texts]


def check(figure):
    """No two texts overlap, and none is cut by the page."""
    found = boxes(figure)
    page = figure.bbox
    for place, (text, box) in enumerate(found):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text
        for other, second in found[place + 1 :]:
            apart = box.x1 <= second.x0 or second.x1 <= box.x0 or box.y1 <= second.y0 or second.y1 <= box.y0
            assert apart, (text, other)
    return [text for text, _ in found]


def pictures(count):
    return np.random.default_rng(0).integers(0, 255, (count, 20, 20, 3), np.uint8)


@pytest.mark.parametrize(("count", "classes"), [(1, 1), (1, 2), (3, 5), (9, 5), (4, 20)])
def test_answers(drawn, count, classes):
    top = [(LONG if place % 2 else f"class {place}", 1 / 2 ** (place + 1)) for place in range(classes)]
    shown = [Answer(picture, (LONG, None, "class 0")[n % 3], top) for n, picture in enumerate(pictures(count))]
    sheets.answers(shown, "title", "x.png")
    (figure,) = drawn
    check(figure)
    (axis,) = figure.axes
    assert len(axis.images) == count
    bars = [patch for patch in axis.patches if patch.get_height() < 0.5]
    assert len(bars) == count * classes
    assert [bar.get_width() for bar in bars[:classes]] == [probability for _, probability in top]
    green = [
        place
        for place, bar in enumerate(bars)
        if np.allclose(bar.get_facecolor()[:3], (0x7F / 255, 0xC2 / 255, 0x9B / 255))
    ]
    right = {
        n * classes + place for n, answer in enumerate(shown) for place, (c, _) in enumerate(top) if c == answer.true
    }
    assert set(green) == right


@pytest.mark.parametrize(("rows", "count"), [(1, 1), (3, 8), (2, 20)])
def test_neighbours(drawn, rows, count):
    found = [Captioned(picture, [LONG, "a-rather-long-file-name.jpeg", "123.4"]) for picture in pictures(count)]
    found[-1] = Captioned(None, ["gone.png", "1"])
    sheets.neighbours([(Captioned(pictures(1)[0], ["query.png"]), found)] * rows, "title", "x.png")
    check(drawn[0])
    assert len(drawn[0].axes[0].images) == rows * count  # the query for the one that is gone


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_predict_draws_them(tmp_path, easy_picture, classes):
    """Grey pictures, one of them not to be read; the class is that of the folder."""
    description = described(variant("lenet-5", classes), 32)
    model = load(saved(tmp_path / "m.safetensors", description, stirred(description)))
    (tmp_path / "class 1").mkdir()
    for number in range(2):
        easy_picture(0, number).save(tmp_path / "class 1" / f"{number}.png")
    inputs = [str(tmp_path / "class 1"), "nowhere.png"]
    entries = dict(enumerate(predict.predict(model, inputs)))
    predict.draw(entries, inputs, model, tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width > 400
    (tmp_path / "class 1" / "1.png").unlink()  # gone meanwhile
    predict.draw(entries, inputs, model, tmp_path / "one.png")
    with pytest.raises(UsageError, match="nothing to draw"):
        predict.draw({2: entries[2]}, inputs, model, tmp_path / "none.png")


def test_predict_as_a_command(alexnet, tmp_path, easy_picture):
    description = described(variant("lenet-5", 3), 32)
    onnx_graph.write(tmp_path / "m.onnx", description, stirred(description))
    easy_picture(0, 0).save(tmp_path / "0.png")
    arguments = ("predict", tmp_path / "0.png", "nowhere.png", "--model", tmp_path / "m.onnx", "--sheet")
    assert alexnet(*arguments, tmp_path / "s.png").code == 3 and (tmp_path / "s.png").exists()
    there = alexnet(*arguments, tmp_path / "s.png")
    assert there.code == 2 and "s.png exists" in there.err


def test_predict_draws_rows_of_tables(tmp_path, easy_picture, monkeypatch):
    """The bytes are in the table, whatever its rows are called; a shard draws its own."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files = [io.BytesIO() for _ in range(BATCH + 4)]
    for number, file in enumerate(files):
        easy_picture(number % 3, number).save(file, "PNG")
    rows = [{"bytes": file.getvalue(), "path": "same.png"} for file in files]
    rows[1]["bytes"] = b"no picture"
    parquet.write_table(arrow.Table.from_pylist([{"image": row} for row in rows]), tmp_path / "t.parquet")
    description = described(variant("lenet-5", 3), 32)
    model = load(saved(tmp_path / "m.safetensors", description, stirred(description)))
    shown = []
    monkeypatch.setattr(sheets, "answers", lambda found, title, path: shown.extend(found))
    inputs = [str(tmp_path / "t.parquet")]
    for shard in (WHOLE, Shard(1, 2)):
        shown.clear()
        entries = dict(enumerate(predict.predict(model, inputs, shard=shard)))
        predict.draw(entries, inputs, model, tmp_path / "s.png", shard=shard)
        drawn = [shard.places(len(rows), BATCH).start + place for place, entry in entries.items() if "top" in entry]
        assert len(shown) == min(len(drawn), predict.MOST)
        for place, answer in zip(drawn, shown, strict=False):
            np.testing.assert_array_equal(answer.picture, stored(rows[place]["bytes"], predict.SIDE, "crop"))
