"""One run: every layer asked for, every contender found, in this process."""

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median

import numpy as np

import fastconv as fc
from benchmarks.peers import field, networks, roofs
from benchmarks.peers.contender import Contender, Prepared, Problem, problem
from benchmarks.peers.errors import Reference
from benchmarks.peers.fastconv_peer import scratch_bytes
from benchmarks.peers.layers import SETS, Layer
from benchmarks.peers.measure import kept_memory, rotate
from benchmarks.peers.results import Report, Row
from fastconv.benchmark.machine import describe

#: Bytes of explicit columns above which a batch is halved: no cut in float32 on 16 GB.
COLUMNS_LIMIT = {"float32": 1 << 30, "float64": 1 << 29}

#: A larger error in units of sum |x| |w| is not rounding: the contender computes something else.
NOT_ROUNDING = {"float32": 1e-4, "float64": 1e-12}


@dataclass(frozen=True)
class Settings:
    """What is timed, and for how long."""

    threads: int
    layers: tuple[Layer, ...]
    passes: tuple[str, ...] = ("forward",)
    outputs: tuple[str, ...] = ("fresh",)
    dtype: str = "float32"
    seconds: float = 1.0
    contenders: tuple[str, ...] = ()  # columns; all but those on request where empty
    isa: str | None = None
    roofs: bool = False
    networks: bool = False


def chosen(sets: Iterable[str], text: str | None) -> tuple[Layer, ...]:
    """Return the layers of `sets` whose name contains one of the comma-separated parts of `text`."""
    parts = text.split(",") if text else [""]
    layers = [layer for name in sets for layer in SETS[name]]
    found = tuple(layer for layer in layers if any(part in layer.name for part in parts))
    if not found:
        raise ValueError(f"--layers: no layer's name contains {text!r}")
    return found


def checked(prepared: Prepared, reference: Reference, name: str, dtype: str) -> tuple[float, float]:
    """Call once and return its errors; RuntimeError if it computes another thing."""
    pair = reference.errors(prepared.arrays(prepared.call()))
    if not pair[0] <= NOT_ROUNDING[dtype]:
        raise RuntimeError(f"{name} is wrong by {pair[0]:.1e} of sum |x||w|: not the same layer")
    return pair


def merged(turns: dict[str, list[float]], columns: dict[str, str]) -> dict[str, list[float]]:
    """Give each column the turns of the fastest way to it."""
    best: dict[str, list[float]] = {}
    for name, own in turns.items():
        known = best.get(columns[name])
        if known is None or median(own) < median(known):
            best[columns[name]] = own
    return best


def time_layer(asked: Problem, contenders: list[Contender], seconds: float) -> Row:
    """Time one pass of one layer by every contender."""
    reference = Reference(asked)
    ready = {contender.name: contender.prepare(asked) for contender in contenders}
    errors = {name: checked(p, reference, name, asked.dtype) for name, p in ready.items()}
    with kept_memory() if asked.reused else nullcontext():
        turns = rotate({name: prepared.call for name, prepared in ready.items()}, seconds)
    columns = {contender.name: contender.column for contender in contenders}
    layer, which = asked.layer, asked.which
    return Row(
        layer.name, layer.text(), which, "reused" if asked.reused else "fresh", layer.flops(which),
        layer.traffic(which, asked.input.itemsize), merged(turns, columns),
        {name: pair for name, pair in errors.items() if name == columns[name]},
        scratch_bytes(asked),
    )  # fmt: skip


def _notes(entered: list[Contender], missing: list[str], settings: Settings) -> list[str]:
    """Return what a reader must know: who is missing, and what the figures of each stand for."""
    notes = list(missing)
    packages = {c.package: c for c in entered}
    for package, contender in packages.items():
        lacks = [which for which in settings.passes if which not in contender.passes]
        if settings.isa and not contender.follows_isa:
            notes.append(f"{package} cannot be held to {settings.isa}: left out")
        elif settings.dtype not in contender.dtypes:
            notes.append(f"{package} has no {settings.dtype} convolution: left out")
        else:
            notes += [f"{package}: no {which}" for which in lacks]
            notes += [f"{package}: {contender.note}"] * bool(contender.note)
            if "reused" in settings.outputs:
                notes.append(f"{package}, reused outputs: {contender.reuse}")
    with kept_memory() as kept:
        if "reused" in settings.outputs and not kept:
            notes.append(
                "malloc gives large blocks back here: only an output that is given is reused"
            )
    if "reused" in settings.outputs and "backward" in settings.passes:
        notes.append("backward has fresh outputs only: fastconv fills no given gradients")
    return notes


def run(settings: Settings) -> Report:
    """Time everything; fresh outputs first, for reuse leaves malloc with much that is freed."""
    fc.set_num_threads(settings.threads)
    found, missing = field.gather()
    wanted = list(settings.contenders)
    known = {c.column for c in found}
    if not known >= {*wanted}:
        raise ValueError(f"--contenders: {sorted({*wanted} - known)} not in {sorted(known)}")
    found = [c for c in found if not wanted or c.column in wanted]
    notes = _notes(found, missing, settings)
    found = [c for c in found if c.follows_isa or not settings.isa]
    machine = "; ".join(part for part in (describe(), field.versions(found)) if part)
    report = Report(machine, settings.threads, settings.dtype, notes)
    if settings.roofs:
        report.roofs = roofs.measure(settings.threads, settings.dtype)
    if settings.networks:
        torch = any(c.package == "torch" for c in found)
        report.steps = networks.steps(settings.threads, settings.seconds, torch=torch)
    for outputs in sorted(settings.outputs):
        for which in settings.passes:
            if (which, outputs) != ("backward", "reused"):
                report.rows += _part(settings, found, wanted, which, reused=outputs == "reused")
    if report.roofs:  # the better of two moments, should one be disturbed
        later = roofs.measure(settings.threads, settings.dtype)
        report.roofs = report.roofs.highest(later)
    return report


def _part(
    settings: Settings, found: list[Contender], wanted: list[str], which: str, *, reused: bool
) -> list[Row]:
    """Time one table, and show each row as it comes."""
    rows = []
    contenders = field.entered(found, wanted, which, settings.dtype, reused=reused)
    for layer in settings.layers:
        fits = layer.cut_to_fit(np.dtype(settings.dtype).itemsize, COLUMNS_LIMIT[settings.dtype])
        asked = problem(fits, which, settings.dtype, reused=reused, threads=settings.threads)
        rows.append(time_layer(asked, contenders, settings.seconds))
        progress(rows[-1])
    return rows


def progress(row: Row) -> None:
    """Tell the terminal, not the result's stream."""
    times = ", ".join(
        f"{name} {1e3 * seconds:.3f}" for name in row.turns if (seconds := row.seconds(name))
    )
    print(f"{row.which} {row.outputs} {row.layer}: {times} ms", file=sys.stderr, flush=True)
