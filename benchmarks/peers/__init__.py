"""fastconv beside other convolution libraries, layer by layer: `python -m benchmarks.peers --help`."""
