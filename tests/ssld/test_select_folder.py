"""OUT/photos of a selection: names that any file system takes, and links as quickly as there are photos."""

from pathlib import Path

import pytest
from PIL import Image

from limbeck.errors import RunError
from limbeck.images.imageset import ImageSet
from limbeck.ssld import select_folder
from limbeck.ssld.select_folder import materialise, selection_folder
from limbeck.ssld.select_options import Select


def test_long_names_are_cut_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / f"{'写' * 80}.jpg")
    (tmp_path / "set").mkdir()
    images = ImageSet.open([str(tmp_path / "photos")], workers=0, shown=False)
    (path,) = materialise(images, tmp_path / "set", link=False).column("path").to_pylist()
    assert Path(path).name.startswith("写" * 26 + "-")
    assert Path(path).read_bytes() == images.read(0)


def test_what_can_be_linked_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    for shade in range(4):
        Image.new("RGB", (8, 8), (shade * 50, 0, 0)).save(tmp_path / "photos" / f"{shade}.png")
    (tmp_path / "set").mkdir()
    images = ImageSet.open([str(tmp_path / "photos")], workers=0, shown=False)
    asked = []
    ask = select_folder._linked
    monkeypatch.setattr(select_folder, "_linked", lambda batch: asked.append(batch) or ask(batch))
    materialise(images, tmp_path / "set", link=True)
    assert len(asked) == 1
    assert all(file.is_symlink() for file in (tmp_path / "set" / "photos").iterdir())


def test_a_selection_that_is_being_made_is_not_resumed_as_a_run(tmp_path: Path) -> None:
    options = Select(gallery=(str(tmp_path / "photos"),), out=str(tmp_path / "set"))
    with selection_folder(options), pytest.raises(RunError) as caught, selection_folder(options):
        pass
    assert caught.value.hint.endswith("; then the same command again")
