/* Tiles of Winograd convolutions: strips, and the way from an image to transformed tiles. */
#include "conv_winograd.h"

fc_strips fc_strips_of(const fc_winograd_shape* shape, const fc_mosaic* mosaic, int64_t tiles,
                       int64_t bytes, int64_t pixel_bytes) {
    const int64_t tile = shape->tile, reach = shape->reach;
    fc_strips s = {
        .shape = shape,
        .tiles = {fc_ceil_div(mosaic->size[0], tile), fc_ceil_div(mosaic->size[1], tile)}};
    const int64_t pixels = bytes / pixel_bytes;
    int64_t columns = fc_max(1, (pixels / (tile + reach) - reach) / tile);
    s.per_mosaic[1] = fc_ceil_div(s.tiles[1], columns);
    s.columns = fc_ceil_div(s.tiles[1], s.per_mosaic[1]);
    const int64_t width = s.columns * tile + reach;
    int64_t rows = fc_max(1, (pixels / width - reach) / tile);
    rows = fc_min(rows, fc_ceil_div(tiles, s.columns));
    s.per_mosaic[0] = fc_ceil_div(s.tiles[0], rows);
    s.rows = fc_ceil_div(s.tiles[0], s.per_mosaic[0]);
    s.strips = mosaic->count * s.per_mosaic[0] * s.per_mosaic[1];
    s.of_mosaic = s.tiles[0] * s.tiles[1];
    return s;
}

fc_strip fc_strip_at(const fc_strips* s, int64_t index) {
    const int64_t across = index % s->per_mosaic[1];
    const int64_t down = index / s->per_mosaic[1] % s->per_mosaic[0];
    fc_strip strip = {.mosaic = index / (s->per_mosaic[0] * s->per_mosaic[1]),
                      .row = down * s->rows,
                      .column = across * s->columns,
                      .tile = s->shape->tile};
    strip.rows = fc_max(0, fc_min(s->rows, s->tiles[0] - strip.row));
    strip.columns = fc_max(0, fc_min(s->columns, s->tiles[1] - strip.column));
    return strip;
}

int64_t fc_tiles_before(const fc_strips* s, int64_t index) {
    const fc_strip strip = fc_strip_at(s, index);
    return strip.mosaic * s->of_mosaic + fc_min(strip.row, s->tiles[0]) * s->tiles[1] +
           strip.rows * fc_min(strip.column, s->tiles[1]);
}

int64_t fc_tiler_units(const fc_winograd_terms* terms) {
    return terms->folded ? 1 : terms->blocks / terms->phases;
}

/* Elements of a slab of `rows` x `columns` tiles; behind one of folded pixels lies a row of them as
 * it comes from the image. Both have a vector of slack. */
static int64_t slab_elements(const fc_tiler* tiler, int64_t tile, int64_t rows, int64_t columns) {
    const int64_t width = columns * tile + tiler->reach;
    return (rows * tile + tiler->reach) * width * tiler->terms.pixel +
           (tiler->terms.folded ? tiler->image.kernels->lanes : 0);
}

int64_t fc_tiler_slab_bytes(const fc_tiler* tiler, const fc_strips* s) {
    const int64_t lanes = tiler->image.kernels->lanes, tile = s->shape->tile;
    int64_t elements = slab_elements(tiler, tile, s->rows, s->columns);
    if (tiler->terms.folded)
        elements += (s->columns * tile + tiler->reach) * tiler->terms.pixel + lanes;
    return elements * tiler->image.element;
}

/* All phases of the strip's pixels side by side: s rows of dense pixels at a time. */
static void fold_pixels(const fc_tiler* tiler, const fc_block* block, char* slab, char* rows) {
    const fc_winograd_terms* terms = &tiler->terms;
    const int64_t element = tiler->image.element, width = block->columns / terms->stride[1];
    const fc_fold fold = {.pixels = width,
                          .size = terms->stride[1] * terms->channels,
                          .pieces = terms->stride[0],
                          .pitch = block->columns * terms->channels,
                          .pixel = terms->pixel};
    fc_block part = *block;
    part.rows = terms->stride[0];
    for (int64_t i = 0; i < block->rows / part.rows; i++) {
        part.row = block->row + i * part.rows;
        fc_pack_block(&tiler->image, &part, rows);
        tiler->image.kernels->fold_pixels(&fold, rows, slab + i * width * terms->pixel * element);
    }
}

void fc_tile_strip(const fc_tiler* tiler, const fc_strip* strip, int64_t channel, int64_t unit,
                   char* slab, char* points) {
    const fc_image* image = &tiler->image;
    const fc_winograd_terms* terms = &tiler->terms;
    const int64_t lanes = image->kernels->lanes, element = image->element, tile = strip->tile;
    const int64_t rows = strip->rows * tile + tiler->reach;
    const int64_t columns = strip->columns * tile + tiler->reach;
    const int64_t down = terms->stride[0], across = terms->stride[1];
    const int64_t first = unit * terms->run;
    const fc_block block = {.image = strip->mosaic,
                            .channel = channel + first,
                            .channels = fc_min(terms->run, terms->channels - first),
                            .row = strip->row * tile * down - tiler->padding[0],
                            .column = strip->column * tile * across - tiler->padding[1],
                            .rows = rows * down,
                            .columns = columns * across,
                            .pitch = columns * across,
                            .dense = terms->folded};
    if (terms->folded)
        fold_pixels(tiler, &block, slab,
                    slab + slab_elements(tiler, tile, strip->rows, strip->columns) * element);
    else
        fc_mosaic_pack(&tiler->mosaic, image, &block, slab);
    /* from one pixel of a phase to the next, down and across; and from a vector of terms to the
     * next: another part of the pixel, or another of the pixels that share it */
    const int64_t pixel = terms->folded ? terms->pixel : across * lanes;
    const int64_t row = terms->folded ? columns * pixel : columns * down * pixel;
    fc_squares squares = {.items = strip->columns,
                          .in_item = tile * pixel,
                          .in_row = tiler->mirrored ? -row : row,
                          .in_column = tiler->mirrored ? -pixel : pixel,
                          .out_item = tiler->tile,
                          .out_row = tiler->side * tiler->plane,
                          .out_column = tiler->plane};
    const int64_t corner = tiler->mirrored ? (tiler->side - 1) * (row + pixel) : 0;
    const int64_t vectors = terms->folded ? terms->blocks : terms->phases;
    for (int64_t v = 0; v < vectors; v++) {
        int64_t phase[2] = {0, 0};
        if (!terms->folded) fc_winograd_phase_of(terms->stride, v, phase);
        fc_winograd_point_ends(&tiler->points, tiler->side, v, squares.point_end);
        const int64_t from =
            terms->folded ? v * terms->block : (phase[0] * columns * across + phase[1]) * lanes;
        char* to = points + (unit * terms->phases + v) * tiler->block * element;
        for (int64_t i = 0; i < strip->rows; i++)
            tiler->transform(&squares, slab + (from + corner + i * tile * row) * element,
                             to + i * strip->columns * tiler->tile * element);
    }
}
