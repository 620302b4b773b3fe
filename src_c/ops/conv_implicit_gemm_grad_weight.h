/* What the gradient of the weights by implicit GEMM is cut into. */
#ifndef FASTCONV_CONV_IMPLICIT_GEMM_GRAD_WEIGHT_H
#define FASTCONV_CONV_IMPLICIT_GEMM_GRAD_WEIGHT_H

#include "conv_implicit_gemm.h"

typedef struct {
    fc_implicit problem;
    fc_implicit_plan plan;
    int64_t blocks; /* of input channels */
    int64_t places; /* blocks of pixels, of a group */
    int64_t slices; /* of them */
    int64_t tile_parts, block_parts;
    int64_t plane_bytes; /* the gradient of one vector of output channels */
    size_t slab_bytes, grad_bytes, sums_bytes, plain_bytes;
    const int64_t* segment;
    const int64_t* line[2]; /* where rows of pixels start, in a block and in the tail */
    char *slice_sums, *grad_weight;
    int is_planar; /* channels are read in place */
    int is_direct; /* sums are rows of the weight, where they are added up at once */
} fc_weight_job;

/* Bytes of the sums of one tile and channel block. */
int64_t fc_weight_cell_bytes(const fc_implicit* problem);
/* Bytes of the sums of all slices; 0 where tasks keep theirs. */
size_t fc_weight_slices_bytes(const fc_weight_job* job);
/* `conv` is changed where the sides of a 1x1 are swapped, and must live as long as the job. */
fc_status fc_weight_plan(fc_weight_job* job, fc_conv2d* conv, fc_dtype dtype, const void* input,
                         const void* grad_output);

/* conv_implicit_gemm_weight_rows.c: lanes = steps of the window. Is it the faster way? */
fc_status fc_weight_rows_pay(const fc_conv2d* conv, fc_dtype dtype, int* pays);
fc_status fc_weight_rows_run(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                             const void* grad_output, void* grad_weight);
int64_t fc_weight_rows_workspace(const fc_conv2d* conv, fc_dtype dtype);

#endif
