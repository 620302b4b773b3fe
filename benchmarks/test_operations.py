"""Every operation under pytest-benchmark: ours, the textbook's, and the reference on its slice.

`extra_info["scale"]` says how many times larger the whole problem is than the reference's slice.
"""

import pytest

from fastconv.benchmark.operations import operations

OPERATIONS = operations()
IDS = [operation.name for operation in OPERATIONS]


@pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
def test_fastconv(benchmark, operation):
    benchmark.group = operation.name
    benchmark.extra_info["problem"] = operation.problem
    benchmark(operation.ours)


@pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
def test_textbook(benchmark, operation):
    if operation.textbook is None:
        pytest.skip("the textbook has no such operation")
    benchmark.group = operation.name
    benchmark(operation.textbook)


@pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
def test_reference_slice(benchmark, operation):
    benchmark.group = operation.name
    benchmark.extra_info["scale"] = operation.scale
    benchmark.pedantic(operation.reference, rounds=3, iterations=1)
