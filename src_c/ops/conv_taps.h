/* The tap engine: sums over channels and taps of shifted planes, for many output pixels at once.
 * Forward convolution and each phase of the input's gradient are one fc_taps_problem. */
#ifndef FASTCONV_CONV_TAPS_H
#define FASTCONV_CONV_TAPS_H

#include "conv_planes.h"

typedef struct {
    fc_dtype dtype;
    int64_t batch, groups;
    int64_t reduced; /* channels summed over, per group */
    int64_t results; /* channels computed, per group */
    fc_axis vertical, horizontal;

    const char* source;
    fc_strides source_strides;
    int64_t source_height, source_width;
    int64_t first_row, first_column; /* source coordinate of phase 0 at output (0, 0) */

    int pooled; /* the output is the maxima of windows of 2 x 2: rows and columns are even, and
                   columns are one block */
    char* output;
    uint8_t* places; /* of the maxima, as they lie in the output, or NULL */
    fc_strides output_strides;
    int64_t out_rows, out_cols;

    const char* weight;
    int64_t weight_group_stride, weight_result_stride, weight_reduced_stride; /* elements */
    int64_t weight_row_stride; /* from one kernel row to the next; columns are adjacent */
    const char* bias;          /* [groups * results] or NULL */
    int relu;
} fc_taps_problem;

/* How one problem is cut up; a pure function of the problem and the thread count. */
typedef struct {
    int64_t chunk;              /* channels whose planes are in cache together */
    int64_t images, rows, cols; /* output block of a task */
    int64_t image_blocks, row_blocks, col_blocks;
    int64_t tiles, parts;           /* register tiles of result channels; shares of them */
    int64_t tile_stride, tile_rows; /* partial sums kept by a task */
    int64_t runs, run_stride;       /* of pixels, without the rows between images; in a tile */
    int writes_output;              /* sums are added up where they belong */
    fc_plane_layout layout;
    size_t planes_bytes, tile_bytes;    /* scratch of a task */
    size_t offsets_bytes, packed_bytes; /* shared by all tasks */
} fc_taps_plan;

fc_taps_plan fc_plan_taps(const fc_taps_problem* problem);
fc_status fc_run_taps(const fc_taps_problem* problem);

#endif
