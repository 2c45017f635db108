"""What to type to go on with a run."""

import json
import shlex
from pathlib import Path


def resume_command(out: str | Path) -> str:
    """The command that began the run goes on with it, as its config.json says.

    >>> resume_command("my run")
    "limbeck distill --out 'my run' --resume"
    """
    try:
        verb = json.loads((Path(out) / "config.json").read_text()).get("verb", "distill")
    except (OSError, ValueError, AttributeError):
        verb = "distill"
    return f"limbeck {verb} --out {shlex.quote(str(out))} --resume"
