"""What a command says before it ends with an error."""

import pytest

from limbeck import cli


def told(words: list[str], capsys: pytest.CaptureFixture[str], *, status: int = 2) -> str:
    """The text of `limbeck WORDS`, which fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == status
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said[said.rindex("error: ") :]


def parts(error: str) -> tuple[str, str, str]:
    """(found, expected, what to type), none of them empty."""
    text = error.removeprefix("error: ")
    found, rest = text.split("\n  expected: ", 1)
    expected, hint = rest.split("\n  try:      ", 1)
    assert found
    assert expected
    assert hint.strip()
    return found, expected, hint.strip()
