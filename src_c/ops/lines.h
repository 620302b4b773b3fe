/* How the lines of an (outer, size, inner) array are cut into tasks. The cut depends on the shape
 * alone, so that sums over tasks do not depend on the number of threads. */
#ifndef FASTCONV_LINES_H
#define FASTCONV_LINES_H

#include "../runtime/runtime.h"

enum {
    LINE_RUN = 1 << 14, /* elements a task, at least */
    LINE_WIDTH = 64,    /* neighbouring lines a task, at least: whole vectors of every kind */
};

typedef struct {
    int64_t count;     /* tasks */
    int64_t lines;     /* a task: rows if inner == 1, else neighbours within one outer index */
    int64_t per_outer; /* tasks within one outer index; 0 if inner == 1 */
} fc_line_tasks;

typedef struct {
    int64_t first_line, first_element, count;
} fc_line_range;

static inline fc_line_tasks fc_line_tasks_of(const fc_lines* d) {
    const int64_t wanted = fc_max(1, LINE_RUN / fc_max(d->size, 1));
    if (d->inner == 1)
        return (fc_line_tasks){.count = fc_ceil_div(d->outer, wanted), .lines = wanted};
    const int64_t lines = fc_ceil_div(wanted, LINE_WIDTH) * LINE_WIDTH;
    const int64_t per_outer = fc_ceil_div(d->inner, lines);
    return (fc_line_tasks){.count = d->outer * per_outer, .lines = lines, .per_outer = per_outer};
}

static inline fc_line_range fc_line_range_of(const fc_lines* d, const fc_line_tasks* tasks,
                                             int64_t index) {
    if (d->inner == 1) {
        const int64_t first = index * tasks->lines;
        return (fc_line_range){first, first * d->size, fc_min(tasks->lines, d->outer - first)};
    }
    const int64_t outer = index / tasks->per_outer, j = index % tasks->per_outer * tasks->lines;
    return (fc_line_range){outer * d->inner + j, outer * d->size * d->inner + j,
                           fc_min(tasks->lines, d->inner - j)};
}

/* An exponential, a few passes: some 30 FMAs an element over 4 lanes or more. */
static inline double fc_line_work(const fc_lines* d) {
    return 8.0 * (double)d->outer * (double)d->size * (double)d->inner;
}

#endif
