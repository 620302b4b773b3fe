/* All gradients of a convolution at one reading of grad_output: part of fastconv.h. */
#ifndef FASTCONV_BACKWARD_H
#define FASTCONV_BACKWARD_H

#include "fastconv.h"

typedef struct {
    const void *input, *grad_output, *weight;
} fc_conv2d_operands;
typedef struct {
    void *input, *weight, *bias; /* bias: NULL where it is not wanted */
} fc_conv2d_gradients;

/* First layers, whose few channels and large images leave grad_output to be most of the memory
 * (ops/conv_product_strips.c). Pass 3 of fc_conv2d_direct_work is its FMAs, 0 where it can't be
 * done: then this is FC_ERROR_ARGUMENT. */
FC_API fc_status fc_conv2d_direct_backward(const fc_conv2d* conv, fc_dtype dtype,
                                           const fc_conv2d_operands* operands,
                                           const fc_conv2d_gradients* gradients);

#endif
