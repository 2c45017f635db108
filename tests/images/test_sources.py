"""What the user names, and which files come of it."""

import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
import pytest
from photos import folder_of, jpeg

from limbeck.errors import ImagesError
from limbeck.images import places
from limbeck.images.imageset import ImageSet
from limbeck.images.sources import Search, find


def names(tmp_path: Path, *sources: str | Path) -> list[str]:
    search = Search(tmp_path / "cache", shown=False)
    return [os.path.relpath(found.path, tmp_path) for found in find([str(source) for source in sources], search)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b/2.jpg",
        "b/1.PNG",
        "a/x.jpeg",
        "a.jpg",
        "b/.hidden.jpg",
        "__MACOSX/1.jpg",
        ".git/1.jpg",
        "notes.csv",
    ):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"...")
    return tmp_path / "photos"


def test_a_folder_is_walked_in_the_order_of_its_paths(tmp_path: Path, tree: Path) -> None:
    search = Search(tmp_path / "cache")
    found = [os.path.relpath(found.path, tree) for found in find([str(tree)], search)]
    assert found == ["a.jpg", "a/x.jpeg", "b/1.PNG", "b/2.jpg"] == sorted(found)
    assert dict(search.ignored) == {".csv": 1}
    assert search.skipped == []


def test_the_order_of_the_sources_is_kept_and_nothing_comes_twice(tmp_path: Path, tree: Path) -> None:
    found = names(tmp_path, tree / "b", tree, tree / "a.jpg", f"{tree}/**/*.jpg")
    assert found == ["photos/b/1.PNG", "photos/b/2.jpg", "photos/a.jpg", "photos/a/x.jpeg"]


def test_links_are_followed_once(tmp_path: Path, tree: Path) -> None:
    (tree / "a" / "up").symlink_to(tree)
    (tree / "z").symlink_to(tree / "b")
    (tree / "same.jpg").symlink_to(tree / "a.jpg")
    (tree / "itself").symlink_to(tree / "itself")
    (tree / "gone.jpg").symlink_to(tree / "nowhere.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "e.jpg").touch()
    (tree / "out").symlink_to(tmp_path / "elsewhere")
    search = Search(tmp_path / "cache")
    found = [os.path.relpath(found.path, tree) for found in find([str(tree)], search)]
    real = sorted(os.path.relpath(os.path.realpath(tree / name), tmp_path) for name in found)
    assert real == ["elsewhere/e.jpg", *(f"photos/{name}" for name in ("a.jpg", "a/x.jpeg", "b/1.PNG", "b/2.jpg"))]
    assert search.skipped == [(str(tree / "gone.jpg"), "no such file or directory")]


def test_a_list_keeps_its_order_and_survives_bad_lines(tmp_path: Path, tree: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"# chosen\nphotos/b/2.jpg\n\n{tree}/a.jpg\nphotos/none.jpg\nphotos/a\nlist.txt\n")
    search = Search(tmp_path / "cache")
    found = [os.path.relpath(found.path, tree) for found in find([str(listed)], search)]
    assert found == ["b/2.jpg", "a.jpg", "a/x.jpeg"]
    assert [reason for _, reason in search.skipped] == ["no such file or directory", "a list inside a list"]


def test_a_list_survives_lines_that_are_errors_of_their_own(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "torn.arrow").write_bytes(b"no table")
    (tmp_path / "empty.arrow").touch()
    (tmp_path / "list.txt").write_text("gone.arrow\ntorn.arrow\nempty.arrow\nnosuch://a.jpg\nphotos/a.jpg\n")
    search = Search(tmp_path / "cache")
    assert [found.path for found in find([str(tmp_path / "list.txt")], search)] == [str(tree / "a.jpg")]
    assert [Path(path).name for path, _ in search.skipped] == ["gone.arrow", "torn.arrow", "empty.arrow", "a.jpg"]
    assert "gone.arrow is not a manifest of images" in search.skipped[0][1]


@pytest.mark.parametrize("source", ["gone.arrow", "torn.arrow", "gone.txt", "nosuch://photos", "memory:///gone"])
def test_every_error_says_what_was_expected_and_what_to_do(tmp_path: Path, source: str) -> None:
    for name in "gone.arrow", "gone.txt":
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    (tmp_path / "torn.arrow").write_bytes(b"no table")
    with pytest.raises(ImagesError) as caught:
        names(tmp_path, source if "://" in source else tmp_path / source)
    assert source in caught.value.found
    assert caught.value.expected
    assert caught.value.hint


def test_globs(tmp_path: Path, tree: Path) -> None:
    assert names(tmp_path, f"{tree}/*.jpg") == ["photos/a.jpg"]
    assert names(tmp_path, f"{tree}/**/*.jp*g") == ["photos/a.jpg", "photos/a/x.jpeg", "photos/b/2.jpg"]
    assert names(tmp_path, f"{tree}/*") == ["photos/a/x.jpeg", "photos/a.jpg", "photos/b/1.PNG", "photos/b/2.jpg"]
    with pytest.raises(ImagesError, match="nothing matches"):
        names(tmp_path, f"{tree}/*.webp")


def test_a_name_with_glob_letters_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "one[1]").mkdir()
    (tmp_path / "one[1]" / "a.jpg").touch()
    assert names(tmp_path, tmp_path / "one[1]") == ["one[1]/a.jpg"]


def test_a_missing_path_names_its_nearest_neighbour(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(ImagesError) as caught:
        names(tmp_path, tmp_path / "photo")
    assert "photo does not exist" in caught.value.found
    assert caught.value.hint == str(tree)


def test_a_pipe_and_a_name_that_is_no_text_are_passed_over(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 1)
    os.mkfifo(folder / "pipe.jpg")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(jpeg())
    images = ImageSet.open(folder, shown=False)
    assert len(images) == 1
    assert sorted(skipped.reason for skipped in images.skipped) == ["its name is not UTF-8", "not an ordinary file"]


def test_memory_urls(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/limbeck/{name}": jpeg(seed=seed) for seed, name in enumerate(("b/2.jpg", "a.jpg", ".h.jpg"))})
    memory.pipe("/limbeck/notes.csv", b"...")
    try:
        images = ImageSet.open("memory://limbeck", shown=False, workers=2)
        assert [images.path(index).split("limbeck/")[1] for index in range(len(images))] == ["a.jpg", "b/2.jpg"]
        assert images.read(1) == jpeg(seed=0)
        single = ImageSet.open(["memory://limbeck/a.jpg", "memory://limbeck/*.jpg"], shown=False)
        assert len(single) == 1
        assert single.read(0) == jpeg(seed=1)
        memory.rm("/limbeck/a.jpg")
        with pytest.raises(OSError, match=r"a\.jpg"):
            images.read(0)
    finally:
        memory.rm("/limbeck", recursive=True)
    with pytest.raises(ImagesError, match="does not exist"):
        ImageSet.open("memory://limbeck", shown=False)


def test_file_urls_are_paths(tmp_path: Path, tree: Path) -> None:
    assert names(tmp_path, f"file://{tree}/b") == ["photos/b/1.PNG", "photos/b/2.jpg"]


def test_unknown_kind_of_url() -> None:
    with pytest.raises(ImagesError, match="nosuch://photos cannot be opened"):
        ImageSet.open("nosuch://photos", shown=False)


@dataclass
class Server:
    url: str
    root: Path
    sent: list[int] = field(default_factory=list)


@contextmanager
def _serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A real server on the loopback that knows ranges, lists folders, and counts the bytes it sends."""
    root = tmp_path / "served"
    root.mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            place = root / unquote(self.path).lstrip("/")
            if not place.exists():
                self.send_error(404)
                return
            if place.is_dir():
                links = [f'<a href="{p.name}{"/" * p.is_dir()}">{p.name}</a>' for p in sorted(place.iterdir())]
                data = "\n".join(links).encode()
            else:
                data = place.read_bytes()
            size, wanted = len(data), self.headers.get("Range")
            if wanted:
                start, end = wanted.removeprefix("bytes=").split("-")
                data = data[int(start) : int(end or size - 1) + 1]
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{int(start) + len(data) - 1}/{size}")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                known.sent.append(len(data))
                self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    with _serving(Handler) as url:
        known = Server(url, root)
        yield known


def test_http_folder_file_and_list(server: Server) -> None:
    folder_of(server.root / "photos" / "cats", 2)
    (server.root / "photos" / "list.txt").write_text("cats/001.jpg\ncats/missing.jpg\n")
    images = ImageSet.open(f"{server.url}/photos/", shown=False)
    assert [images.path(index) for index in range(2)] == [f"{server.url}/photos/cats/00{n}.jpg" for n in range(2)]
    assert images.folder(0) == "cats"
    listed = ImageSet.open(f"{server.url}/photos/list.txt", shown=False)
    assert [listed.read(index) for index in range(len(listed))] == [jpeg(48, 64, seed=1)]
    assert [Path(skipped.path).name for skipped in listed.skipped] == ["missing.jpg"]
    with pytest.raises(ImagesError, match="does not exist"):
        ImageSet.open(f"{server.url}/none.jpg", shown=False)


@pytest.fixture
def plain_server(tmp_path: Path) -> Iterator[Server]:
    """What `python -m http.server` is: it ignores ranges and sends all of a file."""
    root = tmp_path / "served"
    root.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(root))

        def log_message(self, *arguments: object) -> None:
            pass

    with _serving(Handler) as url:
        yield Server(url, root)


def test_photos_on_a_server_without_ranges(plain_server: Server) -> None:
    folder_of(plain_server.root / "photos", 2)
    for source in "photos/", "photos/001.jpg":
        images = ImageSet.open(f"{plain_server.url}/{source}", shown=False)
        assert images.read(len(images) - 1) == jpeg(48, 64, seed=1)
    (plain_server.root / "photos" / "001.jpg").unlink()
    with pytest.raises(FileNotFoundError):
        images.read(0)


def test_a_photo_on_a_server_is_read_up_to_the_byte_limit(
    plain_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(plain_server.root / "photos", 1)
    (plain_server.root / "photos" / "endless.jpg").write_bytes(jpeg() + bytes(3 * 2**20))
    monkeypatch.setattr(places, "MOST_BYTES", 2**20)
    images = ImageSet.open(f"{plain_server.url}/photos/", shown=False, workers=0)
    assert len(images) == 1
    assert [skipped.reason for skipped in images.skipped] == [
        "over 1,048,576 bytes, more than an image within the pixel limit needs"
    ]


@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize("kind", ["tar", "zip", "gztar"])
def test_an_archive_on_a_server_without_ranges(plain_server: Server, tmp_path: Path, kind: str, count: int) -> None:
    folder = folder_of(tmp_path / "photos", count, 96, 128)
    archive = Path(shutil.make_archive(str(plain_server.root / "photos"), kind, folder))
    url = f"{plain_server.url}/{archive.name}"
    with pytest.raises(ImagesError, match=r"photos\.\S+ cannot be read in parts.*\n.*\n.*download the archive"):
        ImageSet.open(url, shown=False)
    (tmp_path / "list.txt").write_text(f"{url}\n{folder}\n")
    images = ImageSet.open(tmp_path / "list.txt", shown=False)
    assert len(images) == count
    assert "range requests" in images.skipped[0].reason


@pytest.mark.parametrize("kind", ["tar", "zip", "gztar"])
def test_an_archive_on_a_server_is_read_in_parts(server: Server, tmp_path: Path, kind: str) -> None:
    folder = folder_of(tmp_path / "photos", 6, 300, 400)
    archive = Path(shutil.make_archive(str(server.root / "photos"), kind, folder))
    url = f"{server.url}/{archive.name}"
    images = ImageSet.open(url, shown=False)
    assert len(images) == 6
    server.sent.clear()
    assert images.read(3) == (folder / "003.jpg").read_bytes()
    assert sum(server.sent) < archive.stat().st_size / 3
    assert max(server.sent, default=0) <= 2 * (folder / "003.jpg").stat().st_size
    server.sent.clear()
    again = ImageSet.open(url, shown=False)
    assert again.manifest == images.manifest
    assert sum(server.sent) == 0
