"""Whatever trains through the one loop, when things go wrong: what was found, what was expected, what to type."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck import cli
from limbeck.errors import LimbeckError, OptionError
from limbeck.training import loop
from limbeck.training.state import read_progress, save_state, state_file
from tests.commands.tiny import records
from tests.commands.told import parts, told
from tests.commands.verbs import Verb, weights


def test_an_option_that_nobody_knows(verb: Verb, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*verb.line(verb.options(tmp_path / "run")), "--epocs", "3"])
    assert ended.value.code == 2
    with pytest.raises(OptionError, match=r"unknown option 'epocs'\n.*epochs"):
        verb.run(tmp_path / "run", epocs=3)
    with pytest.raises(OptionError, match=r"batch is 'many'\n.*int"):
        verb.run(tmp_path / "run", batch="many")


def test_a_config_with_a_key_that_nobody_knows(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.json"
    for content, found, expected in (
        ('{"epocs": 3}', "unknown option 'epocs'", "epochs"),
        ('{"batch": "x"}', "batch is 'x'", "int"),
        ("[1]", "holds no options", "config.json"),
        ("{", "is not JSON", "config.json"),
    ):
        file.write_text(content)
        said = parts(told([verb.name, "--config", str(file), "--out", str(tmp_path / "run")], capsys))
        assert found in said[0]
        assert str(file) in said[0]
        assert expected in said[1]


def test_fewer_photos_than_a_batch(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = len(verb.files)
    said = parts(told(verb.line(verb.options(tmp_path / "run", batch=128)), capsys))
    assert said[0] == f"{count} usable images, fewer than a batch of 128"
    assert "--batch 16, or more" in said[2] or "--batch 64, or more" in said[2]
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_device_that_is_not_there(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = parts(told(verb.line(verb.options(tmp_path / "run", device="cuda")), capsys))
    assert said == ("--device cuda: there is none on this machine", "cpu, auto", "--device auto")


def test_an_out_that_holds_something_else(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = verb.line(verb.options(out, steps=1))
    cli.main(words)
    before = weights(out)
    capsys.readouterr()
    said = parts(told(words, capsys))
    assert "already holds a run" in said[0]
    assert f"limbeck {verb.name} --out {out} --resume" in said[2]
    assert weights(out) == before

    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    said = parts(told(verb.line(verb.options(tmp_path / "letters")), capsys))
    assert "files that are not a run's" in said[0]
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]
    said = parts(told(verb.line(verb.options(tmp_path / "letters" / "dear.txt")), capsys))
    assert "is a file" in said[0]


def test_what_cannot_be_resumed(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = parts(told(verb.resume(tmp_path / "none"), capsys))
    assert "holds no run to resume" in said[0]
    assert "leave --resume out" in said[2]
    said = parts(told([verb.name, "--resume"], capsys))
    assert "--resume without --out" in said[0]
    assert "--out RUN" in said[2]

    out = tmp_path / "run"
    verb.run(out, steps=2, lr=0.5)
    for changed, found in (
        (["--lr", "0.1"], "--lr is 0.1 now, but the run in"),
        (["--epochs", "3"], "--epochs is 3 now"),
        ([f"--{verb.source}", str(tmp_path)], f"--{verb.source} is"),
    ):
        said = parts(told([*verb.resume(out), *changed], capsys))
        assert found in said[0]
        assert "leave the option out" in said[2]
    with pytest.raises(OptionError, match="--epochs is 9 now"):
        verb.go_on(out, epochs=9)


def test_a_finished_run_is_finished(verb: Verb, tmp_path: Path) -> None:
    verb.run(tmp_path / "run", steps=2)
    before = weights(tmp_path / "run")
    verb.go_on(tmp_path / "run", workers=2, save_every=7)
    assert weights(tmp_path / "run") == before
    assert len(records(tmp_path / "run")) == 2


def test_a_tracker_that_is_not_installed(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("limbeck.runs.devices.find_spec", lambda name: None)
    said = parts(told(verb.line(verb.options(tmp_path / "run", track=("mlflow",))), capsys))
    assert said == ("--track mlflow: it is not installed", "mlflow", "pip install mlflow")


def test_numbers_that_are_not_finite(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    given = verb.options(out, epochs=40, save_every=1) | verb.wild
    found, expected, hint = parts(told(verb.line(given), capsys))
    step = len(records(out)) + 1
    assert found.startswith(f"step {step}: ")
    assert str(verb.photos) in found
    assert "the last saved state is good" in expected
    assert "--lr" in hint
    assert read_progress(out).done == step - 1
    listed = (out / "nonfinite-0.txt").read_text().split()
    assert len(listed) == verb.batch
    assert all(Path(name).is_file() for name in listed)


class Stop(Exception):
    pass


def vanishing(monkeypatch: pytest.MonkeyPatch, verb: Verb, *, at: int, stop: int) -> None:
    """Once `at` steps are saved, one photo is gone and one is no photo any more; after `stop` the run is cut off."""
    save = save_state

    def saved(run: Path, step: Any, optimizer: Any, average: Any, progress: Any) -> None:
        save(run, step, optimizer, average, progress)
        if progress.done == at:
            gone, torn = verb.files[1], verb.files[5]
            gone.unlink()
            torn.write_text("no photo")
        if progress.done == stop:
            raise Stop

    monkeypatch.setattr(loop, "save_state", saved)


def test_files_that_vanish_give_their_places_to_others(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The photos go when three steps are done, in the same process: the reader knows nothing of it."""
    outs: dict[str, list[dict[str, Any]]] = {}
    for name in ("whole", "cut"):
        own = verb.elsewhere(tmp_path / "photos")
        given = own.job(tmp_path / name, save_every=1, epochs=3)
        with monkeypatch.context() as patched:
            vanishing(patched, own, at=3, stop=9 if name == "cut" else 0)
            if name == "whole":
                own.call(**given)
                said = capsys.readouterr().out
            else:
                with pytest.raises(Stop):
                    own.call(**given)
        if name == "cut":
            assert read_progress(tmp_path / "cut").replaced
            own.go_on(tmp_path / "cut")
        outs[name] = records(tmp_path / name)
    replaced = read_progress(tmp_path / "whole").replaced
    assert len(outs["whole"]) == len(outs["cut"]) == 18
    assert replaced
    assert read_progress(tmp_path / "cut").replaced == replaced
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    for text in (said, capsys.readouterr().out):
        assert re.search(rf"{len(replaced)} photos? could not be read any more", text)
    told_of = (tmp_path / "cut" / "skipped.csv").read_text()
    assert told_of.startswith("path,reason")
    assert told_of.count(str(tmp_path / "photos")) == len(replaced)


def test_photos_that_are_all_gone(verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = verb.elsewhere(tmp_path / "photos")
    with monkeypatch.context() as patched:
        vanishing(patched, own, at=-1, stop=2)
        with pytest.raises(Stop):
            own.run(tmp_path / "run", save_every=1)
    own.photos.rename(tmp_path / "moved")
    with pytest.raises(LimbeckError, match="the photos of this run are not where they were") as error:
        own.go_on(tmp_path / "run")
    assert "ln -s NEW_PLACE OLD_PLACE" in str(error.value)
    (tmp_path / "moved").rename(own.photos)
    own.go_on(tmp_path / "run")


def test_a_full_disk_is_told_and_gone_on_from(verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verb.run(tmp_path / "whole", epochs=1, save_every=1)
    real, states = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal states
        name = Path(f"/proc/self/fd/{handle}").readlink().name if Path("/proc/self/fd").exists() else ""
        states += name.startswith(".state.safetensors")
        if states > 3:
            raise OSError(28, "No space left on device")
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(LimbeckError, match=r"no space left to write .*state.safetensors\n.*\n.*--resume"):
            verb.run(tmp_path / "full", epochs=1, save_every=1)
    assert read_progress(tmp_path / "full").done == 3
    assert [path.name for path in state_file(tmp_path / "full").parent.glob("*.tmp")] == []
    verb.go_on(tmp_path / "full")
    assert weights(tmp_path / "full") == weights(tmp_path / "whole")


def test_a_full_disk_under_the_records_is_told(verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, done: int, values: dict[str, float]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("limbeck.training.log.Log.write", full)
    with pytest.raises(LimbeckError, match="no space left to write in") as error:
        verb.run(tmp_path / "run", steps=2)
    assert f"limbeck {verb.name} --out {tmp_path / 'run'} --resume" in str(error.value)


def test_out_of_memory_halves_and_keeps_the_batch(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = verb.calm | {"steps": 6}
    whole = verb.run(tmp_path / "whole", **given).model.state_dict()
    forward, tries = verb.network.forward, list[int]()

    def small(self: Any, images: torch.Tensor) -> Any:
        if self.training and len(images) > verb.batch // 4:
            tries.append(len(images))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, images)

    monkeypatch.setattr(verb.network, "forward", small)
    halved = verb.run(tmp_path / "halved", **given).model.state_dict()
    assert tries == [verb.batch, verb.batch // 2], "the size that fits is kept"
    for name, value in whole.items():
        torch.testing.assert_close(halved[name], value, rtol=1e-4, atol=1e-6)
    for one, other in zip(records(tmp_path / "whole"), records(tmp_path / "halved"), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
    said = capsys.readouterr().out
    assert f"{verb.batch // 2} images at a time instead of {verb.batch}" in said
    assert "Batch norm now" in said
    assert read_progress(tmp_path / "halved").parts == 4


def test_evaluation_goes_on_with_fewer_images_at_once(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = verb.calm | {"epochs": 1}
    verb.run(tmp_path / "whole", **given)
    forward, tries = verb.network.forward, list[int]()

    def small(self: Any, images: torch.Tensor) -> Any:
        if not self.training and len(images) > 2:
            tries.append(len(images))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, images)

    monkeypatch.setattr(verb.network, "forward", small)
    verb.run(tmp_path / "small", **given)
    assert tries in ([10, 5, 3], [8, 4]), "the size that fits is kept"
    said = capsys.readouterr().out
    assert re.search(
        "out of memory: from here on the (student|detector) is asked about 2 images at once, not [34]", said
    )
    assert weights(tmp_path / "small") == weights(tmp_path / "whole")
