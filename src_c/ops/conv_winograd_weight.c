/* Transformed weights of Winograd convolutions, a panel of results and a chunk of channels at a
 * time: small enough to be made inside the L2 cache just before they are used. */
#include "conv_winograd.h"
#include <string.h>

int64_t fc_winograd_panels(const fc_winograd* w) {
    return fc_ceil_div(w->results, 2 * w->lanes);
}

/* The transforms enlarge the error of a sum; adding up sums of few channels as a tree brings it
 * back to that of a direct sum. Few channels average less out, so their sums are shorter, but for
 * 5x5 kernels: they have terms enough. */
int64_t fc_winograd_sum(const fc_winograd* w) {
    if (w->dtype == FC_FLOAT64 || w->depth >= 256 || w->shape->taps > 9) return WINOGRAD_CHUNK;
    return w->depth >= 128 ? 32 : 16;
}

int64_t fc_winograd_chunks(const fc_winograd* w) {
    return fc_ceil_div(w->depth, WINOGRAD_CHUNK);
}

int64_t fc_winograd_chunk_depth(const fc_winograd* w) {
    return fc_ceil_div(fc_min(w->depth, WINOGRAD_CHUNK), w->lanes) * w->lanes;
}

int64_t fc_winograd_panel_plane(const fc_winograd* w) {
    return fc_winograd_chunk_depth(w) * 2 * w->lanes + WINOGRAD_PAD;
}

int64_t fc_winograd_panel_bytes(const fc_winograd* w) {
    return WINOGRAD_POINTS * fc_winograd_panel_plane(w) * w->element;
}

int64_t fc_winograd_filter_bytes(const fc_winograd* w) {
    return fc_min(w->depth, WINOGRAD_CHUNK) * w->shape->taps * w->lanes * w->element;
}

int fc_winograd_panel_vectors(const fc_winograd* w, int64_t panel) {
    return (2 * panel + 1) * w->lanes < w->results ? 2 : 1;
}

/* filters[channel][tap][lane] of one vector of results. */
static void gather_filters(const fc_winograd* w, int64_t result, int64_t channel, int64_t channels,
                           char* filters) {
    const int64_t vector = w->lanes * w->element;
    const int64_t taps = w->shape->taps;
    const int adjacent = w->depth_stride == taps;
    const fc_lanes lanes = {.rows = fc_min(w->lanes, w->results - result),
                            .columns = adjacent ? channels * taps : taps,
                            .row_stride = w->result_stride,
                            .column_stride = 1};
    for (int64_t c = 0; c < channels; c += adjacent ? channels : 1) {
        const int64_t from = result * w->result_stride + (channel + c) * w->depth_stride;
        w->kernels->pack_lanes(&lanes, w->weight_room - from, w->weight + from * w->element,
                               filters + c * taps * vector);
    }
}

void fc_winograd_pack_panel(const fc_winograd* w, int64_t panel, int64_t chunk, char* filters,
                            char* packed) {
    const int64_t lanes = w->lanes, vector = lanes * w->element;
    const int64_t padded = fc_winograd_chunk_depth(w), plane = fc_winograd_panel_plane(w);
    const int64_t channel = chunk * WINOGRAD_CHUNK;
    const int64_t channels = fc_min(WINOGRAD_CHUNK, w->depth - channel);
    const int64_t taps = w->shape->taps, side = w->shape->reach + 1;
    const int sign = w->rotated ? -1 : 1;
    const fc_squares squares = {.items = channels,
                                .in_item = taps * lanes,
                                .in_row = sign * side * lanes,
                                .in_column = sign * lanes,
                                .out_item = 2 * lanes,
                                .out_row = 6 * plane,
                                .out_column = plane};
    for (int n = 0; n < fc_winograd_panel_vectors(w, panel); n++) {
        gather_filters(w, (2 * panel + n) * lanes, channel, channels, filters);
        w->kernels->winograd_weight[w->shape->member](
            &squares, filters + (w->rotated ? taps - 1 : 0) * vector, packed + n * vector);
    }
    for (int p = 0; p < WINOGRAD_POINTS && channels < padded; p++)
        memset(packed + (p * plane + channels * 2 * lanes) * w->element, 0,
               (size_t)((padded - channels) * 2 * vector));
}
