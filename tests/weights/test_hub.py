"""Models for Hugging Face: the folder, read back by its own library; and a stand-in for the site on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import alexnet
from alexnet.errors import AlexNetError, UsageError, WeightsError
from alexnet.network.architecture import Input
from alexnet.network.variants import variant
from alexnet.weights import files

hub = pytest.importorskip("huggingface_hub")

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
SCORES = {
    "epoch": 3,
    "validation": {"images": 100, "top1": 0.75, "top5": 1.0, "loss": 0.5},
    "test": {"images": 200, "top1": 0.7, "top5": 0.99, "loss": 0.6},
}
TRAINED = {"data": {"name": "photos: cats & dogs", "digest": "…"}}
CLASSES = ("cat", "dog\n---\nlicense: gpl")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model_file(tmp_path):
    return written(tmp_path / "runs" / "photos" / "best.safetensors")


def written(path, classes=CLASSES, trained=TRAINED, scores=SCORES, order="grey"):
    value = variant("lenet-5", len(classes))
    rule = Input(size=32, stored=36, order=order, mean=(120.0,), scale=(1 / 64,))
    path.parent.mkdir(parents=True, exist_ok=True)
    files.save(path, alexnet.build(value).state_dict(), files.Description(value, classes, rule, trained, scores))
    return path


def test_what_is_saved_answers_as_before(tmp_path, model_file):
    folder = alexnet.save_pretrained(model_file.parent, tmp_path / "shared")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == model_file.read_bytes()
    before = alexnet.load(model_file)
    for again in (alexnet.from_pretrained(folder), alexnet.load(folder)):
        assert again.description == before.description
        np.testing.assert_array_equal(again.logits(PICTURES), before.logits(PICTURES))


def test_config_says_what_the_file_says(tmp_path, model_file):
    folder = alexnet.save_pretrained(model_file, tmp_path / "shared")
    document = json.loads((folder / "config.json").read_text())
    assert files.description_from_json(document) == files.describe(model_file)
    assert (document["library_name"], document["architecture"], document["num_classes"]) == ("alexnet", "lenet-5", 2)


def test_the_card_as_the_site_reads_it(tmp_path, model_file):
    folder = alexnet.save_pretrained(model_file, tmp_path / "shared", license="cc-by-4.0")
    card = hub.ModelCard.load(folder / "README.md")
    facts = card.data.to_dict()
    assert (facts["license"], facts["library_name"]) == ("cc-by-4.0", "alexnet")
    assert facts["pipeline_tag"] == "image-classification" and "alexnet" in facts["tags"]
    found = {(r.dataset_name, r.dataset_split, r.metric_name): r.metric_value for r in card.data.eval_results}
    assert found == {
        ("photos: cats & dogs", "validation", "top-1 accuracy"): 0.75,
        ("photos: cats & dogs", "validation", "top-5 accuracy"): 1.0,
        ("photos: cats & dogs", "test", "top-1 accuracy"): 0.7,
        ("photos: cats & dogs", "test", "top-5 accuracy"): 0.99,
    }
    assert "cat, dog --- license: gpl." in card.text  # a name stays on its line


def test_a_card_without_scores_or_licence_claims_none(tmp_path):
    bare = written(tmp_path / "bare.safetensors", trained={}, scores={"validation": "good", "test": {"top1": "<b>"}})
    facts = hub.ModelCard.load(alexnet.save_pretrained(bare, tmp_path / "shared") / "README.md").data.to_dict()
    assert not {"license", "metrics", "model-index"} & facts.keys()


def test_no_folder_is_overwritten(tmp_path, model_file):
    kept = tmp_path / "shared"
    kept.mkdir()
    (kept / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        alexnet.save_pretrained(model_file, kept)
    assert [path.name for path in kept.iterdir()] == ["README.md"] and (kept / "README.md").read_text() == "mine"
    alexnet.save_pretrained(model_file, kept, force=True)
    assert alexnet.from_pretrained(kept).classes[0] == "cat"


def test_a_damaged_model_is_not_handed_on(tmp_path, model_file):
    model_file.write_bytes(model_file.read_bytes()[:-4] + np.float32("nan").tobytes())
    with pytest.raises(WeightsError, match="not finite"):
        alexnet.save_pretrained(model_file, tmp_path / "shared")
    assert not (tmp_path / "shared").exists()


# ------------------------------------------------------------------------------------------------- hostile folders


class Marker:
    """Leaves a file where something unpickles it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


def pickled(folder, place):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Marker(place)))


def only_pickled(folder, place):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Marker(place)))


def cut(folder, place):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def huge_head(folder, place):
    (folder / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")


def a_folder(folder, place):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()


def lost(folder, place):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(place)


def empty(folder, place):
    (folder / "model.safetensors").write_bytes(b"")


def untabled(folder, place):
    written(folder / "model.safetensors", trained=["a list"])


REFUSALS = {
    pickled: WeightsError,
    only_pickled: UsageError,
    cut: WeightsError,
    huge_head: WeightsError,
    a_folder: UsageError,
    lost: UsageError,
    empty: WeightsError,
    untabled: WeightsError,
}


@pytest.mark.parametrize("harm", REFUSALS, ids=lambda harm: harm.__name__)
def test_a_hostile_folder_is_refused_as_load_refuses_it(tmp_path, model_file, harm):
    folder, place = alexnet.save_pretrained(model_file, tmp_path / "shared"), tmp_path / "was-run"
    (folder / "model.safetensors").unlink()  # another name of the model's own file
    (folder / "model.safetensors").write_bytes(model_file.read_bytes())
    harm(folder, place)
    with pytest.raises(AlexNetError) as caught:
        alexnet.from_pretrained(folder)
    with pytest.raises(AlexNetError) as loaded:
        alexnet.load(folder)
    assert (type(caught.value), str(caught.value)) == (REFUSALS[harm], str(loaded.value))
    assert "\n" not in str(caught.value) and not place.exists()


def test_what_else_lies_in_a_folder_changes_nothing(tmp_path, model_file):
    folder = alexnet.save_pretrained(model_file, tmp_path / "shared")
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Evil"}, "classes": ["x", "y"]')
    (folder / "evil.py").write_text("raise SystemExit")
    assert alexnet.from_pretrained(folder).classes == files.describe(model_file).classes


# --------------------------------------------------------------------------------------------------------- the site


class Site(BaseHTTPRequestHandler):
    """As much of Hugging Face as fetching a file and committing a folder take. `repositories`: name → file → bytes."""

    repositories: dict[str, dict[str, bytes]]
    asked: list[str]

    def log_message(self, *arguments):
        self.asked.append(f"{self.command} {self.path}")

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        owner, name, _, revision, file = self.path.strip("/").split("/", 4)
        held = self.repositories.get(f"{owner}/{name}")
        if held is None:
            return self.answer(404, X_Error_Code="RepoNotFound")
        if revision not in ("main", COMMIT):
            return self.answer(404, X_Error_Code="RevisionNotFound")
        if file not in held:
            return self.answer(404, X_Error_Code="EntryNotFound")
        etag = f'"{hashlib.sha256(held[file]).hexdigest()}"'
        return self.answer(200, held[file], X_Repo_Commit=COMMIT, ETag=etag)

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        url = f"http://{self.headers['Host']}/new/repository"
        if self.path.endswith("/create"):
            document = {"url": url, "name": "new/repository"}
        elif self.path.endswith("/validate-yaml"):
            document = {"errors": [], "warnings": []}
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            document = {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]}
        else:
            assert self.path.endswith("/commit/main")
            lines = [json.loads(line) for line in body.splitlines()]
            values = [line["value"] for line in lines if line["key"] == "file"]
            sent = {value["path"]: base64.b64decode(value["content"]) for value in values}
            self.repositories["new/repository"] = sent
            document = {"commitUrl": f"{url}/commit/{COMMIT}", "commitOid": COMMIT}
        return self.answer(200, json.dumps(document).encode(), Content_Type="application/json")


@pytest.fixture
def site(model_file):
    """The stand-in, holding a good model, a damaged one and an empty repository."""
    good = model_file.read_bytes()
    held = {"good": {"model.safetensors": good}, "bad": {"model.safetensors": good[:-9]}, "empty": {}}
    handler = type("Site", (Site,), {"repositories": {f"us/{k}": v for k, v in held.items()}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def python(text, site, home, *arguments, **environment):
    """A process of its own: huggingface_hub takes its settings when it is imported."""
    address = f"http://127.0.0.1:{site.server_address[1]}"
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "hf_test"}
    command = [sys.executable, "-c", text, *map(str, arguments)]
    environment = {**os.environ, **settings, **environment}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


FETCH = """
import json, sys, alexnet
from alexnet.errors import AlexNetError
found = []
for name in sys.argv[1:]:
    name, _, revision = name.partition("@")
    try:
        found.append(list(alexnet.from_pretrained(name, revision or None).classes))
    except AlexNetError as error:
        found.append([error.exit_code, str(error)])
print(json.dumps(found))
"""


def test_a_repository_is_fetched_once_and_checked(tmp_path, site):
    home, asked = tmp_path / "home", site.RequestHandlerClass.asked
    names = ["us/good", "hf:us/good", f"us/good@{COMMIT}", "us/bad", "us/empty", "us/none", "us/good@other", "us/a b"]
    *good, damaged, empty, none, other, name = python(FETCH, site, home, *names)
    assert good == [list(CLASSES)] * 3
    assert [code for code, _ in (damaged, empty, none, other, name)] == [4, 2, 2, 2, 2]
    assert "not a whole safetensors file" in damaged[1]
    assert all("\n" not in text and text.startswith("us/") for _, text in (empty, none, other, name))
    assert len([line for line in asked if line.startswith("GET /us/good/")]) == 1
    before = len(asked)
    fetched, (code, text) = python(FETCH, site, home, "us/good", "us/fine", HF_HUB_OFFLINE="1")
    assert fetched == list(CLASSES) and code == 5 and "was not fetched before; fetch its model.safetensors" in text
    assert len(asked) == before


PUSH = """
import json, sys, alexnet
alexnet.save_pretrained(sys.argv[1], sys.argv[2], push_to="new/repository")
print(json.dumps(list(alexnet.from_pretrained("new/repository").classes)))
"""


def test_what_is_pushed_comes_back(tmp_path, site, model_file):
    folder = tmp_path / "shared"
    assert python(PUSH, site, tmp_path / "home", model_file, folder)[0] == "cat"
    sent = site.RequestHandlerClass.repositories["new/repository"]
    assert sent == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_without_the_library_the_remedy_is_named(tmp_path, model_file, monkeypatch):
    monkeypatch.setattr("alexnet.weights.hub.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'alexnet\[hub\]'"):
        alexnet.save_pretrained(model_file, tmp_path / "shared")
    with pytest.raises(UsageError, match=r"pip install 'alexnet\[hub\]'"):
        alexnet.from_pretrained("us/good")
