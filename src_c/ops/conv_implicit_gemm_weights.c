/* Weights on their way between OIHW and the order in which the products read them: vectors of
 * results (lanes) by steps of the reduction. */
#include "conv_implicit_gemm.h"
#include <string.h>

typedef struct {
    int64_t group, result, results, vectors;
} weight_tile;

static weight_tile locate(const fc_implicit* p, int64_t index) {
    const int64_t lanes = p->kernels->lanes, width = p->kernels->gemm_nv * lanes;
    const int64_t tiles = fc_ceil_div(p->results, width);
    weight_tile t = {.group = index / tiles, .result = index % tiles * width};
    t.results = fc_min(width, p->results - t.result);
    t.vectors = fc_ceil_div(t.results, lanes);
    return t;
}

int64_t fc_implicit_tile_start(const fc_implicit* p, int64_t index) {
    const weight_tile t = locate(p, index);
    const int64_t row = fc_ceil_div(p->results, p->kernels->lanes) * p->kernels->lanes;
    return (t.group * row + t.result) * fc_implicit_depth(p) * p->element;
}

/* Bytes of a vector are 16, 32 or 64: constants that the compiler can inline. */
static void copy_vector(void* to, const void* from, int64_t bytes) {
    if (bytes == 64)
        memcpy(to, from, 64);
    else if (bytes == 32)
        memcpy(to, from, 32);
    else
        memcpy(to, from, 16);
}

/* Vectors of a channel block, [channel][tap of the kernel] in `plain`, to or from their steps. */
static void permute(const fc_implicit* p, int64_t block, int64_t channels, int64_t step_bytes,
                    char* plain, char* packed, int is_packing) {
    const int64_t width = p->conv->kernel_size[1], window = p->conv->kernel_size[0] * width;
    const int64_t bytes = p->kernels->lanes * p->element;
    for (int64_t a = 0; a < p->rows.phases; a++)
        for (int64_t b = 0; b < p->cols.phases; b++) {
            const fc_phase *rows = &p->rows.phase[a], *cols = &p->cols.phase[b];
            const int64_t before = fc_implicit_first_tap(p, a, b) * p->reduced +
                                   block * p->kernels->lanes * rows->taps * cols->taps;
            char* to = packed + before * step_bytes;
            for (int64_t r = rows->before; r < rows->before + rows->taps; r++)
                for (int64_t c = cols->before; c < cols->before + cols->taps; c++) {
                    char* tap = plain + (p->rows.index[r] * width + p->cols.index[c]) * bytes;
                    for (int64_t i = 0; i < channels; i++, to += step_bytes)
                        if (is_packing)
                            copy_vector(to, tap + i * window * bytes, bytes);
                        else
                            copy_vector(tap + i * window * bytes, to, bytes);
                }
        }
}

size_t fc_implicit_weight_scratch(const fc_implicit* p) {
    const int64_t lanes = p->kernels->lanes;
    const int64_t window = p->conv->kernel_size[0] * p->conv->kernel_size[1];
    return fc_align((size_t)(fc_min(lanes, p->reduced) * window * lanes * p->element));
}

static int64_t weight_place(const fc_implicit* p, const weight_tile* t, int64_t vector,
                            int64_t block) {
    const int64_t lanes = p->kernels->lanes;
    return t->group * p->weight_group + (t->result + vector * lanes) * p->weight_result +
           block * lanes * p->weight_reduced;
}

void fc_implicit_pack_weight(const fc_implicit* p, int64_t index, const char* weight, char* scratch,
                             char* packed) {
    const int64_t lanes = p->kernels->lanes, bytes = lanes * p->element;
    const int64_t window = p->conv->kernel_size[0] * p->conv->kernel_size[1];
    const int64_t size = p->groups * p->weight_group;
    const weight_tile t = locate(p, index);
    for (int64_t v = 0; v < t.vectors; v++)
        for (int64_t block = 0; block * lanes < p->reduced; block++) {
            const int64_t channels = fc_min(lanes, p->reduced - block * lanes);
            const int64_t from = weight_place(p, &t, v, block);
            /* taps are adjacent, and so are channels of forward weights: one run or many */
            const int64_t runs = window == 1 || p->weight_reduced == window ? 1 : channels;
            const fc_lanes shape = {.rows = fc_min(lanes, t.results - v * lanes),
                                    .columns = channels / runs * window,
                                    .row_stride = p->weight_result,
                                    .column_stride = window == 1 ? p->weight_reduced : 1};
            for (int64_t i = 0; i < runs; i++) {
                const int64_t at = from + i * p->weight_reduced;
                p->kernels->pack_lanes(&shape, size - at, weight + at * p->element,
                                       scratch + i * window * bytes);
            }
            permute(p, block, channels, t.vectors * bytes, scratch, packed + v * bytes, 1);
        }
}

void fc_implicit_unpack_weight(const fc_implicit* p, int64_t index, int64_t block, char* packed,
                               char* scratch, char* weight) {
    const int64_t lanes = p->kernels->lanes, bytes = lanes * p->element;
    const int64_t window = p->conv->kernel_size[0] * p->conv->kernel_size[1];
    const weight_tile t = locate(p, index);
    const int64_t channels = fc_min(lanes, p->reduced - block * lanes);
    for (int64_t v = 0; v < t.vectors; v++) {
        permute(p, 0, channels, t.vectors * bytes, scratch, packed + v * bytes, 0);
        const fc_lanes shape = {.rows = fc_min(lanes, t.results - v * lanes),
                                .columns = channels * window,
                                .row_stride = p->weight_result,
                                .column_stride = window == 1 ? p->weight_reduced : 1};
        p->kernels->unpack_lanes(&shape, scratch, NULL,
                                 weight + weight_place(p, &t, v, block) * p->element);
    }
}
