/* Implicit GEMM: convolution as products of matrices of which none is ever written down.
 *
 * A task packs a block of source pixels, padding included, into a slab [channel block][image][row]
 * [column][lane]. There a tap of a channel block is a segment: adjacent elements at a constant
 * distance from each pixel, so gemm_ukernel.inc multiplies slab and packed weights where they lie.
 * Taps side by side in a row are one longer segment. The last, shorter block of channels is packed
 * densely (pixels `tail` elements apart): no lane is lost on three or six channels.
 *
 * Where channels are neighbours in memory there may be nothing to pack. A 1x1 kernel reads NHWC
 * pixels where they lie; any kernel that meets no padding reads blocked images so, which are slabs
 * already. And whole vectors of results are summed in the user's array.
 *
 * The gradient of the input is the same, with a phase for each residue of its coordinates modulo
 * the stride; the gradient of the weights multiplies the slab's columns by the output's gradient.
 */
#ifndef FASTCONV_CONV_IMPLICIT_GEMM_H
#define FASTCONV_CONV_IMPLICIT_GEMM_H

#include "blocked.h"

/* Target positions first + n * target_step, n < count. Tap t of the phase, before <= t < before +
 * taps, meets source position source + n * source_step + shift[t]. */
typedef struct {
    int64_t first, count, source, taps, before;
} fc_phase;

typedef struct {
    int64_t phases, taps, target_step, source_step;
    int64_t positions;  /* count of the longest phase */
    int64_t low, reach; /* source positions [low, low + reach] are met at n = 0 */
    int64_t widest;     /* taps of the phase that has most */
    int adjacent;       /* are the taps of each phase neighbours in the source? */
    fc_phase* phase;
    int64_t *index, *shift; /* [taps]: place in the kernel; distance from the phase's first tap */
} fc_steps;

/* Either direction: source (input or grad_output) -> target, `reduced` -> `results` channels. */
typedef struct {
    const fc_conv2d* conv;
    const fc_kernels_of_type* kernels;
    int64_t element, groups, reduced, results;
    int64_t weight_result, weight_reduced, weight_group; /* strides of the OIHW weight */
    fc_image source, target;
    fc_steps rows, cols;
    int is_pointwise; /* forward and grad_input of a planar 1x1: lanes = pixels */
} fc_implicit;

typedef enum { FC_PASS_FORWARD, FC_PASS_GRAD_INPUT, FC_PASS_GRAD_WEIGHT } fc_pass;

/* Axes into the plan slot. grad_weight: as forward. Refuses a problem without any product. */
fc_status fc_implicit_problem(fc_implicit* problem, const fc_conv2d* conv, fc_dtype dtype,
                              fc_pass pass, const void* source, void* target);

/* The order of the reduction in packed weights: pairs of phases, their channel blocks, taps,
 * lanes. First step of a pair; how many steps there are. */
static inline int64_t fc_implicit_first_tap(const fc_implicit* p, int64_t a, int64_t b) {
    const fc_phase *row = &p->rows.phase[a], *col = &p->cols.phase[b];
    return row->before * p->cols.taps + row->taps * col->before;
}
static inline int64_t fc_implicit_depth(const fc_implicit* p) {
    return p->reduced * p->rows.taps * p->cols.taps;
}

/* How a problem is cut up. Whatever orders sums (chunk, steps of a call) follows from the geometry
 * alone; blocks and parts follow from the threads too. */
typedef struct {
    int64_t full, tail;         /* blocks of `lanes` channels; channels of the shorter one */
    int64_t chunk;              /* full blocks whose slab is in cache together */
    int64_t images, rows, cols; /* positions of a block */
    int64_t image_blocks, row_blocks, col_blocks;
    int64_t tiles, parts; /* of up to two vectors of results; shares of them */
    int64_t slab_rows, slab_cols, block_stride;
    int64_t image_rows;         /* of the slab, from one image to the next */
    int64_t tail_pixel;         /* elements from one pixel of the tail to the next */
    int64_t out_rows, out_cols; /* of the sums: targets of a block */
    int is_merged;              /* taps of a row are one segment */
    int is_shared;              /* the slabs of all blocks are packed first */
    int is_whole;               /* one block of all pixels: a task packs the weights it needs */
    int has_idle;               /* some targets are met by no tap: zeros */
    int reads_source;           /* pixels are read where they lie: the images are the slab */
    int writes_target;          /* vectors of results are summed where they belong */
    size_t slab_bytes, tile_bytes, sums_bytes, packed_bytes;
    size_t own_weight_bytes; /* of a tile, where a task packs it */
    double work;             /* FMAs */
} fc_implicit_plan;

fc_implicit_plan fc_implicit_make_plan(const fc_implicit* problem);
/* Blocks and slab alone, for blocks of about so many pixels: what grad_weight starts from. */
fc_implicit_plan fc_implicit_plan_blocks(const fc_implicit* problem, int64_t pixels);

/* Offsets in the slab of every segment of a chunk. Those of a pair of phases start at (plan->chunk
 * + 1) * fc_implicit_first_tap: full blocks first, then (after chunk * taps) the tail's, from the
 * tail's start on. */
size_t fc_implicit_segment_bytes(const fc_implicit* problem, const fc_implicit_plan* plan);
void fc_implicit_fill_segments(const fc_implicit* problem, const fc_implicit_plan* plan,
                               int64_t* offset);

/* Positions [row, row + rows) x [col, col + cols) of a run of images. */
typedef struct {
    int64_t group, image, images, row, rows, col, cols;
} fc_implicit_block;
fc_implicit_block fc_implicit_locate(const fc_implicit* problem, const fc_implicit_plan* plan,
                                     int64_t index);
/* The block's pixels as runs of equally spaced ones: rows follow each other without a gap where no
 * tap reaches sideways, images where none reaches at all. */
typedef struct {
    int64_t images, rows, cols;
} fc_implicit_runs;
fc_implicit_runs fc_implicit_merge(const fc_implicit* problem, const fc_implicit_plan* plan,
                                   const fc_implicit_block* block);

/* Bytes from the slab's first channel block to another. */
static inline int64_t fc_implicit_slot(const fc_implicit* p, const fc_implicit_plan* plan,
                                       int64_t slot) {
    return slot * plan->block_stride * p->element;
}

/* One channel block (plan->full: the tail) of the block's source pixels. */
void fc_implicit_pack(const fc_implicit* problem, const fc_implicit_plan* plan,
                      const fc_implicit_block* block, int64_t channel_block, char* slab);

/* Where the sums of a tile are: in scratch, or where they belong. Steps in elements. */
typedef struct {
    char* data;
    int64_t image, row, col, vector;
} fc_sums_place;

/* One tile of a block's results, and the channel blocks [first, last) in the slab; last may be the
 * tail. */
typedef struct {
    const fc_implicit* problem;
    const fc_implicit_plan* plan;
    const fc_implicit_block* block;
    const int64_t* segment; /* of fc_implicit_fill_segments */
    int64_t tile, first, last;
    const char *slab, *weight;
    fc_sums_place sums;
} fc_implicit_tile;
void fc_implicit_multiply(const fc_implicit_tile* tile);

/* Weights of a tile of results (plan->tiles of each group), between OIHW and
 * [pair of phases][channel block][tap][lane][vector][lane]; `scratch` is one full channel block. */
size_t fc_implicit_weight_scratch(const fc_implicit* problem);
int64_t fc_implicit_tile_start(const fc_implicit* problem, int64_t index); /* in bytes */
void fc_implicit_pack_weight(const fc_implicit* problem, int64_t index, const char* weight,
                             char* scratch, char* packed);
/* One channel block of a tile, whose sums start at `sums`. Forward problems only. */
void fc_implicit_unpack_weight(const fc_implicit* problem, int64_t index, int64_t channel_block,
                               char* sums, char* scratch, char* weight);

/* conv_implicit_gemm_weight_plan.c: bytes of scratch of a task of grad_weight, and shared. */
int64_t fc_implicit_grad_weight_workspace(const fc_conv2d* conv, fc_dtype dtype);

/* 1x1 convolutions of planar images go another way (conv_implicit_gemm_pointwise.c), with weights
 * as they are: their packed form is a copy. */
int fc_is_pointwise(const fc_conv2d* conv); /* 1x1, pixel for pixel */
int fc_pointwise_pays(const fc_conv2d* conv, fc_dtype dtype);
fc_status fc_pointwise_run(const fc_implicit* problem, const void* weight, const void* bias,
                           int relu);
int64_t fc_pointwise_workspace(const fc_implicit* problem);

#endif
