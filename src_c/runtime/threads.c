/* Threads: the one file that knows OpenMP.
 *
 * Every thread has a range of the tasks, and helps others when it has done its own: balanced when
 * tasks differ, and the same thread mostly meets the same part of an array in one operation after
 * another, which then is in its own cache. A task writes only its own outputs, so results never
 * depend on the number of threads.
 *
 * Forking: libgomp's idle pool does not exist in a forked child, and the child would wait for it
 * for ever. Before a fork the pool of the forking thread is given back (both sides start a new one
 * when they need it). Where that is refused, the child runs serially. */
#include "runtime.h"
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Below this many FMAs (a few microseconds) waking a second thread costs more than it gains. */
#define WORK_PER_THREAD 400000.0

static _Atomic int configured_threads;
static _Atomic int serial_child;
static int pool_released;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void before_fork(void) {
    pool_released = omp_pause_resource_all(omp_pause_hard) == 0;
}
static void in_child(void) {
    if (!pool_released) atomic_store(&serial_child, 1);
}
static void watch_forks(void) {
    pthread_atfork(before_fork, NULL, in_child);
}

int fc_default_num_threads(void) {
    int threads = fc_cpu_quota();
    const char* text = getenv("OMP_NUM_THREADS");
    int wanted = text ? atoi(text) : 0;
    return wanted >= 1 ? wanted : threads;
}

int fc_get_num_threads(void) {
    int threads = atomic_load_explicit(&configured_threads, memory_order_relaxed);
    if (threads == 0) {
        threads = fc_default_num_threads();
        atomic_store(&configured_threads, threads);
    }
    return threads;
}

void fc_set_num_threads(int threads) {
    atomic_store(&configured_threads, threads > 1 ? threads : 1);
}

int fc_threads_for(double work) {
    int threads = fc_get_num_threads();
    if (threads == 1 || work < 2 * WORK_PER_THREAD) return 1;
    if (atomic_load_explicit(&serial_child, memory_order_relaxed) || omp_in_parallel()) return 1;
    double worth = work / WORK_PER_THREAD;
    return worth < threads ? (int)worth : threads;
}

/* Threads beyond this many share ranges. */
enum { MOST_RANGES = 64 };

typedef struct {
    _Alignas(64) _Atomic int64_t next; /* on a line of its own */
    int64_t end;
} task_range;

typedef struct {
    task_range* ranges;
    int count;
    _Atomic int failure;
    fc_task task;
    void* context;
} task_pool;

static void run_range(task_pool* pool, task_range* range) {
    int64_t i;
    while ((i = atomic_fetch_add_explicit(&range->next, 1, memory_order_relaxed)) < range->end) {
        if (atomic_load_explicit(&pool->failure, memory_order_relaxed) != FC_OK) break;
        const fc_status status = pool->task(pool->context, i);
        if (status != FC_OK) atomic_store(&pool->failure, (int)status);
    }
}

fc_status fc_parallel_for(int64_t tasks, double work, fc_task task, void* context) {
    int threads = (int)fc_min(fc_threads_for(work), tasks);
    if (threads <= 1) {
        fc_status status = FC_OK;
        for (int64_t i = 0; i < tasks && status == FC_OK; i++) status = task(context, i);
        return status;
    }
    pthread_once(&fork_once, watch_forks);
    task_range ranges[MOST_RANGES];
    task_pool pool = {.ranges = ranges,
                      .count = (int)fc_min(threads, MOST_RANGES),
                      .task = task,
                      .context = context};
    atomic_init(&pool.failure, FC_OK);
    for (int i = 0; i < pool.count; i++) {
        atomic_init(&ranges[i].next, tasks * i / pool.count);
        ranges[i].end = tasks * (i + 1) / pool.count;
    }
#pragma omp parallel num_threads(threads)
    {
        const int own = omp_get_thread_num();
        for (int i = 0; i < pool.count; i++) run_range(&pool, &ranges[(own + i) % pool.count]);
    }
    return (fc_status)atomic_load(&pool.failure);
}
