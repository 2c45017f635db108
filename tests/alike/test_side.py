"""Sides, sets and all pairs, on drawn scenes and their edited copies."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from limbeck.alike import shards
from limbeck.alike.look import look
from limbeck.alike.side import Match, Side
from limbeck.alike.thorough import thorough
from limbeck.alike.thresholds import SIGNATURES, Thresholds
from limbeck.alike.within import alike_within
from limbeck.errors import RunError, UnknownName
from limbeck.images.decode import decode
from limbeck.images.imageset import ImageSet
from limbeck.scenes.scene import draw_scene

COUNT = 8
KILLED = """
import os, sys
from pathlib import Path
from limbeck.alike import shards
from limbeck.alike.side import Side
from limbeck.images.imageset import ImageSet
shards._SHARD = 3
keep = shards.write_atomically
def slow(path, content):
    keep(path, content)
    if path.suffix == ".safetensors":
        print("a shard is kept", flush=True)
    if os.environ.get("STOP"):
        import time; time.sleep(60)
shards.write_atomically = slow
images = ImageSet.open(sys.argv[1], workers=0, shown=False)
Side.build(images, Path(sys.argv[2]), signature="local", workers=0, shown=False)
"""


MAKE = """
import sys
from pathlib import Path
from limbeck.alike import shards, side, within
from limbeck.images.imageset import ImageSet
images = ImageSet.open(sys.argv[1], workers=0, shown=False)
home = Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
centre = shards.centre
def slow(*given):
    print("assembled", flush=True)
    sys.stdin.readline()
    centre(*given)
side.centre = within.centre = slow
if sys.argv[3] == "side":
    side.Side.build(images, home, signature="local", workers=0, shown=False)
else:
    within.alike_within(images, home, workers=0, shown=False)
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alike")
    for name in ("originals", "copies", "all"):
        (root / name).mkdir()
    for number in range(COUNT):
        photo = Image.fromarray(draw_scene(number, size=200).image)
        edits = [photo.crop((20, 10, 190, 180)), ImageOps.mirror(photo), photo.rotate(90), photo.resize((100, 90))]
        copy = edits[number % len(edits)]
        photo.save(root / "originals" / f"{number}.png")
        copy.save(root / "copies" / f"{number}.jpg", quality=60)
        photo.save(root / "all" / f"a{number}.png")
        copy.save(root / "all" / f"b{number}.jpg", quality=60)
    return root


def opened(folder: Path) -> ImageSet:
    return ImageSet.open(folder, workers=0, shown=False)


def brightness(photos: list[Tensor]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The embedding of a poor teacher: 6 x 6 mean colours."""
    small = [torch.nn.functional.adaptive_avg_pool2d(photo[None].float(), 6).ravel() for photo in photos]
    return torch.stack(small).numpy()


def others(matches: list[Match | None]) -> list[int | None]:
    return [match.other if match else None for match in matches]


def test_copies_are_found_by_the_fast_way_and_by_the_thorough_one(root: Path, tmp_path: Path) -> None:
    originals, copies = opened(root / "originals"), opened(root / "copies")
    side = Side.build(originals, tmp_path / "side", signature="local", workers=0, shown=False)
    looks = [look(decode(copies.read(row))) for row in range(COUNT)]
    slow = thorough(copies, originals, tmp_path / "all", workers=0, shown=False)
    assert others(side.match(looks)) == others(slow) == list(range(COUNT))
    assert others(side.match(looks[3:5])) == [3, 4]  # whatever else is in the batch
    assert side.images.path(3).endswith("3.png")


@pytest.mark.parametrize("signature", SIGNATURES)
def test_photos_of_the_side_are_found_with_every_signature(root: Path, tmp_path: Path, signature: str) -> None:
    embed = brightness if signature == "embedding" else None
    side = Side.build(opened(root / "originals"), tmp_path, signature=signature, embed=embed, workers=0, shown=False)
    photos = [decode(side.images.read(row)).flip(-1) for row in range(COUNT)]
    embeddings = brightness(photos) if embed else None
    matches = side.match([look(photo) for photo in photos], embeddings)
    assert others(matches) == list(range(COUNT))
    assert all(match and match.mirrored for match in matches)
    assert side.match([], None if embeddings is None else embeddings[:0]) == []


def test_the_same_bytes_are_not_looked_at(root: Path, tmp_path: Path) -> None:
    side = Side.build(opened(root / "originals"), tmp_path, signature="hash", workers=0, shown=False)
    looks = [look(torch.zeros(3, 8, 8, dtype=torch.uint8))] * 2
    keys = np.stack([side.images.keys[5], np.zeros(16, np.uint8)])
    assert side.match(looks, keys=keys) == [Match(5, "near-duplicate", "same bytes"), None]


def test_other_photos_have_no_match(root: Path, tmp_path: Path) -> None:
    side = Side.build(opened(root / "originals"), tmp_path, signature="local", workers=0, shown=False)
    foreign = [look(torch.from_numpy(draw_scene(90 + n, size=200).image).permute(2, 0, 1)) for n in range(6)]
    assert side.match(foreign, None, Thresholds(similarity=-1.0)) == [None] * 6


@pytest.mark.slow
def test_a_side_that_was_killed_goes_on_from_its_shards(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", KILLED, str(root / "originals"), str(tmp_path / "side")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "STOP": "1"}) as process:
        assert process.stdout
        assert process.stdout.readline() == "a shard is kept\n"
        process.send_signal(signal.SIGKILL)
    with pytest.raises(RunError, match="no finished side"):
        Side.open(tmp_path / "side")
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.count("a shard is kept") == 2  # of three
    monkeypatch.setattr(shards, "_SHARD", 3)
    Side.build(opened(root / "originals"), tmp_path / "whole", signature="local", workers=0, shown=False)
    for file in (tmp_path / "whole").glob("*.npy"):
        assert file.read_bytes() == (tmp_path / "side" / file.name).read_bytes()
    assert not list((tmp_path / "side" / "looks").iterdir())


@pytest.mark.parametrize("kind", ["side", "within"])
def test_two_processes_make_one_side(kind: str, root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE, str(root / "originals"), str(tmp_path / "both"), kind]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        assert [line(one), line(two)] == ["ready", "ready"]
        assert answer(one) == "assembled"  # and now holds still
        told = answer(two)
        assert told.startswith("another process is looking at the same photos")
        assert answer(one) == "done"
        assert line(two) == "done"
    if kind == "side":
        Side.build(opened(root / "originals"), tmp_path / "alone", signature="local", workers=0, shown=False)
    else:
        alike_within(opened(root / "originals"), tmp_path / "alone", workers=0, shown=False)
    files = sorted(file.relative_to(tmp_path / "alone") for file in (tmp_path / "alone").rglob("*.npy"))
    assert files
    for file in files:
        assert (tmp_path / "alone" / file).read_bytes() == (tmp_path / "both" / file).read_bytes()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def answer(process: "subprocess.Popen[str]") -> str:
    """What a process says next, once it is let go on."""
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()
    return line(process)


def test_workers_change_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_SHARD", 3)
    images = opened(root / "all")
    for workers in (0, 2):
        Side.build(images, tmp_path / str(workers), signature="local", workers=workers, shown=False)
    for file in (tmp_path / "0").glob("*.npy"):
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


def test_a_finished_side_is_opened_and_another_one_is_built_anew(root: Path, tmp_path: Path) -> None:
    images = opened(root / "originals")
    Side.build(images, tmp_path, signature="hash", workers=0, shown=False)
    stamp = (tmp_path / "hashes.npy").stat().st_mtime_ns
    Side.build(images, tmp_path, signature="hash", workers=0, shown=False)
    assert (tmp_path / "hashes.npy").stat().st_mtime_ns == stamp
    fewer = Side.build(images.take([1, 2]), tmp_path, signature="hash", workers=0, shown=False)
    assert len(fewer) == 2
    assert json.loads((tmp_path / "side.json").read_text())["signature"] == "hash"
    with pytest.raises(UnknownName, match="unknown signature 'lokal'"):
        Side.build(images, tmp_path, signature="lokal", workers=0, shown=False)


def test_a_photo_of_the_side_that_is_gone_never_matches(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes((root / "originals" / f"{number}.png").read_bytes())
    images = opened(folder)
    (folder / "1.png").unlink()
    side = Side.build(images, tmp_path / "side", signature="local", workers=0, shown=False)
    blank = look(torch.zeros(3, 50, 50, dtype=torch.uint8))
    seen = [blank, *(look(decode((root / "originals" / f"{number}.png").read_bytes())) for number in range(3))]
    assert others(side.match(seen, None, Thresholds(similarity=-1.0))) == [None, 0, None, 2]


def test_pairs_within_a_set_are_those_of_all_pairs(root: Path, tmp_path: Path) -> None:
    images = opened(root / "all")
    pairs = alike_within(images, tmp_path / "in", workers=0, shown=False)
    assert [(pair.a, pair.b) for pair in pairs] == [(number, COUNT + number) for number in range(COUNT)]
    slow = thorough(
        images.take(range(COUNT, 2 * COUNT)), images.take(range(COUNT)), tmp_path / "all", workers=0, shown=False
    )
    assert [pair.a for pair in pairs] == others(slow)
    assert alike_within(images, tmp_path / "in", workers=2, shown=False) == pairs


def test_the_same_bytes_within_a_set_are_paired_with_the_first(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, number in (("a", 0), ("b", 1), ("c", 0), ("d", 0)):
        (folder / f"{name}.png").write_bytes((root / "originals" / f"{number}.png").read_bytes())
    pairs = alike_within(opened(folder), tmp_path / "in", signature="hash", workers=0, shown=False)
    assert [(pair.a, pair.b, pair.how) for pair in pairs] == [(0, 2, "same bytes"), (0, 3, "same bytes")]


@pytest.mark.shared
def test_edited_real_photos_are_found(shared: Path, tmp_path: Path) -> None:
    images = opened(shared / "data" / "imagenet_samples.zip").take(range(0, 180, 18))
    side = Side.build(images, tmp_path, signature="local", workers=0, shown=False)
    looks = []
    for row in range(len(images)):
        photo = Image.fromarray(decode(images.read(row)).permute(1, 2, 0).numpy())
        width, height = photo.size
        edits = (
            photo.crop((width // 7, height // 7, width * 6 // 7, height * 6 // 7)),
            photo.resize((width // 4, height // 4)),
            ImageOps.mirror(photo).rotate(10),
        )
        looks += [look(torch.from_numpy(np.array(edit)).permute(2, 0, 1)) for edit in edits]
    assert others(side.match(looks)) == [row for row in range(len(images)) for _ in range(3)]
