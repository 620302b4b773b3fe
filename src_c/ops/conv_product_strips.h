/* The gradient of the input with the products first, strip by strip (conv_product_strips.c):
 * another way inside "direct", for large images and any stride. */
#ifndef FASTCONV_CONV_PRODUCT_STRIPS_H
#define FASTCONV_CONV_PRODUCT_STRIPS_H

#include "conv_planes.h"

/* What is summed besides the gradient of the input: nothing, the bias' gradient, or the weight's
 * and, where it is wanted, the bias'. Then tasks follow from the geometry alone. */
typedef enum { FC_STRIPS_ALONE, FC_STRIPS_BIAS, FC_STRIPS_WEIGHT } fc_strips_kind;

/* The gradient of the weight on the way (conv_product_strips_weight.c). */
typedef struct {
    fc_axis horizontal;     /* explicit columns: rows of a plane are one run */
    fc_plane_layout layout; /* of the input's planes for a strip */
    int64_t columns;        /* channels and taps */
    size_t planes_bytes, tables_bytes, sums_bytes;
    const int32_t* offset; /* of channels and taps in the planes */
    const char* input;
    char* sums; /* a gradient for each task */
} fc_strips_weight;

/* How one problem is cut up, and what its tasks share. A unit of products is those of one channel
 * and one vertical phase of the stride: all that the rows of that phase receive. */
typedef struct {
    const fc_conv2d* conv;
    const fc_kernels_of_type* kernels;
    int64_t element;
    int64_t filters, channels, taps; /* of a group; of a kernel */
    fc_axis vertical, horizontal;
    int64_t units, chunks; /* of a group: channels x vertical phases; shares of them */
    int64_t chunk_rows;    /* products of the largest chunk */
    int64_t tiles;         /* of products, of all chunks */
    int64_t rows, parts;   /* of positions in a strip; shares of an image */
    int64_t pitch;         /* from one filter's gradients, or row of products, to the next */
    int64_t before, after; /* elements around the products that are read, but not used */
    int64_t kept;          /* rows of a unit that wait for the next strip, at most */
    int64_t row_size;      /* of a row of pixels, phase-split */
    fc_gather_row gather;
    int64_t* table; /* taps_end, start and offset of the gather */
    size_t grads_bytes, products_bytes, sums_bytes, list_bytes, weights_bytes, table_bytes;
    size_t offset_bytes, bias_bytes;
    double work;
    const char *grad_output, *weight;
    char *packed, *grad_input;
    const int32_t* offset; /* of each filter's gradients */
    int64_t tasks;         /* runs of shares of images */
    double* bias;          /* sums of each task, or NULL */
    fc_strips_weight of_weight;
} fc_strips;

/* What is fetched while a strip is multiplied: the next one, a walk along the rows of a filter with
 * every call, so slowly that lines come one by one. In bursts they would fill the buffers that the
 * loads of the products wait for too. */
typedef struct {
    const char* next; /* walk of `walk` bytes, of `walks` of a filter; then the next plane's */
    int64_t filters, walks, walk, walked, plane;
    int64_t step; /* 0, or where calls are few: a line of each filter in one walk */
} fc_strips_ahead;
/* The next walk, NULL at the end, and bytes between its steps. */
const char* fc_strips_fetch(fc_strips_ahead* ahead, int64_t steps, int64_t* step);

/* A strip: positions [first, end) of an image, of which those from `own` on are the share's. */
typedef struct {
    int64_t image, first, end, own;
    const char* grads; /* [filters][pitch] */
    fc_strips_ahead* ahead;
} fc_strip;

/* The plan; `memory` is for its axes. */
fc_strips fc_strips_plan(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory,
                         fc_strips_kind kind);

/* Rows of the kernel that belong to phases before this one. */
int64_t fc_strips_phase_start(const fc_strips* job, int64_t phase);
/* Products before those of a unit, where they lie side by side. */
int64_t fc_strips_unit_start(const fc_strips* job, int64_t unit);
/* Units before those of a chunk. */
int64_t fc_strips_chunk_start(const fc_strips* job, int64_t chunk);

/* Planar images, within bounded scratch. */
int fc_strips_can(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory);
/* FMAs that would take as long, lost lanes and the gathering of products included. */
double fc_strips_work(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory);
/* The gradients that are not NULL, but the input's always. */
fc_status fc_strips_backward(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory,
                             const fc_conv2d_operands* from, const fc_conv2d_gradients* to);
/* Bytes of scratch of a task. */
int64_t fc_strips_workspace(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory);

/* Can the gradient of the weight be summed on the way? */
int fc_strips_weight_can(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory);
void fc_strips_plan_weight(fc_strips* job);
/* Calls of the kernel for a strip. */
int64_t fc_strips_weight_calls(const fc_strips* job);
/* Fills the tables, in `tables_bytes` of memory. */
void fc_strips_weight_tables(fc_strips* job, char* memory);
/* Adds what a strip gives to `sums`. */
void fc_strips_weight_add(const fc_strips* job, const fc_strip* strip, char* planes, char* sums);

#endif
