"""`fastconv evaluate`."""

from __future__ import annotations

import argparse

from fastconv.cli.arguments import add_data, add_threads, load_data, set_threads

SUMMARY = "measure saved weights on the test images of a data set"
EXAMPLE = """  fastconv evaluate runs/lenet-digits/weights.safetensors
  fastconv evaluate runs/lenet-mnist/weights.safetensors --data ~/mnist"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    parser.add_argument("weights", metavar="WEIGHTS", help="a file that `fastconv train` wrote")
    add_data(parser)
    add_threads(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print accuracy, loss and speed."""
    import time

    from fastconv import data, training

    set_threads(arguments.threads)
    classifier = training.load_checkpoint(arguments.weights)
    splits = load_data(arguments.data)
    loader = data.DataLoader(splits.test, 500, transform=classifier.normalization)
    start = time.perf_counter()
    result = training.evaluate(classifier.model, loader)
    seconds = time.perf_counter() - start
    count = len(result.labels)
    print(f"{classifier.model_name} trained on {classifier.dataset}, tested on {splits.name}")
    right = count - len(result.errors)
    print(f"accuracy  {result.accuracy:.2%}  ({right:,} of {count:,} right)")
    print(f"loss      {result.loss:.4f}")
    print(f"speed     {count / seconds:,.0f} images/s")
    return 0
