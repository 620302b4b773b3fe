"""Matrix products: buffers in, status out.

Matrices come as (batch, rows, columns), columns adjacent, rows any distance apart; a batch of 1 in
an operand serves every product.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_dtype, fc_matmul, fc_matmul_forward, fc_matmul_pack_b,
    fc_matmul_packed_size, fc_status, raise_status,
)

cnp.import_array()


cdef void* matrices_of(cnp.ndarray array, cnp.ndarray like, int64_t[3] sizes, int64_t* row,
                       int64_t* batch) except NULL:
    """Memory and strides (in elements) of `sizes` matrices, or of one that serves as all."""
    cdef int64_t element = cnp.PyArray_ITEMSIZE(like)
    if (cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(like) or cnp.PyArray_NDIM(array) != 3
            or not cnp.PyArray_ISALIGNED(array) or not cnp.PyArray_ISNOTSWAPPED(array)
            or cnp.PyArray_DIM(array, 0) not in (1, sizes[0])
            or cnp.PyArray_DIM(array, 1) != sizes[1] or cnp.PyArray_DIM(array, 2) != sizes[2]
            or min(sizes[0], sizes[1], sizes[2]) < 1
            or (sizes[2] > 1 and cnp.PyArray_STRIDE(array, 2) != element)
            or (sizes[1] > 1 and (cnp.PyArray_STRIDE(array, 1) < sizes[2] * element
                                  or cnp.PyArray_STRIDE(array, 1) % element))
            or cnp.PyArray_STRIDE(array, 0) % element):
        raise ValueError(
            f"fastconv: the core needs {sizes[0]} or 1 matrices of {sizes[1]} x {sizes[2]} with "
            f"adjacent columns, got shape {(<object>array).shape} of {(<object>array).dtype}, "
            f"strides {(<object>array).strides}"
        )
    row[0] = cnp.PyArray_STRIDE(array, 1) // element if sizes[1] > 1 else sizes[2]
    batch[0] = 0
    if cnp.PyArray_DIM(array, 0) > 1:
        batch[0] = cnp.PyArray_STRIDE(array, 0) // element
    return cnp.PyArray_DATA(array)


cdef void* b_of(cnp.ndarray b, fc_matmul* p) except NULL:
    cdef int64_t[3] sizes = [p.batch, p.k, p.n]
    if p.transpose_b:
        sizes[1], sizes[2] = p.n, p.k
    return matrices_of(b, b, sizes, &p.ldb, &p.b_batch)


cdef fc_matmul product_of(cnp.ndarray b, bint transpose_b) except *:
    """The product as far as b alone tells."""
    cdef fc_matmul p
    memset(&p, 0, sizeof(p))
    p.m = 1
    p.transpose_b = transpose_b
    p.batch, p.k, p.n = (<object>b).shape
    if transpose_b:
        p.k, p.n = p.n, p.k
    b_of(b, &p)
    return p


def forward(cnp.ndarray a, cnp.ndarray b, cnp.ndarray bias, cnp.ndarray addend, cnp.ndarray c,
            bint transpose_a, bint transpose_b, bint bias_of_rows, bint relu):
    """c = act(op(a) op(b) + bias + addend); b: matrices, or what `pack` made of a transposed or
    plain b (one dimension). bias and addend may be None, addend may be c."""
    cdef fc_dtype dtype = dtype_of(a)
    cdef int number = cnp.PyArray_TYPE(a)
    cdef fc_matmul p
    memset(&p, 0, sizeof(p))
    p.transpose_a, p.transpose_b = transpose_a, transpose_b
    p.bias_of_rows, p.relu = bias_of_rows, relu
    p.batch, p.m, p.n = (<object>c).shape
    if cnp.PyArray_NDIM(a) != 3:
        raise ValueError(f"fastconv: a has shape {(<object>a).shape}, expected three dimensions")
    p.k = cnp.PyArray_DIM(a, 1 if transpose_a else 2)
    cdef int64_t[3] sizes = [p.batch, p.m, p.k]
    cdef int64_t[3] results = [p.batch, p.m, p.n]
    cdef int64_t row, batch
    if transpose_a:
        sizes[1], sizes[2] = p.k, p.m
    cdef void* left = matrices_of(a, a, sizes, &p.lda, &p.a_batch)
    cdef void* result = matrices_of(c, a, results, &p.ldc, &p.c_batch)
    cdef void* right
    cdef void* offset = NULL if bias is None else data_of(bias, number,
                                                          p.m if bias_of_rows else p.n)
    cdef void* added = NULL
    if cnp.PyArray_NDIM(b) == 1:
        p.b_packed = True
        p.b_batch = cnp.PyArray_SIZE(b) * cnp.PyArray_ITEMSIZE(b) \
            != fc_matmul_packed_size(&p, dtype)
        right = data_of(b, number, fc_matmul_packed_size(&p, dtype) // cnp.PyArray_ITEMSIZE(a))
    else:
        if cnp.PyArray_TYPE(b) != number:
            raise ValueError(f"fastconv: a is {a.dtype}, b {b.dtype}")
        right = b_of(b, &p)
    if addend is not None:
        added = matrices_of(addend, a, results, &row, &batch)
        if row != p.ldc or batch != p.c_batch:
            raise ValueError("fastconv: addend is not laid out like c")
    cdef fc_status status
    with nogil:
        status = fc_matmul_forward(&p, dtype, left, right, offset, added, result)
    raise_status(status)


def packed_size(cnp.ndarray b, bint transpose_b):
    """Elements of b in packed panels."""
    cdef fc_matmul p = product_of(b, transpose_b)
    return fc_matmul_packed_size(&p, dtype_of(b)) // cnp.PyArray_ITEMSIZE(b)


def pack(cnp.ndarray b, bint transpose_b, cnp.ndarray packed):
    """Fill `packed`, packed_size elements, with the panels of b."""
    cdef fc_matmul p = product_of(b, transpose_b)
    cdef fc_dtype dtype = dtype_of(b)
    cdef void* right = cnp.PyArray_DATA(b)
    cdef void* panels = data_of(packed, cnp.PyArray_TYPE(b), packed_size(b, transpose_b))
    cdef fc_status status
    with nogil:
        status = fc_matmul_pack_b(&p, dtype, right, panels)
    raise_status(status)
