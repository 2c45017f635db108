"""The command line itself: verbs, help, errors, exit status."""

import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import pytest

import limbeck
from limbeck import cli
from limbeck.commands import train
from limbeck.detection.train_options import Train
from limbeck.recipes.starting import training
from limbeck.ssld.options import OPTIONS


def ended(words: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    return caught.value.code


def test_it_runs_as_a_module_and_imports_nothing_heavy_for_its_help() -> None:
    code = "import sys, limbeck.cli; limbeck.cli.usage(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    shown = subprocess.run([sys.executable, "-m", "limbeck", "--version"], capture_output=True, text=True)
    assert (shown.returncode, shown.stdout) == (0, f"limbeck {version('limbeck')}\n")


@pytest.mark.parametrize(("words", "status"), [([], 2), (["-h"], 0), (["--help"], 0)])
def test_without_a_verb_it_lists_them(words: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(words) == status
    shown = "".join(capsys.readouterr())
    for verb, command in cli.COMMANDS.items():
        assert verb in shown
        assert command.about in shown


@pytest.mark.parametrize("verb", sorted(cli.COMMANDS))
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_verb_has_help(verb: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended([verb, flag]) == 0
    shown = capsys.readouterr().out
    assert f"limbeck {verb}" in shown
    assert cli.COMMANDS[verb].about[1:].split(",")[0][:30] in " ".join(shown.split())


def test_the_help_of_distill_has_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["distill", "--help"]) == 0
    shown = capsys.readouterr().out
    hidden = {"labels", "label_columns", "label_smoothing", "mixup", "best", "verb"}
    for name in OPTIONS:
        assert bool(re.search(rf"--{name.replace('_', '-')}\b(?!-)", shown)) is (name not in hidden), name


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["train", "ssd300_coco", "--lr", "1"], "--epochs INT .*?default: 24.* --lr FLOAT .*?default: 0.002"),
        (["train"], "--epochs INT .*?default: 100.* --clip FLOAT .*?default: 10"),
        (["distill", "--recipe", "ssld_large"], "--weight-decay FLOAT .*?default: 4e-05"),
        (["teach", "--recipe", "ssld_large"], "--colour .*?default: autoaugment"),
    ],
)
def test_the_help_shows_what_the_recipe_says(words: list[str], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended([*words, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert re.search(shown, text)
    if words[0] == "train":
        assert re.search(
            rf"RECIPE Where the defaults.*see `limbeck recipes`.*default: {words[1] if words[1:] else 'ssdlite'}", text
        )


def test_the_help_of_train_is_quick() -> None:
    code = "import sys, limbeck.cli as cli; cli._shown(cli.COMMANDS['train'], []); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_recipe_counts_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Train] = []
    monkeypatch.setattr(train, "run", given.append)
    for words in (["ssd300_coco", "--batch", "4"], ["--batch", "4", "ssd300_coco"], ["--batch", "4"]):
        cli.main(["train", *words])
    assert given[0] == given[1] == replace(training("ssd300_coco"), batch=4)
    assert given[2] == replace(training("ssdlite"), batch=4)


@pytest.mark.parametrize("verb", ["predict", "evaluate", "demo"])
def test_help_says_where_detectors_are_served(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "detector" in cli.COMMANDS[verb].about
    assert ended([verb, "--help"]) == 0
    assert capsys.readouterr().out.count("etector") > 1


def test_an_unknown_verb_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["distil"]) == 2
    told = capsys.readouterr().err
    assert "unknown command 'distil'" in told
    assert "expected: distill" in told
    assert "try:      limbeck --help" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["distill", "--epocs", "3"], "--epochs"),
        (["distill", "--epochs", "many"], "int"),
        (["distill", "--teacher-norm", "warm"], "frozen"),
        (["predict"], "RUN"),
        (["evaluate", "run"], "--images"),
    ],
)
def test_words_that_do_not_parse(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(words) == 2
    assert told in " ".join("".join(capsys.readouterr()).split())


def test_python_has_what_the_command_line_has() -> None:
    assert {*limbeck.__all__} >= {*cli.COMMANDS, "load", "backbone", "upgrade_ssd"}
    assert all(callable(getattr(limbeck, name)) for name in limbeck.__all__)


def test_an_error_of_the_user_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["predict", "no/run", "photo.jpg"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: no checkpoint in no/run\n  expected: ")
    assert "  try:      limbeck distill" in err


def test_ctrl_c_before_anything_is_saved(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "dispatch", interrupted)
    assert ended(["models"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["distill", "train"])
def test_a_list_of_teachers_is_refused(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended([verb, "--teacher", "one", "--out", "run", "--teacher=two"]) == 2
    assert "--teacher 2 times: one, two" in capsys.readouterr().err
