"""What the page of a run tells of labelled photos: the counts class by class, and the worst mistakes as pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.images.decode import decode
from limbeck.report.labelled import MISTAKES, Labelled, Mistake
from limbeck.report.thumbnail import SIDE, thumbnail
from limbeck.ssld.answers import Answers
from limbeck.ssld.job import Job


def mistakes_and_classes(job: Job, seen: Answers | None, history: Sequence[Mapping[str, Any]]) -> Labelled | None:
    """All of it; None where a run has no labels to learn from, or nothing was measured yet."""
    if seen is None or job.learned is None or not len(seen.rows):
        return None
    measured = [(int(record["step"]), float(record["top1"])) for record in history if record.get("top1") is not None]
    shipped = max(measured, key=lambda each: each[::-1]) if job.options.best and measured else None
    return Labelled(
        classes=job.classes,
        learned=job.learned.counts(),
        confusion=seen.confusion(len(job.classes)).tolist(),
        mistakes=worst(job, seen),
        held_out=not job.options.eval,
        best=shipped,
        last=measured[-1] if measured else None,
    )


def worst(job: Job, seen: Answers) -> list[Mistake]:
    """The photos that the model is wrong about, those first that it is surest of."""
    assert job.evaluation is not None
    photos, classes = job.evaluation.photos, job.classes
    sure = seen.probability[:, 0].masked_fill(seen.right(), -1)
    shown: list[Mistake] = []
    for place in sure.argsort(descending=True, stable=True).tolist():
        if sure[place] < 0 or len(shown) == MISTAKES:
            break
        row, truth = int(seen.rows[place]), int(seen.truth[place])
        best = list(zip(seen.best[place].tolist(), seen.probability[place].tolist(), strict=True))
        try:
            small = thumbnail(decode(photos.read(row), smallest=(SIDE, SIDE)))
        except (OSError, ValueError):
            continue
        answers = [(classes[index], share) for index, share in best]
        shown.append(Mistake(photos.path(row), small, classes[truth], answers, dict(best).get(truth)))
    return shown
