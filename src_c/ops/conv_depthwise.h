/* Depthwise and small-group convolutions: what their passes share.
 *
 * A unit of work is a block of rows of one image for a block of channels: a few groups (NCHW, lanes
 * along the rows), or as many output channels as a vector holds (NHWC, lanes across channels; where
 * groups are wider than one channel, each lane gets the input of its own group). It fills a slab of
 * scratch with the input rows and their padding, then runs the depthwise kernels on it.
 *
 * Forward, output position i meets the source at first + i * stride + r * dilation. The gradient of
 * the input, at coordinate i = q * stride + residue - padding, meets the output's gradient at
 * q - r * dilation / stride for the taps with r * dilation = residue (mod stride): a sum of stride
 * 1 for each residue, all on the same slab, into tiles that are merged into rows of the image. */
#ifndef FASTCONV_CONV_DEPTHWISE_H
#define FASTCONV_CONV_DEPTHWISE_H

#include "conv_planes.h"

typedef struct {
    int64_t first;     /* source coordinate that position 0 meets at shift 0 */
    int64_t positions; /* of outputs, for each residue */
    int64_t stride;    /* source coordinates from one position to the next */
    int64_t reach;     /* largest shift of a tap */
    int64_t residues;  /* of output coordinates */
    int64_t before;    /* residue of output coordinate 0, counted from position 0 */
} fc_depthwise_axis;

/* The taps of one pair of residues, as the kernels take them. */
typedef struct {
    int64_t taps, depth;
    int64_t first_entry, first_offset;
} fc_depthwise_pair;

typedef struct {
    const fc_conv2d* conv;
    const fc_kernels_of_type* kernels;
    int64_t element;
    int backward;             /* gradient of the input: source and output change places */
    int64_t reduced, results; /* channels of a group summed over, and computed */
    int64_t source_channels, output_channels;
    int64_t source_size[2], output_size[2];
    fc_strides source_strides, output_strides;
    fc_depthwise_axis axis[2];

    int64_t lanes;                 /* of a vector, that are used */
    int64_t parts, groups, blocks; /* groups (NCHW) or vectors (NHWC): all, a block's; blocks */
    int together;                  /* the input channels of a vector lie within one vector */
    int64_t rows, row_blocks;
    int64_t cols, pitch, phases, phase_stride, channel_stride, group_stride; /* of the slab */
    int64_t col_step;       /* of the slab, or of the image, by lanes: to the next column */
    int64_t weight_step[2]; /* from one tap of the kernel to the next, along either axis */
    int64_t entries;        /* weights of one result channel */
    int64_t tile_pitch, tile_stride, tiles; /* 0 tiles: sums go straight to the output */
    size_t slab_bytes, packed_bytes, tile_bytes;

    fc_depthwise_pair* pair; /* [residues of axis 0][of axis 1] */
    int32_t *index, *offset;
} fc_depthwise_plan;

enum {
    FC_DEPTHWISE_LANES = 16,    /* of the widest vector */
    FC_DEPTHWISE_CHANNELS = 32, /* of a unit with several groups */
};

/* Where one unit is. */
typedef struct {
    int64_t image, block, first_row, rows; /* rows: positions of axis 0 */
    int64_t first_channel, channels;       /* of the output */
    int64_t source_channel;
    int32_t lane[FC_DEPTHWISE_LANES];
} fc_depthwise_unit;

/* Is this the faster way, within bounded scratch? pass: 0 forward, 1 grad_input, 2 grad_weight. */
int fc_depthwise_can(const fc_conv2d* conv, fc_dtype dtype, int pass);

fc_depthwise_plan fc_depthwise_plan_of(const fc_conv2d* conv, fc_dtype dtype, int backward);
/* Smaller units, where threads would have too few; results do not depend on it. */
void fc_depthwise_share(fc_depthwise_plan* plan);
/* FMAs, and what else an output costs. */
double fc_depthwise_work(const fc_depthwise_plan* plan);
/* The tables of taps, in the caller's plan slot. */
fc_status fc_depthwise_tables(fc_depthwise_plan* plan);
fc_depthwise_unit fc_depthwise_locate(const fc_depthwise_plan* plan, int64_t index);
void fc_depthwise_fill_slab(const fc_depthwise_plan* plan, const fc_depthwise_unit* unit,
                            const char* source, char* slab);
/* How many taps have this residue, the least shift of one, and what the next ones add to it. */
typedef struct {
    int64_t taps, first, step;
} fc_depthwise_shifts;
fc_depthwise_shifts fc_depthwise_shifts_of(const fc_depthwise_plan* plan, int axis,
                                           int64_t residue);
int64_t fc_depthwise_grad_weight_bytes(const fc_depthwise_plan* plan);

/* What the passes that compute an image share, and how they are run on slabs. */
typedef struct {
    fc_depthwise_plan plan;
    const char *source, *weight, *bias;
    char* output;
    int relu;
} fc_depthwise_job;
/* The start of the sums, then the weights, as vectors: of `count` output channels from `first` on
 * or, NHWC, of a channel a lane. */
void fc_depthwise_pack(const fc_depthwise_job* job, int64_t first, int64_t count, char* packed);

/* Straight from the pixels of an NHWC image (conv_depthwise_pixels.c). */
int fc_depthwise_pixels_can(const fc_conv2d* conv, fc_dtype dtype, int backward);
int64_t fc_depthwise_pixels_bytes(const fc_conv2d* conv, fc_dtype dtype);
fc_status fc_depthwise_pixels(const fc_conv2d* conv, fc_dtype dtype, int backward,
                              const fc_depthwise_job* arrays);

fc_status fc_depthwise_forward(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                               const void* weight, const void* bias, int relu, void* output);
fc_status fc_depthwise_grad_input(const fc_conv2d* conv, fc_dtype dtype, const void* grad_output,
                                  const void* weight, void* grad_input);
fc_status fc_depthwise_grad_weight(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                   const void* grad_output, void* grad_weight);
int64_t fc_depthwise_workspace(const fc_conv2d* conv, fc_dtype dtype, int pass);

#endif
