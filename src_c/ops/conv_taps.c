/* The tap engine: see conv_taps.h.
 *
 * A task owns a block of output pixels (rows of one image, or several small images) for a share of
 * the result channels. For each chunk of channels it fills their planes (padding and stride vanish
 * there), then runs the conv_taps kernel over every register tile of result channels, adding to
 * partial sums in its scratch; after the last chunk the tile goes to the output.
 *
 * The sum of an output runs over channels, then taps, in order: it does not depend on how the
 * problem is cut, so results are the same bits for any number of threads. */
#include "conv_taps.h"
#include <string.h>

enum {
    PLANE_BYTES = 384 << 10, /* planes of a chunk stay in a core's own L2 */
    TILE_BYTES = 512 << 10,  /* and so do the partial sums */
    DEPTH = 512,             /* weights of one call: DEPTH * mr elements in L1 */
    PIXELS = 1536,           /* of a block: enough to hide the packing of weights */
    IMAGES_BYTES = 48 << 10, /* planes of several images: they stay in L1 */
    LEAST_PIXELS = 192,      /* blocks are not made smaller than this for the sake of threads */
    LONGEST_ROW = 2048,
};

typedef struct {
    const fc_taps_problem* problem;
    const fc_kernels_of_type* kernels;
    fc_taps_plan plan;
    const int32_t* offset;
    char* packed;
} taps_job;

/* Windows are not cut. */
static int64_t whole_windows(const fc_taps_problem* p, int64_t count) {
    return p->pooled ? count + count % 2 : count;
}

static double total_work(const fc_taps_problem* p) {
    return (double)p->batch * p->groups * p->results * p->out_rows * p->out_cols *
           ((double)p->reduced * p->vertical.taps * p->horizontal.taps + 4);
}

/* Register tiles are as even as they can be: 64 rows are 13 + 13 + 13 + 13 + 12, not 4 x 14 + 8. */
static int64_t tile_start(const fc_taps_problem* p, int64_t tiles, int64_t index) {
    return index * (p->results / tiles) + fc_min(index, p->results % tiles);
}

/* Cut blocks smaller where there are fewer of them than threads could share. */
static void share_among_threads(const fc_taps_problem* p, fc_taps_plan* plan) {
    const int64_t threads = fc_threads_for(total_work(p)), wanted = 3 * threads;
    if (threads == 1) return;
    int64_t others = p->groups * plan->col_blocks;
    while (plan->images > 1 && fc_ceil_div(p->batch, plan->images) * others < wanted &&
           plan->images * plan->rows * plan->cols > LEAST_PIXELS)
        plan->images = fc_ceil_div(plan->images, 2);
    others *= fc_ceil_div(p->batch, plan->images);
    while (plan->rows > whole_windows(p, 1) &&
           fc_ceil_div(p->out_rows, plan->rows) * others < wanted &&
           plan->rows * plan->cols > LEAST_PIXELS)
        plan->rows = whole_windows(p, fc_ceil_div(plan->rows, 2));
    others *= fc_ceil_div(p->out_rows, plan->rows);
    /* every part fills the planes again: of a block or two, no more parts than have a thread */
    const int64_t parts = fc_ceil_div(others < threads ? threads : wanted, others);
    plan->parts = fc_max(1, fc_min(plan->tiles, parts));
}

/* From the first pixel of so many rows to the last. */
static int64_t run_length(const fc_taps_plan* plan, int64_t rows, int64_t cols) {
    return (rows - 1) * plan->layout.cols + cols;
}

/* Do the rows of a block, as they are summed, follow each other in the output too, in whole
 * vectors? */
static int writes_output(const fc_taps_problem* p, const fc_taps_plan* plan) {
    const fc_strides* to = &p->output_strides;
    const int64_t lanes = fc_kernels_for(p->dtype)->lanes;
    const int64_t last = p->out_rows - (plan->row_blocks - 1) * plan->rows;
    return !p->pooled && to->col_stride == 1 && to->row_stride == p->out_cols &&
           plan->layout.cols == p->out_cols && plan->runs == plan->images &&
           plan->rows * p->out_cols % lanes == 0 && last * p->out_cols % lanes == 0;
}

/* Images are one run, rows between them included, or a run each: whatever takes fewer vectors. */
static void layout_tile(const fc_taps_problem* p, fc_taps_plan* plan) {
    const fc_kernels_of_type* kernels = fc_kernels_for(p->dtype);
    const int64_t lanes = kernels->lanes, image = plan->layout.rows * plan->layout.cols;
    const int64_t run = run_length(plan, plan->rows, plan->cols);
    const int64_t own = fc_ceil_div(run, lanes);
    plan->runs = plan->images * own <= fc_ceil_div((plan->images - 1) * image + run, lanes)
                     ? plan->images
                     : 1;
    plan->run_stride = plan->runs == 1 ? image : own * lanes;
    const int64_t pixels = plan->runs * plan->run_stride + (plan->images - plan->runs) * image;
    plan->tile_stride = fc_ceil_div(pixels, kernels->nr) * kernels->nr + 16;
    plan->writes_output = writes_output(p, plan);
}

fc_taps_plan fc_plan_taps(const fc_taps_problem* p) {
    const fc_kernels_of_type* kernels = fc_kernels_for(p->dtype);
    const int64_t element = (int64_t)fc_dtype_size(p->dtype);
    const fc_axis *v = &p->vertical, *h = &p->horizontal;
    const int64_t taps = v->taps * h->taps;
    fc_taps_plan plan = {.parts = 1, .tiles = fc_ceil_div(p->results, kernels->mr)};

    const int64_t chunks = fc_ceil_div(p->reduced * fc_max(taps, 1), DEPTH);
    plan.chunk = fc_ceil_div(p->reduced, fc_min(chunks, p->reduced));
    plan.cols = fc_ceil_div(p->out_cols, fc_ceil_div(p->out_cols, LONGEST_ROW));
    /* rows that fit: planes of a chunk, and partial sums of all results if there are more chunks */
    const int64_t width = plan.cols + h->max_shift;
    const int64_t kept = plan.chunk < p->reduced ? p->results : kernels->mr;
    const int64_t lines = PLANE_BYTES / (plan.chunk * v->phases * h->phases * width * element);
    int64_t rows = fc_min(lines - v->max_shift, TILE_BYTES / (kept * width * element));
    rows = fc_max(1, fc_min(fc_min(rows, PIXELS / width), p->out_rows));
    plan.rows = whole_windows(p, fc_ceil_div(p->out_rows, fc_ceil_div(p->out_rows, rows)));
    plan.images = 1;
    if (plan.rows == p->out_rows && plan.cols == p->out_cols) {
        const int64_t image_lines = p->out_rows + v->max_shift;
        const int64_t room = fc_min(fc_min(lines / image_lines, PIXELS / (image_lines * width)),
                                    TILE_BYTES / (kept * image_lines * width * element));
        const int64_t near =
            IMAGES_BYTES / (plan.chunk * v->phases * h->phases * image_lines * width * element);
        plan.images = fc_max(1, fc_min(fc_min(room, near), p->batch));
        plan.images = fc_ceil_div(p->batch, fc_ceil_div(p->batch, plan.images));
    }
    plan.col_blocks = fc_ceil_div(p->out_cols, plan.cols);
    share_among_threads(p, &plan);
    plan.image_blocks = fc_ceil_div(p->batch, plan.images);
    plan.row_blocks = fc_ceil_div(p->out_rows, plan.rows);

    plan.layout = fc_layout_planes(v, h, plan.images, plan.rows, plan.cols, (size_t)element);
    layout_tile(p, &plan);
    const int64_t slack = 2 * kernels->nr;
    plan.tile_rows =
        plan.chunk < p->reduced ? fc_ceil_div(plan.tiles, plan.parts) * kernels->mr : kernels->mr;
    if (plan.writes_output) plan.tile_rows = 0;
    plan.planes_bytes =
        fc_align((size_t)((plan.chunk * plan.layout.channel_stride + slack) * element));
    plan.tile_bytes = fc_align((size_t)((plan.tile_rows * plan.tile_stride + slack) * element));
    plan.offsets_bytes = fc_align((size_t)(plan.chunk * taps) * sizeof(int32_t));
    const int64_t packed = p->results * p->reduced * taps + plan.tiles * kernels->lanes;
    plan.packed_bytes = fc_align((size_t)(p->groups * packed * element));
    return plan;
}

/* Where a tile's packed weights start: each has a vector of slack behind it. */
static char* packed_tile(const taps_job* job, int64_t group, int64_t tile) {
    const fc_taps_problem* p = job->problem;
    const int64_t depth = p->reduced * p->vertical.taps * p->horizontal.taps;
    const int64_t rows = group * p->results + tile_start(p, job->plan.tiles, tile);
    const int64_t slack = (group * job->plan.tiles + tile) * job->kernels->lanes;
    return job->packed + (rows * depth + slack) * (int64_t)fc_dtype_size(p->dtype);
}

/* Are the steps of a result's sum neighbours in the weight, in order? */
static int is_plain(const fc_taps_problem* p) {
    const fc_axis *v = &p->vertical, *h = &p->horizontal;
    return p->weight_reduced_stride == v->taps * h->taps && p->weight_row_stride == h->taps &&
           v->taps > 0 && h->taps > 0 && v->tap_index[0] == 0 && h->tap_index[0] == 0;
}

/* Weights of one register tile, for all channels and taps: [channel][tap][row of the tile]. */
static fc_status pack_tile(void* context, int64_t index) {
    const taps_job* job = context;
    const fc_taps_problem* p = job->problem;
    const fc_axis *v = &p->vertical, *h = &p->horizontal;
    const int64_t group = index / job->plan.tiles, tile = index % job->plan.tiles;
    const int64_t start = tile_start(p, job->plan.tiles, tile);
    const int64_t rows = tile_start(p, job->plan.tiles, tile + 1) - start;
    const int64_t from = group * p->weight_group_stride + start * p->weight_result_stride;
    if (is_plain(p) && rows <= job->kernels->lanes) {
        const fc_lanes shape = {.rows = rows,
                                .columns = p->reduced * v->taps * h->taps,
                                .row_stride = p->weight_result_stride,
                                .column_stride = 1,
                                .dense = 1};
        job->kernels->pack_lanes(&shape, p->groups * p->weight_group_stride - from,
                                 p->weight + from * (int64_t)fc_dtype_size(p->dtype),
                                 packed_tile(job, group, tile));
        return FC_OK;
    }
#define PACK(T)                                                                                    \
    {                                                                                              \
        const T* weight = (const T*)p->weight + from;                                              \
        T* packed = (T*)packed_tile(job, group, tile);                                             \
        for (int64_t c = 0; c < p->reduced; c++)                                                   \
            for (int64_t r = 0; r < v->taps; r++)                                                  \
                for (int64_t s = 0; s < h->taps; s++) {                                            \
                    const T* w = weight + c * p->weight_reduced_stride +                           \
                                 v->tap_index[r] * p->weight_row_stride + h->tap_index[s];         \
                    for (int64_t m = 0; m < rows; m++) *packed++ = w[m * p->weight_result_stride]; \
                }                                                                                  \
    }
    if (p->dtype == FC_FLOAT32)
        PACK(float)
    else
        PACK(double)
#undef PACK
    return FC_OK;
}

typedef struct {
    int64_t group, first_image, images, first_row, rows, first_col, cols;
    int64_t first_tile, last_tile;
} taps_block;

static taps_block locate(const taps_job* job, int64_t index) {
    const fc_taps_problem* p = job->problem;
    const fc_taps_plan* plan = &job->plan;
    const int64_t part = index % plan->parts;
    index /= plan->parts;
    const int64_t col = index % plan->col_blocks;
    index /= plan->col_blocks;
    const int64_t row = index % plan->row_blocks;
    index /= plan->row_blocks;
    taps_block b = {.group = index % p->groups,
                    .first_image = index / p->groups * plan->images,
                    .first_row = row * plan->rows,
                    .first_col = col * plan->cols,
                    .first_tile = part * plan->tiles / plan->parts,
                    .last_tile = (part + 1) * plan->tiles / plan->parts};
    b.images = fc_min(plan->images, p->batch - b.first_image);
    b.rows = fc_min(plan->rows, p->out_rows - b.first_row);
    b.cols = fc_min(plan->cols, p->out_cols - b.first_col);
    return b;
}

static void fill(const taps_job* job, const taps_block* b, int64_t first_channel, int64_t channels,
                 char* planes) {
    const fc_taps_problem* p = job->problem;
    const fc_plane_layout* layout = &job->plan.layout;
    const int64_t element = (int64_t)fc_dtype_size(p->dtype);
    const fc_planes shape = {
        .height = p->source_height,
        .width = p->source_width,
        .row_stride = p->source_strides.row_stride,
        .col_stride = p->source_strides.col_stride,
        .first_row = p->first_row + b->first_row * p->vertical.stride,
        .first_column = p->first_column + b->first_col * p->horizontal.stride,
        .stride_height = p->vertical.stride,
        .stride_width = p->horizontal.stride,
        .row_phases = p->vertical.phases,
        .col_phases = p->horizontal.phases,
        .row_phase = p->vertical.phase,
        .col_phase = p->horizontal.phase,
        .rows = layout->rows,
        .cols = layout->cols,
        .phase_stride = layout->phase_stride,
    };
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < b->images; i++) {
            const int64_t at =
                (b->first_image + i) * p->source_strides.batch_stride +
                (b->group * p->reduced + first_channel + c) * p->source_strides.channel_stride;
            const int64_t to = c * layout->channel_stride + i * layout->rows * layout->cols;
            job->kernels->fill_planes(&shape, p->source + at * element, planes + to * element);
        }
    /* The last vector reads on into the tail. Its sums are dropped, but where old scratch reads as
     * denormal numbers, each of their products would take the processor some 150 cycles. */
    const int64_t end = b->images * layout->rows * layout->cols;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < p->vertical.phases * p->horizontal.phases; i++)
            memset(planes + (c * layout->channel_stride + i * layout->phase_stride + end) * element,
                   0, 64);
}

/* Where the pixels of the block's first image belong, for results from `start` on: elements. */
static int64_t place_of(const fc_taps_problem* p, const taps_block* b, int64_t start) {
    const fc_strides* to = &p->output_strides;
    const int64_t side = p->pooled ? 2 : 1;
    return b->first_image * to->batch_stride +
           (b->group * p->results + start) * to->channel_stride +
           b->first_row / side * to->row_stride + b->first_col / side * to->col_stride;
}

static char* output_of(const taps_job* job, const taps_block* b, int64_t start) {
    const fc_taps_problem* p = job->problem;
    return p->output + place_of(p, b, start) * (int64_t)fc_dtype_size(p->dtype);
}

static void store(const taps_job* job, const taps_block* b, int64_t start, int64_t channels,
                  const char* tile) {
    const fc_taps_problem* p = job->problem;
    const int64_t element = (int64_t)fc_dtype_size(p->dtype);
    const fc_strides* to = &p->output_strides;
    const fc_store shape = {.channels = channels,
                            .rows = b->rows,
                            .cols = b->cols,
                            .tile_stride = job->plan.tile_stride,
                            .tile_cols = job->plan.layout.cols,
                            .channel_stride = to->channel_stride,
                            .row_stride = to->row_stride,
                            .col_stride = to->col_stride};
    for (int64_t i = 0; i < b->images; i++) {
        const int64_t at = place_of(p, b, start) + i * to->batch_stride;
        const char* from = tile + i * job->plan.run_stride * element;
        if (p->pooled)
            job->kernels->window_maxima(&shape, from, p->output + at * element,
                                        p->places ? p->places + at : NULL);
        else
            job->kernels->store_tile(&shape, from, p->output + at * element);
    }
}

/* Sums of a register tile, where they are kept; steps in elements. */
typedef struct {
    char* data;
    int64_t row, run;
} taps_sums;

/* Adds the products of a chunk of channels to the sums of a tile of results. */
static void multiply(const taps_job* job, const taps_block* b, int64_t tile, int64_t channel,
                     const char* planes, const taps_sums* sums) {
    const fc_taps_problem* p = job->problem;
    const fc_taps_plan* plan = &job->plan;
    const int64_t element = (int64_t)fc_dtype_size(p->dtype);
    const int64_t taps = p->vertical.taps * p->horizontal.taps;
    const int64_t image = plan->layout.rows * plan->layout.cols;
    const int64_t start = tile_start(p, plan->tiles, tile);
    const int64_t rows = tile_start(p, plan->tiles, tile + 1) - start;
    const int64_t steps = fc_min(plan->chunk, p->reduced - channel) * taps;
    const char* weight = packed_tile(job, b->group, tile) + rows * channel * taps * element;
    const char* bias = p->bias ? p->bias + (b->group * p->results + start) * element : NULL;
    const int is_joint = plan->runs < plan->images;
    const int64_t pixels =
        run_length(plan, b->rows, b->cols) + (is_joint ? (b->images - 1) * image : 0);
    const int is_last = channel + plan->chunk >= p->reduced;
    int64_t d = 0;
    do { /* a depth of zero still writes the start values */
        const fc_taps call = {.depth = fc_min(DEPTH, steps - d),
                              .weight_step = rows,
                              .pixels = pixels,
                              .tile_stride = sums->row,
                              .offset = job->offset + d,
                              .accumulate = channel > 0 || d > 0,
                              .relu = p->relu && is_last && d + DEPTH >= steps};
        for (int64_t i = 0; i < (is_joint ? 1 : b->images); i++)
            job->kernels->conv_taps(&call, (int)rows, weight + d * rows * element,
                                    planes + i * image * element, bias,
                                    sums->data + i * sums->run * element);
        d += DEPTH;
    } while (d < steps);
}

static fc_status run_block(void* context, int64_t index) {
    const taps_job* job = context;
    const fc_taps_problem* p = job->problem;
    const fc_taps_plan* plan = &job->plan;
    const int64_t element = (int64_t)fc_dtype_size(p->dtype);
    char* planes = fc_workspace(FC_SLOT_TASK, plan->planes_bytes + plan->tile_bytes);
    if (!planes) return FC_ERROR_MEMORY;
    char* tiles = planes + plan->planes_bytes;
    const taps_block b = locate(job, index);
    const int several = plan->chunk < p->reduced;
    const int64_t origin = tile_start(p, plan->tiles, b.first_tile);

    for (int64_t c = 0; c < p->reduced; c += plan->chunk) {
        fill(job, &b, c, fc_min(plan->chunk, p->reduced - c), planes);
        for (int64_t t = b.first_tile; t < b.last_tile; t++) {
            const int64_t start = tile_start(p, plan->tiles, t);
            const int64_t rows = tile_start(p, plan->tiles, t + 1) - start;
            const int64_t kept = several ? (start - origin) * plan->tile_stride * element : 0;
            taps_sums sums = {tiles + kept, plan->tile_stride, plan->run_stride};
            if (plan->writes_output)
                sums = (taps_sums){output_of(job, &b, start), p->output_strides.channel_stride,
                                   p->output_strides.batch_stride};
            multiply(job, &b, t, c, planes, &sums);
            if (c + plan->chunk < p->reduced || plan->writes_output) continue;
            store(job, &b, start, rows, sums.data);
        }
    }
    return FC_OK;
}

fc_status fc_run_taps(const fc_taps_problem* problem) {
    taps_job job = {.problem = problem,
                    .kernels = fc_kernels_for(problem->dtype),
                    .plan = fc_plan_taps(problem)};
    char* shared = fc_workspace(FC_SLOT_SHARED, job.plan.offsets_bytes + job.plan.packed_bytes);
    if (!shared) return FC_ERROR_MEMORY;
    fc_tap_offsets(&problem->vertical, &problem->horizontal, &job.plan.layout, job.plan.chunk,
                   (int32_t*)shared);
    job.offset = (int32_t*)shared;
    job.packed = shared + job.plan.offsets_bytes;

    const double weights = (double)job.plan.packed_bytes;
    fc_status status = fc_parallel_for(problem->groups * job.plan.tiles, weights, pack_tile, &job);
    if (status != FC_OK) return status;
    const int64_t tasks = job.plan.image_blocks * problem->groups * job.plan.row_blocks *
                          job.plan.col_blocks * job.plan.parts;
    return fc_parallel_for(tasks, total_work(problem), run_block, &job);
}
