/* The gradient of the input with the products first (conv_products.c): another way inside "direct".
 */
#ifndef FASTCONV_CONV_PRODUCTS_H
#define FASTCONV_CONV_PRODUCTS_H

#include "conv_planes.h"

/* Stride 1, planar images, within bounded scratch. */
int fc_products_can(const fc_conv2d* conv, fc_dtype dtype);
/* FMAs that would take as long, lost lanes and the gathering of products included. */
double fc_products_work(const fc_conv2d* conv, fc_dtype dtype);
fc_status fc_products_grad_input(const fc_conv2d* conv, fc_dtype dtype, const void* grad_output,
                                 const void* weight, void* grad_input);
/* Bytes of scratch of a task. */
int64_t fc_products_workspace(const fc_conv2d* conv, fc_dtype dtype);

#endif
