/* How pooling is cut: blocks of outputs whose planes fit a bounded scratch, and groups of taps that
 * are filled at once. The cut depends on the geometry alone. */
#ifndef FASTCONV_POOL_PLAN_H
#define FASTCONV_POOL_PLAN_H

#include "../runtime/runtime.h"

typedef struct {
    const fc_pool2d* pool;
    int64_t stride[2];           /* the pool's, or the dilation where there is one output only */
    int64_t block[2], blocks[2]; /* outputs a block, blocks a plane */
    int64_t group[2];            /* taps filled at once */
    int64_t phases[2];           /* distinct taps modulo the stride, in a group */
    int64_t rows, cols;          /* of a filled plane */
    int64_t slack;               /* elements past the end that whole vectors may touch */
} fc_pool_plan;

typedef struct {
    int64_t first[2], count[2]; /* outputs, or taps */
} fc_pool_part;

fc_pool_plan fc_pool_plan_of(const fc_pool2d* pool, size_t element, int lanes);

/* Scratch elements: of the filled planes, of a tile of outputs. */
int64_t fc_pool_plane_elements(const fc_pool_plan* plan);
static inline int64_t fc_pool_tile_elements(const fc_pool_plan* plan) {
    return plan->block[0] * plan->cols + plan->slack;
}

/* The index-th block's outputs. */
fc_pool_part fc_pool_block(const fc_pool_plan* plan, int64_t index);

/* offset and place of each tap of a group (fc_pool_taps). */
void fc_pool_tap_tables(const fc_pool_plan* plan, const fc_pool_part* taps, int64_t* offset,
                        int64_t* place);

/* Describe the planes that those taps of a block read; `phase` has room for stride entries of both
 * axes, at most group[0] + group[1]. */
fc_planes fc_pool_planes(const fc_pool_plan* plan, const fc_pool_part* block,
                         const fc_pool_part* taps, int64_t* phase);

#endif
