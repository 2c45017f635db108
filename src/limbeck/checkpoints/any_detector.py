"""A detector from wherever it is: a run, a checkpoint, or a file of others that is recognised."""

import hashlib
from pathlib import Path

from limbeck.checkpoints import foreign_detector
from limbeck.checkpoints.card import WEIGHTS, find, is_checkpoint
from limbeck.checkpoints.detector_card import DetectorCard, is_detector, read_detector
from limbeck.checkpoints.weights import read_contents
from limbeck.detection.detector import Detector
from limbeck.errors import CheckpointError


def read_any_detector(source: str | Path) -> tuple[Detector, DetectorCard]:
    """A detector with its weights, and its card.

    >>> read_any_detector("no/such/run")
    Traceback (most recent call last):
    limbeck.errors.CheckpointError: no detector at no/such/run
      expected: a run or checkpoint of a detector, or a file that limbeck convert reads
      try:      limbeck recipes gfl, for what trains one
    """
    path = Path(source).expanduser()
    if path.is_dir() and is_checkpoint(path):
        if not is_detector(path):
            raise _none(f"{source} is no detector")
        return read_detector(path)
    if not path.is_file():
        raise _none(f"no detector at {source}")
    contents = read_contents(path)
    if not foreign_detector.is_detector(contents.weights):
        raise _none(f"{source} holds no detector")
    found = foreign_detector.recognise(contents, path)
    return found.build(str(path)), found.card(found.own_names)


def digest_of(source: str | Path) -> str:
    """The digest of the weights that `read_any_detector` reads."""
    path = Path(source).expanduser()
    with (find(path) / WEIGHTS if path.is_dir() else path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _none(what: str) -> CheckpointError:
    return CheckpointError(
        what,
        expected="a run or checkpoint of a detector, or a file that limbeck convert reads",
        hint="limbeck recipes gfl, for what trains one",
    )
