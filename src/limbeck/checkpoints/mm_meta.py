"""What a file of mmdetection's says of itself in `meta`: classes, version, and its config, which never runs."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limbeck.checkpoints.pickle_values import Thing
from limbeck.errors import shown

_LONGEST = 1_000_000  # letters of a config
_DEEPEST = 60
_LARGEST = 2.0**24  # of a number
_SMALLEST = 1e-6  # of a deviation
_VERSION = 40  # letters


@dataclass(frozen=True)
class Meta:
    """The classes in the head's order, the config as plain tables, the version; empty where nothing can be read."""

    classes: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    ids: tuple[int, ...] = ()  # of the classes, where limbeck wrote the file

    def get(self, *path: str) -> Any:
        """A value of the config; None where it has none.

        >>> Meta(config={"model": {"type": "GFL"}}).get("model", "type")
        'GFL'
        """
        value: Any = self.config
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    @property
    def pixels(self) -> tuple[tuple[float, ...], tuple[float, ...], bool] | None:
        """Mean and deviation of its pixels in 0..255, and whether they are in the order of RGB."""
        new, old = self.get("model", "data_preprocessor"), self.get("img_norm_cfg")
        told, order = (new, "bgr_to_rgb") if isinstance(new, Mapping) else (old, "to_rgb")
        if not isinstance(told, Mapping):
            return None
        mean, deviation = (_numbers(told.get(key), 3) for key in ("mean", "std"))
        if not mean or not deviation or min(deviation) < _SMALLEST:
            return None
        return mean, deviation, _is_set(told.get(order))

    @property
    def size(self) -> tuple[tuple[int, int], bool] | None:
        """Width and height of its images in a test, and whether their proportions are kept."""
        steps = _steps(self.get("test_pipeline"))
        resize = next((each for each in steps if each.get("type") == "Resize"), {})
        several = next((each for each in steps if each.get("type") == "MultiScaleFlipAug"), {})
        found = [_numbers(each.get(key), 2) for each in (resize, several) for key in ("scale", "img_scale")]
        sizes = [each for each in found if each]
        if not sizes or not all(side == int(side) > 0 for side in sizes[0]):
            return None
        return (int(sizes[0][0]), int(sizes[0][1])), _is_set(resize.get("keep_ratio"))


def read_meta(meta: Any) -> Meta:
    """
    >>> read_meta({"CLASSES": ("cat", "dog"), "config": "model = dict(type='GFL')"})
    Meta(classes=('cat', 'dog'), config={'model': {'type': 'GFL'}}, version='', ids=())
    """
    if not isinstance(meta, Mapping):
        return Meta()
    told = meta.get("dataset_meta")
    places = (told if isinstance(told, Mapping) else {}, meta)
    found = [place[key] for place in places for key in ("classes", "CLASSES") if key in place]
    version = meta.get("mmdet_version")
    config = next((meta[key] for key in ("cfg", "config") if key in meta), None)
    told_version = shown(version[:_VERSION]) if isinstance(version, str) else ""
    numbers = told.get("ids") if isinstance(told, Mapping) else None
    whole = isinstance(numbers, list) and all(type(each) is int for each in numbers)
    return Meta(
        _names(found[0] if found else ()), _config(config), told_version, tuple(numbers) if whole and numbers else ()
    )


def _names(value: Any) -> tuple[str, ...]:
    """A text is one class, not as many as it has letters."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(shown(name) for name in names)


def _numbers(value: Any, count: int) -> tuple[float, ...]:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    plain = isinstance(value, list | tuple) and len(value) == count and all(map(_is_number, value))
    return tuple(value) if plain else ()


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _LARGEST  # which no nan is


def _is_set(value: Any) -> bool:
    return isinstance(value, int) and bool(value)


def _steps(pipeline: Any) -> list[Mapping[str, Any]]:
    """The steps of a pipeline, and those inside of the one that does them for several sizes."""
    steps = [each for each in pipeline if isinstance(each, Mapping)] if isinstance(pipeline, list | tuple) else []
    inner = [each["transforms"] for each in steps if isinstance(each.get("transforms"), list | tuple)]
    return steps + [each for part in inner for each in part if isinstance(each, Mapping)]


def _config(value: Any) -> Mapping[str, Any]:
    """A config as text or as tables; one that is an object is known by the tables or the text inside of it."""
    if isinstance(value, Thing):
        state = tuple(value.state.values()) if isinstance(value.state, Mapping) else value.state
        state = state if isinstance(state, tuple) else ()
        value = next((each for each in state if isinstance(each, Mapping) and each), None) or next(
            (each for each in state if isinstance(each, str) and "=" in each), None
        )
    if isinstance(value, str) and len(value) <= _LONGEST:
        return _parsed(value)
    return value if isinstance(value, Mapping) else {}


def _parsed(text: str) -> dict[str, Any]:
    """The names that a config's text gives plain values; older ones begin with the path of a file."""
    for candidate in (text, f"#{text}"):
        try:
            tree = ast.parse(candidate)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        known: dict[str, Any] = {}
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                known[statement.targets[0].id] = _value(statement.value, known, 0)
        return known
    return {}


def _value(node: ast.expr, known: Mapping[str, Any], depth: int) -> Any:
    """A literal, or `dict(...)` of literals, or a name from further up; None for what would have to be run."""
    if depth > _DEEPEST:
        return None
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(each, known, depth + 1) for each in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, known, depth + 1)
        return -value if isinstance(value, int | float) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {each.arg: _value(each.value, known, depth + 1) for each in node.keywords if each.arg}
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        return {key: _value(value, known, depth + 1) for key, value in zip(keys, node.values, strict=True)}
    return None
