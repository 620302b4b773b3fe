/* Winograd's F(4x4, 3x3) and F(2x2, 5x5) on tiles: what the forward pass, the gradients and weight
 * packing share. Both read 6x6 inputs a tile and form 36 products. */
#ifndef FASTCONV_CONV_WINOGRAD_H
#define FASTCONV_CONV_WINOGRAD_H

#include "blocked.h"

enum {
    WINOGRAD_POINTS = 36, /* products of a tile and a pair of channels */
    WINOGRAD_MOVE = 16,   /* FMAs that take as long as a transformed element, packing included */
    WINOGRAD_CHUNK = 64,  /* channels of a panel of weights */
    WINOGRAD_PAD = 48,    /* elements between planes: keeps them off one another's cache sets */
};

typedef struct {
    fc_winograd_member member;
    int64_t tile;  /* outputs of a tile along an axis */
    int64_t reach; /* further inputs that it reads: one less than the kernel's side */
    int64_t taps;  /* of a kernel: its side squared */
} fc_winograd_shape;

/* NULL unless it is a 3x3 or 5x5 convolution with stride 1 and dilation 1. */
const fc_winograd_shape* fc_winograd_shape_of(const fc_conv2d* conv);

/* target = a convolution of source with stride 1, for one group of channels. */
typedef struct {
    const fc_winograd_shape* shape;
    fc_dtype dtype;
    const fc_kernels_of_type* kernels;
    int64_t lanes, element;
    fc_image source, target;
    int64_t source_channel, target_channel; /* where the group's channels begin */
    int64_t depth, results;                 /* channels of the group on either side */
    int64_t padding[2];                     /* before the source's first row and column */
    const char* weight;                     /* of the group */
    int64_t weight_room;                    /* elements from there on */
    int64_t result_stride, depth_stride;    /* of a filter, in elements */
    int rotated;                            /* taps in reverse order */
    const char* bias;                       /* of the group, or NULL */
    int relu;
} fc_winograd;

/* Transformed weights come in panels of 2 * lanes results and WINOGRAD_CHUNK channels, laid out
 * [point][channel][result] with zeros for channels past the last. */
int64_t fc_winograd_panels(const fc_winograd* w); /* of results */
int64_t fc_winograd_sum(const fc_winograd* w);    /* channels of a partial sum */
int64_t fc_winograd_chunks(const fc_winograd* w);
int64_t fc_winograd_chunk_depth(const fc_winograd* w);  /* channels of a panel, whole vectors */
int64_t fc_winograd_panel_plane(const fc_winograd* w);  /* elements from a point to the next */
int64_t fc_winograd_panel_bytes(const fc_winograd* w);  /* of one panel of one chunk */
int64_t fc_winograd_filter_bytes(const fc_winograd* w); /* scratch of fc_winograd_pack_panel */
int fc_winograd_panel_vectors(const fc_winograd* w, int64_t panel);
void fc_winograd_pack_panel(const fc_winograd* w, int64_t panel, int64_t chunk, char* filters,
                            char* packed);

/* Tiles in strips: rectangles of tiles of one image that are packed at once. */
typedef struct {
    const fc_winograd_shape* shape;
    int64_t tiles[2];         /* of an image, down and across */
    int64_t rows, columns;    /* of a strip, at most */
    int64_t per_image[2];     /* strips, down and across */
    int64_t strips, of_image; /* strips of all images, tiles of an image */
} fc_strips;

typedef struct {
    int64_t image, row, column, rows, columns; /* in tiles */
    int64_t tile;                              /* pixels from one to the next */
} fc_strip;

/* Strips whose slab of pixels, reach included, fits `bytes` where it can. */
fc_strips fc_strips_of(const fc_winograd_shape* shape, int64_t batch, const int64_t size[2],
                       int64_t bytes, int64_t vector_bytes);
fc_strip fc_strip_at(const fc_strips* s, int64_t index);
int64_t fc_tiles_before(const fc_strips* s, int64_t index);

/* The way of a strip from an image to transformed tiles: point p of tile t goes to
 * points + p * plane + t * tile (elements). */
typedef struct {
    fc_image image;
    int64_t padding[2]; /* before the image's first row and column */
    int64_t reach;      /* pixels that a tile reads beyond its own */
    fc_squares_kernel transform;
    int64_t plane, tile;
} fc_tiler;

/* One block of up to `lanes` channels from `channel` on; slab is scratch. */
void fc_tile_strip(const fc_tiler* tiler, const fc_strip* strip, int64_t channel, int64_t channels,
                   char* slab, char* points);
int64_t fc_winograd_slab_bytes(const fc_strips* s, int64_t vector_bytes);

/* Scratch of a thread for the gradient of the weights, its share of what all read included. */
int64_t fc_winograd_grad_weight_workspace(const fc_conv2d* conv, fc_dtype dtype);

#endif
