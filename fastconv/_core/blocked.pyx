"""2-D convolutions of the channel-blocked engine: buffers in, status out.

`implicit_gemm` and `winograd` have the same calls. Weights come as OIHW, or packed: bytes that
`pack_weight` wrote for the same geometry, pass and instruction set, aligned to 64.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_conv2d, fc_conv2d_implicit_gemm_forward,
    fc_conv2d_implicit_gemm_grad_input, fc_conv2d_implicit_gemm_grad_weight,
    fc_conv2d_implicit_gemm_pack_weight, fc_conv2d_implicit_gemm_packed_size,
    fc_conv2d_implicit_gemm_workspace, fc_conv2d_weight, fc_conv2d_winograd_forward,
    fc_conv2d_winograd_grad_input, fc_conv2d_winograd_grad_weight, fc_conv2d_winograd_pack_weight,
    fc_conv2d_winograd_packed_size, fc_conv2d_winograd_tiling, fc_conv2d_winograd_workspace,
    fc_dtype, fc_status, fc_winograd_tiling, raise_status, FC_FLOAT32, FC_FLOAT64,
)
from fastconv._core.conv cimport Conv2d

cnp.import_array()

ctypedef fc_status (*forward_call)(const fc_conv2d*, fc_dtype, const void*, const fc_conv2d_weight*,
                                   const void*, int, void*) noexcept nogil
ctypedef fc_status (*grad_input_call)(const fc_conv2d*, fc_dtype, const void*,
                                      const fc_conv2d_weight*, void*) noexcept nogil
ctypedef fc_status (*grad_weight_call)(const fc_conv2d*, fc_dtype, const void*, const void*,
                                       void*) noexcept nogil
ctypedef fc_status (*pack_call)(const fc_conv2d*, fc_dtype, int, const void*, void*) noexcept nogil
ctypedef int64_t (*size_call)(const fc_conv2d*, fc_dtype, int) noexcept nogil


cdef int pass_of(str which) except -1:
    return ("forward", "grad_input", "grad_weight").index(which)


cdef class Algorithm:
    """The C library's calls of one algorithm."""

    cdef forward_call run_forward
    cdef grad_input_call run_grad_input
    cdef grad_weight_call run_grad_weight
    cdef pack_call run_pack
    cdef size_call run_packed_size, run_workspace

    cdef fc_conv2d_weight weight_of(self, Conv2d conv, cnp.ndarray weight, fc_dtype dtype, int which) except *:
        """The weight's memory: packed ones are bytes."""
        cdef fc_conv2d_weight result
        cdef int64_t size
        if cnp.PyArray_TYPE(weight) == cnp.NPY_UINT8:
            size = self.run_packed_size(&conv.c, dtype, which)
            if size == 0:
                raise ValueError("fastconv: this problem reads weights as they lie, not packed")
            result.weight = NULL
            result.packed = data_of(weight, cnp.NPY_UINT8, size)
            if <size_t>result.packed % 64:
                raise ValueError("fastconv: packed weights must be aligned to 64 bytes")
        else:
            result.weight = conv.weight_of(weight, cnp.NPY_FLOAT32 if dtype == FC_FLOAT32 else cnp.NPY_FLOAT64)
            result.packed = NULL
        return result

    def forward(self, Conv2d conv, cnp.ndarray input, cnp.ndarray weight, cnp.ndarray bias,
                bint relu, cnp.ndarray output):
        """output = conv(input, weight) + bias (or None), then max(0, .) if relu."""
        cdef fc_dtype dtype = dtype_of(input)
        cdef int number = cnp.PyArray_TYPE(input)
        cdef void* x = conv.input_of(input, number)
        cdef fc_conv2d_weight w = self.weight_of(conv, weight, dtype, 0)
        cdef void* b = NULL if bias is None else conv.bias_of(bias, number)
        cdef void* y = conv.output_of(output, number)
        cdef fc_status status
        with nogil:
            status = self.run_forward(&conv.c, dtype, x, &w, b, relu, y)
        raise_status(status)

    def grad_input(self, Conv2d conv, cnp.ndarray grad_output, cnp.ndarray weight,
                   cnp.ndarray result):
        """Gradient with respect to the input."""
        cdef fc_dtype dtype = dtype_of(result)
        cdef int number = cnp.PyArray_TYPE(result)
        cdef void* g = conv.output_of(grad_output, number)
        cdef fc_conv2d_weight w = self.weight_of(conv, weight, dtype, 1)
        cdef void* x = conv.input_of(result, number)
        cdef fc_status status
        with nogil:
            status = self.run_grad_input(&conv.c, dtype, g, &w, x)
        raise_status(status)

    def grad_weight(self, Conv2d conv, cnp.ndarray input, cnp.ndarray grad_output,
                    cnp.ndarray result):
        """Gradient with respect to the weight."""
        cdef fc_dtype dtype = dtype_of(input)
        cdef int number = cnp.PyArray_TYPE(input)
        cdef void* x = conv.input_of(input, number)
        cdef void* g = conv.output_of(grad_output, number)
        cdef void* w = conv.weight_of(result, number)
        cdef fc_status status
        with nogil:
            status = self.run_grad_weight(&conv.c, dtype, x, g, w)
        raise_status(status)

    def packed_size(self, Conv2d conv, bint double, str which):
        """Bytes of packed weights, 0 if there is nothing to pack: `which` is "forward" or "grad_input"."""
        return self.run_packed_size(&conv.c, FC_FLOAT64 if double else FC_FLOAT32, pass_of(which))

    def pack_weight(self, Conv2d conv, str which, cnp.ndarray weight, cnp.ndarray packed):
        """Write the weight in the order of "forward" or "grad_input" to `packed`, an array of bytes."""
        cdef fc_dtype dtype = dtype_of(weight)
        cdef int number = pass_of(which)
        cdef void* w = conv.weight_of(weight, cnp.PyArray_TYPE(weight))
        cdef fc_conv2d_weight to = self.weight_of(conv, packed, dtype, number)
        cdef fc_status status
        if to.packed == NULL:
            raise ValueError("fastconv: packed weights are bytes")
        with nogil:
            status = self.run_pack(&conv.c, dtype, number, w, <void*>to.packed)
        raise_status(status)

    def workspace(self, Conv2d conv, bint double, str which):
        """Bytes of scratch of one task and of its share of what tasks read, packed weights apart."""
        return self.run_workspace(&conv.c, FC_FLOAT64 if double else FC_FLOAT32, pass_of(which))


cdef Algorithm gemm = Algorithm()
gemm.run_forward, gemm.run_grad_input = fc_conv2d_implicit_gemm_forward, fc_conv2d_implicit_gemm_grad_input
gemm.run_grad_weight, gemm.run_pack = fc_conv2d_implicit_gemm_grad_weight, fc_conv2d_implicit_gemm_pack_weight
gemm.run_packed_size, gemm.run_workspace = fc_conv2d_implicit_gemm_packed_size, fc_conv2d_implicit_gemm_workspace
implicit_gemm = gemm

cdef Algorithm tiles = Algorithm()
tiles.run_forward, tiles.run_grad_input = fc_conv2d_winograd_forward, fc_conv2d_winograd_grad_input
tiles.run_grad_weight, tiles.run_pack = fc_conv2d_winograd_grad_weight, fc_conv2d_winograd_pack_weight
tiles.run_packed_size, tiles.run_workspace = fc_conv2d_winograd_packed_size, fc_conv2d_winograd_workspace
winograd = tiles


def winograd_tiling(Conv2d conv, bint double, str which):
    """Of a pass, "forward", "grad_input" or "grad_weight": tiles and the points of all; of the largest,
    the results along an axis and the products for a pair of channels, over all phases of the stride.
    Zeros where Winograd can't do it."""
    cdef fc_dtype dtype = FC_FLOAT64 if double else FC_FLOAT32
    cdef fc_winograd_tiling t = fc_conv2d_winograd_tiling(&conv.c, dtype, pass_of(which))
    return t.tiles, t.points, t.size, t.products
