"""The manifest: every kind of file, the reasons, and what survives a kill."""

import errno
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from photos import edit, encoded, folder_of, jpeg, pixels
from PIL import Image

from limbeck.errors import ImagesError, RunError
from limbeck.images import manifest as manifests
from limbeck.images.imageset import ImageSet

SMALL_SHARDS = {"_SHARD_MEAN": 10, "_SHARD_LEAST": 5, "_SHARD_MOST": 20, "_FEW": 0}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL_SHARDS.items():
        monkeypatch.setattr(manifests, name, value)


def png_that_declares(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixel_rows = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixel_rows + chunk(b"IEND", b"")


def jpeg_that_declares(height: int, width: int) -> bytes:
    data = bytearray(jpeg())
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def mixed(folder: Path) -> dict[str, str]:
    """About fifty files of every kind; the unreadable ones with a word of their reason."""
    colour, grey = Image.fromarray(pixels()), Image.fromarray(pixels()).convert("L")
    modes = {"RGB": colour, "L": grey, "P": colour.quantize(16), "RGBA": colour.convert("RGBA")}
    kinds = {"png": "RGB L P RGBA", "webp": "RGB RGBA", "bmp": "RGB L P", "tiff": "RGB L P RGBA", "gif": "L P"}
    good = {f"{mode}.{kind}": encoded(modes[mode], kind.upper()) for kind in kinds for mode in kinds[kind].split()}
    good |= {f"turned{turn}.jpg": jpeg(orientation=turn) for turn in range(1, 9)}
    good |= {
        "cmyk.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "grey.JPEG": encoded(grey, "JPEG"),
        "progressive.jpg": encoded(colour, "JPEG", progressive=True),
        "sixteen.png": encoded(grey.convert("I;16"), "PNG"),
        "sixteen.TIF": encoded(grey.convert("I;16"), "TIFF"),
        "moving.gif": encoded(colour.quantize(8), "GIF", save_all=True, append_images=[grey.quantize(8)]),
        "padded.jpg": jpeg() + bytes(100),
        "misnamed.png": jpeg(),
    }
    whole = {kind: encoded(colour, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")}
    cut = {f"cut.{kind.lower()}": data[: len(data) * 2 // 3] for kind, data in whole.items()}
    bad = {name: (data, "") for name, data in cut.items()}
    bad |= {
        "early.jpg": (jpeg()[:300], ""),
        "late.jpg": (jpeg()[: len(jpeg()) * 99 // 100], "cut short"),
        "empty.jpg": (b"", "empty file"),
        "text.jpg": (b"no photo at all", "not an image"),
        "zeros.png": (bytes(1000), "not an image"),
        "page.jpg": (b"<html>404</html>", "not an image"),
        "bomb.png": (png_that_declares(60_000, 60_000), "declares"),
        "bomb.jpg": (jpeg_that_declares(60_000, 60_000), "declares 3,600,000,000 pixels"),
        "hollow.png": (png_that_declares(500, 500), ""),
    }
    for number, (name, data) in enumerate((good | {name: data for name, (data, _) in bad.items()}).items()):
        place = folder / f"{number % 3}" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return {name: word for name, (_, word) in bad.items()}


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def test_every_kind_of_file_is_taken_or_skipped_with_its_reason_and_none_is_touched(tmp_path: Path) -> None:
    bad = mixed(tmp_path / "photos")
    before = state(tmp_path)
    images = ImageSet.open(tmp_path / "photos", shown=False)
    assert state(tmp_path) == before
    assert len(before) - 5 == len(images) + len(bad) >= 45
    skipped = {Path(skipped.path).name: skipped.reason for skipped in images.skipped}
    assert set(skipped) == set(bad)
    for name, word in bad.items():
        assert word in skipped[name]
    for index in range(len(images)):
        path = Path(images.path(index))
        assert bytes(images.keys[index]) == blake2b(path.read_bytes(), digest_size=16).digest()
        turned = path.name in {f"turned{turn}.jpg" for turn in range(5, 9)}
        assert images.size(index) == ((128, 96) if turned else (96, 128)), path


def test_a_file_without_permission_is_looked_at_again_once_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = folder_of(Path(name), 2)
        folder.chmod(0o777)
        (folder / "000.jpg").chmod(0)
        monkeypatch.setenv("LIMBECK_CACHE", f"{name}/.cache")
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            images = ImageSet.open(folder, shown=False)
        finally:
            os.seteuid(user)
        assert [(Path(skipped.path).name, skipped.reason) for skipped in images.skipped] == [
            ("000.jpg", "permission denied")
        ]
        stamp = (folder / "000.jpg").stat().st_mtime_ns
        (folder / "000.jpg").chmod(0o644)
        assert (folder / "000.jpg").stat().st_mtime_ns == stamp
        assert len(ImageSet.open(folder, shown=False)) == 2
        assert len(images) == 1


def test_it_is_one_plain_batch_that_maps(tmp_path: Path) -> None:
    images = ImageSet.open(folder_of(tmp_path / "photos", 3), shown=False)
    before = pa.total_allocated_bytes()
    with pa.memory_map(str(images.manifest)) as file:
        table = pa.ipc.open_file(file).read_all()
        assert pa.total_allocated_bytes() == before
        assert table.schema == manifests.MANIFEST
        assert table.column("path").num_chunks == 1


@pytest.mark.usefixtures("small_shards")
def test_the_number_of_workers_does_not_change_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 40)
    made = [
        ImageSet.open(folder, cache=tmp_path / f"cache{workers}", workers=workers, shown=False) for workers in (0, 2)
    ]
    assert made[0].manifest.name == made[1].manifest.name
    assert made[0].manifest.read_bytes() == made[1].manifest.read_bytes()


@pytest.mark.usefixtures("small_shards")
def test_a_folder_that_grew_redoes_only_the_shards_touched(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 150, 16, 16)
    cache = tmp_path / "cache"
    first = ImageSet.open(folder, cache=cache, shown=False)
    shards = {path: path.stat().st_mtime_ns for path in (cache / "manifests" / "shards").iterdir()}
    assert len(shards) == 13
    (folder / "0005.jpg").write_bytes(jpeg())
    grown = ImageSet.open(folder, cache=cache, shown=False)
    assert len(grown) == 151
    assert len(first) == 150
    after = {path: path.stat().st_mtime_ns for path in (cache / "manifests" / "shards").iterdir()}
    assert len(after) - len(shards) == 1
    assert shards.items() <= after.items()
    os.utime(folder / "149.jpg", ns=(1, 1))
    (folder / "148.jpg").unlink()
    assert len(ImageSet.open(folder, cache=cache, shown=False)) == 150


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("source", ["", "list.txt", "*.jpg"])
def test_a_folder_that_moved_is_cut_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    cuts = []
    seen = manifests.map_shards

    def watched(function: Any, shards: Any, *given: Any, **options: Any) -> Any:
        cuts.append([(Path(shard.first).name, Path(shard.last).name) for shard in shards])
        return seen(function, shards, *given, **options)

    monkeypatch.setattr(manifests, "map_shards", watched)
    for name in "one", "a much longer name", "third":
        folder = folder_of(tmp_path / name, 60, 16, 16)
        (folder / "list.txt").write_text("\n".join(sorted(path.name for path in folder.glob("*.jpg"))))
        ImageSet.open(folder / source, shown=False)
    assert cuts[0] == cuts[1] == cuts[2]
    assert len(cuts[0]) > 3


def test_an_unchanged_folder_is_not_read_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 3)
    first = ImageSet.open(folder, shown=False)
    stamp = (folder / "001.jpg").stat().st_mtime_ns
    (folder / "001.jpg").write_bytes(bytes((folder / "001.jpg").stat().st_size))
    os.utime(folder / "001.jpg", ns=(stamp, stamp))
    assert ImageSet.open(folder, shown=False).manifest == first.manifest
    os.utime(folder / "001.jpg")
    assert len(ImageSet.open(folder, shown=False)) == 2


def test_a_photo_edited_in_its_place_is_another_the_next_time(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 3)
    first = ImageSet.open(folder, shown=False)
    edit(folder / "001.jpg")
    again = ImageSet.open(folder, shown=False)
    assert [bool((mine == its).all()) for mine, its in zip(first.keys, again.keys)] == [True, False, True]
    assert bytes(again.keys[1]) == blake2b((folder / "001.jpg").read_bytes(), digest_size=16).digest()


OPEN = f"""
import os, signal, sys
from pathlib import Path
from limbeck.images import manifest

for name, value in {SMALL_SHARDS}.items():
    setattr(manifest, name, value)
replace = os.replace

def killed(source, target, **options):
    if str(target).endswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target, **options)

if sys.argv[3]:
    os.replace = killed
manifest.build([sys.argv[1]], Path(sys.argv[2]), workers=int(sys.argv[4]), shown=False)
"""


def opening(folder: Path, cache: Path, killed_at: str = "", workers: int = 0) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", OPEN, folder, cache, killed_at, str(workers)])


def kept(cache: Path) -> dict[str, bytes]:
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_kill_in_the_middle_loses_only_the_shard_in_work(tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = jpeg(1200, 1600)
    for number in range(120):
        (folder / f"{number:03d}.jpg").write_bytes(photo)
    shards = tmp_path / "cache" / "manifests" / "shards"
    with opening(folder, tmp_path / "cache", workers=workers) as run:
        while run.poll() is None and len(list(shards.glob("[!.]*.arrow"))) < 3:
            time.sleep(0.01)
        run.kill()
    assert run.returncode == -signal.SIGKILL
    time.sleep(0.5)  # orphaned workers end with the shard that they have
    done = {path: path.stat().st_mtime_ns for path in shards.glob("[!.]*.arrow")}
    assert not list((tmp_path / "cache" / "manifests").glob("[!.]*.arrow"))
    for cache in tmp_path / "cache", tmp_path / "whole":
        with opening(folder, cache) as run:
            pass
        assert run.returncode == 0
    assert kept(tmp_path / "cache") == kept(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in done} == done


@pytest.mark.parametrize("place", [".skipped.arrow", ".arrow"])
def test_a_kill_inside_a_rename_leaves_nothing_half_made(tmp_path: Path, place: str) -> None:
    folder = folder_of(tmp_path / "photos", 30, 16, 16)
    with opening(folder, tmp_path / "cache", killed_at=place) as run:
        pass
    assert run.returncode == -signal.SIGKILL
    assert not [name for name in kept(tmp_path / "cache") if "/." not in name and "shards" not in name]
    for cache in tmp_path / "cache", tmp_path / "whole":
        with opening(folder, cache) as run:
            pass
        assert run.returncode == 0
    assert kept(tmp_path / "cache") == kept(tmp_path / "whole")


def test_a_full_disk_while_the_manifest_is_written_keeps_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "photos", 3)
    first = ImageSet.open(folder, shown=False)
    folder_of(folder, 5)
    replace = os.replace

    def full(source: Any, target: Any, **options: Any) -> None:
        if Path(target).parent.name == "manifests":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(RunError, match="no space left"):
            ImageSet.open(folder, shown=False)
    assert sorted(path.name for path in first.manifest.parent.glob("*.arrow")) == sorted(
        [first.manifest.name, manifests.skipped_beside(first.manifest).name]
    )
    assert len(ImageSet(first.manifest)) == 3
    assert len(ImageSet.open(folder, shown=False)) == 5


def test_nothing_usable_is_an_error_that_says_what_was_found(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "notes.csv").touch()
    with pytest.raises(ImagesError, match=r"0 image files found, 0 unreadable; other files: \.csv 1"):
        ImageSet.open(folder, shown=False)
    (folder / "a.jpg").write_bytes(b"no photo")
    (folder / "b.jpg").touch()
    with pytest.raises(ImagesError, match=r"(?s)2 image files found, 2 unreadable.*a\.jpg: not an im.*b\.jpg: empty"):
        ImageSet.open(folder, shown=False)


def test_the_outcome_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path / "photos", 3)
    (folder / "bad.jpg").touch()
    (folder / "a.csv").touch()
    ImageSet.open(folder)
    told = capsys.readouterr().out
    bad = f"1 skipped, the first: {folder}/bad.jpg: empty file"
    assert told == f"{folder}: 3 images; {bad}; 1 other file left aside: .csv 1\n"


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_photos_to_convert_are_told(brand: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    advice = "HEIC, AVIF and RAW photos are not read: convert them to JPEG or PNG"
    folder = folder_of(tmp_path / "photos", 1)
    (folder / "phone.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(60))
    (folder / "raw.NEF").write_bytes(b"II*\0" + bytes(60))
    images = ImageSet.open([folder, folder / "raw.NEF"])
    assert f"1 other file left aside: .nef 1; {advice}" in capsys.readouterr().out
    reasons = {Path(each.path).name: each.reason for each in images.skipped}
    assert reasons["phone.jpg"].endswith(f"; {advice}")
    assert reasons["raw.NEF"].endswith(f"; {advice}")
    for path in folder.glob("*.jpg"):
        path.unlink()
    with pytest.raises(ImagesError, match=rf"other files: \.nef 1; {advice}"):
        ImageSet.open(folder, shown=False)


def test_a_film_is_no_photo_to_convert(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 1)
    (folder / "film.jpg").write_bytes(b"\0\0\0\x18ftypisom" + bytes(60))
    assert "convert" not in ImageSet.open(folder, shown=False).skipped[0].reason
