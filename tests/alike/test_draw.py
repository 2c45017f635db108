"""Two photos side by side: lines join what was matched."""

import numpy as np
import torch

from limbeck.alike.compare import Evidence
from limbeck.alike.draw import draw_pair


def test_a_line_joins_the_matched_points() -> None:
    points = np.array([[20.0, 60.0]], np.float32)
    evidence = Evidence("near-duplicate", "sift", 1, 0.5, 0.9, False, points, points)
    grey = torch.full((3, 120, 160), 128, dtype=torch.uint8)
    picture = draw_pair(grey, torch.full((3, 60, 60), 128, dtype=torch.uint8), evidence)
    assert picture.shape == (3, 240, 320 + 8 + 240)
    coloured = (picture.float().std(0) > 10).numpy()
    left, right = coloured[:, :320], coloured[:, 328:]
    assert left[118:123, 38:43].any()  # where the point of the first lies, at twice its size
    assert right[238:, 75:90].any()  # the second is drawn at four times its size
    assert not left[:110].any()
