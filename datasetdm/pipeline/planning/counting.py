"""What a piece of code asks of a device: products, kernels, and the memory of its tensors, on the CPU and on a GPU."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Count:
    """What was counted.

    Attributes:
        flops: floating-point operations of products, convolutions and attention.
        launches: operations that a GPU would be sent, whatever their size.
        peak: bytes of the tensors that were in use at the same time at the most, weights among them.
    """

    flops: int = 0
    launches: int = 0
    peak: int = 0


@contextmanager
def counting() -> Iterator[Count]:
    """Count what is done within the block; the result is complete at its end."""
    count, products = Count(), FlopCounterMode(display=False)
    with products, _Tensors(count):
        yield count
    count.flops = int(products.get_total_flops())


class _Tensors(TorchDispatchMode):
    """Follows the storages of all tensors that operations take and give, until they are freed.

    A GPU allocates the same bytes for them, apart from rounding and the work space of some kernels.
    """

    def __init__(self, count: Count):
        super().__init__()
        self._count = count
        self._known: dict[int, weakref.ref[Any]] = {}
        self._live = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """torch calls this instead of each operation."""
        found = func(*args, **(kwargs or {}))
        self._count.launches += not func.is_view
        for tensor in tree_leaves((args, kwargs, found)):
            if isinstance(tensor, torch.Tensor):
                self._follow(tensor.untyped_storage())
        return found

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def freed(_: Any) -> None:
            if self._known.pop(key, None) is not None:
                self._live -= size

        self._known[key] = weakref.ref(storage, freed)
        self._live += size
        self._count.peak = max(self._count.peak, self._live)
