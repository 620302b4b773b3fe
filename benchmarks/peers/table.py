"""The Markdown of a report."""

from benchmarks.peers.fastconv_peer import OURS
from benchmarks.peers.results import TORCH, Report, Row, Step, summary, unrest

#: Peers that a geometric mean is given for, and the columns whose faster one counts.
YARDSTICKS = {"torch": TORCH, "onnxruntime": ("onnxruntime",), "ncnn": ("ncnn",)}


def milliseconds(seconds: float | None) -> str:
    """Three digits; `-` where there is no figure."""
    if seconds is None:
        return "-"
    value = seconds * 1e3
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def times(ratio: float | None) -> str:
    """A ratio of speeds."""
    return "-" if ratio is None else f"{ratio:.2f}"


def error(pair: tuple[float, float] | None) -> str:
    """Largest / root mean square."""
    return "-" if pair is None else f"{pair[0]:.1e} / {pair[1]:.1e}"


def columns(rows: list[Row]) -> list[str]:
    """Every contender that took part, ours first."""
    return list(dict.fromkeys(name for row in rows for name in row.turns))


def layers_table(rows: list[Row], *, scratch: bool = False) -> str:
    """Return a row a layer: milliseconds, the ratio to torch's faster layout, errors."""
    names = columns(rows)
    heads = ["layer", "N,C,H,W → K, kernel", *names, "× torch", f"error {OURS}", "error torch"]
    heads += ["scratch, KB a thread"] * scratch
    lines = [heads, ["---", "---"] + ["--:"] * (len(heads) - 2)]
    for row in rows:
        cells = [row.layer, row.problem, *(milliseconds(row.seconds(name)) for name in names)]
        cells += [times(row.ratio(*TORCH)), error(row.errors.get(OURS))]
        cells.append(error(next((row.errors[n] for n in TORCH if n in row.errors), None)))
        lines.append(cells + [f"{row.scratch / 1024:,.0f}"] * scratch)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def means(rows: list[Row]) -> str:
    """Return geometric means and minima over the rows, and how restless the machine was."""
    parts = []
    for peer, names in YARDSTICKS.items():
        found = summary(rows, *names)
        if found:
            least = min((r for r in rows if r.ratio(*names)), key=lambda r: r.ratio(*names) or 0)
            parts.append(f"{found[0]:.2f} times {peer} (least {found[1]:.2f}, {least.layer})")
    sentence = f"Geometric mean speed: {'; '.join(parts)}. " if parts else ""
    return sentence + (
        "The slowest turn of a contender took {:.2f} times its fastest (median; {:.2f} at most)."
    ).format(*unrest(rows))


def steps_table(steps: list[Step]) -> str:
    """Return training steps of whole networks, milliseconds."""
    names = list(dict.fromkeys(name for step in steps for name in step.turns))
    lines = [["network", "batch", *names, "× torch"], ["---"] + ["--:"] * (len(names) + 2)]
    for step in steps:
        cells = [milliseconds(step.seconds(name)) for name in names]
        lines.append([step.network, str(step.batch), *cells, times(step.ratio(*TORCH))])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def markdown(report: Report, *, level: int = 2, scratch: bool = False) -> str:
    """Return every table of a report under headings, and below them where figures come from."""
    plural = "s" * (report.threads > 1)
    blocks = []
    for which, outputs in dict.fromkeys((row.which, row.outputs) for row in report.rows):
        rows = report.part(which, outputs)
        title = f"{which.capitalize()}, {outputs} outputs, {report.threads} thread{plural}"
        blocks += [f"{'#' * level} {title}", layers_table(rows, scratch=scratch), means(rows)]
    if report.steps:
        blocks += [
            f"{'#' * level} Training steps, {report.threads} thread{plural}",
            steps_table(report.steps),
        ]
    blocks.append(f"Milliseconds, {report.dtype}. {report.machine}.")
    if report.roofs:
        blocks.append(
            f"Measured limits with {report.threads} thread{plural}: "
            f"{report.roofs.flops / 1e9:.0f} GFLOP/s from registers, "
            f"{report.roofs.product_flops / 1e9:.0f} with a matrix product's operands in L1, "
            f"{report.roofs.bytes / 1e9:.0f} GB/s."
        )
    blocks += ["\n".join(f"- {note}." for note in report.notes)] if report.notes else []
    return "\n\n".join(block for block in blocks if block) + "\n"
