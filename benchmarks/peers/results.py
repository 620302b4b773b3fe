"""What a run leaves: rows of figures, and their JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import geometric_mean, median

from benchmarks.peers.fastconv_peer import OURS

#: torch's two layouts; a ratio is against the faster of them.
TORCH = ("torch", "torch channels_last")


class Timed:
    """The median seconds of every turn of every contender."""

    turns: dict[str, list[float]]

    def seconds(self, *names: str) -> float | None:
        """Return the median of the turns' medians, of the fastest of `names` that took part."""
        known = [median(self.turns[name]) for name in names if name in self.turns]
        return min(known) if known else None

    def ratio(self, *names: str) -> float | None:
        """Return how many times the speed of the fastest of `names` ours is."""
        theirs, ours = self.seconds(*names), self.seconds(OURS)
        return theirs / ours if theirs and ours else None


@dataclass(frozen=True)
class Row(Timed):
    """One layer, one pass."""

    layer: str
    problem: str
    which: str
    outputs: str  # "fresh" or "reused"
    flops: int
    traffic: int
    turns: dict[str, list[float]]
    errors: dict[str, tuple[float, float]]
    scratch: int


@dataclass(frozen=True)
class Step(Timed):
    """A training step of a whole network."""

    network: str
    batch: int
    turns: dict[str, list[float]]


@dataclass(frozen=True)
class Roofs:
    """What the machine can do with these threads: operations and bytes a second.

    `product_flops` are those of a matrix product whose operands come from the L1 cache.
    """

    flops: float
    product_flops: float
    bytes: float

    def highest(self, other: "Roofs") -> "Roofs":
        """Return the higher of each limit."""
        return Roofs(
            max(self.flops, other.flops),
            max(self.product_flops, other.product_flops),
            max(self.bytes, other.bytes),
        )


@dataclass
class Report:
    """One run: where, how, and the figures."""

    machine: str
    threads: int
    dtype: str
    notes: list[str]
    rows: list[Row] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    roofs: Roofs | None = None

    def part(self, which: str, outputs: str) -> list[Row]:
        """Return the rows of one table."""
        return [row for row in self.rows if (row.which, row.outputs) == (which, outputs)]

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Read what `save` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        for row in values["rows"]:
            row["errors"] = {name: tuple(pair) for name, pair in row["errors"].items()}
        values["rows"] = [Row(**row) for row in values["rows"]]
        values["steps"] = [Step(**step) for step in values["steps"]]
        values["roofs"] = Roofs(**values["roofs"]) if values["roofs"] else None
        return cls(**values)


def unrest(rows: Iterable[Row]) -> tuple[float, float]:
    """Return how many times its fastest turn a contender's slowest took: the median, and the most."""
    factors = [max(turns) / min(turns) for row in rows for turns in row.turns.values()]
    return median(factors), max(factors)


def summary(rows: Iterable[Row], *names: str) -> tuple[float, float] | None:
    """Return the geometric mean and the least of the rows' ratios."""
    ratios = [ratio for row in rows if (ratio := row.ratio(*names)) is not None]
    return (geometric_mean(ratios), min(ratios)) if ratios else None
