"""Every command and every line of Python in the README is run here, on small data."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language ('' for plain ones)."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_readme_as_a_person_follows_it(tmp_path, easy_picture, alexnet):
    """The commands on a small network, the session in Python on the whole one; an epoch each, for the sake of time."""
    for kind, name in enumerate(("ash", "birch")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            easy_picture(kind, number).save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "holiday").mkdir()
    for file in ("photo.jpg", "cat.jpg", "dog.jpg", "holiday/1.png"):
        easy_picture(0, 50).save(tmp_path / file)
    commands = [line.split("#")[0] for block in blocks("") for line in block.splitlines() if line.startswith("alexnet")]
    assert [shlex.split(command)[1] for command in commands] == [
        *("predict", "check", "train", "evaluate", "predict", "export", "predict")
    ]
    commands[2] += " --epochs 1 --set size=67"
    for command in commands:
        outcome = alexnet(*shlex.split(command)[1:])
        assert outcome.code == 0, f"{command}\n{outcome.err}"
    (python,) = blocks("python")
    quicker = python.replace("epochs=10", "epochs=1")
    assert quicker != python
    outcome = subprocess.run([sys.executable, "-c", quicker], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0 and "'label'" in outcome.stdout, outcome.stderr


def test_what_the_readme_names_is_there():
    root = Path(__file__).parent.parent
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / target).exists(), target
    for command in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{command}:", (root / "Makefile").read_text(), re.MULTILINE), command


def test_the_readme_counts_as_the_program_does():
    from alexnet.network.summary import summary
    from alexnet.network.variants import VARIANTS, variant

    rows = re.findall(r"^\| `([\w-]+)` \| ([\d,]+) \|", README, re.MULTILINE)
    assert dict(rows) == {name: f"{summary(variant(name))['parameters']:,}" for name in VARIANTS}
