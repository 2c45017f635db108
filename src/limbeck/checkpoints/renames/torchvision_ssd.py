"""torchvision's names of the tensors of its SSDs, and limbeck's: patterns (theirs, ours), the first that fits."""

from limbeck.checkpoints.renames.mmdet import Patterns

_HEADS = (
    (r"^head\.classification_head\.module_list\.(\d)\.", r"class_heads.\1."),
    (r"^head\.regression_head\.module_list\.(\d)\.", r"box_heads.\1."),
)
SSD300: Patterns = (
    (r"^backbone\.scale_weight$", "first.weight"),
    *((rf"^backbone\.extra\.0\.{layer}\.", f"backbone.features.{layer + 23}.") for layer in (1, 3, 5)),
    (r"^backbone\.extra\.0\.7\.1\.", "backbone.features.31."),
    (r"^backbone\.extra\.0\.7\.3\.", "backbone.features.33."),
    *(
        (rf"^backbone\.extra\.{level + 1}\.{2 * layer}\.", f"extras.{level}.{layer}.0.")
        for level in range(4)
        for layer in range(2)
    ),
    *_HEADS,
)
SSDLITE320: Patterns = (
    (r"^backbone\.extra\.(\d)\.0\.", r"extras.\1.0."),
    (r"^backbone\.extra\.(\d)\.1\.", r"extras.\1.1.0."),
    (r"^backbone\.extra\.(\d)\.2\.", r"extras.\1.1.1."),
    *_HEADS,
)
