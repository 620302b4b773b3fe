/* 1x1 convolutions of planar images, forward and grad_input: lanes = pixels.
 *
 * Pixels of a plane are adjacent already, so nothing is transposed on either side: rows of the
 * weight (its columns, for grad_input) are broadcast from where they lie, and results are rows of
 * the output. A task copies the pixels of its block, a run of each channel's plane, so that the
 * products of all its results read them from the near cache. */
#include "conv_implicit_gemm.h"
#include <string.h>

enum {
    BLOCK_BYTES = 384 << 10, /* copied pixels of a task */
    MOST_PIXELS = 512,
    DEPTH = 512,
    TASKS_PER_THREAD = 3,
};

typedef struct {
    fc_implicit problem;
    int64_t area;           /* pixels of a plane */
    int64_t pixels, blocks; /* of a block; blocks of a plane */
    int64_t pitch; /* from one channel's copied pixels to the next: an odd number of vectors */
    int64_t rows, parts;             /* results of a call; shares of the results */
    int64_t weight_row, weight_step; /* from one result, one reduced channel to the next */
    fc_gemm_kernel multiply;
    double work;
    size_t block_bytes, sums_bytes;
    const char *source, *weight, *bias;
    char* target;
    int relu;
} pointwise_job;

int fc_is_pointwise(const fc_conv2d* conv) {
    int plain = 1;
    for (int axis = 0; axis < 2; axis++)
        plain &= conv->kernel_size[axis] == 1 && conv->stride[axis] == 1 &&
                 conv->padding[axis] == 0 && conv->in_size[axis] == conv->out_size[axis];
    return plain;
}

int fc_pointwise_pays(const fc_conv2d* conv, fc_dtype dtype) {
    const int64_t lanes = fc_kernels_for(dtype)->lanes;
    const int64_t area = conv->in_size[0] * conv->in_size[1];
    const int is_plain =
        fc_is_pointwise(conv) && conv->in_layout == FC_NCHW && conv->out_layout == FC_NCHW;
    /* lanes that the last vector of a plane may lose */
    return is_plain && 10 * fc_ceil_div(area, lanes) * lanes <= 11 * area;
}

static void make_plan(pointwise_job* job) {
    const fc_implicit* p = &job->problem;
    const fc_conv2d* conv = p->conv;
    const int64_t lanes = p->kernels->lanes, pair = p->kernels->gemm_nv * lanes;
    job->area = conv->in_size[0] * conv->in_size[1];
    const int64_t fit = BLOCK_BYTES / (p->reduced * p->element);
    const int64_t most = fc_max(pair, fc_min(MOST_PIXELS, fit) / pair * pair);
    job->pixels = fc_ceil_div(fc_ceil_div(job->area, fc_ceil_div(job->area, most)), pair) * pair;
    job->blocks = fc_ceil_div(job->area, job->pixels);
    job->pitch = (fc_ceil_div(fc_min(job->pixels, job->area), lanes) | 1) * lanes;
    job->rows = fc_ceil_div(p->results, fc_ceil_div(p->results, p->kernels->gemm_mr));
    job->work =
        (double)(conv->batch * job->area * conv->groups) * (double)p->reduced * (double)p->results;
    const int64_t threads = fc_threads_for(job->work);
    const int64_t wanted = threads > 1 ? TASKS_PER_THREAD * threads : 1;
    const int64_t places = conv->batch * conv->groups * job->blocks;
    job->parts = fc_min(fc_ceil_div(p->results, job->rows), fc_ceil_div(wanted, places));
    job->block_bytes = fc_align((size_t)(p->reduced * job->pitch * p->element));
    job->sums_bytes = fc_align((size_t)(job->rows * job->pitch * p->element));
}

static void copy_block(const pointwise_job* job, const char* from, int64_t pixels, char* to) {
    const fc_implicit* p = &job->problem;
    const size_t run = (size_t)(pixels * p->element);
    const int64_t end = fc_ceil_div(pixels, p->kernels->lanes) * p->kernels->lanes;
    for (int64_t c = 0; c < p->reduced; c++) {
        char* row = to + c * job->pitch * p->element;
        memcpy(row, from + c * job->area * p->element, run);
        memset(row + run, 0, (size_t)((end - pixels) * p->element));
    }
}

static void start_sums(const pointwise_job* job, int64_t row, int64_t rows, char* sums) {
    const fc_implicit* p = &job->problem;
    const int64_t size = job->pitch;
    for (int64_t r = 0; r < rows; r++)
        if (p->element == 4)
            for (int64_t i = 0; i < size; i++)
                ((float*)sums)[r * size + i] = ((const float*)job->bias)[row + r];
        else
            for (int64_t i = 0; i < size; i++)
                ((double*)sums)[r * size + i] = ((const double*)job->bias)[row + r];
}

/* Results [row, row + rows) of a group, for all pixels of a block. */
static void multiply_rows(const pointwise_job* job, const char* weight, int64_t rows,
                          int64_t pixels, const char* block, fc_gemm_panel* panel, char* c) {
    const fc_implicit* p = &job->problem;
    const int64_t lanes = p->kernels->lanes, pair = p->kernels->gemm_nv * lanes;
    const int accumulate = panel->accumulate;
    const int64_t chunks = fc_ceil_div(p->reduced, DEPTH);
    for (int64_t q = 0; q < pixels; q += pair)
        for (int64_t i = 0; i < chunks; i++) {
            const int64_t first = i * p->reduced / chunks;
            panel->depth = (i + 1) * p->reduced / chunks - first;
            panel->accumulate = accumulate || i > 0;
            job->multiply(panel, rows, pixels - q > lanes ? 2 : 1,
                          weight + first * job->weight_step * p->element,
                          block + (first * job->pitch + q) * p->element, c + q * p->element);
        }
    panel->accumulate = accumulate;
}

static fc_status run_block(void* context, int64_t index) {
    const pointwise_job* job = context;
    const fc_implicit* p = &job->problem;
    char* block = fc_workspace(FC_SLOT_TASK, job->block_bytes + job->sums_bytes);
    if (!block) return FC_ERROR_MEMORY;
    char* sums = block + job->block_bytes;
    const int64_t part = index % job->parts;
    index /= job->parts;
    const int64_t first = index % job->blocks * job->pixels;
    index /= job->blocks;
    const int64_t group = index % p->groups, image = index / p->groups;
    const int64_t pixels = fc_min(job->pixels, job->area - first);
    const int64_t source = (image * p->groups + group) * p->reduced * job->area + first;
    copy_block(job, job->source + source * p->element, pixels, block);

    static const int64_t zero = 0;
    const int is_direct = !job->bias && !job->relu && pixels % p->kernels->lanes == 0;
    const int64_t calls = fc_ceil_div(p->results, job->rows);
    for (int64_t i = part * calls / job->parts; i < (part + 1) * calls / job->parts; i++) {
        const int64_t row = i * p->results / calls, rows = (i + 1) * p->results / calls - row;
        const int64_t result = group * p->results + row;
        const int64_t to = ((image * p->groups * p->results + result) * job->area + first);
        const int64_t weight = group * p->weight_group + row * job->weight_row;
        char* target = job->target + to * p->element;
        fc_gemm_panel panel = {.a_row = job->weight_row,
                               .a_depth = job->weight_step,
                               .segments = 1,
                               .a_segment = &zero,
                               .b_depth = job->pitch,
                               .b_vector = p->kernels->lanes,
                               .c_row = is_direct ? job->area : job->pitch,
                               .c_vector = p->kernels->lanes,
                               .accumulate = job->bias != NULL};
        if (job->bias) start_sums(job, result, rows, sums);
        multiply_rows(job, job->weight + weight * p->element, rows, pixels, block, &panel,
                      is_direct ? target : sums);
        if (is_direct) continue;
        const fc_store store = {.channels = rows,
                                .rows = 1,
                                .cols = pixels,
                                .tile_stride = job->pitch,
                                .tile_cols = job->pitch,
                                .channel_stride = job->area,
                                .row_stride = job->area,
                                .col_stride = 1,
                                .relu = job->relu};
        p->kernels->store_tile(&store, sums, target);
    }
    return FC_OK;
}

static void start_job(pointwise_job* job) {
    const fc_implicit* p = &job->problem;
    /* of the two strides of a 1x1 weight one is 1: rows or columns of the matrix */
    job->weight_row = p->weight_result;
    job->weight_step = p->weight_reduced;
    job->multiply = p->weight_reduced == 1 ? p->kernels->gemm_by_rows : p->kernels->gemm_by_columns;
    make_plan(job);
}

fc_status fc_pointwise_run(const fc_implicit* problem, const void* weight, const void* bias,
                           int relu) {
    pointwise_job job = {.problem = *problem,
                         .source = problem->source.data,
                         .weight = weight,
                         .bias = bias,
                         .target = problem->target.data,
                         .relu = relu};
    start_job(&job);
    const int64_t places = problem->source.batch * problem->groups * job.blocks;
    return fc_parallel_for(places * job.parts, job.work, run_block, &job);
}

int64_t fc_pointwise_workspace(const fc_implicit* problem) {
    pointwise_job job = {.problem = *problem};
    start_job(&job);
    return (int64_t)(job.block_bytes + job.sums_bytes);
}
