"""Where names are written in a crowded picture."""

import numpy as np

from limbeck.report.box_labels import Label, labels

SIZE = (640, 480)


def crowd(number: int, side: int) -> list[tuple[float, float, float, float]]:
    corners = np.random.default_rng(0).uniform(0, [SIZE[0] - side, SIZE[1] - side], (number, 2))
    return [(x, y, x + side, y + side) for x, y in corners.tolist()]


def written(number: int, side: int) -> list[Label | None]:
    return labels(SIZE, crowd(number, side), [0] * number, ["RBC 0.87"] * number)


def shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    wide, tall = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    return max(0.0, wide) * max(0.0, tall)


def test_no_name_is_over_another_or_over_much_of_a_box() -> None:
    boxes = crowd(20, 100)
    found = [label for label in written(20, 100) if label is not None]
    assert len(found) >= 15
    for place, label in enumerate(found):
        x, y, right, bottom = label.ground
        assert 0 <= x < right <= SIZE[0]
        assert 0 <= y < bottom <= SIZE[1]
        assert not any(shared(label.ground, other.ground) for other in found[place + 1 :])
        assert max(shared(label.ground, box) for box in boxes) <= 0.3 * 100 * 100


def test_letters_are_small_where_boxes_are() -> None:
    (small,), (large,) = (labels(SIZE, [(50, 50, 50 + side, 50 + side)], [0], ["cat"]) for side in (30, 300))
    assert small is not None
    assert large is not None
    assert 11 <= small.letters < large.letters <= 28


def test_hundreds_of_names_leave_the_photo_to_be_seen() -> None:
    found = [label for label in written(300, 60) if label is not None]
    area = sum((label.ground[2] - label.ground[0]) * (label.ground[3] - label.ground[1]) for label in found)
    assert len(found) > 10
    assert area < 0.16 * SIZE[0] * SIZE[1]
    tiny = crowd(300, 4)
    for label in written(300, 4):
        assert label is None or max(shared(label.ground, box) for box in tiny) <= 0.3 * 16


def test_each_class_is_named_once_before_any_a_second_time() -> None:
    boxes = [(100.0, 100.0, 160.0, 160.0)] * 12
    found = labels(SIZE, boxes, [0] * 11 + [1], ["cat"] * 11 + ["dog"])
    assert found[11] is not None
    assert None in found


def test_a_box_without_a_text_has_no_label() -> None:
    assert labels(SIZE, crowd(2, 50), [0, 1], ["", ""]) == [None, None]
    assert labels(SIZE, [], [], []) == []
