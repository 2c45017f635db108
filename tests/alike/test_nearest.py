"""The exact search: every row is found, whatever the block, the batch or the threads."""

import numpy as np
import pytest
import torch

from limbeck.alike import nearest
from limbeck.alike.nearest import UNIT, centred, near_hashes, near_photos, near_vectors, rounded
from limbeck.alike.phash import distances


def drawn(count: int, length: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    vectors = np.random.default_rng(seed).normal(size=(count, length))
    return rounded(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_blocks_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, side = drawn(20, 256, 0), drawn(150, 256, 1)
    monkeypatch.setattr(nearest, "_BLOCK", block)
    products = queries.astype(np.int64) @ side.T.astype(np.int64)
    for query, rows in near_vectors(queries, side, 0.05, 5):
        order = np.argsort(-products[query], kind="stable")[:5]
        assert sorted(products[query, rows]) == sorted(products[query, order[products[query, order] >= 0.05 * UNIT**2]])
    some, more = (np.random.default_rng(seed).integers(0, 2**63, 90, np.int64).view(np.uint64) for seed in (0, 1))
    apart = distances(some, more)
    assert sorted(zip(*near_hashes(some, more, 24))) == [(a, b, apart[a, b]) for a, b in np.argwhere(apart <= 24)]


def test_threads_and_batches_change_nothing() -> None:
    queries, side = drawn(40, 2048, 0), drawn(900, 2048, 1)
    before = torch.get_num_threads()
    whole = [rows.tolist() for _, rows in near_vectors(queries, side, 0.0, 5)]
    torch.set_num_threads(1)
    single = [rows.tolist() for row in range(40) for _, rows in near_vectors(queries[row : row + 1], side, 0.0, 5)]
    torch.set_num_threads(before)
    assert whole == single


def test_what_all_share_is_taken_away() -> None:
    common = np.full((1, 64), 3.0)
    apart = np.random.default_rng(0).normal(size=(5, 64))
    vectors = centred(common + apart, common[0].astype(np.float32))
    unit = apart / np.linalg.norm(apart, axis=1, keepdims=True)
    assert np.abs(vectors / UNIT - np.clip(unit, -127 / UNIT, 127 / UNIT)).max() < 1 / UNIT


def test_near_photos_count_once_and_come_by_their_nearest_turn() -> None:
    draw = np.random.default_rng(0)
    queries, side = draw.integers(0, 256, 20).astype(np.uint64), draw.integers(0, 256, (30, 8)).astype(np.uint64)
    side[:10] = side[:10, :1]  # all turns alike
    apart = distances(queries, side.reshape(-1)).reshape(20, 30, 8).min(2)
    expected = [[row for row in np.lexsort((range(30), bits)).tolist() if bits[row] <= 2][:12] for bits in apart]
    assert [rows.tolist() for rows in near_photos(queries, side, 2, 12)] == expected
    assert max(map(len, expected)) == 12
