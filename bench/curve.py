"""AP over the steps of a detector's training, as a picture: python bench/curve.py RUN FILE.png"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    run, file = Path(sys.argv[1]), Path(sys.argv[2])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = [line for line in lines if "AP" in line]
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for name in ("AP50", "AP75", "AP"):
        axes.plot([line["step"] for line in measured], [line[name] for line in measured], marker="o", label=name)
    axes.set(xlabel="steps", ylabel="on val", ylim=(0, None), xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
