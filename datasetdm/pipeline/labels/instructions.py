"""The README of a review: what to do in the labelling tool, and how the labels come back."""

from collections.abc import Sequence
from pathlib import Path

from datasetdm.pipeline.context import Context

_BACK = {
    "instance": "COCO 1.0",
    "pose": "COCO Keypoints 1.0",
    "semantic": "Segmentation mask 1.1",
}
_CVAT = """## CVAT

1. Make a task. Paste `cvat/labels.json` into the label constructor's *Raw* tab, and add the images of
   `cvat/train/images/`.
2. *Upload annotations* > *CVAT 1.1*: `cvat/train/annotations.xml`.
3. Correct the labels.
4. *Export task dataset* > *{back}*{images}, unpack the archive, and take it back:

       {take}

"""
_LABEL_STUDIO = """## Label Studio

1. Start it with `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true` and `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT` set to the
   full path of the folder `coco`. Make a project with `coco/label_studio.xml` as its labelling interface (*Code*), add
   `coco/images/train` as local storage, and import `coco/label_studio.json`.
2. The labels are predictions: open each task, correct them, and submit, also where nothing is to be corrected. What is
   not submitted does not come back. An object of several parts is several polygons, and would come back as several
   objects; use CVAT for such. Regions of crowds are not shown.
3. *Export* > *COCO*, unpack it, and take it back:

       {take}

"""
_COCO = """## Other tools

`coco/` is COCO JSON with its images, which many tools read. What they export can be taken back in the same way.

"""
_VOC = """## Index masks

`voc/JPEGImages/` has the images and `voc/SegmentationClass/` PNG files whose numbers `voc/labelmap.txt` names. Correct
them in an image editor that keeps palettes, and take the folder back:

       {take_voc}

"""
_MAPS = """## Depth maps

`maps/train/images/` has the images and `maps/train/depth/` PNG files of 16-bit numbers, whose unit `review.json` says
under `details`; 0 where nothing is known. Correct them, and take the folder back:

       {take_maps}

"""


def instructions(context: Context, out: Path, tools: Sequence[str], count: int, *, label_studio: bool) -> str:
    """The text, in Markdown; `label_studio`: whether there are tasks for it."""
    task, study = context.settings.task.name, " --study" if context.study else ""
    command = f"datasetdm review {context.benchmark}{study} --folder {out} --take"
    values = {
        "back": _BACK.get(task, ""),
        "images": " with *Save images*" if task == "semantic" else "",
        "take": f"{command} FOLDER",
        "take_voc": f"{command} {out}/voc",
        "take_maps": f"{command} {out}/maps",
    }
    coco = (_LABEL_STUDIO if label_studio else "") + _COCO
    parts = {"cvat": _CVAT, "coco": coco, "voc": _VOC, "maps": _MAPS}
    return "".join(
        [
            f"# {count} images of {context.benchmark} whose labels are doubtful\n\n"
            "The file names begin with a number: 00001 is the most doubtful. `worst.csv` says what a model sees in its "
            "place; it may be wrong itself. Make the labels right: move outlines, add what is missing, remove what is "
            "not there. An image without any object is a label, too. Delete an image in the tool if nobody could label "
            "it: what does not come back stays as it is. Keep the file names and the names of the categories.\n\n",
            *(parts[tool].format(**values) for tool in tools),
            "Taking the same labels back twice changes nothing. Labels of other images are added to those that came "
            "back before; new labels of an image replace its older ones.\n",
        ]
    )
