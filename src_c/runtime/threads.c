/* Threads: the one file that knows OpenMP.
 *
 * Tasks are handed out by an atomic counter: cheap, and balanced when tasks differ. A task writes
 * only its own outputs, so results never depend on the number of threads.
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

fc_status fc_parallel_for(int64_t tasks, double work, fc_task task, void* context) {
    int threads = (int)fc_min(fc_threads_for(work), tasks);
    if (threads <= 1) {
        fc_status status = FC_OK;
        for (int64_t i = 0; i < tasks && status == FC_OK; i++) status = task(context, i);
        return status;
    }
    pthread_once(&fork_once, watch_forks);
    _Atomic int64_t next = 0;
    _Atomic int failure = FC_OK;
#pragma omp parallel num_threads(threads)
    {
        int64_t i;
        while ((i = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed)) < tasks) {
            if (atomic_load_explicit(&failure, memory_order_relaxed) != FC_OK) break;
            fc_status status = task(context, i);
            if (status != FC_OK) atomic_store(&failure, (int)status);
        }
    }
    return (fc_status)atomic_load(&failure);
}
