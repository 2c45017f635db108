"""What the paper varied (arXiv 2103.05959, section 4.5 and Figure 1), and what it found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A table of the paper: (point, numbers...) a row, in per cent. `x` is each row's place on the picture's axis."""

    title: str
    setting: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    x: tuple[float, ...] = ()

    @property
    def lines(self) -> list[tuple[str, list[tuple[float, float]]]]:
        """The student's numbers as lines: without and, where it is there, with stage two."""
        if not self.x:
            return []
        titles = [title for title in self.columns if title.startswith("student")]
        places = [self.columns.index(title) for title in titles]
        return [
            (title, [(x, float(row[place])) for x, row in zip(self.x, self.rows, strict=True)])
            for title, place in zip(titles, places, strict=True)
        ]


@dataclass(frozen=True)
class Grid:
    """A study: what it varies, the values that the paper has, and the paper's table. `log`: how its axis is drawn."""

    about: str
    axis: str
    points: tuple[str, ...]
    paper: Published
    log: bool = False


_STUDENT, _TUNED = "student", "student, stage two"
_MOBILE = "MobileNetV3-large, taught by ResNet50-D of 83.0 %"

STUDIES: dict[str, Grid] = {
    "teacher": Grid(
        "does a better teacher make a better student?",
        "teacher's top-1",
        (),
        Published(
            "Table 3",
            "MobileNetV3-large, 120 epochs on 5.2 M photos",
            ("teacher", "teacher's own", _STUDENT),
            (
                ("ResNet50-D", "79.1", "76.8"),
                ("ResNet50-D (ours)", "83.0", "78.4"),
                ("ResNet101-D", "83.7", "78.4"),
                ("ResNet200-D", "85.0", "78.4"),
            ),
            (79.1, 83.0, 83.7, 85.0),
        ),
    ),
    "epochs": Grid(
        "do more epochs help, and how long?",
        "epochs",
        ("50", "100", "200", "300", "360", "400"),
        Published(
            "Table 4",
            f"{_MOBILE}, on 5.2 M photos",
            ("epochs", _STUDENT, _TUNED),
            (
                ("50", "76.98", "77.58"),
                ("100", "77.77", "78.29"),
                ("200", "78.29", "78.75"),
                ("300", "78.42", "78.90"),
                ("360", "78.54", "79.00"),
                ("400", "78.56", "79.01"),
            ),
            (50, 100, 200, 300, 360, 400),
        ),
    ),
    "weight-decay": Grid(
        "is a smaller weight decay better?",
        "weight decay",
        ("3e-5", "2e-5", "1e-5"),
        Published(
            "Table 5",
            f"{_MOBILE}, 120 epochs on 5.2 M photos",
            ("weight decay", _STUDENT, _TUNED),
            (("3e-5", "77.11", "77.63"), ("2e-5", "77.40", "77.95"), ("1e-5", "77.88", "78.36")),
            (3e-5, 2e-5, 1e-5),
        ),
        log=True,
    ),
    "volume": Grid(
        "do more photos without labels help?",
        "photos",
        ("0.4", "0.6", "0.8", "1"),
        Published(
            "Table 6",
            f"{_MOBILE}, 120 epochs on 1.2 M photos and these",
            ("unlabeled photos", _STUDENT, _TUNED),
            (("2M", "77.71", "78.06"), ("3M", "77.80", "78.29"), ("4M", "77.88", "78.36"), ("5M", "77.92", "78.38")),
            (2e6, 3e6, 4e6, 5e6),
        ),
        log=True,
    ),
    "trade-off": Grid(
        "accuracy against latency against photos, over several students",
        "latency of one photo",
        (),
        Published(
            "Table 1",
            "ImageNet; what Figure 1 draws, against the latency on a T4 with TensorRT",
            ("method", "million photos", "top-1"),
            (
                ("ResNet50", "1.2", "76.5"),
                ("ResNet50-D + mixup + label smoothing", "1.2", "79.1"),
                ("ResNet50 (Billion-scale)", "940", "81.2"),
                ("EfficientNet-B0 (Noisy Student)", "81", "78.8"),
                ("EfficientNet-B1 (Noisy Student)", "81", "81.5"),
                ("Ours (ResNet50-D), without stage two", "5.2", "82.2"),
                ("Ours (ResNet50-D), with stage two", "5.2", "83.0"),
                ("Ours (ResNet50-D + ResFix)", "5.2", "84.0"),
            ),
        ),
    ),
}
