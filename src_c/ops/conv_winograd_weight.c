/* Transformed weights of Winograd convolutions, a panel of results and a chunk of terms at a time:
 * small enough to be made inside the L2 cache just before they are used. */
#include "conv_winograd.h"
#include <string.h>

enum {
    CHUNK = 64,      /* terms of a panel */
    EXACT_TERMS = 80 /* fewer: weights are transformed in float64 */
};

int64_t fc_winograd_chunk_blocks(const fc_winograd* w) {
    return fc_min(w->terms.blocks, fc_max(1, CHUNK / w->lanes));
}

/* With 4x4 tiles results of few taps, at an image's edges and most at its corners, bear the error
 * of a whole tile; but where they are of smaller ones. */
static int64_t sum_terms_of_4_3(const fc_winograd* w) {
    const int64_t channels = w->terms.channels;
    switch (fc_mosaic_clipped_axes(&w->mosaic)) {
    case 0:
        return channels < 80 ? 16 : channels < 160 ? 32 : CHUNK;
    case 1:
        return channels < 256 ? 32 : CHUNK;
    default:
        return channels < 256 ? 16 : channels < 448 ? 32 : CHUNK;
    }
}

/* The transforms enlarge the error of a sum; adding up sums of few terms as a tree brings it back
 * to that of a direct sum. Few terms average less out, so their sums are shorter, but for kernels
 * of two taps a phase, whose transforms enlarge little; with five taps fewer channels are terms
 * enough. Phases have short ones, too: few taps at an image's edge bear the error of a whole tile,
 * and where channels are so few that phases are all there is, results are many and few their terms.
 */
int64_t fc_winograd_sum_terms(const fc_winograd* w) {
    const int64_t depth = w->terms.channels * w->terms.phases;
    const fc_winograd_member member = w->shape->member;
    if (w->dtype == FC_FLOAT64 || member == FC_WINOGRAD_4_2) return CHUNK;
    if (member == FC_WINOGRAD_4_3 && w->terms.phases == 1) return sum_terms_of_4_3(w);
    if (depth < 24 && w->terms.phases == 1) return 8;
    if (depth < 64 && member == FC_WINOGRAD_4_3) return 8;
    if (depth >= 64 && member == FC_WINOGRAD_2_5) return depth < 256 ? 32 : CHUNK;
    return depth >= 256 && w->terms.phases == 1 ? CHUNK : depth >= 128 ? 32 : 16;
}

int64_t fc_winograd_chunks(const fc_winograd* w) {
    return fc_ceil_div(w->terms.blocks, fc_winograd_chunk_blocks(w));
}

int64_t fc_winograd_panel_plane(const fc_winograd* w) {
    return fc_winograd_chunk_blocks(w) * w->terms.block * 2 * w->lanes + WINOGRAD_PAD;
}

int64_t fc_winograd_panel_bytes(const fc_winograd* w) {
    return fc_winograd_points(w->shape) * fc_winograd_panel_plane(w) * w->element;
}

int64_t fc_winograd_packed_bytes(const fc_winograd* w) {
    return fc_winograd_panels(w) * fc_winograd_chunks(w) * fc_winograd_panel_bytes(w);
}

/* Sums of few terms average little out. Their weights are few, too: that each is rounded once, not
 * in every step of its transform, takes a sixteenth of the error away and costs little: of a layer
 * of 64 channels 6 % where images are 8x8, 1 % where they are 56x56. */
static int is_exact(const fc_winograd* w) {
    return w->dtype == FC_FLOAT32 && w->terms.channels * w->terms.phases < EXACT_TERMS;
}

int64_t fc_winograd_filter_bytes(const fc_winograd* w) {
    const int64_t taps = w->kernel[0] * w->kernel[1], rows = w->terms.run * w->lanes;
    const int64_t exact = (taps + fc_winograd_points(w->shape)) * (int64_t)sizeof(double);
    return rows * (taps * w->element + (is_exact(w) ? exact : 0));
}

/* filters[channel][tap][lane] of one vector of results. */
static void gather_filters(const fc_winograd* w, int64_t result, int64_t channel, int64_t channels,
                           char* filters) {
    const int64_t vector = w->lanes * w->element;
    const int64_t taps = w->kernel[0] * w->kernel[1];
    const int adjacent = w->channel_stride == taps;
    const fc_lanes lanes = {.rows = fc_min(w->lanes, w->results - result),
                            .columns = adjacent ? channels * taps : taps,
                            .row_stride = w->result_stride,
                            .column_stride = 1};
    for (int64_t c = 0; c < channels; c += adjacent ? channels : 1) {
        const int64_t from = result * w->result_stride + (channel + c) * w->channel_stride;
        w->kernels->pack_lanes(&lanes, w->weight_room - from, w->weight + from * w->element,
                               filters + c * taps * vector);
    }
}

/* Float32 weights, so many elements of them, through float64: two vectors of half as many lanes;
 * wide: scratch. */
static void transform_exactly(const fc_winograd* w, const fc_squares* squares, int64_t elements,
                              const float* filters, double* wide, float* packed) {
    const int64_t lanes = w->lanes, side = fc_winograd_side(w->shape);
    const fc_kernels_of_type* kernels = fc_kernels_for(FC_FLOAT64);
    for (int64_t i = 0; i < elements; i++) wide[i] = (double)filters[i];
    double* points = wide + elements;
    fc_squares at = *squares;
    at.out_item = lanes;
    at.out_column = squares->items * lanes;
    at.out_row = side * at.out_column;
    for (int64_t half = 0; half < lanes; half += kernels->lanes)
        kernels->winograd_weight[w->shape->member](&at, wide + half, points + half);
    for (int64_t i = 0; i < side * side; i++) {
        if (i / side >= squares->point_end[0] || i % side >= squares->point_end[1]) continue;
        const double* from = points + i / side * at.out_row + i % side * at.out_column;
        float* to = packed + i / side * squares->out_row + i % side * squares->out_column;
        for (int64_t item = 0; item < squares->items; item++)
            for (int64_t lane = 0; lane < lanes; lane++)
                to[item * squares->out_item + lane] = (float)from[item * lanes + lane];
    }
}

/* Transform `count` channels' weights of one phase, gathered from `item` of `filters` on. */
static void transform_phase(const fc_winograd* w, int64_t number, const int64_t phase[2],
                            int64_t count, int64_t item, char* filters, char* packed) {
    const int64_t lanes = w->lanes, plane = fc_winograd_panel_plane(w);
    /* a convolution's phases are those of its terms, a gradient's those of its results */
    const int64_t* stride = w->mirrored ? w->stride : w->terms.stride;
    fc_squares squares = {.items = count,
                          .in_item = w->kernel[0] * w->kernel[1] * lanes,
                          .out_item = 2 * lanes,
                          .out_row = fc_winograd_side(w->shape) * plane,
                          .out_column = plane};
    const int64_t step[2] = {w->kernel[1] * lanes, lanes};
    int64_t from = item * squares.in_item;
    for (int axis = 0; axis < 2; axis++) {
        squares.tap_end[axis] = fc_winograd_phase_taps(w->kernel[axis], stride[axis], phase[axis]);
        from += phase[axis] * step[axis];
    }
    fc_winograd_point_ends(&w->points, fc_winograd_side(w->shape), number, squares.point_end);
    squares.in_row = step[0] * stride[0];
    squares.in_column = step[1] * stride[1];
    const char* first = filters + from * w->element;
    if (is_exact(w))
        transform_exactly(w, &squares, (item + count) * squares.in_item - from, (const float*)first,
                          (double*)(filters + w->terms.run * squares.in_item * w->element),
                          (float*)packed);
    else
        w->kernels->winograd_weight[w->shape->member](&squares, first, packed);
}

/* Terms [first, end) of one vector of results. */
static void pack_vector(const fc_winograd* w, fc_winograd_result result, int64_t first, int64_t end,
                        char* filters, char* packed) {
    const fc_winograd_terms* terms = &w->terms;
    int64_t gathered = -1;
    for (int64_t at = first; at < end;) {
        const fc_winograd_run run = fc_winograd_run_at(terms, at, end);
        const int64_t inside = run.channel % terms->run, channel = run.channel - inside;
        if (run.count > 0 && gathered != channel) {
            gather_filters(w, result.channel, channel,
                           fc_min(terms->run, terms->channels - channel), filters);
            gathered = channel;
        }
        if (run.count > 0)
            transform_phase(w, w->mirrored ? result.number : run.number,
                            w->mirrored ? result.phase : run.phase, run.count, inside, filters,
                            packed + (at - first) * 2 * w->lanes * w->element);
        at += run.length;
    }
}

/* Terms that hold no channel: at the end of what is folded, or of the last block's phases. */
static void clear_idle(const fc_winograd* w, int64_t first, int64_t end, char* packed) {
    const int64_t plane = fc_winograd_panel_plane(w), row = 2 * w->lanes * w->element;
    for (int64_t at = first; at < end;) {
        const fc_winograd_run run = fc_winograd_run_at(&w->terms, at, end);
        char* to = packed + (at - first + run.count) * row;
        for (int p = 0; p < fc_winograd_points(w->shape) && run.count < run.length; p++)
            memset(to + p * plane * w->element, 0, (size_t)((run.length - run.count) * row));
        at += run.length;
    }
}

void fc_winograd_pack_panel(const fc_winograd* w, int64_t panel, int64_t chunk, char* filters,
                            char* packed) {
    const int64_t terms = fc_winograd_chunk_blocks(w) * w->terms.block;
    const int64_t first = chunk * terms;
    const int64_t end = fc_min(first + terms, w->terms.blocks * w->terms.block);
    for (int n = 0; n < fc_winograd_panel_vectors(w, panel); n++)
        pack_vector(w, fc_winograd_result_of(w, panel, n), first, end, filters,
                    packed + n * w->lanes * w->element);
    clear_idle(w, first, end, packed);
}
