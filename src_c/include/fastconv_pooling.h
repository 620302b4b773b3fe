/* Pooling: part of fastconv.h. */
#ifndef FASTCONV_INTERFACE_POOLING_H
#define FASTCONV_INTERFACE_POOLING_H

#include "fastconv_runtime.h"

/* Planes of (height, width), one after the other; pairs are (along height, along width). Every
 * window holds a cell of the input, and starts before the input's end. */
typedef struct {
    int64_t planes;
    int64_t input[2], output[2];
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    int count_include_pad; /* averages: count the cells of the padding */
    int64_t divisor;       /* averages: divide by this instead of counting; 0: count */
} fc_pool2d;

/* indices: of each maximum, flat in its plane; NULL if not wanted. */
FC_API fc_status fc_max_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                       void* output, int64_t* indices);
FC_API fc_status fc_avg_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                       void* output);
/* grad_input (planes, in_area) gathers grad_output (planes, out_area) at indices. With `maxima`,
 * the pooling's output, which then was of a ReLU's: its gradient too, zero where a maximum is not
 * positive. FC_ERROR_INDEX: an index is outside its plane. */
typedef struct {
    int64_t planes, in_area, out_area;
    const int64_t* indices;
    const void* maxima; /* or NULL */
    /* Windows of 2 x 2 side by side below a convolution (fc_conv2d_maxima) have these for indices.
     */
    const uint8_t* places;
} fc_max_pool_gradient;
FC_API fc_status fc_max_pool_backward(const fc_max_pool_gradient* pool, fc_dtype dtype,
                                      const void* grad_output, void* grad_input);
FC_API fc_status fc_avg_pool2d_backward(const fc_pool2d* pool, fc_dtype dtype,
                                        const void* grad_output, void* grad_input);

#endif
