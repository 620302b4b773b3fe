/* The fully connected layer on the convolution kernels, with nothing transposed or packed but a few
 * rows: in each of the three products one side is already as a kernel wants it.
 *
 *   forward      y[n][o] = sum_i x[n][i] w[o][i]     dot products of contiguous rows: conv_dots
 *   grad_input   dx[n][:] = sum_o g[n][o] w[o][:]    sums of rows of w: conv_taps, a "tap" is a row
 *   grad_weight  dw[o][:] = sum_n g[n][o] x[n][:]    sums of rows of x: conv_taps
 *
 * Kernels take whole vectors, so the end of each row is copied to scratch and padded with zeros.
 * Every sum runs over its index in order (forward: by lanes, in runs of RUN): the same for any
 * number of threads. */
#include "../runtime/runtime.h"
#include <string.h>

enum {
    RUN = 1024,  /* features summed at a time by conv_dots: its rows stay in L1 */
    DEPTH = 512, /* rows summed at a time by conv_taps */
    WIDE = 512,  /* columns of a task of conv_taps: DEPTH * WIDE elements are half an L2 */
    LEAST = 128, /* narrower ones would spend their time on packing */
    OUTS = 24,   /* outputs of a task of conv_dots */
};

typedef struct {
    const fc_kernels_of_type* kernels;
    int64_t element;
    int64_t rows, depth, cols; /* result (rows, cols), sums over depth */
    const char *left, *right, *bias;
    int64_t left_row_stride, left_depth_stride; /* elements */
    char* result;
} linear_job;

static void copy_padded(char* to, int64_t to_stride, const char* from, int64_t from_stride,
                        int64_t rows, size_t bytes, size_t padded) {
    for (int64_t r = 0; r < rows; r++, to += to_stride, from += from_stride) {
        memcpy(to, from, bytes);
        memset(to + bytes, 0, padded - bytes);
    }
}

static void set_bias(const linear_job* job, int64_t first, int64_t count, char* sums,
                     int64_t stride) {
    const size_t bytes = (size_t)(count * job->element);
    for (int64_t n = 0; n < job->rows; n++, sums += stride * job->element) {
        if (job->bias)
            memcpy(sums, job->bias + first * job->element, bytes);
        else
            memset(sums, 0, bytes);
    }
}

/* One run of features for a task's outputs: all rows of x against `count` rows of w. */
static void dot_run(const linear_job* job, int64_t first, int64_t count, int64_t start,
                    char* scratch) {
    const fc_kernels_of_type* k = job->kernels;
    const int64_t size = fc_min(RUN, job->depth - start);
    const int64_t padded = fc_ceil_div(size, k->lanes) * k->lanes, e = job->element;
    const char* left = job->left + start * e;
    const char* right = job->right + (first * job->depth + start) * e;
    int64_t left_stride = job->depth, right_stride = job->depth;
    char* rows = scratch + OUTS * RUN * e;
    if (padded != size) {
        copy_padded(scratch, padded * e, right, job->depth * e, count, (size_t)(size * e),
                    (size_t)(padded * e));
        right = scratch;
        right_stride = padded;
    }
    int32_t offset[OUTS];
    for (int64_t j = 0; j < count; j++) offset[j] = (int32_t)(j * right_stride);
    for (int64_t n = 0; n < job->rows; n += k->dot_mr) {
        const int64_t m = fc_min(k->dot_mr, job->rows - n);
        const char* x = left + n * job->depth * e;
        if (padded != size) {
            copy_padded(rows, padded * e, x, job->depth * e, m, (size_t)(size * e),
                        (size_t)(padded * e));
            x = rows;
            left_stride = padded;
        }
        for (int64_t j = 0; j < count; j += k->dot_nr)
            k->conv_dots((int)m, (int)fc_min(k->dot_nr, count - j), padded, x, left_stride, right,
                         offset + j, job->result + (n * job->cols + first + j) * e, job->cols);
    }
}

static fc_status dots_task(void* context, int64_t index) {
    const linear_job* job = context;
    char* scratch =
        fc_workspace(FC_SLOT_TASK, (size_t)((OUTS + job->kernels->dot_mr) * RUN * job->element));
    if (!scratch) return FC_ERROR_MEMORY;
    const int64_t first = index * OUTS, count = fc_min(OUTS, job->cols - first);
    set_bias(job, first, count, job->result + first * job->element, job->cols);
    for (int64_t start = 0; start < job->depth; start += RUN)
        dot_run(job, first, count, start, scratch);
    return FC_OK;
}

/* The left side of one register tile: [depth][rows of the tile]. */
static void pack_left(const linear_job* job, int64_t first, int64_t rows, char* packed) {
    const char* left = job->left + first * job->left_row_stride * job->element;
#define PACK(T)                                                                                    \
    for (int64_t d = 0; d < job->depth; d++)                                                       \
        for (int64_t m = 0; m < rows; m++)                                                         \
            ((T*)packed)[d * rows + m] =                                                           \
                ((const T*)left)[d * job->left_depth_stride + m * job->left_row_stride];
    if (job->element == 4) {
        PACK(float)
    } else {
        PACK(double)
    }
#undef PACK
}

typedef struct {
    size_t packed, tail, tile;
} taps_scratch;

static taps_scratch scratch_of(const linear_job* job) {
    const int64_t lanes = job->kernels->lanes, mr = job->kernels->mr, e = job->element;
    return (taps_scratch){fc_align((size_t)(fc_min(job->depth, DEPTH) * mr * e)),
                          fc_align((size_t)(DEPTH * lanes * e)),
                          fc_align((size_t)(mr * (WIDE + 2 * job->kernels->nr) * e))};
}

/* One task: `count` columns from `first` for all rows of the result, DEPTH rows of the right side
 * at a time. Columns beyond the last whole vector come from `tail`, where rows are padded. */
static void sum_rows_of_block(const linear_job* job, int64_t first, int64_t count, char* scratch) {
    const fc_kernels_of_type* k = job->kernels;
    const int64_t e = job->element, whole = count / k->lanes * k->lanes, rest = count - whole;
    const int64_t stride = WIDE + 2 * k->nr;
    const taps_scratch sizes = scratch_of(job);
    char *packed = scratch, *tail = packed + sizes.packed, *tile = tail + sizes.tail;
    int32_t far[DEPTH], near[DEPTH];
    const fc_store rows_out = {.rows = 1,
                               .cols = count,
                               .tile_stride = stride,
                               .tile_cols = count,
                               .channel_stride = job->cols,
                               .row_stride = count,
                               .col_stride = 1};
    linear_job part = *job;
    const int64_t step = fc_max(1, fc_min(DEPTH, INT32_MAX / job->cols)); /* offsets fit */
    for (int64_t d = 0; d < step; d++) {
        far[d] = (int32_t)(d * job->cols);
        near[d] = (int32_t)(d * k->lanes);
    }
    for (int64_t d = 0; d < job->depth; d += step) {
        part.depth = fc_min(step, job->depth - d);
        part.left = job->left + d * job->left_depth_stride * e;
        const char* right = job->right + (d * job->cols + first) * e;
        if (rest)
            copy_padded(tail, k->lanes * e, right + whole * e, job->cols * e, part.depth,
                        (size_t)(rest * e), (size_t)(k->lanes * e));
        for (int64_t n = 0; n < job->rows; n += k->mr) {
            fc_store out = rows_out;
            out.channels = fc_min(k->mr, job->rows - n);
            char* result = job->result + (n * job->cols + first) * e;
            const int rows = (int)out.channels;
            if (d > 0)
                for (int m = 0; m < rows; m++)
                    memcpy(tile + m * stride * e, result + m * job->cols * e, (size_t)(count * e));
            pack_left(&part, n, rows, packed);
            if (whole)
                k->conv_taps(rows, part.depth, packed, right, far, NULL, d > 0, tile, stride,
                             whole);
            if (rest)
                k->conv_taps(rows, part.depth, packed, tail, near, NULL, d > 0, tile + whole * e,
                             stride, rest);
            k->store_tile(&out, tile, result);
        }
    }
}

/* Blocks of columns: no wider than WIDE, and a few for the sake of threads. */
static int64_t blocks_of(const linear_job* job) {
    return fc_max(fc_ceil_div(job->cols, WIDE), fc_min(4, fc_ceil_div(job->cols, LEAST)));
}

static fc_status taps_task(void* context, int64_t index) {
    const linear_job* job = context;
    const taps_scratch sizes = scratch_of(job);
    char* scratch = fc_workspace(FC_SLOT_TASK, sizes.packed + sizes.tail + sizes.tile);
    if (!scratch) return FC_ERROR_MEMORY;
    const int64_t lanes = job->kernels->lanes; /* cut evenly, in whole vectors */
    const int64_t wide = fc_ceil_div(fc_ceil_div(job->cols, blocks_of(job)), lanes) * lanes;
    const int64_t first = index * wide;
    if (first < job->cols) sum_rows_of_block(job, first, fc_min(wide, job->cols - first), scratch);
    return FC_OK;
}

static double work_of(const linear_job* job) {
    return (double)job->rows * (double)job->depth * (double)job->cols;
}

fc_status fc_linear_forward(const fc_linear* linear, fc_dtype dtype, const void* input,
                            const void* weight, const void* bias, void* output) {
    linear_job job = {.kernels = fc_kernels_for(dtype),
                      .element = (int64_t)fc_dtype_size(dtype),
                      .rows = linear->rows,
                      .depth = linear->in_features,
                      .cols = linear->out_features,
                      .left = input,
                      .right = weight,
                      .bias = bias,
                      .result = output};
    return fc_parallel_for(fc_ceil_div(job.cols, OUTS), work_of(&job), dots_task, &job);
}

fc_status fc_linear_grad_input(const fc_linear* linear, fc_dtype dtype, const void* grad_output,
                               const void* weight, void* grad_input) {
    linear_job job = {.kernels = fc_kernels_for(dtype),
                      .element = (int64_t)fc_dtype_size(dtype),
                      .rows = linear->rows,
                      .depth = linear->out_features,
                      .cols = linear->in_features,
                      .left = grad_output,
                      .left_row_stride = linear->out_features,
                      .left_depth_stride = 1,
                      .right = weight,
                      .result = grad_input};
    return fc_parallel_for(blocks_of(&job), work_of(&job), taps_task, &job);
}

fc_status fc_linear_grad_weight(const fc_linear* linear, fc_dtype dtype, const void* input,
                                const void* grad_output, void* grad_weight) {
    linear_job job = {.kernels = fc_kernels_for(dtype),
                      .element = (int64_t)fc_dtype_size(dtype),
                      .rows = linear->out_features,
                      .depth = linear->rows,
                      .cols = linear->in_features,
                      .left = grad_output,
                      .left_row_stride = 1,
                      .left_depth_stride = linear->out_features,
                      .right = input,
                      .result = grad_weight};
    return fc_parallel_for(blocks_of(&job), work_of(&job), taps_task, &job);
}
