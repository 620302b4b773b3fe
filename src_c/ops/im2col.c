/* im2col and col2im as operations of their own (notes 004, eq. 6.16-6.19): columns are explicit
 * planes with one phase a tap. Parallel over (image, channel). */
#include "conv_planes.h"
#include <string.h>

typedef struct {
    const fc_kernels_of_type* kernels;
    int64_t element;
    fc_planes planes;
    const char* from;
    char* to;
} columns_job;

static fc_status unfold(void* context, int64_t index) {
    const columns_job* job = context;
    const int64_t image = job->planes.height * job->planes.width;
    const int64_t window = job->planes.row_phases * job->planes.col_phases;
    job->kernels->fill_planes(&job->planes, job->from + index * image * job->element,
                              job->to + index * window * job->planes.phase_stride * job->element);
    return FC_OK;
}

static fc_status fold(void* context, int64_t index) {
    const columns_job* job = context;
    const int64_t image = job->planes.height * job->planes.width;
    const int64_t window = job->planes.row_phases * job->planes.col_phases;
    char* to = job->to + index * image * job->element;
    memset(to, 0, (size_t)(image * job->element));
    job->kernels->add_planes(
        &job->planes, job->from + index * window * job->planes.phase_stride * job->element, to);
    return FC_OK;
}

static fc_status run(const fc_conv2d* conv, fc_dtype dtype, const void* from, void* to,
                     fc_task task) {
    fc_axis_memory memory;
    const fc_status reserved = fc_axis_reserve(conv, &memory);
    if (reserved != FC_OK) return reserved;
    fc_axis vertical, horizontal;
    fc_axis_forward(&vertical, conv->kernel_size[0], conv->stride[0], conv->dilation[0], 1,
                    memory.vertical);
    fc_axis_forward(&horizontal, conv->kernel_size[1], conv->stride[1], conv->dilation[1], 1,
                    memory.horizontal);
    columns_job job = {.kernels = fc_kernels_for(dtype),
                       .element = (int64_t)fc_dtype_size(dtype),
                       .from = from,
                       .to = to};
    job.planes = (fc_planes){
        .height = conv->in_size[0],
        .width = conv->in_size[1],
        .row_stride = conv->in_size[1],
        .col_stride = 1,
        .first_row = -conv->padding[0],
        .first_column = -conv->padding[1],
        .stride_height = conv->stride[0],
        .stride_width = conv->stride[1],
        .row_phases = vertical.phases,
        .col_phases = horizontal.phases,
        .row_phase = vertical.phase,
        .col_phase = horizontal.phase,
        .rows = conv->out_size[0],
        .cols = conv->out_size[1],
        .phase_stride = conv->out_size[0] * conv->out_size[1],
    };
    const double work =
        (double)(conv->batch * conv->in_channels * vertical.taps * horizontal.taps) *
        (double)job.planes.phase_stride;
    return fc_parallel_for(conv->batch * conv->in_channels, work, task, &job);
}

fc_status fc_im2col(const fc_conv2d* conv, fc_dtype dtype, const void* input, void* columns) {
    return run(conv, dtype, input, columns, unfold);
}

fc_status fc_col2im(const fc_conv2d* conv, fc_dtype dtype, const void* columns, void* image) {
    return run(conv, dtype, columns, image, fold);
}
