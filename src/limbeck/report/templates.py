"""How a page is filled in: from a template beside this file, every word escaped, nothing fetched."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from limbeck.report import words


def fill(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """The HTML of a template, which may need filters that no other one does."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "count": words.count,
        "digits": words.three_digits,
        "thousandths": words.thousandths,
        "basename": lambda path: path.replace("\\", "/").rstrip("/").rpartition("/")[2],
        "jpeg": lambda data: "data:image/jpeg;base64," + base64.b64encode(data).decode(),
        "comma": lambda number: f"{number:,}",
        **(filters or {}),
    }
    return str(environment.get_template(template).render(**values))
