/* Pooling's blocks, tap groups and tables; see pool_plan.h. */
#include "pool_plan.h"

enum {
    PLANE_BYTES = 128 << 10, /* filled planes of a block: they stay in an L2 beside the tile */
    NARROW = 256,            /* outputs of a row that are always taken together */
    VECTORS = 5,             /* pool.inc rounds up to 4 vectors and reads from any offset */
};

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Set the taps of a group, and with them the phases. */
static void set_group(fc_pool_plan* plan, int64_t rows, int64_t cols) {
    const int64_t count[2] = {rows, cols};
    for (int axis = 0; axis < 2; axis++) {
        const int64_t s = plan->stride[axis];
        plan->group[axis] = count[axis];
        plan->phases[axis] = fc_min(count[axis], s / gcd(s, plan->pool->dilation[axis]));
    }
}

/* How far the taps of a group reach beyond a plane's first `block` rows or columns. */
static int64_t reach(const fc_pool_plan* plan, int axis) {
    return (plan->group[axis] - 1) * plan->pool->dilation[axis] / plan->stride[axis];
}

/* Outputs along one axis for which planes of `across` elements a line stay within the budget. */
static int64_t fitting(const fc_pool_plan* plan, int axis, int64_t across, int64_t budget) {
    const int64_t lines = budget / fc_max(1, plan->phases[0] * plan->phases[1] * across);
    return lines - reach(plan, axis);
}

fc_pool_plan fc_pool_plan_of(const fc_pool2d* pool, size_t element, int lanes) {
    fc_pool_plan plan = {.pool = pool, .slack = VECTORS * lanes};
    const int64_t budget = PLANE_BYTES / (int64_t)element;
    for (int axis = 0; axis < 2; axis++)
        plan.stride[axis] = pool->output[axis] == 1 ? pool->dilation[axis] : pool->stride[axis];
    /* All taps at once if one narrow row of outputs allows it, or a row of taps, or one tap. */
    const int64_t narrow = fc_min(pool->output[1], NARROW);
    set_group(&plan, pool->kernel[0], pool->kernel[1]);
    if (fitting(&plan, 1, 1 + reach(&plan, 0), budget) < narrow)
        set_group(&plan, 1, pool->kernel[1]);
    if (fitting(&plan, 1, 1, budget) < narrow) set_group(&plan, 1, 1);

    plan.block[1] = fc_min(pool->output[1], fitting(&plan, 1, 1 + reach(&plan, 0), budget));
    plan.block[1] = fc_max(plan.block[1], narrow);
    plan.cols = plan.block[1] + reach(&plan, 1);
    plan.block[0] = fc_min(pool->output[0], fc_max(1, fitting(&plan, 0, plan.cols, budget)));
    for (int axis = 0; axis < 2; axis++) { /* even blocks */
        plan.blocks[axis] = fc_ceil_div(pool->output[axis], plan.block[axis]);
        plan.block[axis] = fc_ceil_div(pool->output[axis], plan.blocks[axis]);
    }
    plan.rows = plan.block[0] + reach(&plan, 0);
    plan.cols = plan.block[1] + reach(&plan, 1);
    return plan;
}

int64_t fc_pool_plane_elements(const fc_pool_plan* plan) {
    return plan->phases[0] * plan->phases[1] * plan->rows * plan->cols + plan->slack;
}

fc_pool_part fc_pool_block(const fc_pool_plan* plan, int64_t index) {
    const int64_t at[2] = {index / plan->blocks[1], index % plan->blocks[1]};
    fc_pool_part part;
    for (int axis = 0; axis < 2; axis++) {
        part.first[axis] = at[axis] * plan->block[axis];
        part.count[axis] = fc_min(plan->block[axis], plan->pool->output[axis] - part.first[axis]);
    }
    return part;
}

void fc_pool_tap_tables(const fc_pool_plan* plan, const fc_pool_part* taps, int64_t* offset,
                        int64_t* place) {
    const fc_pool2d* pool = plan->pool;
    for (int64_t i = 0; i < taps->count[0]; i++)
        for (int64_t j = 0; j < taps->count[1]; j++) {
            const int64_t phase = i % plan->phases[0] * plan->phases[1] + j % plan->phases[1];
            *offset++ =
                (phase * plan->rows + i * pool->dilation[0] / plan->stride[0]) * plan->cols +
                j * pool->dilation[1] / plan->stride[1];
            *place++ = (taps->first[0] + i) * pool->dilation[0] * pool->input[1] +
                       (taps->first[1] + j) * pool->dilation[1];
        }
}

fc_planes fc_pool_planes(const fc_pool_plan* plan, const fc_pool_part* block,
                         const fc_pool_part* taps, int64_t* phase) {
    const fc_pool2d* pool = plan->pool;
    int64_t first[2];
    const int64_t* phase_of[2];
    for (int axis = 0; axis < 2; axis++) {
        first[axis] = block->first[axis] * pool->stride[axis] - pool->padding[axis] +
                      taps->first[axis] * pool->dilation[axis];
        phase_of[axis] = phase;
        for (int64_t i = 0; i < plan->phases[axis]; i++)
            *phase++ = i * pool->dilation[axis] % plan->stride[axis];
    }
    return (fc_planes){.height = pool->input[0],
                       .width = pool->input[1],
                       .row_stride = pool->input[1],
                       .col_stride = 1,
                       .first_row = first[0],
                       .first_column = first[1],
                       .stride_height = plan->stride[0],
                       .stride_width = plan->stride[1],
                       .row_phases = plan->phases[0],
                       .col_phases = plan->phases[1],
                       .row_phase = phase_of[0],
                       .col_phase = phase_of[1],
                       .rows = plan->rows,
                       .cols = plan->cols,
                       .phase_stride = plan->rows * plan->cols};
}
