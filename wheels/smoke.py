"""Try an installed fastconv: run by wheels/build.py in a clean environment, by nothing else.

Every instruction set of this machine runs in a process of its own: forward and backward by every
algorithm against plain sums, with one thread and two, and in forked children.
"""

import os
import subprocess
import sys
import time

SLOWEST_IMPORT = 0.040  # seconds on top of NumPy


def plain_convolution(x, w):
    """Sum what the formula says, by NumPy's einsum over windows."""
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3))
    return np.einsum("ncijrs,kcrs->nkij", windows, w)


def check_convolutions() -> None:
    """Whole numbers: every algorithm is exact, but for FFT's rounding."""
    import numpy as np

    import fastconv as fc

    for dtype in np.float32, np.float64:
        x = (np.arange(4 * 6 * 24 * 24) * 7919 % 11 - 5).astype(dtype).reshape(4, 6, 24, 24)
        w = (np.arange(8 * 6 * 5 * 5) * 7919 % 7 - 3).astype(dtype).reshape(8, 6, 5, 5)
        expected = plain_convolution(x, w)
        grad_weight = plain_convolution(
            x.transpose(1, 0, 2, 3), expected.transpose(1, 0, 2, 3)
        ).transpose(1, 0, 2, 3)
        scale = np.abs(grad_weight).max()
        for algorithm in "auto", "direct", "implicit_gemm", "im2col", "fft":
            y = fc.conv2d(x, w, algorithm=algorithm)
            gradients = fc.conv2d_backward(expected, x, w, algorithm=algorithm)
            assert y.dtype == dtype
            assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max(), algorithm
            assert np.abs(gradients.weight - grad_weight).max() <= 1e-5 * scale, algorithm
            assert gradients.input.shape == x.shape


def check_forked() -> None:
    """A child that used the parent's threads would wait for ever."""
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                check_convolutions()
            except BaseException:
                os._exit(1)
            os._exit(0)
        deadline = time.monotonic() + 60
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > deadline:
                os.kill(child, 9)
                os.waitpid(child, 0)
                raise SystemExit("a forked child waits for ever")
            time.sleep(0.01)
        assert status == 0


def check_libraries() -> list[str]:
    """One libfastconv, and the libgomp that came with it, both from this environment."""
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if ".so" in line}
    ours = [file for file in files if "/libfastconv" in file]
    threads = [file for file in files if "fastconv.libs/libgomp" in file]
    assert len(ours) == 1, ours
    assert len(threads) == 1, sorted(file for file in files if "gomp" in file)
    assert all(file.startswith(sys.prefix) for file in ours + threads)
    return [os.path.basename(file) for file in ours + threads]


def use(isa: str) -> None:
    """Check one instruction set, in this process."""
    import fastconv as fc
    from fastconv._core.runtime import selected_isa

    assert selected_isa() == isa
    for threads in 1, 2:
        fc.set_num_threads(threads)
        check_convolutions()
    check_forked()
    print(f"{isa}: conv2d forward and backward, 1 and 2 threads, forked: right")


def import_seconds() -> float:
    """Least of several: what `import fastconv` adds to `import numpy`."""
    code = "import numpy, time; t = time.perf_counter(); import fastconv; "
    code += "print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True,
                           check=True) for _ in range(7)]  # fmt: skip
    return min(float(run.stdout) for run in runs)


def main() -> None:
    """Check everything; any failure ends the program with a traceback."""
    import fastconv as fc
    from fastconv._core.runtime import available_isas

    assert fc.__file__.startswith(sys.prefix), fc.__file__
    assert {"fastconv.h"} <= set(os.listdir(fc.get_include()))
    seconds = import_seconds()
    print(f"import fastconv: {seconds * 1e3:.1f} ms on top of numpy", flush=True)
    assert seconds <= SLOWEST_IMPORT
    for isa, supported in available_isas().items():
        if supported:
            environment = {**os.environ, "FASTCONV_ISA": isa}
            subprocess.run([sys.executable, "-I", __file__, isa], env=environment, check=True,
                           timeout=300)  # fmt: skip
    check_convolutions()
    print("loaded: " + ", ".join(check_libraries()))


if __name__ == "__main__":
    use(sys.argv[1]) if len(sys.argv) > 1 else main()
