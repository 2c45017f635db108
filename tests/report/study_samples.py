"""Made-up studies: the numbers of runs that nobody ran."""

from collections.abc import Sequence
from typing import Any

from limbeck.recipes.studies import STUDIES
from limbeck.report.outcomes import Outcome
from limbeck.report.study_page import StudyPage

Curve = tuple[tuple[float, float], ...]


def outcomes(points: Sequence[tuple[float, float]], *, noise: float, seeds: int = 2, **same: Any) -> list[Outcome]:
    """Runs at (x, top-1), the seeds in turn `noise` below and above."""
    rest: dict[str, Any] = {
        "stage": "distilled",
        "student": "small",
        "photos": 1000,
        "steps": 90,
        "run": "small-90steps",
    }
    return [
        Outcome(
            **rest | {"point": f"{x:g}", "x": x, "seed": seed, "top1": top1 + (noise if seed % 2 else -noise)} | same
        )
        for x, top1 in points
        for seed in range(seeds)
    ]


def rising(end: float, epochs: int) -> Curve:
    return tuple((epoch, end * (1 - 0.5 / epoch)) for epoch in range(1, epochs + 1))


def weight_decay(noise: float = 0.002) -> list[Outcome]:
    found: list[Outcome] = []
    for x, top1 in ((3e-5, 0.771), (2e-5, 0.774), (1e-5, 0.790)):
        found += outcomes([(x, top1)], noise=noise, curve=rising(top1, 6))
        found += outcomes([(x, top1 + 0.006)], noise=noise, stage="finetuned")
    return found


def teachers(last: float, noise: float = 0.002) -> list[Outcome]:
    """Three teachers; the student of the last has this top-1."""
    found: list[Outcome] = []
    for name, own, top1 in (("weak", 0.70, 0.68), ("good", 0.80, 0.74), ("best", 0.88, last)):
        found += outcomes([(own, top1)], noise=noise, point=name, teacher=name, teacher_top1=own)
    return found


def trade_off() -> list[Outcome]:
    found: list[Outcome] = []
    models = ("mobilenetv3_small_100", 6.1, 0.70), ("mobilenetv3_large_100", 11.0, 0.76), ("resnet50d", 42.0, 0.80)
    for place, (student, latency, top1) in enumerate(models):
        one: dict[str, Any] = {"student": student, "latency_ms": latency}
        for photos, gain in ((25_000, 0.0), (50_000, 0.012)):
            label = f"{student}, {photos:,} photos"
            found += outcomes([(place, top1 + gain)], noise=0.001, point=label, photos=photos, **one)
        label = f"{student}, labels"
        found += outcomes([(-1, top1 - 0.03)], noise=0.001, point=label, stage="labels", photos=4000, **one)
    return found


def page(name: str, runs: Sequence[Outcome], **changes: Any) -> StudyPage:
    grid = STUDIES[name]
    told: dict[str, Any] = {
        "name": name,
        "title": "study",
        "about": grid.about,
        "axis": grid.axis,
        "log": grid.log,
        "paper": grid.paper,
        "student": "cifar_student",
        "teacher": "timm/cifar_teacher (epochs12.safetensors)",
        "measure": "top1",
        "outcomes": runs,
        "runs": len(runs),
        "seeds": 2,
        "settings": [("steps", "1800"), ("batch", "128")],
        "command": f"limbeck study {name} --images PHOTOS --teacher T --student S --eval LABELLED --out study",
    }
    return StudyPage(**told | changes)


def every() -> dict[str, list[Outcome]]:
    """A study of each kind."""
    epochs = [(5, 0.70), (10, 0.74), (20, 0.76), (30, 0.762)]
    return {
        "weight-decay": weight_decay(),
        "teacher": teachers(0.741),
        "epochs": [run for x, top1 in epochs for run in outcomes([(x, top1)], noise=0.002, curve=rising(top1, x))],
        "volume": [
            run
            for x, top1 in ((12_500, 0.735), (25_000, 0.745), (50_000, 0.75))
            for run in outcomes([(x, top1)], noise=0.002, point=f"{x:,}", photos=x)
        ],
        "trade-off": trade_off(),
    }
