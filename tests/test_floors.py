"""Imports only point down and siblings never meet: read from the source with ast, inside functions too."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "limbeck"
FLOORS = {
    "errors": -1,  # the ground: everything may fail
    "records": 0, "tables": 0, "console": 0, "files": 0,
    "images": 1, "layers": 1, "scenes": 1, "divergence": 1, "step": 1,
    "backbones": 2, "datasets": 2, "alike": 2,
    "classification": 3, "detection": 3, "segmentation": 3,
    "checkpoints": 4,
    "training": 5, "checkup": 5,
    "runs": 6,
    "ssld": 7, "ld": 7, "deploy": 7, "report": 7,
    "recipes": 8,
    "commands": 9,
    "cli": 10, "__main__": 11, "__init__": 11,
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """The rooms of limbeck that a file imports, by absolute or relative import or by a literal "limbeck.x:y"."""
    rooms = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import; write the full name"
            names = [node.module or ""]
            if node.module == "limbeck":
                names = [f"limbeck.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("limbeck."):
            names = [node.value.split(":")[0]] if ":" in node.value and " " not in node.value else []
        else:
            continue
        rooms += [name.split(".")[1] for name in names if name.startswith("limbeck.")]
    return rooms


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    for other in imports(path):
        assert other == here or FLOORS[other] < FLOORS[here], f"{here} (floor {FLOORS[here]}) imports {other}"


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in FILES} <= set(FLOORS)


def test_a_breach_would_be_found(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden.py"
    hidden.write_text("def f():\n    from limbeck import cli\n    import limbeck.training.loop\n")
    assert imports(hidden) == ["cli", "training"]
