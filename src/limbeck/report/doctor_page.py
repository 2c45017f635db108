"""The one file that shows a diagnosis: doctor.html, without scripts and without a single address to fetch."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from limbeck.alike.compare import compare
from limbeck.alike.draw import draw_pair
from limbeck.alike.look import look
from limbeck.checkup.case import Case
from limbeck.checkup.examine import Diagnosis
from limbeck.checkup.findings import ERROR, NOTE, SEVERITIES, WARNING, Finding, Place
from limbeck.checkup.words import guesses, splits
from limbeck.console import progress
from limbeck.errors import counted
from limbeck.files import write_atomically
from limbeck.images.decode import Unreadable, decode
from limbeck.report.pictures import above, beside, coloured, jpeg, marked, photo_of, small
from limbeck.report.templates import fill

SHOWN = 8  # pictures of a finding
LISTED = 60  # places of a finding
_NEAR = ("near-duplicates", "near-duplicate-leaks", "same-scenes", "same-scene-leaks")
_WIDE = 460


@dataclass(frozen=True)
class Picture:
    """What shows one place."""

    jpeg: bytes
    where: str
    what: str
    wide: bool = False


@dataclass(frozen=True)
class Shown:
    """A finding and its pictures."""

    finding: Finding
    pictures: Sequence[Picture]


def write_doctor_page(
    out: Path, diagnosis: Diagnosis, commands: Sequence[tuple[str, str]] = (), *, shown: bool = True
) -> Path:
    """Write `doctor.html` into a folder, whole or not at all; `commands`: pairs (what for, line to type)."""
    path = out / "doctor.html"
    findings = []
    with progress("drawing pictures", len(diagnosis.findings), shown=shown) as advance:
        for finding in diagnosis.findings:
            findings.append(Shown(finding, pictures_of(diagnosis.case, finding)))
            advance()
    write_atomically(path, render(diagnosis, findings, commands).encode("utf-8", "backslashreplace"))
    return path


def pictures_of(case: Case, finding: Finding) -> list[Picture]:
    """The first photos that show a finding; one that is gone since is left out."""
    pictures: list[Picture] = []
    for place in finding.places:
        if len(pictures) == SHOWN:
            break
        if place.rows:
            try:
                pictures.append(_picture(case, place, finding.check in _NEAR))
            except (Unreadable, OSError):
                continue
    return pictures


def render(diagnosis: Diagnosis, findings: Sequence[Shown], commands: Sequence[tuple[str, str]]) -> str:
    """The page as HTML."""
    case = diagnosis.case
    numbers = {severity: sum(each.severity == severity for each in diagnosis.findings) for severity in SEVERITIES}
    mood, headline, text = _verdict(numbers)
    text += "" if case.pairs is not None else " Edited copies were not looked for (--no-near)."
    return fill(
        "doctor.html.j2",
        title=", ".join(tree.source for tree in case.trees),
        guesses=guesses(case)[:-1],
        mood=mood,
        headline=headline,
        text=text,
        tiles=_tiles(case, numbers),
        findings=findings,
        listed=LISTED,
        commands=commands,
    )


def _verdict(numbers: dict[str, int]) -> tuple[str, str, str]:
    rest = " and ".join(counted(numbers[kind], kind) for kind in (WARNING, NOTE) if numbers[kind])
    if numbers[ERROR]:
        words = "thing would break training" if numbers[ERROR] == 1 else "things would break training"
        return "bad", f"{numbers[ERROR]} {words}", f"Besides {rest}." if rest else "Nothing else was found."
    if numbers[WARNING]:
        headline = "Nothing would break training; some things would spoil it"
        return "fair", headline, f"{rest[0].upper()}{rest[1:]}, the worst first."
    return "good", "This data set is sound", f"{rest} to know of." if rest else "No check found anything."


def _tiles(case: Case, numbers: dict[str, int]) -> list[tuple[str, str, str]]:
    parts = ", ".join(f"{number:,} {split or 'in none'}" for split, number in splits(case).items())
    things = sum(len(sample.things) for _, labels in case.labels[:1] for sample in labels.samples)
    tiles = [("Images", f"{len(case.photos):,}", parts or "no splits")]
    if things:
        tiles.append(("Objects", f"{things:,}", case.labels[0][1].format))
    elif case.is_mask.any():
        tiles.append(("Masks", f"{int(case.is_mask.sum()):,}", f"{len(case.labels[0][1].classes)} classes"))
    tiles.append(("Unreadable", f"{len(case.skipped):,}", "files"))
    told = ", ".join(counted(numbers[kind], kind) for kind in (WARNING, NOTE))
    return [*tiles, ("Errors", f"{numbers[ERROR]:,}", told)]


def _picture(case: Case, place: Place, near: bool) -> Picture:
    if len(place.rows) == 1:
        photo = photo_of(case.images.read(place.rows[0]))
        boxes = [(each.box, each.label) for each in place.marked]
        return Picture(jpeg(marked(photo, boxes) if boxes else small(photo)), place.where, place.what)
    one, two = (case.images.read(row) for row in place.rows[:2])
    if case.is_mask[place.rows[1]]:
        pair = beside([small(photo_of(one)), small(_mask(two))])
    elif near:
        pair = _matched(one, two)
    elif "its lower edge" in place.what:
        pair = above(small(photo_of(one)), small(photo_of(two)))
    else:
        pair = beside([small(photo_of(one)), small(photo_of(two))])
    return Picture(jpeg(small(pair, _WIDE)), place.where, place.what, wide=True)


def _mask(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        if image.mode in ("RGB", "RGBA", "CMYK", "YCbCr"):
            return image.convert("RGB")
        return coloured(np.asarray(image.getchannel(0) if image.mode in ("LA", "PA") else image))


def _matched(one: bytes, two: bytes) -> Image.Image:
    """Two photos with the points that show them to be one, where there are such points."""
    photos = [decode(data) for data in (one, two)]
    seen = [look(photo) for photo in photos]
    evidence = compare(seen[0].features, seen[1].features) if seen[0].features and seen[1].features else None
    if evidence is None:
        return beside([small(photo_of(data)) for data in (one, two)])
    with torch.no_grad():
        return Image.fromarray(draw_pair(photos[0], photos[1], evidence).permute(1, 2, 0).numpy())
