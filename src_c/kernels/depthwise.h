/* What the drivers of depthwise convolutions tell their kernels. */
#ifndef FASTCONV_DEPTHWISE_H
#define FASTCONV_DEPTHWISE_H

#include <stddef.h>
#include <stdint.h>

/* Depthwise sums over a filled slab (conv_depthwise.inc). The lanes of a vector are neighbouring
 * pixels of a row (NCHW) or neighbouring channels of a pixel (NHWC); weights are whole vectors, so
 * either will do. Output row i, vector v is the sum over d < depth, t < taps of
 *   weight[d * depth_step + t] * source[(i * stride + t) * source_pitch + v * source_step +
 * offset[d]]. `channels` of them follow one another, `results` at a time over the same source. */
typedef struct {
    int64_t rows, vectors;
    int64_t taps, stride;      /* along the rows: see fc_depthwise_slides */
    int64_t depth, depth_step; /* weights of the next d are so many vectors on */
    const int32_t* offset;
    int64_t source_pitch, source_step;
    int64_t output_pitch, output_step;
    int64_t back;  /* the last vector lies so much before its place: it overlaps its neighbour */
    int64_t lanes; /* of every vector that belong to the output; if not all of them, whole vectors
                      are stored below `room` elements of the output only */
    int64_t room, room_step; /* room_step: less for every next channel */
    int64_t channels, results;
    int64_t last_lanes;                                /* lanes of the last channel */
    int64_t weight_step, source_group, output_channel; /* from one to the next */
    int64_t vector_weight; /* from the weights of one vector to those of the next; 0: the same */
    int relu;
} fc_depthwise;

/* Weights to vectors: for each of `channels`, the start of its sum (bias or zero), then weight[base
 * + index[e]] for e < count, in every lane. channels == 0: one such run, a channel a lane. */
typedef struct {
    int64_t count, channels;
    const int32_t* index;
    const int64_t *base, *place; /* of the channel's weights, and of its bias */
    const void *weight, *bias;
} fc_depthwise_weights;

/* Kernels hold this many taps, at this stride, in registers while they slide along the rows. Other
 * windows have taps == 1 and an offset for each of their taps, at any stride. */
static inline int fc_depthwise_slides(int64_t taps, int64_t stride) {
    return (taps >= 2 && taps <= 5 && stride == 1) || ((taps == 3 || taps == 5) && stride == 2);
}

/* Products of a slab with rows of the output's gradient (conv_depthwise_dots.inc):
 *   sums[d * taps + t] += grad[i, v] * source[(i * stride + t) * pitch + ... + offset[d]],
 * lane by lane, in the order of v, then i. */
typedef struct {
    int64_t rows, vectors, taps, stride, depth;
    const int32_t* offset;
    int64_t source_pitch, source_step, grad_pitch, grad_step;
} fc_depthwise_dots;

/* A slab: rows of one image with room for its padding, which the caller has zeroed
 * (conv_depthwise_fill.inc). By rows: phase b, row i, column j of a channel holds the image at
 * (first_row + i, first_column + b + j * stride). By lanes (stride 1, one phase): every pixel is a
 * vector for each of the `channels`, and lane l of vector c is channel lane[l] + c; `vectors` of
 * them are filled at once, vector_channels apart. */
typedef struct {
    int64_t height, width, row_stride, col_stride; /* of the image; strides in elements */
    int64_t first_row, first_column, stride;
    int64_t rows, cols, pitch, phases, phase_stride; /* of the slab; cols in pixels */
    int64_t room; /* elements of the array from the image's first on */
    int64_t channels, image_channel, channel_stride; /* from one to the next: image, slab */
    int64_t vectors, vector_channels, vector_stride; /* by lanes: from one to the next */
    const int32_t* lane;
    int together; /* all lanes' channels lie within one vector */
} fc_depthwise_fill;

#endif
