"""How well edited copies of photos are found, and what it costs.

    python bench/near_duplicates.py --photos imagenet_samples.zip --camvid camvid.zip [--teacher-weights FILE]

Photos and video sequences are halved. The excluded side is the photos of one half; asked for are edited copies of them
(positives) and equally edited copies of the other half's (negatives: other photos, frames of other sequences).
Thresholds are chosen with the first half as the side, everything is reported with the second. A match counts when it
names the very photo; a frame of the same sequence is neither right nor wrong. Prints Markdown tables.
"""

import argparse
import io
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from limbeck.alike.compare import Evidence, compare
from limbeck.alike.look import Look, look
from limbeck.alike.nearest import near_hashes, near_vectors
from limbeck.alike.phash import distances
from limbeck.alike.side import Side
from limbeck.alike.thresholds import NEAR_DUPLICATE, Thresholds
from limbeck.images.decode import decode
from limbeck.images.imageset import ImageSet
from photo_edits import KINDS, edited
from photo_teachers import Embed, cifar_teacher, random_teacher

PRECISION, RECALL, WORST, FEWER = 0.99, 0.97, 0.9, 100
GALLERY, EXCLUDED = 14_000_000, 50_000
NONE = -1

Scores = NDArray[np.float64]  # [queries, photos of the side], higher is more alike


@dataclass(frozen=True)
class Original:
    name: str
    group: str  # photos of one group may show the same
    data: bytes

    def photo(self) -> Image.Image:
        return ImageOps.exif_transpose(Image.open(io.BytesIO(self.data))).convert("RGB")


@dataclass(frozen=True)
class Query:
    kind: str
    original: Original
    right: int  # row of the side, or NONE
    seen: Look
    embeddings: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Half:
    """A side, and what is asked of it."""

    originals: list[Original]
    folder: Path
    queries: list[Query]

    def images(self) -> ImageSet:
        return ImageSet.open(self.folder, cache=self.folder.parent / "cache", workers=0, shown=False)

    def judged(self, answers: Sequence[int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For each query, whether its answer (a row or NONE) is right, and whether it is wrong."""
        right = np.array([answer == query.right != NONE for query, answer in zip(self.queries, answers)])
        groups = [self.originals[answer].group if answer != NONE else "" for answer in answers]
        wrong = np.array([group not in ("", query.original.group) for query, group in zip(self.queries, groups)])
        return right, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=Path, required=True, help="a .zip of photos")
    parser.add_argument("--camvid", type=Path, required=True, help="a .zip of video frames named SEQUENCE_FRAME")
    parser.add_argument("--teacher-weights", type=Path, help="of cifar_teacher (bench/cifar_teacher.py)")
    parser.add_argument("--frames", type=int, default=12, help="frames of each sequence")
    parser.add_argument("--every", type=int, default=4, help="all pairs by SIFT for one in so many of the photos")
    parser.add_argument("--seed", default="0")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photos = read(chosen.photos, lambda name: name)
    frames = read(chosen.camvid, lambda name: name.split("_")[0], only="/images/")
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        teachers = {"random teacher": random_teacher()}
        if chosen.teacher_weights:
            teachers["CIFAR teacher"] = cifar_teacher(chosen.teacher_weights)
        fit, test = halves(photos, frames, teachers, Path(folder), chosen)
        tell(f"{len(test.originals)} photos on the side, {len(test.queries):,} queries a half", began)
        report(fit, test, teachers, Path(folder), chosen.every)
        levels(test, frames)
        costs(test)
        tell("everything", began)


def tell(what: str, began: float) -> None:
    print(f"<!-- {what}: {time.monotonic() - began:.0f} s -->", flush=True)


def read(archive: Path, group: Callable[[str], str], only: str = "") -> list[Original]:
    with zipfile.ZipFile(archive) as members:
        names = sorted(member for member in members.namelist() if member.lower().endswith((".jpg", ".jpeg", ".png")))
        kept = [name for name in names if only in f"/{name}"]
        found = [Original(Path(name).stem, group(Path(name).stem), members.read(name)) for name in kept]
    return sorted(found, key=lambda original: original.name)


def halves(
    photos: list[Original], frames: list[Original], teachers: dict[str, Embed], folder: Path, chosen: argparse.Namespace
) -> tuple[Half, Half]:
    sequences = sorted({frame.group for frame in frames})
    originals = []
    for part in (0, 1):
        half = photos[part::2]
        for sequence in sequences[part::2]:
            members = [frame for frame in frames if frame.group == sequence]
            half = half + [members[place] for place in np.linspace(0, len(members) - 1, chosen.frames).astype(int)]
        originals.append(half)
    looks = [asked(half, teachers, chosen.seed) for half in originals]
    made = []
    for part in (0, 1):
        home = folder / f"side{part}"
        home.mkdir()
        for row, original in enumerate(originals[part]):
            (home / f"{row:06d}.jpg").write_bytes(original.data)
        rows = {original.name: row for row, original in enumerate(originals[part])}
        queries = [replace(query, right=rows.get(query.original.name, NONE)) for half in looks for query in half]
        made.append(Half(originals[part], home, queries))
    return made[0], made[1]


def asked(originals: list[Original], teachers: dict[str, Embed], seed: str) -> list[Query]:
    queries = []
    for original in originals:
        photo = original.photo()
        for kind in KINDS:
            copy = edited(photo, kind, f"{seed} {original.name}")
            tensor = torch.from_numpy(np.array(copy)).permute(2, 0, 1)
            embeddings = {name: embed([tensor])[0] for name, embed in teachers.items()}
            queries.append(Query(kind, original, NONE, look(tensor), embeddings))
    return queries


def report(fit: Half, test: Half, teachers: dict[str, Embed], folder: Path, every: int) -> None:
    columns: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_], float]] = {}
    began = time.monotonic()
    sides = {}
    for name in ("hash", "local", *teachers):
        sides[name] = [
            prepared(half, name, teachers, folder / f"{name}-{part}") for part, half in enumerate((fit, test))
        ]
    tell("sides and embeddings", began)
    for name in sides:
        scores = [alone(half, *side, name) for half, side in zip((fit, test), sides[name])]
        limit = best_limit(fit, scores[0])
        columns[f"{name} alone"] = (*test.judged(accepted(scores[1], limit)), 0.0)
        print(f"<!-- {name} alone: accepted from {limit:.3f} -->")
    for name in sides:
        least = candidate_limit(fit, *sides[name][0], name)
        limits = Thresholds(similarity=least, embedding_similarity=least)
        began = time.monotonic()
        side, embeddings = sides[name][1]
        looks = [query.seen for query in test.queries]
        matches = side.match(looks, embeddings, limits)
        tried = sum(map(len, side.candidates(looks, embeddings, limits)))
        columns[f"cascade, {name}"] = (*test.judged([match.other if match else NONE for match in matches]), tried)
        tell(f"cascade with {name}: similarity from {limits.similarity:.3f}", began)
    began = time.monotonic()
    few = {"fit": subset(fit, every * 2), "test": subset(test, every)}
    evidence = {part: all_pairs(half, sides["hash"][place][0]) for place, (part, half) in enumerate(few.items())}
    points = {part: inliers(found, few[part]) for part, found in evidence.items()}
    limit = best_limit(few["fit"], points["fit"])
    paper = few["test"].judged(accepted(points["test"], limit))
    ours = few["test"].judged([best_row(found) for found in evidence["test"]])
    tell(f"all pairs: {len(few['test'].queries) * len(test.originals):,}; SIFT alone from {limit:.0f} inliers", began)
    tables(test, columns, few["test"], {"SIFT, all pairs": (*paper, 0.0), "compare, all pairs": (*ours, 0.0)})


def subset(half: Half, every: int) -> Half:
    names = list(dict.fromkeys(query.original.name for query in half.queries))
    kept = set(names[::every])
    return replace(half, queries=[query for query in half.queries if query.original.name in kept])


def prepared(half: Half, name: str, teachers: dict[str, Embed], home: Path) -> tuple[Side, NDArray[np.float32] | None]:
    embed = teachers.get(name)
    kind = "embedding" if embed else name
    side = Side.build(half.images(), home, signature=kind, embed=embed, stamp=name, workers=0, shown=False)
    if embed is None:
        return side, None
    return side, np.stack([query.embeddings[name] for query in half.queries])


def alone(half: Half, side: Side, embeddings: NDArray[np.float32] | None, name: str) -> Scores:
    looks = [query.seen for query in half.queries]
    if name == "hash":
        hashes = np.array([seen.hashes[0] for seen in looks])
        return (
            -distances(hashes, side.arrays["hashes"].reshape(-1))
            .reshape(len(looks), len(side), -1)
            .min(2)
            .astype(float)
        )
    return similarities(side, looks, embeddings)


def similarities(side: Side, looks: list[Look], embeddings: NDArray[np.float32] | None) -> Scores:
    """The cosines of all signatures with those of the side, the nearest of its turned copies."""
    asked, kept = side.signatures(looks, embeddings), side.arrays["vectors"].astype(np.float32)
    assert asked is not None
    kept /= np.maximum(np.linalg.norm(kept, axis=-1, keepdims=True), 1e-6)
    unit = asked / np.maximum(np.linalg.norm(asked, axis=-1, keepdims=True), 1e-6)
    return (unit @ kept.reshape(-1, kept.shape[2]).T).reshape(len(asked), len(kept), -1).max(2).astype(float)


def accepted(scores: Scores, limit: float) -> list[int]:
    best = scores.argmax(1)
    return [int(row) if scores[place, row] >= limit else NONE for place, row in enumerate(best)]


def best_limit(half: Half, scores: Scores) -> float:
    """The limit of the highest recall at which the precision is reached."""
    best = scores.argmax(1)
    right, wrong = half.judged(best.tolist())
    order = np.argsort(-scores.max(1), kind="stable")
    top = scores.max(1)[order]
    hits, misses = right[order].cumsum(), wrong[order].cumsum()
    last = np.append(top[:-1] != top[1:], True)
    good = last & (hits >= PRECISION * (hits + misses)) & (hits > 0)
    return float(top[good.nonzero()[0].max()]) if good.any() else float("inf")


def candidate_limit(half: Half, side: Side, embeddings: NDArray[np.float32] | None, name: str) -> float:
    """The similarity that all but one in two hundred of the copies reach."""
    if name == "hash":
        return 0.0
    scores = similarities(side, [query.seen for query in half.queries], embeddings)
    copies = [scores[place, query.right] for place, query in enumerate(half.queries) if query.right != NONE]
    return float(np.quantile(copies, 0.005))


def all_pairs(half: Half, side: Side) -> list[list[Evidence | None]]:
    limits = Thresholds(least_inliers=4, scene_inliers=4, coverage=0.0)
    features = [side.features(row) for row in range(len(side))]
    return [[compare(query.seen.features, other, limits) for other in features] for query in half.queries]


def inliers(found: list[list[Evidence | None]], half: Half) -> Scores:
    return np.array([[evidence.inliers if evidence else 0 for evidence in row] for row in found], float)


def best_row(found: list[Evidence | None]) -> int:
    limits = Thresholds()
    ranks = []
    for row, evidence in enumerate(found):
        if evidence is None or (evidence.how == "sift" and evidence.inliers < limits.least_inliers):
            continue
        near = evidence.level == NEAR_DUPLICATE
        if near or (evidence.inliers >= limits.scene_inliers and evidence.coverage >= limits.coverage):
            ranks.append((near, evidence.inliers, -row))
    return -max(ranks)[2] if ranks else NONE


Judged = tuple[NDArray[np.bool_], NDArray[np.bool_], float]


def tables(test: Half, columns: dict[str, Judged], few: Half, slow: dict[str, Judged]) -> None:
    print("\nRecall / precision, % (thresholds from the other half of the photos)\n")
    names = [*slow, *columns]
    print("| kind |", " | ".join(names), "|")
    print("|---|" + "---|" * len(names))
    for kind in (*KINDS, "all"):
        cells = [cell(few, slow[name], kind) if name in slow else cell(test, columns[name], kind) for name in names]
        print(f"| {kind} |", " | ".join(cells), "|")
    pairs = len(test.queries) * len(test.originals)
    fewer = [
        f"{pairs / columns[name][2]:,.0f}x" if name in columns and columns[name][2] else "1" if name in slow else "none"
        for name in names
    ]
    print("| fewer verifications |", " | ".join(fewer), "|")
    negatives = sum(query.right == NONE for query in test.queries)
    print(
        f"\n{len(test.queries) - negatives:,} positives, {negatives:,} negatives, {pairs:,} pairs; all pairs by SIFT: "
        f"{len(few.queries):,} queries, {len(few.queries) * len(few.originals):,} pairs\n"
    )


def cell(half: Half, judged: Judged, kind: str) -> str:
    right, wrong, _ = judged
    chosen = np.array([kind in ("all", query.kind) for query in half.queries])
    positive = chosen & np.array([query.right != NONE for query in half.queries])
    hits, misses = int((right & chosen).sum()), int((wrong & chosen).sum())
    precision = 100 * hits / max(hits + misses, 1)
    return f"{100 * hits / max(int(positive.sum()), 1):.1f} / {precision:.1f}"


def levels(test: Half, frames: list[Original]) -> None:
    """What the two levels say of edited copies and of neighbouring frames."""
    print("\nLevels, %\n\n| pairs | near-duplicate | same scene | neither |\n|---|---|---|---|")
    originals = {original.name: look(decode(original.data)).features for original in test.originals}
    copies = [query for query in test.queries if query.right != NONE]
    level_row(
        "edited copy and its photo", [compare(query.seen.features, originals[query.original.name]) for query in copies]
    )
    for apart in (1, 3):
        found = []
        for first, second in list(zip(frames, frames[apart:]))[:: max(1, len(frames) // 150)]:
            if first.group == second.group:
                found.append(compare(look(decode(first.data)).features, look(decode(second.data)).features))
        level_row(f"video frames, {apart} apart", found)


def level_row(title: str, found: list[Evidence | None]) -> None:
    near = sum(evidence is not None and evidence.level == NEAR_DUPLICATE for evidence in found)
    none = sum(evidence is None for evidence in found)
    shares = [f"{100 * count / len(found):.1f}" for count in (near, len(found) - near - none, none)]
    print(f"| {title} ({len(found):,}) |", " | ".join(shares), "|")


def costs(test: Half) -> None:
    originals = test.originals[:60]
    decoded = timed(lambda: [decode(original.data) for original in originals])
    photos = [decode(original.data) for original in originals]
    seen = [look(photo) for photo in photos]
    rows = [
        ("decode", decoded / 60, GALLERY),
        ("small grey copy and hash", timed(lambda: [look(photo) for photo in photos]) / 60, GALLERY),
    ]
    rows.append(("points (SIFT)", timed(lambda: [look_.features for look_ in seen]) / 60, GALLERY))
    rows.append(("`local` signature", timed(lambda: [look_.vector for look_ in seen]) / 60, GALLERY))
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**63, (8 * EXCLUDED,), np.int64).view(np.uint64)
    rows.append(("hash against 8 x 50,000", timed(partial(near_hashes, hashes[:1000], hashes, 12)) / 1000, GALLERY))
    vectors = generator.normal(0, 11, (2 * EXCLUDED, 2048)).astype(np.int8)
    rows.append(
        (
            "`local` against 2 x 50,000",
            timed(lambda: list(near_vectors(vectors[:1000], vectors, 0.15, 5))) / 1000,
            GALLERY,
        )
    )
    pairs = [(one.features, other.features) for one, other in pairwise(seen)]
    rows.append(("comparing a candidate", timed(lambda: [compare(*pair) for pair in pairs]) / len(pairs), 0))
    print("\n| stage | ms | a second | 14 M photos x 50,000, core-hours |\n|---|---|---|---|")
    for name, seconds, count in rows:
        hours = f"{seconds * count / 3600:,.1f}" if count else f"{seconds * 1e6 / 3600:,.2f} a million"
        print(f"| {name} | {1000 * seconds:.2f} | {1 / seconds:,.0f} | {hours} |")


def timed(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


if __name__ == "__main__":
    main()
