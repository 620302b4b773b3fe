/* Pooling backward, parallel over planes (and rows, for the average): every cell of the gradient
 * has one writer and one order of its sums. */
#include "pool_job.h"

typedef struct {
    const fc_kernels_of_type* kernels;
    const fc_max_pool_gradient* pool;
    int64_t part; /* planes a task */
    const void* grad_output;
    void* grad_input;
} max_job;

static fc_status run_max(void* context, int64_t index) {
    const max_job* job = context;
    const int64_t first = index * job->part, last = fc_min(first + job->part, job->pool->planes);
    for (int64_t plane = first; plane < last; plane++)
        if (job->kernels->max_backward(job->pool, plane, job->grad_output, job->grad_input))
            return FC_ERROR_INDEX;
    return FC_OK;
}

fc_status fc_max_pool_backward(const fc_max_pool_gradient* pool, fc_dtype dtype,
                               const void* grad_output, void* grad_input) {
    max_job job = {.kernels = fc_kernels_for(dtype),
                   .pool = pool,
                   .part = fc_max(1, FC_POOL_RUN / fc_max(1, pool->in_area + pool->out_area)),
                   .grad_output = grad_output,
                   .grad_input = grad_input};
    const double work = (double)pool->planes *
                        (4 * (double)pool->in_area + FC_POOL_SCATTER * (double)pool->out_area);
    return fc_parallel_for(fc_ceil_div(pool->planes, job.part), work, run_max, &job);
}

typedef struct {
    const fc_kernels_of_type* kernels;
    const fc_pool2d *pool, *counted; /* as in fc_pool_job */
    size_t element;
    int64_t planes, in_area, out_area;
    int64_t part, parts; /* rows a task and tasks a plane */
    const char* grad_output;
    char* grad_input;
} backward_job;

static fc_status run_average(void* context, int64_t index) {
    const backward_job* job = context;
    const int64_t plane = index / job->parts, first = index % job->parts * job->part;
    const int64_t last = fc_min(first + job->part, job->pool->input[0]);
    job->kernels->average_backward(job->pool, job->counted, first, last,
                                   job->grad_output +
                                       (size_t)(plane * job->out_area) * job->element,
                                   job->grad_input + (size_t)(plane * job->in_area) * job->element);
    return FC_OK;
}

/* One window a plane: its gradient, shared out. */
static fc_status run_whole(void* context, int64_t index) {
    const backward_job* job = context;
    const int64_t first = index * job->part;
    job->kernels->spread_planes(fc_min(job->part, job->planes - first), job->in_area,
                                fc_pool_count(job->counted, 0, 0) *
                                    fc_pool_count(job->counted, 1, 0),
                                job->grad_output + (size_t)first * job->element,
                                job->grad_input + (size_t)(first * job->in_area) * job->element);
    return FC_OK;
}

fc_status fc_avg_pool2d_backward(const fc_pool2d* counted, fc_dtype dtype, const void* grad_output,
                                 void* grad_input) {
    if (counted->planes < 1) return FC_OK;
    const fc_pool2d clipped = fc_pool_clip(counted), *pool = &clipped;
    backward_job job = {.kernels = fc_kernels_for(dtype),
                        .pool = pool,
                        .counted = counted,
                        .element = fc_dtype_size(dtype),
                        .planes = pool->planes,
                        .in_area = pool->input[0] * pool->input[1],
                        .out_area = pool->output[0] * pool->output[1],
                        .grad_output = grad_output,
                        .grad_input = grad_input};
    if (fc_pool_covers_plane(pool)) {
        job.part = fc_pool_planes_a_task(pool);
        return fc_parallel_for(fc_ceil_div(job.planes, job.part),
                               (double)job.planes * (double)job.in_area, run_whole, &job);
    }
    job.part = fc_min(pool->input[0], fc_max(1, FC_POOL_RUN / fc_max(1, pool->input[1])));
    job.parts = fc_ceil_div(pool->input[0], job.part);
    const double work = (double)pool->planes * (double)job.in_area *
                        (4 + (double)pool->kernel[1] / (double)pool->stride[1]);
    return fc_parallel_for(pool->planes * job.parts, work, run_average, &job);
}
