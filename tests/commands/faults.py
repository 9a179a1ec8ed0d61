"""What can be wrong with a command line: for every option of every command, told from the program's own commands, each
kind of fault that something of its type and meaning can have. A new option takes part by its type and name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from alexnet.cli.main import cli

DAMAGED = {  # files that claim to be models → what is done to a whole one
    "cut.safetensors": lambda model: model[:-100],
    "empty.safetensors": lambda model: b"",
    "noise.safetensors": lambda model: bytes(range(256)) * 8,
    "lying.safetensors": lambda model: (2**62).to_bytes(8, "little") + model[8:],
    "text.safetensors": lambda model: b"<html>not found</html>",
    "none.onnx": lambda model: b"\xff" * 100,
    "empty.onnx": lambda model: b"",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "command-line.md"

LONG = "x" * 300  # no file system takes such a name
CONTROL = "two\nlines \x1b[31mred\t"
BIG = str(10**30)


@dataclass(frozen=True)
class Fault:
    """A value that something cannot have, what may come of it, and what must be said then."""

    name: str
    value: str | None  # None: the option stands at the end, without one
    codes: tuple[int, ...] = (2,)
    says: str = ""  # beside the option or the value, one of which is always said


@dataclass(frozen=True)
class Attack:
    """A command line with one fault in it."""

    command: str
    place: str  # the option, or the argument as the help has it
    fault: Fault
    line: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.command} {self.place}: {self.fault.name}"


def commands() -> dict[str, click.Command]:
    """Every command by what is typed, groups that answer by themselves too."""
    return dict(_walk(cli, ()))


def _walk(group: click.Group, above: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield " ".join((*above, name)), command
        if isinstance(command, click.Group):
            yield from _walk(command, (*above, name))


def typed(parameter: click.Parameter) -> str:
    """How the help names it."""
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(click.Context(cli))


# What each command is given besides the fault. W stands for the folder of files, OUT for a name that is free.
USUAL = {
    "summary": "lenet-5",
    "datasets show": "W/photos --out OUT.png",
    "check": "W/photos",
    "prepare": "W/photos --out OUT --size 32",
    "train": "W/photos --variant lenet-5 --epochs 1 --out OUT",
    "evaluate": "W/model.safetensors W/photos",
    "predict": "W/picture.png --model W/model.safetensors",
    "explain": "W/picture.png --model W/model.safetensors --method saliency --out OUT",
    "compare": "W/run W/again",
    "features": "W/picture.png --model W/model.safetensors --out OUT",
    "neighbours": "W/picture.png --index W/index",
    "serve": "--model W/model.safetensors --port 0",
    "weights fetch": "torchvision",
    "weights convert": "W/model.safetensors --out OUT.safetensors",
    "export": "W/model.safetensors --to safetensors --out OUT.safetensors",
    "compress": "W/model.safetensors --data W/photos --out OUT.safetensors",
    "experiment": "dropout --quick",
    "bench": "predict --variant lenet-5 --turns 1",
}

# The same, where an option does not go with that.
BESIDE = {
    ("explain", "--layer"): "W/picture.png --model W/model.safetensors --out OUT",
    ("explain", "--window"): "W/picture.png --model W/model.safetensors --method occlusion --out OUT",
    ("explain", "--stride"): "W/picture.png --model W/model.safetensors --method occlusion --out OUT",
    ("explain", "--data"): "--model W/model.safetensors --method patches --out OUT",
    ("explain", "--split"): "--model W/model.safetensors --method patches --data W/photos --out OUT",
    ("explain", "--units"): "--model W/model.safetensors --method patches --data W/photos --out OUT",
    ("explain", "--count"): "--model W/model.safetensors --method patches --data W/photos --out OUT",
    ("features", "--data"): "--model W/model.safetensors --out OUT",
    ("features", "--split"): "--model W/model.safetensors --data W/photos --out OUT",
    ("train", "--resume"): "",
    ("prepare", "--from"): "cifar10 --out OUT",
    ("train", "--set"): "W/photos --variant lenet-5 --out OUT",
    ("serve", "--token"): "--model W/nothing",
    ("bench", "--model"): "serve",
    ("experiment", "--report"): "dropout",
}

# What stands before an argument and behind it.
AROUND = {
    "evaluate MODEL... DATA": ((), ("W/photos",)),
    "compare RUN...": (("W/run",), ()),
    "bench [DATA]": (("data",), ()),
}


def attacks(world: Path) -> Iterator[Attack]:
    """Every command × option × fault."""
    for name, command in commands().items():
        for parameter in command.params:
            place = typed(parameter)
            for fault in faults(name, parameter, world):
                yield Attack(name, place, fault, _line(name, parameter, place, fault, world))
            if place.startswith("--") and len(place) > 6:
                wrong = f"{place[:-2]}{place[-1]}{place[-2]}"
                if wrong != place:
                    misspelt = Fault("misspelt itself", wrong, says=place)
                    yield Attack(name, place, misspelt, (*name.split(), wrong))


def with_words(attack: Attack, words: tuple[str, ...]) -> Attack:
    """The attack with more words before the fault, which stays the last."""
    name = attack.command.split()
    return replace(attack, line=(*name, *words, *attack.line[len(name) :]))


def _line(name: str, parameter: click.Parameter, place: str, fault: Fault, world: Path) -> tuple[str, ...]:
    usual = BESIDE.get((name, place), USUAL.get(name, ""))
    words = usual.split()
    if isinstance(parameter, click.Option):
        line = [*words, place if fault.value is None else f"{place}={fault.value}"]
    elif fault.value is None:
        line = _options(words)
    else:
        before, behind = AROUND.get(f"{name} {place}", ((), ()))
        line = [*before, fault.value, *behind, *_options(words)]
    return (*name.split(), *(word.replace("W/", f"{world}/").replace("OUT", "new") for word in line))


def _options(words: list[str]) -> list[str]:
    return words[next((place for place, word in enumerate(words) if word.startswith("-")), len(words)) :]


# -------------------------------------------------------------------------------------------------- kinds of parameters


def faults(command: str, parameter: click.Parameter, world: Path) -> list[Fault]:
    """What can be wrong with an option or argument, by its type, else by its name."""
    found = []
    flag = isinstance(parameter, click.Option) and parameter.is_flag
    if isinstance(parameter, click.Option) and not flag:
        found.append(Fault("no value", None, says="requires an argument"))
    elif not flag and parameter.required:
        found.append(Fault("not given", None, says="Missing argument"))
    if flag:
        return [Fault("a value", "yes", says="does not take a value")]
    match parameter.type:
        case click.Choice(choices=choices):
            return [*found, *_choice(list(choices))]
        case click.IntRange() | click.FloatRange():
            return [*found, *_number(parameter.type)]
        case click.Path():
            return [*found, *_path(command, parameter, world)]
        case click.types.StringParamType() | click.types.FuncParamType():
            return [*found, *_text(command, parameter, world)]
    raise AssertionError(f"{command} {parameter.name}: no faults are known for values of type {parameter.type}")


def _choice(choices: list[str]) -> list[Fault]:
    near = choices[0][:-1] + "q"
    return [
        Fault(what, value, says=choices[-1])
        for what, value in {
            "not one of them": "purple",
            "misspelt": near,
            "empty": "",
            "control signs": CONTROL,
        }.items()
    ]


def _number(kind: click.IntRange | click.FloatRange) -> list[Fault]:
    """Beyond both bounds, and what is no number."""
    values = {"no number": "few", "empty": "", "not finite": "nan", "infinite": "inf", "control signs": CONTROL}
    if isinstance(kind, click.IntRange):
        values |= {"fraction": "1.5"}
    if kind.min is not None:
        values |= {"below": str(kind.min - 1), "far below": f"-{BIG}"}
    if kind.max is not None:
        values |= {"above": str(kind.max + 1), "huge": BIG, "thousands of digits": "9" * 5000}
    return [Fault(what, value) for what, value in values.items()]


def _path(command: str, parameter: click.Parameter, world: Path) -> list[Fault]:
    if parameter.name in ("out", "sheet", "plot", "skip_list_out"):
        folder = "older" in (getattr(parameter, "help", None) or "")
        return _out_folder(world) if folder else _out_file(command, parameter, world)
    if parameter.name in ("resume", "runs"):
        return _run(world)
    if parameter.name == "folder":
        return _index(world)
    return _in_file(world)


def _ending(command: str, parameter: click.Parameter) -> str:
    """An ending that the command writes: the first one that the help names, or the usual line's."""
    words = [word.strip("(),;.") for word in (getattr(parameter, "help", None) or "").split() if "." in word[:2]]
    return (
        f".{words[0]}"
        if words
        else (Path(USUAL[command].split()[-1]).suffix if "OUT." in USUAL.get(command, "") else "")
    )


def _out_file(command: str, parameter: click.Parameter, world: Path) -> list[Fault]:
    ending = _ending(command, parameter)
    found = [
        Fault("exists", str(world / f"mine{ending}"), says="--force"),
        Fault("a folder in its place", str(world / f"folder{ending}")),
        Fault("no folder", f"none/there{ending}", says="no folder"),
        Fault("below a file", str(world / "picture.png" / f"new{ending}"), says="no folder"),
        Fault("nobody may write there", f"/proc/new{ending}", (7,)),
        Fault("too long", f"{LONG}{ending}", (2, 7)),
        Fault("too long a folder", f"{LONG}/new{ending}", (2, 7)),
    ]
    if ending:
        found += [Fault("of another kind", "new.doc", says=ending), Fault("empty", "", says=ending)]
        found += [Fault("no ending", "new", says=ending)]
    return found


def _out_folder(world: Path) -> list[Fault]:
    return [
        Fault("exists", str(world / "photos")),
        Fault("a file in its place", str(world / "mine.txt")),
        Fault("below a file", str(world / "picture.png" / "new"), (2, 7)),
        Fault("nobody may write there", "/proc/new", (7,)),
        Fault("too long", LONG, (2, 7)),
        Fault("the folder one is in", str(world), (2,)),
    ]


def _in_file(world: Path) -> list[Fault]:
    return [
        Fault("not there", "nowhere.csv"),
        Fault("empty", ""),
        Fault("a folder", str(world / "photos")),
        Fault("too long", LONG),
        Fault("below a file", str(world / "picture.png" / "x")),
        Fault("control signs", CONTROL),
        Fault("a link to itself", str(world / "loop")),
    ]


def _run(world: Path) -> list[Fault]:
    return [
        Fault("not there", "nowhere"),
        Fault("empty", ""),
        Fault("no run", str(world / "photos")),
        Fault("a file", str(world / "picture.png")),
        Fault("damaged", str(world / "broken-run"), (2, 4)),
        Fault("too long", LONG),
        Fault("control signs", CONTROL),
        Fault("a link to itself", str(world / "loop")),
    ]


def _index(world: Path) -> list[Fault]:
    return [*_run(world)[:4], Fault("damaged", str(world / "broken-index")), *_run(world)[5:]]


def _model(world: Path) -> list[Fault]:
    return [
        Fault("not there", "nowhere", says="no such model"),
        Fault("misspelt", "torchvison", says="did you mean 'torchvision'"),
        Fault("not fetched", "torchvision", says="weights fetch"),
        Fault("empty", ""),
        Fault("a folder of pictures", str(world / "photos")),
        Fault("too long", LONG),
        Fault("control signs", CONTROL),
        Fault("a link to itself", str(world / "loop")),
        Fault("a pipe", str(world / "pipe")),
        *(Fault(f"damaged: {name}", str(world / "damaged" / name), (4,)) for name in DAMAGED),
    ]


def _data(world: Path) -> list[Fault]:
    return [
        Fault("not there", "nowhere", says="no such file or folder"),
        Fault("not here", "cifar10", says="download it"),
        Fault("empty", ""),
        Fault("no data set", str(world / "picture.png"), says="expected"),
        Fault("no pictures", str(world / "folder.png")),
        Fault("a cut archive", str(world / "cut.zip")),
        Fault("no archive", str(world / "no.tar.gz")),
        Fault("a table of nothing", str(world / "mine.csv")),
        Fault("a damaged picture", str(world / "bad"), (3,), "cut.png"),
        Fault("a damaged store", str(world / "broken-store"), (2, 4)),
        Fault("too long", LONG),
        Fault("control signs", CONTROL),
        Fault("a link to itself", str(world / "loop")),
        Fault("a pipe", str(world / "pipe")),
    ]


def _pictures(world: Path) -> list[Fault]:
    return [
        Fault("not there", "nowhere.png", (3,)),
        Fault("empty", "", (2, 3)),
        Fault("no picture", str(world / "mine.txt"), (3,)),
        Fault("damaged", str(world / "bad" / "ash" / "cut.png"), (3,)),
        Fault("no pictures in it", str(world / "folder.png"), (3,)),
        Fault("too long", LONG, (3,)),
        Fault("control signs", CONTROL, (3,)),
        Fault("a link to itself", str(world / "loop"), (3,)),
        Fault("a pipe", str(world / "pipe"), (3,)),
        Fault("no server", "http://127.0.0.1:9/x.png", (5,)),
        Fault("no address", "http://", (5,)),
        Fault("a strange address", "http://[::1/x.png", (5,)),
    ]


def _name(known: str) -> list[Fault]:
    return [
        Fault("unknown", "purple", says="there is"),
        Fault("misspelt", known[:-1] + "q", says="did you mean"),
        Fault("empty", ""),
        Fault("control signs", CONTROL),
        Fault("too long", LONG),
    ]


def _document(known: str, world: Path) -> list[Fault]:
    return [
        *_name(known),
        Fault("not there", "nowhere.json"),
        Fault("another document", str(world / "mine.json")),
        Fault("a folder", str(world / "folder.json")),
    ]


def _setting(world: Path) -> list[Fault]:
    return [
        Fault("no value", "epochs", says="field=value"),
        Fault("unknown field", "epoch=3", says="did you mean 'epochs'"),
        Fault("no field", "=3", says="''"),
        Fault("empty", ""),
        Fault("no number", "epochs=few"),
        Fault("not finite", "learning_rate=nan"),
        Fault("infinite", "learning_rate=inf"),
        Fault("below", "epochs=-1"),
        Fault("above", "epochs=1e9"),
        Fault("huge", f"batch_size={BIG}"),
        Fault("thousands of digits", "epochs=" + "9" * 5000),
        Fault("not one of them", "precision=half", says="bfloat16"),
        Fault("control signs", f"epochs={CONTROL}", says="--set epochs"),
    ]


def _any(world: Path) -> list[Fault]:
    """For texts of which nothing more is known."""
    codes = (0, 2, 3, 4, 5, 7)
    return [Fault("empty", "", codes), Fault("control signs", CONTROL, codes), Fault("too long", LONG, codes)]


def _text(command: str, parameter: click.Parameter, world: Path) -> list[Fault]:
    match parameter.name:
        case "model" | "weights" | "models":
            found = _model(world)
            refused = [
                name
                for name in DAMAGED
                if command == "neighbours"
                or (name[-5:] == ".onnx" and (command in ("export", "compress") or parameter.name == "weights"))
            ]
            return [replace(fault, codes=(2, 4)) if fault.name[9:] in refused else fault for fault in found]
        case "data" | "valid":
            return _data(world)
        case "inputs":
            return _pictures(world)
        case "variant":
            return _name("lenet-5") if command in ("summary", "bench") else _document("lenet-5", world)
        case "recipe":
            return _document("fast", world)
        case "settings":
            return _setting(world)
        case "name":
            return _name("dropout" if command == "experiment" else "torchvision")
        case "layer" | "layers":
            return _name("fc4" if command == "neighbours" else "conv1")
        case "split":
            return [Fault("unknown", "purple"), Fault("empty", ""), Fault("control signs", CONTROL)]
        case "index":
            return _index(world)
        case "target":
            return [Fault("unknown", "purple"), Fault("empty", ""), Fault("beyond", "99"), Fault("below", "-1")]
        case "units":
            values = ("few", "", "5-1", "0-99999", BIG, "1-", "-1", "0-" + BIG, "²")
            return [Fault(f"no units: {value!r}", value) for value in values]
        case "kind":
            return _name("gradient")
        case "shard":
            values = ("0", "", "1/0", "-1/2", "3/2", "a/b", f"{BIG}/2", "1/2/3")
            return [Fault(f"no shard: {value!r}", value) for value in values]
        case "token":
            return [
                Fault("empty", ""),
                Fault("two words", "a b"),
                Fault("other letters", "é"),
                Fault("control", CONTROL),
            ]
        case "host":
            return [Fault("unknown", "no.such.host.invalid", (2, 5, 7)), Fault("empty", "", (2, 5, 7))]
    return _any(world)


# ---------------------------------------------------------------------------------------------------- for the document


def table() -> str:
    """What is attacked how often, in Markdown."""
    found = list(attacks(Path("W")))
    rows = []
    for name, command in commands().items():
        own = [attack for attack in found if attack.command == name]
        rows.append(f"| `{name}` | {len(command.params)} | {len({a.fault.name for a in own})} | {len(own)} |")
    kinds = len({attack.fault.name for attack in found})
    rows.append(
        f"| {len(rows)} commands | {sum(len(c.params) for c in commands().values())} | {kinds} | {len(found)} |"
    )
    return "\n".join(["| command | options and arguments | kinds of fault | attacks |", "|---|---|---|---|", *rows])


def main() -> None:
    """`PYTHONPATH=src python tests/commands/faults.py` puts the table of today into the document."""
    text = DOCUMENT.read_text("utf-8")
    begin = text.index("| command |")
    end = text.index("\n\n", begin)
    DOCUMENT.write_text(text[:begin] + table() + text[end:], "utf-8")


if __name__ == "__main__":
    main()
