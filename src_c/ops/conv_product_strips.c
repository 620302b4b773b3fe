/* The gradient of the input, products first, in strips of large images.
 *
 *   products[c][tap][position] = sum over k of weight[k][c][tap] * grad_output[k][position]
 *   grad_input[c][pixel]       = sum over taps of the products that belong to the pixel
 *
 * With three channels, and a few of a kernel's taps in each phase of the stride, no other order
 * fills registers: there are 3 results to a sum. Products of all taps and channels are the hundreds
 * of rows of one matrix product, lanes = positions, whatever the stride. They are gathered while
 * they are in the near cache: a unit of products is those of one channel and one vertical phase of
 * the stride, all that the rows of that phase receive. It costs a store, a load and an addition a
 * vector of products for every K FMAs.
 *
 * Strips are copied, filters an odd number of lines apart: in images of a power of two's size they
 * would all want the same few places of the near cache. While one strip is multiplied the next is
 * fetched: its copy then comes from L2. And as it passes there, the bias' gradient is
 * summed, which would otherwise be one more reading of memory; and the weight's, where it is wanted
 * too (conv_product_strips_weight.c).
 *
 * A task walks down a share of an image's rows in strips of positions. Pixel rows that the next
 * strip adds to are kept aside, phase-split, until it does. Each pixel's sum runs over the rows of
 * positions, then the taps along a row, so that neither strips nor shares change a bit of it. */
#include "conv_product_strips.h"
#include "conv_weight_sums.h"
#include <string.h>

enum {
    DEPTH = 256, /* of a call */
    LINE = 64,
};

/* Which column of taps belongs to which phase along a row, and what it meets there. */
static void fill_table(fc_strips* job) {
    const fc_axis* h = &job->horizontal;
    const int64_t first = job->conv->padding[1] / job->conv->stride[1];
    int64_t *end = job->table, *start = end + job->gather.phases, *offset = start + h->taps, n = 0;
    for (int64_t b = 0; b < job->gather.phases; b++) {
        for (int64_t t = 0; t < h->taps; t++) {
            if (h->phase[h->tap_phase[t]] != b) continue;
            start[n] = first - h->tap_shift[t];
            offset[n] = t * job->pitch + start[n];
            n++;
        }
        end[b] = n;
    }
    job->gather.taps_end = end;
    job->gather.start = start;
    job->gather.offset = offset;
}

/* Weights of a chunk: for each filter its products side by side, unit by unit. */
static fc_status pack_chunk(void* context, int64_t index) {
    const fc_strips* job = context;
    const fc_axis* v = &job->vertical;
    const int64_t e = job->element, across = job->conv->kernel_size[1];
    const int64_t group = index / job->chunks, chunk = index % job->chunks;
    const int64_t first = fc_strips_chunk_start(job, chunk),
                  last = fc_strips_chunk_start(job, chunk + 1);
    const int64_t all = job->channels * job->taps, own = fc_strips_unit_start(job, first);
    char* to = job->packed + (group * all + own) * job->filters * e;
    for (int64_t k = 0; k < job->filters; k++) {
        const char* from = job->weight + (group * job->filters + k) * all * e;
        for (int64_t unit = first; unit < last; unit++)
            for (int64_t r = 0; r < v->taps; r++) {
                if (v->tap_phase[r] != unit % v->phases) continue;
                const int64_t at = unit / v->phases * job->taps + r * across;
                memcpy(to, from + at * e, (size_t)(across * e));
                to += across * e;
            }
    }
    return FC_OK;
}

/* A task: rows [top, bottom) of an image, and the strip of positions [first, end) at hand. */
typedef struct {
    int64_t image, group, top, bottom;
    int64_t first, end, last; /* last: positions of the whole task end here */
    int64_t own;              /* positions from here on are no share's above */
    char *grads, *products, *sums, *planes;
    double* bias; /* or NULL */
    char* weight; /* its gradient, or NULL */
    int64_t* list;
    fc_strips_ahead ahead;
} strips_task;

static const char* grads_from(const fc_strips* job, const strips_task* t, int64_t row) {
    const fc_conv2d* conv = job->conv;
    const int64_t plane = t->image * conv->out_channels + t->group * job->filters;
    return job->grad_output + (plane * conv->out_size[0] + row) * conv->out_size[1] * job->element;
}

static void copy_grads(const fc_strips* job, const strips_task* t) {
    const int64_t e = job->element, lanes = job->kernels->lanes, cols = job->conv->out_size[1];
    const int64_t size = (t->end - t->first) * cols;
    const int64_t plane = job->conv->out_size[0] * cols;
    const int64_t tail = fc_ceil_div(size, lanes) * lanes - size;
    const int64_t others = fc_min(fc_max(t->own - t->first, 0) * cols, size);
    const char* from = grads_from(job, t, t->first);
    for (int64_t k = 0; k < job->filters; k++) {
        char* to = t->grads + k * job->pitch * e;
        memcpy(to, from + k * plane * e, (size_t)(size * e));
        memset(to + size * e, 0, (size_t)(tail * e));
        if (t->bias)
            t->bias[t->group * job->filters + k] +=
                job->kernels->sum_run(size - others, to + others * e);
    }
}

static fc_strips_ahead plan_ahead(const fc_strips* job, const strips_task* t) {
    const fc_conv2d* conv = job->conv;
    const int64_t cols = conv->out_size[1], next = fc_min(job->rows, t->last - t->end) * cols;
    const int64_t panels = fc_ceil_div((t->end - t->first) * cols, job->kernels->nr);
    int64_t calls = panels * job->tiles * fc_ceil_div(job->filters, DEPTH);
    if (t->weight) calls += fc_strips_weight_calls(job);
    fc_strips_ahead ahead = {.next = grads_from(job, t, t->end),
                             .filters = next ? job->filters : 0,
                             .walks = fc_max(1, calls / job->filters),
                             .plane = conv->out_size[0] * cols * job->element};
    ahead.walk = fc_ceil_div(next * job->element, ahead.walks);
    if (calls < job->filters) {
        ahead.filters = ahead.filters > 0;
        ahead.walks = fc_ceil_div(next * job->element, LINE);
        ahead.walk = LINE;
        ahead.step = ahead.plane;
    }
    return ahead;
}

const char* fc_strips_fetch(fc_strips_ahead* ahead, int64_t steps, int64_t* step) {
    if (ahead->filters == 0) return NULL;
    const char* walk = ahead->next + ahead->walked * ahead->walk;
    *step = ahead->step ? ahead->step : fc_ceil_div(ahead->walk, steps);
    if (++ahead->walked == ahead->walks) {
        ahead->walked = 0;
        ahead->filters--;
        ahead->next += ahead->plane;
    }
    return walk;
}

/* Where parts as even as they can be end: the first ones are one longer. */
static int64_t even(int64_t size, int64_t parts, int64_t part) {
    return size / parts + (part < size % parts);
}

/* Products of `rows` rows of a chunk in one panel. */
static void multiply_tile(const fc_strips* job, strips_task* t, fc_taps* call, int64_t rows,
                          const char* weight, const char* grads, char* products) {
    const int64_t calls = fc_ceil_div(job->filters, DEPTH);
    for (int64_t c = 0, k = 0; c < calls; c++, k += call->depth) {
        call->depth = calls == 1 ? job->filters : even(job->filters, calls, c);
        call->offset = job->offset + k;
        call->accumulate = c > 0;
        call->ahead = fc_strips_fetch(&t->ahead, call->depth, &call->ahead_step);
        job->kernels->conv_taps(call, (int)rows, weight + k * call->weight_step * job->element,
                                grads, NULL, products);
    }
}

/* Products of a chunk at all positions of the strip: a panel of them, in L1, after the other. */
static void multiply(const fc_strips* job, strips_task* t, int64_t chunk) {
    const fc_conv2d* conv = job->conv;
    const int64_t lanes = job->kernels->lanes, e = job->element;
    const int64_t positions = (t->end - t->first) * conv->out_size[1];
    const int64_t unit = fc_strips_unit_start(job, fc_strips_chunk_start(job, chunk));
    const int64_t rows = fc_strips_unit_start(job, fc_strips_chunk_start(job, chunk + 1)) - unit;
    const int64_t all = job->channels * job->taps, vectors = fc_ceil_div(positions, lanes);
    const int64_t panels = fc_ceil_div(positions, job->kernels->nr);
    const int64_t tiles = fc_ceil_div(rows, job->kernels->mr);
    const int64_t size = rows / tiles, longer = rows % tiles;
    const char* weight = job->packed + (t->group * all + unit) * job->filters * e;
    fc_taps call = {.weight_step = rows, .tile_stride = job->pitch};
    for (int64_t p = 0, q = 0; p < panels; p++, q += call.pixels) {
        call.pixels = even(vectors, panels, p) * lanes;
        for (int64_t i = 0, m = 0; i < tiles; i++) {
            const int64_t tile = size + (i < longer);
            multiply_tile(job, t, &call, tile, weight + m * e, t->grads + q * e,
                          t->products + (m * job->pitch + q) * e);
            m += tile;
        }
    }
}

/* A row of pixels whose sum is complete. */
static void store_row(const fc_strips* job, const strips_task* t, int64_t channel, int64_t y,
                      const char* sums) {
    const fc_conv2d* conv = job->conv;
    const int64_t cols = conv->in_size[1];
    const int64_t plane = t->image * conv->in_channels + t->group * job->channels + channel;
    const fc_merge merge = {.rows = 1,
                            .cols = cols,
                            .before = {0, conv->padding[1] % conv->stride[1]},
                            .stride = {1, conv->stride[1]},
                            .tile_stride = job->gather.pitch,
                            .room = cols};
    job->kernels->merge_phases(
        &merge, sums, job->grad_input + (plane * conv->in_size[0] + y) * cols * job->element);
}

/* What a row of pixels receives: from this strip, in order of positions; and is there more? */
typedef struct {
    int64_t rows;
    int began, goes_on;
} row_share;

static row_share share_of(const fc_strips* job, const strips_task* t, int64_t phase, int64_t m,
                          int64_t* list) {
    const fc_axis* v = &job->vertical;
    const int64_t across = job->conv->kernel_size[1], cols = job->conv->out_size[1];
    row_share share = {0};
    int64_t row = fc_strips_phase_start(job, phase + 1) - fc_strips_phase_start(job, phase);
    for (int64_t r = v->taps - 1; r >= 0; r--) {
        if (v->tap_phase[r] != phase) continue;
        row--;
        const int64_t i = m - v->tap_shift[r];
        if (i < 0 || i >= t->last) continue;
        share.began |= i < t->first;
        share.goes_on |= i >= t->end;
        if (i >= t->first && i < t->end)
            list[share.rows++] = row * across * job->pitch + (i - t->first) * cols;
    }
    return share;
}

/* Adds the products of a unit to the rows of its phase. */
static void gather(const fc_strips* job, const strips_task* t, int64_t unit, const char* products) {
    const fc_conv2d* conv = job->conv;
    const fc_axis* v = &job->vertical;
    const int64_t phase = unit % v->phases, stride = conv->stride[0], e = job->element;
    const int64_t origin = conv->padding[0] - v->phase[phase] % stride; /* y = m stride - origin */
    const int64_t top = fc_max(t->top + origin, 0);
    const int64_t begin = fc_max(fc_ceil_div(top, stride), t->first);
    const int64_t end =
        fc_min(fc_ceil_div(fc_max(t->bottom + origin, 0), stride), t->end + v->max_shift);
    char* done = t->sums + job->units * job->kept * job->row_size * e;
    for (int64_t m = begin; m < end; m++) {
        const row_share share = share_of(job, t, phase, m, t->list);
        if (share.rows == 0) continue;
        char* kept = t->sums + (unit * job->kept + m % job->kept) * job->row_size * e;
        char* sums = share.began || share.goes_on ? kept : done;
        const fc_gather_from from = {share.rows, t->list, share.began};
        job->kernels->conv_gather_row(&job->gather, &from, products, sums);
        if (!share.goes_on) store_row(job, t, unit / v->phases, m * stride - origin, sums);
    }
}

/* Rows that no tap reaches. */
static void clear_rows(const fc_strips* job, const strips_task* t) {
    const fc_conv2d* conv = job->conv;
    const int64_t size = conv->in_size[1] * job->element;
    const int64_t plane = t->image * conv->in_channels + t->group * job->channels;
    for (int64_t y = t->top; y < t->bottom; y++) {
        int reached = 0;
        for (int64_t r = 0; r < conv->kernel_size[0] && !reached; r++) {
            const int64_t at = y + conv->padding[0] - r * conv->dilation[0];
            reached =
                at >= 0 && at % conv->stride[0] == 0 && at / conv->stride[0] < conv->out_size[0];
        }
        for (int64_t c = 0; c < job->channels && !reached; c++)
            memset(job->grad_input + ((plane + c) * conv->in_size[0] + y) * size, 0, (size_t)size);
    }
}

/* Positions that rows of pixels above the end of a share meet end here; in the last share, all. */
static int64_t positions_end(const fc_strips* job, int64_t part) {
    const fc_conv2d* conv = job->conv;
    if (part < 0) return 0;
    if (part == job->parts - 1) return conv->out_size[0];
    const int64_t bottom = (part + 1) * conv->in_size[0] / job->parts;
    return fc_min((bottom - 1 + conv->padding[0]) / conv->stride[0] + 1, conv->out_size[0]);
}

static void run_strip(const fc_strips* job, strips_task* t) {
    copy_grads(job, t);
    t->ahead = plan_ahead(job, t);
    if (t->weight) {
        const fc_strip strip = {t->image, t->first, t->end, t->own, t->grads, &t->ahead};
        fc_strips_weight_add(job, &strip, t->planes, t->weight);
    }
    for (int64_t i = 0; i < job->chunks; i++) {
        const int64_t begin = fc_strips_chunk_start(job, i),
                      end = fc_strips_chunk_start(job, i + 1);
        multiply(job, t, i);
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t row = fc_strips_unit_start(job, unit) - fc_strips_unit_start(job, begin);
            gather(job, t, unit, t->products + row * job->pitch * job->element);
        }
    }
}

static void run_share(const fc_strips* job, int64_t index, strips_task* t) {
    const fc_conv2d* conv = job->conv;
    const int64_t part = index % job->parts;
    t->image = index / job->parts / conv->groups;
    t->group = index / job->parts % conv->groups;
    t->top = part * conv->in_size[0] / job->parts;
    t->bottom = (part + 1) * conv->in_size[0] / job->parts;
    t->own = positions_end(job, part - 1);
    t->last = positions_end(job, part);
    clear_rows(job, t);
    const int64_t reach = (conv->kernel_size[0] - 1) * conv->dilation[0];
    const int64_t above = fc_max(t->top + conv->padding[0] - reach, 0);
    /* a share's own positions begin no later than what its rows meet */
    t->first = fc_min(fc_ceil_div(above, conv->stride[0]), t->own);
    for (; t->first < t->last; t->first = t->end) {
        t->end = fc_min(t->first + job->rows, t->last);
        run_strip(job, t);
    }
}

static fc_status run_task(void* context, int64_t index) {
    const fc_strips* job = context;
    char* scratch =
        fc_workspace(FC_SLOT_TASK, job->grads_bytes + job->products_bytes + job->sums_bytes +
                                       job->list_bytes + job->of_weight.planes_bytes);
    if (!scratch) return FC_ERROR_MEMORY;
    const int64_t channels = job->conv->out_channels;
    strips_task t = {.grads = scratch,
                     .products = scratch + job->grads_bytes + job->before * job->element,
                     .sums = scratch + job->grads_bytes + job->products_bytes,
                     .bias = job->bias ? job->bias + index * channels : NULL};
    t.list = (int64_t*)(t.sums + job->sums_bytes);
    t.planes = t.sums + job->sums_bytes + job->list_bytes;
    if (job->of_weight.sums) {
        const int64_t size = fc_weight_size(job->conv) * job->element;
        t.weight = job->of_weight.sums + index * size;
        memset(t.weight, 0, (size_t)size);
    }
    if (t.bias) memset(t.bias, 0, (size_t)channels * sizeof(double));
    const int64_t shares = job->conv->batch * job->conv->groups * job->parts;
    const int64_t end = (index + 1) * shares / job->tasks;
    for (int64_t i = index * shares / job->tasks; i < end; i++) run_share(job, i, &t);
    return FC_OK;
}

static void finish_bias(const fc_strips* job, void* grad_bias) {
    const int64_t channels = job->conv->out_channels;
    for (int64_t k = 0; k < channels; k++) {
        double sum = 0;
        for (int64_t i = 0; i < job->tasks; i++) sum += job->bias[i * channels + k];
        if (job->element == 4)
            ((float*)grad_bias)[k] = (float)sum;
        else
            ((double*)grad_bias)[k] = sum;
    }
}

/* What tasks share: weights and tables, then sums of each. */
static void lay_out(fc_strips* job, char* shared, const fc_conv2d_gradients* to) {
    job->packed = shared;
    job->table = (int64_t*)(shared += job->weights_bytes);
    int32_t* offset = (int32_t*)(shared += job->table_bytes);
    for (int64_t k = 0; k < job->filters; k++) offset[k] = (int32_t)(k * job->pitch);
    job->offset = offset;
    shared += job->offset_bytes;
    fill_table(job);
    if (to->bias) job->bias = (double*)shared;
    shared += job->bias_bytes;
    if (!to->weight) return;
    fc_strips_weight_tables(job, shared);
    job->of_weight.sums = shared + job->of_weight.tables_bytes;
}

fc_status fc_strips_backward(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory,
                             const fc_conv2d_operands* from, const fc_conv2d_gradients* to) {
    fc_strips job = fc_strips_plan(conv, dtype, memory,
                                   to->weight ? FC_STRIPS_WEIGHT
                                   : to->bias ? FC_STRIPS_BIAS
                                              : FC_STRIPS_ALONE);
    const size_t tables = job.weights_bytes + job.table_bytes + job.offset_bytes + job.bias_bytes;
    char* shared = fc_workspace(FC_SLOT_SHARED,
                                tables + job.of_weight.tables_bytes + job.of_weight.sums_bytes);
    if (!shared) return FC_ERROR_MEMORY;
    job.grad_output = from->grad_output;
    job.weight = from->weight;
    job.of_weight.input = from->input;
    job.grad_input = to->input;
    lay_out(&job, shared, to);
    fc_status status =
        fc_parallel_for(job.chunks * conv->groups, (double)job.weights_bytes, pack_chunk, &job);
    if (status == FC_OK) status = fc_parallel_for(job.tasks, job.work, run_task, &job);
    if (status == FC_OK && to->bias) finish_bias(&job, to->bias);
    int infinite; /* every sum is of its own terms alone: none is to be done again */
    if (status == FC_OK && to->weight)
        status = fc_sum_runs(dtype, fc_weight_size(conv), job.tasks, job.of_weight.sums, to->weight,
                             &infinite);
    return status;
}
