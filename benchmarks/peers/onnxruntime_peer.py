"""onnxruntime: forward, float32, NCHW. Its CPU provider has no float64 convolution."""

from typing import Any

import numpy as np

from benchmarks.peers.contender import Contender, Prepared, Problem

NOTE = (
    "the weights are part of its model, packed before the clock starts; fresh outputs come from an "
    "arena that it keeps"
)
REUSE = "its output is bound to an array"


def _model(problem: Problem) -> bytes:
    """Serialise a graph of one Conv, its weight a constant."""
    from onnx import TensorProto, helper, numpy_helper

    layer = problem.layer
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=[layer.stride] * 2, pads=[*layer.padding] * 2,
        group=layer.groups, kernel_shape=list(layer.kernel),
    )  # fmt: skip
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", layer.input_shape), ("y", layer.output_shape))
    ]
    weight = numpy_helper.from_array(problem.weight, "w")
    graph = helper.make_graph([node], "layer", ends[:1], ends[1:], [weight])
    # Conv is what it was in opset 17; an older file is read by more versions than a newer one.
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def _prepare(problem: Problem) -> Prepared:
    """Bind the input in place, so that no call copies it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = problem.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        _model(problem), options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(problem.input))
    if problem.reused:
        output = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros_like(problem.grad_output))
        binding.bind_ortvalue_output("y", output)

    def call() -> Any:
        if not problem.reused:
            binding.clear_binding_outputs()
            binding.bind_output("y", "cpu")
        session.run_with_iobinding(binding)
        return binding

    return Prepared(call, lambda binding: (binding.get_outputs()[0].numpy(),))


def contenders() -> list[Contender]:
    """Return the one layout that it has."""
    import onnx  # noqa: F401  (without it there is no model to run)
    import onnxruntime  # noqa: F401

    return [
        Contender("onnxruntime", "onnxruntime", "onnxruntime", _prepare, note=NOTE, reuse=REUSE)
    ]
