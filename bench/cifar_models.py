"""Two networks for 32-pixel photos, by timm name: `cifar_teacher` (1.6 M parameters) and `cifar_student` (0.15 M)."""

from typing import Any

from timm.models import register_model
from torch import Tensor, nn


class Residual(nn.Module):
    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.blocks(x)


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class SmallNet(nn.Module):
    def __init__(self, stages: nn.Sequential, features: int, num_classes: int) -> None:
        super().__init__()
        size = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
        self.pretrained_cfg = {"input_size": (3, 32, 32), "mean": size[0], "std": size[1], "crop_pct": 1.0}
        self.pretrained_cfg |= {"interpolation": "bilinear", "classifier": "head"}
        self.num_classes, self.num_features, self.in_chans = num_classes, features, 3
        self.stages = stages
        self.head = nn.Linear(features, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.stages(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        pooled = x.mean((2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


@register_model
def cifar_teacher(pretrained: bool = False, num_classes: int = 10, width: int = 32, **_: Any) -> SmallNet:
    w = width
    stages = nn.Sequential(
        conv(3, w),
        conv(w, 2 * w), nn.MaxPool2d(2), Residual(conv(2 * w, 2 * w), conv(2 * w, 2 * w)),
        conv(2 * w, 4 * w), nn.MaxPool2d(2),
        conv(4 * w, 8 * w), nn.MaxPool2d(2), Residual(conv(8 * w, 8 * w), conv(8 * w, 8 * w)),
    )  # fmt: skip
    return SmallNet(stages, 8 * w, num_classes)


@register_model
def cifar_student(pretrained: bool = False, num_classes: int = 10, width: int = 12, **_: Any) -> SmallNet:
    w = width
    stages = nn.Sequential(
        conv(3, w),
        conv(w, 2 * w, 2), Residual(conv(2 * w, 2 * w)),
        conv(2 * w, 4 * w, 2), Residual(conv(4 * w, 4 * w)),
        conv(4 * w, 8 * w, 2), Residual(conv(8 * w, 8 * w)),
    )  # fmt: skip
    return SmallNet(stages, 8 * w, num_classes)
