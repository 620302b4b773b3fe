/* fastconv: the C interface, the one header that bindings see.
 *
 * Arrays are native-endian, aligned and C-contiguous unless a struct carries strides. Sizes are
 * counted in elements and are int64_t. Every function that can fail returns fc_status; on failure
 * the contents of its outputs are unspecified. All functions may be called from any number of
 * threads at once. The grammar of the names is in src_c/README.md. */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stdint.h>
#include <stddef.h>

#if defined(__GNUC__)
#    define FC_API __attribute__((visibility("default")))
#else
#    define FC_API
#endif

typedef enum {
    FC_OK = 0,
    FC_ERROR_MEMORY = 1,   /* scratch memory could not be allocated */
    FC_ERROR_INDEX = 2,    /* an index or label read from the user is out of range */
    FC_ERROR_ARGUMENT = 3, /* a value that the caller should have checked */
} fc_status;

typedef enum { FC_FLOAT32 = 0, FC_FLOAT64 = 1, FC_DTYPES = 2 } fc_dtype;

/* ---- runtime ------------------------------------------------------------------------------ */

/* Choose the kernels: an ISA name, or NULL for the best that this CPU has. FC_ERROR_ARGUMENT if the
 * name is unknown or this CPU cannot run it. Call before any operation. */
FC_API fc_status fc_select_isa(const char* name);
FC_API const char* fc_selected_isa(void);
/* Name of the index-th ISA compiled in, best first, NULL past the end; *supported: can it run? */
FC_API const char* fc_isa_name(int index, int* supported);

/* The compiler, its version and the flags common to all files. */
FC_API const char* fc_build_description(void);

/* From the affinity, the cgroup's quota and OMP_NUM_THREADS; at least 1. */
FC_API int fc_default_num_threads(void);
FC_API int fc_get_num_threads(void);
FC_API void fc_set_num_threads(int threads);

/* Bytes of scratch that this thread holds on to (see runtime/workspace.c). */
FC_API int64_t fc_workspace_held(void);
/* Free it; returns the bytes. */
FC_API int64_t fc_workspace_release(void);
/* Testing: let the n-th scratch request from now fail (0: none). Counts over all threads. */
FC_API void fc_workspace_fail_at(int64_t n);

/* Memory of results (runtime/output_cache.c), 4 KiB aligned and not cleared; NULL when memory is
 * out. It is made for blocks of 64 KiB and more: smaller ones take as much. */
FC_API void* fc_output_acquire(size_t bytes);
FC_API void fc_output_release(void* data);
/* As realloc: the contents move if they must; on failure data stays as it was. */
FC_API void* fc_output_resize(void* data, size_t bytes);
/* Released blocks wait for the next acquire, up to a limit of idle bytes. By default it is 256 MiB,
 * or an eighth of the memory that there is. */
FC_API size_t fc_output_default_limit(void);
FC_API size_t fc_output_limit(void);
FC_API void fc_output_set_limit(size_t bytes);
FC_API size_t fc_output_idle(void);
/* Give all idle blocks back to the system; returns their bytes. */
FC_API size_t fc_output_release_idle(void);
/* Testing: let the n-th acquire from now fail (0: none). */
FC_API void fc_output_fail_at(int64_t n);

/* ---- convolution -------------------------------------------------------------------------- */

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
/* And, unless grad_bias is NULL, the bias' gradient: large first layers sum it on the way. */
FC_API fc_status fc_conv2d_direct_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                             const void* grad_output, const void* weight,
                                             void* grad_input, void* grad_bias);
FC_API fc_status fc_conv2d_direct_grad_weight(const fc_conv2d* conv, fc_dtype dtype,
                                              const void* input, const void* grad_output,
                                              void* grad_weight);
#include "fastconv_backward.h"
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

/* ---- elementwise activations -------------------------------------------------------------- */

/* The rows are in kernels/activations.inc. */
typedef enum {
#define FC_ACTIVATION(name) FC_ACTIVATION_##name,
#include "fastconv_activations.inc"
#undef FC_ACTIVATION
    FC_ACTIVATIONS,
} fc_activation;

/* output[i] = f(input[i]); parameter is alpha or the negative slope where f has one. */
FC_API fc_status fc_activation_forward(fc_activation f, fc_dtype dtype, int64_t size,
                                       double parameter, const void* input, void* output);
/* grad_input[i] = grad_output[i] * f'(.), where saved is f's output for relu, sigmoid and tanh and
 * f's input for the rest. */
FC_API fc_status fc_activation_backward(fc_activation f, fc_dtype dtype, int64_t size,
                                        double parameter, const void* grad_output,
                                        const void* saved, void* grad_input);

/* ---- softmax ------------------------------------------------------------------------------ */

typedef enum { FC_SOFTMAX, FC_LOG_SOFTMAX, FC_LOGSUMEXP, FC_SOFTMAX_MODES } fc_softmax;

/* An (outer, size, inner) array seen along its middle axis: outer * inner lines. */
typedef struct {
    int64_t outer, size, inner;
} fc_lines;

/* output has the input's shape; for the logsumexp (outer, inner). */
FC_API fc_status fc_softmax_forward(fc_softmax mode, fc_dtype dtype, const fc_lines* lines,
                                    const void* input, void* output);
/* saved: the forward output; for the logsumexp its input, with `output` (outer, inner) beside it
 * (NULL for the others) and grad_output (outer, inner). */
FC_API fc_status fc_softmax_backward(fc_softmax mode, fc_dtype dtype, const fc_lines* lines,
                                     const void* grad_output, const void* saved, const void* output,
                                     void* grad_input);

/* ---- cross-entropy ------------------------------------------------------------------------ */

typedef struct {
    fc_lines lines;        /* (samples, classes, positions) */
    const int64_t* target; /* (samples, positions): labels, each below classes or ignore_index */
    const void* weight;    /* (classes,) or NULL for ones */
    double weight_sum;     /* of all classes */
    double label_smoothing;
    int64_t ignore_index;
} fc_cross_entropy;

/* losses (samples, positions), 0 where ignored. sums[0] is their sum, sums[1] the sum of the
 * labels' weights, both in an order that depends on the shape alone. FC_ERROR_INDEX: a label is out
 * of range. */
FC_API fc_status fc_cross_entropy_forward(const fc_cross_entropy* problem, fc_dtype dtype,
                                          const void* input, void* losses, double sums[2]);
/* grad_losses (samples, positions), or NULL: `scale` for every one. */
FC_API fc_status fc_cross_entropy_backward(const fc_cross_entropy* problem, fc_dtype dtype,
                                           const void* grad_losses, double scale, const void* input,
                                           void* grad_input);

/* ---- pooling ------------------------------------------------------------------------------ */

/* Planes of (height, width), one after the other; pairs are (along height, along width). Every
 * window holds a cell of the input, and starts before the input's end. */
typedef struct {
    int64_t planes;
    int64_t input[2], output[2];
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    int count_include_pad; /* averages: count the cells of the padding */
    int64_t divisor;       /* averages: divide by this instead of counting; 0: count */
} fc_pool2d;

/* indices: of each maximum, flat in its plane; NULL if not wanted. */
FC_API fc_status fc_max_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                       void* output, int64_t* indices);
FC_API fc_status fc_avg_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                       void* output);
/* grad_input (planes, in_area) gathers grad_output (planes, out_area) at indices. With `maxima`,
 * the pooling's output, which then was of a ReLU's: its gradient too, zero where a maximum is not
 * positive. FC_ERROR_INDEX: an index is outside its plane. */
typedef struct {
    int64_t planes, in_area, out_area;
    const int64_t* indices;
    const void* maxima; /* or NULL */
} fc_max_pool_gradient;
FC_API fc_status fc_max_pool_backward(const fc_max_pool_gradient* pool, fc_dtype dtype,
                                      const void* grad_output, void* grad_input);
FC_API fc_status fc_avg_pool2d_backward(const fc_pool2d* pool, fc_dtype dtype,
                                        const void* grad_output, void* grad_input);

/* The gradients of a convolution whose output went through a max-pool (and a ReLU before it, where
 * `maxima` is given), from the gradient of the maxima (ops/conv_pooled.h). `pool` is as above, its
 * planes the convolution's outputs. FC_ERROR_INDEX: an index is outside its plane.
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

/* ---- optimisers --------------------------------------------------------------------------- */

typedef enum { FC_SGD, FC_RMSPROP, FC_ADAM } fc_optimizer_rule;

/* A rule and its numbers; those that a rule has no use for are not read. The formulas are in
 * kernels/optimizer.inc. */
typedef struct {
    fc_optimizer_rule rule;
    double lr, weight_decay;
    double momentum, dampening; /* sgd; rmsprop: momentum alone */
    double betas[2];            /* adam; rmsprop: betas[0] is its alpha */
    double eps;
    int nesterov;
} fc_optimizer;

/* One array of parameters, what is known of it, and its step, counted from 1. State that a rule
 * does not keep is NULL: sgd has velocity (with momentum), rmsprop squares, means (centered) and
 * velocity (with momentum), adam both moments. */
enum { FC_OPTIMIZER_STATES = 3 };
typedef struct {
    fc_dtype dtype;
    int64_t size, step;
    void* data;
    const void* grad;
    void* state[FC_OPTIMIZER_STATES];
} fc_optimizer_array;

/* One step for each of `count` arrays, in place. No array that is written may overlap another.
 * FC_ERROR_ARGUMENT: states that the rule does not keep, or not these alone. */
FC_API fc_status fc_optimizer_step(const fc_optimizer* optimizer, int64_t count,
                                   const fc_optimizer_array* arrays);

#endif
