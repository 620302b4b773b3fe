"""Declarations of fastconv.h, and the two helpers that every binding shares.

Other Cython code may `cimport` from here; `fastconv.get_include()` is the folder of the header, and
the shared library `libfastconv.so` lies beside the modules of `fastconv._core`.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t


cdef extern from "fastconv.h" nogil:
    ctypedef enum fc_status:
        FC_OK
        FC_ERROR_MEMORY
        FC_ERROR_INDEX
        FC_ERROR_ARGUMENT

    ctypedef enum fc_dtype:
        FC_FLOAT32
        FC_FLOAT64

    fc_status fc_select_isa(const char* name)
    const char* fc_selected_isa()
    const char* fc_isa_name(int index, int* supported)
    const char* fc_build_description()
    int fc_default_num_threads()
    int fc_get_num_threads()
    void fc_set_num_threads(int threads)
    int64_t fc_workspace_held()
    int64_t fc_workspace_release()
    void fc_workspace_fail_at(int64_t n)

    void* fc_output_acquire(size_t bytes)
    void fc_output_release(void* data)
    void* fc_output_resize(void* data, size_t bytes)
    size_t fc_output_default_limit()
    size_t fc_output_limit()
    void fc_output_set_limit(size_t bytes)
    size_t fc_output_idle()
    size_t fc_output_release_idle()
    void fc_output_fail_at(int64_t n)

    ctypedef enum fc_layout:
        FC_NCHW, FC_NHWC, FC_BLOCKED

    int64_t fc_blocked_lanes(fc_dtype dtype)

    ctypedef struct fc_images:
        int64_t batch, channels
        int64_t size[2]
        fc_layout layout

    fc_status fc_images_to_blocked(const fc_images* images, fc_dtype dtype, const void* plain,
                                   void* blocked)
    fc_status fc_images_from_blocked(const fc_images* images, fc_dtype dtype, const void* blocked,
                                     void* plain)

    ctypedef struct fc_conv2d:
        int64_t batch, groups, in_channels, out_channels
        int64_t[2] in_size, kernel_size, out_size
        int64_t[2] stride, dilation, padding
        fc_layout in_layout, out_layout

    fc_status fc_conv2d_direct_forward(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                       const void* weight, const void* bias, int relu, void* output)
    fc_status fc_conv2d_direct_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                          const void* grad_output, const void* weight,
                                          void* grad_input, void* grad_bias)
    fc_status fc_conv2d_direct_grad_weight(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                           const void* grad_output, void* grad_weight)
    fc_status fc_conv2d_grad_bias(const fc_conv2d* conv, fc_dtype dtype, const void* grad_output,
                                  void* grad_bias)
    int64_t fc_conv2d_direct_workspace(const fc_conv2d* conv, fc_dtype dtype, int which)
    double fc_conv2d_direct_work(const fc_conv2d* conv, fc_dtype dtype, int which)

    ctypedef struct fc_conv2d_weight:
        const void* weight
        const void* packed

    fc_status fc_conv2d_implicit_gemm_forward(const fc_conv2d* conv, fc_dtype dtype,
                                              const void* input, const fc_conv2d_weight* weight,
                                              const void* bias, int relu, void* output)
    fc_status fc_conv2d_implicit_gemm_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                                 const void* grad_output,
                                                 const fc_conv2d_weight* weight,
                                                 void* grad_input)
    fc_status fc_conv2d_implicit_gemm_grad_weight(const fc_conv2d* conv, fc_dtype dtype,
                                                  const void* input, const void* grad_output,
                                                  void* grad_weight)
    int64_t fc_conv2d_implicit_gemm_packed_size(const fc_conv2d* conv, fc_dtype dtype, int which)
    fc_status fc_conv2d_implicit_gemm_pack_weight(const fc_conv2d* conv, fc_dtype dtype, int which,
                                                  const void* weight, void* packed)
    int64_t fc_conv2d_implicit_gemm_workspace(const fc_conv2d* conv, fc_dtype dtype, int which)

    fc_status fc_conv2d_winograd_forward(const fc_conv2d* conv, fc_dtype dtype,
                                         const void* input, const fc_conv2d_weight* weight,
                                         const void* bias, int relu, void* output)
    fc_status fc_conv2d_winograd_grad_input(const fc_conv2d* conv, fc_dtype dtype,
        const void* grad_output, const fc_conv2d_weight* weight, void* grad_input)
    fc_status fc_conv2d_winograd_grad_weight(const fc_conv2d* conv, fc_dtype dtype,
        const void* input, const void* grad_output, void* grad_weight)
    int64_t fc_conv2d_winograd_packed_size(const fc_conv2d* conv, fc_dtype dtype, int which)
    fc_status fc_conv2d_winograd_pack_weight(const fc_conv2d* conv, fc_dtype dtype, int which,
                                             const void* weight, void* packed)
    int64_t fc_conv2d_winograd_workspace(const fc_conv2d* conv, fc_dtype dtype, int which)
    ctypedef struct fc_winograd_tiling:
        int64_t tiles, points, size, products
    fc_winograd_tiling fc_conv2d_winograd_tiling(const fc_conv2d* conv, fc_dtype dtype, int which)

    fc_status fc_im2col(const fc_conv2d* conv, fc_dtype dtype, const void* input, void* columns)
    fc_status fc_col2im(const fc_conv2d* conv, fc_dtype dtype, const void* columns, void* image)

    ctypedef void (*fc_gemm)(const char*, const char*, const int64_t*, const int64_t*,
                             const int64_t*, const void*, const void*, const int64_t*,
                             const void*, const int64_t*, const void*, void*, const int64_t*)
    ctypedef struct fc_blas:
        fc_gemm gemm[2]
        int concurrent

    fc_status fc_conv2d_im2col_forward(const fc_conv2d* conv, fc_dtype dtype, const fc_blas* blas,
                                       const void* input, const void* weight, const void* bias,
                                       int relu, void* output)
    fc_status fc_conv2d_im2col_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                          const fc_blas* blas, const void* grad_output,
                                          const void* weight, void* grad_input)
    fc_status fc_conv2d_im2col_grad_weight(const fc_conv2d* conv, fc_dtype dtype,
                                           const fc_blas* blas, const void* input,
                                           const void* grad_output, void* grad_weight)
    int64_t fc_conv2d_im2col_workspace(const fc_conv2d* conv, fc_dtype dtype)

    ctypedef struct fc_matmul:
        int64_t batch, m, n, k
        int transpose_a, transpose_b, b_packed
        int64_t lda, ldb, ldc
        int64_t a_batch, b_batch, c_batch
        int bias_of_rows, relu

    fc_status fc_matmul_forward(const fc_matmul* matmul, fc_dtype dtype, const void* a,
                                const void* b, const void* bias, const void* addend, void* c)
    int64_t fc_matmul_packed_size(const fc_matmul* matmul, fc_dtype dtype)
    fc_status fc_matmul_pack_b(const fc_matmul* matmul, fc_dtype dtype, const void* b,
                               void* packed)

    ctypedef struct fc_linear:
        int64_t rows, in_features, out_features

    fc_status fc_linear_forward(const fc_linear* linear, fc_dtype dtype, const void* input,
                                const void* weight, const void* bias, int relu, void* output)
    fc_status fc_linear_grad_input(const fc_linear* linear, fc_dtype dtype,
                                   const void* grad_output, const void* weight,
                                   void* grad_input)
    fc_status fc_linear_grad_weight(const fc_linear* linear, fc_dtype dtype, const void* input,
                                    const void* grad_output, void* grad_weight)

    ctypedef enum fc_activation:
        FC_ACTIVATIONS

    fc_status fc_activation_forward(fc_activation f, fc_dtype dtype, int64_t size,
                                    double parameter, const void* input, void* output)
    fc_status fc_activation_backward(fc_activation f, fc_dtype dtype, int64_t size,
                                     double parameter, const void* grad_output,
                                     const void* saved, void* grad_input)

    ctypedef enum fc_softmax:
        FC_SOFTMAX
        FC_LOG_SOFTMAX
        FC_LOGSUMEXP

    ctypedef struct fc_lines:
        int64_t outer, size, inner

    fc_status fc_softmax_forward(fc_softmax mode, fc_dtype dtype, const fc_lines* lines,
                                 const void* input, void* output)
    fc_status fc_softmax_backward(fc_softmax mode, fc_dtype dtype, const fc_lines* lines,
                                  const void* grad_output, const void* saved,
                                  const void* output, void* grad_input)

    ctypedef struct fc_cross_entropy:
        fc_lines lines
        const int64_t* target
        const void* weight
        double weight_sum
        double label_smoothing
        int64_t ignore_index

    fc_status fc_cross_entropy_forward(const fc_cross_entropy* problem, fc_dtype dtype,
                                       const void* input, void* losses, double* sums)
    fc_status fc_cross_entropy_backward(const fc_cross_entropy* problem, fc_dtype dtype,
                                        const void* grad_losses, double scale,
                                        const void* input, void* grad_input)


cdef inline int raise_status(fc_status status) except -1:
    """Map a status to an exception; ops words what it can know better."""
    if status == FC_OK:
        return 0
    if status == FC_ERROR_MEMORY:
        raise MemoryError("fastconv: no memory for scratch space")
    if status == FC_ERROR_INDEX:
        raise IndexError("fastconv: an index is out of range")
    raise ValueError("fastconv: an argument that ops should have checked reached the C library")


cdef inline fc_dtype dtype_of(cnp.ndarray array) except *:
    """The C library's name of an array's dtype; only native float32 and float64 come this far."""
    cdef int number = cnp.PyArray_TYPE(array)
    if number == cnp.NPY_FLOAT32:
        return FC_FLOAT32
    if number == cnp.NPY_FLOAT64:
        return FC_FLOAT64
    raise TypeError(f"fastconv: the core takes float32 or float64, got {(<object>array).dtype}")


cdef inline void* data_of(cnp.ndarray array, int number, int64_t size) except NULL:
    """The array's memory, once it is sure that the C library may walk over all of it.

    `number` is the NumPy type number and `size` the count of elements that it must have.
    """
    if (cnp.PyArray_TYPE(array) != number or cnp.PyArray_SIZE(array) != size
            or not cnp.PyArray_ISCARRAY_RO(array)):
        raise ValueError(
            f"fastconv: the core needs {size} aligned, contiguous elements of type number "
            f"{number}, got shape {(<object>array).shape} of {(<object>array).dtype}"
        )
    return cnp.PyArray_DATA(array)
