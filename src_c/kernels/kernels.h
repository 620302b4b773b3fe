/* The table of vector kernels: what kernels/isa.c exports once per instruction set and dtype, and
 * what the portable drivers in ops/ call. An instruction set is data: these pointers and sizes. */
#ifndef FASTCONV_KERNELS_H
#define FASTCONV_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include "../include/fastconv.h"

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

typedef void (*fc_unary)(int64_t size, double parameter, const void* input, void* output);
typedef void (*fc_unary_backward)(int64_t size, double parameter, const void* grad_output,
                                  const void* saved, void* grad_input);

typedef struct {
    int lanes;          /* elements in a vector */
    int mr, nr;         /* conv_taps tile: rows (channels) x columns (pixels; whole vectors) */
    int dot_mr, dot_nr; /* conv_dots tile */

    void (*fill_planes)(const fc_planes* planes, const void* image, void* destination);
    /* The transpose of fill_planes: add every plane element to the pixel that it came from. */
    void (*add_planes)(const fc_planes* planes, const void* source, void* image);
    void (*store_tile)(const fc_store* store, const void* tile, void* output);

    /* tile[m][p] (+)= sum_d weight[d][m] * planes[offset[d] + p] for m < rows, p < nr
     * (conv_taps.inc). init: one start value a row, NULL for zero; accumulate != 0 starts from the
     * tile itself. */
    void (*conv_taps)(int rows, int64_t depth, const void* weight, const void* planes,
                      const int32_t* offset, const void* init, int accumulate, void* tile,
                      int64_t tile_stride, int64_t pixels);
    /* sums[m * sums_stride + n] += sum_p a[m * a_stride + p] * b[offset[n] + p] (conv_dots.inc);
     * p runs over whole vectors: both sides are padded, a with zeros. */
    void (*conv_dots)(int rows, int columns, int64_t pixels, const void* a, int64_t a_stride,
                      const void* b, const int32_t* offset, void* sums, int64_t sums_stride);

    /* Sum of `size` adjacent elements, in double; and sums[j] += sum over i of rows[i * stride + j]
     * for j < width (sums.inc). */
    double (*sum_run)(int64_t size, const void* run);
    void (*sum_rows)(int64_t rows, int64_t width, int64_t stride, const void* data, double* sums);

    fc_unary activation_forward[FC_ACTIVATIONS];
    fc_unary_backward activation_backward[FC_ACTIVATIONS];
} fc_kernels_of_type;

typedef struct {
    const fc_kernels_of_type* of[FC_DTYPES];
} fc_kernels;

#endif
