/* Strips, chunks and scratch of the gradient of the input with the products first. */
#include "conv_product_strips.h"

enum {
    GATHER = 7,               /* FMAs that take as long as storing and adding up a vector, */
    ROW = 350,                /* or as starting a row of pixels */
    POSITIONS = 672,          /* of a strip, */
    LONG_POSITIONS = 896,     /* where each of their sums ends in adding up lanes, */
    GRADS_BYTES = 256 << 10,  /* whose gradients stay in L2, */
    PRODUCT_BYTES = 64 << 10, /* and the products of a chunk close to L1 */
    TASKS_PER_THREAD = 3,
    TASKS = 8, /* where more is summed, whose order must not depend on the threads */
};

int64_t fc_strips_phase_start(const fc_strips* job, int64_t phase) {
    int64_t count = 0;
    for (int64_t r = 0; r < job->vertical.taps; r++) count += job->vertical.tap_phase[r] < phase;
    return count;
}

int64_t fc_strips_unit_start(const fc_strips* job, int64_t unit) {
    const int64_t phases = job->vertical.phases;
    return unit / phases * job->taps +
           fc_strips_phase_start(job, unit % phases) * job->conv->kernel_size[1];
}

int64_t fc_strips_chunk_start(const fc_strips* job, int64_t chunk) {
    return chunk * job->units / job->chunks;
}

static void plan_gather(fc_strips* job) {
    const fc_conv2d* conv = job->conv;
    const int64_t lanes = job->kernels->lanes, stride = conv->stride[1];
    const int64_t first = conv->padding[1] / stride, positions = conv->out_size[1];
    const int64_t pixels = fc_ceil_div(conv->in_size[1] + conv->padding[1] % stride, stride);
    const int64_t least =
        first - job->horizontal.max_shift; /* of the starts; the most is `first` */
    fc_gather_row* g = &job->gather;
    g->phases = stride;
    g->vectors = fc_ceil_div(pixels, lanes);
    g->pitch = g->vectors * lanes;
    g->inner[0] = fc_min(fc_ceil_div(fc_max(-least, 0), lanes), g->vectors);
    g->inner[1] = fc_max(positions - first, 0) / lanes;
    g->inner[1] = fc_max(g->inner[0], fc_min(g->inner[1], g->vectors));
    g->positions = positions;
    job->before = fc_ceil_div(fc_max(-least, 0), lanes) * lanes;
    job->after = fc_max(first + g->pitch - positions, 0);
    job->row_size = stride * g->pitch;
    job->table_bytes = fc_align((size_t)(stride + 2 * conv->kernel_size[1]) * sizeof(int64_t));
}

static void share_images(fc_strips* job, int is_fixed) {
    const fc_conv2d* conv = job->conv;
    const int64_t threads = fc_threads_for(job->work), images = conv->batch * conv->groups;
    const int64_t strips = fc_ceil_div(conv->out_size[0], job->rows);
    const int64_t wanted = is_fixed ? TASKS : threads > 1 ? TASKS_PER_THREAD * threads : 1;
    job->parts = fc_min(fc_ceil_div(wanted, images), fc_min(strips, conv->in_size[0]));
    job->tasks = images * job->parts;
    if (is_fixed) {
        const int64_t sums = conv->out_channels * (int64_t)sizeof(double);
        job->tasks = fc_min(job->tasks, 4 * TASKS);
        job->bias_bytes = (size_t)(job->tasks * sums);
    }
}

static void plan_strips(fc_strips* job, int64_t most) {
    const fc_conv2d* conv = job->conv;
    const int64_t lanes = job->kernels->lanes, e = job->element, cols = conv->out_size[1];
    const int64_t fit = fc_min(most, GRADS_BYTES / (job->filters * e)) / cols;
    job->rows = fc_max(1, fc_min(fit, conv->out_size[0]));
    job->rows = fc_ceil_div(conv->out_size[0], fc_ceil_div(conv->out_size[0], job->rows));
    job->pitch = (fc_ceil_div(job->rows * cols, lanes) | 1) * lanes; /* odd lines */
    const int64_t products = PRODUCT_BYTES / (job->pitch * e);
    const int64_t all = job->channels * job->taps;
    job->chunks = fc_min(job->units, fc_max(1, fc_ceil_div(all, fc_max(products, 1))));
    for (int64_t i = 0; i < job->chunks; i++) {
        const int64_t first = fc_strips_unit_start(job, fc_strips_chunk_start(job, i));
        const int64_t rows = fc_strips_unit_start(job, fc_strips_chunk_start(job, i + 1)) - first;
        job->chunk_rows = fc_max(job->chunk_rows, rows);
        job->tiles += fc_ceil_div(rows, job->kernels->mr);
    }
    job->kept = job->vertical.max_shift + 1;
    const int64_t own = conv->out_size[0] * cols * conv->batch;
    job->work = (double)own * (double)(conv->out_channels * all);
}

fc_strips fc_strips_plan(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory,
                         fc_strips_kind kind) {
    fc_strips job = {.conv = conv,
                     .kernels = fc_kernels_for(dtype),
                     .element = (int64_t)fc_dtype_size(dtype),
                     .filters = conv->out_channels / conv->groups,
                     .channels = conv->in_channels / conv->groups,
                     .taps = conv->kernel_size[0] * conv->kernel_size[1]};
    const int64_t e = job.element, lanes = job.kernels->lanes;
    fc_axis_forward(&job.vertical, conv->kernel_size[0], conv->stride[0], conv->dilation[0], 0,
                    memory.vertical);
    fc_axis_forward(&job.horizontal, conv->kernel_size[1], conv->stride[1], conv->dilation[1], 0,
                    memory.horizontal);
    job.units = job.channels * job.vertical.phases;
    plan_gather(&job);
    plan_strips(&job, kind == FC_STRIPS_WEIGHT ? LONG_POSITIONS : POSITIONS);
    share_images(&job, kind != FC_STRIPS_ALONE);
    job.grads_bytes = fc_align((size_t)(job.filters * job.pitch * e));
    const int64_t products = job.before + job.chunk_rows * job.pitch + job.after;
    job.products_bytes = fc_align((size_t)(products * e));
    /* a row of pixels at the end: one that waits for nothing more */
    job.sums_bytes = fc_align((size_t)(((job.units * job.kept + 1) * job.row_size + lanes) * e));
    job.list_bytes = fc_align((size_t)conv->kernel_size[0] * sizeof(int64_t));
    job.weights_bytes = fc_align((size_t)(conv->out_channels * job.channels * job.taps * e));
    job.offset_bytes = fc_align((size_t)job.filters * sizeof(int32_t));
    if (kind == FC_STRIPS_WEIGHT) fc_strips_plan_weight(&job);
    return job;
}

int64_t fc_strips_workspace(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory) {
    const fc_strips job = fc_strips_plan(conv, dtype, memory, FC_STRIPS_ALONE);
    return (int64_t)(job.grads_bytes + job.products_bytes + job.sums_bytes + job.list_bytes);
}

double fc_strips_work(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory) {
    const fc_strips job = fc_strips_plan(conv, dtype, memory, FC_STRIPS_ALONE);
    const int64_t lanes = job.kernels->lanes;
    const double strip = (double)fc_ceil_div(job.rows * conv->out_size[1], lanes);
    const double strips = (double)conv->out_size[0] / (double)job.rows;
    const double rows = (double)conv->in_size[0] + strips * (double)job.vertical.max_shift;
    const double each = (double)(job.channels * job.taps) * (double)(job.filters + GATHER);
    return (double)(conv->batch * conv->groups * lanes) *
           (strips * strip * each + (double)(ROW * job.channels) * rows);
}

int fc_strips_can(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory) {
    return !fc_channels_last(conv) && fc_strips_workspace(conv, dtype, memory) <= FC_WORKSPACE_KEEP;
}
