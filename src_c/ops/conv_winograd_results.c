/* The last step of a Winograd convolution: products of tiles to pixels of the target. */
#include "conv_winograd.h"

/* A panel's vector of results: inverse transform into the slab, whose pixels hold the phases of the
 * target. Without phases the slab is as wide as the target's part, so that whole rows are unpacked
 * at once; tiles are taken from right to left, so that what the last one writes past its row's end
 * is overwritten by its owner. */
static void transform_vector(const fc_winograd* w, const fc_strip* strip, int64_t plane,
                             int64_t pitch, const char* sums, char* slab) {
    const int64_t lanes = w->lanes, vector = lanes * w->element, tile = w->shape->tile;
    const int64_t row = w->stride[0] * pitch * lanes, column = w->stride[1] * lanes;
    const fc_squares squares = {.items = strip->columns,
                                .in_item = -2 * lanes,
                                .in_row = 6 * plane,
                                .in_column = plane,
                                .out_item = -tile * column,
                                .out_row = row,
                                .out_column = column};
    const int64_t last = strip->columns - 1;
    for (int64_t i = 0; i < strip->rows; i++)
        w->kernels->winograd_output[w->shape->member](
            &squares, sums + (i * strip->columns + last) * 2 * vector,
            slab + (i * tile * row + last * tile * column) * w->element);
}

/* Vectors of a group of panels whose pixels are unpacked together: all phases of a block of
 * channels. Their first vectors are `unit_vectors` apart. */
static int64_t unit_vectors(const fc_winograd* w) {
    return w->phases > 1 ? 2 * fc_winograd_block_panels(w) : 1;
}

static void store_unit(const fc_winograd* w, const fc_strip* strip, const fc_products* products,
                       int64_t unit, char* slab) {
    const int64_t vector = w->lanes * w->element, tile = w->shape->tile;
    fc_block block = {.image = strip->image,
                      .row = strip->row * tile * w->stride[0] + w->first[0],
                      .column = strip->column * tile * w->stride[1] + w->first[1],
                      .pitch = strip->columns * tile * w->stride[1]};
    const int64_t end[2] = {fc_min(block.row + strip->rows * tile * w->stride[0], w->target.height),
                            fc_min(block.column + block.pitch, w->target.width)};
    if (w->phases == 1) block.pitch = end[1] - block.column;
    for (int64_t i = 0; i < w->phases; i++) {
        const int64_t number = unit * unit_vectors(w) + i;
        const fc_winograd_result result =
            fc_winograd_result_of(w, products->panel + number / 2, (int)(number % 2));
        transform_vector(w, strip, products->plane, block.pitch,
                         products->data + number / 2 * products->panel_bytes + number % 2 * vector,
                         slab + (result.phase[0] * block.pitch + result.phase[1]) * vector);
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
    fc_unpack_block(&w->target, &block, bias, w->relu,
                    slab + (above * block.pitch + left) * vector);
}

void fc_store_strip(const fc_winograd* w, const fc_strip* strip, const fc_products* products,
                    char* slab) {
    const int64_t last = products->panel + products->panels - 1;
    const int64_t vectors = 2 * (products->panels - 1) + fc_winograd_panel_vectors(w, last);
    for (int64_t unit = 0; unit * unit_vectors(w) < vectors; unit++)
        store_unit(w, strip, products, unit, slab);
}
