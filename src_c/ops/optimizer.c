/* Optimisers: arrays of parameters are cut into runs, and every run takes one step. */
#include <math.h>
#include "../runtime/runtime.h"

enum { RUN = 1 << 14 }; /* elements a task: its share of a step's five or so arrays fits an L2 */

typedef struct {
    const fc_optimizer* optimizer;
    int64_t count;
    const fc_optimizer_array* arrays;
    int64_t* first_task; /* of every array, and the number of tasks */
} optimizer_job;

static int keeps_its_states(fc_optimizer_rule rule, void* const* state) {
    int kept = 0;
    for (int k = 0; k < FC_OPTIMIZER_STATES; k++) kept |= (state[k] != NULL) << k;
    if (rule == FC_SGD) return kept <= 1;
    return rule == FC_RMSPROP ? kept & 1 : kept == 3;
}

static fc_optimizer_update update_of(const fc_optimizer* optimizer, int64_t step) {
    fc_optimizer_update update = {.optimizer = optimizer, .step = step, .rate = optimizer->lr};
    if (optimizer->rule == FC_ADAM) {
        update.rate = optimizer->lr / (1 - pow(optimizer->betas[0], (double)step));
        update.root = 1 / sqrt(1 - pow(optimizer->betas[1], (double)step));
    }
    return update;
}

static fc_status run(void* context, int64_t index) {
    const optimizer_job* job = context;
    int64_t low = 0, high = job->count; /* the array with first_task[low] <= index, not empty */
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (job->first_task[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    const fc_optimizer_array* array = &job->arrays[low];
    const int64_t start = (index - job->first_task[low]) * RUN;
    const size_t at = (size_t)start * fc_dtype_size(array->dtype);
    const fc_optimizer_update update = update_of(job->optimizer, array->step);
    void* state[FC_OPTIMIZER_STATES] = {NULL};
    for (int k = 0; k < FC_OPTIMIZER_STATES; k++)
        if (array->state[k]) state[k] = (char*)array->state[k] + at;
    fc_kernels_for(array->dtype)
        ->optimizer_step(&update, fc_min(RUN, array->size - start), (char*)array->data + at,
                         (const char*)array->grad + at, state);
    return FC_OK;
}

fc_status fc_optimizer_step(const fc_optimizer* optimizer, int64_t count,
                            const fc_optimizer_array* arrays) {
    optimizer_job job = {.optimizer = optimizer, .count = count, .arrays = arrays};
    job.first_task = fc_workspace(FC_SLOT_PLAN, (size_t)(count + 1) * sizeof *job.first_task);
    if (!job.first_task) return FC_ERROR_MEMORY;
    double work = 0;
    int64_t tasks = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!keeps_its_states(optimizer->rule, arrays[i].state)) return FC_ERROR_ARGUMENT;
        job.first_task[i] = tasks;
        tasks += fc_ceil_div(arrays[i].size, RUN);
        work += (double)arrays[i].size * (double)fc_dtype_size(arrays[i].dtype);
    }
    job.first_task[count] = tasks;
    return fc_parallel_for(tasks, work, run, &job);
}
