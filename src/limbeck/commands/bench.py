"""limbeck bench: how fast a model is and what its training takes, as the references measure it."""

import json as json_module
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from tyro.conf import Positional, arg

from limbeck.checkpoints.loaded_detector import LoadedDetector
from limbeck.checkpoints.pixels import device_named
from limbeck.commands.bench_model import Measured, measured
from limbeck.commands.photo_listing import aside, listed
from limbeck.console import console, progress
from limbeck.deploy.latency import SKIPPED, Latency, latency
from limbeck.deploy.memory import Peak, peak, settled
from limbeck.deploy.trials import OfClassifier, OfDetector, Trial, train
from limbeck.errors import ImagesError, OptionError, RunError
from limbeck.images.decode import Unreadable, decode
from limbeck.training.attempt import free_memory, is_out_of_memory

_COUNTS = {"cuda": 2000}  # as the references; elsewhere fewer are enough of a wait
_FEW, _STEPS = 100, 3


@dataclass(frozen=True)
class Bench:
    """Images a second, one by one, and the memory of a training step."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """A run, a checkpoint folder, a recipe of a detector, or a name of `limbeck models` (random weights)."""
    images: tuple[str, ...] = ()
    """Photos: folders, files, lists, archives, globs, URLs (default: noise of 480 x 640)."""
    count: int = 0
    """Images that are timed, after 5 that are not (0: 2,000 on CUDA, 100 elsewhere)."""
    batch: int = 0
    """Images of the training step (0: those of a step of its run, over all its processes and parts; of a published
    recipe, those of one of its eight GPUs)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of both; what is published is float32."""
    threads: int = 0
    """Threads of a CPU (0: PyTorch's choice)."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""
    json: bool = False
    """Print JSON in place of a table."""


@dataclass(frozen=True)
class Numbers:
    """What was measured, and how."""

    run: str
    fps: float
    median_ms: float
    p99_ms: float
    images: int
    memory_gb: float
    memory_of: str
    batch: int
    input: tuple[int, int]
    parameters: int
    precision: str
    device: str
    threads: int
    published_fps: float | None
    published_memory_gb: float | None


def bench(
    run: str | Path,
    *,
    images: str | Path | tuple[str, ...] = (),
    count: int = 0,
    batch: int = 0,
    precision: Literal["float32", "bfloat16"] = "float32",
    threads: int = 0,
    device: str = "auto",
    json: bool = False,
) -> dict[str, Any]:
    """Images a second and the memory of training, printed and returned; the options are those of `limbeck bench`."""
    sources = (str(images),) if isinstance(images, str | Path) else tuple(images)
    return measure(Bench(str(run), sources, count, batch, precision, threads, device, json))


def run(options: Bench) -> None:
    measure(options)


def measure(options: Bench) -> dict[str, Any]:
    """The model answers first, then it is trained for a few steps: it is nobody's any more."""
    for name in ("count", "batch", "threads"):
        if getattr(options, name) < 0:
            raise OptionError(f"--{name} {getattr(options, name)}", expected="0 or more", hint=f"leave --{name} out")
    device = device_named(options.device)
    before = settled()
    with aside(options.json) as output, threads(options.threads):
        found = measured(options.run, options.device)
        trial = trial_of(found, options.precision)
        count = options.count or _COUNTS.get(device.type, _FEW)
        timed = time_of(trial, options.images, count, device)
        batch = options.batch or found.batch
        parameters = sum(each.numel() for each in found.loaded.model.parameters())
        taken = memory_of(trial, found, batch, device, before)
        numbers = told(options, found, timed, taken, batch, parameters, device)
        if options.json:
            output.print(json_module.dumps(numbers), markup=False, soft_wrap=True)
        else:
            show(numbers, output)
    return numbers


def trial_of(found: Measured, precision: str) -> Trial:
    if isinstance(found.loaded, LoadedDetector):
        return OfDetector(found.loaded, precision)
    if not found.loaded.classes:
        raise OptionError("a backbone has no answers", expected="a classifier or a detector", hint="limbeck bench RUN")
    return OfClassifier(found.loaded, precision)


def time_of(trial: Trial, sources: tuple[str, ...], count: int, device: torch.device) -> Latency:
    with progress("timing", count + SKIPPED) as advance:

        def views() -> Iterator[Any]:
            for pixels in islice(photos(sources), count + SKIPPED):
                yield trial.view(pixels)
                advance()

        return latency(trial.answer, views(), device)


def photos(sources: tuple[str, ...]) -> Iterator[Tensor]:
    """Pixels uint8 [3, H, W] without end: of photos in turn, or noise."""
    if not sources:
        generator = torch.Generator().manual_seed(0)
        yield from cycle(torch.randint(0, 256, (4, 3, 480, 640), dtype=torch.uint8, generator=generator))
    listing, _ = listed(sources)
    readable = 0
    for number in cycle(range(len(listing))):
        try:
            pixels = decode(listing.read(number))
        except (Unreadable, OSError):
            if readable == 0 and number == len(listing) - 1:
                break
            continue
        readable += 1
        yield pixels
    raise ImagesError(
        f"no photo of {', '.join(sources)} can be read", expected="photos", hint="others, or leave --images out"
    )


def memory_of(trial: Trial, found: Measured, batch: int, device: torch.device, before: int) -> Peak:
    views = [trial.view(pixels) for pixels in islice(photos(()), batch)]
    console.print(f"training for {_STEPS} steps of {batch}")
    try:
        with peak(device, since=before) as taken:
            train(found.loaded.model, trial.losses(views), _STEPS)
    except (RuntimeError, ValueError) as error:
        free_memory()
        if is_out_of_memory(error):
            raise RunError(
                f"out of memory on {device} with {batch} images", expected="a batch that fits", hint="a smaller --batch"
            ) from error
        if "more than 1 value per channel" in str(error):
            raise OptionError(
                "a batch norm was given one value a channel", expected="two images or more", hint="--batch 2"
            ) from error
        raise
    return taken


@contextmanager
def threads(wanted: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def told(
    options: Bench, found: Measured, timed: Latency, taken: Peak, batch: int, parameters: int, device: torch.device
) -> dict[str, Any]:
    loaded = found.loaded
    look = loaded.look if isinstance(loaded, LoadedDetector) else loaded.preprocess
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    numbers = Numbers(
        run=options.run,
        fps=timed.fps,
        median_ms=timed.milliseconds(0.5),
        p99_ms=timed.milliseconds(0.99),
        images=len(timed.seconds),
        memory_gb=taken.gb,
        memory_of=taken.of,
        batch=batch,
        input=look.size,
        parameters=parameters,
        precision=options.precision,
        device=f"{device.type} ({name})",
        threads=torch.get_num_threads(),
        published_fps=found.fps,
        published_memory_gb=found.memory,
    )
    return asdict(numbers)


def show(numbers: dict[str, Any], output: Console) -> None:
    drawn = Table(title=numbers["run"], title_justify="left", title_style="bold", box=None)
    drawn.add_column()
    drawn.add_column("here", justify="right")
    published = numbers["published_fps"] is not None
    if published:
        drawn.add_column("published", justify="right")
    rows = [("fps", "fps", "{:.1f}"), ("Mem (GB)", "memory_gb", "{:.2f}")]
    for name, key, form in rows:
        cells = [form.format(numbers[key])]
        if published:
            there = numbers[f"published_{key}"]
            cells.append("" if there is None else f"{there:g}")
        drawn.add_row(name, *cells)
    output.print(drawn)
    threads = "" if numbers["device"].startswith("cuda") else f", threads: {numbers['threads']}"
    high, wide = numbers["input"]
    output.print(
        f"on {numbers['device']}, {numbers['precision']}{threads}; {numbers['parameters']:,} parameters, "
        f"input {high} x {wide}\n"
        f"fps: {numbers['images']:,} images one by one, from pixels on the host to final answers: "
        f"{numbers['median_ms']:.1f} ms as the median, 99 % below {numbers['p99_ms']:.1f} ms\n"
        f"Mem: of training {numbers['batch']} images a step; {numbers['memory_of']}"
        + ("\npublished: one V100 for fps, one of eight for Mem, float32" if published else ""),
        markup=False,
    )
