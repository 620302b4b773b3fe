/* Winograd's F(m x m, r x r) on tiles: what the forward pass, the gradients and weight packing
 * share. A tile reads n x n inputs, n = m + r - 1, and forms as many products: its points.
 *
 * A convolution with stride s and k taps is one with stride 1 and r = ceil(k / s) taps over s * s
 * times the channels: phase (a, b) of the padded image is x[s i + a, s j + b], and its weights are
 * w[s p + a, s q + b], zero beyond the kernel. */
#ifndef FASTCONV_CONV_WINOGRAD_H
#define FASTCONV_CONV_WINOGRAD_H

#include "blocked.h"

enum {
    WINOGRAD_STRIDE = 4, /* at most: scratch grows with its square */
    WINOGRAD_MOVE = 16,  /* FMAs that take as long as a transformed element, packing included */
    WINOGRAD_PAD = 48,   /* elements between planes: keeps them off one another's cache sets */
};

typedef struct {
    fc_winograd_member member;
    int64_t tile;  /* outputs of a tile along an axis */
    int64_t small; /* of one of the smaller tiles with the same weights; 0: there are none */
    int64_t reach; /* further inputs that it reads: one less than the taps of a phase */
} fc_winograd_shape;

/* Inputs of a tile along an axis; and its products for a pair of channels. */
static inline int64_t fc_winograd_side(const fc_winograd_shape* shape) {
    return shape->tile + shape->reach;
}
static inline int64_t fc_winograd_points(const fc_winograd_shape* shape) {
    return fc_winograd_side(shape) * fc_winograd_side(shape);
}

/* Of a pass: 0 forward, 1 grad_input, 2 grad_weight. NULL unless it has dilation 1, strides up to
 * WINOGRAD_STRIDE and 2 to 5 taps a phase, the same number along both axes. */
const fc_winograd_shape* fc_winograd_shape_of(const fc_conv2d* conv, int pass);

/* The channels and phases over which a product sums, a vector of them at a time. Where channels are
 * many, a vector holds channels of one phase, and the phases of a block of channels follow one
 * another. Few channels are folded: all phases of a pixel, [down][across][channel], lie side by
 * side, cut evenly into vectors. A vector's last lanes may be idle. */
typedef struct {
    int64_t channels; /* of a group */
    int64_t stride[2], phases;
    int folded;
    int64_t run;    /* channels of one phase in a row */
    int64_t block;  /* terms of a vector */
    int64_t blocks; /* vectors */
    int64_t pixel;  /* elements of a pixel of a slab, its phases included */
} fc_winograd_terms;

fc_winograd_terms fc_winograd_terms_of(int64_t channels, int64_t lanes, const int64_t stride[2]);

/* Terms [at, at + length) that are channels of one phase; `count` of them, from `channel` on, are
 * the group's, the others idle. */
typedef struct {
    int64_t length, channel, count;
    int64_t number; /* of the phase */
    int64_t phase[2];
} fc_winograd_run;
fc_winograd_run fc_winograd_run_at(const fc_winograd_terms* terms, int64_t at, int64_t end);

/* The phase of a number, where phases follow one another and are not folded. */
void fc_winograd_phase_of(const int64_t stride[2], int64_t number, int64_t phase[2]);
/* Taps of a phase along an axis. */
static inline int64_t fc_winograd_phase_taps(int64_t kernel, int64_t stride, int64_t phase) {
    return fc_ceil_div(kernel - phase, stride);
}

/* [first, end) */
typedef struct {
    int64_t first, end;
} fc_winograd_range;

/* The numbers of the phases that have a point, [its row is at infinity][its column is]. A phase
 * with a tap less than the transform has no coefficient that infinity could stand for: with 3x3
 * taps, stride 2 and 25 points, phases have 81 of 100. */
typedef struct {
    fc_winograd_range at[2][2];
} fc_winograd_phases;

/* All have all points where they are folded, or too many for a chunk of terms to hold. */
fc_winograd_phases fc_winograd_phases_of(const fc_winograd_shape* shape, const int64_t kernel[2],
                                         const int64_t stride[2], int folded);
static inline fc_winograd_range fc_winograd_phases_at(const fc_winograd_phases* phases,
                                                      int64_t side, int64_t point) {
    return phases->at[point / side == side - 1][point % side == side - 1];
}
/* The points, down and across, that a phase has. */
static inline void fc_winograd_point_ends(const fc_winograd_phases* phases, int64_t side,
                                          int64_t number, int64_t end[2]) {
    const fc_winograd_range down = phases->at[1][0], across = phases->at[0][1];
    end[0] = side - (number < down.first || number >= down.end);
    end[1] = side - (number < across.first || number >= across.end);
}

/* Tiles along an axis: small ones, larger ones, small ones. The last may reach past the end. */
typedef struct {
    int64_t first, large, last;
} fc_tile_axis;

fc_tile_axis fc_tile_axis_of(const fc_winograd_shape* shape, int64_t results, const int borders[2]);
static inline int64_t fc_tile_axis_tiles(const fc_tile_axis* axis) {
    return axis->first + axis->large + axis->last;
}
int64_t fc_tile_axis_points(const fc_winograd_shape* shape, const fc_tile_axis* axis);

/* A tile's kind: 2 * (it is small down) + (it is small across). */
enum { FC_TILE_KINDS = 4 };
typedef struct {
    int64_t tile[2], side[2];
} fc_tile_kind;
fc_tile_kind fc_tile_kind_of(const fc_winograd_shape* shape, int kind);

/* Tiles of all kinds, kind by kind: a small one has a part of the points of the large, the first
 * and the last, and in this order the tiles that have a point are neighbours. */
typedef struct {
    int64_t first[FC_TILE_KINDS]; /* tile of a kind */
    int64_t tiles;
} fc_tile_order;
fc_tile_order fc_tile_order_of(const int64_t tiles[FC_TILE_KINDS]);

fc_winograd_range fc_tiles_at(const fc_winograd_shape* shape, const fc_tile_order* order,
                              int64_t point);

/* Pixels along an axis: of an image, of padding before it, and of its results. Those of a gradient
 * are of one phase of the target, whose first one lies at row or column `first`. */
typedef struct {
    int64_t source, padding, results, first;
} fc_winograd_axis;

fc_winograd_axis fc_winograd_axis_of(const fc_conv2d* conv, const fc_winograd_shape* shape,
                                     int gradient, int axis);

/* What is cut into tiles: an image; or all images of a batch, side by side and row by row as if
 * they were one, with zeros between them that serve both neighbours as padding. No window meets two
 * images, and the results between them are nobody's. But a tile may meet two, and has the rounding
 * error of both: only images of about one magnitude are joined. */
typedef struct {
    int64_t images[2]; /* down and across */
    int64_t period[2]; /* pixels from an image to the next */
    int64_t image[2];  /* rows and columns of results, of an image */
    int64_t size[2];   /* and of all of it */
    int padded[2][2];  /* results at the begin, the end of an axis meet padding */
    int bordered;      /* axes along which they are of small tiles, unless images are joined */
    int64_t batch;     /* images */
    int64_t count;     /* of such as this */
} fc_mosaic;

/* Joined where that saves products enough, by the geometry alone. bordered: axes along which
 * results that meet padding are better of small tiles, if there are such; of both, and images stay
 * apart. */
fc_mosaic fc_mosaic_of(const fc_conv2d* conv, const fc_winograd_shape* shape, int gradient,
                       int bordered);
/* Reads joined images, and puts them apart where their largest magnitudes are too different, or too
 * large (infinite, or NaN, among others) for sums to be finite. */
fc_status fc_mosaic_check(fc_mosaic* mosaic, const fc_image* images);
fc_mosaic fc_mosaic_apart(const fc_mosaic* joined); /* of one image each */
int fc_mosaic_is_joined(const fc_mosaic* mosaic);
/* Axes along which results of large tiles meet padding. */
int fc_mosaic_clipped_axes(const fc_mosaic* mosaic);
fc_tile_axis fc_mosaic_axis(const fc_mosaic* mosaic, const fc_winograd_shape* shape, int axis);
int64_t fc_mosaic_tiles(const fc_mosaic* mosaic, const fc_winograd_shape* shape);
int64_t fc_mosaic_points(const fc_mosaic* mosaic, const fc_winograd_shape* shape); /* of them all */
/* fc_pack_block and fc_unpack_block of what mosaics are made of; a block's `image` counts mosaics.
 * run: scratch for the pixels of an image within the block, where images are joined. */
void fc_mosaic_pack(const fc_mosaic* mosaic, const fc_image* image, const fc_block* block,
                    char* blocked);
void fc_mosaic_unpack(const fc_mosaic* mosaic, const fc_image* image, const fc_block* block,
                      const void* bias, int relu, const char* blocked, char* run);

/* target = a convolution of source, for one group of channels. */
typedef struct {
    const fc_winograd_shape* shape;
    fc_dtype dtype;
    const fc_kernels_of_type* kernels;
    int64_t lanes, element;
    fc_image source, target;
    int64_t source_channel, target_channel; /* where the group's channels begin */
    fc_winograd_terms terms;                /* of the source */
    int64_t padding[2];                     /* before the source's first row and column */
    int64_t results;                        /* channels of the group in the target */
    int64_t stride[2], phases;              /* of the target: a gradient's; else 1 */
    fc_winograd_phases points;              /* of either's phases */
    int64_t first[2];                       /* row and column of the first tile's phase (0, 0) */
    fc_mosaic mosaic;                       /* of a phase of the target */
    int64_t read[2];                        /* a gradient's rows and columns before those that no
                                             * output reads */
    const char* weight;                     /* of the group */
    int64_t weight_room;                    /* elements from there on */
    int64_t result_stride, channel_stride;  /* of a filter, in elements */
    int64_t kernel[2];                      /* its size */
    int mirrored;                           /* tiles from their last pixel on: a gradient's, that
                                             * its taps are in order */
    const char* bias;                       /* of the group, or NULL */
    int relu;
} fc_winograd;

/* One group's problem, without pointers into arrays but for the images'; only its shape, NULL, if
 * no member of the family can do it. */
fc_winograd fc_winograd_of(const fc_conv2d* conv, fc_dtype dtype, int gradient);

/* Results come in panels of two vectors. A target with phases has those of a block of channels in
 * panels of their own. */
typedef struct {
    int64_t channel;
    int64_t number; /* of the phase */
    int64_t phase[2];
} fc_winograd_result;
int64_t fc_winograd_block_panels(const fc_winograd* w); /* that belong together */
int64_t fc_winograd_panels(const fc_winograd* w);
int fc_winograd_panel_vectors(const fc_winograd* w, int64_t panel);
fc_winograd_result fc_winograd_result_of(const fc_winograd* w, int64_t panel, int n);

/* Transformed weights come in panels of results and chunks of terms, laid out [point][term][result]
 * with zeros for terms past the last. */
int64_t fc_winograd_chunk_blocks(const fc_winograd* w); /* vectors of terms of a panel */
int64_t fc_winograd_sum_terms(const fc_winograd* w);    /* terms of a partial sum */
int64_t fc_winograd_chunks(const fc_winograd* w);
int64_t fc_winograd_panel_plane(const fc_winograd* w);  /* elements from a point to the next */
int64_t fc_winograd_panel_bytes(const fc_winograd* w);  /* of one panel of one chunk */
int64_t fc_winograd_packed_bytes(const fc_winograd* w); /* of all */
int64_t fc_winograd_filter_bytes(const fc_winograd* w); /* scratch of fc_winograd_pack_panel */
void fc_winograd_pack_panel(const fc_winograd* w, int64_t panel, int64_t chunk, char* filters,
                            char* packed);

/* Tiles in strips: rectangles of tiles of one mosaic that are packed at once. */
typedef struct {
    const fc_winograd_shape* shape;
    fc_tile_axis axis[2];  /* of a mosaic, down and across */
    int64_t rows, columns; /* of a strip, at most */
    int64_t per_mosaic[2]; /* strips, down and across */
    int64_t strips;        /* of all */
} fc_strips;

typedef struct {
    const fc_strips* strips;
    int64_t mosaic, row, column, rows, columns; /* in tiles */
    int64_t first[2], size[2];                  /* results, those past the end included */
    int64_t before[FC_TILE_KINDS];              /* tiles of each kind in the strips before */
} fc_strip;

/* Strips of about `tiles` at most, whose slab of pixels, reach included, fits `bytes` where it can.
 */
fc_strips fc_strips_of(const fc_winograd_shape* shape, const fc_mosaic* mosaic, int64_t tiles,
                       int64_t bytes, int64_t pixel_bytes);
fc_strip fc_strip_at(const fc_strips* s, int64_t index);
int64_t fc_strip_tiles_before(const fc_strip* strip); /* of all kinds */

/* A strip's tiles of one kind in one row of tiles, some results from one to the next. */
typedef struct {
    int kind;
    int64_t tiles, step;
    int64_t result[2]; /* of the first one, from the strip's first on */
    int64_t tile;      /* its number among those of the kind in the strip */
} fc_strip_run;
enum { FC_STRIP_RUNS = 3 }; /* of a row, at most */
/* The runs of a row of a strip; that of its last tile is the last. */
int fc_strip_runs(const fc_strip* strip, int64_t row, fc_strip_run runs[FC_STRIP_RUNS]);

/* The way of a strip from an image to transformed tiles: point p of tile t of vector b of terms
 * goes to points + p * plane + b * block + t * tile (elements). */
typedef struct {
    fc_image image;
    fc_mosaic mosaic;
    fc_winograd_terms terms;
    int64_t padding[2];                  /* before the mosaic's first row and column */
    int64_t reach;                       /* pixels that a tile reads beyond its own */
    fc_winograd_phases points;           /* of the terms */
    int mirrored;                        /* tiles begin at their last pixel */
    const fc_squares_kernel* transforms; /* of each kind */
    int64_t plane, block, tile;
} fc_tiler;

/* The units of a strip that are packed at once: a block of channels with all its phases, or all
 * that is folded. */
int64_t fc_tiler_units(const fc_winograd_terms* terms);
int64_t fc_tiler_slab_bytes(const fc_tiler* tiler, const fc_strips* s);
/* One unit of a group whose channels begin at `channel`. first: the numbers of the strip's first
 * tiles; slab is scratch. */
void fc_tile_strip(const fc_tiler* tiler, const fc_strip* strip, const int64_t first[FC_TILE_KINDS],
                   int64_t channel, int64_t unit, char* slab, char* points);

/* The products of a part of V's tiles with panels of weights. */
typedef struct {
    const char* points;    /* V, from the part's first tile on */
    int64_t point, vector; /* elements of V from a point to the next, and from a vector of terms */
    fc_tile_order order;   /* of the part's tiles */
    const char* weights;   /* transformed, of all panels; or NULL: they are made on the way */
    char *made, *filters;  /* then, of the panels of a call; and scratch to make them */
    char* sums;            /* [panel][point][tile][2 vectors] */
    int64_t plane;         /* elements from a point to the next */
    int64_t panel_bytes;   /* from a panel to the next */
} fc_winograd_products;
void fc_winograd_multiply(const fc_winograd* w, const fc_winograd_products* products, int64_t panel,
                          int64_t panels);

/* Sums of products, [panel][point][tile][2 vectors], and scratch for a strip's pixels. */
typedef struct {
    const char* sums;
    int64_t first[FC_TILE_KINDS]; /* of the strip's tiles */
    int64_t plane;                /* elements from a point to the next */
    int64_t panel_bytes;          /* from a panel to the next */
    char *slab, *run; /* scratch for pixels: a strip's, and one image's of it where joined */
} fc_winograd_sums;

/* Vectors of a group of panels come in units whose pixels are unpacked together: one vector, or all
 * phases of a block of channels. Units begin so many vectors apart. */
int64_t fc_winograd_unit_vectors(const fc_winograd* w);
/* Inverse transform, bias, activation and unpacking of one unit of the group that begins at
 * `panel`.
 */
void fc_winograd_store_strip(const fc_winograd* w, const fc_winograd_sums* s, const fc_strip* strip,
                             int64_t panel, int64_t unit);

/* Scratch of a thread for the gradient of the weights, its share of what all read included. */
int64_t fc_winograd_grad_weight_workspace(const fc_conv2d* conv, fc_dtype dtype);

#endif
