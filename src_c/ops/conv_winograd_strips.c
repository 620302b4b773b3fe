/* Which tiles there are along an axis, their kinds, and strips of them. */
#include "conv_winograd.h"

fc_tile_axis fc_tile_axis_of(const fc_winograd_shape* shape, int64_t results,
                             const int borders[2]) {
    const int64_t tile = shape->tile, small = shape->small;
    if (!borders[0] && !borders[1]) return (fc_tile_axis){.large = fc_ceil_div(results, tile)};
    const int64_t inside = results - small * (borders[0] + borders[1]);
    if (inside <= 0) return (fc_tile_axis){.last = fc_ceil_div(results, small)};
    const int64_t over = inside % tile;
    return (fc_tile_axis){.first = borders[0],
                          .large = inside / tile + (over > small),
                          .last = borders[1] + (over > 0 && over <= small)};
}

int64_t fc_tile_axis_points(const fc_winograd_shape* shape, const fc_tile_axis* axis) {
    return axis->large * (shape->tile + shape->reach) +
           (axis->first + axis->last) * (shape->small + shape->reach);
}

/* Larger tiles among the first `end`. */
static int64_t large_before(const fc_tile_axis* axis, int64_t end) {
    return fc_max(0, fc_min(end - axis->first, axis->large));
}

static int64_t tiles_before(const fc_tile_axis* axis, int is_small, int64_t end) {
    const int64_t large = large_before(axis, end);
    return is_small ? end - large : large;
}

/* Results of the first `end` tiles. */
static int64_t results_before(const fc_winograd_shape* shape, const fc_tile_axis* axis,
                              int64_t end) {
    const int64_t large = large_before(axis, end);
    return large * shape->tile + (end - large) * shape->small;
}

fc_tile_kind fc_tile_kind_of(const fc_winograd_shape* shape, int kind) {
    const int64_t down = kind / 2 ? shape->small : shape->tile;
    const int64_t across = kind % 2 ? shape->small : shape->tile;
    return (fc_tile_kind){.tile = {down, across},
                          .side = {down + shape->reach, across + shape->reach}};
}

fc_tile_order fc_tile_order_of(const int64_t tiles[FC_TILE_KINDS]) {
    static const int order[FC_TILE_KINDS] = {1, 0, 2, 3};
    fc_tile_order o = {.tiles = 0};
    for (int i = 0; i < FC_TILE_KINDS; i++) {
        o.first[order[i]] = o.tiles;
        o.tiles += tiles[order[i]];
    }
    return o;
}

fc_winograd_range fc_tiles_at(const fc_winograd_shape* shape, const fc_tile_order* o,
                              int64_t point) {
    const int64_t last = fc_winograd_side(shape) - 1, small = shape->small + shape->reach - 1;
    const int64_t down = point / (last + 1), across = point % (last + 1);
    const int is_tall = down >= small && down < last, is_wide = across >= small && across < last;
    return (fc_winograd_range){.first = is_wide ? o->first[0] : 0,
                               .end = is_tall   ? o->first[2]
                                      : is_wide ? o->first[3]
                                                : o->tiles};
}

fc_strips fc_strips_of(const fc_winograd_shape* shape, const fc_mosaic* mosaic, int64_t tiles,
                       int64_t bytes, int64_t pixel_bytes) {
    const int64_t tile = shape->tile, reach = shape->reach;
    fc_strips s = {.shape = shape,
                   .axis = {fc_mosaic_axis(mosaic, shape, 0), fc_mosaic_axis(mosaic, shape, 1)}};
    const int64_t down = fc_tile_axis_tiles(&s.axis[0]), across = fc_tile_axis_tiles(&s.axis[1]);
    const int64_t pixels = bytes / pixel_bytes;
    const int64_t columns = fc_max(1, (pixels / (tile + reach) - reach) / tile);
    s.per_mosaic[1] = fc_ceil_div(across, columns);
    s.columns = fc_ceil_div(across, s.per_mosaic[1]);
    const int64_t width = s.columns * tile + reach;
    int64_t rows = fc_max(1, (pixels / width - reach) / tile);
    rows = fc_min(rows, fc_ceil_div(tiles, s.columns));
    s.per_mosaic[0] = fc_ceil_div(down, rows);
    s.rows = fc_ceil_div(down, s.per_mosaic[0]);
    s.strips = mosaic->count * s.per_mosaic[0] * s.per_mosaic[1];
    return s;
}

/* Tiles before a strip: of mosaics, of rows of strips, of strips. */
static void count_before(const fc_strips* s, fc_strip* strip) {
    const int kinds = s->shape->small ? FC_TILE_KINDS : 1;
    for (int kind = 0; kind < kinds; kind++) {
        const fc_tile_axis *down = &s->axis[0], *across = &s->axis[1];
        const int64_t of_row = tiles_before(across, kind % 2, fc_tile_axis_tiles(across));
        const int64_t rows = tiles_before(down, kind / 2, fc_tile_axis_tiles(down));
        const int64_t above = tiles_before(down, kind / 2, strip->row);
        const int64_t beside = tiles_before(down, kind / 2, strip->row + strip->rows) - above;
        strip->before[kind] = (strip->mosaic * rows + above) * of_row +
                              beside * tiles_before(across, kind % 2, strip->column);
    }
}

fc_strip fc_strip_at(const fc_strips* s, int64_t index) {
    fc_strip strip = {.strips = s, .mosaic = index / (s->per_mosaic[0] * s->per_mosaic[1])};
    const int64_t number[2] = {index / s->per_mosaic[1] % s->per_mosaic[0],
                               index % s->per_mosaic[1]};
    const int64_t most[2] = {s->rows, s->columns};
    int64_t at[2], tiles[2];
    for (int axis = 0; axis < 2; axis++) {
        const fc_tile_axis* of = &s->axis[axis];
        const int64_t all = fc_tile_axis_tiles(of);
        at[axis] = fc_min(number[axis] * most[axis], all);
        tiles[axis] = fc_min(most[axis], all - at[axis]);
        strip.first[axis] = results_before(s->shape, of, at[axis]);
        strip.size[axis] = results_before(s->shape, of, at[axis] + tiles[axis]) - strip.first[axis];
    }
    strip.row = at[0], strip.rows = tiles[0];
    strip.column = at[1], strip.columns = tiles[1];
    count_before(s, &strip);
    return strip;
}

int64_t fc_strip_tiles_before(const fc_strip* strip) {
    int64_t tiles = 0;
    for (int kind = 0; kind < FC_TILE_KINDS; kind++) tiles += strip->before[kind];
    return tiles;
}

/* Tiles of a size among those of an axis, and the first one. */
typedef struct {
    int64_t first, tiles;
} range;

int fc_strip_runs(const fc_strip* strip, int64_t row, fc_strip_run runs[FC_STRIP_RUNS]) {
    const fc_winograd_shape* shape = strip->strips->shape;
    const fc_tile_axis *down = &strip->strips->axis[0], *across = &strip->strips->axis[1];
    const int64_t at = strip->row + row, end = strip->column + strip->columns;
    const int is_low = large_before(down, at + 1) == large_before(down, at);
    const int64_t above = tiles_before(down, is_low, at) - tiles_before(down, is_low, strip->row);
    const int64_t large = large_before(across, end) - large_before(across, strip->column);
    const int64_t left = fc_max(0, fc_min(across->first, end) - strip->column);
    const int64_t right = strip->columns - large - left;
    const range ranges[FC_STRIP_RUNS] = {
        {strip->column + left, large}, {strip->column, left}, {end - right, right}};
    /* one small tile at either end is a run of two */
    const int is_pair = left == 1 && right == 1;
    int count = 0;
    for (int i = 0; i < FC_STRIP_RUNS; i++) {
        if (ranges[i].tiles == 0 || (i == 2 && is_pair)) continue;
        fc_strip_run* run = &runs[count++];
        run->kind = 2 * is_low + (i > 0);
        run->tiles = i == 1 && is_pair ? 2 : ranges[i].tiles;
        run->step = i == 0    ? shape->tile
                    : is_pair ? shape->small + large * shape->tile
                              : shape->small;
        run->result[0] = results_before(shape, down, at) - strip->first[0];
        run->result[1] = results_before(shape, across, ranges[i].first) - strip->first[1];
        run->tile = above * (i > 0 ? left + right : large) + (i == 2 ? left : 0);
    }
    return count;
}
