"""Defaults by name: one plain function each, a row of the paper's Tables 1 and 2 or what its authors released."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.recipes.published import Recipe

RECIPES = {
    "ssld_small": "limbeck.recipes.ssld:ssld_small",
    "ssld_large": "limbeck.recipes.ssld:ssld_large",
    "ssld/mobilenet_v1": "limbeck.recipes.ssld:mobilenet_v1",
    "ssld/mobilenet_v1-released": "limbeck.recipes.ssld_released:mobilenet_v1",
    "ssld/mobilenet_v1-stage2": "limbeck.recipes.ssld:mobilenet_v1_stage2",
    "ssld/mobilenet_v1-stage2-released": "limbeck.recipes.ssld_released:mobilenet_v1_stage2",
    "ssld/mobilenet_v2": "limbeck.recipes.ssld:mobilenet_v2",
    "ssld/mobilenet_v2-released": "limbeck.recipes.ssld_released:mobilenet_v2",
    "ssld/mobilenet_v2-stage2": "limbeck.recipes.ssld:mobilenet_v2_stage2",
    "ssld/mobilenet_v2-stage2-released": "limbeck.recipes.ssld_released:mobilenet_v2_stage2",
    "ssld/mobilenet_v3_small": "limbeck.recipes.ssld:mobilenet_v3_small",
    "ssld/mobilenet_v3_small-released": "limbeck.recipes.ssld_released:mobilenet_v3_small",
    "ssld/mobilenet_v3_small-stage2": "limbeck.recipes.ssld:mobilenet_v3_small_stage2",
    "ssld/mobilenet_v3_small-stage2-released": "limbeck.recipes.ssld_released:mobilenet_v3_small_stage2",
    "ssld/mobilenet_v3_large": "limbeck.recipes.ssld:mobilenet_v3_large",
    "ssld/mobilenet_v3_large-released": "limbeck.recipes.ssld_released:mobilenet_v3_large",
    "ssld/mobilenet_v3_large-stage2": "limbeck.recipes.ssld:mobilenet_v3_large_stage2",
    "ssld/mobilenet_v3_large-stage2-released": "limbeck.recipes.ssld_released:mobilenet_v3_large_stage2",
    "ssld/hrnet_w18_c": "limbeck.recipes.ssld:hrnet_w18_c",
    "ssld/hrnet_w18_c-stage2": "limbeck.recipes.ssld:hrnet_w18_c_stage2",
    "ssld/se_hrnet_w64_c": "limbeck.recipes.ssld:se_hrnet_w64_c",
    "ssld/se_hrnet_w64_c-stage2": "limbeck.recipes.ssld:se_hrnet_w64_c_stage2",
    "ssld/resnet50_vd": "limbeck.recipes.ssld:resnet50_vd",
    "ssld/resnet50_vd-released": "limbeck.recipes.ssld_released:resnet50_vd",
    "ssld/resnet50_vd-stage2": "limbeck.recipes.ssld:resnet50_vd_stage2",
    "ssld/resnet50_vd-stage2-released": "limbeck.recipes.ssld_released:resnet50_vd_stage2",
    "ssld/resnet50_vd-fix": "limbeck.recipes.ssld:resnet50_vd_fix",
    "ssld/resnet101_vd": "limbeck.recipes.ssld:resnet101_vd",
    "ssld/resnet101_vd-released": "limbeck.recipes.ssld_released:resnet101_vd",
    "ssld/resnet101_vd-stage2": "limbeck.recipes.ssld:resnet101_vd_stage2",
    "ssld/resnet101_vd-stage2-released": "limbeck.recipes.ssld_released:resnet101_vd_stage2",
    "ssld/resnet200_vd": "limbeck.recipes.ssld:resnet200_vd",
    "ssld/resnet200_vd-stage2": "limbeck.recipes.ssld:resnet200_vd_stage2",
}

# of detectors: what `limbeck train` begins with
TRAIN = {
    "ssdlite": "limbeck.recipes.ssd:ssdlite",
    "ssd300_coco": "limbeck.recipes.ssd:ssd300_coco",
    "ssd512_coco": "limbeck.recipes.ssd:ssd512_coco",
    "ssdlite_mobilenetv2_scratch_600e_coco": "limbeck.recipes.ssd:ssdlite_mobilenetv2_scratch_600e_coco",
    "gfl": "limbeck.recipes.gfl:gfl",
    "gfl_r18_fpn_coco_1x": "limbeck.recipes.gfl:gfl_r18_fpn_coco_1x",
    "gfl_r34_fpn_coco_1x": "limbeck.recipes.gfl:gfl_r34_fpn_coco_1x",
    "gfl_r50_fpn_coco_1x": "limbeck.recipes.gfl:gfl_r50_fpn_coco_1x",
    "gfl_r101_fpn_coco_2x": "limbeck.recipes.gfl:gfl_r101_fpn_coco_2x",
    "gfl_r18_fpn_coco_1x_b16": "limbeck.recipes.gfl:gfl_r18_fpn_coco_1x_b16",
    "gfl_r34_fpn_coco_1x_b16": "limbeck.recipes.gfl:gfl_r34_fpn_coco_1x_b16",
    "gfl_r50_fpn_coco_1x_b16": "limbeck.recipes.gfl:gfl_r50_fpn_coco_1x_b16",
    "gfl_r101_fpn_coco_2x_b16": "limbeck.recipes.gfl:gfl_r101_fpn_coco_2x_b16",
    "gfl_r101_dcn_fpn_coco_2x_b16": "limbeck.recipes.gfl:gfl_r101_dcn_fpn_coco_2x_b16",
    "ld": "limbeck.recipes.ld:ld",
    "ld_r18_gflv1_r101_fpn_coco_1x": "limbeck.recipes.ld:ld_r18_gflv1_r101_fpn_coco_1x",
    "ld_r34_gflv1_r101_fpn_coco_1x": "limbeck.recipes.ld:ld_r34_gflv1_r101_fpn_coco_1x",
    "ld_r50_gflv1_r101_fpn_coco_1x": "limbeck.recipes.ld:ld_r50_gflv1_r101_fpn_coco_1x",
    "ld_r101_gflv1_r101dcn_fpn_coco_2x": "limbeck.recipes.ld:ld_r101_gflv1_r101dcn_fpn_coco_2x",
    "ld_r18_gflv1_r101_fpn_coco_1x_b16": "limbeck.recipes.ld:ld_r18_gflv1_r101_fpn_coco_1x_b16",
    "ld_r34_gflv1_r101_fpn_coco_1x_b16": "limbeck.recipes.ld:ld_r34_gflv1_r101_fpn_coco_1x_b16",
    "ld_r50_gflv1_r101_fpn_coco_1x_b16": "limbeck.recipes.ld:ld_r50_gflv1_r101_fpn_coco_1x_b16",
    "ld_r101_gflv1_r101dcn_fpn_coco_2x_b16": "limbeck.recipes.ld:ld_r101_gflv1_r101dcn_fpn_coco_2x_b16",
    "ld_r18_gflv1_r101_fpn_coco_1x_vlr": "limbeck.recipes.ld:ld_r18_gflv1_r101_fpn_coco_1x_vlr",
    "ld_r34_gflv1_r101_fpn_coco_1x_vlr": "limbeck.recipes.ld:ld_r34_gflv1_r101_fpn_coco_1x_vlr",
    "ld_r50_gflv1_r101_fpn_coco_1x_vlr": "limbeck.recipes.ld:ld_r50_gflv1_r101_fpn_coco_1x_vlr",
    "ld_r101_gflv1_r101dcn_fpn_coco_2x_vlr": "limbeck.recipes.ld:ld_r101_gflv1_r101dcn_fpn_coco_2x_vlr",
    "ld_r18_gflv1_r101_fpn_coco_1x_vlr_b16": "limbeck.recipes.ld:ld_r18_gflv1_r101_fpn_coco_1x_vlr_b16",
    "ld_r34_gflv1_r101_fpn_coco_1x_vlr_b16": "limbeck.recipes.ld:ld_r34_gflv1_r101_fpn_coco_1x_vlr_b16",
    "ld_r50_gflv1_r101_fpn_coco_1x_vlr_b16": "limbeck.recipes.ld:ld_r50_gflv1_r101_fpn_coco_1x_vlr_b16",
    "ld_r101_gflv1_r101dcn_fpn_coco_2x_vlr_b16": "limbeck.recipes.ld:ld_r101_gflv1_r101dcn_fpn_coco_2x_vlr_b16",
}

# the names of mmdetection's files, and one that is linked to but does not exist
ALIASES = {
    "gfl_r50_fpn_1x_coco": "gfl_r50_fpn_coco_1x_b16",
    "gfl_r101_fpn_mstrain_2x_coco": "gfl_r101_fpn_coco_2x_b16",
    "gfl_r101_fpn_ms-2x_coco": "gfl_r101_fpn_coco_2x_b16",
    "gfl_r101_fpn_dconv_c3-c5_mstrain_2x_coco": "gfl_r101_dcn_fpn_coco_2x_b16",
    "gfl_r101-dconv-c3-c5_fpn_ms-2x_coco": "gfl_r101_dcn_fpn_coco_2x_b16",
    "ld_r18-gflv1-r101_fpn_1x_coco": "ld_r18_gflv1_r101_fpn_coco_1x_b16",
    "ld_r34-gflv1-r101_fpn_1x_coco": "ld_r34_gflv1_r101_fpn_coco_1x_b16",
    "ld_r50-gflv1-r101_fpn_1x_coco": "ld_r50_gflv1_r101_fpn_coco_1x_b16",
    "ld_r101-gflv1-r101-dcn_fpn_2x_coco": "ld_r101_gflv1_r101dcn_fpn_coco_2x_b16",
    "ld_r101_gflv1_r101dcn_fpn_coco_1x": "ld_r101_gflv1_r101dcn_fpn_coco_2x",
}


class _Recipes(ModuleType):
    """`limbeck.recipes` is this folder, and so it has to be what lists them as well: limbeck.recipes()."""

    def __call__(self, name: str = "") -> list["Recipe"]:
        """The recipes whose name holds `name`; one that is called so stands alone."""
        from limbeck.recipes.published import recipes

        return recipes(name)


sys.modules[__name__].__class__ = _Recipes
