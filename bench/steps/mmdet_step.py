"""mmdetection's own step: `train_step` of its configs' models, in an environment of its own."""

from collections.abc import Callable
from pathlib import Path

import mmdet
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from serve import DECAY, LR, MOMENTUM, Photos, serve

CONFIGS = {"ssd300": "ssd300_coco.py", "ssdlite_mobilenetv2": "ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py"}


def make(model: str, photos: Photos, variant: str) -> Callable[[], dict[str, float]]:
    register_all_modules()
    config = Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs/ssd" / CONFIGS[model])
    network = MODELS.build(config.model).train()
    sgd = {"type": "SGD", "lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY}
    wrapper = build_optim_wrapper(network, {"type": "OptimWrapper", "optimizer": sgd})
    side = photos["images"].shape[2]
    meta = {"img_shape": (side, side), "ori_shape": (side, side), "scale_factor": (1.0, 1.0), "pad_shape": (side, side)}
    samples = []
    for boxes, labels in zip(photos["boxes"], photos["labels"]):
        sample = DetDataSample(metainfo={**meta, "batch_input_shape": (side, side)})
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=labels[:0])
        samples.append(sample)
    images = [each.contiguous() for each in photos["images"]]

    def step() -> dict[str, float]:
        network.train_step({"inputs": list(images), "data_samples": samples}, wrapper)
        return {}

    return step


if __name__ == "__main__":
    serve(make)
