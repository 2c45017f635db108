"""Detectors by name; a further one is a file and a line here."""

DETECTORS = {
    "ssd300": "limbeck.detection.ssd_models:SSD300",
    "ssd512": "limbeck.detection.ssd_models:SSD512",
    "ssdlite_mobilenetv2": "limbeck.detection.ssd_models:SSDLITE_MOBILENETV2",
    "ssdlite": "limbeck.detection.ssd_models:SSDLITE",
    "gfl": "limbeck.detection.gfl:DESIGN",
    "retinanet": "limbeck.detection.retinanet:DESIGN",
}
