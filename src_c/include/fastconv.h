/* fastconv: the C interface, the one header that bindings see.
 *
 * Arrays are native-endian, aligned and C-contiguous unless a struct carries strides. Sizes are
 * counted in elements and are int64_t. Every function that can fail returns fc_status; on failure
 * the contents of its outputs are unspecified. All functions may be called from any number of
 * threads at once. The grammar of the names is in src_c/README.md. */
#ifndef FASTCONV_H
#define FASTCONV_H

#include "fastconv_runtime.h"
#include "fastconv_convolution.h"
#include "fastconv_elementwise.h"
#include "fastconv_matrix.h"
#include "fastconv_pooling.h"

#endif
