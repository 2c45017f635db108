"""Labels and images held against each other: who is missing, what cannot be read, who says something else."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from limbeck.checkup.case import Case
from limbeck.checkup.findings import ERROR, NOTE, WARNING, Finding, Place
from limbeck.datasets.records import Labels, Sample, Thing
from limbeck.datasets.tree import Tree
from limbeck.datasets.troubles import TROUBLES, told
from limbeck.errors import counted


def every(case: Case) -> Iterator[tuple[Tree, Labels, Sample, int | None]]:
    """Every sample of every label set, with its row where its image can be read."""
    for tree, labels in case.labels:
        for sample in labels.samples:
            yield tree, labels, sample, case.row(sample)


def located(sample: Sample, thing: Thing) -> str:
    """Where in the labels a thing is; with its image where one file speaks of many.

    >>> located(Sample("set/a.jpg", source="set/all.json"), Thing("cat", place="annotation 3"))
    'annotation 3 of a.jpg'
    """
    image = PurePosixPath(sample.image)
    return thing.place if PurePosixPath(sample.source).stem == image.stem else f"{thing.place} of {image.name}"


def troubles(case: Case) -> list[Finding]:
    """What the readers stumbled over; files that nothing was read from weigh less where other ones are read."""
    found: defaultdict[tuple[str, str], list[Place]] = defaultdict(list)
    read = {id(tree) for tree, labels in case.labels if labels.samples}
    for tree, labels in case.labels:
        for trouble in labels.troubles:
            aside = not labels.samples and id(tree) in read
            row = case.rows.get(trouble.image)
            if not (aside and trouble.kind == "other-json"):
                severity = WARNING if aside else TROUBLES[trouble.kind][0]
                place = Place(trouble.where, trouble.what, () if row is None else (row,))
                found[trouble.kind, severity].append(place)
    findings = []
    for (kind, severity), places in found.items():
        _, _, _, why, cure = TROUBLES[kind]
        findings.append(Finding(kind, severity, told(kind, len(places)), places, why, cure))
    return findings


def missing_images(case: Case) -> list[Finding]:
    """Labels of images that are not there."""
    places = [
        Place(sample.source, f"{sample.image} is not there")
        for _, labels, sample, _ in every(case)
        if not sample.found and labels.task != "segmentation"
    ]
    places += [
        Place(sample.mask, "a mask without a photo", _rows(case, sample.mask))
        for _, labels, sample, _ in every(case)
        if not sample.found and labels.task == "segmentation"
    ]
    return _told(
        "missing-images",
        ERROR,
        "{} labelled, but not there",
        places,
        "image",
        "Loaders fail when they come to them.",
        "add the images, correct the names, or take the labels out",
        sum(len(labels.samples) for _, labels in case.labels),
    )


def unlabelled(case: Case) -> list[Finding]:
    """Images that lie among labelled ones, and have no label."""
    findings: list[Finding] = []
    for tree, labels in case.labels:
        samples = [sample for sample in labels.samples if sample.found and not sample.labelled]
        elsewhere = _labelled_by_others(case, tree, labels)
        samples = [sample for sample in samples if sample.image not in elsewhere and not _is_mask(case, sample)]
        by = f"{labels.format} in {tree.inner(tree.named)}" if tree.named else labels.format
        places = [Place(sample.image, "", _rows(case, sample.image)) for sample in samples]
        findings += _told(
            "images-without-labels",
            NOTE if tree.named else WARNING,
            f"{{}} of {tree.source} without a label ({by})",
            places,
            "image",
            "Detectors learn that nothing is on them; other loaders skip them or fail.",
            "label them, or move them away; where nothing is to be found on them, say so with an empty label file"
            if labels.task == "detection"
            else "label them, or move them away",
            len(labels.samples),
        )
    return findings


def _labelled_by_others(case: Case, tree: Tree, labels: Labels) -> set[str]:
    """A photo that has boxes need not have a mask too."""
    others = [other for owner, other in case.labels if owner is tree and other is not labels]
    return {sample.image for other in others for sample in other.samples if sample.labelled}


def _is_mask(case: Case, sample: Sample) -> bool:
    row = case.row(sample)
    return row is not None and bool(case.is_mask[row])


def empty(case: Case) -> list[Finding]:
    """Images whose labels say that there is nothing."""
    places = [
        Place(sample.image, "", () if row is None else (row,))
        for _, labels, sample, row in every(case)
        if labels.task == "detection" and sample.found and sample.labelled and not sample.things
    ]
    return _told(
        "images-without-objects",
        NOTE,
        "{} with a label file that names no object",
        places,
        "image",
        "They teach that this is background. Some loaders leave them out.",
        "nothing, if there is really none on them",
        sum(labels.task == "detection" for _, labels, _, _ in every(case)),
    )


def other_sizes(case: Case) -> list[Finding]:
    """Labels that were made for an image of another size."""
    places = []
    for _, _, sample, row in every(case):
        if row is None or sample.size is None or 0 in sample.size:
            continue
        height, width = map(int, case.sizes[row])
        if sample.size != (height, width):
            swapped = " (turned by EXIF)" if sample.size == (width, height) and case.seen.orientation[row] > 4 else ""
            said = f"{sample.size[1]}x{sample.size[0]}"
            places.append(
                Place(sample.source, f"{sample.image}: {said}, the file is {width}x{height}{swapped}", (row,))
            )
    boxed = any(sample.things for _, _, sample, _ in every(case))
    return _told(
        "other-sizes",
        ERROR if boxed else WARNING,
        "{} of another size than the labels say",
        places,
        "image",
        "Boxes and masks made for another size do not fit."
        if boxed
        else "The images were changed after the labels were made.",
        "use the images that were labelled, or scale the labels; for EXIF turns, turn the photos for good",
        len(case.photos),
    )


def disagreement(case: Case) -> list[Finding]:
    """Two formats in one tree that do not count the same objects."""
    findings = []
    for tree in case.trees:
        formats = [labels for owner, labels in case.labels if owner is tree and labels.task == "detection"]
        for one, two in pairwise(formats):
            first, second = _counts(one), _counts(two)
            common = first.keys() & second.keys()
            places = [
                Place(
                    image,
                    f"{first[image]} objects in {one.format}, {second[image]} in {two.format}",
                    _rows(case, image),
                )
                for image in sorted(common)
                if first[image] != second[image]
            ]
            totals = [sum(counts[image] for image in common) for counts in (first, second)]
            words = f"{one.format} counts {totals[0]:,} objects, {two.format} {totals[1]:,} on the same images"
            why = "What is trained depends on which of them is read."
            cure = "find out which is right, and make the other from it"
            if places:
                findings.append(Finding("formats-disagree", WARNING, words, places, why, cure, len(common)))
    return findings


def _counts(labels: Labels) -> dict[str, int]:
    return {sample.image: len(sample.things) for sample in labels.samples if sample.found and sample.labelled}


def _rows(case: Case, name: str) -> tuple[int, ...]:
    return (case.rows[name],) if name in case.rows else ()


def _told(
    check: str, severity: str, title: str, places: Sequence[Place], noun: str, why: str, cure: str, of: int
) -> list[Finding]:
    if not places:
        return []
    return [Finding(check, severity, title.format(counted(len(places), noun)), places, why, cure, of)]
