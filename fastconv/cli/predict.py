"""`fastconv predict`."""

from __future__ import annotations

import argparse

from fastconv.cli.arguments import add_threads, natural, set_threads

SUMMARY = "read one digit, from a picture or from the data set, with saved weights"
EXAMPLE = """  fastconv predict runs/lenet-digits/weights.safetensors --digit 0
  fastconv predict runs/lenet-digits/weights.safetensors photo.png"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `predict`."""
    parser.add_argument("weights", metavar="WEIGHTS", help="a file that `fastconv train` wrote")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "image",
        nargs="?",
        metavar="IMAGE_FILE",
        help="a PNG or JPEG of one digit, dark on light or light on dark",
    )
    source.add_argument(
        "--digit",
        type=natural,
        metavar="INDEX",
        help="read test image INDEX of scikit-learn's digits instead (0 to 359)",
    )
    add_threads(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the three likeliest classes."""
    from fastconv import data, training
    from fastconv.data.picture import picture_to_mnist_form, read_picture

    set_threads(arguments.threads)
    classifier = training.load_checkpoint(arguments.weights)
    if arguments.digit is not None:
        test = data.load_digits().test
        if arguments.digit >= len(test.labels):
            raise ValueError(f"--digit {arguments.digit}: expected 0 to {len(test.labels) - 1}")
        image = test.images[arguments.digit : arguments.digit + 1]
        truth = int(test.labels[arguments.digit])
        print(f"test image {arguments.digit} of the digits, labelled {truth}")
    else:
        grain = 8 if classifier.dataset == "digits" else None
        image = picture_to_mnist_form(read_picture(arguments.image), grain)
        print(arguments.image)
    print(sketch(image[0, 0]))
    probabilities = classifier.probabilities(image)[0]
    for number in (-probabilities).argsort(kind="stable")[:3]:
        share = float(probabilities[number])
        print(f"  {classifier.classes[number]}  {share:7.2%}  {'█' * round(30 * share)}")
    return 0


def sketch(image: object) -> str:
    """Return a 28 x 28 image as 14 lines of text, two rows a line.

    >>> import numpy as np
    >>> print(sketch(np.eye(2)))
      ▀▄
    """
    import numpy as np

    dark = np.asarray(image) > 0.4
    blocks = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    lines = [
        "".join(blocks[bool(up), bool(down)] for up, down in zip(top, bottom, strict=True))
        for top, bottom in zip(dark[::2], dark[1::2], strict=True)
    ]
    return "\n".join("  " + line.rstrip() for line in lines if line.strip())
