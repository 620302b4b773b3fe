/* The fully connected layer: three matrix products (ops/gemm.c).
 *
 *   forward      y = x w^T + b
 *   grad_input   dx = g w
 *   grad_weight  dw = g^T x */
#include "../include/fastconv.h"

fc_status fc_linear_forward(const fc_linear* linear, fc_dtype dtype, const void* input,
                            const void* weight, const void* bias, int relu, void* output) {
    const fc_matmul product = {.batch = 1,
                               .m = linear->rows,
                               .n = linear->out_features,
                               .k = linear->in_features,
                               .transpose_b = 1,
                               .lda = linear->in_features,
                               .ldb = linear->in_features,
                               .ldc = linear->out_features,
                               .relu = relu};
    return fc_matmul_forward(&product, dtype, input, weight, bias, NULL, output);
}

fc_status fc_linear_grad_input(const fc_linear* linear, fc_dtype dtype, const void* grad_output,
                               const void* weight, void* grad_input) {
    const fc_matmul product = {.batch = 1,
                               .m = linear->rows,
                               .n = linear->in_features,
                               .k = linear->out_features,
                               .lda = linear->out_features,
                               .ldb = linear->in_features,
                               .ldc = linear->in_features};
    return fc_matmul_forward(&product, dtype, grad_output, weight, NULL, NULL, grad_input);
}

fc_status fc_linear_grad_weight(const fc_linear* linear, fc_dtype dtype, const void* input,
                                const void* grad_output, void* grad_weight) {
    const fc_matmul product = {.batch = 1,
                               .m = linear->out_features,
                               .n = linear->in_features,
                               .k = linear->rows,
                               .transpose_a = 1,
                               .lda = linear->out_features,
                               .ldb = linear->in_features,
                               .ldc = linear->in_features};
    return fc_matmul_forward(&product, dtype, grad_output, input, NULL, NULL, grad_weight);
}
