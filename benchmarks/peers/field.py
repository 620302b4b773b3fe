"""Who takes part: the adapters that can be imported here, and why others cannot."""

from importlib import import_module, metadata

from benchmarks.peers.contender import Contender

#: In the order of the table's columns; each module has `contenders()`, which imports its package.
ADAPTERS = ("fastconv_peer", "torch_peer", "onnxruntime_peer", "ncnn_peer")

#: Not timed unless asked for by name.
ON_REQUEST = ("fastconv NHWC",)


def gather() -> tuple[list[Contender], list[str]]:
    """Return the contenders found and a note about each adapter whose package is missing."""
    found: list[Contender] = []
    notes: list[str] = []
    for adapter in ADAPTERS:
        try:
            found += import_module(f"benchmarks.peers.{adapter}").contenders()
        except ImportError as error:
            peer = adapter.removesuffix("_peer")
            notes.append(
                f"{peer} is left out ({error}): pip install -r benchmarks/requirements-peers.txt"
            )
    return found, notes


def entered(
    found: list[Contender], wanted: list[str] | None, which: str, dtype: str, *, reused: bool
) -> list[Contender]:
    """Return those that run this pass in this dtype, of the columns that are wanted."""
    out = reused and which == "forward"
    return [
        c
        for c in found
        if c.can(which, dtype)
        and (c.column in wanted if wanted else c.column not in ON_REQUEST)
        and (out or not c.reused_only)
    ]


def versions(contenders: list[Contender]) -> str:
    """Return "torch 2.13.0, ncnn 1.0": one entry a package."""
    packages = dict.fromkeys(c.package for c in contenders if c.package != "fastconv")
    return ", ".join(f"{package} {metadata.version(package)}" for package in packages)
