"""Models as people share them on Hugging Face: a folder with the model file, its description as JSON and a model card.

The model file alone is read back, since it says everything about itself and is checked as any other; what stands beside
it is for people and for the site.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alexnet
from alexnet.errors import NetworkError, StorageError, UsageError
from alexnet.storage import link, new_folder, write_json, write_text
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.model import Model, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from huggingface_hub import EvalResult

    from alexnet.network.inference import Precision

CONFIG, CARD = "config.json", "README.md"
LIBRARY = "alexnet"
TASK = "image-classification"  # Hugging Face's word for it
NAMED = 50  # classes that a card lists


def from_pretrained(
    name: str | os.PathLike[str], revision: str | None = None, device: str = "cpu", precision: Precision = "auto"
) -> Model:
    """The model in a folder that `save_pretrained` wrote, or of a repository `owner/name` on Hugging Face.

    A folder of that name goes first; a repository's model file is fetched unless huggingface_hub's cache has it.
    `revision` is a branch, tag or commit; only a commit is the same file for ever. `device` and `precision` are
    those of `alexnet.load`. Raises UsageError where there is no such model, NetworkError where it cannot be fetched,
    StorageError where there is no room, WeightsError when it is damaged.
    """
    if os.path.isdir(name):
        return load(name, device, precision)
    return load(_fetched(str(name).removeprefix("hf:"), revision), device, precision)


def save_pretrained(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    push_to: str | None = None,
    license: str | None = None,
    force: bool = False,
) -> Path:
    """Write the folder for a run folder or model file, and with `push_to="owner/name"` send it to Hugging Face, signed
    in as huggingface_hub is. The folder.

    `license` is what the weights may be used under, one of Hugging Face's identifiers ("mit", …); without it the card
    names none. The folder must be new or empty unless `force`. Raises UsageError, WeightsError when the model is
    damaged, StorageError, NetworkError.
    """
    from alexnet.weights import torch_engine

    _look_for_library()
    folder, path = Path(folder), files.locate(model)
    description = files.describe(path)
    torch_engine.assemble(path, description)  # nothing damaged is handed on
    new_folder(folder, force, "force=True")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from None
    link(path, folder / files.SHARED)
    write_json(folder / CONFIG, config(description))
    write_text(folder / CARD, card(description, push_to or folder.name, license))
    if push_to:
        _push(folder, push_to)
    return folder


def config(description: Description) -> dict[str, Any]:
    """What config.json says: the description, and what Hugging Face looks for."""
    facts = {"library_name": LIBRARY, "architecture": description.variant.name, "num_classes": len(description.classes)}
    return facts | description.to_json()


# -------------------------------------------------------------------------------------------------------- model card


def card(description: Description, name: str, license: str | None) -> str:
    """The model card: YAML for the site, Markdown for people."""
    from huggingface_hub import ModelCardData

    results = _results(description)
    data = ModelCardData(
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=["alexnet", TASK, description.variant.name],
        license=license,
        metrics=["accuracy"] if results else None,
        model_name=name if results else None,  # the results stand under it
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n{_text(description, name)}"


def _scores(description: Description) -> dict[str, dict[str, float]]:
    """What was measured on each part of the data."""
    found = {part: scores for part, scores in description.scores.items() if isinstance(scores, dict)}
    return {part: scores for part, scores in found.items() if isinstance(scores.get("top1"), float)}


def _data(description: Description) -> str:
    return _line(description.data.get("name", "unknown"))


def _results(description: Description) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    data = _data(description)
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=data,
            dataset_name=data,
            dataset_split=_line(part),
            metric_type="accuracy",
            metric_name=name,
            metric_value=scores[key],
        )
        for part, scores in _scores(description).items()
        for key, name in (("top1", "top-1 accuracy"), ("top5", "top-5 accuracy"))
        if isinstance(scores.get(key), float)
    ]


def _text(description: Description, name: str) -> str:
    variant, rule, classes = description.variant, description.input, description.classes
    named = ", ".join(map(_line, classes[:NAMED])) + (", …" if len(classes) > NAMED else "")
    scores = "".join(f"- {_line(part)}: top-1 {found['top1']:.2%}\n" for part, found in _scores(description).items())
    return f"""
# {_line(name)}

A classifier of pictures into {len(classes):,} classes: {named}.

- network: {_line(variant.name)}, {_line(variant.title)} ({_line(variant.source)})
- trained on: {_data(description)}
- input: {rule.resize} to {rule.stored} x {rule.stored}, centre {rule.size} x {rule.size}
{scores}
It knows these classes and nothing else: whatever it is shown, it answers with one of them.

```python
import alexnet

model = alexnet.from_pretrained({name!r})
model.predict("picture.jpg")
```

`{files.SHARED}` holds the weights with preprocessing and class names; `{CONFIG}` says the same for people.
"""


def _line(text: Any) -> str:
    """On one line, whatever a file says."""
    return " ".join(str(text).split())


# ---------------------------------------------------------------------------------------------------------- the site


def _fetched(name: str, revision: str | None) -> Path:
    """The model file of a repository, in huggingface_hub's cache."""
    _look_for_library()
    from huggingface_hub import hf_hub_download

    version = alexnet.__version__
    with _asking_for(name):
        path = hf_hub_download(name, files.SHARED, revision=revision, library_name=LIBRARY, library_version=version)
    return Path(path)


def _push(folder: Path, name: str) -> None:
    """Make the repository if need be, and put the folder's three files there in one commit."""
    from huggingface_hub import HfApi

    with _asking_for(name):
        site = HfApi(library_name=LIBRARY, library_version=alexnet.__version__)
        site.create_repo(name, exist_ok=True)
        site.upload_folder(repo_id=name, folder_path=folder, allow_patterns=[files.SHARED, CONFIG, CARD])


def _look_for_library() -> None:
    if find_spec("huggingface_hub") is None:
        raise UsageError("Hugging Face's models need huggingface_hub: pip install 'alexnet[hub]'")


@contextmanager
def _asking_for(name: str) -> Iterator[None]:
    """What huggingface_hub raises, as an error of ours on one line."""
    from huggingface_hub import errors

    not_there = errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError
    try:
        yield
    except errors.HFValidationError:
        raise UsageError(f"{name}: no such folder, and no name of a repository as Hugging Face has them") from None
    except not_there as error:
        raise UsageError(f"{name}: not found on Hugging Face: {_line(error)}") from None
    except errors.LocalEntryNotFoundError:
        way = f"fetch its {files.SHARED} where there is a network, and give the folder that it lies in"
        raise NetworkError(f"{name}: Hugging Face does not answer, and it was not fetched before; {way}") from None
    except OSError as error:
        if error.errno is not None:
            raise StorageError(f"{error.filename or name}: {error.strerror}") from None
        raise NetworkError(f"{name}: {_line(error)}") from None
    except (errors.HTTPError, ValueError, RuntimeError) as error:  # type: ignore[attr-defined]  # transport, checks
        raise NetworkError(f"{name}: could not be fetched: {_line(error)}") from None
