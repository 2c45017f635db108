"""report.html of a detector's training."""

from pathlib import Path

from limbeck.commands.train_gallery import best_score, galleries
from limbeck.commands.train_job import TrainJob
from limbeck.detection.coco_metric import CocoMetric
from limbeck.detection.dataset import DetectionSet
from limbeck.errors import counted
from limbeck.report.detections_page import DetectionsPage, FoundClass, write_detections
from limbeck.training.log import read_metrics


def report(job: TrainJob, metric: CocoMetric, photos: DetectionSet) -> Path:
    """The page of a training, of the detector that is shipped."""
    options = job.options
    facts = {name: str(value) for name, value in vars(options).items() if value not in ("", (), False)}
    sure = best_score(metric.images().values())
    page = DetectionsPage(
        title=Path(options.out).resolve().name,
        about=_about(job),
        numbers=metric.numbers(),
        classes=_classes(metric),
        history=read_metrics(job.run),
        galleries=galleries(metric.images(), photos, sure.score),
        facts=facts,
        shown=sure.told,
    )
    return write_detections(job.run, page)


def _about(job: TrainJob) -> str:
    options = job.options
    words = options.detector + (f" on {options.backbone}" if options.backbone else "")
    words += f", taught by {options.teacher}" if options.teacher else ""
    return words + (f", also on {counted(len(job.unlabeled), 'photo')} without boxes" if job.unlabeled else "")


def _classes(metric: CocoMetric) -> list[FoundClass]:
    lines = {curve.name: curve for curve in metric.curves()}
    rows = []
    for row in metric.per_class():
        line = lines.get(row.name)
        over = (line.recall, line.precision) if line is not None else (None, None)
        rows.append(FoundClass(row.name, row.ap, row.ap50, row.ap75, row.truth, row.found, *over))
    return rows
