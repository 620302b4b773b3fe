"""Chains of convolutions under pytest-benchmark: one group a chain, one test a way."""

import pytest

from benchmarks.chains import chains, ways

CHAINS = {f"{chain.name}, batch {chain.input_shape[0]}": chain for chain in chains()}


@pytest.mark.parametrize("way", ["NCHW", "blocked between", "all blocked"])
@pytest.mark.parametrize("name", CHAINS)
def test_chain(benchmark, name, way):
    benchmark.group = name
    benchmark(ways(CHAINS[name])[way])
