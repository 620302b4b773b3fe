/* Results of Winograd convolutions: from the sums of products to pixels of the target. */
#include "conv_winograd.h"
#include <string.h>

int64_t fc_winograd_unit_vectors(const fc_winograd* w) {
    return w->phases > 1 ? 2 * fc_winograd_block_panels(w) : 1;
}

/* One strip and a panel's vector of results: inverse transform into the slab, whose pixels hold the
 * phases of the target. Without phases the slab is as wide as the target's part, so that whole rows
 * are unpacked at once; tiles are taken from right to left, so that what the last one writes past
 * its row's end is overwritten by its owner. */
static void store_vector(const fc_winograd* w, const fc_winograd_sums* s, const fc_strip* strip,
                         const int64_t phase[2], int64_t pitch, const char* sums) {
    const int64_t lanes = w->lanes;
    const int64_t row = w->stride[0] * pitch * lanes, column = w->stride[1] * lanes;
    for (int64_t i = 0; i < strip->rows; i++) {
        fc_strip_run runs[FC_STRIP_RUNS];
        for (int r = fc_strip_runs(strip, i, runs) - 1; r >= 0; r--) {
            const fc_strip_run* run = &runs[r];
            const fc_tile_kind kind = fc_tile_kind_of(w->shape, run->kind);
            const fc_squares squares = {.items = run->tiles,
                                        .in_item = -2 * lanes,
                                        .in_row = fc_winograd_side(w->shape) * s->plane,
                                        .in_column = s->plane,
                                        .out_item = -run->step * column,
                                        .out_row = w->mirrored ? -row : row,
                                        .out_column = w->mirrored ? -column : column};
            const int64_t last = run->tiles - 1;
            int64_t to = (phase[0] * pitch + phase[1]) * lanes + run->result[0] * row +
                         (run->result[1] + last * run->step) * column;
            if (w->mirrored) to += (kind.tile[0] - 1) * row + (kind.tile[1] - 1) * column;
            const int64_t from = (s->first[run->kind] + run->tile + last) * 2 * lanes;
            w->kernels->winograd_output[w->shape->member + (fc_winograd_member)run->kind](
                &squares, sums + from * w->element, s->slab + to * w->element);
        }
    }
}

/* Pixels that no output reads: their gradient is no small error, but zero. */
static void clear_unread(const fc_winograd* w, const fc_block* block, char* slab) {
    const int64_t vector = w->lanes * w->element;
    const int64_t rows = fc_max(0, w->read[0] - block->row);
    const int64_t columns = fc_max(0, w->read[1] - block->column);
    for (int64_t i = 0; i < block->rows; i++) {
        const int64_t first = i < rows ? fc_min(columns, block->columns) : 0;
        memset(slab + (i * block->pitch + first) * vector, 0,
               (size_t)((block->columns - first) * vector));
    }
}

void fc_winograd_store_strip(const fc_winograd* w, const fc_winograd_sums* s, const fc_strip* strip,
                             int64_t panel, int64_t unit) {
    const int64_t vector = w->lanes * w->element;
    fc_block block = {.image = strip->mosaic,
                      .row = strip->first[0] * w->stride[0] + w->first[0],
                      .column = strip->first[1] * w->stride[1] + w->first[1],
                      .pitch = strip->size[1] * w->stride[1]};
    int64_t end[2] = {w->target.height, w->target.width};
    if (w->phases == 1) end[0] = w->mosaic.size[0], end[1] = w->mosaic.size[1];
    end[0] = fc_min(block.row + strip->size[0] * w->stride[0], end[0]);
    end[1] = fc_min(block.column + block.pitch, end[1]);
    /* not where a mirrored tile would meet what it wrote itself */
    if (w->phases == 1 && (!w->mirrored || strip->columns > 1)) block.pitch = end[1] - block.column;
    for (int64_t i = 0; i < w->phases; i++) {
        const int64_t number = unit * fc_winograd_unit_vectors(w) + i;
        const fc_winograd_result result =
            fc_winograd_result_of(w, panel + number / 2, (int)(number % 2));
        store_vector(w, s, strip, result.phase, block.pitch,
                     s->sums + number / 2 * s->panel_bytes + number % 2 * vector);
        block.channel = result.channel;
    }
    const char* bias = w->bias ? w->bias + block.channel * w->element : NULL;
    block.channels = fc_min(w->lanes, w->results - block.channel);
    block.channel += w->target_channel;
    /* a gradient's first phases may lie in the padding */
    const int64_t above = fc_max(0, -block.row), left = fc_max(0, -block.column);
    block.row += above;
    block.column += left;
    block.rows = end[0] - block.row;
    block.columns = end[1] - block.column;
    char* slab = s->slab + (above * block.pitch + left) * vector;
    if (w->phases > 1) clear_unread(w, &block, slab);
    fc_mosaic_unpack(&w->mosaic, &w->target, &block, bias, w->relu, slab, s->run);
}
