/* What every way of pooling forward is given, and the ways. */
#ifndef FASTCONV_POOL_JOB_H
#define FASTCONV_POOL_JOB_H

#include "../runtime/runtime.h"

enum {
    FC_POOL_RUN = 1 << 14, /* input elements a task, at least */
    /* What a step takes, in FMAs: of a tap of one lane, and of a maximum's gradient. */
    FC_POOL_TAP = 8,
    FC_POOL_SCATTER = 32,
};

typedef struct {
    const fc_kernels_of_type* kernels;
    const fc_pool2d* pool;    /* without taps that only ever meet padding */
    const fc_pool2d* counted; /* as given: what averages divide by */
    size_t element;
    fc_pool_mode mode;
    double work;
    const char* input;
    char* output;
    int64_t* indices;
} fc_pool_job;

/* pool_rows.c: straight from the image's rows; 0 if it cannot. */
int fc_pool_rows_can(const fc_pool_job* job);
fc_status fc_pool_by_rows(const fc_pool_job* job);

/* pool_planes.c: over phase-split planes; always can, if places fit 32-bit lanes. */
fc_status fc_pool_by_planes(const fc_pool_job* job);

static inline const char* fc_pool_image(const fc_pool_job* job, int64_t plane) {
    return job->input + (size_t)(plane * job->pool->input[0] * job->pool->input[1]) * job->element;
}

/* The same pooling without the taps at either end of a window that meet padding in every output: a
 * window may be far larger than the image. The padding before it shrinks alike, below zero if the
 * first tap left begins inside. */
static inline fc_pool2d fc_pool_clip(const fc_pool2d* pool) {
    fc_pool2d clipped = *pool;
    for (int axis = 0; axis < 2; axis++) {
        const int64_t d = pool->dilation[axis];
        const int64_t end = fc_ceil_div(pool->input[axis] + pool->padding[axis], d);
        const int64_t before = pool->padding[axis] - (pool->output[axis] - 1) * pool->stride[axis];
        const int64_t begin = before > 0 ? fc_ceil_div(before, d) : 0;
        clipped.kernel[axis] = fc_min(pool->kernel[axis], end) - begin;
        clipped.padding[axis] = pool->padding[axis] - begin * d;
    }
    return clipped;
}

/* One window, which is the whole plane? */
static inline int fc_pool_covers_plane(const fc_pool2d* pool) {
    for (int axis = 0; axis < 2; axis++)
        if (pool->kernel[axis] != pool->input[axis] || pool->padding[axis] != 0 ||
            pool->dilation[axis] != 1)
            return 0;
    return 1;
}

/* Planes that make a task. */
static inline int64_t fc_pool_planes_a_task(const fc_pool2d* pool) {
    return fc_max(1, FC_POOL_RUN / (pool->input[0] * pool->input[1]));
}

#endif
