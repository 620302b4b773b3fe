/* Max and average pooling forward: which way. */
#include "pool_job.h"

/* Windows whose places do not fit 32-bit lanes: one output row a task, cell by cell. */
static fc_status run_plain(void* context, int64_t index) {
    const fc_pool_job* job = context;
    const fc_pool2d* pool = job->pool;
    const int64_t plane = index / pool->output[0], row = index % pool->output[0];
    const int64_t at = index * pool->output[1];
    job->kernels->max_row_plain(pool, row, fc_pool_image(job, plane),
                                job->output + (size_t)at * job->element, job->indices + at);
    return FC_OK;
}

/* One window that covers its whole plane: along memory. */
static fc_status run_whole(void* context, int64_t index) {
    const fc_pool_job* job = context;
    const fc_pool2d* pool = job->pool;
    const int64_t area = pool->input[0] * pool->input[1],
                  first = index * fc_pool_planes_a_task(pool);
    const int64_t count = fc_min(fc_pool_planes_a_task(pool), pool->planes - first);
    char* output = job->output + (size_t)first * job->element;
    if (job->mode == FC_POOL_AVERAGE)
        job->kernels->mean_planes(
            count, area, fc_pool_count(job->counted, 0, 0) * fc_pool_count(job->counted, 1, 0),
            fc_pool_image(job, first), output);
    else
        job->kernels->max_planes(count, area, fc_pool_image(job, first), output,
                                 job->indices ? job->indices + first : NULL);
    return FC_OK;
}

static fc_status forward(fc_pool_job job, fc_dtype dtype) {
    if (job.counted->planes < 1) return FC_OK;
    const fc_pool2d clipped = fc_pool_clip(job.counted), *pool = &clipped;
    const double taps = (double)pool->kernel[0] * (double)pool->kernel[1];
    const double area = (double)pool->input[0] * (double)pool->input[1];
    const double reach =
        (double)(pool->kernel[0] - 1) * (double)pool->dilation[0] * (double)pool->input[1] +
        (double)(pool->kernel[1] - 1) * (double)pool->dilation[1];
    job.pool = pool;
    job.kernels = fc_kernels_for(dtype);
    job.element = fc_dtype_size(dtype);
    const int64_t lanes = job.kernels->lanes; /* rows of outputs are computed in whole vectors */
    const double outputs =
        (double)pool->output[0] * (double)(fc_ceil_div(pool->output[1], lanes) * lanes);
    job.work = (double)pool->planes * (2 * area + FC_POOL_TAP * outputs * taps);
    if (job.indices && dtype == FC_FLOAT32 && reach > INT32_MAX / 2)
        return fc_parallel_for(pool->planes * pool->output[0], job.work, run_plain, &job);
    if (fc_pool_covers_plane(pool))
        return fc_parallel_for(fc_ceil_div(pool->planes, fc_pool_planes_a_task(pool)), job.work,
                               run_whole, &job);
    return fc_pool_rows_can(&job) ? fc_pool_by_rows(&job) : fc_pool_by_planes(&job);
}

fc_status fc_max_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                void* output, int64_t* indices) {
    return forward((fc_pool_job){.counted = pool,
                                 .mode = indices ? FC_POOL_MAX_PLACED : FC_POOL_MAX,
                                 .input = input,
                                 .output = output,
                                 .indices = indices},
                   dtype);
}

fc_status fc_avg_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                void* output) {
    return forward(
        (fc_pool_job){.counted = pool, .mode = FC_POOL_AVERAGE, .input = input, .output = output},
        dtype);
}
