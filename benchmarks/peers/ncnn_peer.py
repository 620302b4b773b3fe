"""ncnn: forward, float32, NCHW."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.contender import Array, Contender, Prepared, Problem

NOTE = (
    "the weights are part of its model, packed and transformed before the clock starts; images go in "
    "as a batch and one by one, and the faster counts"
)
REUSE = "it cannot be given an output, and takes its memory from a pool in either case"


def _parameters(problem: Problem) -> str:
    """Return the text of a net of one convolution; the numbers are ncnn's parameter ids."""
    layer = problem.layer
    (rows, columns), (top, left) = layer.kernel, layer.padding
    values = {
        0: layer.filters, 1: columns, 11: rows, 3: layer.stride, 13: layer.stride,
        4: left, 14: top, 15: left, 16: top, 5: 0, 6: problem.weight.size,
    }  # fmt: skip
    kind = "Convolution" if layer.groups == 1 else "ConvolutionDepthWise"
    if layer.groups != 1:
        values[7] = layer.groups
    options = " ".join(f"{key}={value}" for key, value in values.items())
    return f"7767517\n2 2\nInput input 0 1 x\n{kind} layer 1 1 x y {options}\n"


def _net(problem: Problem) -> Any:
    """Load a net of the one layer."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = problem.threads
    # float32 throughout, as on every other side
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param_mem(_parameters(problem)):
        raise RuntimeError("ncnn does not take the layer's parameters")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "layer.bin"
        weights.write_bytes(bytes(4) + problem.weight.tobytes())  # four zero bytes: plain float32
        net.load_model(str(weights))
    return net


def _extracted(net: Any, images: Any) -> Any:
    """Run the net on one matrix, which may be a batch."""
    extractor = net.create_extractor()
    extractor.input("x", images)
    status, output = extractor.extract("y")
    if status:
        raise RuntimeError(f"ncnn stopped with status {status}")
    return output


def _prepare_batch(problem: Problem) -> Prepared:
    """Give it the images as one batch."""
    import ncnn

    net, batch = _net(problem), ncnn.Mat(problem.input, batch_index=0)

    def arrays(output: Any) -> tuple[Array]:
        return (np.stack([np.array(output.batch(i)) for i in range(output.n)]),)

    return Prepared(lambda: _extracted(net, batch), arrays)


def _prepare_by_image(problem: Problem) -> Prepared:
    """Give it one image after another; all outputs are kept until the last is there."""
    import ncnn

    net, images = _net(problem), [ncnn.Mat(image) for image in problem.input]
    return Prepared(
        lambda: [_extracted(net, image) for image in images],
        lambda outputs: (np.stack([np.array(output) for output in outputs]),),
    )


def contenders() -> list[Contender]:
    """Return both ways to give it a batch; inside, it packs channels."""
    import ncnn  # noqa: F401

    return [
        Contender(name, "ncnn", "ncnn", prepare, note=NOTE, reuse=REUSE)
        for name, prepare in (("ncnn", _prepare_batch), ("ncnn by image", _prepare_by_image))
    ]
