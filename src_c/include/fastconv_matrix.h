/* Matrix products and the fully connected layer: part of fastconv.h. */
#ifndef FASTCONV_INTERFACE_MATRIX_H
#define FASTCONV_INTERFACE_MATRIX_H

#include "fastconv_runtime.h"

/* ---- matrix products ---------------------------------------------------------------------- */

/* c = act(op(a) op(b) + bias + addend) for each of `batch` products of an (m, k) and a (k, n)
 * matrix, row-major: ld? elements from row to row of what is stored, ?_batch from product to
 * product (0: the same a or b for all). A transposed a is stored as (k, m), a transposed b as (n,
 * k).
 *
 * Every sum starts at zero and runs in chunks of depth that are added in turn, so that an entry is
 * within (k + 2) u sum|a||b| of the exact one, u = 2^-24 or 2^-53, and tighter in practice. */
typedef struct {
    int64_t batch, m, n, k;
    int transpose_a, transpose_b;
    int b_packed; /* b comes from fc_matmul_pack_b; ldb and b_batch say how it was stored before */
    int64_t lda, ldb, ldc;
    int64_t a_batch, b_batch, c_batch;
    int bias_of_rows; /* one number a row of c, not a column */
    int relu;
} fc_matmul;

/* bias may be NULL; addend is NULL or an array laid out like c, c itself included: c += a b. No
 * other array may overlap c. No size may be 0. */
FC_API fc_status fc_matmul_forward(const fc_matmul* matmul, fc_dtype dtype, const void* a,
                                   const void* b, const void* bias, const void* addend, void* c);
/* Bytes of b in the panels that the kernels read, and the packing; both depend on the instruction
 * set, but not on m. Worth it where a b is used again and again. The packed block should be 64-byte
 * aligned. */
FC_API int64_t fc_matmul_packed_size(const fc_matmul* matmul, fc_dtype dtype);
FC_API fc_status fc_matmul_pack_b(const fc_matmul* matmul, fc_dtype dtype, const void* b,
                                  void* packed);

/* ---- the fully connected layer ------------------------------------------------------------ */

/* Row-major input (rows, in), weight (out, in), output (rows, out); no size may be 0. */
typedef struct {
    int64_t rows, in_features, out_features;
} fc_linear;

/* output = act(input weight^T + bias); bias may be NULL. */
FC_API fc_status fc_linear_forward(const fc_linear* linear, fc_dtype dtype, const void* input,
                                   const void* weight, const void* bias, int relu, void* output);
/* grad_input = grad_output weight */
FC_API fc_status fc_linear_grad_input(const fc_linear* linear, fc_dtype dtype,
                                      const void* grad_output, const void* weight,
                                      void* grad_input);
/* grad_weight = grad_output^T input */
FC_API fc_status fc_linear_grad_weight(const fc_linear* linear, fc_dtype dtype, const void* input,
                                       const void* grad_output, void* grad_weight);

#endif
