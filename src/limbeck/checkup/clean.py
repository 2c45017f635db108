"""A manifest of what is sound, to train on."""

from collections import Counter
from dataclasses import dataclass

from limbeck.checkup.examine import Diagnosis
from limbeck.errors import ImagesError
from limbeck.images.imageset import ImageSet


@dataclass(frozen=True)
class Clean:
    """The images that are left, and how many are not, by what they are left out for."""

    images: ImageSet
    left_out: Counter[str]


def clean(diagnosis: Diagnosis) -> Clean:
    """The photos to train on: those of train where there are splits, without what the findings drop."""
    case = diagnosis.case
    left_out: Counter[str] = Counter()
    reasons: dict[int, str] = {}
    for finding in diagnosis.findings:
        for row in finding.drop:
            reasons.setdefault(row, finding.check)
    trained = any("train" in case.splits[row] for row in case.photos)
    kept = []
    for row in map(int, case.photos):
        splits = case.splits[row]
        if case.is_against[row]:
            continue
        if trained and splits and splits != ("train",):
            left_out["of val or test"] += 1
        elif row in reasons:
            left_out[reasons[row]] += 1
        else:
            kept.append(row)
    left_out["unreadable"] += len(case.skipped)
    left_out["masks"] += int(case.is_mask.sum())
    if not kept:
        raise ImagesError(
            "no image is left for a clean manifest: " + told(left_out),
            expected="at least one sound image to train on",
            hint="see doctor.json for the reason of each",
        )
    return Clean(case.images.take(kept), +left_out)


def told(left_out: Counter[str]) -> str:
    """What is left out, in words.

    >>> told(Counter({"blank-images": 2, "exact-leaks": 1, "masks": 0}))
    '2 blank images, 1 exact leak'
    """
    words = {check: check.replace("-", " ") for check in left_out}
    return ", ".join(
        f"{number:,} {words[check].removesuffix('s') if number == 1 else words[check]}"
        for check, number in left_out.most_common()
        if number
    )
