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

CONFIGS = {
    "ssd300": "ssd/ssd300_coco.py",
    "ssdlite_mobilenetv2": "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py",
    "gfl_r18": "gfl/gfl_r50_fpn_1x_coco.py",  # there is none of a ResNet-18
    "ld_r18": "ld/ld_r18-gflv1-r101_fpn_1x_coco.py",
}


def make(model: str, photos: Photos, variant: str) -> Callable[[], dict[str, float]]:
    register_all_modules()
    name = model.partition("@")[0]
    configs = Path(mmdet.__file__).parent / ".mim/configs"
    config = Config.fromfile(configs / CONFIGS[name])
    if name.endswith("_r18"):
        config.model.backbone.update(depth=18, init_cfg=None)
        config.model.neck.in_channels = [64, 128, 256, 512]
    if name == "ld_r18":
        teacher = Config.fromfile(configs / "gfl/gfl_r101_fpn_ms-2x_coco.py")
        teacher.model.backbone.init_cfg = None
        config.model.update(teacher_config=teacher, teacher_ckpt=None)
    network = MODELS.build(config.model)
    network.train()  # which does not give it back where there is a teacher
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
