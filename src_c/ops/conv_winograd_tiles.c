/* Tiles of Winograd convolutions: strips, and the way from an image to transformed tiles. */
#include "conv_winograd.h"

int fc_winograd_fits(const fc_conv2d* conv) {
    int fits = 1;
    for (int axis = 0; axis < 2; axis++)
        fits &= conv->kernel_size[axis] == WINOGRAD_REACH + 1 && conv->stride[axis] == 1 &&
                conv->dilation[axis] == 1;
    return fits;
}

fc_strips fc_strips_of(int64_t batch, const int64_t size[2], int64_t bytes, int64_t vector_bytes) {
    fc_strips s = {
        .tiles = {fc_ceil_div(size[0], WINOGRAD_TILE), fc_ceil_div(size[1], WINOGRAD_TILE)}};
    const int64_t pixels = bytes / vector_bytes;
    const int64_t one_row = WINOGRAD_TILE + WINOGRAD_REACH;
    int64_t columns = fc_max(1, (pixels / one_row - WINOGRAD_REACH) / WINOGRAD_TILE);
    s.per_image[1] = fc_ceil_div(s.tiles[1], columns);
    s.columns = fc_ceil_div(s.tiles[1], s.per_image[1]);
    const int64_t width = s.columns * WINOGRAD_TILE + WINOGRAD_REACH;
    int64_t rows = fc_max(1, (pixels / width - WINOGRAD_REACH) / WINOGRAD_TILE);
    s.per_image[0] = fc_ceil_div(s.tiles[0], rows);
    s.rows = fc_ceil_div(s.tiles[0], s.per_image[0]);
    s.strips = batch * s.per_image[0] * s.per_image[1];
    s.of_image = s.tiles[0] * s.tiles[1];
    return s;
}

fc_strip fc_strip_at(const fc_strips* s, int64_t index) {
    const int64_t across = index % s->per_image[1];
    const int64_t down = index / s->per_image[1] % s->per_image[0];
    fc_strip strip = {.image = index / (s->per_image[0] * s->per_image[1]),
                      .row = down * s->rows,
                      .column = across * s->columns};
    strip.rows = fc_max(0, fc_min(s->rows, s->tiles[0] - strip.row));
    strip.columns = fc_max(0, fc_min(s->columns, s->tiles[1] - strip.column));
    return strip;
}

int64_t fc_tiles_before(const fc_strips* s, int64_t index) {
    const fc_strip strip = fc_strip_at(s, index);
    return strip.image * s->of_image + fc_min(strip.row, s->tiles[0]) * s->tiles[1] +
           strip.rows * fc_min(strip.column, s->tiles[1]);
}

int64_t fc_winograd_slab_bytes(const fc_strips* s, int64_t vector_bytes) {
    return (s->rows * WINOGRAD_TILE + WINOGRAD_REACH) *
           (s->columns * WINOGRAD_TILE + WINOGRAD_REACH) * vector_bytes;
}

void fc_tile_strip(const fc_tiler* tiler, const fc_strip* strip, int64_t channel, int64_t channels,
                   char* slab, char* points) {
    const fc_image* image = &tiler->image;
    const int64_t lanes = image->kernels->lanes, vector = lanes * image->element;
    const int64_t pitch = strip->columns * WINOGRAD_TILE + tiler->reach;
    const fc_block block = {.image = strip->image,
                            .channel = channel,
                            .channels = channels,
                            .row = strip->row * WINOGRAD_TILE - tiler->padding[0],
                            .column = strip->column * WINOGRAD_TILE - tiler->padding[1],
                            .rows = strip->rows * WINOGRAD_TILE + tiler->reach,
                            .columns = pitch,
                            .pitch = pitch};
    fc_pack_block(image, &block, slab);
    const fc_squares squares = {.items = strip->columns,
                                .in_item = WINOGRAD_TILE * lanes,
                                .in_row = pitch * lanes,
                                .in_column = lanes,
                                .out_item = tiler->tile,
                                .out_row = 6 * tiler->plane,
                                .out_column = tiler->plane};
    for (int64_t i = 0; i < strip->rows; i++)
        tiler->transform(&squares, slab + i * WINOGRAD_TILE * pitch * vector,
                         points + i * strip->columns * tiler->tile * image->element);
}
