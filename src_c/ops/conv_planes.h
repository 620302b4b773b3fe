/* Windows as flattened rows: the geometry that the direct convolutions share.
 *
 * Along one axis, tap r of a window over position i reads source coordinate
 *     first + i * stride + distance_r.
 * Splitting the source into phases turns that into plane[phase_r][i + shift_r]: a contiguous row at
 * a constant offset. Two ways to choose the phases:
 *   split     phase = distance mod stride, shift = distance / stride: each source element is copied
 *             once, and rows are max_shift longer than the output (lanes lost to the seam);
 *   explicit  one phase a tap, shift 0: no lane lost, each element copied once a tap of the axis.
 * Rows that follow each other are one run anyway, so explicit columns are enough; explicit rows too
 * (im2col, but of one block, in cache) are for sums that must not meet what lies behind a run. */
#ifndef FASTCONV_CONV_PLANES_H
#define FASTCONV_CONV_PLANES_H

#include "../runtime/runtime.h"

typedef struct {
    int64_t taps;   /* taps of this axis that take part */
    int64_t phases; /* planes along this axis */
    int64_t stride; /* source step from one output position to the next */
    int64_t max_shift;
    int64_t* tap_index; /* [taps] position within the kernel */
    int64_t* tap_phase; /* [taps] index into phase[] */
    int64_t* tap_shift; /* [taps] */
    int64_t* phase;     /* [phases] source distance of the phase's first element */
} fc_axis;

/* Room for the arrays of both axes, in the caller's plan slot. Every convolution over planes
 * starts here, so this is also where one without any product to sum is refused, and so are blocked
 * images and layouts that differ. */
typedef struct {
    int64_t *vertical, *horizontal;
} fc_axis_memory;
fc_status fc_axis_reserve(const fc_conv2d* conv, fc_axis_memory* memory);

/* Do explicit columns pay, over rows of `cols` positions? Split ones lose max_shift lanes a row in
 * the FMAs of every tap and result channel; explicit ones cost copying the row once a column of the
 * kernel. Rows are always split: without seams between columns they lose nothing. */
int fc_explicit_pays(const fc_conv2d* conv, int64_t results, int64_t cols, fc_dtype dtype);

/* Do they pay for a forward pass because its sums, without seams and in rows of whole vectors, then
 * go straight to the output? */
int fc_sums_go_straight(const fc_conv2d* conv, fc_dtype dtype);

/* Forward: tap r lies r * dilation source elements from the window's start. */
void fc_axis_forward(fc_axis* axis, int64_t kernel, int64_t stride, int64_t dilation,
                     int is_explicit, int64_t* memory);

/* Gradient of the input, one residue of input coordinates modulo the stride: position q meets the
 * output's gradient at q + *first + shift, for the taps with r * dilation = residue (mod stride).
 */
void fc_axis_backward(fc_axis* axis, int64_t kernel, int64_t stride, int64_t dilation,
                      int64_t residue, int is_explicit, int64_t* memory, int64_t* first);

/* Of the layouts that fc_axis_reserve lets through: NHWC? */
static inline int fc_channels_last(const fc_conv2d* conv) {
    return conv->in_layout == FC_NHWC;
}

/* An image batch in memory, strides in elements. */
typedef struct {
    int64_t batch_stride, channel_stride, row_stride, col_stride;
} fc_strides;
fc_strides fc_image_strides(int64_t channels, int64_t height, int64_t width, int channels_last);

/* Planes of several channels and images: [channel][phase][image][row][col]. */
typedef struct {
    int64_t images, rows, cols; /* of every plane, shifts included */
    int64_t phase_stride, channel_stride;
} fc_plane_layout;
fc_plane_layout fc_layout_planes(const fc_axis* vertical, const fc_axis* horizontal, int64_t images,
                                 int64_t out_rows, int64_t out_cols, size_t element);

/* offset[c * taps + t] of tap t (row-major in taps) of channel c, in elements. */
void fc_tap_offsets(const fc_axis* vertical, const fc_axis* horizontal,
                    const fc_plane_layout* layout, int64_t channels, int32_t* offset);

/* Scratch bytes of a task of fc_conv2d_direct_grad_weight. */
int64_t fc_grad_weight_workspace(const fc_conv2d* conv, fc_dtype dtype);
/* Its FMAs, lost lanes and the ends of sums included. */
double fc_grad_weight_work(const fc_conv2d* conv, fc_dtype dtype);

#endif
