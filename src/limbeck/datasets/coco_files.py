"""The json files of a tree: those that are COCO's annotations, and what is wrong with the others."""

import json
from typing import Any

from limbeck.datasets.records import Trouble
from limbeck.datasets.tree import Tree

_PARTS = ("images", "annotations", "categories")
_OBJECT = {"bbox", "category_id", "segmentation"}  # what an annotation of an object has at least one of
_CUT = 5  # characters before the end of a file, where a fault means that the rest is missing


def read_files(tree: Tree) -> tuple[dict[str, dict[str, Any]], list[Trouble]]:
    """The content of each file that speaks of objects, and of the others those that were meant to.

    A folder may hold json of any kind; where nothing in it is COCO, all of it is told.
    """
    whole: dict[str, dict[str, Any]] = {}
    broken: list[Trouble] = []
    alone: list[Trouble] = []  # told where nothing in the tree is COCO
    beside: list[Trouble] = []  # told where some of it is
    for name in tree.files:
        if name.lower().endswith(".json"):
            try:
                content = json.loads(tree.read(name))
            except (ValueError, OSError, RecursionError) as error:
                broken.append(Trouble("unreadable-labels", name, f"not JSON: {_why(error)}"))
                continue
            fault = fault_of(content)
            if not fault:
                whole[name] = content
                continue
            of_objects, results = _speaks_of_objects(content), _is_results(content)
            meant = of_objects or results or name == tree.named or (isinstance(content, dict) and _has_parts(content))
            alone.append(Trouble("not-coco" if meant else "other-json", name, fault))
            if of_objects or results:
                beside.append(Trouble("not-coco" if of_objects else "other-json", name, fault))
    return whole, broken + (beside if whole else alone)


def fault_of(content: Any) -> str:
    """Why a json does not hold COCO's annotations; nothing where it does.

    >>> fault_of({"images": [], "annotations": []}), fault_of({"annotations": [], "categories": []})
    ('', "no 'images'")
    >>> fault_of([])
    'a list, where an object with images, annotations and categories is expected'
    """
    if _is_results(content):
        return "a result file (boxes with scores), where labels are expected"
    if not isinstance(content, dict):
        found = "a list" if isinstance(content, list) else "a single value"
        return f"{found}, where an object with images, annotations and categories is expected"
    lost = [part for part in _PARTS if not isinstance(content.get(part), list)]
    if lost == ["categories"] and not _of_classes(content["annotations"]):
        return ""  # with nothing to name
    if lost:
        return f"no {' and no '.join(map(repr, lost))}"
    if not content["categories"] and _of_classes(content["annotations"]):
        return "nothing in 'categories', which names the classes"
    return "its annotations have no boxes" if _of_no_objects(content["annotations"]) else ""


def _of_classes(annotations: Any) -> bool:
    return any("category_id" in each for each in dicts(annotations))


def _has_parts(content: dict[str, Any]) -> bool:
    return any(isinstance(content.get(part), list) for part in _PARTS)


def _speaks_of_objects(content: Any) -> bool:
    annotations = dicts(content.get("annotations")) if isinstance(content, dict) else []
    return bool(annotations) and not _of_no_objects(annotations)


def _is_results(content: Any) -> bool:
    return bool(rows := dicts(content)) and {"image_id", "score"} <= rows[0].keys()


def _of_no_objects(annotations: Any) -> bool:
    """Captions, answers to questions, panoptic segments: COCO's other files speak of whole images."""
    there = dicts(annotations)
    return bool(there) and not any(each.keys() & _OBJECT for each in there)


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        if not error.doc.strip():
            return "the file is empty"
        cut = error.msg.startswith("Unterminated string") or len(error.doc.rstrip()) - error.pos < _CUT
        what = "the file ends in the middle: it was cut short" if cut else error.msg
        return f"line {error.lineno}, column {error.colno}: {what}"
    if isinstance(error, UnicodeDecodeError):
        return "no text in UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
