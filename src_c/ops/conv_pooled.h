/* The gradients of a convolution below a max-pool.
 *
 * Of the gradient of the convolution's output most elements are zero: three of four below windows
 * of 2 x 2. So it is never written out. Each maximum is an entry, a number g and the pixel (y, x)
 * that it came from, unless g is zero, as behind a ReLU a quarter to a half of them are; and
 *   grad_weight[k]                    += g * window of the input at (y, x)
 *   window of grad_input at (y, x)    += g * weight[k]
 *
 * Windows are contiguous: a column is the pixels of a window that lie one above the other, all
 * channels of each, and a window is kernel_size[1] columns in a row. An image of columns holds each
 * pixel once for every row of the kernel, so it has to be small, and stays in cache. No vector that
 * is read there serves twice, as it would in a product; but there are few.
 *
 * A bias's gradient is the sum of the entries. */
#ifndef FASTCONV_CONV_POOLED_H
#define FASTCONV_CONV_POOLED_H

#include "../runtime/runtime.h"

enum { FC_POOLED_ROWS = 32 }; /* of a kernel, at most */

/* An image (of `channels` planes of `size`) and its columns; elements. */
typedef struct {
    const fc_kernels_of_type* kernels;
    int64_t element; /* bytes */
    int64_t channels, size[2];
    int64_t before[2];     /* padding */
    int64_t pieces, apart; /* pixels of a column, and rows from one to the next */
    int64_t rows, step;    /* of columns; rows of the image from one to the next */
    int64_t height, width; /* of what columns meet, padding included */
    int64_t pitch;         /* from one column to the next */
    int64_t blocks, pixel; /* of channels; of a block, from one pixel to the next */
} fc_columns;

/* Columns of the input, of whole vectors or (`dense`) without a gap; of a filter. */
fc_columns fc_columns_of_input(const fc_conv2d* conv, fc_dtype dtype, int dense);
fc_columns fc_columns_of_filter(const fc_columns* input, const fc_conv2d* conv);

/* Elements of windows, of all columns with slack, and of the scratch that fill and fold need. */
int64_t fc_columns_window(const fc_columns* columns, const fc_conv2d* conv);
int64_t fc_columns_elements(const fc_columns* columns);
int64_t fc_columns_scratch(const fc_columns* columns);

/* Images into columns, and columns added up into images. `room`: elements from the image on that
 * belong to its array. */
void fc_columns_fill(const fc_columns* columns, const char* image, int64_t room, char* scratch,
                     char* to);
void fc_columns_fold(const fc_columns* columns, const char* from, char* scratch, char* image);

/* Where the window of each pixel of the output starts. */
void fc_columns_table(const fc_columns* columns, const fc_conv2d* conv, int32_t* table);

/* A table of the output's pixels in the order of windows of 2 x 2, and of the four pixels of each.
 */
void fc_columns_by_windows(const fc_conv2d* conv, const int32_t* table, int32_t* by_windows);

#endif
