"""One table: verb -> command. A verb's options are the fields of its options dataclass."""

import signal
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import tyro

from limbeck.console import errors
from limbeck.errors import Interrupted, LimbeckError, OptionError, unknown_name


@dataclass(frozen=True)
class Command:
    """A verb: the dataclass of its options, the function that runs them, and what it does."""

    options: str
    run: str
    about: str
    start: str = ""  # what makes the defaults from --recipe, --config and the run of --resume
    recipe: str = ""  # what makes those of a recipe alone, as quickly as help is wanted
    recipe_first: bool = False  # the recipe is a word, not an option


COMMANDS = {
    "distill": Command(
        "limbeck.ssld.options:Distill",
        "limbeck.commands.distill:run",
        "pour a teacher into a student, with photos that need no labels",
        start="limbeck.commands.distill:starting_point",
        recipe="limbeck.recipes.starting:distillation",
    ),
    "finetune": Command(
        "limbeck.ssld.finetune_options:Finetune",
        "limbeck.commands.finetune:run",
        "go on with a model on labelled photos, of the same classes or of your own",
        start="limbeck.commands.finetune:starting_options",
    ),
    "train": Command(
        "limbeck.detection.train_options:Train",
        "limbeck.commands.train:run",
        "a detector from photos with boxes",
        start="limbeck.commands.train:starting_options",
        recipe="limbeck.recipes.starting:training",
        recipe_first=True,
    ),
    "teach": Command(
        "limbeck.ssld.teach_options:Teach",
        "limbeck.commands.teach:run",
        "make a teacher's soft labels ahead of time, on one machine or many",
        start="limbeck.commands.teach:starting_options",
    ),
    "select": Command(
        "limbeck.ssld.select_options:Select",
        "limbeck.commands.select:run",
        "from a gallery, the photos worth distilling on",
    ),
    "evaluate": Command(
        "limbeck.commands.evaluate:Evaluate",
        "limbeck.commands.evaluate:run",
        "top-1 on class folders or agreement with the teacher; of a detector AP, class by class",
    ),
    "predict": Command(
        "limbeck.commands.predict:Predict",
        "limbeck.commands.predict:run",
        "what a run sees in photos: a student's top answers, or a detector's boxes",
    ),
    "doctor": Command(
        "limbeck.commands.doctor:Doctor",
        "limbeck.commands.doctor:run",
        "what is wrong with a data set: files, duplicates, leaks, labels",
    ),
    "convert": Command(
        "limbeck.commands.convert:Convert",
        "limbeck.commands.convert:run",
        "weights of Paddle, timm, torchvision or mmdetection as a checkpoint, and back",
    ),
    "export": Command(
        "limbeck.commands.export:Export", "limbeck.commands.export:run", "a run as an ONNX file, compared on photos"
    ),
    "bench": Command(
        "limbeck.commands.bench:Bench",
        "limbeck.commands.bench:run",
        "a model's images a second, and the memory of its training",
    ),
    "recipes": Command(
        "limbeck.commands.recipes:Recipes", "limbeck.commands.recipes:run", "the paper's settings by name"
    ),
    "study": Command(
        "limbeck.commands.study_options:Study",
        "limbeck.commands.study:run",
        "one thing varied over whole distillations: teacher, epochs, decay, photos",
        start="limbeck.commands.study:starting_study",
    ),
    "models": Command(
        "limbeck.commands.models:Models", "limbeck.commands.models:run", "students by name, with parameters and MACs"
    ),
    "demo": Command(
        "limbeck.commands.demo:Demo",
        "limbeck.commands.demo:run",
        "the whole job on drawn photos, in five minutes; with --detect that of a detector",
    ),
}
HELP = ("-h", "--help")


def main(argv: list[str] | None = None) -> None:
    """What the `limbeck` command runs; the exit status is 2 for an error of the user, 130 when interrupted."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        dispatch(arguments)
    except Interrupted as stopped:
        if argv is None:  # what is left is to say so: no further Ctrl-C may turn that into a traceback
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if stopped.told:
            errors.print(str(stopped), markup=False)
        sys.exit(130)
    except LimbeckError as error:
        errors.print("error: ", style="bold red", end="")
        errors.print(str(error), markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in HELP:
        errors.print(usage(), markup=False)
        sys.exit(0 if arguments else 2)
    if arguments[0] in ("-V", "--version"):
        sys.stdout.write(f"limbeck {version('limbeck')}\n")
        return
    verb, *rest = arguments
    if verb not in COMMANDS:
        raise unknown_name("command", verb, COMMANDS, hint="limbeck --help")
    command = COMMANDS[verb]
    if len(teachers := _values("--teacher", rest)) > 1:  # of other options the last one counts, as everywhere
        raise OptionError(
            f"--teacher {len(teachers)} times: {', '.join(teachers)}",
            expected="one; a chain of teachers is a training for each",
            hint=f"--teacher {teachers[0]}",
        )
    if set(HELP) & set(rest):  # alone: words before it would be left out of what it shows
        _read(verb, ["--help"], _shown(command, rest))
    default = _starting_point(command, rest)
    chosen = _read(verb, rest, default)
    if command.recipe_first and chosen.recipe != default.recipe:  # it was no first word
        chosen = _read(verb, rest, _starting_point(command, rest, chosen.recipe))
    _attribute(command.run)(chosen)


def _read(verb: str, arguments: list[str], default: Any) -> Any:
    command = COMMANDS[verb]
    return tyro.cli(
        _attribute(command.options),
        prog=f"limbeck {verb}",
        description=command.about[0].upper() + command.about[1:] + ".",
        args=arguments,
        default=default,
    )


def usage() -> str:
    lines = ["usage: limbeck COMMAND [options]", ""]
    lines += [f"  {verb:<10}{command.about}" for verb, command in COMMANDS.items()]
    return "\n".join([*lines, "", "limbeck COMMAND --help lists the options of a command."])


def _starting_point(command: Command, arguments: list[str], recipe: str = "") -> Any:
    """The options of a recipe, --config or the run of --resume, which the other options of the line then change."""
    if not command.start:
        return None
    resumed = _value("--out", arguments) if "--resume" in arguments else ""
    recipe = recipe or _recipe(command, arguments)
    return _attribute(command.start)(recipe, _value("--config", arguments), resumed)


def _shown(command: Command, arguments: list[str]) -> Any:
    """The defaults that the help of a line shows: the recipe's."""
    recipe = _recipe(command, arguments)
    if command.recipe:
        return _attribute(command.recipe)(recipe)
    return _attribute(command.start)(recipe) if command.start and recipe else None


def _recipe(command: Command, arguments: list[str]) -> str:
    if command.recipe_first:
        return next((word for word in arguments[:1] if not word.startswith("-")), "")
    return _value("--recipe", arguments)


def _value(flag: str, arguments: list[str]) -> str:
    """The last one given, which is the one that counts."""
    return (_values(flag, arguments) or [""])[-1]


def _values(flag: str, arguments: list[str]) -> list[str]:
    """All that a line gives for a flag.

    >>> _values("--teacher", ["--teacher", "a", "--teacher=b", "--teacher"])
    ['a', 'b']
    """
    apart = {place: after for place, (word, after) in enumerate(pairwise(arguments)) if word == flag}
    joined = {place: word.partition("=")[2] for place, word in enumerate(arguments) if word.startswith(f"{flag}=")}
    return [value for _, value in sorted((apart | joined).items())]


def _attribute(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)
