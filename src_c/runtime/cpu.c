/* What this CPU can do, and how much of it we may use. */
#define _GNU_SOURCE
#include "runtime.h"
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
/* __builtin_cpu_supports also asks the operating system (XGETBV) whether it saves the registers. */
int fc_cpu_has_avx512(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("fma");
}

int fc_cpu_has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

/* CPUs of the cgroup's quota (v2, then v1), rounded up; 0 where there is no limit. */
static int cgroup_quota(void) {
    double quota = -1, period = 0;
    FILE* file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (file) {
        if (fscanf(file, "%lf %lf", &quota, &period) != 2) quota = -1;
        fclose(file);
    } else if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r"))) {
        if (fscanf(file, "%lf", &quota) != 1) quota = -1;
        fclose(file);
        file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r");
        if (!file) return 0;
        if (fscanf(file, "%lf", &period) != 1) period = 0;
        fclose(file);
    }
    return quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int fc_cpu_quota(void) {
    int cpus = 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
    if (cpus < 1) cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    int quota = cgroup_quota();
    if (quota > 0 && quota < cpus) cpus = quota;
    return cpus > 1 ? cpus : 1;
}

size_t fc_memory_quota(void) {
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), quota;
    FILE* file = fopen("/sys/fs/cgroup/memory.max", "r"); /* v2: a number or "max" */
    if (!file) file = fopen("/sys/fs/cgroup/memory/memory.limit_in_bytes", "r");
    if (!file) return (size_t)bytes;
    if (fscanf(file, "%lf", &quota) == 1 && quota < bytes) bytes = quota;
    fclose(file);
    return (size_t)bytes;
}
