"""The command line: what it takes, and the environment of an instruction set."""

import argparse
import os
from pathlib import Path

from benchmarks.peers.layers import PASSES, SETS

EXAMPLE = """examples:
  python -m benchmarks.peers --threads 2 --set facts --passes forward backward --dtype float32 \\
      --seconds 1.0 --json out.json --markdown out.md --roofline out.png
  python -m benchmarks.peers --layers vgg.3,res.5 --outputs fresh reused --threads 1
  python -m benchmarks.peers --isa avx2 --contenders fastconv torch
  python -m benchmarks.peers --docs          rewrite docs/benchmarks.md: about 10 minutes
"""

#: What holds each library to an instruction set; it is read when the library is loaded.
ISA_ENVIRONMENT = {
    "avx512": {
        "FASTCONV_ISA": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "ATEN_CPU_CAPABILITY": "avx512",
    },
    "avx2": {
        "FASTCONV_ISA": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}


def missing_environment(isa: str | None) -> dict[str, str]:
    """Return the variables that must be set, and libraries loaded anew, for `isa`; none without."""
    wanted = ISA_ENVIRONMENT[isa] if isa else {}
    return {name: value for name, value in wanted.items() if os.environ.get(name) != value}


def positive(text: str) -> float:
    """Read a number above zero."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def threads(text: str) -> int:
    """Read a number of threads."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least one thread")
    return value


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Time convolution layers: fastconv beside torch, onnxruntime and ncnn.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--threads", type=threads, default=1, metavar="N", help="on every side (default: 1)")
    add("--set", dest="sets", nargs="+", choices=SETS, default=["facts"], help="default: facts")
    add("--layers", metavar="TEXT,...", help="only layers whose name contains one of these")
    add("--passes", nargs="+", choices=PASSES, default=["forward"], help="default: forward")
    add(
        "--outputs", nargs="+", choices=("fresh", "reused"), default=["fresh"],
        help="fresh arrays, or memory that is there already (default: fresh)",
    )  # fmt: skip
    add("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    add(
        "--contenders", nargs="+", default=[], metavar="NAME",
        help="columns, as the table names them; 'fastconv NHWC' is timed only if named",
    )  # fmt: skip
    add(
        "--seconds", type=positive, default=1.0, metavar="S",
        help="for all contenders of one layer together; three turns each at least (default: 1)",
    )  # fmt: skip
    add("--isa", choices=ISA_ENVIRONMENT, help="hold fastconv and torch to an instruction set")
    add("--networks", action="store_true", help="training steps of LeNet too")
    add("--scratch", action="store_true", help="a column of fastconv's scratch memory")
    add("--json", type=Path, metavar="FILE", help="every figure")
    add("--markdown", type=Path, metavar="FILE", help="the tables, which are printed in any case")
    add("--roofline", type=Path, metavar="FILE", help="a picture; needs matplotlib and gcc")
    add("--docs", action="store_true", help="make all runs of docs/benchmarks.md and rewrite it")
    return parser
