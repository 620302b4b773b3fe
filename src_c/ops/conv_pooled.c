/* Gradients below a max-pool, see conv_pooled.h: where they pay, and the gradient of the input. */
#include "conv_pooled.h"
#include <string.h>

enum {
    COLUMNS_BYTES = 512 << 10, /* of an image: with all else they stay in L2 */
    FILTERS_BYTES = 512 << 10,
    ENTRIES_BYTES = 512 << 10, /* of an image */
    CHUNK_BYTES = 40 << 10,    /* of all filters, while entries pass by: most of L1 */
    LEAST_CHUNK = 4,           /* vectors */
    /* what takes as long as ten vector FMAs of a product: */
    ENTRY = 80,   /* an entry, */
    VECTOR = 13,  /* each vector of its window, */
    PRODUCT = 15, /* a vector of a product as the engines do them, */
    ELEMENT = 10, /* writing and reading an element of the gradient that is not written here */
};

int fc_conv2d_pooled_can(const fc_conv2d* conv, fc_dtype dtype, int64_t maxima) {
    if (conv->in_layout != FC_NCHW || conv->out_layout != FC_NCHW || conv->groups != 1 ||
        conv->dilation[1] != 1 || conv->kernel_size[0] > FC_POOLED_ROWS || maxima < 1)
        return 0;
    const fc_columns c = fc_columns_of_input(conv, dtype, 0);
    const double e = (double)c.element, filters = (double)conv->out_channels;
    return (double)fc_columns_elements(&c) * e <= COLUMNS_BYTES &&
           (double)fc_columns_scratch(&c) * e <= COLUMNS_BYTES &&
           (double)fc_columns_window(&c, conv) * filters * e <= FILTERS_BYTES &&
           (double)maxima * filters * 2 * e <= ENTRIES_BYTES;
}

int fc_conv2d_pooled_pays(const fc_conv2d* conv, fc_dtype dtype, int64_t maxima) {
    if (!fc_conv2d_pooled_can(conv, dtype, maxima)) return 0;
    const fc_columns c = fc_columns_of_input(conv, dtype, 0);
    const int64_t lanes = c.kernels->lanes, area = conv->out_size[0] * conv->out_size[1];
    const int64_t taps = conv->in_channels * conv->kernel_size[0] * conv->kernel_size[1];
    const int64_t vectors = fc_ceil_div(taps, lanes);
    return maxima * (ENTRY + VECTOR * vectors) < area * (PRODUCT * taps / lanes + ELEMENT);
}

typedef struct {
    const fc_conv2d* conv;
    const fc_max_pool_gradient* pool;
    fc_columns input, filter;
    int64_t window, room; /* room: of a plane's entries */
    size_t columns_bytes, scratch_bytes, end_bytes, count_bytes, offset_bytes, values_bytes;
    int32_t *table, *places; /* of places: where their windows start; 0, 1, ... or by windows */
    char* filters;
    const char *grads, *weight;
    char* grad_input;
} input_job;

static fc_status pack_filter(void* context, int64_t k) {
    const input_job* job = context;
    const int64_t e = job->input.element;
    const int64_t size = job->input.channels * job->filter.size[0] * job->filter.size[1];
    char* scratch = fc_workspace(FC_SLOT_TASK, job->scratch_bytes + job->columns_bytes);
    if (!scratch) return FC_ERROR_MEMORY;
    char* columns = scratch + job->scratch_bytes;
    fc_columns_fill(&job->filter, job->weight + k * size * e, (job->conv->out_channels - k) * size,
                    scratch, columns);
    memcpy(job->filters + k * job->window * e, columns, (size_t)(job->window * e));
    return FC_OK;
}

/* Entries of an image by place, in what follows `columns` and the scratch. */
typedef struct {
    int32_t *end, *offset;
    char* values;
} sorted_entries;

static fc_status sort_entries(const input_job* job, int64_t image, char* memory,
                              sorted_entries* sorted) {
    const fc_pooled_kernels* kernels = &job->input.kernels->pooled;
    const int64_t e = job->input.element, filters = job->conv->out_channels;
    const int64_t room = job->room;
    int32_t* count = (int32_t*)(memory + job->end_bytes);
    int32_t* place = (int32_t*)((char*)count + job->count_bytes);
    char* value = (char*)place + job->offset_bytes;
    sorted->end = (int32_t*)memory;
    sorted->offset = (int32_t*)(value + job->values_bytes);
    sorted->values = (char*)sorted->offset + job->offset_bytes;
    double sum = 0; /* the bias's, which comes with the weight's */
    for (int64_t k = 0; k < filters; k++) {
        const int64_t found =
            kernels->entries(job->pool, image * filters + k, job->grads, job->places,
                             place + k * room, value + k * room * e, &sum);
        if (found < 0) return FC_ERROR_INDEX;
        count[k] = (int32_t)found;
    }
    const fc_entry_lists lists = {.planes = filters,
                                  .places = job->pool->in_area,
                                  .room = room,
                                  .pitch = job->window,
                                  .count = count,
                                  .place = place,
                                  .value = value};
    kernels->sort(&lists, sorted->end, sorted->offset, sorted->values);
    return FC_OK;
}

/* All entries of an image, place by place, and a chunk of the filters at a time. */
static fc_status run_image(void* context, int64_t image) {
    const input_job* job = context;
    const fc_conv2d* conv = job->conv;
    const fc_kernels_of_type* kernels = job->input.kernels;
    const int64_t e = job->input.element, lanes = kernels->lanes, filters = conv->out_channels;
    char* columns = fc_workspace(FC_SLOT_TASK, job->columns_bytes + job->scratch_bytes +
                                                   job->end_bytes + job->count_bytes +
                                                   2 * (job->offset_bytes + job->values_bytes));
    if (!columns) return FC_ERROR_MEMORY;
    char* scratch = columns + job->columns_bytes;
    sorted_entries sorted;
    const fc_status status = sort_entries(job, image, scratch + job->scratch_bytes, &sorted);
    if (status != FC_OK) return status;
    memset(columns, 0, job->columns_bytes);
    const int64_t vectors = job->window / lanes;
    const int64_t most = fc_max(LEAST_CHUNK, CHUNK_BYTES / (filters * lanes * e));
    const int64_t chunks = fc_ceil_div(vectors, fc_min(most, kernels->pooled.most));
    for (int64_t i = 0; i < chunks; i++) {
        const int64_t from = i * vectors / chunks;
        fc_scaled_rows rows = {.vectors = (int)((i + 1) * vectors / chunks - from)};
        for (int64_t p = 0, start = 0; p < job->pool->in_area; start = sorted.end[p++]) {
            rows.count = sorted.end[p] - start;
            if (rows.count == 0) continue;
            rows.offset = sorted.offset + start;
            rows.value = sorted.values + start * e;
            kernels->pooled.scaled_rows(&rows, job->filters + from * lanes * e,
                                        columns + (job->table[p] + from * lanes) * e);
        }
    }
    const int64_t size = conv->in_channels * conv->in_size[0] * conv->in_size[1];
    fc_columns_fold(&job->input, columns, scratch, job->grad_input + image * size * e);
    return FC_OK;
}

static input_job plan_job(const fc_conv2d* conv, const fc_max_pool_gradient* pool, fc_dtype dtype) {
    input_job job = {.conv = conv, .pool = pool, .input = fc_columns_of_input(conv, dtype, 0)};
    const size_t e = (size_t)job.input.element;
    job.room = pool->out_area + job.input.kernels->lanes;
    const int64_t entries = conv->out_channels * job.room;
    job.filter = fc_columns_of_filter(&job.input, conv);
    job.window = fc_columns_window(&job.input, conv);
    job.columns_bytes = fc_align((size_t)fc_columns_elements(&job.input) * e);
    job.scratch_bytes = fc_align((size_t)fc_columns_scratch(&job.input) * e);
    job.end_bytes = fc_align((size_t)pool->in_area * sizeof(int32_t));
    job.count_bytes = fc_align((size_t)conv->out_channels * sizeof(int32_t));
    job.offset_bytes = fc_align((size_t)entries * sizeof(int32_t));
    job.values_bytes = fc_align((size_t)entries * e);
    return job;
}

fc_status fc_conv2d_pooled_grad_input(const fc_conv2d* conv, const fc_max_pool_gradient* pool,
                                      fc_dtype dtype, const void* grad_maxima, const void* weight,
                                      void* grad_input) {
    if (!fc_conv2d_pooled_can(conv, dtype, pool->out_area)) return FC_ERROR_ARGUMENT;
    input_job job = plan_job(conv, pool, dtype);
    const int64_t filters = conv->out_channels, size = filters * job.window;
    char* shared =
        fc_workspace(FC_SLOT_SHARED, 3 * job.end_bytes + (size_t)size * (size_t)job.input.element);
    if (!shared) return FC_ERROR_MEMORY;
    job.table = (int32_t*)shared;
    job.places = (int32_t*)(shared + job.end_bytes);
    job.filters = shared + 3 * job.end_bytes;
    job.grads = grad_maxima;
    job.weight = weight;
    job.grad_input = grad_input;
    fc_columns_table(&job.input, conv, job.table);
    for (int64_t p = 0; p < pool->in_area; p++) job.places[p] = (int32_t)p;
    if (pool->places) {
        int32_t* by_windows = (int32_t*)(shared + 2 * job.end_bytes);
        fc_columns_by_windows(conv, job.places, by_windows);
        job.places = by_windows;
    }
    fc_status status = fc_parallel_for(filters, (double)size, pack_filter, &job);
    const double work = (double)conv->batch * (double)(pool->out_area * size);
    if (status == FC_OK) status = fc_parallel_for(conv->batch, work, run_image, &job);
    fc_workspace_trim();
    return status;
}
