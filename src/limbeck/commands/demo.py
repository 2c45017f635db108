"""limbeck demo: the whole job on drawn photos, in under five minutes on two cores."""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich import box
from rich.table import Table
from torch import Tensor, nn

from limbeck.checkpoints.loaded import Loaded, load
from limbeck.classification.names import find_classes
from limbeck.commands import distill
from limbeck.commands.finish import Compare
from limbeck.console import console, duration
from limbeck.errors import RunError
from limbeck.images.imageset import ImageSet
from limbeck.images.reader import evaluation_batches
from limbeck.report.page import Compared
from limbeck.scenes.dataset import draw_dataset
from limbeck.scenes.shapes import CLASSES
from limbeck.ssld.job import Job
from limbeck.ssld.options import Distill, known

FEW = 40  # labels a class for the student that has only a few
LABELLED, UNLABELLED, TEST = 7200, 9600, 1200


@dataclass(frozen=True)
class Net:
    """A network of the demo with its schedule."""

    name: str
    args: str
    steps: int
    weight_decay: float


TEACHER = Net("resnet10t", '{"channels": [24, 48, 96, 192], "stem_width": 12}', 1100, 5e-4)
STUDENT = Net("test_resnet", '{"channels": [16, 24, 32, 64], "stem_width": 8}', 800, 5e-5)
RATE = 0.8  # for labels, and a batch of 256
# what each stage takes of the whole, for the time left
SHARES = {"draw": 0.11, "teacher": 0.31, "few": 0.17, "all": 0.17, "distilled": 0.24}


@dataclass(frozen=True)
class Demo:
    """Draw photos, train a teacher, and see what a student learns from it without any label."""

    out: str = "demo"
    """Where everything goes."""
    seed: int = 0
    size: float = 1.0
    """Share of the photos and steps; below 1 for a quick look at the machinery."""
    workers: int = 1
    """Processes that read photos beside the training."""


def demo(out: str = "demo", *, seed: int = 0, size: float = 1.0, workers: int = 1) -> list[Compared]:
    """The demo from Python; the rows of its table come back."""
    return run(Demo(out, seed, size, workers))


def run(options: Demo) -> list[Compared]:
    """Draw, train, distil, compare."""
    out = Path(options.out)
    clear(out)
    clock = Clock()
    console.print(
        f"limbeck demo in {out}: a teacher learns from {scaled(LABELLED, options):,} labelled photos, then a small "
        f"student learns from {FEW} labels a class, from all the labels, and from the teacher without any label.",
        markup=False,
    )
    clock.begin("draw", "drawing photos of " + ", ".join(CLASSES))
    photos = draw(out, options)

    clock.begin("teacher", f"teacher {TEACHER.name} on all the labels")
    train(out, options, "teacher", TEACHER, photos / "labelled")
    clock.begin("few", f"(a) student {STUDENT.name} on {FEW} labels a class")
    train(out, options, "few", STUDENT, photos / "few")
    clock.begin("all", "(b) the same student on all the labels")
    train(out, options, "all", STUDENT, photos / "labelled")
    clock.begin("distilled", "(c) the same student from the teacher, on photos without labels")

    rows: list[Compared] = []

    def compare(job: Job, model: nn.Module) -> Sequence[Compared]:
        models = {name: load(out / name) for name in ("teacher", "few", "all", "distilled")}
        rows.extend(comparison(models, ImageSet.open([str(photos / "test")], shown=False), options.workers))
        return rows

    teacher = str(out / "teacher")
    # near agreement the slope of js is a quarter of cross-entropy's, so its rate is four times as large
    learn = {"loss": "js", "teacher": teacher, "lr": 4 * RATE, "probe": 0.05}
    train(out, options, "distilled", STUDENT, photos / "unlabelled", compare, **learn)
    console.print(table(rows))
    console.print(f"everything took {duration(clock.spent)}")
    console.print(f"report: {out / 'distilled' / 'report.html'}", markup=False)
    console.print(
        "next, with your own folder:  limbeck distill --images YOUR_PHOTOS --teacher resnet50d "
        "--student mobilenetv3_large_100 --epochs 30 --out run",
        markup=False,
    )
    return rows


def clear(out: Path) -> None:
    """A demo may take the place of another, and of nothing else."""
    mark = out / ".limbeck-demo"
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise RunError(f"{out} holds files that are not a demo's", expected="a new folder", hint="--out OTHER")
    for name in ("teacher", "few", "all", "distilled", "photos"):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    mark.touch()


def scaled(count: int, options: Demo) -> int:
    classes = len(CLASSES)
    return max(classes, round(count * options.size / classes) * classes)


def draw(out: Path, options: Demo) -> Path:
    """Labelled photos, a few of them once more by themselves, unlabelled ones, and a test set."""
    photos = out / "photos"
    seed = options.seed * 10
    workers = os.cpu_count() or 1
    few = min(FEW * len(CLASSES), scaled(LABELLED, options))
    draw_dataset(photos / "labelled", scaled(LABELLED, options), seed=seed, labelled=True, workers=workers)
    draw_dataset(photos / "few", few, seed=seed, labelled=True, workers=workers)
    draw_dataset(photos / "unlabelled", scaled(UNLABELLED, options), seed=seed + 1, labelled=False, workers=workers)
    draw_dataset(photos / "test", scaled(TEST, options), seed=seed + 2, labelled=True, workers=workers)
    return photos


def train(
    out: Path, options: Demo, name: str, net: Net, images: Path, compare: Compare | None = None, **changes: object
) -> None:
    """One training of the demo; the students share everything but where their answers come from."""
    shared = {
        "images": str(images),
        "student": net.name,
        "student_args": net.args,
        "student_size": 64,
        "out": str(out / name),
        "loss": "cross-entropy",
        "batch": min(64, scaled(FEW * len(CLASSES), options)),
        "steps": max(2, round(net.steps * options.size)),
        "lr": RATE,
        "weight_decay": net.weight_decay,
        "crop_scale": (0.5, 1.0),
        "probe": 0.0,
        "workers": options.workers,
        "seed": options.seed,
        "cache": str(out / "cache"),
        "evaluate_every": 3,
        # in a quick look the teacher has hardly learned anything
        "check_teacher": options.size >= 1,
    }
    distill.run(Distill(**known(shared | changes)), compare=compare)


class Clock:
    """Says what begins, and about how much is left, by the shares that the stages usually take."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.done = 0.0
        self.current = ""

    @property
    def spent(self) -> float:
        return time.monotonic() - self.start

    def begin(self, stage: str, told: str) -> None:
        self.done += SHARES.get(self.current, 0.0)
        self.current = stage
        left = f", about {duration(self.spent / self.done * (1 - self.done))} left" if self.done else ""
        number = list(SHARES).index(stage) + 1
        console.print(f"\n[bold]{number}/{len(SHARES)}[/bold] {told}{left}")


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
