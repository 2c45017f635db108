"""limbeck against timm, torchdistill and lightly-train: one teacher, one student, the same CIFAR-10 photos and steps.

    python bench/cifar_teacher.py --data ../shared/data --out .bench/cifar/teacher.safetensors
    python bench/peers.py --data ../shared/data                 # all that is not there yet, and the table
    python bench/peers.py --data ../shared/data --only timm     # one tool's trainings
    python bench/peers.py --data ../shared/data --speed         # only images/s and memory: on a quiet machine
    python bench/peers.py --table

Every tool has an environment of its own, made here from bench/peers/TOOL.txt, and trains the same student (0.15 M
parameters, the same first weights) on one core, without workers, for the same number of steps of 128 photos. It learns
at three learning rates, and a fourth where the best is at an end of them; the best one on the test photos, for each
tool alike, is repeated with another seed. Two tools learn from all 50,000 labels, two from none: these get a linear
head (one logistic regression for all) and then a full fine-tuning (each its own way, three learning rates) on the same
4,000 labels. Two processes may share the trainings (--train), each with its own --core; images/s and memory are taken
afterwards, one short run at a time, in turns.
"""

import argparse
import fcntl
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors.torch import save_file

import cifar
from cifar_models import cifar_student
from peers.common import Job
from peers.score import score

WORK = Path(".bench/peers").resolve()
PHOTOS = (cifar.WORK / "photos").resolve()
STEPS, TUNE_STEPS, SEEDS = 780, 310, 2  # two epochs of 50,000 photos; ten of 4,000
WARM, SPEED_STEPS, ROUNDS = 20, 80, 3  # the first steps of a timed run do not count


@dataclass(frozen=True)
class Tool:
    """How a tool teaches (`teach`) and, where it uses no label, how it goes on with few (`tune`)."""

    says: str
    labels: int
    teach: str
    rates: tuple[float, ...]
    tune: str = ""
    tune_rates: tuple[float, ...] = ()
    variants: tuple[str, ...] = ()
    """Other settings, trained at the best rate."""
    timed: tuple[str, ...] = ()
    """Other settings, only timed."""


TOOLS = {
    "limbeck": Tool("distill: JS of the class probabilities", 0, "limbeck_js", (0.8, 1.6, 3.2),
                    "limbeck_labels", (0.05, 0.2, 0.8), timed=("float32",)),
    "lightly": Tool("distillationv3: features", 0, "lightly_v3", (0.0005, 0.002, 0.008),
                    "lightly_labels", (0.0003, 0.001, 0.003), variants=("gentle",)),
    "timm": Tool("LogitDistillationTask: labels and KL, T=4", 50_000, "timm_kd", (0.02, 0.1, 0.5),
                 timed=("bfloat16",)),
    "torchdistill": Tool("KDLoss: labels and KL, T=4", 50_000, "torchdistill_kd", (0.02, 0.1, 0.5)),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training of a student by a tool's script; its folder is its name."""

    tool: str
    script: str
    job: Job

    @property
    def result(self) -> dict[str, Any] | None:
        file = self.job.folder / "result.json"
        return json.loads(file.read_text()) if file.exists() else None

    @property
    def merit(self) -> float:
        """What the learning rate is chosen by: test top-1, where there is no head that of a linear one."""
        result = self.result
        return result["linear" if self.script == "lightly_v3" else "top1"] if result else -1.0


def teaching(tool: str, steps: int, rate: float, seed: int = 0, variant: str = "", place: str = "runs") -> Run:
    name = "-".join(part for part in (tool, variant, f"lr{rate:g}", f"seed{seed}", f"steps{steps}") if part)
    weights = str(cifar.WORK.resolve() / "teacher.safetensors")
    job = Job(str(WORK / place / name), str(PHOTOS / "train"), str(WORK / "start.safetensors"), weights, steps, rate)
    return Run(tool, TOOLS[tool].teach, replace(job, seed=seed, variant=variant))


def tuning(taught: Run, rate: float) -> Run:
    folder = taught.job.folder
    job = replace(taught.job, out=f"{folder}-tuned-lr{rate:g}", photos=str(WORK / "few"), teacher="", variant="")
    job = replace(job, start=str(folder / "student.safetensors"), steps=min(TUNE_STEPS, taught.job.steps), rate=rate)
    return Run(taught.tool, TOOLS[taught.tool].tune, job)


def best(runs: list[Run]) -> Run | None:
    """The best of runs that are all done."""
    return max(runs, key=lambda run: run.merit, default=None) if all(run.result for run in runs) else None


def settings(name: str, steps: int) -> list[Run]:
    """A tool's learning rates, one more where the best is at an end of them, then its other settings at the best."""
    tool = TOOLS[name]
    runs = [teaching(name, steps, rate) for rate in tool.rates]
    beyond = {tool.rates[0]: tool.rates[0] / 4, tool.rates[-1]: tool.rates[-1] * 4}
    if (top := best(runs)) and top.job.rate in beyond:
        runs.append(teaching(name, steps, beyond[top.job.rate]))
    if top := best(runs):
        runs += [teaching(name, steps, top.job.rate, variant=variant) for variant in tool.variants]
    return runs


def chosen(name: str, steps: int) -> list[Run]:
    """The best setting of a tool, one run a seed; none before all settings are tried."""
    top = best(settings(name, steps))
    if top is None:
        return []
    return [top, *(teaching(name, steps, top.job.rate, seed, top.job.variant) for seed in range(1, SEEDS))]


def tuned(name: str, steps: int) -> list[Run]:
    """The best run of a tool that used no label goes on with few."""
    runs = chosen(name, steps)[:1] if TOOLS[name].tune else []
    return [tuning(run, rate) for run in runs for rate in TOOLS[name].tune_rates]


def plan(name: str, steps: int) -> list[Run]:
    """All trainings of a tool, as far as they are known."""
    return list(dict.fromkeys((*settings(name, steps), *chosen(name, steps), *tuned(name, steps))))


def python(tool: str) -> Path:
    """The tool's own environment, made when it is not there; limbeck's is the one that runs this."""
    if tool == "limbeck":
        return Path(sys.executable)
    wanted = Path(__file__).parent / "peers" / f"{tool}.txt"
    folder = WORK / f"env-{tool}"
    made = folder / "made.txt"
    if not made.exists() or made.read_text() != wanted.read_text():
        print(f"== environment of {tool}", flush=True)
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        place = ["--python", folder / "bin" / "python"]
        subprocess.run([*uv, "pip", "install", "--quiet", *place, "--requirements", wanted], check=True)
        made.write_text(wanted.read_text())
    return folder / "bin" / "python"


def prepare(data: Path) -> None:
    """Photos as files, the few labelled ones as class folders of links, the student's first weights."""
    cifar.prepare(data)
    for line in (cifar.WORK / "few.txt").read_text().split():
        link = WORK / "few" / Path(line).parent.name / Path(line).name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(line)
    if not (WORK / "start.safetensors").exists():
        torch.manual_seed(0)
        save_file(cifar_student().state_dict(), WORK / "start.safetensors")


def tree_memory(process: psutil.Process) -> int:
    try:
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def train(run: Run, core: int) -> dict[str, Any]:
    """Run the tool's script on one core; what it took, as seen from outside, and by the student's clock."""
    shutil.rmtree(run.job.folder, ignore_errors=True)
    command = [python(run.tool), "-m", f"peers.{run.script}", run.job.write()]
    quiet = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent), "HF_HUB_OFFLINE": "1"}
    quiet |= {"LIGHTLY_TRAIN_EVENTS_DISABLED": "1"}
    started, peak, load = time.monotonic(), 0, os.getloadavg()[0]
    with (run.job.folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command], env=os.environ | quiet, stdout=log, stderr=log
        )
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, tree_memory(watched))
            time.sleep(0.1)
    if process.returncode:
        sys.exit(f"{run.tool} failed; see {log.name}")
    ticks = json.loads((run.job.folder / "ticks.json").read_text())
    assert len(ticks) == run.job.steps, f"{run.tool} took {len(ticks)} steps, not {run.job.steps}"
    speed = (len(ticks) - 1 - WARM) * run.job.batch / (ticks[-1] - ticks[WARM])
    seconds = time.monotonic() - started
    return {"images_per_second": speed, "peak_mib": peak / 2**20, "seconds": seconds, "load_before": load}


def finish(run: Run, numbers: dict[str, Any]) -> None:
    file = run.job.folder / "result.json"
    part = file.with_suffix(".part")
    part.write_text(json.dumps(numbers, indent=1))
    part.replace(file)
    print(
        f"== {run.job.folder.name}: " + ", ".join(f"{name} {value:.1f}" for name, value in numbers.items()), flush=True
    )


def work(tools: list[str], steps: int, core: int) -> bool:
    """Do the first training that is neither done nor under way in another process, or wait for that one."""
    (WORK / "claims").mkdir(parents=True, exist_ok=True)
    left = [run for name in tools for run in plan(name, steps) if run.result is None]
    for run in left:
        with (WORK / "claims" / run.job.folder.name).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if run.result is None:
                numbers = train(run, core)
                finish(run, numbers | score(run.job.folder / "student.safetensors", WORK / "few", PHOTOS / "test"))
            return True
    if left:
        time.sleep(5)
    return bool(left)


def timings(steps: int) -> list[Run]:
    """Short runs in turns, so that what else the machine does meets all tools alike."""
    return [
        teaching(name, steps, tool.rates[0], turn, variant, "speed")
        for turn in range(ROUNDS)
        for name, tool in TOOLS.items()
        for variant in ("", *tool.timed)
    ]


def middle(runs: list[Run], name: str) -> float | None:
    values = [run.result[name] for run in runs if run.result]
    return statistics.median(values) if values else None


def row(name: str, steps: int, speed_steps: int) -> dict[str, Any]:
    tool, runs = TOOLS[name], chosen(name, steps)
    timed = [run for run in timings(speed_steps) if run.tool == name]
    plain = [run for run in timed if not run.job.variant]
    after = best(tuned(name, steps)) if runs else None
    results = [run.result for run in runs if run.result]
    return {
        "tool": name, "method": tool.says, "labels": tool.labels,
        "setting": f"{runs[0].job.variant} lr {runs[0].job.rate:g}".strip() if runs else "",
        "top1": [result["top1"] for result in results] if tool.labels or name == "limbeck" else [],
        "linear": [result["linear"] for result in results],
        "tuned": after.result["top1"] if after and after.result else None,
        "seconds": middle(runs, "seconds"),
        "images_per_second": middle(plain, "images_per_second"), "peak_mib": middle(plain, "peak_mib"),
        "other_images_per_second": {
            variant: middle([run for run in timed if run.job.variant == variant], "images_per_second")
            for variant in tool.timed
        },
        "sweep": {run.job.folder.name: run.result for run in plan(name, steps)},
    }  # fmt: skip


def table(steps: int, speed_steps: int) -> None:
    rows = [row(name, steps, speed_steps) for name in TOOLS]
    (WORK / "table.json").write_text(json.dumps(rows, indent=1))
    print(f"{steps} steps of 128; top-1 on 10,000 test photos, a number a seed\n")
    print("| tool | learns by | labels | setting | top-1 | linear head, 4,000 labels | all tuned, 4,000 labels "
          "| seconds | images/s | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for cells in rows:
        others = "".join(f"; {name} {shown(value, 0)}" for name, value in cells["other_images_per_second"].items())
        print(
            f"| {cells['tool']} | {cells['method']} | {cells['labels']:,} | {cells['setting'] or '-'} "
            f"| {shown(cells['top1'], 2)} | {shown(cells['linear'], 2)} | {shown(cells['tuned'], 2)} "
            f"| {shown(cells['seconds'], 0)} | {shown(cells['images_per_second'], 0)}{others} "
            f"| {shown(cells['peak_mib'], 0)} |"
        )


def shown(values: float | list[float] | None, digits: int) -> str:
    several = values if isinstance(values, list) else [values]
    return ", ".join(f"{value:,.{digits}f}" for value in several if value is not None) or "-"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, help="the folder that holds cifar10_train.tar.gz and cifar10_test.tar.gz")
    options.add_argument("--only", choices=TOOLS)
    options.add_argument("--steps", type=int, default=STEPS)
    options.add_argument("--speed-steps", type=int, default=SPEED_STEPS)
    options.add_argument("--core", type=int, default=0, help="the core that the tools run on")
    options.add_argument("--train", action="store_true", help="only the trainings")
    options.add_argument("--speed", action="store_true", help="only images/s and memory")
    options.add_argument("--table", action="store_true", help="only what is there so far")
    asked = options.parse_args()
    if not asked.table:
        if asked.data is None:
            options.error("--data: the folder that holds cifar10_train.tar.gz and cifar10_test.tar.gz")
        torch.set_num_threads(1)
        WORK.mkdir(parents=True, exist_ok=True)
        tools = [asked.only] if asked.only else list(TOOLS)
        with (WORK / "preparing").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            prepare(asked.data)
            for name in tools:
                python(name)
        while not asked.speed and work(tools, asked.steps, asked.core):
            pass
        for run in timings(asked.speed_steps) if not asked.train else []:
            if run.result is None and run.tool in tools:
                finish(run, train(run, asked.core))
    table(asked.steps, asked.speed_steps)


if __name__ == "__main__":
    main()
