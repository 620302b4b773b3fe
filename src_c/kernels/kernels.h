/* The table of vector kernels: what kernels/isa.c exports once per instruction set and dtype, and
 * what the portable drivers in ops/ call. An instruction set is data: these pointers and sizes. */
#ifndef FASTCONV_KERNELS_H
#define FASTCONV_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include "../include/fastconv.h"
#include "depthwise.h"
#include "pooled.h"
#include "winograd.h"

/* Copy one channel's image into padded, phase-split planes (planes.inc).
 * Plane (a, b), row i, column j holds the image at
 *   (first_row + i * stride_height + row_phase[a], first_column + j * stride_width + col_phase[b]),
 * or `outside` where that lies beyond the image. */
typedef struct {
    int64_t height, width;          /* of the image */
    int64_t row_stride, col_stride; /* of the image, in elements */
    int64_t first_row, first_column;
    int64_t stride_height, stride_width;
    int64_t row_phases, col_phases;
    const int64_t* row_phase;
    const int64_t* col_phase;
    int64_t rows, cols;   /* of every plane */
    int64_t phase_stride; /* from one plane to the next, in elements */
    double outside;
} fc_planes;

/* Store one tile of flattened rows into an image (planes.inc): channel m, row i, column j of the
 * output comes from tile[m * tile_stride + i * tile_cols + j], through the activation. */
typedef struct {
    int64_t channels, rows, cols;
    int64_t tile_stride, tile_cols;
    int64_t channel_stride, row_stride, col_stride; /* of the output, in elements */
    int relu;
} fc_store;

/* Sums of conv_taps: steps of depth, each with the offset of its row in the planes. */
typedef struct {
    int64_t depth, weight_step; /* from one step's weights to the next's */
    int64_t pixels, tile_stride;
    const int32_t* offset;
    int accumulate; /* on what is in the tile; else from the start values */
    int relu;       /* the sums are complete: clip them */
    /* a line to be fetched into L2 with every step, so many bytes apart; or NULL */
    const void* ahead;
    int64_t ahead_step;
} fc_taps;

/* Products of the taps of a window on their way to the pixels that they belong to
 * (conv_gather.inc): that of tap (r, s) at position (i, j) is products[(r * kernel[1] + s) *
 * tap_stride + i * positions[1] + j], and goes to pixel (i + r * dilation[0] - padding[0], ...). */
enum { FC_GATHER_TAPS = 16 }; /* of a row of the window, at most */
typedef struct {
    int64_t rows, cols; /* of the image */
    int64_t positions[2], kernel[2], dilation[2], padding[2];
    int64_t tap_stride;
} fc_gather;

/* The same for one row of an image at any stride (conv_gather_row.inc): pixels of phase b, a vector
 * after the other, and the taps that reach them. */
typedef struct {
    int64_t phases, vectors, pitch; /* of the sums: `vectors` a phase, rows of them so far apart */
    int64_t inner[2];               /* the vectors, of [0, vectors), that every tap fills */
    int64_t positions;              /* of a row of products */
    const int64_t* taps_end;        /* [phases] where the taps of each end, and the next's begin */
    const int64_t* start;           /* [taps] the position that lane 0 of vector 0 meets */
    const int64_t* offset;          /* [taps] of its product from the row of the first tap */
} fc_gather_row;

/* Where the products are: `rows` of them, from `row` on; accumulate: to what the sums hold. */
typedef struct {
    int64_t rows;
    const int64_t* row;
    int accumulate;
} fc_gather_from;

/* How tiles of the residues of a gradient's coordinates become its rows
 * (merge_phases.inc): coordinate i is position
 * (i + before) / stride of tile (i + before) % stride, along either axis. Tiles are
 * read in whole vectors, up to one past the last. */
typedef struct {
    int64_t rows, cols; /* of the output */
    int64_t before[2], stride[2];
    int64_t tile_stride, tile_pitch;
    int64_t row_stride, col_stride; /* of the output, in elements */
    int64_t lanes;                  /* 0: by rows; else a tile holds a vector a pixel */
    int64_t room;
} fc_merge;

/* Rows (channels, at most the lanes of a vector) of columns (pixels) on their way into the blocked
 * form [column][lane] or back (transpose.inc); strides in elements, one of them 1 where it is fast.
 */
typedef struct {
    int64_t rows, columns, row_stride, column_stride;
    int relu;   /* on the way back */
    int padded; /* on the way back: lanes past `rows` are stored too, as zeros */
    int dense;  /* packing: columns end up `rows` elements apart, with a vector of slack at the end
                 */
} fc_lanes;

/* Rows of pixels on their way into pixels of several rows: `pieces` rows `pitch` elements apart,
 * `size` elements of each a pixel, one after another, then zeros, `pixel` elements in all. */
typedef struct {
    int64_t pixels, size, pieces, pitch, pixel;
} fc_fold;

/* Runs of pixels whose products are summed (conv_dots.inc), in elements. */
typedef struct {
    int64_t pixels, runs;
    int64_t a_run, b_run; /* from one run to the next */
    int64_t a_stride, sums_stride;
    /* a line to be fetched into L2 with every vector of pixels, so many bytes apart; or NULL */
    const void* ahead;
    int64_t ahead_step;
} fc_dots;

/* Segments of `length` elements of pixels that lie `pixel` apart, `pitch` apart where they are
 * copied to (conv_window.inc). Up to a vector more is read and written. */
typedef struct {
    int64_t pixels, pixel, pitch;
    int64_t segments, length;
    const int64_t* segment; /* offset of each from the pixel */
} fc_window;

/* One panel of a matrix product: what gemm_ukernel.inc needs to find its operands, in elements. */
typedef struct {
    int64_t a_row, a_depth;   /* by rows: a_depth is 1; by columns: a_row is 1 */
    int64_t segments, depth;  /* of the reduction: `segments` runs of `depth` */
    int64_t sum_segments;     /* runs summed before they are added to c; 0: all */
    const int64_t* a_segment; /* offset of each run in a */
    int64_t b_depth, b_vector;
    int64_t c_row, c_vector;
    int accumulate; /* add to c */
    /* Of gemm_copying, either NULL for none: lines to be fetched into L2, two adjacent ones every
     * other step; where the vectors of b go too, side by side. */
    const void* ahead;
    int64_t ahead_step; /* in bytes */
    void* b_copy;
    int64_t copy_depth; /* from step to step */
} fc_gemm_panel;

/* c[m][n] (+)= sum a[m][s][d] * b[s * depth + d][n] for m < rows, n < vectors (1 or 2) * lanes. */
typedef void (*fc_gemm_kernel)(const fc_gemm_panel* panel, int64_t rows, int vectors, const void* a,
                               const void* b, void* c);

/* Rows on their way into panels (gemm_edges.inc): `depth` rows of `columns` elements. */
typedef struct {
    int64_t depth, columns, stride;
    int64_t to_depth, to_vector; /* from row to row and from vector to vector of what is packed */
} fc_gemm_rows;

/* Sums on their way to the result; either bias may be NULL. */
typedef struct {
    int64_t rows, columns, tile_row, result_row;
    const void *row_bias, *column_bias;
    int relu;
} fc_gemm_finish;

/* Dot products of rows of a with rows of b. */
typedef struct {
    int64_t depth, a_row, b_row, c_row;
    int accumulate;
} fc_gemm_dots;

/* Sums of rows of b: `vectors` of them a row, the last at element `last`. */
typedef struct {
    int64_t depth, a_row, a_depth, b_depth, c_row;
    int64_t vectors, last;
} fc_gemm_stream;

/* Rows of a product whose depth is a few steps. */
typedef struct {
    int64_t rows, columns, a_row, a_depth, b_depth, c_row;
} fc_gemm_outer;

typedef void (*fc_unary)(int64_t size, double parameter, const void* input, void* output);
typedef void (*fc_unary_backward)(int64_t size, double parameter, const void* grad_output,
                                  const void* saved, void* grad_input);

/* `count` lines: rows of input (lines->inner == 1), or neighbouring ones, whose first elements lie
 * side by side (softmax.inc). */
typedef void (*fc_softmax_kernel)(const fc_lines* lines, int64_t count, const void* input,
                                  void* output);
typedef void (*fc_softmax_kernel_backward)(const fc_lines* lines, int64_t count,
                                           const void* grad_output, const void* saved,
                                           const void* output, void* grad_input);

/* Gradient of the losses: one a line, or (NULL) `scale` for all. */
typedef struct {
    const void* losses;
    double scale;
} fc_loss_gradient;

/* Taps of pooling windows over filled planes (pool.inc): tap i of output p is
 * planes[offset[i] + p], for p < pixels rounded up to a few whole vectors. */
typedef struct {
    int64_t taps, pixels;
    const int64_t* offset;
    const int64_t* place; /* of the tap in its window: flat, from the window's first cell */
    int first;            /* start afresh, or from what the tile holds */
} fc_pool_taps;

/* A block of pooled outputs on its way from a tile to the output's rows. */
typedef struct {
    int64_t rows, cols, tile_cols, out_cols;
    int64_t base, row_step, col_step;     /* maximum: index of each window's first cell */
    const int64_t *row_first, *col_first; /* place of the first cell inside the input */
    const double *row_count, *col_count;  /* average: the divisor is their product */
} fc_pool_store;

/* Cells that a window of an average counts along one axis (0: down, 1: along the row). A fixed
 * divisor counts as the height of every window, with width 1. */
static inline double fc_pool_count(const fc_pool2d* d, int axis, int64_t output) {
    if (d->divisor) return axis == 0 ? (double)d->divisor : 1;
    int64_t begin = output * d->stride[axis] - d->padding[axis];
    int64_t end = begin + d->kernel[axis], limit = d->input[axis] + d->padding[axis];
    if (!d->count_include_pad) limit = d->input[axis];
    if (!d->count_include_pad && begin < 0) begin = 0;
    return (double)((end < limit ? end : limit) - begin);
}

typedef enum { FC_POOL_MAX, FC_POOL_MAX_PLACED, FC_POOL_AVERAGE } fc_pool_mode;

/* Outputs of `rows` rows whose windows lie in rows of `source` (pool_rows.inc): window (i, j)
 * starts at source[i * row_step * pitch + j * col_step], col_step 1 or 2; so for each of `planes`,
 * `area` elements apart. Reads up to two vectors past the last row's end; `room` outputs from the
 * first on may be written. */
typedef struct {
    fc_pool_mode mode;
    int64_t planes, area;
    int64_t rows, cols, room;
    int64_t kernel[2], row_step, col_step, pitch;
    int64_t above, left; /* rows and columns of padding before the first window's first cell */
    int64_t width, base; /* of the image; flat index of the first window's first cell in it */
    double divisor;
} fc_pool_rows;

/* Where the taps of a window meet: the sum or the maximum of a tile, and the places. */
typedef void (*fc_pool_kernel)(const fc_pool_taps* taps, const void* planes, void* tile,
                               void* places);

enum { FC_STREAM_ROWS = 4 };

/* A step of an optimiser for one array (optimizer.inc). */
typedef struct {
    const fc_optimizer* optimizer;
    int64_t step;
    double rate, root; /* adam: with its corrections for the start; else lr, and no root */
} fc_optimizer_update;

typedef struct {
    int lanes;            /* elements in a vector */
    int mr, nr;           /* conv_taps tile: rows (channels) x columns (pixels; whole vectors) */
    int dot_mr, dot_nr;   /* conv_dots tile */
    int gemm_mr, gemm_nv; /* gemm_ukernel tile: rows x vectors */

    void (*fill_planes)(const fc_planes* planes, const void* image, void* destination);
    /* The transpose of fill_planes: add every plane element to the pixel that it came from. */
    void (*add_planes)(const fc_planes* planes, const void* source, void* image);
    void (*store_tile)(const fc_store* store, const void* tile, void* output);

    /* tile[m][p] = init[m] (NULL: 0) + sum_d weight[d * weight_step + m] * planes[offset[d] + p]
     * for m < rows <= mr, p < pixels and on to whole vectors (conv_taps.inc). */
    void (*conv_taps)(const fc_taps* taps, int rows, const void* weight, const void* planes,
                      const void* init, void* tile);
    /* sums[m * sums_stride + n] += sum over runs i and pixels p of a[i * a_run + m * a_stride + p]
     * * b[i * b_run + offset[n] + p] (conv_dots.inc); p goes on to whole vectors, where a must be
     * zero and b finite. */
    void (*conv_dots)(const fc_dots* dots, int rows, int columns, const void* a, const void* b,
                      const int32_t* offset, void* sums);
    /* One plane of the image; `room` elements from target on may be written. Reads up to a vector
     * behind the products. */
    void (*conv_gather)(const fc_gather* gather, int64_t room, const void* products, void* target);
    /* Reads up to all vectors of a row on either side of a row of products. */
    void (*conv_gather_row)(const fc_gather_row* gather, const fc_gather_from* from,
                            const void* products, void* sums);

    void (*merge_phases)(const fc_merge* merge, const void* tiles, void* output);

    void (*conv_window)(const fc_window* window, const void* slab, void* rows);

    fc_pooled_kernels pooled;
    fc_gemm_kernel gemm_by_rows, gemm_by_columns;
    fc_gemm_kernel gemm_copying; /* by rows; NULL where a pair of vectors is less than two lines */
    /* One vector of results; a_row is `lanes`, depth a multiple of it, twice it or more. */
    void (*gemm_sliding)(const fc_gemm_panel* panel, int64_t rows, const void* a, const void* b,
                         void* c);
    void (*gemm_pack_rows)(const fc_gemm_rows* rows, int64_t room, const void* matrix,
                           void* packed);
    /* addend: laid out like the result, or the result itself, or NULL */
    void (*gemm_finish)(const fc_gemm_finish* finish, const void* tile, const void* addend,
                        void* result);
    /* rows <= dot_mr, columns <= dot_nr, depth >= lanes */
    void (*gemm_dots)(const fc_gemm_dots* dots, int rows, int columns, const void* a, const void* b,
                      void* c);
    /* rows <= FC_STREAM_ROWS; adds to c */
    void (*gemm_stream)(const fc_gemm_stream* stream, int rows, const void* a, const void* b,
                        void* c);
    void (*gemm_outer)(const fc_gemm_outer* outer, int depth, const void* a, const void* b,
                       void* c); /* depth: 1 to FC_STREAM_ROWS */
    /* blocked[j * lanes + i] = image[i * row_stride + j * column_stride], 0 for i >= rows; `room`
     * elements from image on belong to its array. And back, after adding bias (one a row, or NULL).
     */
    void (*pack_lanes)(const fc_lanes* lanes, int64_t room, const void* image, void* blocked);
    void (*unpack_lanes)(const fc_lanes* lanes, const void* blocked, const void* bias, void* image);

    /* reads and writes up to a vector past the end of either side */
    void (*fold_pixels)(const fc_fold* fold, const void* rows, void* folded);

    fc_squares_kernel winograd_input[FC_WINOGRAD_MEMBERS];
    fc_squares_kernel winograd_output[FC_WINOGRAD_MEMBERS], winograd_weight[FC_WINOGRAD_MEMBERS];
    fc_squares_kernel winograd_grad_output[FC_WINOGRAD_MEMBERS],
        winograd_grad_weight[FC_WINOGRAD_MEMBERS];
    void (*depthwise)(const fc_depthwise* sums, const void* weight, const void* start,
                      const void* source, void* output);
    void (*depthwise_dots)(const fc_depthwise_dots* dots, const void* grad, const void* source,
                           void* sums);
    void (*depthwise_fill_rows)(const fc_depthwise_fill* fill, const void* image, void* slab);
    void (*depthwise_fill_lanes)(const fc_depthwise_fill* fill, const void* image, void* slab);
    void (*depthwise_pack)(const fc_depthwise_weights* weights, void* packed);
    /* result[base[l] + index[e]] = lane l of sums vector e, for l < lanes; or, if `alike`,
     * result[base[0] + index[e]] = all lanes of it, and those below `lanes` of the vector `count`
     * further on. */
    void (*depthwise_unpack)(int64_t count, const int32_t* index, const int64_t* base, int alike,
                             int64_t lanes, const void* sums, void* result);

    /* Sum of `size` adjacent elements, in double; and sums[j] += sum over i of rows[i * stride + j]
     * for j < width (sums.inc). */
    double (*sum_run)(int64_t size, const void* run);
    double (*largest_of_run)(int64_t size, const void* run); /* magnitude; infinity for NaN */
    void (*sum_rows)(int64_t rows, int64_t width, int64_t stride, const void* data, double* sums);

    void (*optimizer_step)(const fc_optimizer_update* update, int64_t size, void* data,
                           const void* grad, void* const* state);

    fc_unary activation_forward[FC_ACTIVATIONS];
    fc_unary_backward activation_backward[FC_ACTIVATIONS];

    fc_softmax_kernel softmax_forward[FC_SOFTMAX_MODES];
    fc_softmax_kernel_backward softmax_backward[FC_SOFTMAX_MODES];
    /* `count` rows (inner == 1) or neighbouring lines; 0, or a label was out of range (loss.inc).
     */
    int (*cross_entropy_forward)(const fc_cross_entropy* problem, int64_t count,
                                 const int64_t* target, const void* input, void* losses,
                                 double sums[2]);
    int (*cross_entropy_backward)(const fc_cross_entropy* problem, int64_t count,
                                  const int64_t* target, const fc_loss_gradient* grad,
                                  const void* input, void* grad_input);

    fc_pool_kernel max_taps, sum_taps;
    void (*max_store)(const fc_pool_store* store, const void* tile, const void* places,
                      void* output, int64_t* indices);
    void (*average_store)(const fc_pool_store* store, const void* tile, void* output);
    void (*pool_rows)(const fc_pool_rows* rows, const void* source, void* output, int64_t* indices);
    /* Maxima of windows of 2 x 2 in a tile's rows and columns; those of a channel lie without a
     * gap. Reads up to two vectors past the last row's end. places may be NULL. */
    void (*window_maxima)(const fc_store* store, const void* tile, void* maxima, uint8_t* places);
    void (*mean_planes)(int64_t planes, int64_t area, double divisor, const void* input,
                        void* output);
    void (*max_planes)(int64_t planes, int64_t area, const void* input, void* output,
                       int64_t* indices);
    void (*spread_planes)(int64_t planes, int64_t area, double divisor, const void* grad_output,
                          void* grad_input);
    void (*max_row_plain)(const fc_pool2d* pool, int64_t out_row, const void* image, void* output,
                          int64_t* indices);
    /* one plane's; 1: an index lies outside it */
    int (*max_backward)(const fc_max_pool_gradient* pool, int64_t plane, const void* grad_output,
                        void* grad_input);
    /* counted: the pool as given, from which the divisors follow */
    void (*average_backward)(const fc_pool2d* pool, const fc_pool2d* counted, int64_t first_row,
                             int64_t last_row, const void* grad_output, void* grad_input);
} fc_kernels_of_type;

typedef struct {
    const fc_kernels_of_type* of[FC_DTYPES];
} fc_kernels;

#endif
