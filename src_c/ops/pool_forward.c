/* Max and average pooling forward: fill a block's planes, take the taps, store the tile. */
#include <math.h>
#include "pool_plan.h"

enum { RUN = 1 << 14 }; /* input elements a task, at least */

typedef struct {
    const fc_kernels_of_type* kernels;
    fc_pool_plan plan;
    size_t element;
    int average;
    int64_t units, units_a_task; /* a unit: one block of one plane */
    const char* input;
    char* output;
    int64_t* indices;
} pool_job;

/* A task's pieces of scratch. */
typedef struct {
    void *planes, *tile, *places;
    int64_t *offset, *place, *phase;
    void *by_row, *by_col; /* 8 bytes each: first cells (int64_t) or counts (double) */
} pool_scratch;

/* Hand out the pieces, or (block NULL) only count: returns the bytes. */
static size_t carve(const pool_job* job, char* block, pool_scratch* scratch) {
    const fc_pool_plan* plan = &job->plan;
    const size_t tile = (size_t)fc_pool_tile_elements(plan) * job->element;
    const size_t taps = (size_t)(plan->group[0] * plan->group[1]) * sizeof(int64_t);
    const size_t bytes[] = {(size_t)fc_pool_plane_elements(plan) * job->element,
                            tile,
                            job->indices ? tile : 0,
                            taps,
                            taps,
                            (size_t)(plan->phases[0] + plan->phases[1]) * sizeof(int64_t),
                            (size_t)plan->block[0] * 8,
                            (size_t)plan->block[1] * 8};
    void** piece[] = {&scratch->planes,         &scratch->tile,          &scratch->places,
                      (void**)&scratch->offset, (void**)&scratch->place, (void**)&scratch->phase,
                      &scratch->by_row,         &scratch->by_col};
    size_t total = 0;
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        if (block) *piece[i] = bytes[i] ? block + total : NULL;
        total += fc_align(bytes[i]);
    }
    return total;
}

/* Place of the first cell inside the input, for the windows of one output row or column. */
static int64_t first_inside(const fc_pool2d* pool, int axis, int64_t output) {
    const int64_t before = pool->padding[axis] - output * pool->stride[axis];
    const int64_t d = pool->dilation[axis];
    return before > 0 ? fc_ceil_div(before, d) * d : 0;
}

static void store(const pool_job* job, const fc_pool_part* block, const pool_scratch* s,
                  int64_t plane) {
    const fc_pool2d* pool = job->plan.pool;
    const int64_t at =
        (plane * pool->output[0] + block->first[0]) * pool->output[1] + block->first[1];
    fc_pool_store to = {.rows = block->count[0],
                        .cols = block->count[1],
                        .tile_cols = job->plan.cols,
                        .out_cols = pool->output[1]};
    for (int axis = 0; axis < 2; axis++)
        for (int64_t i = 0; i < block->count[axis]; i++) {
            void* table = axis == 0 ? s->by_row : s->by_col;
            const int64_t output = block->first[axis] + i;
            if (job->average)
                ((double*)table)[i] = fc_pool_count(pool, axis, output);
            else
                ((int64_t*)table)[i] =
                    first_inside(pool, axis, output) * (axis == 0 ? pool->input[1] : 1);
        }
    if (job->average) {
        to.row_count = s->by_row;
        to.col_count = s->by_col;
        job->kernels->average_store(&to, s->tile, job->output + (size_t)at * job->element);
        return;
    }
    to.row_first = s->by_row;
    to.col_first = s->by_col;
    to.row_step = pool->stride[0] * pool->input[1];
    to.col_step = pool->stride[1];
    to.base = (block->first[0] * pool->stride[0] - pool->padding[0]) * pool->input[1] +
              block->first[1] * pool->stride[1] - pool->padding[1];
    job->kernels->max_store(&to, s->tile, s->places, job->output + (size_t)at * job->element,
                            job->indices ? job->indices + at : NULL);
}

/* All taps of one block of one plane, group by group. */
static void pool_block(const pool_job* job, const fc_pool_part* block, const pool_scratch* s,
                       int64_t plane, int fresh) {
    const fc_pool2d* pool = job->plan.pool;
    const char* image =
        job->input + (size_t)(plane * pool->input[0] * pool->input[1]) * job->element;
    fc_pool_taps taps = {.pixels = block->count[0] * job->plan.cols,
                         .offset = s->offset,
                         .place = s->place,
                         .first = 1};
    const int one_group =
        job->plan.group[0] == pool->kernel[0] && job->plan.group[1] == pool->kernel[1];
    fc_pool_part group;
    for (group.first[0] = 0; group.first[0] < pool->kernel[0]; group.first[0] += job->plan.group[0])
        for (group.first[1] = 0; group.first[1] < pool->kernel[1];
             group.first[1] += job->plan.group[1], taps.first = 0) {
            for (int axis = 0; axis < 2; axis++)
                group.count[axis] =
                    fc_min(job->plan.group[axis], pool->kernel[axis] - group.first[axis]);
            taps.taps = group.count[0] * group.count[1];
            if (fresh || !one_group) fc_pool_tap_tables(&job->plan, &group, s->offset, s->place);
            fc_planes planes = fc_pool_planes(&job->plan, block, &group, s->phase);
            planes.outside = job->average ? 0 : -INFINITY;
            job->kernels->fill_planes(&planes, image, s->planes);
            (job->average ? job->kernels->sum_taps : job->kernels->max_taps)(&taps, s->planes,
                                                                             s->tile, s->places);
        }
    store(job, block, s, plane);
}

static fc_status run(void* context, int64_t index) {
    const pool_job* job = context;
    const int64_t blocks = job->plan.blocks[0] * job->plan.blocks[1];
    const int64_t first = index * job->units_a_task;
    const int64_t last = fc_min(first + job->units_a_task, job->units);
    pool_scratch scratch;
    char* block = fc_workspace(FC_SLOT_TASK, carve(job, NULL, &scratch));
    if (!block) return FC_ERROR_MEMORY;
    carve(job, block, &scratch);
    for (int64_t unit = first; unit < last; unit++) {
        const fc_pool_part part = fc_pool_block(&job->plan, unit % blocks);
        pool_block(job, &part, &scratch, unit / blocks, unit == first);
    }
    return FC_OK;
}

/* Windows whose places do not fit 32-bit lanes: one output row a task, cell by cell. */
static fc_status run_plain(void* context, int64_t index) {
    const pool_job* job = context;
    const fc_pool2d* pool = job->plan.pool;
    const int64_t plane = index / pool->output[0], row = index % pool->output[0];
    const int64_t at = index * pool->output[1];
    const size_t image = (size_t)(plane * pool->input[0] * pool->input[1]) * job->element;
    job->kernels->max_row_plain(pool, row, job->input + image,
                                job->output + (size_t)at * job->element,
                                job->indices ? job->indices + at : NULL);
    return FC_OK;
}

/* One window that covers its whole plane: mean_planes needs no scratch. */
static fc_status run_mean(void* context, int64_t index) {
    const pool_job* job = context;
    const fc_pool2d* pool = job->plan.pool;
    const int64_t area = pool->input[0] * pool->input[1], first = index * job->units_a_task;
    const int64_t count = fc_min(job->units_a_task, pool->planes - first);
    job->kernels->mean_planes(count, area, fc_pool_count(pool, 0, 0) * fc_pool_count(pool, 1, 0),
                              job->input + (size_t)(first * area) * job->element,
                              job->output + (size_t)first * job->element);
    return FC_OK;
}

static int covers_plane(const fc_pool2d* pool) {
    return pool->kernel[0] == pool->input[0] && pool->kernel[1] == pool->input[1] &&
           pool->padding[0] == 0 && pool->padding[1] == 0;
}

static fc_status run_all(pool_job job, const fc_pool2d* pool, fc_dtype dtype) {
    job.kernels = fc_kernels_for(dtype);
    job.element = fc_dtype_size(dtype);
    job.plan = fc_pool_plan_of(pool, job.element, job.kernels->lanes);
    const int64_t outputs = pool->output[0] * pool->output[1];
    const int64_t area = pool->input[0] * pool->input[1];
    const double taps = (double)pool->kernel[0] * (double)pool->kernel[1];
    const double work = (double)pool->planes * ((double)area * 2 + (double)outputs * taps);
    if (job.average && covers_plane(pool)) {
        job.units_a_task = fc_max(1, RUN / fc_max(1, area));
        return fc_parallel_for(fc_ceil_div(pool->planes, job.units_a_task), work, run_mean, &job);
    }
    const double reach =
        (double)(pool->kernel[0] - 1) * (double)pool->dilation[0] * (double)pool->input[1] +
        (double)(pool->kernel[1] - 1) * (double)pool->dilation[1];
    if (job.indices && dtype == FC_FLOAT32 && reach >= INT32_MAX)
        return fc_parallel_for(pool->planes * pool->output[0], work, run_plain, &job);
    const int64_t blocks = job.plan.blocks[0] * job.plan.blocks[1];
    job.units = pool->planes * blocks;
    job.units_a_task = fc_max(1, RUN * blocks / fc_max(1, area));
    return fc_parallel_for(fc_ceil_div(job.units, job.units_a_task), work, run, &job);
}

fc_status fc_max_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                void* output, int64_t* indices) {
    return run_all((pool_job){.input = input, .output = output, .indices = indices}, pool, dtype);
}

fc_status fc_avg_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                void* output) {
    return run_all((pool_job){.average = 1, .input = input, .output = output}, pool, dtype);
}
