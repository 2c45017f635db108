"""Detectors by name; a further one is a file and a line here."""

DETECTORS = {
    "ssd300": "limbeck.detection.ssd_models:SSD300",
    "ssd512": "limbeck.detection.ssd_models:SSD512",
    "ssdlite_mobilenetv2": "limbeck.detection.ssd_models:SSDLITE_MOBILENETV2",
    "ssdlite": "limbeck.detection.ssd_models:SSDLITE",
    "ssd300_vgg16": "limbeck.detection.ssd_torchvision:SSD300_VGG16",
    "ssdlite320_mobilenet_v3_large": "limbeck.detection.ssd_torchvision:SSDLITE320",
    "ssdlite320_mobilenet_v3_large_whole": "limbeck.detection.ssd_torchvision:SSDLITE320_WHOLE",
    "gfl": "limbeck.detection.gfl:DESIGN",
    "gfl_dcn": "limbeck.detection.gfl_dcn:DESIGN",
    "retinanet": "limbeck.detection.retinanet:DESIGN",
}
