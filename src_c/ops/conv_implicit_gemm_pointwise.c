/* 1x1 convolutions of planar images, forward and grad_input: lanes = pixels.
 *
 * Pixels of a plane are adjacent already, so images are transposed on neither side: rows of the
 * weight are broadcast from where they lie (for grad_input it is transposed first, which takes a
 * fraction of what walking down its columns costs), and results are rows of the output. A task
 * packs the pixels of its block, a run of each channel's plane, so that the products of all its
 * results read them from the near cache.
 *
 * What takes time beside the products is memory. With wide vectors, lines of the output are asked
 * for when a call begins that will store to them at its end. Where results are few, so that packing
 * weighs much, the first rows of results read pixels where they lie and leave them packed for the
 * others; and all together fetch the next block's into L2, a few lines a call. */
#include "conv_implicit_gemm.h"
#include <string.h>

enum {
    BLOCK_BYTES = 384 << 10, /* packed pixels of a task */
    MOST_PIXELS = 512,
    FEW_RESULTS = 128,     /* products of so few are worth packing on the way, in */
    FEW_PIXELS = 192,      /* smaller blocks, of which */
    FEW_BYTES = 512 << 10, /* the weights and two blocks leave half of L2 */
    DEPTH = 512,
    TASKS_PER_THREAD = 3,
    LINE = 64,
    CHANNELS_AHEAD = 2,
};

typedef struct {
    fc_implicit problem;
    int64_t area;           /* pixels of a plane */
    int64_t pixels, blocks; /* of a block; blocks of a plane */
    int64_t pitch; /* from one channel's packed pixels to the next: an odd number of vectors */
    int64_t tiles, parts; /* of results: a call's; shares of a task */
    int64_t chunks;       /* of depth */
    int64_t places;
    int is_wide; /* pairs of vectors meet no line twice */
    int packs_on_the_way;
    double work;
    size_t block_bytes, sums_bytes;
    const char *source, *weight, *bias; /* weight: [group][result][reduced channel] */
    char* target;
    int relu;
} pointwise_job;

/* Pixels [first, first + pixels) of one group's channels of an image. */
typedef struct {
    int64_t image, group, first, pixels;
    const char* source;
    const char* next;                 /* of the block that the thread meets next, or NULL */
    int64_t half, halves, due, calls; /* of fetching it */
    char *packed, *sums;
} pixel_block;

/* Up to gemm_mr results of a block. */
typedef struct {
    int64_t index, rows; /* which of the task's tiles */
    const char *weight, *bias;
    char* target;
} result_tile;

int fc_is_pointwise(const fc_conv2d* conv) {
    int plain = 1;
    for (int axis = 0; axis < 2; axis++)
        plain &= conv->kernel_size[axis] == 1 && conv->stride[axis] == 1 &&
                 conv->padding[axis] == 0 && conv->in_size[axis] == conv->out_size[axis];
    return plain;
}

int fc_pointwise_pays(const fc_conv2d* conv, fc_dtype dtype) {
    const int64_t lanes = fc_kernels_for(dtype)->lanes;
    const int64_t area = conv->in_size[0] * conv->in_size[1];
    const int is_plain =
        fc_is_pointwise(conv) && conv->in_layout == FC_NCHW && conv->out_layout == FC_NCHW;
    /* lanes that the last vector of a plane may lose */
    return is_plain && 10 * fc_ceil_div(area, lanes) * lanes <= 11 * area;
}

/* Pixels of a block: whole pairs of vectors, evenly cut, at most so many. */
static int64_t block_pixels(const pointwise_job* job, int64_t most) {
    const fc_implicit* p = &job->problem;
    const int64_t pair = p->kernels->gemm_nv * p->kernels->lanes;
    const int64_t fit = BLOCK_BYTES / (p->reduced * p->element);
    most = fc_max(pair, fc_min(most, fit) / pair * pair);
    return fc_ceil_div(fc_ceil_div(job->area, fc_ceil_div(job->area, most)), pair) * pair;
}

static void make_plan(pointwise_job* job) {
    const fc_implicit* p = &job->problem;
    const fc_conv2d* conv = p->conv;
    const int64_t lanes = p->kernels->lanes, pair = p->kernels->gemm_nv * lanes;
    const int64_t depth = p->reduced * p->element;
    job->area = conv->in_size[0] * conv->in_size[1];
    job->pixels = block_pixels(job, FEW_PIXELS);
    job->is_wide = p->kernels->gemm_copying != NULL;
    job->packs_on_the_way = job->is_wide && p->results <= FEW_RESULTS &&
                            depth * (p->results + 2 * job->pixels) <= FEW_BYTES;
    if (!job->packs_on_the_way) job->pixels = block_pixels(job, MOST_PIXELS);
    job->blocks = fc_ceil_div(job->area, job->pixels);
    job->pitch = (fc_ceil_div(fc_min(job->pixels, job->area), lanes) | 1) * lanes;
    job->tiles = fc_ceil_div(p->results, p->kernels->gemm_mr);
    job->chunks = fc_ceil_div(p->reduced, DEPTH);
    job->work =
        (double)(conv->batch * job->area * conv->groups) * (double)p->reduced * (double)p->results;
    const int64_t threads = fc_threads_for(job->work);
    const int64_t wanted = threads > 1 ? TASKS_PER_THREAD * threads : 1;
    job->places = conv->batch * conv->groups * job->blocks;
    job->parts = fc_min(job->tiles, fc_ceil_div(wanted, job->places));
    job->block_bytes = fc_align((size_t)(depth * job->pitch));
    job->sums_bytes = fc_align((size_t)(p->kernels->gemm_mr * pair * p->element));
}

static pixel_block locate(const pointwise_job* job, int64_t place) {
    const fc_implicit* p = &job->problem;
    pixel_block b = {.first = place % job->blocks * job->pixels};
    b.pixels = fc_min(job->pixels, job->area - b.first);
    b.group = place / job->blocks % p->groups;
    b.image = place / job->blocks / p->groups;
    const int64_t plane = (b.image * p->groups + b.group) * p->reduced;
    b.source = job->source + (plane * job->area + b.first) * p->element;
    return b;
}

/* Pixels of the block from `first` on, and zeros up to a whole vector. Every run is in a page of
 * its own, so that the processor would fetch it late: it is fetched some runs before. */
static void pack_pixels(const pointwise_job* job, const pixel_block* b, int64_t first) {
    const fc_implicit* p = &job->problem;
    const int64_t e = p->element, lanes = p->kernels->lanes, plane = job->area * e;
    const int64_t bytes = (b->pixels - first) * e;
    const int64_t idle = (fc_ceil_div(b->pixels, lanes) * lanes - b->pixels) * e;
    for (int64_t c = 0; c < p->reduced; c++) {
        const char* from = b->source + c * plane + first * e;
        char* row = b->packed + (c * job->pitch + first) * e;
        if (c + CHANNELS_AHEAD < p->reduced)
            for (int64_t i = 0; i < bytes; i += LINE)
                __builtin_prefetch(from + CHANNELS_AHEAD * plane + i);
        memcpy(row, from, (size_t)bytes);
        memset(row + bytes, 0, (size_t)idle);
    }
}

/* What a call fetches of the next block: two lines of half of its channels, as long as there are
 * any, and evenly over all calls of this one. */
static void fetch_ahead(const pointwise_job* job, pixel_block* b, fc_gemm_panel* panel) {
    const fc_implicit* p = &job->problem;
    const int64_t plane = job->area * p->element;
    panel->ahead = NULL;
    if (!b->next) return;
    b->due += b->halves;
    if (b->due < b->calls) return;
    b->due -= b->calls;
    panel->ahead = b->next + b->half % 2 * (p->reduced / 2) * plane + b->half / 2 * 2 * LINE;
    panel->ahead_step = plane;
    b->half++;
}

/* Asks for lines of the target that a call will store to. */
static void claim(const pointwise_job* job, int64_t rows, int64_t bytes, const char* target) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < bytes; i += LINE)
            __builtin_prefetch(target + r * job->area * job->problem.element + i, 1);
}

/* Sums of up to two vectors of pixels, of all channels, to c. */
static void multiply_pair(const pointwise_job* job, const pixel_block* b, const result_tile* t,
                          int64_t pixel, fc_gemm_panel* panel, char* c) {
    const fc_implicit* p = &job->problem;
    const int64_t e = p->element, lanes = p->kernels->lanes, left = b->pixels - pixel;
    const int vectors = left > lanes ? 2 : 1;
    const int is_packing = job->packs_on_the_way && t->index == 0 && left >= vectors * lanes;
    const fc_gemm_kernel multiply =
        is_packing || panel->ahead ? p->kernels->gemm_copying : p->kernels->gemm_by_rows;
    panel->b_depth = is_packing ? job->area : job->pitch;
    for (int64_t first = 0, i = 1; i <= job->chunks; i++) {
        const int64_t end = i == job->chunks ? p->reduced : i * p->reduced / job->chunks;
        char* packed = b->packed + (first * job->pitch + pixel) * e;
        panel->depth = end - first;
        panel->accumulate = first > 0;
        panel->b_copy = is_packing ? packed : NULL;
        multiply(panel, t->rows, vectors, t->weight + first * e,
                 is_packing ? b->source + (first * job->area + pixel) * e : packed, c);
        first = end;
    }
}

/* A tile for all pixels of the block. Sums go to their place at once where nothing else happens to
 * them. */
static void multiply_tile(const pointwise_job* job, pixel_block* b, const result_tile* t) {
    static const int64_t zero = 0;
    const fc_implicit* p = &job->problem;
    const int64_t e = p->element, lanes = p->kernels->lanes, pair = p->kernels->gemm_nv * lanes;
    fc_gemm_panel panel = {.a_row = p->reduced,
                           .a_depth = 1,
                           .segments = 1,
                           .a_segment = &zero,
                           .b_vector = lanes,
                           .c_vector = lanes,
                           .copy_depth = job->pitch};
    fc_gemm_finish finish = {.rows = t->rows,
                             .tile_row = pair,
                             .result_row = job->area,
                             .row_bias = t->bias,
                             .relu = job->relu};
    for (int64_t pixel = 0; pixel < b->pixels; pixel += pair) {
        char* target = t->target + pixel * e;
        finish.columns = fc_min(pair, b->pixels - pixel);
        const int is_whole = finish.columns == pair || finish.columns == lanes;
        const int is_direct = is_whole && !t->bias && !job->relu;
        panel.c_row = is_direct ? job->area : pair;
        fetch_ahead(job, b, &panel);
        if (job->is_wide) claim(job, t->rows, finish.columns * e, target);
        multiply_pair(job, b, t, pixel, &panel, is_direct ? target : b->sums);
        if (!is_direct) p->kernels->gemm_finish(&finish, b->sums, NULL, target);
    }
}

static fc_status run_block(void* context, int64_t index) {
    const pointwise_job* job = context;
    const fc_implicit* p = &job->problem;
    const int64_t e = p->element, lanes = p->kernels->lanes, pair = p->kernels->gemm_nv * lanes;
    const int64_t part = index % job->parts, place = index / job->parts;
    pixel_block b = locate(job, place);
    b.packed = fc_workspace(FC_SLOT_TASK, job->block_bytes + job->sums_bytes);
    if (!b.packed) return FC_ERROR_MEMORY;
    b.sums = b.packed + job->block_bytes;
    if (job->packs_on_the_way && job->parts == 1 && place + 1 < job->places)
        b.next = locate(job, place + 1).source;
    b.halves = 2 * fc_ceil_div(job->pixels * e + LINE - 1, 2 * LINE);
    b.calls = job->tiles * fc_ceil_div(b.pixels, pair);
    if (!job->packs_on_the_way)
        pack_pixels(job, &b, 0);
    else if (b.pixels % lanes != 0)
        pack_pixels(job, &b, b.pixels / pair * pair);
    const int64_t from = part * job->tiles / job->parts, to = (part + 1) * job->tiles / job->parts;
    for (int64_t i = from; i < to; i++) {
        const int64_t row = i * p->results / job->tiles, result = b.group * p->results + row;
        const int64_t plane = b.image * p->groups * p->results + result;
        const result_tile t = {.index = i - from,
                               .rows = (i + 1) * p->results / job->tiles - row,
                               .weight =
                                   job->weight + (b.group * p->weight_group + row * p->reduced) * e,
                               .bias = job->bias ? job->bias + result * e : NULL,
                               .target = job->target + (plane * job->area + b.first) * e};
        multiply_tile(job, &b, &t);
    }
    return FC_OK;
}

typedef struct {
    const fc_implicit* problem;
    const char* weight;
    char* turned;
} turning_job;

/* index is a group and a vector of its reduced channels: rows of the weight that become columns. */
static fc_status turn_rows(void* context, int64_t index) {
    const turning_job* job = context;
    const fc_implicit* p = job->problem;
    const int64_t lanes = p->kernels->lanes, e = p->element;
    char* columns = fc_workspace(FC_SLOT_TASK, (size_t)(p->results * lanes * e));
    if (!columns) return FC_ERROR_MEMORY;
    const int64_t vectors = fc_ceil_div(p->reduced, lanes);
    const int64_t first = index % vectors * lanes, group = index / vectors * p->weight_group;
    const fc_lanes rows = {.rows = fc_min(lanes, p->reduced - first),
                           .columns = p->results,
                           .row_stride = p->weight_reduced,
                           .column_stride = 1};
    const int64_t from = group + first * p->weight_reduced;
    p->kernels->pack_lanes(&rows, p->groups * p->weight_group - from, job->weight + from * e,
                           columns);
    for (int64_t i = 0; i < p->results; i++)
        memcpy(job->turned + (group + i * p->reduced + first) * e, columns + i * lanes * e,
               (size_t)(rows.rows * e));
    return FC_OK;
}

static fc_status turn_weight(const fc_implicit* p, const void* weight, char* turned) {
    turning_job job = {p, weight, turned};
    const int64_t tasks = p->groups * fc_ceil_div(p->reduced, p->kernels->lanes);
    return fc_parallel_for(tasks, (double)(p->groups * p->weight_group), turn_rows, &job);
}

fc_status fc_pointwise_run(const fc_implicit* problem, const void* weight, const void* bias,
                           int relu) {
    pointwise_job job = {.problem = *problem,
                         .source = problem->source.data,
                         .weight = weight,
                         .bias = bias,
                         .target = problem->target.data,
                         .relu = relu};
    make_plan(&job);
    fc_status status = FC_OK;
    if (problem->weight_reduced != 1) {
        const int64_t weights = problem->groups * problem->weight_group;
        char* turned = fc_workspace(FC_SLOT_WEIGHTS, (size_t)(weights * problem->element));
        if (!turned) return FC_ERROR_MEMORY;
        status = turn_weight(problem, weight, turned);
        job.weight = turned;
    }
    if (status == FC_OK)
        status = fc_parallel_for(job.places * job.parts, job.work, run_block, &job);
    fc_workspace_trim();
    return status;
}

int64_t fc_pointwise_workspace(const fc_implicit* problem) {
    pointwise_job job = {.problem = *problem};
    make_plan(&job);
    return (int64_t)(job.block_bytes + job.sums_bytes);
}
