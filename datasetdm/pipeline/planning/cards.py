"""GPUs by name, and how long they would take: an estimate from arithmetic, not a measurement.

`cards.csv` has what makers state for dense products. Edit it, or add a line, for another card. An empty rate of
bfloat16 means that the card has no such units.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.planning.rate import Rate

TABLE = Path(__file__).with_name("cards.csv")

# Fitted to Stable Diffusion 1.4 (512 px) on an H100 SXM with a slow processor: batches of 1 to 32 images took 21 ms for
# each pass, which sends 1271 operations, and then as long as its operations take at this share of the stated rate.
SECONDS_PER_LAUNCH = 21e-3 / 1271
SHARES = {"bfloat16": 0.32, "float16": 0.32, "float32": 0.9}
ROOM = 0.92  # of a card's memory; its driver and the work space of kernels take the rest


@dataclass(frozen=True, kw_only=True)
class Card:
    """A GPU.

    Attributes:
        name: as a person writes it.
        title: its maker's name for it.
        memory: bytes.
        rates: floating-point operations a second by precision.
    """

    name: str
    title: str
    memory: float
    rates: dict[str, float]

    def seconds(self, rate: Rate) -> float:
        """How long it would take for one piece of work: the processor's share as here, the rest by its rates."""
        if not rate.flops:
            return rate.seconds
        products = rate.flops / (SHARES[rate.precision] * self.rates[rate.precision])
        return rate.host + rate.launches * SECONDS_PER_LAUNCH + products

    def holds(self, size: float) -> bool:
        """Whether it has the memory."""
        return size <= ROOM * self.memory


def find_card(name: str, table: Path = TABLE) -> Card:
    """The card of that name, whatever its case.

    Raises:
        DatasetDMError: the table has no such card, or a line of it cannot be read.
    """
    cards = {card.name: card for card in _read(table)}
    try:
        return cards[name.lower()]
    except KeyError:
        raise DatasetDMError(
            f"There is no card '{name}' in {table}. It has: {', '.join(cards)}. For another one, add a line with its "
            "memory and rates."
        ) from None


def _read(table: Path) -> list[Card]:
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    cards = []
    for number, row in enumerate(rows, 2):
        try:
            single = float(row["fp32_tflops"]) * 1e12
            half = float(row["bf16_tflops"] or 0) * 1e12 or single
            rates = {"float32": single, "bfloat16": half, "float16": half}
            memory = float(row["memory_gb"]) * 1e9
            cards.append(Card(name=row["name"].lower(), title=row["title"], memory=memory, rates=rates))
        except (KeyError, TypeError, ValueError):
            raise DatasetDMError(
                f"{table}, line {number}, is not a name, a title, memory in GB, and rates of bfloat16 and float32 in "
                "TFLOP/s, separated by commas. Correct or remove it."
            ) from None
    return cards
