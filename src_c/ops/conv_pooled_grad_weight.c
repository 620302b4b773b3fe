/* The gradients of weight and bias below a max-pool, see conv_pooled.h: every entry adds the
 * window that it came from to its filter's sums, which stay in registers for a plane of maxima.
 *
 * A task owns a slice of the images, with sums of its own; slices follow from the geometry alone
 * and are added up in order, so results are the same bits for any number of threads. */
#include "conv_pooled.h"
#include <string.h>

enum {
    SLICES = 16,
    SLICES_BYTES = 1 << 20, /* of the sums of all */
};

typedef struct {
    const fc_conv2d* conv;
    const fc_max_pool_gradient* pool;
    fc_dtype dtype;
    fc_columns input, filter;
    int64_t window, row, slices; /* row: of sums, with slack */
    size_t columns_bytes, scratch_bytes, offset_bytes, values_bytes, slice_bytes;
    int32_t* table;
    char* sums;
    double* biases; /* [slices][filters] */
    const char *grads, *image;
    char *grad_weight, *grad_bias;
} weight_job;

/* Columns without gaps are worth it where whole vectors would add a quarter to a window. */
static fc_columns columns_of(const fc_conv2d* conv, fc_dtype dtype) {
    const fc_columns whole = fc_columns_of_input(conv, dtype, 0);
    const fc_columns dense = fc_columns_of_input(conv, dtype, 1);
    return 4 * fc_columns_window(&whole, conv) > 5 * fc_columns_window(&dense, conv) ? dense
                                                                                     : whole;
}

/* One image: `sums` of all filters, and of their entries. */
static int add_image(const weight_job* job, int64_t image, char* columns, char* sums,
                     double* biases) {
    const fc_kernels_of_type* kernels = job->input.kernels;
    const int64_t lanes = kernels->lanes, e = job->input.element;
    const int64_t filters = job->conv->out_channels;
    int32_t* offset = (int32_t*)(columns + job->columns_bytes + job->scratch_bytes);
    char* values = (char*)offset + job->offset_bytes;
    const int64_t vectors = job->window / lanes;
    const int64_t chunks = fc_ceil_div(vectors, kernels->pooled.most);
    const fc_entries_kernel entries =
        vectors <= kernels->pooled.few ? kernels->pooled.all : kernels->pooled.entries;
    for (int64_t k = 0; k < filters; k++, sums += job->row * e) {
        const int64_t count = entries(job->pool, image * filters + k, job->grads, job->table,
                                      offset, values, biases + k);
        if (count < 0) return 1;
        for (int64_t i = 0; i < chunks; i++) {
            const int64_t from = i * vectors / chunks * lanes;
            const fc_scaled_rows rows = {
                .count = count,
                .vectors = (int)((i + 1) * vectors / chunks - i * vectors / chunks),
                .offset = offset,
                .value = values};
            kernels->pooled.scaled_rows(&rows, columns + from * e, sums + from * e);
        }
    }
    return 0;
}

static fc_status run_slice(void* context, int64_t slice) {
    const weight_job* job = context;
    const fc_conv2d* conv = job->conv;
    const int64_t e = job->input.element;
    const int64_t size = conv->in_channels * conv->in_size[0] * conv->in_size[1];
    char* columns = fc_workspace(FC_SLOT_TASK, job->columns_bytes + job->scratch_bytes +
                                                   job->offset_bytes + job->values_bytes);
    if (!columns) return FC_ERROR_MEMORY;
    char* sums = job->sums + slice * (int64_t)job->slice_bytes;
    double* biases = job->biases + slice * conv->out_channels;
    memset(sums, 0, job->slice_bytes);
    memset(biases, 0, (size_t)conv->out_channels * sizeof *biases);
    /* the last window reads on into the slack, which sums of its own lanes leave aside */
    memset(columns + (fc_columns_elements(&job->input) - 2 * job->input.kernels->lanes) * e, 0,
           (size_t)(2 * job->input.kernels->lanes * e));
    const int64_t last = (slice + 1) * conv->batch / job->slices;
    for (int64_t i = slice * conv->batch / job->slices; i < last; i++) {
        fc_columns_fill(&job->input, job->image + i * size * e, (conv->batch - i) * size,
                        columns + job->columns_bytes, columns);
        if (add_image(job, i, columns, sums, biases)) return FC_ERROR_INDEX;
    }
    return FC_OK;
}

/* Adds up the slices of one filter, and puts its columns into the weight's order. */
static fc_status finish(void* context, int64_t k) {
    const weight_job* job = context;
    const int64_t e = job->input.element, filters = job->conv->out_channels;
    const int64_t size = job->input.channels * job->filter.size[0] * job->filter.size[1];
    char* scratch = fc_workspace(FC_SLOT_TASK, job->scratch_bytes);
    if (!scratch) return FC_ERROR_MEMORY;
    char* total = job->sums + k * job->row * e;
    const fc_gemm_finish add = {.rows = 1, .columns = job->window};
    double bias = job->biases[k];
    for (int64_t i = 1; i < job->slices; i++) {
        job->input.kernels->gemm_finish(&add, total + i * (int64_t)job->slice_bytes, total, total);
        bias += job->biases[i * filters + k];
    }
    fc_columns_fold(&job->filter, total, scratch, job->grad_weight + k * size * e);
    if (!job->grad_bias) return FC_OK;
    if (job->dtype == FC_FLOAT32)
        ((float*)job->grad_bias)[k] = (float)bias;
    else
        ((double*)job->grad_bias)[k] = bias;
    return FC_OK;
}

static weight_job plan_job(const fc_conv2d* conv, const fc_max_pool_gradient* pool,
                           fc_dtype dtype) {
    weight_job job = {.conv = conv, .pool = pool, .dtype = dtype, .input = columns_of(conv, dtype)};
    const size_t e = (size_t)job.input.element;
    const int64_t lanes = job.input.kernels->lanes;
    job.filter = fc_columns_of_filter(&job.input, conv);
    job.window = fc_columns_window(&job.input, conv);
    job.columns_bytes = fc_align((size_t)fc_columns_elements(&job.input) * e);
    job.scratch_bytes = fc_align(
        (size_t)fc_max(fc_columns_scratch(&job.input), fc_columns_scratch(&job.filter)) * e);
    job.offset_bytes = fc_align((size_t)pool->out_area * sizeof(int32_t));
    job.values_bytes = fc_align((size_t)(pool->out_area + lanes) * e);
    job.row = job.window + lanes; /* folding a filter reads on for a vector */
    job.slice_bytes = fc_align((size_t)(conv->out_channels * job.row) * e);
    job.slices = SLICES; /* halved, so that they are even for two threads, four, ... */
    while (job.slices > 1 &&
           (job.slices * (int64_t)job.slice_bytes > SLICES_BYTES || job.slices > conv->batch))
        job.slices /= 2;
    return job;
}

fc_status fc_conv2d_pooled_grad_weight(const fc_conv2d* conv, const fc_max_pool_gradient* pool,
                                       fc_dtype dtype, const void* input, const void* grad_maxima,
                                       void* grad_weight, void* grad_bias) {
    if (!fc_conv2d_pooled_can(conv, dtype, pool->out_area)) return FC_ERROR_ARGUMENT;
    weight_job job = plan_job(conv, pool, dtype);
    const size_t table = fc_align((size_t)pool->in_area * sizeof(int32_t));
    const size_t biases = fc_align((size_t)(job.slices * conv->out_channels) * sizeof(double));
    char* shared =
        fc_workspace(FC_SLOT_SHARED, 2 * table + biases + (size_t)job.slices * job.slice_bytes);
    if (!shared) return FC_ERROR_MEMORY;
    job.table = (int32_t*)shared;
    job.biases = (double*)(shared + 2 * table);
    job.sums = shared + 2 * table + biases;
    job.image = input;
    job.grads = grad_maxima;
    job.grad_weight = grad_weight;
    job.grad_bias = grad_bias;
    fc_columns_table(&job.input, conv, job.table);
    if (pool->places) {
        int32_t* by_windows = (int32_t*)(shared + table);
        fc_columns_by_windows(conv, job.table, by_windows);
        job.table = by_windows;
    }
    const double size = (double)conv->out_channels * (double)job.window;
    fc_status status = fc_parallel_for(
        job.slices, (double)conv->batch * (double)pool->out_area * size, run_slice, &job);
    if (status == FC_OK)
        status = fc_parallel_for(conv->out_channels, (double)job.slices * size, finish, &job);
    fc_workspace_trim();
    return status;
}
