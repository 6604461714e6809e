"""Tasks for Label Studio, with the labels as predictions: https://labelstud.io/guide/predictions.

They are made of COCO JSON with polygons. Label Studio's own converter keeps the first polygon of an object alone, and
adds its box as a second object.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from datasetdm.utils.files import read_json, write_json, write_text

TASKS, CONFIG = "label_studio.json", "label_studio.xml"
_IMAGES = "/data/local-files/?d=images/train/"  # of the folder that Label Studio serves
_NAMES = {"from_name": "label", "to_name": "image"}


def write_tasks(folder: Path) -> bool:
    """Write the tasks and the labelling configuration into a folder that `coco_polygons` has filled.

    Regions of crowds, which have no polygon, are left out.

    Returns:
        Whether there are objects with polygons; Label Studio's COCO export cannot carry poses.
    """
    file = folder / "annotations" / "instances_train.json"
    if not file.exists():
        return False
    content = read_json(file, remedy="Send the images again.")
    names = {category["id"]: category["name"] for category in content["categories"]}
    tasks: dict[Any, tuple[dict[str, Any], list[dict[str, Any]]]] = {
        image["id"]: (image, []) for image in content["images"]
    }
    for record in content["annotations"]:
        image, results = tasks[record["image_id"]]
        if not record["iscrowd"]:
            results += [_polygon(points, names[record["category_id"]], image) for points in record["segmentation"]]
    write_json(
        folder / TASKS,
        [
            {"data": {"image": f"{_IMAGES}{image['file_name']}"}, "predictions": [{"result": results}]}
            for image, results in tasks.values()
        ],
    )
    write_text(folder / CONFIG, _configuration(names.values()))
    return True


def _polygon(points: list[float], label: str, image: dict[str, Any]) -> dict[str, Any]:
    """A region; Label Studio counts in per cent of the image's sides."""
    width, height = image["width"], image["height"]
    pairs = [[100 * x / width, 100 * y / height] for x, y in zip(points[::2], points[1::2], strict=True)]
    value = {"points": pairs, "polygonlabels": [label], "closed": True}
    return {**_NAMES, "type": "polygonlabels", "original_width": width, "original_height": height, "value": value}


def _configuration(names: Iterable[str]) -> str:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=_NAMES["to_name"], value="$image", zoom="true")
    labels = ElementTree.SubElement(view, "PolygonLabels", name=_NAMES["from_name"], toName=_NAMES["to_name"])
    for name in names:
        ElementTree.SubElement(labels, "Label", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"
