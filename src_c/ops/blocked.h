/* The engine's own layout: channel blocks of `lanes` channels, pixels inside, a vector a pixel
 * (NCHW16c, 8c, ...: the width follows from the instruction set). Drivers read and write images
 * through these two functions, block by block in cache: the one place that packs. Images that are
 * blocked already take the same way, as copies of rows, or are read and written where they lie. */
#ifndef FASTCONV_BLOCKED_H
#define FASTCONV_BLOCKED_H

#include "conv_planes.h"

/* A batch of images in memory. */
typedef struct {
    const fc_kernels_of_type* kernels;
    int64_t element; /* bytes */
    char* data;
    int64_t batch, channels, height, width;
    fc_layout layout;
    fc_strides strides;   /* blocked: channel_stride is that of the lanes of a block */
    int64_t block_stride; /* elements from one block of `lanes` channels to the next */
} fc_image;

fc_image fc_image_of(fc_dtype dtype, const void* data, int64_t batch, int64_t channels,
                     const int64_t size[2], fc_layout layout);

/* Element of a pixel; of blocked images the channel should begin a block. */
int64_t fc_image_place(const fc_image* image, int64_t number, int64_t channel, int64_t row,
                       int64_t column);

/* Is every group of both sides whole blocks where images are blocked? Drivers refuse others. */
int fc_groups_fit_blocks(const fc_conv2d* conv, fc_dtype dtype);

/* Pixels [row, row + rows) x [column, column + columns) of up to `lanes` channels from `channel`
 * on; in scratch, pixel (i, j) is vector i * pitch + j. */
typedef struct {
    int64_t image, channel, channels;
    int64_t row, column, rows, columns, pitch;
    int dense; /* packing: pixels of `channels` elements, not `lanes`; a vector of slack behind */
} fc_block;

/* Zeros where the block reaches beyond the image, or beyond its `channels` channels. */
void fc_pack_block(const fc_image* image, const fc_block* block, void* blocked);

/* The block must lie inside the image. bias: of the block's channels, or NULL. Into blocked images
 * whole vectors are written, zeros in the lanes past the block's channels. */
void fc_unpack_block(const fc_image* image, const fc_block* block, const void* bias, int relu,
                     const void* blocked);

#endif
