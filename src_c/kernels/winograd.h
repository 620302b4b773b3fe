/* Winograd's transforms of tiles (winograd.inc): what they are given, and which there are. */
#ifndef FASTCONV_WINOGRAD_H
#define FASTCONV_WINOGRAD_H

#include <stdint.h>

/* Squares and rectangles of vectors through a two-dimensional transform: item i is read at
 * from + i * in_item, its element (row, column) at + row * in_row + column * in_column. */
typedef struct {
    int64_t items;
    int64_t in_item, in_row, in_column;
    int64_t out_item, out_row, out_column;
    /* Taps (down, across) that there are, where a phase of a strided kernel has fewer than the
     * transform: winograd_weight takes the others for zeros, winograd_grad_weight drops them. */
    int64_t tap_end[2];
    /* Points (down, across) wanted of the inputs' and the weights' transforms of side 5. */
    int64_t point_end[2];
    int accumulate; /* winograd_grad_weight: add to what is there */
} fc_squares;
typedef void (*fc_squares_kernel)(const fc_squares* squares, const void* from, void* to);

/* Winograd's F(m x m, r x r) over squares of m + r - 1 inputs. Those of 4x4 outputs may be smaller
 * down, across or both, with the same weights: they are members in their inputs and outputs. */
typedef enum {
    FC_WINOGRAD_4_2, /* 4x4 outputs, 2x2 weights */
    FC_WINOGRAD_3_3,
    FC_WINOGRAD_4_3,
    FC_WINOGRAD_4X2_3,
    FC_WINOGRAD_2X4_3,
    FC_WINOGRAD_2X2_3,
    FC_WINOGRAD_3_4,
    FC_WINOGRAD_2_5,
    FC_WINOGRAD_MEMBERS,
} fc_winograd_member;

#endif
