/* The way of Winograd's tiles from an image to transformed ones. */
#include "conv_winograd.h"

int64_t fc_tiler_units(const fc_winograd_terms* terms) {
    return terms->folded ? 1 : terms->blocks / terms->phases;
}

/* Elements of a slab of rows x columns pixels of a phase; behind one of folded pixels lies a row of
 * them as it comes from the image. Both have a vector of slack. */
static int64_t slab_elements(const fc_tiler* tiler, int64_t rows, int64_t columns) {
    return rows * columns * tiler->terms.pixel +
           (tiler->terms.folded ? tiler->image.kernels->lanes : 0);
}

int64_t fc_tiler_slab_bytes(const fc_tiler* tiler, const fc_strips* s) {
    const int64_t tile = s->shape->tile, reach = tiler->reach;
    const int64_t columns = s->columns * tile + reach;
    int64_t elements = slab_elements(tiler, s->rows * tile + reach, columns);
    if (tiler->terms.folded) elements += columns * tiler->terms.pixel + tiler->image.kernels->lanes;
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

/* A slab of a phase's pixels, and the elements from one to the next. */
typedef struct {
    const char* pixels;
    int64_t row, pixel;
} phase_slab;

/* Transform a run of tiles; number: of the vector of terms. */
static void transform_run(const fc_tiler* tiler, const fc_winograd_shape* shape,
                          const fc_strip_run* run, phase_slab slab, int64_t number, char* points) {
    const fc_tile_kind kind = fc_tile_kind_of(shape, run->kind);
    fc_squares squares = {.items = run->tiles,
                          .in_item = run->step * slab.pixel,
                          .in_row = tiler->mirrored ? -slab.row : slab.row,
                          .in_column = tiler->mirrored ? -slab.pixel : slab.pixel,
                          .out_item = tiler->tile,
                          .out_row = fc_winograd_side(shape) * tiler->plane,
                          .out_column = tiler->plane};
    fc_winograd_point_ends(&tiler->points, fc_winograd_side(shape), number, squares.point_end);
    int64_t from = run->result[0] * slab.row + run->result[1] * slab.pixel;
    if (tiler->mirrored) from += (kind.side[0] - 1) * slab.row + (kind.side[1] - 1) * slab.pixel;
    tiler->transforms[run->kind](&squares, slab.pixels + from * tiler->image.element, points);
}

void fc_tile_strip(const fc_tiler* tiler, const fc_strip* strip, const int64_t first[FC_TILE_KINDS],
                   int64_t channel, int64_t unit, char* slab, char* points) {
    const fc_image* image = &tiler->image;
    const fc_winograd_terms* terms = &tiler->terms;
    const int64_t lanes = image->kernels->lanes, element = image->element;
    const int64_t rows = strip->size[0] + tiler->reach, columns = strip->size[1] + tiler->reach;
    const int64_t down = terms->stride[0], across = terms->stride[1];
    const int64_t begin = unit * terms->run;
    const fc_block block = {.image = strip->mosaic,
                            .channel = channel + begin,
                            .channels = fc_min(terms->run, terms->channels - begin),
                            .row = strip->first[0] * down - tiler->padding[0],
                            .column = strip->first[1] * across - tiler->padding[1],
                            .rows = rows * down,
                            .columns = columns * across,
                            .pitch = columns * across,
                            .dense = terms->folded};
    if (terms->folded)
        fold_pixels(tiler, &block, slab, slab + slab_elements(tiler, rows, columns) * element);
    else
        fc_mosaic_pack(&tiler->mosaic, image, &block, slab);
    /* to the next vector of terms: another part of the pixel, or another of the pixels that share
     * it */
    const int64_t pixel = terms->folded ? terms->pixel : across * lanes;
    const int64_t row = terms->folded ? columns * pixel : columns * down * pixel;
    const int64_t vectors = terms->folded ? terms->blocks : terms->phases;
    for (int64_t v = 0; v < vectors; v++) {
        int64_t phase[2] = {0, 0};
        if (!terms->folded) fc_winograd_phase_of(terms->stride, v, phase);
        const int64_t from =
            terms->folded ? v * terms->block : (phase[0] * columns * across + phase[1]) * lanes;
        const phase_slab part = {slab + from * element, row, pixel};
        char* to = points + (unit * terms->phases + v) * tiler->block * element;
        for (int64_t i = 0; i < strip->rows; i++) {
            fc_strip_run runs[FC_STRIP_RUNS];
            const int count = fc_strip_runs(strip, i, runs);
            for (int r = 0; r < count; r++) {
                const int64_t tile = first[runs[r].kind] + runs[r].tile;
                transform_run(tiler, strip->strips->shape, &runs[r], part, v,
                              to + tile * tiler->tile * element);
            }
        }
    }
}
