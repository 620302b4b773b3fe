/* Sums over runs of images: see conv_weight_sums.h. */
#include "conv_weight_sums.h"
#include <stdatomic.h>

enum {
    TASKS = 16,         /* wanted in all */
    BYTES = 4 << 20,    /* that the runs' sums may take */
    ELEMENTS = 1 << 15, /* a task of the final sum */
};

int64_t fc_weight_size(const fc_conv2d* conv) {
    return conv->out_channels * (conv->in_channels / conv->groups) * conv->kernel_size[0] *
           conv->kernel_size[1];
}

int64_t fc_choose_runs(const fc_conv2d* conv, int64_t tasks, int64_t most, size_t element) {
    const int64_t room = BYTES / (fc_weight_size(conv) * (int64_t)element);
    return fc_max(1, fc_min(fc_min(fc_ceil_div(TASKS, tasks), room), most));
}

typedef struct {
    fc_dtype dtype;
    int64_t size, runs;
    const void* sums;
    void* total;
    _Atomic int infinite;
} sum_job;

static fc_status sum_part(void* context, int64_t index) {
    sum_job* job = context;
    const int64_t start = index * ELEMENTS, end = fc_min(start + ELEMENTS, job->size);
    int infinite = 0;
#define SUM(T)                                                                                     \
    {                                                                                              \
        const T* sums = job->sums;                                                                 \
        T* total = job->total;                                                                     \
        for (int64_t i = start; i < end; i++) {                                                    \
            T value = sums[i];                                                                     \
            for (int64_t run = 1; run < job->runs; run++) value += sums[run * job->size + i];      \
            total[i] = value;                                                                      \
            infinite |= !(value - value == 0);                                                     \
        }                                                                                          \
    }
    if (job->dtype == FC_FLOAT32)
        SUM(float)
    else
        SUM(double)
#undef SUM
    if (infinite) atomic_store(&job->infinite, 1);
    return FC_OK;
}

fc_status fc_sum_runs(fc_dtype dtype, int64_t size, int64_t runs, const void* sums, void* total,
                      int* infinite) {
    sum_job job = {.dtype = dtype, .size = size, .runs = runs, .sums = sums, .total = total};
    const fc_status status =
        fc_parallel_for(fc_ceil_div(size, ELEMENTS), (double)(size * runs), sum_part, &job);
    *infinite = job.infinite;
    return status;
}
