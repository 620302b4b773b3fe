"""Constants of the cost model. Written by benchmarks/calibrate.py; not edited by hand.

Measured on Intel(R) Xeon(R) Processor.
"""

#: COSTS[isa][dtype][algorithm][pass] = [start, exponent, seconds per unit of a feature ...]
COSTS: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = {
    "avx512": {
        "float32": {
            "direct": {
                "forward": [5.77e-07, 0.86, 1.37e-11, 1.96e-10, 1.47e-10],
                "grad_input": [6.1e-07, 0.937, 1.45e-11, 4.31e-10, 0.0],
                "grad_weight": [4.71e-07, 0.621, 2.3e-11, 0.0, 7.86e-11],
            },
            "im2col": {
                "forward": [2.26e-06, 0.87, 1.87e-11, 1.67e-10, 0.0],
                "grad_input": [2.3e-06, 0.00405, 1.95e-11, 1.6e-10, 5.01e-11],
                "grad_weight": [2.2e-06, 0.0129, 1.49e-11, 3.4e-10, 1.38e-10],
            },
            "fft": {
                "forward": [9.56e-05, 0.206, 8.07e-11],
                "grad_input": [9.89e-05, 0.0, 9.52e-11],
                "grad_weight": [0.000106, 0.0, 8.79e-11],
            },
        },
        "float64": {
            "direct": {
                "forward": [4.71e-07, 0.937, 2.62e-11, 2.69e-10, 3.8e-10],
                "grad_input": [4.73e-07, 0.865, 2.68e-11, 8.81e-10, 0.0],
                "grad_weight": [4.76e-07, 0.692, 3.77e-11, 0.0, 2.47e-10],
            },
            "im2col": {
                "forward": [2.32e-06, 0.947, 4.01e-11, 1.24e-10, 0.0],
                "grad_input": [2.34e-06, 0.0038, 4.12e-11, 1.42e-10, 0.0],
                "grad_weight": [2.14e-06, 0.0059, 3.39e-11, 4.85e-10, 1.25e-10],
            },
            "fft": {
                "forward": [9.16e-05, 0.158, 1.35e-10],
                "grad_input": [9.75e-05, 0.109, 1.55e-10],
                "grad_weight": [9.67e-05, 0.057, 1.48e-10],
            },
        },
    },
    "avx2": {
        "float32": {
            "direct": {
                "forward": [5.13e-07, 0.877, 2.14e-11, 1.5e-10, 8.95e-11],
                "grad_input": [5.03e-07, 0.829, 2.22e-11, 4.38e-10, 0.0],
                "grad_weight": [4.52e-07, 0.554, 3.11e-11, 0.0, 1.7e-10],
            },
            "im2col": {
                "forward": [2.14e-06, 0.847, 1.88e-11, 1.68e-10, 0.0],
                "grad_input": [2.16e-06, 0.0144, 1.9e-11, 1.89e-10, 0.0],
                "grad_weight": [2.03e-06, 0.0243, 1.54e-11, 3.56e-10, 6.24e-11],
            },
            "fft": {
                "forward": [0.000103, 0.0271, 7.91e-11],
                "grad_input": [0.000108, 0.0954, 9.19e-11],
                "grad_weight": [0.000112, 0.0398, 8.57e-11],
            },
        },
        "float64": {
            "direct": {
                "forward": [4.31e-07, 0.922, 4.47e-11, 3.78e-10, 9.25e-12],
                "grad_input": [4.56e-07, 0.866, 4.32e-11, 8.6e-10, 0.0],
                "grad_weight": [4.34e-07, 0.647, 5.89e-11, 2.15e-10, 2.61e-10],
            },
            "im2col": {
                "forward": [2.33e-06, 0.943, 4.13e-11, 1.09e-10, 0.0],
                "grad_input": [2.2e-06, 0.0157, 4e-11, 1.7e-10, 2.54e-11],
                "grad_weight": [1.99e-06, 0.0289, 3.19e-11, 4.81e-10, 2.67e-10],
            },
            "fft": {
                "forward": [8.52e-05, 0.26, 1.29e-10],
                "grad_input": [8.77e-05, 0.187, 1.46e-10],
                "grad_weight": [8.71e-05, 0.0982, 1.42e-10],
            },
        },
    },
    "baseline": {
        "float32": {
            "direct": {
                "forward": [5.29e-07, 0.884, 5.72e-11, 4.05e-10, 2.45e-10],
                "grad_input": [5.16e-07, 0.857, 5.9e-11, 3.97e-10, 0.0],
                "grad_weight": [4.72e-07, 0.651, 5.17e-11, 0.0, 1.5e-10],
            },
            "im2col": {
                "forward": [2.11e-06, 0.712, 1.82e-11, 2.11e-10, 0.0],
                "grad_input": [2.09e-06, 0.0121, 1.88e-11, 2.06e-10, 3.56e-11],
                "grad_weight": [1.96e-06, 0.0465, 1.49e-11, 3.75e-10, 9.9e-11],
            },
            "fft": {
                "forward": [9.41e-05, 0.167, 8.02e-11],
                "grad_input": [0.000101, 0.0555, 9.2e-11],
                "grad_weight": [0.000102, 0.0, 8.54e-11],
            },
        },
        "float64": {
            "direct": {
                "forward": [4.29e-07, 0.956, 1.2e-10, 1.42e-09, 5.14e-10],
                "grad_input": [4.9e-07, 0.97, 1.29e-10, 8.28e-10, 4.87e-10],
                "grad_weight": [4.08e-07, 0.846, 1.01e-10, 1.36e-09, 7.65e-11],
            },
            "im2col": {
                "forward": [1.95e-06, 0.905, 4.07e-11, 2.02e-10, 0.0],
                "grad_input": [1.94e-06, 0.00279, 4.1e-11, 2.32e-10, 0.0],
                "grad_weight": [1.78e-06, 0.0, 3.38e-11, 5.5e-10, 2e-10],
            },
            "fft": {
                "forward": [9.3e-05, 0.175, 1.24e-10],
                "grad_input": [9.79e-05, 0.0823, 1.4e-10],
                "grad_weight": [9.74e-05, 0.0421, 1.36e-10],
            },
        },
    },
}
