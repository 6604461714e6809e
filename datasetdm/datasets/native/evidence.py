"""A look at the maps of a data set, spread over all of it: a single odd map does not tell of another format."""

from collections.abc import Iterator, Sequence

import numpy as np

from datasetdm.datasets.split import Entry
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import read_map

MOST = 1000  # maps; a data set that is sound shows it in the first few


def some_maps(entries: Sequence[Entry], *, bits: int, most: int = MOST) -> Iterator[np.ndarray]:
    """Pixel values, H x W, of up to `most` evenly spaced entries, one at a time.

    Those that cannot be read are left out: an error about a single file comes when its sample is read.
    """
    for position in np.unique(np.linspace(0, len(entries) - 1, min(most, len(entries))).astype(int)):
        try:
            yield read_map(entries[position].annotation, bits=bits)
        except DatasetDMError:
            continue
