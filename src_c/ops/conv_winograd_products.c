/* Products of transformed tiles and weights: at each point, V times a panel of weights, a chunk of
 * terms at a time. */
#include "conv_winograd.h"
#include <string.h>

/* Vectors of a chunk's terms that are summed at a point, in runs: all; or of every block of
 * channels those phases that have the point. */
typedef struct {
    int64_t first, size, step, count;
} runs;

static runs runs_at(const fc_winograd* w, int64_t point, int64_t vectors) {
    const int64_t phases = w->terms.phases;
    const fc_winograd_range range =
        fc_winograd_phases_at(&w->points, fc_winograd_side(w->shape), point);
    if (phases == 1 || range.end - range.first == phases)
        return (runs){.size = vectors, .count = 1};
    return (runs){.first = range.first,
                  .size = range.end - range.first,
                  .step = phases,
                  .count = vectors / phases};
}

/* The vectors of a panel that have sums at a point: of a gradient, those whose phase has it. */
static fc_winograd_range results_at(const fc_winograd* w, int64_t panel, int64_t point) {
    const int64_t vectors = fc_winograd_panel_vectors(w, panel);
    if (w->phases == 1) return (fc_winograd_range){.end = vectors};
    const int64_t first = 2 * (panel % fc_winograd_block_panels(w));
    const fc_winograd_range range =
        fc_winograd_phases_at(&w->points, fc_winograd_side(w->shape), point);
    return (fc_winograd_range){.first = fc_max(range.first - first, 0),
                               .end = fc_min(range.end - first, vectors)};
}

/* A chunk's tiles and weights at a point, and the sums of a panel there. */
typedef struct {
    int64_t tiles;
    const char *points, *weights;
    char* sums;
} operands;

static void multiply_runs(const fc_winograd* w, fc_gemm_panel gemm, runs of,
                          fc_winograd_range results, operands at) {
    const int64_t first = results.first * w->lanes * w->element;
    const int64_t segment = gemm.depth * gemm.b_depth * w->element; /* of weights */
    const int64_t* segments = gemm.a_segment;
    gemm.segments = of.size;
    for (int64_t i = 0; i < of.count; i++) {
        const int64_t from = of.first + i * of.step;
        gemm.a_segment = segments + from;
        w->kernels->gemm_by_rows(&gemm, at.tiles, (int)(results.end - results.first), at.points,
                                 at.weights + from * segment + first, at.sums + first);
        gemm.accumulate = 1;
    }
}

/* One chunk of one panel; its weights are at hand. */
static void multiply_chunk(const fc_winograd* w, const fc_gemm_panel* gemm, int64_t panel,
                           int64_t point, operands at) {
    const fc_winograd_range results = results_at(w, panel, point);
    if (!gemm->accumulate && results.end - results.first < fc_winograd_panel_vectors(w, panel))
        memset(at.sums, 0, (size_t)(at.tiles * 2 * w->lanes * w->element));
    if (results.first < results.end)
        multiply_runs(w, *gemm, runs_at(w, point, gemm->segments), results, at);
}

/* A vector of terms in segments: in as many as it has partial sums, where they are even. */
typedef struct {
    int64_t parts, depth;
} split;

static split split_of(const fc_winograd* w) {
    const int64_t block = w->terms.block, sums = fc_ceil_div(block, fc_winograd_sum_terms(w));
    const int64_t parts = block % sums == 0 ? sums : 1;
    return (split){.parts = parts, .depth = block / parts};
}

void fc_winograd_multiply(const fc_winograd* w, const fc_winograd_products* p, int64_t panel,
                          int64_t panels) {
    const int64_t lanes = w->lanes, most = fc_winograd_chunk_blocks(w);
    const int64_t chunks = fc_winograd_chunks(w), panel_bytes = fc_winograd_panel_bytes(w);
    const split cut = split_of(w);
    int64_t segment[2 * 64];
    for (int64_t i = 0; i < most * cut.parts; i++)
        segment[i] = i / cut.parts * p->vector + i % cut.parts * cut.depth;
    fc_gemm_panel gemm = {.a_row = lanes,
                          .a_depth = 1,
                          .depth = cut.depth,
                          .sum_segments = fc_max(1, fc_winograd_sum_terms(w) / cut.depth),
                          .a_segment = segment,
                          .b_depth = 2 * lanes,
                          .b_vector = lanes,
                          .c_row = 2 * lanes,
                          .c_vector = lanes};
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        gemm.accumulate = chunk > 0;
        gemm.segments = fc_min(most, w->terms.blocks - chunk * most) * cut.parts;
        for (int64_t i = 0; i < panels && !p->weights; i++)
            fc_winograd_pack_panel(w, panel + i, chunk, p->filters, p->made + i * panel_bytes);
        for (int64_t point = 0; point < fc_winograd_points(w->shape); point++) {
            const fc_winograd_range tiles = fc_tiles_at(w->shape, &p->order, point);
            const int64_t from = point * p->point + chunk * most * p->vector + tiles.first * lanes;
            const int64_t to = point * p->plane + tiles.first * 2 * lanes;
            for (int64_t i = 0; i < panels; i++) {
                const char* weights =
                    p->weights ? p->weights + ((panel + i) * chunks + chunk) * panel_bytes
                               : p->made + i * panel_bytes;
                const operands at = {.tiles = tiles.end - tiles.first,
                                     .points = p->points + from * w->element,
                                     .weights =
                                         weights + point * fc_winograd_panel_plane(w) * w->element,
                                     .sums = p->sums + i * p->panel_bytes + to * w->element};
                if (at.tiles > 0) multiply_chunk(w, &gemm, panel + i, point, at);
            }
        }
    }
}
