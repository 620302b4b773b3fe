/* The products of a tile of results: see conv_implicit_gemm.h.
 *
 * Each line of pixels is multiplied with all weights of a call, which stay in the near cache. Rows
 * of taps in the padding above or below the image are left out: of a 5x5 kernel on 28 rows one part
 * in 23. Not so for kernels one tap wide, whose lines may follow each other without a gap. */
#include "conv_implicit_gemm.h"

enum {
    DEPTH = 384
}; /* steps of a call: DEPTH * 2 vectors of weights are read for every 14 pixels */

typedef struct {
    const char *slab, *weight;
    fc_sums_place sums;
    int64_t segments, depth, pixel; /* depth of a segment; elements from a slab pixel to the next */
    const int64_t* segment;
    int vectors, accumulate;
} pair_product;

/* For gemm_sliding: one vector of results, and a segment is a row of neighbouring pixels' taps. */
static int slides(const fc_implicit* p, const pair_product* m, const fc_phase* cols) {
    return m->vectors == 1 && cols->taps > 1 && p->cols.source_step == 1 &&
           m->pixel == p->kernels->lanes && m->depth == cols->taps * m->pixel;
}

/* What a line of pixels is multiplied with: steps [first, last) of every `period`, the rest meeting
 * padding alone. A step is a segment, or one of the depth where there is but one segment. */
typedef struct {
    int64_t period, first, last;
} met_steps;

/* Taps of `row` that are inside the image, or all if none is: then zeros are their sum. */
static met_steps steps_met(const fc_implicit* p, const fc_phase* rows, int64_t row, int64_t each) {
    const int64_t* shift = p->rows.shift + rows->before;
    const int64_t at = rows->source + row * p->rows.source_step;
    int64_t first = 0, last = rows->taps;
    while (first < last && at + shift[first] < 0) first++;
    while (last > first && at + shift[last - 1] >= p->source.height) last--;
    if (first == last) first = 0, last = rows->taps;
    return (met_steps){rows->taps * each, first * each, last * each};
}

typedef struct {
    const pair_product* pair;
    fc_gemm_panel panel;
    int64_t pixels, first, end; /* of a line; steps that the call multiplies */
    int is_sliding;
} line_product;

static void multiply_line(const fc_implicit* p, line_product* l, const met_steps* met,
                          const char* slab, char* sums) {
    const pair_product* m = l->pair;
    const int64_t step = m->segments > 1 ? m->depth : 1;
    const int64_t step_bytes = step * m->vectors * p->kernels->lanes * p->element;
    for (int64_t end, at = l->first; at < l->end; at = end) {
        const int64_t period = at - at % met->period;
        at = fc_max(at, period + met->first);
        end = fc_min(l->end, period + met->last);
        if (at >= end) {
            end = period + met->period;
            continue;
        }
        l->panel.segments = m->segments > 1 ? end - at : 1;
        l->panel.depth = m->segments > 1 ? m->depth : end - at;
        l->panel.a_segment = m->segment + (m->segments > 1 ? at : 0);
        l->panel.accumulate = m->accumulate || at > met->first;
        const char* pixels = slab + (m->segments > 1 ? 0 : at) * p->element;
        const char* weight = m->weight + at * step_bytes;
        if (l->is_sliding)
            p->kernels->gemm_sliding(&l->panel, l->pixels, pixels, weight, sums);
        else
            p->kernels->gemm_by_rows(&l->panel, l->pixels, m->vectors, pixels, weight, sums);
    }
}

/* One pair of phases: all pixels of the block that have it. */
static void multiply_pair(const fc_implicit_tile* t, const pair_product* m, const fc_phase* rows,
                          const fc_phase* cols) {
    const fc_implicit* p = t->problem;
    const fc_implicit_plan* plan = t->plan;
    const fc_implicit_block* b = t->block;
    const int64_t lanes = p->kernels->lanes;
    fc_implicit_runs runs = fc_implicit_merge(p, plan, b);
    if (p->rows.phases > 1) runs.rows = fc_min(runs.rows, rows->count - b->row);
    if (p->cols.phases > 1) runs.cols = fc_min(runs.cols, cols->count - b->col);
    line_product line = {.pair = m,
                         .panel = {.a_row = p->cols.source_step * m->pixel,
                                   .a_depth = 1,
                                   .b_depth = m->vectors * lanes,
                                   .b_vector = lanes,
                                   .c_row = p->cols.target_step * m->sums.col,
                                   .c_vector = m->sums.vector},
                         .pixels = runs.cols};
    /* one segment alone may be so long that it is cut: a matrix's rows */
    const int64_t steps = m->segments > 1 ? m->segments : m->depth;
    const int64_t step = m->segments > 1 ? m->depth : 1;
    const int64_t calls = fc_ceil_div(steps, fc_max(1, DEPTH / step));
    line.is_sliding = slides(p, m, cols) && (m->segments > 1 || calls == 1);
    for (int64_t call = 0; call < calls; call++) {
        line.first = call * steps / calls;
        line.end = (call + 1) * steps / calls;
        for (int64_t i = 0; i < runs.images; i++)
            for (int64_t row = 0; row < runs.rows; row++) {
                const int64_t at = i * plan->image_rows + row * p->rows.source_step;
                const int64_t out_row = row * p->rows.target_step + rows->first;
                const int64_t to =
                    i * m->sums.image + out_row * m->sums.row + cols->first * m->sums.col;
                met_steps met = {steps, 0, steps};
                if (m->segments > 1 && p->cols.reach > 0)
                    met = steps_met(p, rows, b->row + row, plan->is_merged ? 1 : cols->taps);
                multiply_line(p, &line, &met,
                              m->slab + at * plan->slab_cols * m->pixel * p->element,
                              m->sums.data + to * p->element);
            }
    }
}

void fc_implicit_multiply(const fc_implicit_tile* t) {
    const fc_implicit* p = t->problem;
    const fc_implicit_plan* plan = t->plan;
    const fc_implicit_block* b = t->block;
    const int64_t lanes = p->kernels->lanes, whole = fc_min(t->last, plan->full) - t->first;
    const int64_t result = t->tile * p->kernels->gemm_nv * lanes;
    pair_product m = {.sums = t->sums, .vectors = p->results - result > lanes ? 2 : 1};
    const int64_t width = m.vectors * lanes;
    for (int64_t i = 0; i < p->rows.phases * p->cols.phases; i++) {
        const fc_phase* rows = &p->rows.phase[i / p->cols.phases];
        const fc_phase* cols = &p->cols.phase[i % p->cols.phases];
        const int64_t taps = rows->taps * cols->taps;
        if (taps == 0 || rows->count <= b->row || cols->count <= b->col) continue;
        const int64_t merged = plan->is_merged ? cols->taps : 1;
        const int64_t tap = fc_implicit_first_tap(p, i / p->cols.phases, i % p->cols.phases);
        const int64_t start = tap * p->reduced + t->first * lanes * taps;
        m.segment = t->segment + (plan->chunk + 1) * tap;
        m.accumulate = t->first > 0;
        m.pixel = lanes;
        m.depth = merged * lanes;
        m.segments = whole * taps / merged;
        m.slab = t->slab;
        m.weight = t->weight + start * width * p->element;
        if (whole > 0) multiply_pair(t, &m, rows, cols);
        if (t->last <= plan->full) continue;
        m.segment += plan->chunk * taps;
        m.accumulate = plan->full > 0;
        m.pixel = plan->tail_pixel;
        m.depth = merged * plan->tail;
        m.segments = taps / merged;
        m.slab = t->slab + fc_implicit_slot(p, plan, plan->reads_source ? whole : plan->chunk);
        m.weight += whole * lanes * taps * width * p->element;
        multiply_pair(t, &m, rows, cols);
    }
}
