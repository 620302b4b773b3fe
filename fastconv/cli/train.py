"""`fastconv train`."""

from __future__ import annotations

import argparse

from fastconv.cli.arguments import (
    add_data,
    add_threads,
    load_data,
    natural,
    positive_float,
    positive_int,
    set_threads,
)

SUMMARY = "train a network on handwritten digits and write a report with pictures"
EXAMPLE = """  fastconv train lenet
  fastconv train lenet --seed 7 --epochs 30 --output runs/seven
  fastconv train lenet --data ~/mnist --optimizer sgd --batch-size 64"""

# Passes over the training images: the digits are 1,257, MNIST's are 55,000.
DIGITS_EPOCHS, IDX_EPOCHS = 25, 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `train`."""
    parser.add_argument("model", choices=["lenet"], help="the network to train")
    add_data(parser)
    parser.add_argument(
        "--epochs",
        type=positive_int,
        metavar="N",
        help=f"passes over the images (default: {DIGITS_EPOCHS}, with --data {IDX_EPOCHS})",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        default=32,
        metavar="N",
        help="images a step (default: 32)",
    )
    parser.add_argument(
        "--optimizer", choices=["adam", "sgd", "rmsprop"], default="adam", help="default: adam"
    )
    parser.add_argument(
        "--lr", type=positive_float, metavar="RATE", help="learning rate (default: the optimizer's)"
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="default: 0")
    add_threads(parser)
    parser.add_argument(
        "--output", metavar="DIR", help="folder for the results (default: runs/MODEL-DATASET)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> int:
    """Train, report, and say where everything is."""
    from fastconv import training

    set_threads(arguments.threads)
    splits = load_data(arguments.data)
    epochs = arguments.epochs or (DIGITS_EPOCHS if arguments.data is None else IDX_EPOCHS)
    recipe = training.Recipe(
        model=arguments.model,
        epochs=epochs,
        batch_size=arguments.batch_size,
        optimizer=arguments.optimizer,
        learning_rate=arguments.lr,
        seed=arguments.seed,
    )
    output = arguments.output or f"runs/{arguments.model}-{splits.name}"
    finished = training.train_classifier(recipe, splits, output, progress=not arguments.quiet)
    files = training.write_report(finished, output)
    print()
    print(training.text_report(finished))
    print(f"written to {output}: {', '.join(file.name for file in files)}")
    print(f"next:  fastconv predict {output}/{training.WEIGHTS_FILE} --digit 0")
    return 0
