/* The gradient of weights by Winograd:
 *
 *   grad_weight = Gt [ sum over tiles of (A grad_output At) * (Bt input B) ] G
 *
 * Quarters of at most SIDE channels (of the input: channels times phases of the stride) on either
 * side go through blocks of tiles. For each block
 *   1. both sides' tiles are transformed: V[point][vector of terms][tile][lane] and
 *      D[point][panel][tile][2 lanes];
 *   2. panels of results x groups of V's vectors: per point the product V D over the tiles, then
 *      the small transform, added to what the blocks before gave.
 * A weight belongs to one task of every block, and blocks follow from the geometry alone: no sum
 * depends on the number of threads. In the end the weights are brought to OIHW.
 *
 * Where the weights are few, tiles by far outweigh them, and moving V and D from the cache of the
 * core that made them to another's takes longer than the products. Then a task is a slice of the
 * blocks, does both steps alone, and has sums of its own, which are added in order of the slices.
 */
#include "conv_weight_sums.h"
#include "conv_winograd.h"

enum {
    SIDE = 256,             /* terms or results of a quarter */
    TILES_BYTES = 3 << 20,  /* of V and D */
    TILES_MOST = 192,       /* of a block */
    SLAB_BYTES = 128 << 10, /* pixels that a strip packs */
    BLOCKS_OF_TASK = 4,     /* vectors of V of a task of step 2 */
    SLICES = 8,             /* of the blocks, where each has its own sums */
    SLICE_SIDE = 128,       /* up to so many terms and results */
    SLICE_BYTES = 5 << 18,  /* of V and D of a slice: private, so they should fit L2 */
};

typedef struct {
    const fc_winograd_shape* shape;
    fc_dtype dtype;
    const fc_kernels_of_type* kernels;
    int64_t lanes, element;
    int64_t kernel[2];
    int64_t in_channels, out_channels; /* of a group */
    int64_t in_first, out_first;       /* of the current quarter, within the group */
    int64_t out_panels;                /* of the quarter */
    int64_t in_quarter, out_quarter;   /* its channels */
    int64_t in_group, out_group;       /* where the group's channels begin in the images */
    fc_strips strips;
    int64_t strips_of_block, first_strip, end_strip, first_tile, tiles;
    int64_t task_blocks; /* vectors of V of a task of step 2 */
    fc_tiler input, grad_output;
    char *v, *d;
    int64_t points;      /* bytes of both, at most */
    char* sums;          /* [vector of results][channel][tap][lane] of the group */
    int64_t slices;      /* 0: the threads share blocks */
    int64_t sums_stride; /* bytes, from one slice's sums to the next */
    int first_block;
    char* grad_weight; /* of the group */
} weight_job;

static int64_t taps_of(const weight_job* job) {
    return job->kernel[0] * job->kernel[1];
}

static int64_t vectors_of(const weight_job* job, int64_t panel) {
    const int64_t first = job->out_first + 2 * panel * job->lanes;
    return first + job->lanes < job->out_first + job->out_quarter ? 2 : 1;
}

/* Step 1: index is a strip and a unit of channels of either side. */
static void transform_strip(const weight_job* job, int64_t index, char* slab) {
    const int64_t vector = job->lanes * job->element;
    const int64_t in_units = fc_tiler_units(&job->input.terms);
    const int64_t both = in_units + fc_tiler_units(&job->grad_output.terms);
    const int64_t unit = index % both - in_units, number = job->first_strip + index / both;
    const fc_strip strip = fc_strip_at(&job->strips, number);
    const int64_t tile = fc_tiles_before(&job->strips, number) - job->first_tile;
    if (unit < 0) {
        fc_tile_strip(&job->input, &strip, job->in_group + job->in_first, unit + in_units, slab,
                      job->v + tile * vector);
        return;
    }
    /* D has two vectors a tile: a panel is two units */
    fc_tile_strip(&job->grad_output, &strip, job->out_group + job->out_first, unit, slab,
                  job->d + ((unit / 2 * job->tiles + tile) * 2 + unit % 2) * vector);
}

/* Products of V's vectors [first, first + blocks) and a panel of results, through the small
 * transform, to their taps. */
static void store_sums(const weight_job* job, int64_t panel, int64_t first, int64_t blocks,
                       int64_t plane, const char* products) {
    const fc_winograd_terms* terms = &job->input.terms;
    const int64_t lanes = job->lanes, vector = lanes * job->element, taps = taps_of(job);
    fc_squares squares = {.in_item = 2 * lanes,
                          .in_row = 6 * plane,
                          .in_column = plane,
                          .out_item = taps * lanes,
                          .out_row = terms->stride[0] * job->kernel[1] * lanes,
                          .out_column = terms->stride[1] * lanes,
                          .accumulate = !job->first_block};
    const int64_t begin = first * terms->block, end = begin + blocks * terms->block;
    for (int64_t at = begin; at < end; at += squares.items) {
        const fc_winograd_run run = fc_winograd_run_at(terms, at, end);
        const int64_t tap = run.phase[0] * job->kernel[1] + run.phase[1];
        for (int axis = 0; axis < 2; axis++)
            squares.tap_end[axis] =
                fc_winograd_phase_taps(job->kernel[axis], terms->stride[axis], run.phase[axis]);
        squares.items = run.count;
        for (int n = 0; n < vectors_of(job, panel); n++) {
            const int64_t row = job->out_first / lanes + 2 * panel + n;
            const int64_t channel = row * job->in_channels + job->in_first + run.channel;
            job->kernels->winograd_grad_weight[job->shape->member](
                &squares, products + ((at - begin) * 2 + n) * vector,
                job->sums + (channel * taps + tap) * vector);
        }
        squares.items = run.length;
    }
}

/* Step 2: index is a panel of results and a group of V's vectors. */
static void multiply_panel(const weight_job* job, int64_t index, char* products) {
    const fc_winograd_terms* terms = &job->input.terms;
    const int64_t lanes = job->lanes;
    const int64_t groups = fc_ceil_div(terms->blocks, job->task_blocks);
    const int64_t panel = index / groups, first = index % groups * job->task_blocks;
    const int64_t blocks = fc_min(job->task_blocks, terms->blocks - first);
    const int64_t plane = blocks * terms->block * 2 * lanes + WINOGRAD_PAD;
    const int vectors = (int)vectors_of(job, panel);
    const int64_t start = 0;
    const fc_gemm_panel gemm = {.a_row = 1,
                                .a_depth = lanes,
                                .segments = 1,
                                .depth = job->tiles,
                                .a_segment = &start,
                                .b_depth = 2 * lanes,
                                .b_vector = lanes,
                                .c_row = 2 * lanes,
                                .c_vector = lanes};
    for (int64_t point = 0; point < WINOGRAD_POINTS; point++)
        for (int64_t b = 0; b < blocks; b++)
            job->kernels->gemm_by_columns(
                &gemm, terms->block, vectors,
                job->v +
                    (point * job->input.plane + (first + b) * job->tiles * lanes) * job->element,
                job->d + (point * job->grad_output.plane + panel * job->tiles * 2 * lanes) *
                             job->element,
                products + (point * plane + b * terms->block * 2 * lanes) * job->element);
    store_sums(job, panel, first, blocks, plane, products);
}

static int64_t transforms_of(const weight_job* job) {
    return (job->end_strip - job->first_strip) *
           (fc_tiler_units(&job->input.terms) + fc_tiler_units(&job->grad_output.terms));
}

static int64_t panels_of(const weight_job* job) {
    return job->out_panels * fc_ceil_div(job->input.terms.blocks, job->task_blocks);
}

static int64_t task_bytes(const weight_job* job) {
    const int64_t slab = fc_max(fc_tiler_slab_bytes(&job->input, &job->strips),
                                fc_tiler_slab_bytes(&job->grad_output, &job->strips));
    const int64_t plane = BLOCKS_OF_TASK * job->lanes * 2 * job->lanes + WINOGRAD_PAD;
    return (int64_t)fc_align((size_t)fc_max(slab, WINOGRAD_POINTS * plane * job->element));
}

static fc_status transform_task(void* context, int64_t index) {
    const weight_job* job = context;
    char* slab = fc_workspace(FC_SLOT_TASK, (size_t)task_bytes(job));
    if (slab) transform_strip(job, index, slab);
    return slab ? FC_OK : FC_ERROR_MEMORY;
}

static fc_status multiply_task(void* context, int64_t index) {
    const weight_job* job = context;
    char* products = fc_workspace(FC_SLOT_TASK, (size_t)task_bytes(job));
    if (products) multiply_panel(job, index, products);
    return products ? FC_OK : FC_ERROR_MEMORY;
}

static fc_status store_weights(void* context, int64_t index) {
    const weight_job* job = context;
    const int64_t run = job->in_channels * taps_of(job);
    const fc_lanes lanes = {.rows = fc_min(job->lanes, job->out_channels - index * job->lanes),
                            .columns = run,
                            .row_stride = run,
                            .column_stride = 1};
    job->kernels->unpack_lanes(&lanes, job->sums + index * run * job->lanes * job->element, NULL,
                               job->grad_weight + index * job->lanes * run * job->element);
    return FC_OK;
}

/* Elements of V and D of a tile, for a whole quarter. */
static int64_t tile_elements(const weight_job* job) {
    return WINOGRAD_POINTS * (job->input.terms.blocks * job->lanes + job->out_quarter);
}

static int64_t points_bytes(const weight_job* job) {
    const int64_t tiles = job->strips_of_block * job->strips.rows * job->strips.columns;
    return (tiles * tile_elements(job) + 2 * WINOGRAD_PAD * WINOGRAD_POINTS) * job->element;
}

static int64_t blocks_of(const weight_job* job) {
    return fc_ceil_div(job->strips.strips, job->strips_of_block);
}

/* The terms of `channels` channels of the group, the whole or a quarter: in the group's blocks. */
static void set_terms(fc_winograd_terms* terms, int64_t channels) {
    terms->channels = channels;
    if (!terms->folded) terms->blocks = fc_ceil_div(channels, terms->run) * terms->phases;
}

static int64_t quarter(int64_t channels, int64_t multiple, int64_t most) {
    const int64_t units = fc_ceil_div(channels, multiple);
    return fc_ceil_div(units, fc_ceil_div(units * multiple, fc_max(multiple, most))) * multiple;
}

/* Quarters begin at whole blocks and panels, so that each vector of either side has one owner. */
static void plan_quarters(weight_job* job, const fc_conv2d* conv) {
    static const int64_t one[2] = {1, 1};
    fc_winograd_terms* terms = &job->input.terms;
    *terms = fc_winograd_terms_of(job->in_channels, job->lanes, conv->stride);
    job->in_quarter = terms->folded ? job->in_channels
                                    : quarter(job->in_channels, terms->run, SIDE / terms->phases);
    set_terms(terms, job->in_quarter);
    job->out_quarter = quarter(job->out_channels, 2 * job->lanes, SIDE);
    job->grad_output.terms = fc_winograd_terms_of(job->out_quarter, job->lanes, one);
}

static void plan_blocks(weight_job* job) {
    const int64_t of_tile = tile_elements(job) * job->element;
    const int is_sliced =
        job->input.terms.blocks * job->lanes <= SLICE_SIDE && job->out_quarter <= SLICE_SIDE;
    const int64_t bytes = is_sliced ? SLICE_BYTES : TILES_BYTES;
    const int64_t most = fc_max(1, fc_min(TILES_MOST, bytes / of_tile));
    const int64_t pixel = fc_max(job->input.terms.pixel, job->lanes) * job->element;
    const int64_t tile = job->shape->tile;
    const int64_t slab = fc_min(SLAB_BYTES, most * tile * tile * pixel);
    job->strips = fc_strips_of(job->shape, &job->input.mosaic, slab, pixel);
    const int64_t strips = fc_max(1, most / (job->strips.rows * job->strips.columns));
    job->strips_of_block = fc_ceil_div(job->strips.strips, fc_ceil_div(job->strips.strips, strips));
    if (is_sliced) job->slices = fc_min(SLICES, blocks_of(job));
    job->points = points_bytes(job);
}

static weight_job plan_job(const fc_winograd_shape* shape, const fc_conv2d* conv, fc_dtype dtype) {
    weight_job job = {
        .shape = shape,
        .dtype = dtype,
        .kernels = fc_kernels_for(dtype),
        .element = (int64_t)fc_dtype_size(dtype),
        .kernel = {conv->kernel_size[0], conv->kernel_size[1]},
        .in_channels = conv->in_channels / conv->groups,
        .out_channels = conv->out_channels / conv->groups,
        .input = {.image = fc_image_of(dtype, NULL, conv->batch, conv->in_channels, conv->in_size,
                                       conv->in_layout),
                  .padding = {conv->padding[0], conv->padding[1]},
                  .reach = shape->reach},
        .grad_output = {.image = fc_image_of(dtype, NULL, conv->batch, conv->out_channels,
                                             conv->out_size, conv->out_layout)},
    };
    job.lanes = job.kernels->lanes;
    job.input.transform = job.kernels->winograd_input;
    job.input.tile = job.lanes;
    job.grad_output.transform = job.kernels->winograd_grad_output[shape->member];
    job.grad_output.tile = 2 * job.lanes;
    plan_quarters(&job, conv);
    job.input.mosaic = job.grad_output.mosaic = fc_mosaic_of(conv, shape, 0);
    plan_blocks(&job);
    job.sums_stride = fc_ceil_div(job.out_channels, job.lanes) * job.in_channels * taps_of(&job) *
                      job.lanes * job.element;
    return job;
}

static void start_block(weight_job* job, int64_t block) {
    job->first_strip = block * job->strips_of_block;
    job->end_strip = fc_min(job->first_strip + job->strips_of_block, job->strips.strips);
    job->first_tile = fc_tiles_before(&job->strips, job->first_strip);
    job->tiles = fc_tiles_before(&job->strips, job->end_strip) - job->first_tile;
    job->input.block = job->tiles * job->lanes;
    job->input.plane = job->input.terms.blocks * job->input.block + WINOGRAD_PAD;
    job->grad_output.plane = job->out_panels * job->tiles * 2 * job->lanes + WINOGRAD_PAD;
    job->d = job->v + WINOGRAD_POINTS * job->input.plane * job->element;
}

/* A slice of the blocks, both steps, into sums of its own. */
static fc_status run_slice(void* context, int64_t slice) {
    weight_job job = *(const weight_job*)context;
    const int64_t points = (int64_t)fc_align((size_t)job.points), blocks = blocks_of(&job);
    char* memory = fc_workspace(FC_SLOT_TASK, (size_t)(points + task_bytes(&job)));
    if (!memory) return FC_ERROR_MEMORY;
    job.v = memory;
    job.sums += slice * job.sums_stride;
    const int64_t first = slice * blocks / job.slices, end = (slice + 1) * blocks / job.slices;
    for (int64_t block = first; block < end; block++) {
        start_block(&job, block);
        job.first_block = block == first;
        for (int64_t i = 0; i < transforms_of(&job); i++) transform_strip(&job, i, memory + points);
        for (int64_t i = 0; i < panels_of(&job); i++) multiply_panel(&job, i, memory + points);
    }
    return FC_OK;
}

static fc_status run_block(weight_job* job, int64_t block) {
    start_block(job, block);
    job->first_block = block == 0;
    const double points = (double)(job->tiles * job->lanes) * WINOGRAD_POINTS;
    const int64_t in_blocks = job->input.terms.blocks;
    const int64_t both = in_blocks + job->grad_output.terms.blocks;
    const fc_status status = fc_parallel_for(
        transforms_of(job), points * (double)both * WINOGRAD_MOVE, transform_task, job);
    if (status != FC_OK) return status;
    return fc_parallel_for(panels_of(job), points * (double)in_blocks * (double)job->out_quarter,
                           multiply_task, job);
}

static fc_status run_quarter(weight_job* job) {
    set_terms(&job->input.terms, job->in_quarter);
    set_terms(&job->grad_output.terms, job->out_quarter);
    job->out_panels = fc_ceil_div(job->out_quarter, 2 * job->lanes);
    job->task_blocks = BLOCKS_OF_TASK;
    if (job->slices)
        return fc_parallel_for(
            job->slices,
            (double)fc_mosaic_tiles(&job->input.mosaic, job->shape) * WINOGRAD_POINTS *
                (double)(job->input.terms.blocks * job->lanes) * (double)job->out_quarter,
            run_slice, job);
    while (job->task_blocks > 1 && panels_of(job) < 2 * fc_get_num_threads()) job->task_blocks /= 2;
    fc_status status = FC_OK;
    for (int64_t i = 0; i < blocks_of(job) && status == FC_OK; i++) status = run_block(job, i);
    return status;
}

static int64_t sums_bytes(const weight_job* job) {
    return job->sums_stride * fc_max(1, job->slices);
}

static fc_status run_group(weight_job job) {
    const int64_t in_quarter = job.in_quarter, out_quarter = job.out_quarter;
    fc_status status = FC_OK;
    for (int64_t k = 0; k < job.out_channels && status == FC_OK; k += out_quarter)
        for (int64_t c = 0; c < job.in_channels && status == FC_OK; c += in_quarter) {
            job.out_first = k;
            job.in_first = c;
            job.out_quarter = fc_min(out_quarter, job.out_channels - k);
            job.in_quarter = fc_min(in_quarter, job.in_channels - c);
            status = run_quarter(&job);
        }
    int infinite;
    if (status == FC_OK && job.slices > 1)
        status = fc_sum_runs(job.dtype, job.sums_stride / job.element, job.slices, job.sums,
                             job.sums, &infinite);
    if (status != FC_OK) return status;
    return fc_parallel_for(fc_ceil_div(job.out_channels, job.lanes),
                           (double)job.sums_stride / (double)job.element, store_weights, &job);
}

fc_status fc_conv2d_winograd_grad_weight(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                         const void* grad_output, void* grad_weight) {
    const fc_winograd_shape* shape = fc_winograd_shape_of(conv);
    if (!shape || !fc_groups_fit_blocks(conv, dtype)) return FC_ERROR_ARGUMENT;
    weight_job job = plan_job(shape, conv, dtype);
    job.input.image.data = (char*)input;
    job.grad_output.image.data = (char*)grad_output;
    if (!job.slices) job.v = fc_workspace(FC_SLOT_SHARED, (size_t)job.points);
    job.sums = fc_workspace(FC_SLOT_WEIGHTS, (size_t)sums_bytes(&job));
    fc_status status = (job.slices || job.v) && job.sums ? FC_OK : FC_ERROR_MEMORY;
    const int64_t filters = job.in_channels * job.out_channels * taps_of(&job);
    for (int64_t group = 0; group < conv->groups && status == FC_OK; group++) {
        job.in_group = group * job.in_channels;
        job.out_group = group * job.out_channels;
        job.grad_weight = (char*)grad_weight + group * filters * job.element;
        status = run_group(job);
    }
    fc_workspace_trim();
    return status;
}

int64_t fc_winograd_grad_weight_workspace(const fc_conv2d* conv, fc_dtype dtype) {
    const fc_winograd_shape* shape = fc_winograd_shape_of(conv);
    if (!shape) return 0;
    const weight_job job = plan_job(shape, conv, dtype);
    return task_bytes(&job) + job.points;
}
