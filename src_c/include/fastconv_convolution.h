/* Images, convolutions and their gradients, by every algorithm: part of fastconv.h. */
#ifndef FASTCONV_INTERFACE_CONVOLUTION_H
#define FASTCONV_INTERFACE_CONVOLUTION_H

#include "fastconv_pooling.h"

/* Where the elements of a batch of images lie. BLOCKED is the engine's own order, [image][channel
 * block][row][column][lane], in blocks of fc_blocked_lanes channels, a vector a pixel; lanes past
 * the last channel are zeros, which whoever writes such images writes too. */
typedef enum { FC_NCHW, FC_NHWC, FC_BLOCKED } fc_layout;

/* Channels of a block: the lanes of a vector of the selected instruction set. */
FC_API int64_t fc_blocked_lanes(fc_dtype dtype);

/* A batch of images, NCHW or NHWC. */
typedef struct {
    int64_t batch, channels, size[2];
    fc_layout layout;
} fc_images;

/* Whole images between a plain layout and BLOCKED, either way at the speed of memory. */
FC_API fc_status fc_images_to_blocked(const fc_images* images, fc_dtype dtype, const void* plain,
                                      void* blocked);
FC_API fc_status fc_images_from_blocked(const fc_images* images, fc_dtype dtype,
                                        const void* blocked, void* plain);

/* A 2-D convolution (cross-correlation). The input (and its gradient) and the output (and its) have
 * a layout each; weights are always OIHW: (out_channels, in_channels / groups, kernel_height,
 * kernel_width). Axis 0 of the pairs is vertical. `padding` is before the first row and column;
 * what lies after follows from the output's size.
 *
 * The implicit GEMM and Winograd take any pair of layouts, but of blocked images a group must be
 * whole blocks; the others take NCHW or NHWC, the same on both sides. What they do not take they
 * refuse with FC_ERROR_ARGUMENT. */
typedef struct {
    int64_t batch, groups, in_channels, out_channels;
    int64_t in_size[2], kernel_size[2], out_size[2];
    int64_t stride[2], dilation[2], padding[2];
    fc_layout in_layout, out_layout;
} fc_conv2d;

/* Direct convolution on phase-split planes (ops/conv_direct.c): output = conv(input, weight) +
 * bias, then max(0, .) if relu. bias may be NULL. */
FC_API fc_status fc_conv2d_direct_forward(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                          const void* weight, const void* bias, int relu,
                                          void* output);
/* The maxima of its output in windows of 2 x 2 side by side, the bits that fc_max_pool2d_forward
 * makes of it, without writing it; and unless `places` is NULL, where in its window each maximum
 * came from: 0 to 3, row by row. It `can` for NCHW images of output 2 x 2 or more, but not where
 * groups are depthwise or rows longer than some 2000; FC_ERROR_ARGUMENT for others. */
typedef struct {
    void* maxima;
    uint8_t* places;
} fc_conv2d_maxima;
FC_API int fc_conv2d_direct_pooled_can(const fc_conv2d* conv, fc_dtype dtype);
FC_API fc_status fc_conv2d_direct_pooled_forward(const fc_conv2d* conv, fc_dtype dtype,
                                                 const void* input, const void* weight,
                                                 const void* bias, int relu,
                                                 const fc_conv2d_maxima* result);
/* And, unless grad_bias is NULL, the bias' gradient: large first layers sum it on the way. */
FC_API fc_status fc_conv2d_direct_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                             const void* grad_output, const void* weight,
                                             void* grad_input, void* grad_bias);
FC_API fc_status fc_conv2d_direct_grad_weight(const fc_conv2d* conv, fc_dtype dtype,
                                              const void* input, const void* grad_output,
                                              void* grad_weight);
typedef struct {
    const void *input, *grad_output, *weight;
} fc_conv2d_operands;
typedef struct {
    void *input, *weight, *bias; /* bias: NULL where it is not wanted */
} fc_conv2d_gradients;

/* First layers, whose few channels and large images leave grad_output to be most of the memory
 * (ops/conv_product_strips.c). Pass 3 of fc_conv2d_direct_work is its FMAs, 0 where it can't be
 * done: then this is FC_ERROR_ARGUMENT. */
FC_API fc_status fc_conv2d_direct_backward(const fc_conv2d* conv, fc_dtype dtype,
                                           const fc_conv2d_operands* operands,
                                           const fc_conv2d_gradients* gradients);

/* grad_bias[k] = sum of grad_output over images and pixels. */
FC_API fc_status fc_conv2d_grad_bias(const fc_conv2d* conv, fc_dtype dtype, const void* grad_output,
                                     void* grad_bias);
/* Bytes of scratch that a task of a direct pass needs (0 forward, 1 grad_input, 2 grad_weight). */
FC_API int64_t fc_conv2d_direct_workspace(const fc_conv2d* conv, fc_dtype dtype, int pass);
/* What a pass sums, in FMAs, lost lanes included, and for the gradient of the input what it copies:
 * for choosing an algorithm. No size may be 0. */
FC_API double fc_conv2d_direct_work(const fc_conv2d* conv, fc_dtype dtype, int pass);

/* Implicit GEMM in the engine's blocked form (ops/conv_implicit_gemm.c); arguments as above. A pass
 * is 0 forward, 1 grad_input, 2 grad_weight. */
typedef struct {
    const void* weight; /* OIHW; not read where there is a packed one */
    const void* packed; /* what pack_weight made of it for this geometry and pass, or NULL */
} fc_conv2d_weight;
FC_API fc_status fc_conv2d_implicit_gemm_forward(const fc_conv2d* conv, fc_dtype dtype,
                                                 const void* input, const fc_conv2d_weight* weight,
                                                 const void* bias, int relu, void* output);
FC_API fc_status fc_conv2d_implicit_gemm_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                                    const void* grad_output,
                                                    const fc_conv2d_weight* weight,
                                                    void* grad_input);
FC_API fc_status fc_conv2d_implicit_gemm_grad_weight(const fc_conv2d* conv, fc_dtype dtype,
                                                     const void* input, const void* grad_output,
                                                     void* grad_weight);
/* Bytes of packed weights, which pack_weight writes: pass 0 or 1. They depend on channels, kernel,
 * groups and the instruction set; of pass 1 on stride, padding and dilation too. 0 where weights
 * are read as they lie (a 1x1 kernel, pixel for pixel, on large planes): then there is nothing to
 * pack, and packed weights are refused. */
FC_API int64_t fc_conv2d_implicit_gemm_packed_size(const fc_conv2d* conv, fc_dtype dtype, int pass);
FC_API fc_status fc_conv2d_implicit_gemm_pack_weight(const fc_conv2d* conv, fc_dtype dtype,
                                                     int pass, const void* weight, void* packed);
/* Bytes of scratch that a task needs, and what is shared with it; packed weights apart. */
FC_API int64_t fc_conv2d_implicit_gemm_workspace(const fc_conv2d* conv, fc_dtype dtype, int pass);

/* Winograd F(m x m, r x r), m + r = 6 or 7, for kernels with r = 2 to 5 taps a phase of the stride
 * (r = ceil(kernel / stride), the same along both axes), strides up to 4 and dilation 1
 * (ops/conv_winograd.c); arguments as of the implicit GEMM. Packed weights serve any batch and
 * image size. Sizes are 0 for other kernels. */
FC_API fc_status fc_conv2d_winograd_forward(const fc_conv2d* conv, fc_dtype dtype,
                                            const void* input, const fc_conv2d_weight* weight,
                                            const void* bias, int relu, void* output);
FC_API fc_status fc_conv2d_winograd_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                               const void* grad_output,
                                               const fc_conv2d_weight* weight, void* grad_input);
FC_API fc_status fc_conv2d_winograd_grad_weight(const fc_conv2d* conv, fc_dtype dtype,
                                                const void* input, const void* grad_output,
                                                void* grad_weight);
FC_API int64_t fc_conv2d_winograd_packed_size(const fc_conv2d* conv, fc_dtype dtype, int pass);
FC_API fc_status fc_conv2d_winograd_pack_weight(const fc_conv2d* conv, fc_dtype dtype, int pass,
                                                const void* weight, void* packed);
/* Bytes of scratch a thread for a pass, its share of what all threads read included. */
FC_API int64_t fc_conv2d_winograd_workspace(const fc_conv2d* conv, fc_dtype dtype, int pass);
/* What a pass transforms and multiplies: tiles (with stride 1 small images of a batch share some)
 * and the points of all; of the largest, the results along an axis and the products for a pair of
 * channels, over all phases of the stride. Zeros where Winograd can't do it. */
typedef struct {
    int64_t tiles, points, size, products;
} fc_winograd_tiling;
FC_API fc_winograd_tiling fc_conv2d_winograd_tiling(const fc_conv2d* conv, fc_dtype dtype,
                                                    int pass);

/* The explicit columns of torch's unfold: (batch, in_channels * window, out pixels), NCHW only; and
 * their transpose, torch's fold. weight-side members of conv other than kernel_size are not read.
 */
FC_API fc_status fc_im2col(const fc_conv2d* conv, fc_dtype dtype, const void* input, void* columns);
FC_API fc_status fc_col2im(const fc_conv2d* conv, fc_dtype dtype, const void* columns, void* image);

/* BLAS xGEMM, Fortran calling convention. Integers are passed as the address of an int64_t: on the
 * little-endian machines that we support its low half is the same number, so that a BLAS with
 * 32-bit and one with 64-bit integers both work. */
typedef void (*fc_gemm)(const char* trans_a, const char* trans_b, const int64_t* m,
                        const int64_t* n, const int64_t* k, const void* alpha, const void* a,
                        const int64_t* lda, const void* b, const int64_t* ldb, const void* beta,
                        void* c, const int64_t* ldc);
typedef struct {
    fc_gemm gemm[FC_DTYPES];
    int concurrent; /* may be called from several of our threads at once: it opens none of its own
                     */
} fc_blas;

/* Convolution by explicit columns and BLAS, in slabs of bounded scratch (ops/conv_im2col.c). */
FC_API fc_status fc_conv2d_im2col_forward(const fc_conv2d* conv, fc_dtype dtype,
                                          const fc_blas* blas, const void* input,
                                          const void* weight, const void* bias, int relu,
                                          void* output);
FC_API fc_status fc_conv2d_im2col_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                             const fc_blas* blas, const void* grad_output,
                                             const void* weight, void* grad_input);
FC_API fc_status fc_conv2d_im2col_grad_weight(const fc_conv2d* conv, fc_dtype dtype,
                                              const fc_blas* blas, const void* input,
                                              const void* grad_output, void* grad_weight);
FC_API int64_t fc_conv2d_im2col_workspace(const fc_conv2d* conv, fc_dtype dtype);

/* The gradients of a convolution whose output went through a max-pool (and a ReLU before it, where
 * `maxima` is given), from the gradient of the maxima (ops/conv_pooled.h). `pool` is as above, its
 * planes the convolution's outputs, with `indices` or `places`. FC_ERROR_INDEX: an index is outside
 * its plane.
 *
 * They `can` for small NCHW images without groups and horizontal dilation, of `maxima` maxima a
 * plane, and return FC_ERROR_ARGUMENT for others; they `pay` where they should take less time than
 * fc_max_pool_backward and the passes of a convolution. */
FC_API int fc_conv2d_pooled_can(const fc_conv2d* conv, fc_dtype dtype, int64_t maxima);
FC_API int fc_conv2d_pooled_pays(const fc_conv2d* conv, fc_dtype dtype, int64_t maxima);
FC_API fc_status fc_conv2d_pooled_grad_input(const fc_conv2d* conv,
                                             const fc_max_pool_gradient* pool, fc_dtype dtype,
                                             const void* grad_maxima, const void* weight,
                                             void* grad_input);
/* grad_bias may be NULL. */
FC_API fc_status fc_conv2d_pooled_grad_weight(const fc_conv2d* conv,
                                              const fc_max_pool_gradient* pool, fc_dtype dtype,
                                              const void* input, const void* grad_maxima,
                                              void* grad_weight, void* grad_bias);

#endif
