"""Bring the export of a labelling tool into a layout that the project reads.

An export passes four steps, each in separate files:

1. `exports` finds out which layout a folder has; one reader per layout (`coco_json`, `labelme`, `yolo`, `voc`,
   `index_masks`, `depth_folder`) turns it into `Contents`, the common description.
2. `checking` opens every image and looks at every annotation. What cannot be used is left out and counted.
3. `splitting` holds out validation images if the export has none.
4. `writing` links the images and writes the annotations in a native layout (`datasetdm.datasets.native`).

`box_masks` segments boxes that have no mask. Everything odd goes into `Findings`, so that it is reported at once.
"""
