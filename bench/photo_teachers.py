"""Embeddings for bench/near_duplicates.py that need no download."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

import cifar_models  # noqa: F401  (registers cifar_teacher)
from limbeck.images.prepare import centre_view, to_input
from limbeck.records import Preprocess

Embed = Callable[[list[Tensor]], NDArray[np.float32]]


def random_teacher() -> Embed:
    """timm's test_resnet as it is born."""
    torch.manual_seed(0)
    model = timm.create_model("test_resnet.r160_in1k", pretrained=False).eval()
    preprocess = Preprocess(size=(160, 160), crop=0.95)
    return embedding(preprocess, lambda x: model.forward_head(model.forward_features(x), pre_logits=True), model)


def cifar_teacher(weights: Path) -> Embed:
    """A network of 32-pixel photos that was trained on CIFAR-10."""
    model = timm.create_model("cifar_teacher")
    model.load_state_dict(load_file(weights))
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    preprocess = Preprocess(size=(32, 32), mean=mean, std=std, crop=1.0, interpolation="bilinear")
    return embedding(preprocess, lambda x: model.stages(x).mean((2, 3)), model.eval())


def embedding(preprocess: Preprocess, features: Callable[[Tensor], Tensor], model: nn.Module) -> Embed:
    @torch.inference_mode()
    def embed(photos: list[Tensor]) -> NDArray[np.float32]:
        views = torch.stack([centre_view(preprocess, photo) for photo in photos])
        return features(to_input(views, preprocess.size, preprocess.mean, preprocess.std)).float().numpy()

    return embed
