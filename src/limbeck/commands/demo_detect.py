"""limbeck demo --detect: what a backbone that was distilled without labels gives to a detector."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from rich import box
from rich.table import Table

from limbeck.checkpoints.loaded_detector import Seen, load_detector
from limbeck.commands import train
from limbeck.commands.demo_stages import (
    LABELLED,
    STUDENT,
    TEACHER,
    UNLABELLED,
    Demo,
    Stages,
    draw,
    photos_of,
    pour,
    scaled,
    teach,
    tell_line,
)
from limbeck.commands.evaluate_detector import evaluate_detector
from limbeck.console import console, duration
from limbeck.detection.dataset import DetectionSet
from limbeck.errors import as_typed
from limbeck.files import write_atomically
from limbeck.report.detections_page import DetectionsPage, FoundPhoto, Rival, write_detections
from limbeck.report.detections_pictures import Marked, as_png, drawn, sheet, side_by_side
from limbeck.report.pictures import photo_of
from limbeck.runs.choices import typed
from limbeck.scenes.dataset import draw_boxes_dataset
from limbeck.scenes.shapes import CLASSES
from limbeck.training.log import read_metrics

BOXES = {"train": 1596, "val": 156, "test": 396}
SIDE = 96
STEPS = 900
# what each stage takes of the whole, for the time left
SHARES = {"draw": 0.15, "teacher": 0.26, "distilled": 0.20, "scratch": 0.18, "detector": 0.18, "compare": 0.03}
NAMES = {"scratch": "from scratch", "detector": "on the distilled backbone"}
_NUMBERS = "AP", "AP50", "AP75"
_SURE = 0.3
_SHOWN, _ON_SHEET, _PICTURE = 12, 5, 220


def demo_detect(options: Demo) -> list[Rival]:
    """Draw, train a teacher, distil, then train a detector twice: from scratch, and on the distilled backbone."""
    out = Path(options.out)
    stages = Stages(options, SHARES)
    boxes, unlabelled = scaled(BOXES["train"], options), scaled(UNLABELLED, options)
    console.print(
        f"limbeck demo --detect in {out}: SSDLite learns from {boxes:,} photos with boxes, once from scratch, "
        f"once on a backbone that was distilled on {unlabelled:,} photos without labels.",
        markup=False,
    )
    stages.do("draw", "drawing photos of " + ", ".join(CLASSES), partial(draw_all, options), always=True)
    stages.do("teacher", f"teacher {TEACHER.name} on labelled photos", partial(teach, options))
    stages.do("distilled", f"student {STUDENT.name} from the teacher, on photos without labels", partial(pour, options))
    for name, told in NAMES.items():
        stages.do(name, f"SSDLite {told}", partial(find_boxes, options, name))
    rivals: list[Rival] = []
    told = "both on photos that neither has seen"
    stages.do("compare", told, lambda: rivals.extend(compare(options)), always=True)
    console.print(table(rivals))
    console.print(f"everything took {duration(stages.spent)}")
    console.print(f"report: {out / 'report.html'}, picture: {out / 'detections.png'}", markup=False)
    console.print(
        "next, with your own photos:  limbeck train ssdlite --data LABELLED --backbone RUN --out found", markup=False
    )
    return rivals


def boxes_of(options: Demo) -> Path:
    return photos_of(options) / "boxes"


def draw_all(options: Demo) -> None:
    """Photos with labels for the teacher, without for the student, with boxes for the detectors."""
    draw(options, labelled=scaled(LABELLED, options), unlabelled=scaled(UNLABELLED, options))
    for number, (split, count) in enumerate(BOXES.items(), 3):
        seed, count = options.seed * 10 + number, scaled(count, options)
        draw_boxes_dataset(boxes_of(options) / split, count, seed=seed, size=SIDE, workers=os.cpu_count() or 1)


def find_boxes(options: Demo, name: str) -> None:
    """One training of a detector: both share everything but the backbone's first weights."""
    run = Path(options.out) / name
    backbones: dict[str, dict[str, Any]] = {
        "scratch": {"backbone": STUDENT.name, "backbone_args": STUDENT.args},
        # all parts at one rate, as from scratch: the schedule is too short for the slow rates of a distilled backbone
        "detector": {"backbone": str(Path(options.out) / "distilled"), "layer_rates": (1.0,)},
    }
    asked = replace(
        train.starting_options("ssdlite"),
        data=(str(boxes_of(options)),),
        out=str(run),
        size=128,
        views="flip_resize",
        lr=0.1,
        steps=max(2, round(STEPS * options.size)),
        batch=min(16, scaled(BOXES["train"], options)),
        workers=options.workers,
        seed=options.seed,
        evaluate_every=2,
        cache=str(Path(options.out) / "cache"),
        **backbones[name],
    )
    tell_line(f"train {train.settings(asked)} {typed('data', asked.data)} {typed('out', asked.out)}")
    if (run / "config.json").exists():
        asked = replace(train.stored(run), resume=True, workers=options.workers)
    train.run(asked)


def compare(options: Demo) -> list[Rival]:
    """COCO's numbers of both on the test photos, and what they find on some of them, as a picture and on a page."""
    out, data = Path(options.out), str(boxes_of(options))
    rivals = []
    for name, told in NAMES.items():
        console.print(f"SSDLite {told}", style="bold")
        tell_line(f"evaluate {as_typed(out / name)} {typed('data', data)} --split test")
        numbers = evaluate_detector(out / name, [data], split="test", workers=options.workers)
        kept = {number: numbers[number] for number in _NUMBERS}
        rivals.append(Rival(f"SSDLite {told}", kept, read_metrics(out / name), highlighted=name == "detector"))
    show(options, rivals)
    return rivals


def show(options: Demo, rivals: Sequence[Rival]) -> None:
    """What is there and what each finds, on test photos drawn at random."""
    out = Path(options.out)
    found = [load_detector(out / name) for name in NAMES]
    photos = DetectionSet.open([str(boxes_of(options))], split="test", classes=found[0].classes, shown=False)
    places = Random(options.seed).sample(range(len(photos)), min(_SHOWN, len(photos)))
    read = [photos.images.read(place) for place in places]
    pictures = [photo_of(data) for data in read]
    truth = [
        [Marked(box, label, photos.classes[label]) for box, label in zip(target.boxes.tolist(), target.labels.tolist())]
        for target in map(photos.target, places)
    ]
    answers = [[marked(seen) for seen in each.predict(read, score=_SURE)] for each in found]
    columns = [truth, *answers]
    titles = ["what is there", *(rival.name for rival in rivals)]
    rows = [[drawn(photo, marks, _PICTURE) for photo, marks in zip(pictures, column)] for column in columns]
    picture = sheet([(title, row[:_ON_SHEET]) for title, row in zip(titles, rows, strict=True)])
    write_atomically(out / "detections.png", as_png(picture))
    shots = [
        FoundPhoto(
            photos.images.path(place), f"{len(marks[0])} there, {found_of(marks)} found", side_by_side(photo, marks)
        )
        for place, photo, *marks in zip(places, pictures, *columns, strict=True)
    ]
    page = DetectionsPage(
        title=out.resolve().name,
        about="the same detector with the same steps: from scratch, and on a backbone distilled without labels",
        numbers={},
        classes=[],
        history=[],
        galleries={"At random": shots},
        facts={name: str(value) for name, value in vars(options).items()},
        shown=f"From left to right: {'; '.join(titles)}, with a score of {_SURE:g} or more.",
        rivals=rivals,
    )
    write_detections(out, page)


def found_of(marks: Sequence[Sequence[Marked]]) -> str:
    return " and ".join(str(len(each)) for each in marks[1:])


def marked(seen: Seen) -> list[Marked]:
    rows = zip(seen.boxes.tolist(), seen.labels.tolist(), seen.names, seen.scores.tolist(), strict=True)
    return [Marked(box, label, f"{name} {score:.2f}") for box, label, name, score in rows]


def table(rivals: Sequence[Rival]) -> Table:
    """The demo's result as a person reads it."""
    drawn_up = Table(title="on photos that no model has seen", box=box.SIMPLE_HEAD)
    for title in ("", *_NUMBERS):
        drawn_up.add_column(title, justify="right" if title else "left", no_wrap=True)
    for each in rivals:
        shares = [f"{each.numbers[name]:.3f}" for name in _NUMBERS]
        drawn_up.add_row(each.name, *shares, style="bold" if each.highlighted else None)
    return drawn_up
