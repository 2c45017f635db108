"""limbeck select: what is kept, what is told of the rest, and that only the photos themselves decide it."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import limbeck
from limbeck.cli import main
from limbeck.commands.select import tell
from limbeck.errors import CheckpointError, ImagesError, LimbeckError, OptionError, RunError, TeacherError, UnknownName
from limbeck.images.imageset import ImageSet
from limbeck.images.places import key_of
from limbeck.scenes.dataset import draw_dataset
from limbeck.ssld import gallery as galleries
from limbeck.ssld import scoring
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.gates import decide
from limbeck.ssld.scoring import LEVELS, Scores
from limbeck.ssld.select_options import Select
from tests.commands.tiny import CLASSES, run
from tests.loopback import ray_cluster

QUICK: dict[str, Any] = {"workers": 0, "device": "cpu", "teacher_precision": "float32", "signature": "hash"}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "_LEAST", 8)


def select(gallery: Any, teacher: Any, out: Path, **options: Any) -> ImageSet:
    given = gallery if isinstance(gallery, tuple) else (str(gallery),)
    teacher = teacher if isinstance(teacher, torch.nn.Module) else str(teacher)
    return limbeck.select(gallery=given, teacher=teacher, out=out, **QUICK | {"per_class": 5} | options)


def rows(out: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(out / "selected.parquet").to_pylist())


def names(images: ImageSet) -> list[str]:
    return [Path(images.path(row)).name for row in range(len(images))]


def test_from_a_messy_folder_to_a_student(
    gallery: Path, excluded: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    kept = select(gallery, teacher, out, exclude=str(excluded), per_class=5)
    said = capsys.readouterr().out
    why = Counter(row["why"] for row in rows(out))
    assert len(rows(out)) == 85
    assert why["kept"] == len(kept) == 20
    assert why["copy of another"] == why["unreadable"] == 1
    dropped = {Path(row["path"]).name: Path(row["of"]).name for row in rows(out) if row["why"].startswith("near")}
    assert dropped["bars_7.jpg"] == "a.jpg"
    assert dropped["scene_1.png"] == "b.jpg"
    (copy,) = [row for row in rows(out) if row["why"] == "copy of another"]
    assert (Path(copy["path"]).name, Path(copy["of"]).name) == ("z_copy.jpg", "disc_3.jpg")
    (broken,) = [row for row in rows(out) if row["why"] == "unreadable"]
    assert Path(broken["path"]).name == "broken.jpg"
    assert broken["detail"]
    assert "20  kept of 85 files: 5 in each of 4 classes" in said
    assert said.splitlines()[-1].startswith(f"next: limbeck distill --images {out} --teacher {teacher} --student ")
    page = (out / "select.html").read_text()
    assert all(f"<h3><bdi>{name}</bdi></h3>" in page for name in CLASSES)
    assert "2 photos were left out" in page
    assert "a near-duplicate of the excluded" in page
    run(out, teacher, tmp_path / "run", epochs=1)
    assert (tmp_path / "run" / "student" / "model.safetensors").exists()


def test_the_best_of_each_class_by_the_teachers_own_answers(gallery: Path, teacher: Path, tmp_path: Path) -> None:
    """Against the answers that `limbeck.load` gives to each photo alone."""
    kept = select(gallery, teacher, tmp_path / "set", per_class=3)
    model = limbeck.load(teacher)
    scores: dict[str, list[tuple[float, str]]] = {name: [] for name in CLASSES}
    for file in sorted(gallery.iterdir()):
        if file.name not in ("z_copy.jpg", "broken.jpg"):
            (answer,) = model.predict(file, top=1)
            scores[answer.classes[0]].append((answer.probabilities[0], file.name))
    cut = {name: sorted(found, reverse=True)[2][0] for name, found in scores.items()}
    told = {Path(row["path"]).name: row for row in rows(tmp_path / "set")}
    for name, found in scores.items():
        for score, photo in found:
            assert told[photo]["class_name"] == name
            assert told[photo]["score"] == pytest.approx(score, abs=2e-5)
            if abs(score - cut[name]) > 1e-4:
                assert told[photo]["kept"] == (score > cut[name])
    assert len(kept) == 12
    assert names(kept) == [Path(row["path"]).name for row in rows(tmp_path / "set") if row["kept"]]


def test_decisions_are_sorted_and_whole(gallery: Path, teacher: Path, tmp_path: Path) -> None:
    select(gallery, teacher, tmp_path / "set", min_score=0.6)
    told = rows(tmp_path / "set")
    ranked = [row for row in told if row["rank"] is not None]
    assert ranked == sorted(ranked, key=lambda row: (row["class"], row["rank"]))
    for name in CLASSES:
        of_class = [row for row in ranked if row["class_name"] == name]
        assert [row["rank"] for row in of_class] == list(range(1, len(of_class) + 1))
        scores = [row["score"] for row in of_class]
        assert scores == sorted(scores, reverse=True)
    assert all((row["why"] == "below min-score") == (row["score"] < 0.6) for row in ranked)


def same(one: Path, other: Path) -> None:
    assert rows(one) == rows(other)
    mine, its = ImageSet(one / "manifest.arrow"), ImageSet(other / "manifest.arrow")
    assert mine.fingerprint() == its.fingerprint()
    assert names(mine) == names(its)


def test_the_order_of_the_sources_decides_nothing(gallery: Path, excluded: Path, teacher: Path, tmp_path: Path) -> None:
    files = [str(file) for file in sorted(gallery.iterdir())]
    given = {"exclude": str(excluded), "keep_unsure": 0.4, "balance": 1.5}
    select(tuple(files), teacher, tmp_path / "one", **given)
    backwards = given | {"exclude": tuple(str(file) for file in sorted(excluded.iterdir(), reverse=True))}
    select(tuple(files[::-1]), teacher, tmp_path / "two", cache=str(tmp_path / "other"), **backwards)
    same(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "workers"), [("plain", 2), ("daft", 2)])
def test_workers_and_engine_decide_nothing(
    engine: str, workers: int, gallery: Path, excluded: Path, teacher: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    if engine == "daft":
        pytest.importorskip("daft")
    monkeypatch.setattr(scoring, "_FEW", 0)
    given = {"exclude": str(excluded), "signature": "embedding", "dedupe": True}
    select(gallery, teacher, tmp_path / "one", **given)
    given |= {"engine": engine, "workers": workers, "cache": str(tmp_path / "other")}
    select(gallery, teacher, tmp_path / "two", **given)
    same(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_a_cluster_decides_nothing(
    gallery: Path, excluded: Path, teacher: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("daft")
    given: dict[str, Any] = {"exclude": str(excluded), "signature": "embedding", "dedupe": True}
    select(gallery, teacher, tmp_path / "one", **given)
    monkeypatch.chdir(teacher.parent)  # a path that holds from this folder only
    with ray_cluster() as cluster:
        given |= {"engine": cluster.engine, "workers": 2, "cache": str(tmp_path / "other")}
        select(gallery, teacher.name, tmp_path / "two", **given)
    same(tmp_path / "one", tmp_path / "two")


def test_finished_shards_are_not_scored_again(
    gallery: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    select(gallery, teacher, tmp_path / "whole", cache=str(tmp_path / "cache"))
    scored = sorted((tmp_path / "cache" / "selection" / "scores").glob("*.arrow"))
    assert len(scored) == 8
    for file in scored[:3]:
        file.unlink()
    again: list[scoring.ScoreShard] = []
    once = scoring.score_shard

    def counted(shard: scoring.ScoreShard) -> Path:
        again.append(shard)
        return once(shard)

    monkeypatch.setattr(scoring, "score_shard", counted)
    select(gallery, teacher, tmp_path / "other", cache=str(tmp_path / "cache"))
    assert len(again) == 3
    assert "5 of 8 shards are scored already" in capsys.readouterr().out
    same(tmp_path / "whole", tmp_path / "other")
    select(gallery, teacher, tmp_path / "more", cache=str(tmp_path / "cache"), per_class=9)
    assert len(again) == 3


@pytest.mark.parametrize("way", ["copy", "link"])
def test_a_folder_of_the_photos_themselves(way: str, gallery: Path, teacher: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "photos"), "zip", gallery)
    before = {file: file.read_bytes() for file in gallery.iterdir()}
    select(gallery, teacher, tmp_path / "plain")
    for number, source in enumerate((gallery, tmp_path / "photos.zip")):
        out = tmp_path / f"set{number}"
        kept = select(source, teacher, out, **{way: True})
        again = ImageSet.open(out / "photos", cache=tmp_path / "cache", workers=0, shown=False)
        assert {key.tobytes() for key in kept.keys} == {key.tobytes() for key in again.keys}
        assert len(again) == 20
        assert all(Path(kept.path(row)).parent == out / "photos" for row in range(20))
        assert all(key_of(kept.read(row)) == kept.keys[row].tobytes() for row in range(20))
        assert all(file.is_symlink() == (way == "link" and number == 0) for file in (out / "photos").iterdir())
        assert kept.fingerprint() == ImageSet(tmp_path / "plain" / "manifest.arrow").fingerprint()
    assert before == {file: file.read_bytes() for file in gallery.iterdir()}


def test_near_duplicates_inside_the_gallery_leave_the_largest(gallery: Path, teacher: Path, tmp_path: Path) -> None:
    mess = tmp_path / "mess"
    shutil.copytree(gallery, mess)
    with Image.open(gallery / "scene_2.png") as photo:
        photo.resize((300, 300)).save(mess / "large.jpg")
    select(mess, teacher, tmp_path / "set", dedupe=True, per_class=50)
    told = {Path(row["path"]).name: row for row in rows(tmp_path / "set")}
    assert told["scene_2.png"]["why"] == "near-duplicate in the gallery"
    assert Path(told["scene_2.png"]["of"]).name == "large.jpg"
    for row in told.values():  # what a photo gave way to is there
        assert row["why"] != "near-duplicate in the gallery" or told[Path(row["of"]).name]["kept"]


def test_a_module_from_python(gallery: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 6))
    kept = select(gallery, module, tmp_path / "set", teacher_size=16, check_teacher=False, workers=2)
    assert {row["class_name"] for row in rows(tmp_path / "set") if row["kept"]} <= {str(n) for n in range(6)} | {
        f"class {n}" for n in range(6)
    }
    assert len(kept) > 0


def test_a_teacher_without_features_says_so(
    gallery: Path, excluded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    options = {"teacher_size": 16, "check_teacher": False, "signature": "embedding", "exclude": str(excluded)}
    select(gallery, module, tmp_path / "set", **options)
    assert "the teacher shows no features: near-duplicates are found by --signature" in capsys.readouterr().out


def test_every_pair_compared_finds_what_the_fast_way_finds(
    gallery: Path, excluded: Path, teacher: Path, tmp_path: Path
) -> None:
    found = {}
    for match in ("fast", "thorough"):
        select(gallery, teacher, tmp_path / match, match=match, exclude=str(excluded))
        found[match] = {Path(row["path"]).name for row in rows(tmp_path / match) if row["why"].startswith("near")}
    assert {"bars_7.jpg", "scene_1.png"} <= found["fast"] <= found["thorough"]


def refused(error: type[LimbeckError], *words: str, gallery: Any, teacher: Any, out: Path, **options: Any) -> None:
    with pytest.raises(error) as caught:
        select(gallery, teacher, out, **options)
    for word in words:
        assert word in str(caught.value)
    assert "try:" in str(caught.value)
    assert not (out / "manifest.arrow").exists()


def test_an_empty_or_unreadable_gallery(gallery: Path, teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shared: dict[str, Any] = {"teacher": teacher, "out": tmp_path / "set"}
    refused(ImagesError, "no usable image", "--gallery FOLDER", gallery=tmp_path / "empty", **shared)
    refused(ImagesError, "does not exist", gallery=tmp_path / "nowhere", **shared)
    (tmp_path / "empty" / "a.jpg").write_text("no photo")
    refused(ImagesError, "1 unreadable", "--gallery FOLDER", gallery=tmp_path / "empty", **shared)
    refused(ImagesError, "no usable image", "--exclude", gallery=gallery, exclude=str(tmp_path / "empty"), **shared)


def test_an_exclude_set_that_is_the_gallery(gallery: Path, teacher: Path, tmp_path: Path) -> None:
    shared: dict[str, Any] = {"teacher": teacher, "out": tmp_path / "set", "gallery": gallery}
    refused(ImagesError, "every photo of the gallery (83) is one of --exclude", exclude=str(gallery), **shared)


def test_an_exclude_set_that_nothing_is_near_to(
    gallery: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_dataset(tmp_path / "others", 3, seed=77, labelled=False, workers=1, shown=False)
    select(gallery, teacher, tmp_path / "set", exclude=str(tmp_path / "others"))
    assert " 0  near-duplicate of an excluded photo" in capsys.readouterr().out


def test_a_manifest_with_missing_files(gallery: Path, teacher: Path, tmp_path: Path) -> None:
    mess = tmp_path / "mess"
    shutil.copytree(gallery, mess)
    ImageSet.open(mess, workers=0, shown=False).save(tmp_path / "listed.arrow")
    for file in sorted(mess.glob("disc_*.jpg"))[:4]:
        file.unlink()
    select(tmp_path / "listed.arrow", teacher, tmp_path / "set", per_class=50)
    lost = [row for row in rows(tmp_path / "set") if row["why"] == "unreadable" and "disc" in row["path"]]
    assert [row["detail"] for row in lost] == ["no such file or directory"] * 4
    shutil.copytree(gallery, mess, dirs_exist_ok=True)  # found again, they count again
    select(tmp_path / "listed.arrow", teacher, tmp_path / "again", per_class=50)
    assert not [row for row in rows(tmp_path / "again") if row["why"] == "unreadable" and "disc" in row["path"]]
    shutil.rmtree(mess)
    shared: dict[str, Any] = {"teacher": teacher, "gallery": tmp_path / "listed.arrow", "check_teacher": False}
    found = "not one of 83 photos of the gallery can be read"
    refused(ImagesError, found, "--gallery FOLDER", out=tmp_path / "none", cache=str(tmp_path / "fresh"), **shared)


@pytest.mark.parametrize("signature", ["hash", "local", "embedding"])
def test_excluded_photos_that_are_gone_are_told_of(
    signature: str, gallery: Path, excluded: Path, teacher: Path, tmp_path: Path
) -> None:
    here, away = tmp_path / "val", tmp_path / "away"
    shutil.copytree(excluded, here)
    ImageSet.open([str(here)], workers=0, shown=False).save(tmp_path / "val.arrow")
    gone = next(here.glob("b.*"))
    gone.rename(away)
    given: dict[str, Any] = {"exclude": str(tmp_path / "val.arrow"), "signature": signature}
    with pytest.raises(ImagesError, match=r"1 photo of --exclude cannot be read any more: .*b\.jpg"):
        select(gallery, teacher, tmp_path / "set", **given)
    away.rename(gone)
    select(gallery, teacher, tmp_path / "set", **given)
    assert {Path(row["of"]).name for row in rows(tmp_path / "set") if row["why"].startswith("near")} == {
        "a.jpg",
        "b.jpg",
    }


def test_fewer_photos_than_places_is_fine_and_told(
    gallery: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(select(gallery, teacher, tmp_path / "set", per_class=4000)) == 83
    assert "no class has 4,000 photos: --per-class cuts nothing" in capsys.readouterr().out


def test_photos_of_an_excluded_scene_are_told_of(gallery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = Gallery.of(ImageSet.open(gallery, workers=0, shown=False))
    scores = Scores.unmatched(*(np.full(len(images), value, np.int32) for value in (1, 500_000)))
    scores.level[:3] = LEVELS.index("same scene")
    for drop, kept in ((False, 83), (True, 80)):
        options = Select(drop_scenes=drop)
        tell(decide(images, scores, options, CLASSES), options)
        said = capsys.readouterr().out
        assert f"{kept}  kept of 85 files: {kept} in each of 1 class, none in the other 3" in said
        assert ("3 of them show the scenes of excluded photos: --drop-scenes" in said) != drop


def test_nothing_left(gallery: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 6))
    shared: dict[str, Any] = {"gallery": gallery, "teacher": module, "teacher_size": 16, "check_teacher": False}
    refused(ImagesError, "nothing is left", "83 below min-score", out=tmp_path / "set", min_score=0.999, **shared)


def test_a_teacher_that_cannot_choose(gallery: Path, tmp_path: Path) -> None:
    one = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 1))
    shared: dict[str, Any] = {"gallery": gallery, "out": tmp_path / "set"}
    refused(OptionError, "has one class", teacher=one, teacher_size=16, **shared)
    last = torch.nn.Linear(3, 6)
    for parameter in last.parameters():
        torch.nn.init.zeros_(parameter)
    uniform = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), last)
    refused(TeacherError, "near uniform", teacher=uniform, teacher_size=16, **shared)
    refused(UnknownName, "resnet5d", teacher="resnet5d", **shared)
    refused(CheckpointError, "no run or checkpoint", teacher=str(tmp_path / "no" / "run"), **shared)


def test_another_selection_is_not_written_over(
    gallery: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    select(gallery, teacher, out)
    before = rows(out)
    with pytest.raises(RunError, match="its per-class was 5, and is 7 now"):
        select(gallery, teacher, out, per_class=7)
    assert rows(out) == before
    select(gallery, teacher, out)  # the same is made again
    assert rows(out) == before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    refused(RunError, "holds files that are not a selection's", gallery=gallery, teacher=teacher, out=mine)
    refused(RunError, "is a file", gallery=gallery, teacher=teacher, out=mine / "notes.txt")
    assert [file.name for file in mine.iterdir()] == ["notes.txt"]
    inside = gallery / "set"
    refused(RunError, "lies inside", f"--out {gallery.parent / 'set'}", gallery=gallery, teacher=teacher, out=inside)
    assert not inside.exists()


def test_a_full_disk(gallery: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    shared: dict[str, Any] = {"gallery": gallery, "teacher": teacher, "out": tmp_path / "set"}
    refused(RunError, "the list of what was decided takes", "enough free disk", "another --out", **shared)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"per_class": 0}, "--per-class 0"),
        ({"min_score": 1.5}, "--min-score 1.5"),
        ({"keep_unsure": 1.0}, "--keep-unsure 1"),
        ({"balance": 0.5}, "--balance 0.5"),
        ({"copy": True, "link": True}, "--copy with --link"),
        ({"match": "thorough"}, "--match thorough without --exclude"),
        ({"drop_scenes": True}, "--drop-scenes without --exclude"),
        ({"workers": -2}, "--workers -2"),
        ({"teacher_mean": (0.5,)}, "--teacher-mean"),
        ({"signature": "sift"}, "signature is 'sift'"),
        ({"per_clas": 5}, "unknown option 'per_clas'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], found: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        select("photos", "resnet50d", tmp_path / "set", **options)
    assert found in str(caught.value)
    assert "try:" in str(caught.value)


def test_from_the_command_line(
    gallery: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["select", "--gallery", str(gallery), "--teacher", str(teacher), "--out", str(tmp_path / "set")]
    main([*words, "--per-class", "4", "--workers", "0", "--min-score", "0.1"])
    assert json.loads((tmp_path / "set" / "select.json").read_text())["per_class"] == 4
    with pytest.raises(SystemExit, match="2"):
        main(["select", "--gallery", str(gallery)])
    assert "--teacher is missing" in capsys.readouterr().err
