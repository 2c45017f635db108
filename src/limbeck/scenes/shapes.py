"""What the scenes are made of: twelve kinds of object and the clutter, as polygons whose proportions are drawn anew.

An outline is a list of parts in painting order, y pointing down, about two units large. A part adds pixels in one
of three tones, or cuts away what was painted before it.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Points = NDArray[np.float64]
Part = tuple[int, Points]
Outline = list[Part]

CUT, BODY, ACCENT, LINE = range(4)


def outline(kind: str, rng: Generator) -> Outline:
    """One object of a kind, centred, its longer side two units.

    >>> parts = outline("key", np.random.default_rng(0))
    >>> float(max(np.abs(points).max() for tone, points in parts if tone != CUT).round(6))
    1.0
    """
    return _fit(SHAPES[kind](rng))


def clutter(rng: Generator) -> Outline:
    """A thing of no class, of the same rings, bars, domes and lenses as the objects: no part gives one away."""
    pieces = [_CLUTTER[rng.integers(len(_CLUTTER))](rng) for _ in range(rng.integers(1, 3))]
    return _fit([part for piece in pieces for part in piece])


def _fit(parts: Outline) -> Outline:
    solid = np.concatenate([points for tone, points in parts if tone != CUT])
    low, high = solid.min(0), solid.max(0)
    return [(tone, (points - (low + high) / 2) * (2 / (high - low).max())) for tone, points in parts]


# Pieces


def _points(*pairs: tuple[float, float]) -> Points:
    return np.array(pairs, dtype=np.float64)


def _arc(x: float, y: float, rx: float, ry: float, start: float = 0.0, stop: float = 1.0, count: int = 22) -> Points:
    """Part of an ellipse, in turns clockwise from the right."""
    angle = np.linspace(start, stop, count, endpoint=stop - start < 1) * (2 * np.pi)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)


def _bar(start: tuple[float, float], end: tuple[float, float], width: float, end_width: float | None = None) -> Points:
    a, b = np.array(start), np.array(end)
    along = (b - a) / (np.hypot(*(b - a)) + 1e-9)
    side = np.array([-along[1], along[0]]) / 2
    tip = side * (width if end_width is None else end_width)
    return np.stack([a - side * width, b - tip, b + tip, a + side * width])


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return _points((left, top), (right, top), (right, bottom), (left, bottom))


def _turned(heights: list[float], radii: list[float]) -> Points:
    """The silhouette of a turned thing: the same radius left and right at each height."""
    right = np.stack([np.array(radii), np.array(heights)], 1)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def _ring(tone: int, x: float, y: float, rx: float, ry: float, thickness: float) -> Outline:
    return [(tone, _arc(x, y, rx, ry)), (CUT, _arc(x, y, rx - thickness, ry - thickness))]


def _turn(parts: Outline, angle: float) -> Outline:
    c, s = np.cos(angle), np.sin(angle)
    return [(tone, points @ np.array([[c, s], [-s, c]])) for tone, points in parts]


def _maybe(rng: Generator, share: float, parts: Outline) -> Outline:
    return parts if rng.random() < share else []


# Objects


def _bicycle(rng: Generator) -> Outline:
    u = rng.uniform
    reach, front, back, thick = u(0.62, 0.85), u(0.42, 0.56), u(0.42, 0.56), u(0.09, 0.16)
    wheels: Outline = []
    for x, radius in ((-reach, back), (reach, front)):
        wheels += _ring(LINE, x, 0.5, radius, radius, thick)
        for angle in np.arange(rng.integers(0, 4)) * u(0.7, 1.1):
            dx, dy = radius * np.cos(angle) * 0.95, radius * np.sin(angle) * 0.95
            wheels.append((LINE, _bar((x - dx, 0.5 - dy), (x + dx, 0.5 + dy), thick * 0.45)))
    crank, seat, head = (u(-0.15, 0.05), u(0.42, 0.58)), (u(-0.42, -0.2), u(-0.4, -0.2)), (u(0.4, 0.6), u(-0.45, -0.25))
    tube = u(0.09, 0.15)
    lines = [
        ((-reach, 0.5), crank),
        (crank, seat),
        (seat, head),
        (crank, head),
        (head, (reach, 0.5)),
        ((-reach, 0.5), seat),
    ]
    frame: Outline = [(BODY, _bar(a, b, tube)) for a, b in lines]
    saddle = (seat[0] - 0.02, seat[1] - u(0.08, 0.2))
    frame += [(BODY, _bar(seat, saddle, tube)), (ACCENT, _arc(*saddle, u(0.16, 0.26), 0.07))]
    grip = (head[0] + u(-0.12, 0.1), head[1] - u(0.12, 0.28))
    return [
        *wheels,
        *frame,
        (BODY, _bar(head, grip, tube)),
        (ACCENT, _bar(grip, (grip[0] + u(-0.25, 0.25), grip[1]), tube)),
    ]


def _boat(rng: Generator) -> Outline:
    u = rng.uniform
    deck, keel, depth = u(0.2, 0.4), u(0.4, 0.75), u(0.28, 0.5)
    bow = u(0.9, 1.1)
    hull = _points((-1, deck), (bow, deck - u(0, 0.15)), (keel, deck + depth), (-keel, deck + depth))
    band: Outline = [
        (ACCENT, _points((-0.97, deck + 0.04), (bow * 0.97, deck), (bow * 0.9, deck + 0.12), (-0.93, deck + 0.14)))
    ]
    if rng.random() < 0.3:
        left, right, roof = u(-0.75, -0.4), u(0.1, 0.5), deck - u(0.3, 0.55)
        cabin: Outline = [(ACCENT, _box(left, roof, right, deck))]
        cabin += [(LINE, _box(x, roof + 0.1, x + 0.16, roof + 0.26)) for x in np.arange(left + 0.1, right - 0.15, 0.28)]
        funnel = u(left + 0.1, right - 0.2)
        return [
            (BODY, _box(funnel, roof - u(0.2, 0.45), funnel + u(0.15, 0.28), roof)),
            *cabin,
            (BODY, hull),
            *_maybe(rng, 0.5, band),
        ]
    mast, top = u(-0.2, 0.25), -u(0.9, 1.3)
    foot = deck - u(0.08, 0.15)
    sails: Outline = [(ACCENT, _points((mast + 0.05, top), (mast + u(0.55, 0.85), foot), (mast + 0.05, foot)))]
    sails += _maybe(
        rng, 0.7, [(BODY, _points((mast - 0.05, top + u(0.05, 0.4)), (mast - u(0.4, 0.7), foot), (mast - 0.05, foot)))]
    )
    return [(LINE, _bar((mast, top - 0.05), (mast, deck), 0.08)), *sails, (BODY, hull), *_maybe(rng, 0.5, band)]


def _bottle(rng: Generator) -> Outline:
    u = rng.uniform
    radius, neck = u(0.28, 0.46), u(0.1, 0.17)
    shoulder, throat = u(-0.35, 0.1), u(-0.72, -0.45)
    heights = [-1, throat, (shoulder + throat) / 2, shoulder, 0.88, 1]
    body = _turned(
        heights, [neck, neck * u(1, 1.2), (radius + neck) * u(0.45, 0.6), radius, radius * u(0.85, 1), radius * 0.75]
    )
    cap = -1 + u(0.08, 0.2)
    label: Outline = [(ACCENT, _box(-radius, shoulder + u(0.1, 0.3), radius, u(0.55, 0.8)))]
    shine: Outline = [(LINE, _bar((-radius * 0.6, shoulder + 0.1), (-radius * 0.6, 0.75), 0.07))]
    return [
        (BODY, body),
        *_maybe(rng, 0.6, label),
        *_maybe(rng, 0.3, shine),
        (LINE, _box(-neck * 1.2, -1.05, neck * 1.2, cap)),
    ]


def _fish(rng: Generator) -> Outline:
    u = rng.uniform
    half, blunt = u(0.32, 0.58), u(0.7, 1.3)
    t = np.linspace(0, 1, 18)
    bulge = half * np.sin(np.pi * t**blunt) ** u(0.7, 1)
    x = -0.75 + 1.6 * t
    body = np.concatenate([np.stack([x, -bulge], 1), np.stack([x, bulge], 1)[::-1]])
    fork, spread = u(-0.98, -0.8), u(0.3, 0.55)
    tail = _points((-0.62, -0.06), (-1.15, -spread), (fork, 0), (-1.15, spread * u(0.8, 1.1)), (-0.62, 0.06))
    fin = _points((u(-0.35, -0.1), -half * 0.7), (u(-0.3, 0), -half - u(0.12, 0.35)), (u(0.2, 0.45), -half * 0.75))
    belly = _points((-0.1, half * 0.7), (u(-0.3, -0.1), half + u(0.1, 0.3)), (0.15, half * 0.8))
    stripes: Outline = [
        (ACCENT, _bar((s, -half * 0.7), (s + u(-0.06, 0.06), half * 0.7), u(0.07, 0.14)))
        for s in np.arange(-0.3, 0.35, u(0.22, 0.4))
    ]
    eye: Outline = [(LINE, _arc(u(0.45, 0.58), -half * u(0.15, 0.35), 0.09, 0.09, count=10))]
    fins: Outline = [(ACCENT, tail), (ACCENT, fin), *_maybe(rng, 0.6, [(ACCENT, belly)])]
    return [*fins, (BODY, body), *_maybe(rng, 0.35, stripes), *_maybe(rng, 0.8, eye)]


def _house(rng: Generator) -> Outline:
    u = rng.uniform
    wide, wall, eaves, ridge = u(0.6, 0.95), u(0.5, 0.9), u(0.02, 0.22), u(0.4, 0.8)
    flat = u(0, 0.45) * wide
    roof = _points((-wide - eaves, 0), (-flat, -ridge), (flat, -ridge), (wide + eaves, 0))
    stack = u(0.25, 0.55) * wide * rng.choice([-1, 1])
    chimney: Outline = [(BODY, _box(stack - 0.1, -ridge - u(0, 0.2), stack + 0.1, -0.1))]
    door = u(-0.6, 0.4) * wide
    parts: Outline = [*_maybe(rng, 0.6, chimney), (BODY, _box(-wide, -0.02, wide, wall)), (ACCENT, roof)]
    parts.append((LINE, _box(door, wall - u(0.35, 0.5), door + u(0.2, 0.32), wall)))
    for x in np.arange(-0.75, 0.6, u(0.5, 0.9)) * wide:
        if not door - 0.3 < x < door + 0.35:
            parts.append(
                (LINE if rng.random() < 0.7 else CUT, _box(x, wall * 0.25, x + u(0.18, 0.28), wall * u(0.5, 0.65)))
            )
    return parts


def _key(rng: Generator) -> Outline:
    u = rng.uniform
    bow, thick, shaft = u(0.3, 0.45), u(0.11, 0.2), u(0.12, 0.2)
    sides = [4, 6, 22][rng.integers(3)]
    hole = bow * np.cos(np.pi / sides) * 0.95 - thick * 0.8  # within the flat sides
    head: Outline = [(BODY, _arc(-0.7, 0, bow * u(0.85, 1.1), bow, 0, 1, sides))]
    head.append((CUT, _arc(-0.7 + u(-0.06, 0.06), 0, hole, hole, 0, 1, 14)))
    teeth: Outline = []
    x = 1.0
    for _ in range(rng.integers(2, 5)):
        width = u(0.09, 0.17)
        teeth.append((BODY, _box(x - width, 0, x, shaft / 2 + u(0.1, 0.35))))
        x -= width + u(0.05, 0.14)
    collar: Outline = [(ACCENT, _box(-0.7 + bow, -shaft * 0.9, -0.6 + bow, shaft * 0.9))]
    return [(BODY, _bar((-0.7 + hole + 0.03, 0), (1, 0), shaft)), *head, *teeth, *_maybe(rng, 0.5, collar)]


def _leaf(rng: Generator) -> Outline:
    u = rng.uniform
    half, lean = u(0.28, 0.6), u(0.7, 1.4)
    t = np.linspace(0, 1, 25)
    edge = half * np.sin(np.pi * t**lean) ** u(0.9, 1.4)
    if rng.random() < 0.45:
        edge *= 1 - u(0.1, 0.3) * (np.arange(25) % 2)
    x = -0.7 + 1.7 * t
    blade = np.concatenate([np.stack([x, -edge], 1), np.stack([x, edge * u(0.85, 1.1)], 1)[::-1]])
    parts: Outline = [(BODY, _bar((-1.0 - u(0, 0.3), u(-0.15, 0.15)), (-0.6, 0), 0.09)), (BODY, blade)]
    vein = rng.choice([ACCENT, LINE])
    parts.append((vein, _bar((-0.75, 0), (0.85, 0), 0.09, 0.03)))
    if rng.random() < 0.6:
        for root in np.arange(-0.45, 0.55, u(0.22, 0.4)):
            reach = 0.75 * float(np.interp(root + 0.15, x, edge))
            parts += [(vein, _bar((root, 0), (root + 0.2, side * reach), 0.06)) for side in (-1, 1)]
    return parts


def _mug(rng: Generator) -> Outline:
    u = rng.uniform
    radius, foot, height = u(0.5, 0.75), u(0.72, 1.05), u(0.6, 0.85)
    body = _turned([-height, height * 0.8, height], [radius, radius * foot, radius * foot * 0.88])
    grip, tall, thick = u(0.28, 0.45), u(0.34, 0.5) * height * 1.5, u(0.11, 0.17)
    handle = _ring(BODY, radius * 0.95, u(-0.1, 0.12), grip, tall, thick)
    rim: Outline = [(LINE, _arc(0, -height, radius, u(0.08, 0.22)))]
    level = u(-0.3, 0.2)
    band: Outline = [(ACCENT, _box(-radius * 0.97, level, radius * 0.97, level + u(0.15, 0.45)))]
    dot: Outline = [(ACCENT, _arc(u(-0.2, 0.2), 0.1, u(0.15, 0.3), u(0.15, 0.3), count=14))]
    return [*handle, (BODY, body), *_maybe(rng, 0.4, band), *_maybe(rng, 0.3, dot), *_maybe(rng, 0.75, rim)]


def _mushroom(rng: Generator) -> Outline:
    u = rng.uniform
    wide, tall, brim = u(0.75, 1.0), u(0.6, 0.95), u(0.05, 0.22)
    cap = np.concatenate([_arc(0, 0, wide, tall, 0.5, 1.0), _arc(0, 0, wide, brim, 0.0, 0.5, 12)])
    stem, bulge, length = u(0.16, 0.3), u(1.0, 1.7), u(0.6, 1.0)
    foot = _turned([0, length * 0.7, length], [stem, stem * bulge, stem * bulge * 0.7])
    spots: Outline = []
    for _ in range(rng.integers(0, 7)):
        angle, away, dot = u(0.53, 0.97) * 2 * np.pi, u(0.2, 0.8), u(0.07, 0.16)
        spots.append((LINE, _arc(wide * away * np.cos(angle), tall * away * np.sin(angle), dot, dot * 0.8, count=10)))
    skirt: Outline = [(BODY, _turned([length * 0.2, length * 0.38], [stem * 1.1, stem * 1.6]))]
    return [(ACCENT, foot), *_maybe(rng, 0.35, skirt), (BODY, cap), *spots]


def _scissors(rng: Generator) -> Outline:
    u = rng.uniform
    blade, opening, width = u(0.9, 1.2), u(0.12, 0.5), u(0.16, 0.26)
    bow, thick, grip = u(0.24, 0.36), u(0.1, 0.15), u(0.5, 0.75)
    parts: Outline = []
    for side in (-1, 1):
        handle = _ring(ACCENT, -grip - bow, -side * bow * 0.35, bow * u(0.95, 1.25), bow, thick)
        arm: Outline = [(ACCENT, _bar((-grip - 0.03, -side * bow * 0.15), (0, 0), width * 0.75))]
        edge: Outline = [
            (
                BODY,
                _points((-0.15, -width / 2), (blade * 0.8, -width / 2), (blade, side * width / 2), (-0.15, width / 2)),
            )
        ]
        parts += _turn([*handle, *arm, *edge], side * opening)
    return [*parts, (LINE, _arc(0, 0, 0.08, 0.08, count=10))]


def _tree(rng: Generator) -> Outline:
    u = rng.uniform
    trunk, top = u(0.09, 0.2), u(0.2, 0.5)
    parts: Outline = [(ACCENT, _bar((0, 1), (u(-0.08, 0.08), top - 0.4), trunk * 2.2, trunk * 1.4))]
    if rng.random() < 0.45:
        tiers, wide = int(rng.integers(2, 5)), u(0.5, 0.8)
        for tier in range(tiers):
            low, size = top - tier * 1.3 / tiers, 1 - 0.62 * tier / tiers
            parts.append((BODY, _points((-wide * size, low), (0, low - u(0.65, 0.8)), (wide * size, low))))
        return parts
    for angle in np.arange(rng.integers(4, 8)) * 0.95 + u(0, 6):
        x, y = 0.42 * np.cos(angle) * u(0.7, 1.1), top - 0.62 + 0.38 * np.sin(angle)
        parts.append((BODY, _arc(x, y, u(0.28, 0.46), u(0.26, 0.42), count=14)))
    parts.append((BODY, _arc(0, top - 0.6, 0.42, 0.4, count=14)))
    for _ in range(rng.integers(0, 5)):
        parts.append((LINE, _arc(u(-0.5, 0.5), top - 0.6 + u(-0.4, 0.4), 0.08, 0.08, count=8)))
    return parts


def _umbrella(rng: Generator) -> Outline:
    u = rng.uniform
    wide, tall, panels = u(0.85, 1.05), u(0.5, 0.85), int(rng.integers(3, 6))
    step = 2 * wide / panels
    dip = u(0.05, 0.16)
    scallops = [_arc(wide - step * (k + 0.5), 0, step / 2, -dip, 0.0, 0.5, 8) for k in range(panels)]
    canopy = np.concatenate([_arc(0, 0, wide, tall, 0.5, 1.0), *scallops])
    length, pole, hook = u(0.7, 1.05), u(0.06, 0.11), u(0.13, 0.24)
    side = rng.choice([-1, 1])
    handle = _ring(LINE, side * hook, length, hook, hook, pole * 1.3)
    keep_below: Part = (CUT, _box(-2 * hook - 0.1, length - hook - 0.1, 2 * hook + 0.1, length))
    parts: Outline = [*handle, keep_below, (LINE, _bar((0, -tall - u(0.05, 0.15)), (0, length), pole)), (BODY, canopy)]
    if rng.random() < 0.7:
        for k in range(0, panels, 2):
            left = -wide + step * k
            parts.append((ACCENT, _points((0, -tall * 0.97), (left + step * 0.9, -dip), (left + step * 0.1, -dip))))
    return parts


SHAPES: dict[str, Callable[[Generator], Outline]] = {
    "bicycle": _bicycle,
    "boat": _boat,
    "bottle": _bottle,
    "fish": _fish,
    "house": _house,
    "key": _key,
    "leaf": _leaf,
    "mug": _mug,
    "mushroom": _mushroom,
    "scissors": _scissors,
    "tree": _tree,
    "umbrella": _umbrella,
}
CLASSES = tuple(SHAPES)  # in alphabetical order, as class folders are read


# Clutter


def _tone(rng: Generator) -> int:
    return int(rng.integers(BODY, LINE + 1))


def _blob(rng: Generator) -> Outline:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    radius = (
        1 + rng.uniform(0.1, 0.35) * np.sin(rng.integers(2, 5) * angle + rng.uniform(0, 6)) + rng.uniform(-0.1, 0.1, 20)
    )
    return [(BODY, np.stack([radius * np.cos(angle) * rng.uniform(0.4, 1), radius * np.sin(angle)], 1))]


def _hoop(rng: Generator) -> Outline:
    radius, x = rng.uniform(0.4, 0.9), rng.uniform(-0.5, 0.5)
    return _ring(_tone(rng), x, 0, radius, radius * rng.uniform(0.7, 1), rng.uniform(0.12, 0.3))


def _stick(rng: Generator) -> Outline:
    width = rng.uniform(0.1, 0.4)
    return [(_tone(rng), _bar((-1, rng.uniform(-0.6, 0.6)), (1, rng.uniform(-0.6, 0.6)), width))]


def _shard(rng: Generator) -> Outline:
    corners = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 6)))
    return [(_tone(rng), np.stack([np.cos(corners), np.sin(corners)], 1) * rng.uniform(0.5, 1))]


def _dome(rng: Generator) -> Outline:
    shift = rng.uniform(-0.4, 0.4)
    return [(BODY, _arc(shift, 0, rng.uniform(0.5, 1), rng.uniform(0.4, 0.9), 0.5, 1.0))]


def _lens(rng: Generator) -> Outline:
    t = np.linspace(0, 1, 14)
    edge = rng.uniform(0.2, 0.5) * np.sin(np.pi * t)
    return [(BODY, np.concatenate([np.stack([2 * t - 1, -edge], 1), np.stack([2 * t - 1, edge], 1)[::-1]]))]


def _comb(rng: Generator) -> Outline:
    y = rng.uniform(-0.3, 0.3)
    teeth: Outline = [(BODY, _box(x, y, x + 0.12, y + rng.uniform(0.2, 0.6))) for x in np.arange(-0.9, 0.8, 0.35)]
    return [*teeth, (BODY, _bar((-1, y), (1, y), rng.uniform(0.12, 0.3)))]


def _crate(rng: Generator) -> Outline:
    wide, tall = rng.uniform(0.3, 1, 2)
    inner = rng.uniform(0.2, 0.6)
    return [(BODY, _box(-wide, -tall, wide, tall)), (ACCENT, _box(-wide * inner, -tall * inner, wide, tall * inner))]


_CLUTTER = (_blob, _hoop, _stick, _shard, _dome, _lens, _comb, _crate)
