"""Drawn samples of what a run leaves behind."""

import math
import random
from typing import Any

import torch

from limbeck.records import Skipped
from limbeck.report.page import Compared, HeldOut, ModelFacts, Page
from limbeck.report.thumbnail import thumbnail

HOSTILE = "<script>document.title='hacked'</script>\"'><img src=x onerror=alert(1)>&amp;{{ 7*7 }}"


def history(steps: int = 600, epochs: int = 6) -> list[dict[str, Any]]:
    draw = random.Random(0)
    records: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        lr = 0.1 * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        far = math.exp(-4 * step / steps)
        noise = draw.uniform(0.9, 1.1)
        records.append({"step": step, "loss": 0.05 + 0.5 * far * noise, "agreement": 0.9 - 0.8 * far * noise, "lr": lr})
        if step % (steps // epochs) == 0:
            records.append({"step": step, "probe_js": 0.02 + 0.2 * far, "probe_agreement": 0.92 - 0.8 * far})
    return records


def photo(number: int, size: tuple[int, int] = (240, 320)) -> bytes:
    """Coloured noise under a gradient: as hard on JPEG as photos are."""
    draw = torch.Generator().manual_seed(number)
    coarse = torch.rand(1, 3, 12, 16, generator=draw) * 200
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic")[0]
    return thumbnail((smooth + 25 * torch.rand(3, *size, generator=draw)).clamp(0, 255).to(torch.uint8))


def held_out(count: int) -> list[HeldOut]:
    draw = random.Random(1)
    photos = []
    for number in range(count):
        p = draw.uniform(0.4, 1)
        right, wrong = f"class {number % 7}", f"class {number % 7 + 1}"
        teacher = [(right, p), (wrong, (1 - p) * 0.7)]
        student = teacher if number % 3 else teacher[::-1]
        photos.append(HeldOut(f"/photos/{number}.jpg", photo(number), teacher, student, draw.random() / 2, right))
    return photos


def full_page(photos: int = 6) -> Page:
    return Page(
        title="runs/first",
        classes=10,
        teacher=ModelFacts(name="resnet50d", parameters=25_576_264, megabytes=97.8, images_per_second=400, top1=0.805),
        student=ModelFacts(name="mobilenetv3_large_100", parameters=5_483_032, megabytes=21.1, images_per_second=2500),
        history=history(),
        held_out=held_out(photos),
        skipped=[Skipped("/photos/broken.jpg", "the file ends in the middle")],
        replaced=2,
        comparison=[Compared(name="chance", top1=0.1), Compared(name="distilled", top1=0.84, highlighted=True)],
        commands=[("Measure it", "limbeck evaluate runs/first --images labelled")],
        config={"teacher": "resnet50d", "schedule": {"lr": 0.1}},
        environment={"torch": "2.11.0"},
    )


def hostile_page() -> Page:
    answers = [(HOSTILE, 0.9), ("second", 0.1)]
    return Page(
        title=HOSTILE,
        classes=10,
        teacher=ModelFacts(name=HOSTILE, licence=HOSTILE),
        student=ModelFacts(name=HOSTILE),
        held_out=[HeldOut(f"/{HOSTILE}/{HOSTILE}.jpg", photo(0), answers, answers, 0.1, HOSTILE)],
        skipped=[Skipped(HOSTILE, HOSTILE), Skipped("bytes that are no text: \udcff", "cut short")],
        comparison=[Compared(name=HOSTILE)],
        commands=[(HOSTILE, HOSTILE)],
        config={HOSTILE: {HOSTILE: [HOSTILE]}},
        environment={HOSTILE: HOSTILE},
    )
