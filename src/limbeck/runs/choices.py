"""Options as people give them: typed, as arguments, or in the config.json of a run."""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from limbeck.errors import OptionError, RunError, as_typed, nearest

Options = TypeVar("Options")
Table = Mapping[str, dataclasses.Field[Any]]
Check = tuple[bool, str, str, str]  # whether it fails; what was found, what was expected, what to type
Precision = Literal["auto", "float32", "bfloat16"]
TeacherPrecision = Literal["auto", "float32", "bfloat16", "float16"]

# what may differ between a run and its resumption, since the result does not depend on it
FREE = {"resume", "out", "workers", "save_every", "log_every", "track", "cache", "device", "config"}
TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


def table_of(kind: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """The options of a verb by name."""
    return {field.name: field for field in dataclasses.fields(kind)}


def known(options: dict[str, Any], table: Table, *, source: str, usage: str = "limbeck --help") -> dict[str, Any]:
    """The options, with lists as tuples; an unknown one fails, with the nearest known.

    >>> @dataclasses.dataclass
    ... class Run:
    ...     images: tuple[str, ...] = ()
    >>> known({"images": "photos"}, table_of(Run), source="limbeck.run")
    {'images': ('photos',)}
    """
    for name in options:
        if name not in table:
            near = nearest(name, table, 3)
            hint = f"{near[0]} in its place" if near else usage
            expected = ", ".join(near or sorted(table))
            raise OptionError(f"{source}: unknown option '{name}'", expected=expected, hint=hint)
    shaped = {name: _shaped(table[name], value) for name, value in options.items()}
    for name, value in shaped.items():
        kind = _kind(table[name])
        if not _fits(value, kind):
            near = nearest(str(value), get_args(kind), 1) if get_origin(kind) is Literal else []
            hint = f"{name}={near[0]!r}" if near else f"{name}={table[name].default!r}, the default"
            raise OptionError(f"{source}: {name} is {value!r}", expected=_in_words(kind), hint=hint)
    return shaped


def _kind(field: dataclasses.Field[Any]) -> Any:
    """The type that an option is declared with, without what is said of it to the command line."""
    return get_args(field.type)[0] if get_origin(field.type) is Annotated else field.type


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the type that its option is declared with."""
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return value in parts
    if get_origin(kind) is tuple:
        kinds = parts[:1] * len(value) if parts[-1] is ... else parts
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _in_words(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return ", ".join(parts)
    if get_origin(kind) is tuple:
        return f"a list of {parts[0].__name__}" if parts[-1] is ... else " and ".join(part.__name__ for part in parts)
    return str(kind.__name__)


def _shaped(field: dataclasses.Field[Any], value: Any) -> Any:
    if not isinstance(field.default, tuple):
        return str(value) if isinstance(value, Path) else value
    if isinstance(value, str | Path):
        return (str(value),)
    if not isinstance(value, Iterable):
        return (value,)
    return tuple(str(part) if isinstance(part, Path) else part for part in value)


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def typed(name: str, value: object) -> str:
    """An option as it is typed.

    >>> typed("crop_scale", (0.4, 1.0)), typed("check_teacher", False)
    ('--crop-scale 0.4 1.0', '--no-check-teacher')
    """
    if isinstance(value, bool):
        return flag(name) if value else flag(f"no_{name}")
    return f"{flag(name)} {as_typed(value)}".rstrip()


def in_python(message: str, table: Table) -> str:
    """What the options of a message are called as arguments; nothing where there are none.

    >>> @dataclasses.dataclass
    ... class Run:
    ...     crops_per_read: int = 1
    ...     check_teacher: bool = True
    >>> in_python("--crops-per-read 2; or --no-check-teacher", table_of(Run))
    'in Python: crops_per_read=..., check_teacher=False'
    """
    told = {}
    for no, name in re.findall(r"--(no-)?([a-z][a-z-]*)", message):
        argument = name.replace("-", "_")
        if argument in table:
            told[argument] = "False" if no else "True" if isinstance(table[argument].default, bool) else "..."
    return "in Python: " + ", ".join(f"{name}={value}" for name, value in told.items()) if told else ""


def to_json(options: Any, asked: Any = None) -> str:
    """What was asked for and, under `resolved`, where that which runs differs: what followed from other options."""
    told = dataclasses.asdict(asked or options)
    resolved = {name: value for name, value in dataclasses.asdict(options).items() if value != told[name]}
    return json.dumps(told | {"resolved": resolved}, indent=2) + "\n"


def from_json(file: Path, table: Table, *, resolved: bool = True) -> dict[str, Any]:
    """The options that a config.json holds: those that ran, or, not `resolved`, those that were asked for.

    >>> from_json(Path("no/config.json"), {})
    Traceback (most recent call last):
    limbeck.errors.RunError: no/config.json does not exist
      expected: the config.json that limbeck writes into a run folder
      try:      --config RUN/config.json
    """
    expected, hint = "the config.json that limbeck writes into a run folder", "--config RUN/config.json"
    try:
        options = json.loads(file.read_text())
    except FileNotFoundError:
        raise RunError(f"{file} does not exist", expected=expected, hint=hint) from None
    except (ValueError, OSError) as error:
        raise RunError(f"{file} is not JSON: {error}", expected=expected, hint=hint) from error
    if not isinstance(options, dict):
        raise RunError(f"{file} holds no options", expected=expected, hint=hint)
    ran = options.pop("resolved", {})
    if not isinstance(ran, dict):
        raise RunError(f"{file}: 'resolved' holds no options", expected=expected, hint=hint)
    return known(options | ran if resolved else options, table, source=str(file))


def resumed(asked: Options, stored: Options) -> Options:
    """The options of a run that goes on; only what its result does not depend on may be another."""
    given = cast(Any, asked)
    for name in (field.name for field in dataclasses.fields(given)):
        now, then = getattr(asked, name), getattr(stored, name)
        if now != then and name not in FREE:
            raise OptionError(
                f"{flag(name)} is {as_typed(now) or 'empty'} now, but the run in {given.out} was started with "
                f"{as_typed(then) or 'empty'}",
                expected="the options of the run that is resumed",
                hint="leave the option out, or start a new run with another --out",
            )
    return asked
