"""Constants of the cost model. Written by benchmarks/calibrate.py; not edited by hand."""

#: COSTS[isa][dtype][algorithm][pass] = (start, exponent, seconds per unit of each feature ...)
COSTS: dict[str, dict[str, dict[str, dict[str, tuple[float, ...]]]]] = {
    isa: {
        dtype: {
            "direct": {
                p: (2e-6, 0.9, 1.6e-11, 5e-10, 5e-10) for p in ("forward", "grad_input", "grad_weight")
            },
            "im2col": {
                p: (4e-6, 0.9, 1.6e-11, 5e-10, 5e-10) for p in ("forward", "grad_input", "grad_weight")
            },
            "fft": {
                p: (4e-4, 0.9, 1.25e-10) for p in ("forward", "grad_input", "grad_weight")
            },
        }
        for dtype in ("float32", "float64")
    }
    for isa in ("avx512", "avx2", "baseline")
}
