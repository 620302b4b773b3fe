/* What drivers in ops/ use of the runtime: kernels, threads, scratch. */
#ifndef FASTCONV_RUNTIME_H
#define FASTCONV_RUNTIME_H

#include "../include/fastconv.h"
#include "../kernels/kernels.h"
#include <stdatomic.h>

/* cpu.c */
int fc_cpu_has_avx512(void);
int fc_cpu_has_avx2(void);
int fc_cpu_quota(void);       /* CPUs that affinity and the cgroup allow, at least 1 */
size_t fc_memory_quota(void); /* bytes that the machine has and the cgroup allows */

/* dispatch.c: the selected kernels of one dtype. */
const fc_kernels_of_type* fc_kernels_for(fc_dtype dtype);

/* threads.c: run task(context, i) for every i in [0, tasks), on as many threads as the work is
 * worth (never more than fc_get_num_threads). `work` is the total, in FMAs or in bytes / 4,
 * whichever binds. Tasks are handed out dynamically, so what a task computes must not depend on who
 * runs it. The first failing status is returned; the tasks that follow it may be skipped. */
typedef fc_status (*fc_task)(void* context, int64_t index);
fc_status fc_parallel_for(int64_t tasks, double work, fc_task task, void* context);

/* How many threads fc_parallel_for would use for this much work: for choosing task sizes. Results
 * must not depend on it. */
int fc_threads_for(double work);

/* workspace.c: 64-byte aligned scratch of the calling thread, valid until its next request for the
 * same slot. NULL when memory is out. Requests of up to FC_WORKSPACE_KEEP bytes are kept for the
 * next call; larger ones are given back by fc_workspace_trim at the end of the operation. */
typedef enum {
    FC_SLOT_TASK,    /* private to a running task */
    FC_SLOT_PLAN,    /* small tables of the operation, owned by its caller */
    FC_SLOT_SHARED,  /* owned by the caller of fc_parallel_for, read by its tasks */
    FC_SLOT_WEIGHTS, /* packed weights: owned likewise */
    FC_SLOTS,
} fc_slot;
#define FC_WORKSPACE_KEEP (4 << 20)
void* fc_workspace(fc_slot slot, size_t bytes);
void fc_workspace_trim(void);

/* Testing: count a request for memory down, and say whether it is the one that is to fail. */
int fc_failure_due(_Atomic int64_t* requests);

/* Carve consecutive 64-byte aligned pieces out of one block: first sum up, then hand out. */
static inline size_t fc_align(size_t bytes) {
    return (bytes + 63) & ~(size_t)63;
}

static inline int64_t fc_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t fc_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static inline int64_t fc_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static inline size_t fc_dtype_size(fc_dtype dtype) {
    return dtype == FC_FLOAT32 ? 4 : 8;
}

#endif
