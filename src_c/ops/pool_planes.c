/* Pooling over filled planes: any stride, dilation and padding. Fill a block's planes, take the
 * taps, store the tile. */
#include <math.h>
#include "pool_job.h"
#include "pool_plan.h"

typedef struct {
    const fc_pool_job* job;
    fc_pool_plan plan;
    int64_t units, units_a_task; /* a unit: one block of one plane */
} planes_job;

/* A task's pieces of scratch. */
typedef struct {
    void *planes, *tile, *places;
    int64_t *offset, *place, *phase;
    void *by_row, *by_col; /* 8 bytes each: first cells (int64_t) or counts (double) */
} pool_scratch;

/* Hand out the pieces, or (block NULL) only count: returns the bytes. */
static size_t carve(const planes_job* whole, char* block, pool_scratch* scratch) {
    const fc_pool_job* job = whole->job;
    const fc_pool_plan* plan = &whole->plan;
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

static void store(const planes_job* whole, const fc_pool_part* block, const pool_scratch* s,
                  int64_t plane) {
    const fc_pool_job* job = whole->job;
    const fc_pool2d* pool = job->pool;
    const int64_t at =
        (plane * pool->output[0] + block->first[0]) * pool->output[1] + block->first[1];
    fc_pool_store to = {.rows = block->count[0],
                        .cols = block->count[1],
                        .tile_cols = whole->plan.cols,
                        .out_cols = pool->output[1]};
    for (int axis = 0; axis < 2; axis++)
        for (int64_t i = 0; i < block->count[axis]; i++) {
            void* table = axis == 0 ? s->by_row : s->by_col;
            const int64_t output = block->first[axis] + i;
            if (job->mode == FC_POOL_AVERAGE)
                ((double*)table)[i] = fc_pool_count(job->counted, axis, output);
            else
                ((int64_t*)table)[i] =
                    first_inside(pool, axis, output) * (axis == 0 ? pool->input[1] : 1);
        }
    if (job->mode == FC_POOL_AVERAGE) {
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
static void pool_block(const planes_job* whole, const fc_pool_part* block, const pool_scratch* s,
                       int64_t plane, int fresh) {
    const fc_pool_job* job = whole->job;
    const fc_pool2d* pool = job->pool;
    fc_pool_taps taps = {.pixels = block->count[0] * whole->plan.cols,
                         .offset = s->offset,
                         .place = s->place,
                         .first = 1};
    const int average = job->mode == FC_POOL_AVERAGE;
    const fc_pool_kernel take = average ? job->kernels->sum_taps : job->kernels->max_taps;
    const int one_group =
        whole->plan.group[0] == pool->kernel[0] && whole->plan.group[1] == pool->kernel[1];
    fc_pool_part group;
    for (group.first[0] = 0; group.first[0] < pool->kernel[0];
         group.first[0] += whole->plan.group[0])
        for (group.first[1] = 0; group.first[1] < pool->kernel[1];
             group.first[1] += whole->plan.group[1], taps.first = 0) {
            for (int axis = 0; axis < 2; axis++)
                group.count[axis] =
                    fc_min(whole->plan.group[axis], pool->kernel[axis] - group.first[axis]);
            taps.taps = group.count[0] * group.count[1];
            if (fresh || !one_group) fc_pool_tap_tables(&whole->plan, &group, s->offset, s->place);
            fc_planes planes = fc_pool_planes(&whole->plan, block, &group, s->phase);
            planes.outside = average ? 0 : -INFINITY;
            job->kernels->fill_planes(&planes, fc_pool_image(job, plane), s->planes);
            take(&taps, s->planes, s->tile, s->places);
        }
    store(whole, block, s, plane);
}

static fc_status run(void* context, int64_t index) {
    const planes_job* whole = context;
    const int64_t blocks = whole->plan.blocks[0] * whole->plan.blocks[1];
    const int64_t first = index * whole->units_a_task;
    const int64_t last = fc_min(first + whole->units_a_task, whole->units);
    pool_scratch scratch;
    char* block = fc_workspace(FC_SLOT_TASK, carve(whole, NULL, &scratch));
    if (!block) return FC_ERROR_MEMORY;
    carve(whole, block, &scratch);
    for (int64_t unit = first; unit < last; unit++) {
        const fc_pool_part part = fc_pool_block(&whole->plan, unit % blocks);
        pool_block(whole, &part, &scratch, unit / blocks, unit == first);
    }
    return FC_OK;
}

fc_status fc_pool_by_planes(const fc_pool_job* job) {
    const fc_pool2d* pool = job->pool;
    planes_job whole = {.job = job,
                        .plan = fc_pool_plan_of(pool, job->element, job->kernels->lanes)};
    const int64_t blocks = whole.plan.blocks[0] * whole.plan.blocks[1];
    const int64_t area = pool->input[0] * pool->input[1];
    whole.units = pool->planes * blocks;
    whole.units_a_task = fc_max(1, FC_POOL_RUN * blocks / area);
    return fc_parallel_for(fc_ceil_div(whole.units, whole.units_a_task), job->work, run, &whole);
}
