/* The gradient of the bias: the sum of the output's gradient over images and pixels (notes 004,
 * eq. 5.27), where no pass sums it on the way (conv_product_strips.c). A task owns a few channels,
 * so the order of its sums is fixed. */
#include "conv_planes.h"

enum {
    CHANNELS = 4,       /* of a task */
    CHANNELS_LAST = 16, /* where they are neighbours */
    WORK = 16,          /* FMAs that take as long as an element, which comes from memory */
};

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

/* Image by image, so that channels are read in the order in which they lie. */
static fc_status sum_channels(void* context, int64_t index) {
    const bias_job* job = context;
    const fc_conv2d* conv = job->conv;
    const int64_t pixels = conv->out_size[0] * conv->out_size[1];
    const int64_t first = index * CHANNELS, count = fc_min(CHANNELS, conv->out_channels - first);
    double sums[CHANNELS] = {0};
    for (int64_t n = 0; n < conv->batch; n++) {
        const int64_t at = (n * conv->out_channels + first) * pixels;
        const char* plane = job->grad_output + at * (int64_t)fc_dtype_size(job->dtype);
        for (int64_t i = 0; i < count; i++)
            sums[i] += job->kernels->sum_run(
                pixels, plane + i * pixels * (int64_t)fc_dtype_size(job->dtype));
    }
    for (int64_t i = 0; i < count; i++) set(job, first + i, sums[i]);
    return FC_OK;
}

static fc_status sum_channels_last(void* context, int64_t index) {
    const bias_job* job = context;
    const fc_conv2d* conv = job->conv;
    const int64_t first = index * CHANNELS_LAST;
    const int64_t count = fc_min(CHANNELS_LAST, conv->out_channels - first);
    double sums[CHANNELS_LAST] = {0};
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
    const int64_t elements =
        conv->batch * conv->out_channels * conv->out_size[0] * conv->out_size[1];
    const int is_last = conv->out_layout == FC_NHWC;
    return fc_parallel_for(fc_ceil_div(conv->out_channels, is_last ? CHANNELS_LAST : CHANNELS),
                           (double)elements * WORK, is_last ? sum_channels_last : sum_channels,
                           &job);
}
