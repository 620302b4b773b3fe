/* What the kernels of conv_pooled.inc take: gradients below a max-pool. */
#ifndef FASTCONV_POOLED_H
#define FASTCONV_POOLED_H

#include <stdint.h>
#include "../include/fastconv.h"

/* Columns of `pieces` pixels, one above the other, each its `channels` (conv_pooled.inc): `pitch`
 * elements from one column to the next; pixels lie in blocks of a vector of channels, `pixel`
 * elements apart, pieces `row` apart. Reads and writes go on for up to two vectors. */
typedef struct {
    int64_t columns, pieces, channels, pitch;
    int64_t pixel, row;
    int64_t blocks, block; /* of channels; elements from one to the next */
} fc_pixel_columns;

/* Entries of several planes, `room` apart: how many each has, their places (below `places`) and
 * values; `pitch` for each plane's offset. */
typedef struct {
    int64_t planes, places, room, pitch;
    const int32_t* count;
    const int32_t* place;
    const void* value;
} fc_entry_lists;

/* Rows at offsets, each times a value: `vectors` of each, at most as many as `most`. */
typedef struct {
    int64_t count;
    int vectors;
    const int32_t* offset;
    const void* value;
} fc_scaled_rows;

typedef int64_t (*fc_entries_kernel)(const fc_max_pool_gradient* pool, int64_t plane,
                                     const void* grads, const int32_t* table, int32_t* offset,
                                     void* values, double* sum);

typedef struct {
    int most, few; /* vectors of scaled_rows; of rows whose zeros cost less than leaving them out */
    /* Entries of a plane of maxima, in order and without zeros: table[index] of each, or for places
     * table[4 * maximum + place], and its gradient, with room for whole vectors of all. Returns how
     * many, or -1: an index lies outside its plane. `sum` grows by the gradients. */
    fc_entries_kernel entries, all; /* all: with the zeros */
    /* Entries of several planes by place: those of place p end before end[p]. */
    void (*sort)(const fc_entry_lists* lists, int32_t* end, int32_t* offset, void* values);
    /* target[j] += sum over entries e of value[e] * rows[offset[e] + j] */
    void (*scaled_rows)(const fc_scaled_rows* scaled, const void* rows, void* target);
    void (*columns)(const fc_pixel_columns* shape, const void* pixels, void* columns);
    /* pixels[x] = sum over pieces i of columns[offset[i] + x * pitch], a vector each */
    void (*pixels)(const fc_pixel_columns* shape, const int64_t* offset, const void* columns,
                   void* pixels);
} fc_pooled_kernels;

#endif
