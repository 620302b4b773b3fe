/* The gradient of the bias: the sum of the output's gradient over images and pixels (notes 004,
 * eq. 5.27). A task owns a few channels, so the order of its sums is fixed. */
#include "conv_planes.h"

enum { CHANNELS_LAST_BLOCK = 16 };

typedef struct {
    const fc_conv2d* conv;
    const fc_kernels_of_type* kernels;
    fc_dtype dtype;
    const char* grad_output;
    void* grad_bias;
} bias_job;

static void set(const bias_job* job, int64_t channel, double value) {
    if (job->dtype == FC_FLOAT32)
        ((float*)job->grad_bias)[channel] = (float)value;
    else
        ((double*)job->grad_bias)[channel] = value;
}

static fc_status sum_channel(void* context, int64_t channel) {
    const bias_job* job = context;
    const fc_conv2d* conv = job->conv;
    const int64_t element = (int64_t)fc_dtype_size(job->dtype);
    const int64_t pixels = conv->out_size[0] * conv->out_size[1];
    double total = 0;
    for (int64_t n = 0; n < conv->batch; n++)
        total += job->kernels->sum_run(
            pixels, job->grad_output + (n * conv->out_channels + channel) * pixels * element);
    set(job, channel, total);
    return FC_OK;
}

static fc_status sum_channels_last(void* context, int64_t index) {
    const bias_job* job = context;
    const fc_conv2d* conv = job->conv;
    const int64_t first = index * CHANNELS_LAST_BLOCK;
    const int64_t count = fc_min(CHANNELS_LAST_BLOCK, conv->out_channels - first);
    double sums[CHANNELS_LAST_BLOCK] = {0};
    job->kernels->sum_rows(conv->batch * conv->out_size[0] * conv->out_size[1], count,
                           conv->out_channels,
                           job->grad_output + first * (int64_t)fc_dtype_size(job->dtype), sums);
    for (int64_t i = 0; i < count; i++) set(job, first + i, sums[i]);
    return FC_OK;
}

fc_status fc_conv2d_grad_bias(const fc_conv2d* conv, fc_dtype dtype, const void* grad_output,
                              void* grad_bias) {
    if (conv->out_layout == FC_BLOCKED) return FC_ERROR_ARGUMENT;
    bias_job job = {.conv = conv,
                    .kernels = fc_kernels_for(dtype),
                    .dtype = dtype,
                    .grad_output = grad_output,
                    .grad_bias = grad_bias};
    const double work =
        (double)(conv->batch * conv->out_channels * conv->out_size[0] * conv->out_size[1]) / 2;
    if (conv->out_layout == FC_NHWC)
        return fc_parallel_for(fc_ceil_div(conv->out_channels, CHANNELS_LAST_BLOCK), work,
                               sum_channels_last, &job);
    return fc_parallel_for(conv->out_channels, work, sum_channel, &job);
}
