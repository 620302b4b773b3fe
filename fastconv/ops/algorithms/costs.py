"""Constants of the cost model. Written by benchmarks/calibrate.py; not edited by hand.

Measured on Intel(R) Xeon(R) Processor.
"""

#: COSTS[isa][dtype][algorithm][pass] = [start, exponent, seconds per unit of a feature ...]
COSTS: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = {
    "avx512": {
        "float32": {
            "direct": {
                "forward": [6e-07, 0.139, 1.8e-11, 6.98e-11, 1.26e-10],
                "grad_input": [6.27e-07, 0.0, 1.62e-11, 6.29e-10, 0.0],
                "grad_weight": [5.26e-07, 0.502, 4.14e-11, 0.0, 0.0],
            },
            "im2col": {
                "forward": [3.63e-06, 0.499, 2.24e-11, 2.75e-10, 0.0],
                "grad_input": [2.19e-06, 0.0, 2.12e-11, 4.63e-10, 0.0],
                "grad_weight": [3.42e-06, 0.0, 1.72e-11, 6.2e-10, 0.0],
            },
            "fft": {
                "forward": [9.52e-05, 0.0, 1.12e-10],
                "grad_input": [8.4e-05, 0.0, 1.42e-10],
                "grad_weight": [9.12e-05, 0.0, 1.29e-10],
            },
        },
        "float64": {
            "direct": {
                "forward": [4.67e-07, 0.0, 3.68e-11, 1.32e-10, 2.84e-10],
                "grad_input": [4.9e-07, 0.0, 4.73e-11, 5.69e-10, 0.0],
                "grad_weight": [4.84e-07, 0.0, 5.77e-11, 0.0, 0.0],
            },
            "im2col": {
                "forward": [2.13e-06, 0.0, 6.06e-11, 4.22e-10, 0.0],
                "grad_input": [2.11e-06, 0.0, 5.62e-11, 3.47e-10, 0.0],
                "grad_weight": [1.97e-06, 0.0, 4.88e-11, 7.91e-10, 0.0],
            },
            "fft": {
                "forward": [4.98e-05, 0.0, 2.32e-10],
                "grad_input": [3.77e-05, 0.0, 2.93e-10],
                "grad_weight": [3.69e-05, 0.0, 2.77e-10],
            },
        },
    },
    "avx2": {
        "float32": {
            "direct": {
                "forward": [4.77e-07, 0.0, 3e-11, 3e-10, 0.0],
                "grad_input": [5.66e-07, 0.0, 4.1e-11, 6.17e-11, 0.0],
                "grad_weight": [4.77e-07, 0.0, 3.55e-11, 0.0, 0.0],
            },
            "im2col": {
                "forward": [2.14e-06, 0.0, 2.27e-11, 3.49e-10, 0.0],
                "grad_input": [2.16e-06, 0.051, 2.57e-11, 3.8e-10, 0.0],
                "grad_weight": [2.1e-06, 0.0, 1.69e-11, 6.59e-10, 0.0],
            },
            "fft": {
                "forward": [9.87e-05, 0.0, 1.49e-10],
                "grad_input": [0.000107, 0.0, 1.29e-10],
                "grad_weight": [9.17e-05, 0.0, 1.44e-10],
            },
        },
        "float64": {
            "direct": {
                "forward": [4.6e-07, 0.0, 6.22e-11, 0.0, 0.0],
                "grad_input": [4.81e-07, 0.0, 6.71e-11, 6.18e-10, 0.0],
                "grad_weight": [4.63e-07, 0.0, 6.88e-11, 0.0, 0.0],
            },
            "im2col": {
                "forward": [2.01e-06, 0.0, 5.37e-11, 2.7e-10, 0.0],
                "grad_input": [2.05e-06, 0.0, 5.49e-11, 4.14e-10, 0.0],
                "grad_weight": [1.82e-06, 0.0, 4.05e-11, 8.32e-10, 0.0],
            },
            "fft": {
                "forward": [4.89e-05, 0.0, 2.28e-10],
                "grad_input": [5.93e-05, 0.168, 2.8e-10],
                "grad_weight": [6.04e-05, 0.0, 2.37e-10],
            },
        },
    },
    "baseline": {
        "float32": {
            "direct": {
                "forward": [4.73e-07, 0.0, 8.75e-11, 0.0, 0.0],
                "grad_input": [5.1e-07, 0.0, 1.01e-10, 1.91e-10, 0.0],
                "grad_weight": [4.5e-07, 0.0, 1.28e-10, 0.0, 0.0],
            },
            "im2col": {
                "forward": [2.17e-06, 0.263, 2.28e-11, 2.93e-10, 0.0],
                "grad_input": [2.02e-06, 0.0132, 2.05e-11, 4.37e-10, 0.0],
                "grad_weight": [2.09e-06, 0.0837, 1.61e-11, 5.66e-10, 0.0],
            },
            "fft": {
                "forward": [9.9e-05, 0.0, 9.92e-11],
                "grad_input": [8.4e-05, 0.0, 1.16e-10],
                "grad_weight": [0.000105, 0.0, 1.04e-10],
            },
        },
        "float64": {
            "direct": {
                "forward": [4.29e-07, 0.0, 1.31e-10, 7.3e-10, 7.01e-10],
                "grad_input": [4.94e-07, 0.0, 1.45e-10, 1e-09, 0.0],
                "grad_weight": [4.66e-07, 0.0, 1.11e-10, 0.0, 2.62e-10],
            },
            "im2col": {
                "forward": [3.6e-06, 0.0, 4.65e-11, 2.78e-10, 3.75e-11],
                "grad_input": [2.22e-06, 0.0, 4.7e-11, 2.81e-10, 4.95e-11],
                "grad_weight": [2.02e-06, 0.0, 3.62e-11, 6.71e-10, 4.74e-10],
            },
            "fft": {
                "forward": [6.54e-05, 0.0, 1.46e-10],
                "grad_input": [6.41e-05, 0.0, 1.74e-10],
                "grad_weight": [6.24e-05, 0.0, 1.69e-10],
            },
        },
    },
}
