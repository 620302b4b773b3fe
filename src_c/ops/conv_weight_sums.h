/* Weight gradients of several runs of images, and their sum in a fixed order. */
#ifndef FASTCONV_CONV_WEIGHT_SUMS_H
#define FASTCONV_CONV_WEIGHT_SUMS_H

#include "../runtime/runtime.h"

/* Elements of the weight. */
int64_t fc_weight_size(const fc_conv2d* conv);

/* How many runs of images keep sums of their own, so that `tasks` other tasks become enough for
 * many threads: a function of the geometry alone, at most `most`. */
int64_t fc_choose_runs(const fc_conv2d* conv, int64_t tasks, int64_t most, size_t element);

/* total[i] = sums[i] + sums[size + i] + ...; *infinite is set if some total is not finite. `total`
 * may be `sums`. */
fc_status fc_sum_runs(fc_dtype dtype, int64_t size, int64_t runs, const void* sums, void* total,
                      int* infinite);

#endif
