"""A hub that is away is told at once; what is cached is used all the same."""

import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from limbeck.classification import hub as hubs
from limbeck.classification.hub import hub
from limbeck.classification.models import Architecture, build
from limbeck.errors import CheckpointError


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody listens where the hub should be, nothing is cached, and nobody may wait."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def waiting(seconds: float) -> None:
        raise AssertionError(f"somebody waits {seconds} seconds")

    monkeypatch.setattr(time, "sleep", waiting)


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize("name", ["test_resnet", "hf-hub:someone/something"])
def test_a_hub_that_is_away_is_told_at_once(name: str) -> None:
    architecture = Architecture.parse(name)
    for ask in (lambda: architecture.build(pretrained=True), *([architecture.local] if architecture.fetched else [])):
        with pytest.raises(CheckpointError, match=r"http://127\.0\.0\.1:\d+ cannot be reached") as error:
            ask()
        assert "--teacher-weights FILE" in error.value.hint
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("away")
def test_what_is_cached_needs_no_hub(tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = build("test_resnet").state_dict()
    repository = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    save_file(state, snapshot / "model.safetensors")
    built = build("test_resnet", pretrained=True).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in built.items())


class Deaf(BaseHTTPRequestHandler):
    heard = Event()

    def do_HEAD(self) -> None:
        self.heard.wait(10)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), Deaf)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield
    Deaf.heard.set()
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("listening")
def test_silence_is_not_waited_for_and_any_answer_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "_SECONDS", 0.2)
    Deaf.heard.clear()
    with hub() as away:
        assert away
        assert constants.HF_HUB_OFFLINE
    Deaf.heard.set()
    monkeypatch.setattr(hubs, "_SECONDS", 5.0)
    with hub() as away:
        assert not away
        assert not constants.HF_HUB_OFFLINE


def test_who_chose_to_be_offline_is_left_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hub() as away:
        assert away == "HF_HUB_OFFLINE is set"
    assert constants.HF_HUB_OFFLINE
