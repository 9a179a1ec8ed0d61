"""Every command × option × kind of fault: no traceback, the right code, one line, nothing touched, nothing left.

The table is made from the program's own commands (`faults`): an option has its attacks from the day it is there.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import faults
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import Answer, run

COMMANDS = faults.commands()
SLOW = (  # met after seconds of drawing and measuring, or by a model process
    "bench [DATA]: a damaged picture",
    "serve --model: damaged: none.onnx",
    "serve --model: damaged: empty.onnx",
)


def complaint(attack: faults.Attack, answer: Answer) -> str:
    """What is wrong with an answer; empty where nothing is."""
    lines, said = answer.err.splitlines(), answer.err + answer.out
    if answer.out and "--json" in attack.line:
        json.loads(answer.out)
    for listed in Path.cwd().glob("new/index.csv"):  # where features says what it refuses
        said += listed.read_text()
    if answer.code not in attack.fault.codes:
        return f"ends with {answer.code}, not {attack.fault.codes}"
    if answer.code == 0:  # a text of which nothing is known may be all right
        return "" if (answer.err + answer.out).replace("\n", "").isprintable() else "control signs"
    if attack.command == "check" and answer.code == 3:
        lines.append("alexnet")  # the report says it
    if not lines or not lines[-1].startswith("alexnet") or sum(line.startswith("alexnet") for line in lines) > 1:
        return "not one message, at the end"
    if "Traceback" in said or "Warning" in answer.err or not (answer.err + answer.out).replace("\n", "").isprintable():
        return "a traceback, a warning or control signs"
    if attack.fault.says not in said:
        return f"does not say {attack.fault.says!r}"
    if not any(name in said for name in names(attack)):
        return f"says none of {names(attack)}"
    return "an answer beside the refusal" if answer.out and answer.code not in (3, 5) else ""


def names(attack: faults.Attack) -> list[str]:
    """How the thing that is wrong may be called: the option, or the value."""
    value = attack.fault.value
    if value is None:
        return [attack.place]
    spelt = [ascii(text)[1:-1] for text in (value, value.strip(), " ".join(value.split()))]
    spelt += [json.dumps(value)[1:-1], attack.fault.says or value]
    return [attack.place, *(spelt if value else ["''", '""', " .: ", "listed in", str(Path.cwd())])]


def attacked(attack: faults.Attack) -> str:
    """Carry an attack out in an empty folder, and say what is wrong with what comes of it."""
    answer = run(*attack.line)
    wrong = complaint(attack, answer)
    left = [str(path) for path in Path.cwd().rglob("*")]
    if left and answer.code in (2, 4, 7) and not wrong:
        wrong = f"left {left}"
    return f"{attack}: {wrong}: {answer.err[-400:]}" if wrong else ""


def carried_out(chosen: list[faults.Attack]) -> list[str]:
    """What went wrong; every other attack asks for JSON."""
    wrong = []
    for number, attack in enumerate(chosen):
        place = Path(f"{number}").absolute()
        place.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            json_too = ("--json",) if number % 2 and attack.fault.value is not None else ()
            wrong.append(attacked(faults.with_words(attack, json_too)))
    return [line for line in wrong if line]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_fault_of_every_option_is_refused_in_one_line(name: str, world: Path, desk: Path) -> None:
    chosen = [attack for attack in faults.attacks(world) if attack.command == name and str(attack) not in SLOW]
    wrong = carried_out(chosen)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_faults_that_are_met_late(world: Path, desk: Path) -> None:
    chosen = [attack for attack in faults.attacks(world) if str(attack) in SLOW]
    wrong = carried_out(chosen)
    assert len(chosen) == len(SLOW) and not wrong, "\n".join(wrong)


def test_every_number_has_bounds() -> None:
    """There is always a value that is too much; `door.COUNT` does for most."""
    numbers = {
        f"{name} {faults.typed(parameter)}": parameter.type
        for name, command in COMMANDS.items()
        for parameter in command.params
        if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType)
    }
    assert len(numbers) > 40
    bounds = {name: (getattr(kind, "min", None), getattr(kind, "max", None)) for name, kind in numbers.items()}
    assert [name for name, both in bounds.items() if None in both] == []


def test_every_command_and_every_option_has_its_help() -> None:
    """A command with an example, too."""
    bare = [
        name for name, command in COMMANDS.items() if not command.help or "Example: alexnet " not in str(command.epilog)
    ]
    options = ((name, p) for name, command in COMMANDS.items() for p in command.params if isinstance(p, click.Option))
    assert bare + [f"{name} {option.opts[0]}" for name, option in options if not option.help] == []


LARGEST = {
    "predict --top": "W/picture.png --model W/model.safetensors --top 1000000",
    "neighbours --count": "W/picture.png --index W/index --count 1000000",
    "explain --window": "W/picture.png --model W/model.safetensors --method occlusion --out new --window 1000000",
    "explain --stride": "W/picture.png --model W/model.safetensors --method occlusion --out new --stride 1000000",
    "summary --classes": "lenet-5 --classes 1000000",
    "summary --channels": "lenet-5 --channels 1000000",
    "summary --input": "krizhevsky-2012 --explain --input 1000000",
    "check limits": f"W/photos --max-pixels {10**12} --max-frames {10**12} --max-bytes {10**12}",
}


@pytest.mark.parametrize("line", LARGEST.values(), ids=LARGEST.keys())
def test_the_largest_numbers_that_are_taken_do_no_harm(line: str, world: Path, desk: Path, request) -> None:
    words = [request.node.callspec.id.split()[0], *line.replace("W/", f"{world}/").split()]
    answer = run(*words, "--json")
    assert answer.code in (0, 2) and "Traceback" not in answer.err, answer.err
    assert (answer.code == 0 and answer.json) or len(answer.err.splitlines()) == 1


def test_an_option_given_twice_has_its_last_value() -> None:
    """Every option with a value, but for those that gather theirs; parsed alone, so that nothing is carried out."""
    tried = 0
    for name, command in COMMANDS.items():
        needed = [p for p in command.params if p.required]
        for option in (p for p in command.params if isinstance(p, click.Option) and not p.is_flag and not p.multiple):
            first, last = values(option)
            words = [f"{p.opts[0]}={values(p)[0]}" if isinstance(p, click.Option) else values(p)[0] for p in needed]
            given = command.make_context(name, [*words, f"{option.opts[0]}={first}", f"{option.opts[0]}={last}"])
            assert given.params[option.name] == option.type(last, option, given), (name, option.name)
            tried += 1
    assert tried > 100


def values(option: click.Parameter) -> tuple[str, str]:
    """Two that an option takes."""
    match option.type:
        case click.Choice(choices=choices):
            return str(choices[0]), str(choices[-1])
        case click.IntRange() | click.FloatRange():
            low = int(option.type.min or 0)
            return str(low), str(low + 1)
        case click.types.FuncParamType():
            return "0/2", "1/2"
    return "a", "b"


CONFLICTS = {
    "duplicates": ("check W/photos --duplicates", "--skip-list-out"),
    "resume and data": ("train W/photos --resume W/run", "leave out data"),
    "resume and recipe": ("train --resume W/run --recipe fast", "leave out recipe"),
    "resume and force": ("train --resume W/run --force", "leave out force"),
    "resume and weights": ("train --resume W/run --weights W/model.safetensors", "leave out weights"),
    "another variant than the weights'": (
        "train W/photos --weights W/model.safetensors --variant batch-norm --out new",
        "another network",
    ),
    "a model alone": ("evaluate W/model.safetensors", "MODEL... DATA"),
    "kernels of pictures": ("explain W/picture.png --model W/model.safetensors --method kernels --out new", "takes no"),
    "patches of both": (
        "explain W/picture.png --data W/photos --model W/model.safetensors --method patches --out new",
        "either",
    ),
    "patches of nothing": ("explain --model W/model.safetensors --method patches --out new", "either"),
    "saliency of nothing": ("explain --model W/model.safetensors --method saliency --out new", "at least one INPUT"),
    "a window for saliency": (
        "explain W/picture.png --model W/model.safetensors --method saliency --window 3 --out new",
        "--method occlusion",
    ),
    "a part of no data": (
        "explain W/picture.png --model W/model.safetensors --method patches --split test --out new",
        "--data",
    ),
    "features of both": (
        "features W/picture.png --data W/photos --model W/model.safetensors --out new",
        "one of the two",
    ),
    "features of nothing": ("features --model W/model.safetensors --out new", "one of the two"),
    "int8 elsewhere": ("export W/model.safetensors --to pt2 --int8 --out new.pt2", "--to onnx"),
    "another ending": ("export W/model.safetensors --to onnx --out new.keras", ".onnx"),
    "one run": ("compare W/run", "two runs"),
    "two tokens": ("serve --model W/model.safetensors --token a --token-file W/mine.txt", "exclude"),
    "two batches": ("bench train --batch 1 --batch 2", "one --batch"),
    "data for train": ("bench train W/photos", "takes no DATA"),
    "files of what has no name": ("prepare W/photos --from W/photos --out new", "known by name"),
    "too many data sets": ("experiment dropout --data W/photos --data W/photos --data W/photos", "--data"),
    "nothing to report": ("experiment dropout --report --out new", "nothing to report"),
    "force over a folder": ("check W/photos --out W/folder.json --force", "is a folder"),
    "force over pictures": ("prepare W/photos --out W/photos --force", "is not a store"),
    "a run over pictures": ("train W/photos --out W/photos --force", "is not a run folder"),
    "features over pictures": (
        "features W/picture.png --model W/model.safetensors --out W/photos --force",
        "no part of features",
    ),
    "an experiment over pictures": ("experiment dropout --quick --out W/photos", "something else"),
    "a command of a group": ("weights ftech torchvision", "did you mean 'fetch'"),
    "another of a group": ("datasets shwo W/photos", "did you mean 'show'"),
    "too many arguments": ("summary lenet-5 lenet-5", "unexpected extra argument"),
    "a missing command": ("nothing", "unknown command"),
}


@pytest.mark.parametrize("line, says", CONFLICTS.values(), ids=CONFLICTS.keys())
def test_what_does_not_go_together(line: str, says: str, world: Path, desk: Path) -> None:
    answer = run(*line.replace("W/", f"{world}/").split())
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1), answer.err
    assert says in answer.err and not list(desk.iterdir())


def test_the_document_has_the_numbers_of_today() -> None:
    assert faults.table() in faults.DOCUMENT.read_text("utf-8"), f"out of date: {faults.main.__doc__}"


QUICK = [
    name for name in COMMANDS if name not in ("train", "serve", "bench", "experiment", "compress", "weights fetch")
]


@st.composite
def lines(draw: st.DrawFn, world: Path) -> list[str]:
    """A command with any of its options, in any order, each with a value that it may have or not."""
    name = draw(st.sampled_from(QUICK))
    usual = [word.replace("W/", f"{world}/").replace("OUT", "new") for word in faults.USUAL.get(name, "").split()]
    words = [*usual] if draw(st.booleans()) else []
    for parameter in draw(st.lists(st.sampled_from(COMMANDS[name].params), max_size=4)):
        wrong = [fault.value for fault in faults.faults(name, parameter, world) if fault.value is not None]
        value = draw(st.sampled_from([*wrong, *WORDS, *usual]))
        option = isinstance(parameter, click.Option)
        flag = option and parameter.is_flag
        words += [parameter.opts[0]] if flag else [f"{parameter.opts[0]}={value}"] if option else [value]
    return [*name.split(), *words]


WORDS = ("1", "2", "0", "new", "a,b", "conv1", "fc4", "class 0", "0-3", "test", "http://127.0.0.1:9/x.png", "--", "*")


@pytest.mark.slow
def test_any_words(world: Path, desk: Path) -> None:
    """2,000 lines of commands: whatever is asked, an answer or a refusal, in the codes that there are."""

    @settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(lines(world))
    def answered(line: list[str]) -> None:
        answer = run(*line)
        for place in desk.iterdir():
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        assert answer.code in (0, 2, 3, 4, 5, 7) and "Traceback" not in answer.err
        assert answer.code == 0 or answer.err or answer.out
        assert (answer.out + answer.err).replace("\n", "").isprintable()
        if "--json" in line and "--" not in line and answer.out and "--help" not in line:
            json.loads(answer.out)

    answered()
