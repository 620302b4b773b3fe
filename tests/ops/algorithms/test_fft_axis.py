"""Phases and tiles of one axis hold every product of the plain sum once."""

from itertools import product

import pytest

from fastconv.ops.algorithms.fft.axis import split_axis


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("dilation", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(("size", "kernel", "before"), [(40, 1, 0), (41, 5, 3), (33, 4, 7)])
def test_every_product_once(
    size: int, kernel: int, before: int, stride: int, dilation: int
) -> None:
    after = 2
    out = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
    expected = {
        (o, r, o * stride + r * dilation - before)
        for o, r in product(range(out), range(kernel))
        if 0 <= o * stride + r * dilation - before < size
    }
    for axis in split_axis(size, out, kernel, stride, dilation, before).tilings():
        assert axis.reach <= axis.length
        found = []
        for b, p, tile in product(
            range(axis.out_phases), range(axis.tap_phases), range(axis.tiles)
        ):
            source, place = axis.input_slices(b, p, tile)
            inputs = dict(zip(range(place.start, place.stop), range(size)[source], strict=True))
            outputs, kept = axis.output_slice(b, tile)
            taps, held = axis.tap_slices(p)
            for (a, o), (t, r) in product(
                zip(range(axis.tile)[kept], range(out)[outputs], strict=True),
                zip(range(axis.taps)[held], range(kernel)[taps], strict=True),
            ):
                if a + t in inputs:
                    found.append((o, r, inputs[a + t]))
        assert len(found) == len(expected)
        assert set(found) == expected


def test_idle_stride_or_dilation_costs_no_phases() -> None:
    for stride, dilation, kernel, out in (1, 9, 1, 30), (3, 4, 1, 30), (5, 7, 4, 1):
        axis = split_axis(100, out, kernel, stride, dilation, 0)
        assert axis.tap_phases == axis.out_phases == 1
