/* Elementwise activations: cut the array into runs, hand them to the vector kernels. */
#include "../runtime/runtime.h"

enum { RUN = 1 << 14 }; /* elements a task: 64 KB of float32 in and as much out, half of an L2 */

typedef struct {
    const fc_kernels_of_type* kernels;
    fc_activation f;
    int64_t size;
    size_t element;
    double parameter;
    const char *input, *saved; /* backward: input is grad_output */
    char* output;
} activation_job;

static fc_status run(void* context, int64_t index) {
    const activation_job* job = context;
    const int64_t start = index * RUN, count = fc_min(RUN, job->size - start);
    const size_t at = (size_t)start * job->element;
    if (job->saved)
        job->kernels->activation_backward[job->f](count, job->parameter, job->input + at,
                                                  job->saved + at, job->output + at);
    else
        job->kernels->activation_forward[job->f](count, job->parameter, job->input + at,
                                                 job->output + at);
    return FC_OK;
}

static fc_status run_all(activation_job job, fc_dtype dtype) {
    job.kernels = fc_kernels_for(dtype);
    job.element = fc_dtype_size(dtype);
    return fc_parallel_for(fc_ceil_div(job.size, RUN), (double)job.size * 4, run, &job);
}

fc_status fc_activation_forward(fc_activation f, fc_dtype dtype, int64_t size, double parameter,
                                const void* input, void* output) {
    activation_job job = {
        .f = f, .size = size, .parameter = parameter, .input = input, .output = output};
    return run_all(job, dtype);
}

fc_status fc_activation_backward(fc_activation f, fc_dtype dtype, int64_t size, double parameter,
                                 const void* grad_output, const void* saved, void* grad_input) {
    activation_job job = {.f = f,
                          .size = size,
                          .parameter = parameter,
                          .input = grad_output,
                          .saved = saved,
                          .output = grad_input};
    return run_all(job, dtype);
}
