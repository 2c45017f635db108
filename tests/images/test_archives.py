"""Archives: read in place, never extracted, and never trusted."""

import io
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from photos import folder_of, jpeg

from limbeck.errors import ImagesError
from limbeck.images import archives
from limbeck.images.imageset import ImageSet
from limbeck.images.limits import MOST_BYTES, MOST_PIXELS


def opened(archive: Path) -> ImageSet:
    return ImageSet.open(archive, shown=False)


def contents(images: ImageSet) -> list[bytes]:
    return [images.read(index) for index in range(len(images))]


def reasons(images: ImageSet) -> dict[str, str]:
    return {skipped.path.split(".zip/")[-1].split(".tar/")[-1]: skipped.reason for skipped in images.skipped}


def test_zip_members_are_read_in_place_stored_and_deflated(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("dogs/2.jpg", jpeg(seed=2), zipfile.ZIP_DEFLATED)
        archive.writestr("cats/", b"")
        archive.writestr("cats/1.jpg", jpeg(seed=1), zipfile.ZIP_STORED)
        archive.writestr("labels.csv", "a,b")
        archive.writestr("__MACOSX/cats/1.jpg", b"...")
    images = opened(tmp_path / "photos.zip")
    assert contents(images) == [jpeg(seed=1), jpeg(seed=2)]
    assert images.path(1) == str(tmp_path / "photos.zip/dogs/2.jpg")
    assert [images.folder(0), images.folder(1)] == ["cats", "dogs"]
    assert images.skipped == []
    assert [path.name for path in tmp_path.iterdir()] == ["photos.zip"]


def test_zip64_and_bytes_before_the_archive(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("big.jpg", "w", force_zip64=True) as member:
        member.write(jpeg())
    (tmp_path / "wide.zip").write_bytes(as_zip64(stream.getvalue()))
    (tmp_path / "after.zip").write_bytes(b"#!/bin/sh\n" * 7 + stream.getvalue())
    assert contents(opened(tmp_path / "wide.zip")) == [jpeg()]
    assert contents(opened(tmp_path / "after.zip")) == [jpeg()]


def as_zip64(data: bytes) -> bytes:
    """The same archive with its sizes and places said in 64 bits, as writers do beyond 4 GB."""
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    record = bytearray(data[start:end])
    length, size = struct.unpack_from("<II", record, 20)
    name, extra = struct.unpack_from("<HH", record, 28)
    wide = struct.pack("<HHQQQ", 1, 24, size, length, 0)
    struct.pack_into("<II", record, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<I", record, 42, 0xFFFFFFFF)
    struct.pack_into("<H", record, 30, len(wide))
    directory = bytes(record[: 46 + name]) + wide + bytes(record[46 + name + extra :])
    end_64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(directory), start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + len(directory), 1)
    last = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:start] + directory + end_64 + locator + last


def test_unsafe_zip_members_are_listed_and_left(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in ("good.jpg", "../up.jpg", "a/../../up.jpg", "/etc/photo.jpg", "C:/photo.jpg", "a\\..\\up.jpg"):
            archive.writestr(name, jpeg())
        link = zipfile.ZipInfo("link.jpg")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("squeezed.jpg", jpeg(), zipfile.ZIP_LZMA)
    data = bytearray((tmp_path / "evil.zip").read_bytes())
    at = data.rindex(b"PK\1\2", 0, data.rindex(b"squeezed.jpg"))
    images = opened(tmp_path / "evil.zip")
    assert [Path(images.path(0)).name, len(images)] == ["good.jpg", 1]
    assert reasons(images) == {
        "../up.jpg": "a name that leaves the archive",
        "a/../../up.jpg": "a name that leaves the archive",
        "a\\..\\up.jpg": "a name that leaves the archive",
        "/etc/photo.jpg": "an absolute name inside an archive",
        "C:/photo.jpg": "an absolute name inside an archive",
        "link.jpg": "a link inside an archive",
        "squeezed.jpg": "compressed by method 14; only stored and deflated members are read",
    }
    data[at + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    assert reasons(opened(tmp_path / "locked.zip"))["squeezed.jpg"] == "encrypted"


def test_a_member_that_unpacks_to_more_than_it_declares_is_skipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.jpg", jpeg())
        archive.writestr("liar.jpg", bytes(50_000_000))
        archive.writestr("huge.bmp", bytes(1000))
    data = bytearray((tmp_path / "bomb.zip").read_bytes())
    struct.pack_into("<I", data, data.rindex(b"liar.jpg") - 46 + 24, 5000)
    struct.pack_into("<I", data, data.rindex(b"huge.bmp") - 46 + 24, 4_000_000_000)
    (tmp_path / "bomb.zip").write_bytes(data)
    assert reasons(opened(tmp_path / "bomb.zip")) == {
        "liar.jpg": "unpacks to more than the 5,000 bytes it declares",
        "huge.bmp": "declares 4,000,000,000 bytes, more than an image within the pixel limit needs",
    }


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_zip_that_is_cut_short_says_so(tmp_path: Path, kept: float) -> None:
    whole = Path(shutil.make_archive(str(tmp_path / "whole"), "zip", folder_of(tmp_path / "photos", 3)))
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole.read_bytes()[: int(kept * whole.stat().st_size)])
    with pytest.raises(ImagesError, match="damaged zip file"):
        opened(cut)
    assert [skipped.path for skipped in ImageSet.open([cut, whole], shown=False).skipped] == [str(cut)]


def test_tar_members_are_read_in_place_and_unsafe_ones_left(tmp_path: Path) -> None:
    long_name = "cats/" + "x" * 150 + ".jpg"
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for name in (long_name, "../up.jpg", "/root.jpg", "a.JPG", "labels.csv", "a.JPG"):
            member = tarfile.TarInfo(name)
            member.size = len(jpeg())
            archive.addfile(member, io.BytesIO(jpeg()))
        for name, kind in ("soft.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE), ("pipe.jpg", tarfile.FIFOTYPE):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a.JPG"
            archive.addfile(member)
    images = opened(tmp_path / "photos.tar")
    assert [images.path(index).split(".tar/")[1] for index in range(len(images))] == ["a.JPG", long_name]
    assert contents(images) == [jpeg(), jpeg()]
    assert reasons(images) == {
        "../up.jpg": "a name that leaves the archive",
        "/root.jpg": "an absolute name inside an archive",
        "soft.jpg": "a link inside an archive",
        "hard.jpg": "a link inside an archive",
        "pipe.jpg": "a device inside an archive",
    }


@pytest.mark.parametrize("damage", ["cut", "scribbled"])
def test_a_damaged_tar_gives_the_members_before_the_damage(tmp_path: Path, damage: str) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "photos"), "tar", folder_of(tmp_path / "photos", 4)))
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        third = archive.getmembers()[3]
    if damage == "cut":
        data = data[: third.offset_data + 100]
    else:
        data[third.offset : third.offset + 512] = b"?" * 512
    path.write_bytes(data)
    images = opened(path)
    assert len(images) >= 2
    assert any("damaged" in skipped.reason for skipped in images.skipped)


def test_a_tar_gz_is_unpacked_once_and_its_size_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path / "photos", 3)
    archive = shutil.make_archive(str(tmp_path / "packed"), "gztar", folder)
    images = ImageSet.open(archive, cache=tmp_path / "cache")
    assert f"unpacked {archive} (" in capsys.readouterr().out.replace("\n", "")
    assert contents(images) == [jpeg(48, 64, seed=number) for number in range(3)]
    (plain,) = (tmp_path / "cache" / "archives").glob("*.tar")
    before = plain.stat()
    ImageSet.open(archive, cache=tmp_path / "cache")
    assert f"unpacked {archive} (" not in capsys.readouterr().out.replace("\n", "")
    assert plain.stat().st_mtime_ns == before.st_mtime_ns


def test_a_tar_gz_that_is_cut_short_leaves_nothing_behind(tmp_path: Path) -> None:
    whole = Path(shutil.make_archive(str(tmp_path / "whole"), "gztar", folder_of(tmp_path / "photos", 3)))
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(ImagesError, match="not a whole gzip file"):
        ImageSet.open(cut, cache=tmp_path / "cache", shown=False)
    assert list((tmp_path / "cache" / "archives").iterdir()) == []


def test_a_gzip_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    monkeypatch.setattr(archives, "_FREE_GROWTH", 2**20)
    with pytest.raises(ImagesError, match="over 200 times its size"):
        ImageSet.open(tmp_path / "bomb.tar.gz", cache=tmp_path / "cache", shown=False)
    assert list((tmp_path / "cache" / "archives").iterdir()) == []


def test_a_full_disk_is_noticed_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "gztar", folder_of(tmp_path / "photos", 1))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=100))
    with pytest.raises(ImagesError, match="free"):
        ImageSet.open(archive, shown=False)


def test_an_archive_that_changed_is_listed_anew(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 1)
    assert len(opened(Path(shutil.make_archive(str(tmp_path / "a"), "zip", folder)))) == 1
    folder_of(folder, 2)
    assert len(opened(Path(shutil.make_archive(str(tmp_path / "a"), "zip", folder)))) == 2


def test_a_vanished_archive_is_an_os_error(tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "tar", folder_of(tmp_path / "photos", 1)))
    images = opened(archive)
    data = archive.read_bytes()
    archive.write_bytes(data[:600])
    with pytest.raises(OSError, match="holds"):
        images.read(0)
    archive.unlink()
    with pytest.raises(FileNotFoundError):
        images.read(0)


def test_the_byte_limit_follows_from_the_pixel_limit() -> None:
    assert MOST_BYTES > 4 * MOST_PIXELS
