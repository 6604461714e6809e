"""The worlds that trained weights and published figures rest on stay what they are, to the bit.

The digests hold for the pinned versions of NumPy and OpenCV.
"""

import hashlib
import json

import cv2
import numpy as np
import pytest

from datasetdm.miniworld import render, sample_scene, vocabulary, write_captions


def _digest(distribution: str, split: str) -> str:
    cv2.setNumThreads(1)
    digest = hashlib.sha256()
    for k in range(6):
        rng = np.random.default_rng([17, k])
        scene = sample_scene(rng, distribution, split)
        picture = render(scene)
        digest.update(picture.image.tobytes())
        digest.update(json.dumps(write_captions(scene, rng, 4)).encode())
        for labels in (picture.masks, picture.category_ids, picture.depth, picture.keypoints):
            digest.update(labels.tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(
    ("distribution", "split", "digest"),
    [("web", "train", "99735e681a39e7ed"), ("coco", "train", "866a1bb36aa6f1c4"), ("coco", "test", "1df04635bd29cfb6")],
)
def test_renderings_labels_and_captions(distribution: str, split: str, digest: str) -> None:
    assert _digest(distribution, split) == digest


def test_vocabulary() -> None:
    words = vocabulary()
    assert len(words) == 154
    assert hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16] == "f5f357ccd4142b6c"
