"""How the reference names the tensors of its networks, and how limbeck does: tables, read in both directions.

A row is (the reference's module, limbeck's). `{field}` is a coordinate of the place where the row stands, `{field+2}`
a number two above it. Rows are kept by where they stand: "once", in each "block", and so on. Where two rows give one
module of limbeck's, the first is written, and all of them are read.
"""

Row = tuple[str, str]
Rows = tuple[Row, ...]
Table = dict[str, Rows]
Places = dict[str, tuple[dict[str, int | str], ...]]

HEAD, TOP = "head", "top"  # the classifier; what lies between the last map that a detector uses and the classifier

LEAVES = (("weight", "weight"), ("bias", "bias"), ("_mean", "running_mean"), ("_variance", "running_var"))


def blocks(*depths: int) -> Places:
    """The places of a network of stages of blocks, in order.

    >>> blocks(1, 2)["block"][2]
    {'flat': 2, 'stage': 1, 'index': 1, 'letter': 'b'}
    """
    places: list[dict[str, int | str]] = []
    for stage, depth in enumerate(depths):
        for index in range(depth):
            # what has more than ten blocks ran out of letters
            letter = chr(ord("a") + index) if depth <= 10 else f"b{index}" if index else "a"
            places.append({"flat": len(places), "stage": stage, "index": index, "letter": letter})
    return {"block": tuple(places)}
