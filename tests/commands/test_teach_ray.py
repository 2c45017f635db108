"""limbeck teach on a real Ray: the bytes of the plain engine, whatever is killed."""

import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from limbeck.errors import ImagesError
from tests.commands.test_teach import content, taught
from tests.loopback import Cluster, ray_cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("daft") is None or find_spec("ray") is None, reason="needs limbeck[scale]"),
]
VIEWS = 200  # some shards


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with ray_cluster() as started:
        yield started


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, photos: Path, teacher: Path) -> Path:
    return taught(photos, teacher, tmp_path_factory.mktemp("plain") / "store", views=VIEWS)


def when_there_is(store: Path, shards: int, do: Callable[[], None]) -> threading.Thread:
    """A thread that acts once as many shards are finished, in the middle of the next."""

    def wait() -> None:
        while len(list(store.glob("part-*"))) < shards:
            time.sleep(0.02)
        do()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_killed_worker_costs_only_its_shard(
    cluster: Cluster, photos: Path, teacher: Path, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "store"
    killed: list[int] = []

    def kill() -> None:
        worker = cluster.processes("ray::UDFActor.eval_input")[0]
        killed.append(worker.pid)
        worker.kill()

    thread = when_there_is(out, 1, kill)
    taught(photos, teacher, out, views=VIEWS, engine=cluster.engine, workers=2)
    thread.join(10)
    assert killed
    assert content(out) == content(plain)


def test_a_lost_cluster_is_told_and_the_next_run_does_what_is_left(
    photos: Path, teacher: Path, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "store"
    with ray_cluster() as cluster:
        thread = when_there_is(out, 2, cluster.kill)
        with pytest.raises(ImagesError, match=r"the Ray cluster .* was lost after \d+ of \d+ shards"):
            taught(photos, teacher, out, views=VIEWS, engine=cluster.engine, workers=2)
        thread.join(10)
    finished = {path.name for path in out.glob("part-*")}
    assert finished
    taught(photos, teacher, out, views=VIEWS)
    assert content(out) == content(plain)
