/* Softmax and its relatives: cut the lines into tasks, hand them to the vector kernels. */
#include "../runtime/runtime.h"
#include "lines.h"

typedef struct {
    const fc_kernels_of_type* kernels;
    fc_softmax mode;
    fc_lines lines;
    fc_line_tasks tasks;
    size_t element;
    const char *grad, *saved, *level; /* backward: grad is not NULL */
    char* output;
} softmax_job;

static fc_status run(void* context, int64_t index) {
    const softmax_job* job = context;
    const fc_line_range range = fc_line_range_of(&job->lines, &job->tasks, index);
    const size_t at = (size_t)range.first_element * job->element;
    const size_t line = (size_t)range.first_line * job->element;
    const int reduced = job->mode == FC_LOGSUMEXP;
    if (job->grad)
        job->kernels->softmax_backward[job->mode](
            &job->lines, range.count, job->grad + (reduced ? line : at), job->saved + at,
            job->level ? job->level + line : NULL, job->output + at);
    else
        job->kernels->softmax_forward[job->mode](&job->lines, range.count, job->saved + at,
                                                 job->output + (reduced ? line : at));
    return FC_OK;
}

static fc_status run_all(softmax_job job, fc_dtype dtype) {
    job.kernels = fc_kernels_for(dtype);
    job.element = fc_dtype_size(dtype);
    job.tasks = fc_line_tasks_of(&job.lines);
    return fc_parallel_for(job.tasks.count, fc_line_work(&job.lines), run, &job);
}

fc_status fc_softmax_forward(fc_softmax mode, fc_dtype dtype, const fc_lines* lines,
                             const void* input, void* output) {
    return run_all((softmax_job){.mode = mode, .lines = *lines, .saved = input, .output = output},
                   dtype);
}

fc_status fc_softmax_backward(fc_softmax mode, fc_dtype dtype, const fc_lines* lines,
                              const void* grad_output, const void* saved, const void* output,
                              void* grad_input) {
    return run_all((softmax_job){.mode = mode,
                                 .lines = *lines,
                                 .grad = grad_output,
                                 .saved = saved,
                                 .level = output,
                                 .output = grad_input},
                   dtype);
}
