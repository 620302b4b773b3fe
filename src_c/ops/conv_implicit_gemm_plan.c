/* Blocks, chunks and segments: see conv_implicit_gemm.h. */
#include "conv_implicit_gemm.h"

enum {
    SLAB_BYTES = 768 << 10, /* of a chunk of channels: stays in a core's own L2 */
    SUMS_BYTES = 1 << 20,   /* partial sums of all tiles, where there are several chunks */
    SHARED_BYTES = 5 << 19, /* slabs of all blocks */
    PIXELS = 640,           /* of a block: enough to hide the loading of weights */
    LEAST_PIXELS = 196,     /* blocks are not made smaller than this for the sake of threads */
    WHOLE_PIXELS = 2048,    /* a block of all pixels has at most; and its weights take: */
    WHOLE_WEIGHT = 1 << 20, /* at least, in all */
    WHOLE_TILE = 1 << 20,   /* at most, of a tile */
    LONGEST_ROW = 512,
    LONGEST_SEGMENT = 1024,
    TASKS_PER_THREAD = 3,
};

static int64_t extent(const fc_steps* s, int64_t positions) {
    return (positions - 1) * s->source_step + s->reach + 1;
}

/* A kernel that meets no padding, over pixels whose channels are neighbours: those of NHWC images
 * are rows of a matrix if it is 1x1; a blocked image is a slab, but for taps of a row being one
 * segment where the last channel block has lanes to skip. */
static int reads_source(const fc_implicit* p) {
    const int is_one = p->rows.taps * p->cols.taps == 1;
    const int is_slab = p->source.layout == FC_BLOCKED &&
                        (p->cols.taps == 1 || p->reduced % p->kernels->lanes == 0);
    if (!is_slab && !(p->source.layout == FC_NHWC && is_one)) return 0;
    const fc_steps* steps[] = {&p->rows, &p->cols};
    const int64_t size[] = {p->source.height, p->source.width};
    for (int axis = 0; axis < 2; axis++)
        if (steps[axis]->low < 0 ||
            steps[axis]->low + extent(steps[axis], steps[axis]->positions) > size[axis])
            return 0;
    return 1;
}

static double total_work(const fc_implicit* p) {
    const fc_conv2d* conv = p->conv;
    return (double)(conv->batch * conv->out_size[0] * conv->out_size[1]) *
           (double)conv->out_channels * (double)(conv->in_channels / conv->groups) *
           (double)(conv->kernel_size[0] * conv->kernel_size[1]);
}

static int has_idle(const fc_steps* s) {
    for (int64_t i = 0; i < s->phases; i++)
        if (s->phase[i].taps == 0) return 1;
    return 0;
}

/* Positions whose source fits `lines`, evenly shared. */
static int64_t fit(const fc_steps* s, int64_t lines, int64_t wanted, int64_t least) {
    const int64_t most = (lines - s->reach - 1) / s->source_step + 1;
    const int64_t count = fc_max(1, fc_min(fc_min(wanted, fc_max(most, least)), s->positions));
    return fc_ceil_div(s->positions, fc_ceil_div(s->positions, count));
}

/* Targets of a block of so many positions. */
static int64_t targets(const fc_implicit* p, int64_t rows, int64_t cols) {
    return rows * p->rows.target_step * cols * p->cols.target_step;
}

/* Few pixels and much weight: with all pixels in one block, weights are packed when they are used
 * and stay in cache for it. */
static int is_whole(const fc_implicit* p) {
    const int64_t batch = p->source.batch, lanes = p->kernels->lanes;
    const double slab = (double)(batch * p->reduced * p->element) *
                        (double)extent(&p->rows, p->rows.positions) *
                        (double)extent(&p->cols, p->cols.positions);
    const double pixels = (double)batch * (double)targets(p, p->rows.positions, p->cols.positions);
    const double step = (double)(p->kernels->gemm_nv * lanes * p->element);
    const double depth = (double)fc_implicit_depth(p);
    return slab <= 0.9 * SHARED_BYTES && pixels <= WHOLE_PIXELS && depth * step <= WHOLE_TILE &&
           depth * (double)(p->results * p->element) >= WHOLE_WEIGHT;
}

static void choose_block(const fc_implicit* p, fc_implicit_plan* plan, int64_t channels,
                         int64_t pixels) {
    plan->cols = fit(&p->cols, INT64_MAX / 4, LONGEST_ROW / p->cols.target_step, 1);
    const int64_t line = extent(&p->cols, plan->cols) * channels * p->element;
    const int64_t wanted = fc_ceil_div(pixels, targets(p, 1, plan->cols));
    const int64_t least = fc_ceil_div(LEAST_PIXELS, targets(p, 1, plan->cols));
    plan->rows = fit(&p->rows, SLAB_BYTES / line, wanted, least);
    plan->images = 1;
    if (plan->rows == p->rows.positions && plan->cols == p->cols.positions) {
        const int64_t bytes = extent(&p->rows, plan->rows) * line;
        const int64_t most =
            fc_min(pixels / targets(p, plan->rows, plan->cols), SLAB_BYTES / bytes);
        plan->images = fc_max(1, fc_min(most, p->source.batch));
    }
}

/* Cut blocks smaller where there are fewer of them than threads could share, then the tiles. */
static void share_among_threads(const fc_implicit* p, fc_implicit_plan* plan) {
    const int64_t threads = fc_threads_for(plan->work);
    const int64_t wanted = threads > 1 ? TASKS_PER_THREAD * threads : 1;
    int64_t others = p->groups * plan->col_blocks;
    if (plan->is_whole) {
        plan->parts = fc_max(1, fc_min(plan->tiles, fc_ceil_div(wanted, others)));
        return;
    }
    while (plan->images > 1 && fc_ceil_div(p->source.batch, plan->images) * others < wanted &&
           plan->images * targets(p, plan->rows, plan->cols) >= 2 * LEAST_PIXELS)
        plan->images = fc_ceil_div(plan->images, 2);
    others *= fc_ceil_div(p->source.batch, plan->images);
    while (plan->rows > 1 && fc_ceil_div(p->rows.positions, plan->rows) * others < wanted &&
           targets(p, plan->rows, plan->cols) >= 2 * LEAST_PIXELS)
        plan->rows = fc_ceil_div(plan->rows, 2);
    others *= fc_ceil_div(p->rows.positions, plan->rows);
    plan->parts = fc_max(1, fc_min(plan->tiles, fc_ceil_div(wanted, others)));
}

static void layout_slab(const fc_implicit* p, fc_implicit_plan* plan) {
    plan->image_blocks = fc_ceil_div(p->source.batch, plan->images);
    plan->row_blocks = fc_ceil_div(p->rows.positions, plan->rows);
    plan->slab_rows = extent(&p->rows, plan->rows);
    plan->slab_cols = extent(&p->cols, plan->cols);
    plan->image_rows = plan->slab_rows;
    plan->tail_pixel = plan->tail;
    if (plan->reads_source) {
        const fc_strides* s = &p->source.strides;
        plan->slab_rows = p->source.height;
        plan->slab_cols = p->source.width;
        plan->image_rows = s->batch_stride / s->row_stride;
        plan->tail_pixel = s->col_stride;
        plan->block_stride = p->source.block_stride;
        return;
    }
    const int64_t lanes = p->kernels->lanes;
    const int64_t pixels = plan->images * plan->slab_rows * plan->slab_cols;
    plan->block_stride = (pixels | 1) * lanes; /* no power of two */
    const int64_t slab = plan->chunk * plan->block_stride + pixels * plan->tail + lanes;
    plan->slab_bytes = fc_align((size_t)(slab * p->element));
}

static void layout_sums(const fc_implicit* p, fc_implicit_plan* plan) {
    plan->out_rows = plan->rows * p->rows.target_step;
    plan->out_cols = plan->cols * p->cols.target_step;
    const int64_t pixels = plan->images * plan->out_rows * plan->out_cols;
    plan->tile_bytes =
        fc_align((size_t)(pixels * p->kernels->gemm_nv * p->kernels->lanes * p->element));
    int64_t kept = 1;
    if (plan->chunk < plan->full &&
        !plan->writes_target) { /* all tiles of a part are summed at once */
        const int64_t bytes = plan->tiles * (int64_t)plan->tile_bytes;
        plan->parts = fc_max(plan->parts, fc_ceil_div(bytes, SUMS_BYTES));
        plan->parts = fc_min(plan->parts, plan->tiles);
        kept = fc_ceil_div(plan->tiles, plan->parts);
    }
    plan->sums_bytes = plan->writes_target ? 0 : (size_t)kept * plan->tile_bytes;
}

static fc_implicit_plan start_plan(const fc_implicit* p) {
    const int64_t lanes = p->kernels->lanes, vectors = fc_ceil_div(p->results, lanes);
    fc_implicit_plan plan = {.full = p->reduced / lanes,
                             .tail = p->reduced % lanes,
                             .tiles = fc_ceil_div(p->results, p->kernels->gemm_nv * lanes),
                             .work = total_work(p),
                             .has_idle = has_idle(&p->rows) || has_idle(&p->cols)};
    plan.is_merged = p->cols.adjacent && p->cols.widest * lanes <= LONGEST_SEGMENT;
    plan.packed_bytes =
        fc_align((size_t)(p->groups * vectors * lanes * fc_implicit_depth(p) * p->element));
    return plan;
}

fc_implicit_plan fc_implicit_make_plan(const fc_implicit* p) {
    fc_implicit_plan plan = start_plan(p);
    plan.is_whole = is_whole(p);
    plan.reads_source = reads_source(p);
    const int is_whole_vectors =
        p->target.layout == FC_BLOCKED ||
        (p->target.layout == FC_NHWC && p->results % p->kernels->lanes == 0);
    plan.writes_target = is_whole_vectors && !plan.has_idle;
    if (plan.reads_source && p->source.layout == FC_NHWC) {
        plan.full = 0;
        plan.tail = p->reduced;
    }
    choose_block(p, &plan, p->reduced, PIXELS);
    if (plan.is_whole) {
        plan.rows = p->rows.positions;
        plan.cols = p->cols.positions;
        plan.images = p->source.batch;
        plan.own_weight_bytes = fc_align(
            (size_t)(fc_implicit_depth(p) * p->kernels->gemm_nv * p->kernels->lanes * p->element));
    }
    const int64_t bytes = plan.images * extent(&p->rows, plan.rows) * extent(&p->cols, plan.cols) *
                          p->kernels->lanes * p->element;
    plan.chunk = fc_min(plan.full, fc_max(1, 5 * SLAB_BYTES / (4 * bytes)));
    if (plan.is_whole) plan.chunk = plan.full;
    if (plan.chunk > 0) plan.chunk = fc_ceil_div(plan.full, fc_ceil_div(plan.full, plan.chunk));
    plan.col_blocks = fc_ceil_div(p->cols.positions, plan.cols);
    share_among_threads(p, &plan);
    layout_slab(p, &plan);
    layout_sums(p, &plan);
    const int64_t blocks = p->groups * plan.image_blocks * plan.row_blocks * plan.col_blocks;
    plan.is_shared = plan.parts > 1 && plan.chunk == plan.full && !plan.reads_source &&
                     (double)blocks * (double)plan.slab_bytes <= SHARED_BYTES;
    return plan;
}

fc_implicit_plan fc_implicit_plan_blocks(const fc_implicit* p, int64_t pixels) {
    fc_implicit_plan plan = start_plan(p);
    choose_block(p, &plan, fc_min(p->reduced, p->kernels->lanes), pixels);
    plan.col_blocks = fc_ceil_div(p->cols.positions, plan.cols);
    plan.chunk = fc_min(plan.full, 1);
    layout_slab(p, &plan);
    return plan;
}

size_t fc_implicit_segment_bytes(const fc_implicit* p, const fc_implicit_plan* plan) {
    return (size_t)((plan->chunk + 1) * p->rows.taps * p->cols.taps) * sizeof(int64_t);
}

static int64_t* fill_block(const fc_implicit* p, const fc_implicit_plan* plan, const fc_phase* rows,
                           const fc_phase* cols, int64_t pixel, int64_t* offset) {
    for (int64_t r = 0; r < rows->taps; r++) {
        const int64_t row = rows->source - p->rows.low + p->rows.shift[rows->before + r];
        for (int64_t c = 0; c < (plan->is_merged ? fc_min(cols->taps, 1) : cols->taps); c++) {
            const int64_t col = cols->source - p->cols.low + p->cols.shift[cols->before + c];
            *offset++ = (row * plan->slab_cols + col) * pixel;
        }
    }
    return offset;
}

void fc_implicit_fill_segments(const fc_implicit* p, const fc_implicit_plan* plan,
                               int64_t* offset) {
    for (int64_t a = 0; a < p->rows.phases; a++)
        for (int64_t b = 0; b < p->cols.phases; b++) {
            const fc_phase *rows = &p->rows.phase[a], *cols = &p->cols.phase[b];
            int64_t* to = offset + (plan->chunk + 1) * fc_implicit_first_tap(p, a, b);
            int64_t* tail = to + plan->chunk * rows->taps * cols->taps;
            for (int64_t block = 0; block < plan->chunk; block++) {
                int64_t* end = fill_block(p, plan, rows, cols, p->kernels->lanes, to);
                for (; to < end; to++) *to += block * plan->block_stride;
            }
            fill_block(p, plan, rows, cols, plan->tail_pixel, tail);
        }
}

fc_implicit_block fc_implicit_locate(const fc_implicit* p, const fc_implicit_plan* plan,
                                     int64_t index) {
    fc_implicit_block b;
    b.col = index % plan->col_blocks * plan->cols;
    index /= plan->col_blocks;
    b.row = index % plan->row_blocks * plan->rows;
    index /= plan->row_blocks;
    b.group = index % p->groups;
    b.image = index / p->groups * plan->images;
    b.images = fc_min(plan->images, p->source.batch - b.image);
    b.rows = fc_min(plan->rows, p->rows.positions - b.row);
    b.cols = fc_min(plan->cols, p->cols.positions - b.col);
    return b;
}

fc_implicit_runs fc_implicit_merge(const fc_implicit* p, const fc_implicit_plan* plan,
                                   const fc_implicit_block* b) {
    fc_implicit_runs runs = {b->images, b->rows, b->cols};
    const int plain = p->rows.source_step == 1 && p->cols.source_step == 1 &&
                      p->rows.target_step == 1 && p->cols.target_step == 1;
    const int64_t pitch = plan->writes_target ? p->target.width : plan->cols;
    if (!plain || b->cols != plan->slab_cols || b->cols != pitch) return runs;
    runs.cols *= runs.rows;
    runs.rows = 1;
    const fc_strides* s = &p->target.strides;
    const int64_t lines = plan->writes_target ? s->batch_stride / s->row_stride : plan->rows;
    if (b->rows != plan->image_rows || b->rows != lines) return runs;
    runs.cols *= runs.images;
    runs.images = 1;
    return runs;
}

void fc_implicit_pack(const fc_implicit* p, const fc_implicit_plan* plan,
                      const fc_implicit_block* b, int64_t channel_block, char* slab) {
    const int64_t lanes = p->kernels->lanes;
    const int is_tail = channel_block == plan->full;
    const int64_t pixel = is_tail ? plan->tail : lanes;
    fc_block block = {.channel = b->group * p->reduced + channel_block * lanes,
                      .channels = pixel,
                      .row = p->rows.low + b->row * p->rows.source_step,
                      .column = p->cols.low + b->col * p->cols.source_step,
                      .rows = extent(&p->rows, b->rows),
                      .columns = extent(&p->cols, b->cols),
                      .pitch = plan->slab_cols,
                      .dense = is_tail};
    for (int64_t i = 0; i < b->images; i++) {
        block.image = b->image + i;
        fc_pack_block(&p->source, &block,
                      slab + i * plan->slab_rows * plan->slab_cols * pixel * p->element);
    }
}
