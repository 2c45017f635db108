"""The small side of a comparison: looks at its photos, in every turn, mapped into memory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.alike.compare import Evidence, compare
from limbeck.alike.embedding import Embed, embed_all, unit
from limbeck.alike.features import Features
from limbeck.alike.local import usual
from limbeck.alike.look import Look
from limbeck.alike.nearest import centred, near_photos, near_vectors, rounded
from limbeck.alike.shards import Arrays, alone, assemble, centre, look_at_all, mapped, one_thread
from limbeck.alike.thresholds import NEAR_DUPLICATE, SIGNATURES, Thresholds
from limbeck.errors import RunError, unknown_name
from limbeck.files import write_atomically
from limbeck.images.imageset import ImageSet


@dataclass(frozen=True)
class Match:
    """The photo of the side that a photo is the same as; `how`: same bytes, hash or sift."""

    other: int
    level: str
    how: str
    inliers: int = 0
    mirrored: bool = False


class Side:
    """The photos that others are compared with."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @classmethod
    def build(
        cls,
        images: ImageSet,
        home: Path,
        *,
        signature: str,
        embed: Embed | None = None,
        stamp: str = "",
        engine: str = "plain",
        workers: int | None = None,
        shown: bool = True,
    ) -> "Side":
        """Look at all photos and keep what was seen in `home`; what an earlier call has finished is not done again.

        `embed` gives the embeddings of photos (float32 [b, d]); `stamp` says whose they are.
        """
        if signature not in SIGNATURES:
            raise unknown_name("signature", signature, SIGNATURES, option="--signature")
        assert (embed is not None) == (signature == "embedding")
        wanted = _identity(images, signature, stamp)
        with alone(home):
            if _identity_kept(home) == wanted:
                return cls.open(home)
            looks = look_at_all(
                images,
                home / "looks",
                local=signature == "local",
                features=True,
                engine=engine,
                workers=workers,
                shown=shown,
            )
            vectors: list[Path] = []
            if embed:
                place = home / "embeddings"
                vectors = embed_all(images, place, embed, stamp, engine=engine, workers=workers, shown=shown)
            (home / "side.json").unlink(missing_ok=True)
            assemble(looks, home)
            if embed:
                assemble(vectors, home)
            if signature != "hash":
                centre(home, usual() if signature == "local" else np.zeros(1, np.float32))
            images.save(home / "manifest.arrow")
            write_atomically(home / "side.json", json.dumps({"identity": wanted, "signature": signature}).encode())
            for file in (*looks, *vectors):
                file.unlink(missing_ok=True)
            return cls.open(home)

    def forget(self) -> None:
        """Let the next `build` look at all photos again."""
        (self.home / "side.json").unlink(missing_ok=True)

    @classmethod
    def open(cls, home: Path) -> "Side":
        """A side that was built; cheap, since its arrays are only mapped."""
        if _identity_kept(home) is None:
            raise RunError(
                f"{home} holds no finished side", expected="a folder made by Side.build", hint="build it anew"
            )
        return cls(home)

    def __len__(self) -> int:
        return len(self.arrays["hashes"])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.home,)

    @cached_property
    def signature(self) -> str:
        return str(json.loads((self.home / "side.json").read_text())["signature"])

    @cached_property
    def images(self) -> ImageSet:
        return ImageSet(self.home / "manifest.arrow")

    def features(self, row: int) -> Features:
        """The features of one photo."""
        arrays = self.arrays
        span = slice(int(self._ends[row - 1]) if row else 0, int(self._ends[row]))
        height, width, scale = arrays["sizes"][row]
        return Features(
            np.array(arrays["points"][span]),
            np.array(arrays["descriptors"][span]),
            int(height),
            int(width),
            np.array(arrays["small"][row]),
            float(scale),
        )

    def match(
        self,
        looks: Sequence[Look],
        embeddings: NDArray[np.float32] | None = None,
        thresholds: Thresholds | None = None,
        *,
        keys: NDArray[np.uint8] | None = None,
        thorough: bool = False,
    ) -> list[Match | None]:
        """Of each photo, the one of the side that it is the same as.

        With `keys` (uint8 [b, 16]) same bytes need no looking; `thorough` compares with every photo of the side.
        """
        limits = thresholds or Thresholds()
        candidates: Sequence[Sequence[int]] = [range(len(self))] * len(looks)
        if not thorough:
            candidates = self.candidates(looks, embeddings, limits)
        same = [self._same_bytes(key) for key in keys] if keys is not None else [None] * len(looks)
        with one_thread():
            return [twin or self._best(seen, rows, limits) for seen, rows, twin in zip(looks, candidates, same)]

    def candidates(
        self, looks: Sequence[Look], embeddings: NDArray[np.float32] | None, limits: Thresholds
    ) -> list[list[int]]:
        """Of each photo, the rows that may be the same, the likeliest first."""
        found: list[dict[int, None]] = [{} for _ in looks]
        hashes = np.array([seen.hashes[0] for seen in looks], np.uint64)
        by_hash = near_photos(hashes, self.arrays["hashes"], limits.hash_distance, limits.candidates)
        for place, rows in enumerate(by_hash):
            found[place] |= dict.fromkeys(rows.tolist())
        vectors = self.signatures(looks, embeddings)
        if vectors is not None:
            kept = self.arrays["vectors"]
            copies = kept.shape[1]
            least = limits.embedding_similarity if self.signature == "embedding" else limits.similarity
            for place, rows in near_vectors(vectors, kept.reshape(-1, kept.shape[2]), least, limits.candidates):
                found[place] |= dict.fromkeys((rows // copies).tolist())
        return [[row for row in rows if self.arrays["readable"][row]] for rows in found]

    def signatures(self, looks: Sequence[Look], embeddings: NDArray[np.float32] | None) -> NDArray[np.int8] | None:
        """The vectors that are compared with those of the side; None where only hashes are."""
        if self.signature == "hash" or not looks:
            return None
        if self.signature == "embedding":
            assert embeddings is not None
            return centred(unit(embeddings), self.arrays["mean"])
        return centred(np.stack([rounded(seen.vector) for seen in looks]), self.arrays["mean"])

    def _best(self, seen: Look, rows: Sequence[int], limits: Thresholds) -> Match | None:
        best: tuple[tuple[bool, int], Match] | None = None
        for row in rows:
            evidence = compare(seen.features, self.features(row), limits)
            if evidence:
                rank = (evidence.level == NEAR_DUPLICATE, evidence.inliers)
                if best is None or rank > best[0]:
                    best = rank, to_match(row, evidence)
        return best[1] if best else None

    def _same_bytes(self, key: NDArray[np.uint8]) -> Match | None:
        row = self._rows.get(key.tobytes())
        return None if row is None else Match(row, NEAR_DUPLICATE, "same bytes")

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        return {key.tobytes(): row for row, key in reversed(list(enumerate(self.images.keys)))}

    @cached_property
    def arrays(self) -> Arrays:
        """What is kept, mapped: readable, hashes [n, 8], vectors [n, copies, d], mean, points and all."""
        return mapped(self.home)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.asarray(self.arrays["counts"]).cumsum()


def to_match(other: int, evidence: Evidence) -> Match:
    """Evidence as a match with one photo of the side."""
    return Match(other, evidence.level, evidence.how, evidence.inliers, evidence.mirrored)


def _identity(images: ImageSet, signature: str, stamp: str) -> str:
    return blake2b(f"1 {signature} {stamp} {images.fingerprint()}".encode(), digest_size=16).hexdigest()


def _identity_kept(home: Path) -> str | None:
    try:
        return str(json.loads((home / "side.json").read_text())["identity"])
    except (OSError, ValueError, KeyError):
        return None
