"""The published weights that are known by name: the facts hang together, and MODEL finds what was fetched."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from alexnet.cli.main import cli
from alexnet.errors import UsageError
from alexnet.network.variants import variant
from alexnet.pictures.imagenet import classes as imagenet
from alexnet.weights import catalog, files
from alexnet.weights.download import _allowed

DOCS = Path(__file__).parents[2] / "docs" / "weights.md"
entries = pytest.mark.parametrize("entry", catalog.ENTRIES, ids=lambda entry: entry.name)


@entries
def test_an_entry_hangs_together(entry):
    value = variant(entry.variant)
    assert value.classes == entry.classes == len(imagenet.names())
    if entry.format != "onnx" and entry.top1:  # the zoo measured its file in another way
        assert (entry.top1, entry.top5) == (value.top1, value.top5)
    weights = 4 * {"torchvision": 61_100_840, "bvlc-alexnet": 60_965_224, "caffenet": 60_965_224}[entry.variant]
    assert entry.size is None or 0 <= entry.size - weights < 20_000  # float32, and little else
    assert entry.license and entry.source and entry.input and bool(entry.measured) == bool(entry.top1)


@entries
def test_nothing_but_the_published_file_can_come(entry):
    """A whole SHA-2 digest each, so that plain http, which one server alone has, gives nobody a choice."""
    assert _allowed(entry.address, entry.digests) and _allowed(entry.address.replace("https:", "http:"), entry.digests)
    assert entry.address.startswith(("https://", "http://dl.caffe.berkeleyvision.org/"))
    for digest in entry.digests:
        kind, _, value = digest.partition(":")
        assert len(bytes.fromhex(value)) == hashlib.new(kind).digest_size


def test_torchvision_puts_the_beginning_of_the_digest_into_the_name():
    named = [entry for entry in catalog.ENTRIES if entry.format == "torchvision"]
    assert len(named) == 1
    for entry in named:
        begin = entry.file.removesuffix(".pth").rpartition("-")[2]
        assert len(begin) == 8 and entry.digests[0].startswith(f"sha256:{begin}")


@entries
def test_the_page_says_what_the_catalog_says(entry):
    share = [f"{100 * value:.1f} %" if value else "not published" for value in (entry.top1, entry.top5)]
    size = f"{entry.size:,}" if entry.size else "not published"
    cells = (f"`{entry.name}`", entry.title, size, f"`{entry.digests[0][:15]}…`", *share, entry.license)
    assert f"| {' | '.join(cells)} |" in DOCS.read_text().splitlines()


def test_imagenet_is_sorted_and_tells_all_classes_apart():
    found = imagenet.synsets()
    assert len(found) == 1000 and list(found) == sorted(found)
    assert len(set(imagenet.names())) == 1000 and all(name == name.strip() != "" for name in imagenet.names())
    # as Caffe, torchvision and Keras number them
    known = {0: "tench", 134: "crane bird", 281: "tabby", 291: "lion", 517: "crane", 639: "maillot tank suit"}
    assert {number: imagenet.names()[number] for number in known} == known
    assert (list(found)[281], list(found)[999]) == ("n02123045", "n15075141")


def test_model_by_name_when_it_is_not_here():
    with pytest.raises(UsageError, match=r"^torchvision: .* alexnet weights fetch torchvision$"):
        files.locate("torchvision")
    with pytest.raises(UsageError, match="did you mean 'torchvision'"):
        files.locate("torchvison")
    with pytest.raises(UsageError, match="nowhere: no such model; expected"):
        files.locate("nowhere")


def test_model_by_name_when_it_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    catalog.path("caffenet").parent.mkdir(parents=True)
    catalog.path("caffenet").touch()
    assert files.locate("caffenet") == tmp_path / "alexnet" / "weights" / "caffenet.safetensors"
    (tmp_path / "caffenet").touch()
    monkeypatch.chdir(tmp_path)
    assert files.locate("caffenet") == Path("caffenet")  # what exists goes before a name


def test_the_commands():
    """In this process; tests/test_cli.py has the program itself answer for weights that are not here."""
    listed = CliRunner().invoke(cli, ["weights", "--json"])
    assert listed.exit_code == 0 and listed.stdout == CliRunner().invoke(cli, ["weights", "list", "--json"]).stdout
    document = json.loads(listed.stdout)
    assert [entry["name"] for entry in document] == list(catalog.CATALOG)
    assert all(entry["path"] is None and entry["digests"] and "http" in entry["address"] for entry in document)
    text = CliRunner().invoke(cli, ["weights"]).stdout
    assert all(f"alexnet weights fetch {name}" in text for name in catalog.CATALOG)
    with pytest.raises(UsageError, match="did you mean 'caffenet'"):
        CliRunner().invoke(cli, ["weights", "fetch", "cafenet"], catch_exceptions=False)
    with pytest.raises(UsageError, match="did you mean 'convert'"):
        CliRunner().invoke(cli, ["weights", "convrt"], catch_exceptions=False)
