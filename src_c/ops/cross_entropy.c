/* Cross-entropy: cut the lines into tasks, add up their sums in order. */
#include "../runtime/runtime.h"
#include "lines.h"

typedef struct {
    const fc_kernels_of_type* kernels;
    const fc_cross_entropy* problem;
    fc_line_tasks tasks;
    size_t element;
    fc_loss_gradient grad;
    const char* input;
    char* output;
    double (*sums)[2]; /* forward: two a task */
} loss_job;

static fc_status run(void* context, int64_t index) {
    const loss_job* job = context;
    const fc_cross_entropy* problem = job->problem;
    const fc_line_range range = fc_line_range_of(&problem->lines, &job->tasks, index);
    const size_t at = (size_t)range.first_element * job->element;
    const size_t line = (size_t)range.first_line * job->element;
    const int64_t* target = problem->target + range.first_line;
    int bad;
    if (job->sums) {
        job->sums[index][0] = job->sums[index][1] = 0;
        bad = job->kernels->cross_entropy_forward(problem, range.count, target, job->input + at,
                                                  job->output + line, job->sums[index]);
    } else {
        fc_loss_gradient grad = job->grad;
        if (grad.losses) grad.losses = (const char*)grad.losses + line;
        bad = job->kernels->cross_entropy_backward(problem, range.count, target, &grad,
                                                   job->input + at, job->output + at);
    }
    return bad ? FC_ERROR_INDEX : FC_OK;
}

static loss_job prepare(const fc_cross_entropy* problem, fc_dtype dtype, const void* input,
                        void* output) {
    return (loss_job){.kernels = fc_kernels_for(dtype),
                      .problem = problem,
                      .tasks = fc_line_tasks_of(&problem->lines),
                      .element = fc_dtype_size(dtype),
                      .input = input,
                      .output = output};
}

fc_status fc_cross_entropy_forward(const fc_cross_entropy* problem, fc_dtype dtype,
                                   const void* input, void* losses, double sums[2]) {
    loss_job job = prepare(problem, dtype, input, losses);
    job.sums = fc_workspace(FC_SLOT_SHARED, (size_t)job.tasks.count * sizeof *job.sums);
    if (!job.sums) return FC_ERROR_MEMORY;
    const fc_status status =
        fc_parallel_for(job.tasks.count, fc_line_work(&problem->lines), run, &job);
    sums[0] = sums[1] = 0;
    for (int64_t i = 0; i < job.tasks.count && status == FC_OK; i++)
        for (int s = 0; s < 2; s++) sums[s] += job.sums[i][s];
    fc_workspace_trim();
    return status;
}

fc_status fc_cross_entropy_backward(const fc_cross_entropy* problem, fc_dtype dtype,
                                    const void* grad_losses, double scale, const void* input,
                                    void* grad_input) {
    loss_job job = prepare(problem, dtype, input, grad_input);
    job.grad = (fc_loss_gradient){.losses = grad_losses, .scale = scale};
    return fc_parallel_for(job.tasks.count, fc_line_work(&problem->lines), run, &job);
}
