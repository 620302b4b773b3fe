"""Constants of the cost model. Written by benchmarks/calibrate.py; not edited by hand.

Measured on Intel(R) Xeon(R) Processor.
"""

#: COSTS[isa][dtype][algorithm][pass] = [start, exponent, seconds per unit of a feature ...]
COSTS: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = {
    "avx512": {
        "float32": {
            "direct": {
                "forward": [6.14e-07, 0.84, 1.4e-11, 1.24e-10, 1.49e-10],
                "grad_input": [6.44e-07, 0.79, 1.45e-11, 4.53e-10, 0.0],
                "grad_weight": [4.97e-07, 0.6, 2.32e-11, 0.0, 9.39e-11],
            },
            "im2col": {
                "forward": [2.42e-06, 0.838, 1.95e-11, 1.82e-10, 0.0],
                "grad_input": [2.32e-06, 0.0203, 1.97e-11, 1.95e-10, 1.56e-11],
                "grad_weight": [2.24e-06, 0.0173, 1.54e-11, 3.72e-10, 8.1e-11],
            },
            "fft": {
                "forward": [0.000107, 0.0, 8.15e-11],
                "grad_input": [0.000112, 0.0, 9.58e-11],
                "grad_weight": [0.000111, 0.0, 9.63e-11],
            },
        },
        "float64": {
            "direct": {
                "forward": [4.77e-07, 0.821, 2.78e-11, 1.75e-10, 3.37e-10],
                "grad_input": [4.81e-07, 0.671, 2.86e-11, 8.43e-10, 0.0],
                "grad_weight": [4.74e-07, 0.57, 3.96e-11, 0.0, 2.45e-10],
            },
            "im2col": {
                "forward": [2.5e-06, 0.927, 4.23e-11, 1.17e-10, 0.0],
                "grad_input": [2.59e-06, 0.0419, 4.2e-11, 1.55e-10, 0.0],
                "grad_weight": [2.36e-06, 0.00382, 3.41e-11, 5.04e-10, 2.09e-10],
            },
            "fft": {
                "forward": [9.61e-05, 0.0463, 1.34e-10],
                "grad_input": [0.0001, 0.0586, 1.55e-10],
                "grad_weight": [9.86e-05, 0.0, 1.54e-10],
            },
        },
    },
    "avx2": {
        "float32": {
            "direct": {
                "forward": [5.53e-07, 0.797, 2.22e-11, 2.36e-10, 7.32e-11],
                "grad_input": [5.5e-07, 0.715, 2.37e-11, 4.4e-10, 0.0],
                "grad_weight": [4.66e-07, 0.588, 3.29e-11, 0.0, 1.36e-10],
            },
            "im2col": {
                "forward": [3.53e-06, 0.862, 2e-11, 1.7e-10, 0.0],
                "grad_input": [2.29e-06, 0.022, 2.04e-11, 1.96e-10, 9.25e-12],
                "grad_weight": [2.12e-06, 0.0017, 1.6e-11, 3.84e-10, 8.36e-11],
            },
            "fft": {
                "forward": [0.000105, 0.0, 8.34e-11],
                "grad_input": [0.000111, 0.0, 1e-10],
                "grad_weight": [0.000112, 0.0, 9.6e-11],
            },
        },
        "float64": {
            "direct": {
                "forward": [4.53e-07, 0.888, 4.56e-11, 3.51e-10, 9.64e-11],
                "grad_input": [4.71e-07, 0.867, 4.46e-11, 8.92e-10, 0.0],
                "grad_weight": [4.35e-07, 0.633, 6.04e-11, 2.5e-10, 3.26e-10],
            },
            "im2col": {
                "forward": [2.15e-06, 0.893, 4.17e-11, 1.3e-10, 0.0],
                "grad_input": [2.12e-06, 0.022, 4.16e-11, 1.82e-10, 0.0],
                "grad_weight": [3.13e-06, 0.00717, 3.34e-11, 4.99e-10, 2.36e-10],
            },
            "fft": {
                "forward": [8.53e-05, 0.171, 1.33e-10],
                "grad_input": [9.31e-05, 0.0, 1.51e-10],
                "grad_weight": [9.15e-05, 0.0, 1.5e-10],
            },
        },
    },
    "baseline": {
        "float32": {
            "direct": {
                "forward": [4.98e-07, 0.87, 6.04e-11, 5.41e-10, 1.5e-10],
                "grad_input": [4.87e-07, 0.797, 6.43e-11, 3.25e-10, 0.0],
                "grad_weight": [4.38e-07, 0.664, 5.47e-11, 0.0, 1.67e-10],
            },
            "im2col": {
                "forward": [2.43e-06, 0.912, 2e-11, 2.09e-10, 0.0],
                "grad_input": [2.26e-06, 0.0213, 2.04e-11, 2.15e-10, 2.25e-11],
                "grad_weight": [2.16e-06, 0.00243, 1.61e-11, 4.04e-10, 9.08e-11],
            },
            "fft": {
                "forward": [0.000104, 0.0, 8.26e-11],
                "grad_input": [0.000109, 0.0, 9.65e-11],
                "grad_weight": [0.00011, 0.0, 9.15e-11],
            },
        },
        "float64": {
            "direct": {
                "forward": [4.49e-07, 0.897, 1.26e-10, 9.71e-10, 4.86e-10],
                "grad_input": [5.06e-07, 0.932, 1.35e-10, 9.25e-10, 0.0],
                "grad_weight": [4.56e-07, 0.623, 1.05e-10, 3.13e-10, 2e-10],
            },
            "im2col": {
                "forward": [3.47e-06, 0.952, 4.23e-11, 2.11e-10, 0.0],
                "grad_input": [2.26e-06, 0.00986, 4.28e-11, 2.43e-10, 0.0],
                "grad_weight": [1.98e-06, 0.00787, 3.31e-11, 6.18e-10, 2.57e-10],
            },
            "fft": {
                "forward": [9.67e-05, 0.126, 1.36e-10],
                "grad_input": [9.94e-05, 0.0, 1.62e-10],
                "grad_weight": [9.95e-05, 0.0, 1.53e-10],
            },
        },
    },
}
