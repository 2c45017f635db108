"""limbeck demo: the whole job on drawn photos, in under five minutes on two cores."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from rich import box
from rich.table import Table
from torch import Tensor, nn

from limbeck.checkpoints.loaded import Loaded, load
from limbeck.classification.names import find_classes
from limbeck.commands.demo_detect import demo_detect
from limbeck.commands.demo_stages import (
    FEW,
    LABELLED,
    STUDENT,
    TEACHER,
    TEST,
    UNLABELLED,
    Demo,
    Stages,
    draw,
    learn,
    photos_of,
    pour,
    scaled,
    teach,
)
from limbeck.console import console, duration
from limbeck.images.imageset import ImageSet
from limbeck.images.reader import evaluation_batches
from limbeck.report.page import Compared
from limbeck.scenes.shapes import CLASSES
from limbeck.ssld.job import Job

# what each stage takes of the whole, for the time left
SHARES = {"draw": 0.11, "teacher": 0.31, "few": 0.17, "all": 0.17, "distilled": 0.24}


def demo(
    out: str = "demo", *, resume: bool = False, seed: int = 0, size: float = 1.0, workers: int = 1
) -> list[Compared]:
    """The demo from Python; the rows of its table come back."""
    return classify(Demo(out, False, resume, seed, size, workers))


def run(options: Demo) -> None:
    """The demo that is asked for."""
    if options.detect:
        demo_detect(options)
    else:
        classify(options)


def classify(options: Demo) -> list[Compared]:
    """Draw, train, distil, compare."""
    out, photos = Path(options.out), photos_of(options)
    stages = Stages(options, SHARES)
    labelled = scaled(LABELLED, options)
    console.print(
        f"limbeck demo in {out}: a teacher learns from {labelled:,} labelled photos, then a small "
        f"student learns from {FEW} labels a class, from all the labels, and from the teacher without any label.",
        markup=False,
    )
    sets = {
        "labelled": labelled,
        "few": min(FEW * len(CLASSES), labelled),
        "unlabelled": scaled(UNLABELLED, options),
        "test": scaled(TEST, options),
    }
    rows: list[Compared] = []

    def compare(job: Job, model: nn.Module) -> Sequence[Compared]:
        models = {name: load(out / name) for name in ("teacher", "few", "all", "distilled")}
        rows.extend(comparison(models, ImageSet.open([str(photos / "test")], shown=False), options.workers))
        return rows

    stages.do("draw", "drawing photos of " + ", ".join(CLASSES), partial(draw, options, **sets), always=True)
    stages.do("teacher", f"teacher {TEACHER.name} on all the labels", partial(teach, options))
    few = partial(learn, options, "few", STUDENT, photos / "few")
    stages.do("few", f"(a) student {STUDENT.name} on {FEW} labels a class", few)
    stages.do(
        "all", "(b) the same student on all the labels", partial(learn, options, "all", STUDENT, photos / "labelled")
    )
    told = "(c) the same student from the teacher, on photos without labels"
    stages.do("distilled", told, partial(pour, options, compare), always=True)
    console.print(table(rows))
    console.print(f"everything took {duration(stages.spent)}")
    console.print(f"report: {out / 'distilled' / 'report.html'}", markup=False)
    console.print(
        "next, with your own folder:  limbeck distill --images YOUR_PHOTOS --teacher resnet50d "
        "--student mobilenetv3_large_100 --epochs 30 --out run",
        markup=False,
    )
    return rows


def comparison(models: dict[str, Loaded], test: ImageSet, workers: int) -> list[Compared]:
    """Top-1 and agreement with the teacher of every model, on photos that none of them has seen."""
    scores: dict[str, list[Tensor]] = {name: [] for name in models}
    truth: list[Tensor] = []
    position = find_classes({test.folder(index) for index in range(len(test))}, CLASSES)
    preprocesses = [loaded.preprocess for loaded in models.values()]
    for batch in evaluation_batches(test, preprocesses, batch=128, workers=0):
        truth.append(torch.tensor([position[test.folder(int(index))] for index in batch.indices]))
        for (name, loaded), views in zip(models.items(), batch.views, strict=True):
            scores[name].append(order_of(loaded)[loaded.log_probabilities(views).argmax(1)])
    answers = {name: torch.cat(parts) for name, parts in scores.items()}
    right = torch.cat(truth)
    told = {
        "teacher": "teacher, all labels",
        "few": "(a) student, few labels",
        "all": "(b) student, all labels",
        "distilled": "(c) student, no label",
    }
    rows = [Compared(name="chance", top1=1 / len(CLASSES))]
    return rows + [
        Compared(
            name=told[name],
            top1=float((answers[name] == right).float().mean()),
            agreement=float((answers[name] == answers["teacher"]).float().mean()),
            parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
            megabytes=sum(value.nbytes for value in loaded.model.state_dict().values()) / 1e6,
            images_per_second=loaded.card.metrics.get("images_per_second"),
            highlighted=name == "distilled",
        )
        for name, loaded in models.items()
    ]


def order_of(loaded: Loaded) -> Tensor:
    """A model's own class numbers as numbers of CLASSES."""
    return torch.tensor([CLASSES.index(name) for name in loaded.classes])


def table(rows: Sequence[Compared]) -> Table:
    """The demo's result as a person reads it."""
    drawn = Table(title="on photos that no model has seen", box=box.SIMPLE_HEAD)
    for title in ("", "top-1", "agreement", "parameters", "MB", "images/s"):
        drawn.add_column(title, justify="right" if title else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(
            row.name,
            f"{row.top1:.1%}" if row.top1 is not None else "",
            f"{row.agreement:.1%}" if row.agreement is not None else "",
            f"{row.parameters:,}" if row.parameters is not None else "",
            f"{row.megabytes:.2f}" if row.megabytes is not None else "",
            f"{row.images_per_second:,.0f}" if row.images_per_second is not None else "",
            style="bold" if row.highlighted else None,
        )
    return drawn
