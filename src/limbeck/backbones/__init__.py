"""The paper's networks by plain names, as the reference defines them: timm's model where it computes the same."""

BACKBONES = {
    "mobilenet_v1": "limbeck.backbones.mobilenet:mobilenet_v1",
    "mobilenet_v2": "limbeck.backbones.mobilenet:mobilenet_v2",
    "mobilenet_v3_small": "limbeck.backbones.mobilenet:mobilenet_v3_small",
    "mobilenet_v3_large": "limbeck.backbones.mobilenet:mobilenet_v3_large",
    "hrnet_w18_c": "limbeck.backbones.hrnet:hrnet_w18_c",
    "se_hrnet_w64_c": "limbeck.backbones.hrnet:se_hrnet_w64_c",
    "resnet50_vd": "limbeck.backbones.resnet_vd:resnet50_vd",
    "resnet101_vd": "limbeck.backbones.resnet_vd:resnet101_vd",
    "resnet200_vd": "limbeck.backbones.resnet_vd:resnet200_vd",
    "resnext101_32x16d": "limbeck.backbones.resnext:resnext101_32x16d",
}
