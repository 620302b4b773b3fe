/* Pooling straight from rows of the image: undilated windows, stride 1 or 2 along the row. Where a
 * window reaches into padding, or a vector would reach past the input's end, the rows are first
 * copied between columns of padding. */
#include <math.h>
#include "pool_job.h"

enum {
    ROW_BYTES = 64 << 10
}; /* the rows of one window, padded, at most: they stay in an L1 or L2 */

typedef struct {
    const fc_pool_job* job;
    fc_pool_rows rows;           /* of a whole unit */
    int64_t parts;               /* units a plane */
    int64_t units, units_a_task; /* a unit: `rows.rows` output rows of one plane */
    int64_t slack;               /* elements that vectors may touch past a row's end */
    int padded;
} rows_job;

static int64_t span(const fc_pool2d* pool, int axis, int64_t outputs) {
    return (outputs - 1) * pool->stride[axis] + pool->kernel[axis];
}

/* Does every window of the average have the same divisor? */
static int uniform(const fc_pool2d* counted) {
    if (counted->divisor) return 1;
    for (int axis = 0; axis < 2; axis++) {
        const int64_t padding = counted->padding[axis];
        const int64_t end = span(counted, axis, counted->output[axis]) - padding;
        const int64_t limit = counted->input[axis] + (counted->count_include_pad ? padding : 0);
        if (counted->output[axis] == 1) continue;
        if (end > limit || (padding && !counted->count_include_pad)) return 0;
    }
    return 1;
}

int fc_pool_rows_can(const fc_pool_job* job) {
    const fc_pool2d* pool = job->pool;
    if (pool->stride[1] > 2 && pool->output[1] > 1) return 0;
    for (int axis = 0; axis < 2; axis++)
        if (pool->dilation[axis] > 1 && pool->kernel[axis] > 1) return 0;
    if (job->mode == FC_POOL_AVERAGE && !uniform(job->counted)) return 0;
    return pool->kernel[0] <= ROW_BYTES / (int64_t)job->element &&
           span(pool, 1, pool->output[1]) <= ROW_BYTES / (int64_t)job->element / pool->kernel[0];
}

/* The rows that a unit's windows cover, with padding, into scratch. */
static const void* copy_rows(const rows_job* whole, const fc_pool_rows* rows, int64_t plane,
                             int64_t first_row) {
    static const int64_t no_phase[1] = {0};
    const fc_pool_job* job = whole->job;
    const fc_pool2d* pool = job->pool;
    const int64_t pitch = span(pool, 1, pool->output[1]);
    const fc_planes planes = {.height = pool->input[0],
                              .width = pool->input[1],
                              .row_stride = pool->input[1],
                              .col_stride = 1,
                              .first_row = first_row,
                              .first_column = -pool->padding[1],
                              .stride_height = 1,
                              .stride_width = 1,
                              .row_phases = 1,
                              .col_phases = 1,
                              .row_phase = no_phase,
                              .col_phase = no_phase,
                              .rows = span(pool, 0, rows->rows),
                              .cols = pitch,
                              .phase_stride = span(pool, 0, rows->rows) * pitch,
                              .outside = job->mode == FC_POOL_AVERAGE ? 0 : -INFINITY};
    const size_t elements = (size_t)(planes.phase_stride + whole->slack);
    void* scratch = fc_workspace(FC_SLOT_TASK, elements * job->element);
    if (scratch) job->kernels->fill_planes(&planes, fc_pool_image(job, plane), scratch);
    return scratch;
}

static fc_status run(void* context, int64_t index) {
    const rows_job* whole = context;
    const fc_pool_job* job = whole->job;
    const fc_pool2d* pool = job->pool;
    const int64_t first = index * whole->units_a_task;
    const int64_t last = fc_min(first + whole->units_a_task, whole->units);
    const int64_t area = pool->input[0] * pool->input[1];
    /* outputs of this task, to the last: units follow one another in memory */
    const int64_t last_row =
        fc_min((last - 1) % whole->parts * whole->rows.rows + whole->rows.rows, pool->output[0]);
    const int64_t end = ((last - 1) / whole->parts * pool->output[0] + last_row) * pool->output[1];
    for (int64_t unit = first, taken; unit < last; unit += taken) {
        const int64_t plane = unit / whole->parts, out_row = unit % whole->parts * whole->rows.rows;
        const int64_t row = out_row * pool->stride[0] - pool->padding[0];
        const int64_t at = (plane * pool->output[0] + out_row) * pool->output[1];
        fc_pool_rows rows = whole->rows;
        rows.rows = fc_min(rows.rows, pool->output[0] - out_row);
        rows.room = end - at;
        rows.above = -row;
        rows.base = row * pool->input[1] - pool->padding[1];
        const int64_t below = row + span(pool, 0, rows.rows); /* the row after the last one read */
        const int64_t beyond = below * pool->input[1] + whole->slack;
        const void* source =
            fc_pool_image(job, plane) + (size_t)(fc_max(row, 0) * pool->input[1]) * job->element;
        taken = 1;
        if (whole->padded || plane * area + beyond > pool->planes * area) {
            source = copy_rows(whole, &rows, plane, row);
            rows.pitch = span(pool, 1, pool->output[1]);
            if (!source) return FC_ERROR_MEMORY;
        } else if (whole->parts == 1) { /* planes are rows alike, as long as one may read on */
            taken = fc_min(last, pool->planes - fc_ceil_div(beyond, area) + 1) - unit;
        }
        rows.planes = taken;
        job->kernels->pool_rows(&rows, source, job->output + (size_t)at * job->element,
                                job->indices ? job->indices + at : NULL);
    }
    return FC_OK;
}

fc_status fc_pool_by_rows(const fc_pool_job* job) {
    const fc_pool2d* pool = job->pool;
    const int64_t area = pool->input[0] * pool->input[1];
    const int64_t rows = fc_max(1, FC_POOL_RUN / (pool->stride[0] * pool->input[1]));
    rows_job whole = {.job = job, .slack = 4 * job->kernels->lanes};
    whole.rows = (fc_pool_rows){.mode = job->mode,
                                .area = area,
                                .rows = fc_min(rows, pool->output[0]),
                                .cols = pool->output[1],
                                .kernel = {pool->kernel[0], pool->kernel[1]},
                                .row_step = pool->stride[0],
                                .col_step = pool->output[1] > 1 ? pool->stride[1] : 1,
                                .pitch = pool->input[1],
                                .left = pool->padding[1],
                                .width = pool->input[1],
                                .divisor = fc_pool_count(job->counted, 0, 0) *
                                           fc_pool_count(job->counted, 1, 0)};
    for (int axis = 0; axis < 2; axis++)
        if (pool->padding[axis] || span(pool, axis, pool->output[axis]) > pool->input[axis])
            whole.padded = 1;
    whole.parts = fc_ceil_div(pool->output[0], whole.rows.rows);
    whole.units = pool->planes * whole.parts;
    whole.units_a_task = fc_max(1, FC_POOL_RUN * whole.parts / area);
    return fc_parallel_for(fc_ceil_div(whole.units, whole.units_a_task), job->work, run, &whole);
}
