/* Tiles of Winograd convolutions: strips, and the way from an image to transformed tiles. */
#include "conv_winograd.h"

static const fc_winograd_shape shapes[FC_WINOGRAD_MEMBERS] = {
    {.member = FC_WINOGRAD_4_3, .tile = 4, .reach = 2, .taps = 9},
    {.member = FC_WINOGRAD_2_5, .tile = 2, .reach = 4, .taps = 25},
};

const fc_winograd_shape* fc_winograd_shape_of(const fc_conv2d* conv) {
    for (int i = 0; i < FC_WINOGRAD_MEMBERS; i++) {
        int fits = 1;
        for (int axis = 0; axis < 2; axis++)
            fits &= conv->kernel_size[axis] == shapes[i].reach + 1 && conv->stride[axis] == 1 &&
                    conv->dilation[axis] == 1;
        if (fits) return &shapes[i];
    }
    return NULL;
}

fc_strips fc_strips_of(const fc_winograd_shape* shape, int64_t batch, const int64_t size[2],
                       int64_t bytes, int64_t vector_bytes) {
    const int64_t tile = shape->tile, reach = shape->reach;
    fc_strips s = {.shape = shape,
                   .tiles = {fc_ceil_div(size[0], tile), fc_ceil_div(size[1], tile)}};
    const int64_t pixels = bytes / vector_bytes;
    int64_t columns = fc_max(1, (pixels / (tile + reach) - reach) / tile);
    s.per_image[1] = fc_ceil_div(s.tiles[1], columns);
    s.columns = fc_ceil_div(s.tiles[1], s.per_image[1]);
    const int64_t width = s.columns * tile + reach;
    int64_t rows = fc_max(1, (pixels / width - reach) / tile);
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
                      .column = across * s->columns,
                      .tile = s->shape->tile};
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
    const int64_t tile = s->shape->tile, reach = s->shape->reach;
    return (s->rows * tile + reach) * (s->columns * tile + reach) * vector_bytes;
}

void fc_tile_strip(const fc_tiler* tiler, const fc_strip* strip, int64_t channel, int64_t channels,
                   char* slab, char* points) {
    const fc_image* image = &tiler->image;
    const int64_t lanes = image->kernels->lanes, vector = lanes * image->element;
    const int64_t tile = strip->tile, pitch = strip->columns * tile + tiler->reach;
    const fc_block block = {.image = strip->image,
                            .channel = channel,
                            .channels = channels,
                            .row = strip->row * tile - tiler->padding[0],
                            .column = strip->column * tile - tiler->padding[1],
                            .rows = strip->rows * tile + tiler->reach,
                            .columns = pitch,
                            .pitch = pitch};
    fc_pack_block(image, &block, slab);
    const fc_squares squares = {.items = strip->columns,
                                .in_item = tile * lanes,
                                .in_row = pitch * lanes,
                                .in_column = lanes,
                                .out_item = tiler->tile,
                                .out_row = 6 * tiler->plane,
                                .out_column = tiler->plane};
    for (int64_t i = 0; i < strip->rows; i++)
        tiler->transform(&squares, slab + i * tile * pitch * vector,
                         points + i * strip->columns * tiler->tile * image->element);
}
