"""limbeck doctor: what is wrong with a data set, before anyone trains on it."""

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from limbeck.checkup.case import open_case, with_pairs
from limbeck.checkup.clean import clean, told
from limbeck.checkup.examine import Diagnosis, examine
from limbeck.checkup.words import EXAMPLES, as_json, guesses
from limbeck.console import console
from limbeck.errors import Interrupted, OptionError, counted, nearest
from limbeck.files import write_atomically
from limbeck.images.cache import cache_root
from limbeck.images.mapping import parse_engine
from limbeck.report.doctor_page import write_doctor_page

_MANY = 30_000  # photos; the time to compare them grows with the square
_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}


@dataclass(frozen=True)
class Doctor:
    """What is wrong with a data set: files, duplicates, leaks, labels. Nothing of it is ever edited."""

    data: Annotated[Positional[tuple[str, ...]], arg(metavar="DATA...")]
    """Folders, archives, or label files (.csv, .json, .yaml) with their images beside them."""
    against: tuple[str, ...] = ()
    """Other sets (validation, test) that DATA must not overlap with."""
    out: str = "doctor"
    """Where doctor.html and doctor.json go."""
    near: bool = True
    """Look for edited copies and the same scenes too; exact copies are always looked for."""
    write_manifest: str = ""
    """FILE.arrow for a manifest of the sound images, to train on."""
    engine: str = "plain"
    """plain: this machine; daft (pip install "limbeck[scale]"); ray or ray:HOST:PORT, a Ray cluster."""
    cache: str = ""
    """Where what was seen is kept, so that a second look is quick (default: ~/.cache/limbeck)."""
    workers: int = -1
    """Processes that look at the images; -1: one a core, 0: none."""


def doctor(data: Any, *, against: Any = (), out: str | Path = "doctor", **options: Any) -> Diagnosis:
    """Examine a data set; the options are those of `limbeck doctor`."""
    for name in options:
        if name not in Doctor.__dataclass_fields__:
            near = nearest(name, Doctor.__dataclass_fields__, 1)
            hint = f"{near[0]} in its place" if near else "see limbeck doctor --help"
            raise OptionError(f"limbeck.doctor: unknown option '{name}'", expected=", ".join(near), hint=hint)
    return examine_and_tell(Doctor(_several(data), _several(against), str(out), **options))


def run(options: Doctor) -> None:
    """The command: exit status 1 when something would break training."""
    try:
        diagnosis = examine_and_tell(options)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what was seen is kept", hint="the same command again: it goes on") from None
    if diagnosis.breaks:
        sys.exit(1)


def examine_and_tell(options: Doctor) -> Diagnosis:
    _validate(options)
    workers = None if options.workers < 0 else options.workers
    cache = Path(options.cache).absolute() if options.cache else cache_root()
    case = open_case(options.data, options.against, cache=cache, engine=options.engine, workers=workers)
    for line in guesses(case):
        console.print(line, markup=False)
    if options.near and len(case.photos) > _MANY:
        console.print(f"to compare {len(case.photos):,} photos with each other takes long; --no-near leaves it out")
    if options.near:
        case = with_pairs(case, cache=cache, engine=options.engine, workers=workers)
    diagnosis = examine(case)
    _tell(diagnosis)
    out = Path(options.out)
    write_atomically(out / "doctor.json", json.dumps(as_json(diagnosis), indent=1, ensure_ascii=True).encode())
    after = _next(options, diagnosis)
    write_doctor_page(out, diagnosis, after)
    console.print(f"the pictures: {out / 'doctor.html'}", markup=False)
    for _, command in after:
        console.print(f"next: {command}", markup=False)
    return diagnosis


def _next(options: Doctor, diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Write the clean manifest where one is asked for, and say what to type then."""
    if not options.write_manifest:
        sources = shlex.join(options.data) + (f" --against {shlex.join(options.against)}" if options.against else "")
        return [("A manifest of the sound images", f"limbeck doctor {sources} --write-manifest clean.arrow")]
    found = clean(diagnosis)
    found.images.save(options.write_manifest)
    left = f"; left out: {told(found.left_out)}" if found.left_out else ""
    console.print(f"{options.write_manifest}: {counted(len(found.images), 'image')}{left}", markup=False)
    images = shlex.quote(options.write_manifest)
    return [("Train on them", f"limbeck distill --images {images} --teacher TEACHER --student STUDENT --out run")]


def _tell(diagnosis: Diagnosis) -> None:
    for finding in diagnosis.findings:
        console.print()
        console.print(f"{finding.severity:<8}", style=_COLOURS[finding.severity], end="")
        console.print(finding.title, markup=False, style="bold")
        for place in finding.places[:EXAMPLES]:
            console.print(f"          {place.where}" + (f": {place.what}" if place.what else ""), markup=False)
        left = len(finding.places) - EXAMPLES
        if left > 0:
            console.print(f"          and {left:,} more")
        console.print(f"        {finding.why}", markup=False)
        console.print(f"        do: {finding.cure}", markup=False)
    console.print()
    counts = [(severity, sum(each.severity == severity for each in diagnosis.findings)) for severity in _COLOURS]
    told = ", ".join(counted(count, severity) for severity, count in counts if count)
    aside = "" if diagnosis.case.pairs is not None else "; edited copies were not looked for (--no-near)"
    console.print(f"{told or 'nothing is wrong'}{aside}", markup=False)


def _validate(options: Doctor) -> None:
    if not options.data:
        raise OptionError(
            "no data set is named", expected="a folder, archive or label file", hint="limbeck doctor FOLDER"
        )
    if options.write_manifest and not options.write_manifest.endswith(".arrow"):
        raise OptionError(
            f"--write-manifest {options.write_manifest}",
            expected="a name that ends in .arrow: manifests are known by it",
            hint=f"--write-manifest {shlex.quote(f'{options.write_manifest}.arrow')}",
        )
    parse_engine(options.engine)
    _refuse_data_as_out(options)
    if Path(options.out).exists() and not Path(options.out).is_dir():
        raise OptionError(f"--out {options.out} is a file", expected="a folder", hint="another --out")


def _refuse_data_as_out(options: Doctor) -> None:
    for option, place in ("--out", options.out), ("--write-manifest", options.write_manifest):
        for source in options.data + options.against:
            whole = Path(os.path.realpath(Path(source).expanduser()))
            if place and Path(os.path.realpath(place)).is_relative_to(whole):
                apart = whole.parent / (Path(place).name if whole.is_dir() else f"clean-{Path(place).name}")
                raise OptionError(
                    f"{option} {place} {'lies inside' if whole.is_dir() else 'is'} {source}, which is never written to",
                    expected="a place outside of the data",
                    hint=f"{option} {shlex.quote(str(apart))}",
                )


def _several(sources: Any) -> tuple[str, ...]:
    return (os.fspath(sources),) if isinstance(sources, str | os.PathLike) else tuple(map(os.fspath, sources))
