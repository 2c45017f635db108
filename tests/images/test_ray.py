"""A real Ray on the loopback: the files of the plain engine, whatever is killed."""

import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from errands import dies_once, fails_at_two, naps
from photos import folder_of

from limbeck.errors import ImagesError
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import map_shards
from tests.loopback import Cluster, ray_cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("daft") is None or find_spec("ray") is None, reason="needs limbeck[scale]"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with ray_cluster() as started:
        yield started


def within(seconds: float, cluster: Cluster, *, there: bool) -> bool:
    """Whether workers come, or go, in time."""
    until = time.monotonic() + seconds
    while bool(cluster.processes("ray::UDFActor")) != there and time.monotonic() < until:
        time.sleep(0.2)
    return bool(cluster.processes("ray::UDFActor")) == there


def test_a_manifest_is_the_same(cluster: Cluster, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 700, 16, 16)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    plain = ImageSet.open(folder, cache=tmp_path / "plain", shown=False).manifest
    ray = ImageSet.open(folder, cache=tmp_path / "ray", engine=cluster.engine, shown=False).manifest
    assert ray.read_bytes() == plain.read_bytes()
    names = [{path.name for path in (tmp_path / engine / "manifests/shards").iterdir()} for engine in ("plain", "ray")]
    assert names[0] == names[1]


def test_errors_come_back_as_they_were(cluster: Cluster) -> None:
    with pytest.raises(ImagesError) as caught:
        list(map_shards(fails_at_two, range(4), cluster.engine, shown=False))
    assert (caught.value.found, caught.value.expected) == ("two", "not two")


def test_a_worker_that_is_killed_is_replaced(cluster: Cluster, tmp_path: Path) -> None:
    shards = [(tmp_path, number) for number in range(8)]
    done = map_shards(dies_once, shards, cluster.engine, workers=2, shown=False, home=tmp_path)
    assert list(done) == list(range(8))
    assert (tmp_path / "killed").exists()


def test_a_run_that_is_stopped_leaves_no_worker(cluster: Cluster, tmp_path: Path) -> None:
    results = map_shards(naps, [(tmp_path, number) for number in range(60)], cluster.engine, workers=2, shown=False)
    assert next(results) == 0
    assert within(1, cluster, there=True)
    results.close()  # type: ignore[attr-defined]  what Ctrl-C does to it
    assert within(30, cluster, there=False)
    assert len(list(tmp_path.iterdir())) < 60


@pytest.mark.parametrize("lost", ["whole", "head"])
def test_a_lost_cluster_is_told_and_the_next_run_goes_on(
    tmp_path: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")  # a minute by itself
    shards = [(tmp_path, number) for number in range(30)]
    with ray_cluster() as cluster:
        results = map_shards(naps, shards, cluster.engine, workers=2, shown=False)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        if lost == "whole":
            cluster.kill()
        else:
            (head,) = cluster.processes("gcs_server")
            head.kill()
        with pytest.raises(ImagesError, match=r"the Ray cluster 127.* was lost after \d+ of 30 shards") as caught:
            list(results)
    assert "only what is left is done" in caught.value.hint
    left = [shard for shard in shards if not (tmp_path / str(shard[1])).exists()]
    assert 0 < len(left) < 28
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert list(map_shards(naps, left, workers=2, shown=False)) == [number for _, number in left]
    assert before.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}.items()
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == sorted(map(str, range(30)))
