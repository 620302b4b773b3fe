/* The engine's own layout: channel blocks of `lanes` channels, pixels inside, a vector a pixel
 * (NCHW16c, 8c, ...: the width follows from the instruction set). Drivers read and write users'
 * images through these two functions, block by block in cache: the one place that packs. */
#ifndef FASTCONV_BLOCKED_H
#define FASTCONV_BLOCKED_H

#include "conv_planes.h"

/* A batch of images in a user's memory. */
typedef struct {
    const fc_kernels_of_type* kernels;
    int64_t element; /* bytes */
    char* data;
    int64_t batch, channels, height, width;
    fc_strides strides;
} fc_image;

fc_image fc_image_of(fc_dtype dtype, const void* data, int64_t batch, int64_t channels,
                     const int64_t size[2], int channels_last);

/* Pixels [row, row + rows) x [column, column + columns) of up to `lanes` channels from `channel`
 * on; in scratch, pixel (i, j) is vector i * pitch + j. */
typedef struct {
    int64_t image, channel, channels;
    int64_t row, column, rows, columns, pitch;
} fc_block;

/* Zeros where the block reaches beyond the image, or beyond its `channels` channels. */
void fc_pack_block(const fc_image* image, const fc_block* block, void* blocked);

/* The block must lie inside the image. bias: of the block's channels, or NULL. */
void fc_unpack_block(const fc_image* image, const fc_block* block, const void* bias, int relu,
                     const void* blocked);

#endif
