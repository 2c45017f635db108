"""Converted weights against the reference's numbers: the table of docs/parity.md.

    python -m bench.parity

Writes each network's weights as paddle.save does, types `limbeck convert`, and compares logits and layers. Needs the
fixtures beside the checkout (../shared); a few minutes on one core.
"""

import contextlib
import io
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.backbones.fixtures import REFERENCE
from tests.checkpoints.parity import CLASSIFIERS, DETECTORS, classifier_errors, detector_errors, tolerance

SHARED = Path(__file__).parents[2] / "shared"


def main() -> None:
    print("| model | limbeck's name | logits | layers (how many) | tolerance |\n|-|-|-|-|-|")
    for name in CLASSIFIERS:
        with quietly() as folder:
            errors = classifier_errors(SHARED, name, folder)
        logits = errors.pop("logits")
        row(REFERENCE[name], name, f"{logits:.1e}", f"{max(errors.values()):.1e} ({len(errors)})", tolerance(name))
    print("\n| detector | maps of its backbone (how many) | tolerance |\n|-|-|-|")
    for name in DETECTORS:
        with quietly() as folder:
            errors = detector_errors(SHARED, name, folder)
        row(name, f"{max(errors.values()):.1e} ({len(errors)})", tolerance(name))


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


class quietly(contextlib.ExitStack):
    """A folder, and nothing printed."""

    def __enter__(self) -> Path:  # type: ignore[override]
        folder = self.enter_context(TemporaryDirectory())
        self.enter_context(contextlib.redirect_stdout(io.StringIO()))
        return Path(folder)


if __name__ == "__main__":
    sys.exit(main())
