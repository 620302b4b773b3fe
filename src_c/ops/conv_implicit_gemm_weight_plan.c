/* Parts, slices and scratch of the gradient of the weights. */
#include "conv_implicit_gemm_grad_weight.h"

enum {
    PIXELS = 448,           /* of a block: its gradient, for one tile, stays in L1 or close to it */
    SUMS_BYTES = 768 << 10, /* of a task; all it uses fits a core's own L2 */
    SLAB_BYTES = 512 << 10,
    GRAD_BYTES = 512 << 10,
    SLICES_BYTES = 2 << 20,
    SLICE_PIXELS = 512, /* at least: what a slice's sums cost to add up is little beside them */
    TASKS = 16,         /* wanted, for a few threads */
    TASKS_PER_THREAD = 3,
};

int64_t fc_weight_cell_bytes(const fc_implicit* p) {
    const int64_t lanes = p->kernels->lanes;
    return fc_min(p->reduced, lanes) * p->rows.taps * p->cols.taps * p->kernels->gemm_nv * lanes *
           p->element;
}

/* Packing costs a slab once for every part of the tiles, a gradient once for every part of the
 * channels and takes twice as long: cut where it hurts less. */
static void halve(fc_weight_job* job, int64_t tiles, int64_t blocks) {
    const int can_tiles = tiles > 1, can_blocks = blocks > 1;
    if (can_tiles && (!can_blocks || 2 * tiles > blocks))
        job->tile_parts = fc_ceil_div(job->plan.tiles, fc_ceil_div(tiles, 2));
    else if (can_blocks)
        job->block_parts = fc_ceil_div(job->blocks, fc_ceil_div(blocks, 2));
}

static void choose_parts(fc_weight_job* job) {
    const fc_implicit* p = &job->problem;
    const fc_implicit_plan* plan = &job->plan;
    const int64_t slab = plan->block_stride * p->element;
    const int64_t grad = p->kernels->gemm_nv * job->plane_bytes;
    job->tile_parts = fc_min(plan->tiles, fc_ceil_div(plan->tiles * grad, GRAD_BYTES));
    job->block_parts = fc_min(job->blocks, fc_ceil_div(job->blocks * slab, SLAB_BYTES));
    const int64_t threads = fc_threads_for(plan->work);
    const int64_t wanted = threads > 1 ? TASKS_PER_THREAD * threads : 1;
    for (;;) {
        const int64_t tiles = fc_ceil_div(plan->tiles, job->tile_parts);
        const int64_t blocks = fc_ceil_div(job->blocks, job->block_parts);
        const int64_t tasks = p->groups * job->tile_parts * job->block_parts;
        if (job->slices == 0 && tiles * blocks * fc_weight_cell_bytes(p) <= SUMS_BYTES) {
            int64_t slices = fc_min(fc_ceil_div(TASKS, tasks), job->places);
            slices = fc_min(slices, SLICES_BYTES / (int64_t)plan->packed_bytes);
            const fc_conv2d* conv = p->conv;
            const int64_t pixels = conv->batch * conv->out_size[0] * conv->out_size[1];
            job->slices = fc_max(1, fc_min(slices, pixels / SLICE_PIXELS));
        }
        if (tiles * blocks == 1 || (job->slices > 0 && tasks * job->slices >= wanted)) break;
        halve(job, tiles, blocks);
    }
    job->slices = fc_max(job->slices, 1);
}

static void make_plan(fc_weight_job* job) {
    const fc_implicit* p = &job->problem;
    fc_implicit_plan* plan = &job->plan;
    *plan = fc_implicit_plan_blocks(p, PIXELS);
    const int64_t lanes = p->kernels->lanes;
    job->blocks = plan->full + (plan->tail > 0);
    job->places = plan->image_blocks * plan->row_blocks * plan->col_blocks;
    job->plane_bytes = plan->images * plan->rows * plan->cols * lanes * p->element;
    choose_parts(job);
    const int64_t tiles = fc_ceil_div(plan->tiles, job->tile_parts);
    const int64_t blocks = fc_ceil_div(job->blocks, job->block_parts);
    const int64_t slab = blocks * plan->block_stride + lanes;
    job->slab_bytes = plan->full > 0 ? fc_align((size_t)(slab * p->element)) : plan->slab_bytes;
    if (job->is_planar) job->slab_bytes = 0;
    job->grad_bytes = fc_align((size_t)(tiles * p->kernels->gemm_nv * job->plane_bytes));
    job->sums_bytes =
        job->slices == 1 ? fc_align((size_t)(tiles * blocks * fc_weight_cell_bytes(p))) : 0;
    job->plain_bytes = fc_implicit_weight_scratch(p);
}

size_t fc_weight_slices_bytes(const fc_weight_job* job) {
    return job->slices > 1 ? (size_t)job->slices * job->plan.packed_bytes : 0;
}

fc_status fc_weight_plan(fc_weight_job* job, fc_conv2d* conv, fc_dtype dtype, const void* input,
                         const void* grad_output) {
    const int swapped = fc_is_pointwise(conv) && conv->in_channels < conv->out_channels;
    if (swapped) {
        const int64_t channels = conv->in_channels;
        conv->in_channels = conv->out_channels;
        conv->out_channels = channels;
        const fc_layout layout = conv->in_layout;
        conv->in_layout = conv->out_layout;
        conv->out_layout = layout;
    }
    const fc_status status =
        fc_implicit_problem(&job->problem, conv, dtype, FC_PASS_GRAD_WEIGHT,
                            swapped ? grad_output : input, (void*)(swapped ? input : grad_output));
    if (status != FC_OK) return status;
    if (swapped) {
        job->problem.weight_result = 1;
        job->problem.weight_reduced = job->problem.results;
    }
    job->is_planar = fc_is_pointwise(conv) && conv->in_layout == FC_NCHW;
    make_plan(job);
    job->is_direct = job->is_planar && swapped && job->slices == 1 &&
                     job->problem.results % job->problem.kernels->lanes == 0;
    if (job->is_direct) job->sums_bytes = 0;
    return FC_OK;
}

int64_t fc_implicit_grad_weight_workspace(const fc_conv2d* conv, fc_dtype dtype) {
    fc_weight_job job = {0};
    fc_conv2d own = *conv;
    int pays;
    if (fc_weight_rows_pay(conv, dtype, &pays) != FC_OK) return 0;
    if (pays) return fc_weight_rows_workspace(conv, dtype);
    if (fc_weight_plan(&job, &own, dtype, NULL, NULL) != FC_OK) return 0;
    return (int64_t)(job.slab_bytes + job.grad_bytes + job.sums_bytes + job.plain_bytes +
                     fc_weight_slices_bytes(&job) +
                     fc_implicit_segment_bytes(&job.problem, &job.plan));
}
