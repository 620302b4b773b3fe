/* The gradient of weights by Winograd:
 *
 *   grad_weight = Gt [ sum over tiles of (A grad_output At) * (Bt input B) ] G
 *
 * The weights are cut into rectangles of terms (channels of the input, times phases of the stride)
 * by results. A task is a rectangle: it takes all tiles, a block of them at a time, through two
 * steps,
 *   1. both sides' tiles are transformed: V[point][vector of terms][tile][lane] and
 *      D[point][panel][tile][2 lanes];
 *   2. panels of results x groups of V's vectors: per point the product V D over the tiles, then
 *      the small transform, added to what the blocks before gave.
 * So V and D stay in the cache of the core that made them; that rectangles side by side transform
 * the same tiles costs less than fetching them from another core. Blocks follow from the geometry
 * alone, and rectangles from the threads too, but a weight's sum is the same in any rectangle. In
 * the end the weights are brought to OIHW.
 *
 * Where the weights are few, tiles by far outweigh them: then a task is a slice of the blocks, too,
 * with sums of its own, which are added in order of the slices.
 */
#include "conv_weight_sums.h"
#include "conv_winograd.h"

enum {
    SIDE = 256,             /* terms or results of a rectangle */
    TILES_BYTES = 3 << 20,  /* of V and D */
    TILES_MOST = 192,       /* of a block */
    SLAB_BYTES = 128 << 10, /* pixels that a strip packs */
    GROUP = 4,              /* vectors of V that a panel of results meets in a row */
    SLICES = 8,             /* of the blocks, where each has its own sums */
    SLICE_SIDE = 128,       /* up to so many terms and results */
    SLICE_BYTES = 5 << 18,  /* of V and D of a slice */
    FEW_TILES = 128,        /* up to so many in all, ... */
    SUM_TILES = 8,          /* ... sums are of so many, or their error shows */
};

typedef struct {
    const fc_winograd_shape* shape;
    fc_dtype dtype;
    const fc_kernels_of_type* kernels;
    int64_t lanes, element;
    int64_t kernel[2];
    int64_t in_channels, out_channels; /* of a group */
    int64_t in_group, out_group;       /* where the group's channels begin in the images */
    int64_t in_side, out_side;         /* channels of a rectangle, at most */
    int64_t in_first, out_first;       /* of the current one, within the group */
    int64_t in_size, out_size;         /* its channels */
    fc_strips strips;
    int64_t strips_of_block, first_strip, end_strip, first_tile, tiles;
    int has_few_tiles; /* in all */
    fc_tiler input, grad_output;
    char *v, *d;
    char* sums;          /* [vector of results][channel][tap][lane] of the group */
    int64_t slices;      /* of the blocks */
    int64_t sums_stride; /* bytes, from one slice's sums to the next */
    int first_block;
    char* grad_weight; /* of the group */
} weight_job;

static int64_t taps_of(const weight_job* job) {
    return job->kernel[0] * job->kernel[1];
}

static int64_t vectors_of(const weight_job* job, int64_t panel) {
    const int64_t first = job->out_first + 2 * panel * job->lanes;
    return first + job->lanes < job->out_first + job->out_size ? 2 : 1;
}

/* Step 1: index is a strip and a unit of channels of either side. */
static void transform_strip(const weight_job* job, int64_t index, char* slab) {
    const int64_t in_units = fc_tiler_units(&job->input.terms);
    const int64_t both = in_units + fc_tiler_units(&job->grad_output.terms);
    const int64_t unit = index % both - in_units, number = job->first_strip + index / both;
    const fc_strip strip = fc_strip_at(&job->strips, number);
    const int64_t first[FC_TILE_KINDS] = {strip.before[0] - job->first_tile};
    if (unit < 0)
        fc_tile_strip(&job->input, &strip, first, job->in_group + job->in_first, unit + in_units,
                      slab, job->v);
    else /* D has two vectors a tile: a panel is two units */
        fc_tile_strip(&job->grad_output, &strip, first, job->out_group + job->out_first, unit, slab,
                      job->d + (unit / 2 * job->tiles * 2 + unit % 2) * job->lanes * job->element);
}

/* Products of V's vectors [first, first + blocks) and a panel of results, through the small
 * transform, to their taps. */
static void store_sums(const weight_job* job, int64_t panel, int64_t first, int64_t blocks,
                       int64_t plane, const char* products) {
    const fc_winograd_terms* terms = &job->input.terms;
    const int64_t lanes = job->lanes, vector = lanes * job->element, taps = taps_of(job);
    fc_squares squares = {.in_item = 2 * lanes,
                          .in_row = fc_winograd_side(job->shape) * plane,
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

/* products (of a block of terms and up to two vectors of results) = sum over the tiles of V D */
static void sum_tiles(const weight_job* job, int vectors, const char* v, const char* d,
                      char* products) {
    const int64_t lanes = job->lanes, terms = job->input.terms.block;
    const int64_t sum = job->has_few_tiles ? SUM_TILES : job->tiles, whole = job->tiles / sum;
    int64_t run[FEW_TILES / SUM_TILES] = {0};
    for (int64_t i = 1; i < whole; i++) run[i] = run[i - 1] + sum * lanes;
    fc_gemm_panel gemm = {.a_row = 1,
                          .a_depth = lanes,
                          .segments = whole,
                          .sum_segments = 1,
                          .depth = sum,
                          .a_segment = run,
                          .b_depth = 2 * lanes,
                          .b_vector = lanes,
                          .c_row = 2 * lanes,
                          .c_vector = lanes};
    if (whole > 0) job->kernels->gemm_by_columns(&gemm, terms, vectors, v, d, products);
    gemm.depth = job->tiles - whole * sum;
    if (gemm.depth == 0) return;
    gemm.segments = 1;
    gemm.accumulate = whole > 0;
    const int64_t done = whole * sum * lanes * job->element;
    job->kernels->gemm_by_columns(&gemm, terms, vectors, v + done, d + 2 * done, products);
}

/* Step 2: index is a panel of results and a group of V's vectors. */
static void multiply_panel(const weight_job* job, int64_t index, char* products) {
    const fc_winograd_terms* terms = &job->input.terms;
    const int64_t lanes = job->lanes, groups = fc_ceil_div(terms->blocks, GROUP);
    const int64_t panel = index / groups, first = index % groups * GROUP;
    const int64_t blocks = fc_min(GROUP, terms->blocks - first);
    const int64_t plane = blocks * terms->block * 2 * lanes + WINOGRAD_PAD;
    const int vectors = (int)vectors_of(job, panel);
    for (int64_t point = 0; point < fc_winograd_points(job->shape); point++) {
        const fc_winograd_range phases =
            fc_winograd_phases_at(&job->input.points, fc_winograd_side(job->shape), point);
        const int64_t d = point * job->grad_output.plane + panel * job->tiles * 2 * lanes;
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t phase = (first + b) % terms->phases;
            /* the sums that it lacks are of a tap that it has not: none is read */
            if (phase < phases.first || phase >= phases.end) continue;
            const int64_t v = point * job->input.plane + (first + b) * job->tiles * lanes;
            const int64_t to = point * plane + b * terms->block * 2 * lanes;
            sum_tiles(job, vectors, job->v + v * job->element, job->d + d * job->element,
                      products + to * job->element);
        }
    }
    store_sums(job, panel, first, blocks, plane, products);
}

static int64_t out_panels(const weight_job* job) {
    return fc_ceil_div(job->out_size, 2 * job->lanes);
}

static int64_t transforms_of(const weight_job* job) {
    return (job->end_strip - job->first_strip) *
           (fc_tiler_units(&job->input.terms) + fc_tiler_units(&job->grad_output.terms));
}

static int64_t products_of(const weight_job* job) {
    return out_panels(job) * fc_ceil_div(job->input.terms.blocks, GROUP);
}

/* Scratch of either step. */
static int64_t step_bytes(const weight_job* job) {
    const int64_t slab = fc_max(fc_tiler_slab_bytes(&job->input, &job->strips),
                                fc_tiler_slab_bytes(&job->grad_output, &job->strips));
    const int64_t plane = GROUP * job->lanes * 2 * job->lanes + WINOGRAD_PAD;
    return (int64_t)fc_align(
        (size_t)fc_max(slab, fc_winograd_points(job->shape) * plane * job->element));
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

/* Elements of V and D of a tile. */
static int64_t tile_elements(const weight_job* job) {
    return fc_winograd_points(job->shape) * (job->input.terms.blocks + 2 * out_panels(job)) *
           job->lanes;
}

static int64_t points_bytes(const weight_job* job) {
    const int64_t tiles = job->strips_of_block * job->strips.rows * job->strips.columns;
    return (int64_t)fc_align(
        (size_t)((tiles * tile_elements(job) + 2 * WINOGRAD_PAD * fc_winograd_points(job->shape)) *
                 job->element));
}

static int64_t blocks_of(const weight_job* job) {
    return fc_ceil_div(job->strips.strips, job->strips_of_block);
}

/* The terms of `channels` channels of the group: in the group's blocks. */
static void set_terms(fc_winograd_terms* terms, int64_t channels) {
    terms->channels = channels;
    if (!terms->folded) terms->blocks = fc_ceil_div(channels, terms->run) * terms->phases;
}

static void set_rectangle(weight_job* job, int64_t in_first, int64_t out_first) {
    job->in_first = in_first;
    job->out_first = out_first;
    job->in_size = fc_min(job->in_side, job->in_channels - in_first);
    job->out_size = fc_min(job->out_side, job->out_channels - out_first);
    set_terms(&job->input.terms, job->in_size);
    set_terms(&job->grad_output.terms, job->out_size);
}

/* `channels` cut into even shares of at most `most`, multiples of `multiple`. */
static int64_t share(int64_t channels, int64_t multiple, int64_t most) {
    const int64_t units = fc_ceil_div(channels, multiple);
    return fc_ceil_div(units, fc_ceil_div(units * multiple, fc_max(multiple, most))) * multiple;
}

/* Rectangles begin at whole blocks and panels, so that each vector of either side has one owner. */
static void plan_sides(weight_job* job, const fc_conv2d* conv) {
    static const int64_t one[2] = {1, 1};
    fc_winograd_terms* terms = &job->input.terms;
    *terms = fc_winograd_terms_of(job->in_channels, job->lanes, conv->stride);
    job->in_side = terms->folded ? job->in_channels
                                 : share(job->in_channels, terms->run, SIDE / terms->phases);
    job->out_side = share(job->out_channels, 2 * job->lanes, SIDE);
    job->grad_output.terms = fc_winograd_terms_of(job->out_side, job->lanes, one);
    job->input.points = fc_winograd_phases_of(job->shape, job->kernel, conv->stride, terms->folded);
    job->grad_output.points = fc_winograd_phases_of(job->shape, job->kernel, one, 0);
    set_rectangle(job, 0, 0);
}

static void plan_blocks(weight_job* job) {
    const int64_t of_tile = tile_elements(job) * job->element;
    const int is_sliced =
        job->input.terms.blocks * job->lanes <= SLICE_SIDE && job->out_side <= SLICE_SIDE;
    const int64_t bytes = is_sliced ? SLICE_BYTES : TILES_BYTES;
    const int64_t most = fc_max(1, fc_min(TILES_MOST, bytes / of_tile));
    const int64_t pixel = fc_max(job->input.terms.pixel, job->lanes) * job->element;
    const int64_t tile = job->shape->tile;
    const int64_t slab = fc_min(SLAB_BYTES, most * tile * tile * pixel);
    job->strips = fc_strips_of(job->shape, &job->input.mosaic, most, slab, pixel);
    const int64_t strips = fc_max(1, most / (job->strips.rows * job->strips.columns));
    job->strips_of_block = fc_ceil_div(job->strips.strips, fc_ceil_div(job->strips.strips, strips));
    job->slices = is_sliced ? fc_min(SLICES, blocks_of(job)) : 1;
}

static int64_t rectangles_of(const weight_job* job) {
    return fc_ceil_div(job->in_channels, job->in_side) *
           fc_ceil_div(job->out_channels, job->out_side);
}

/* Smaller rectangles until the threads share them evenly. The longer side is cut: the shorter is
 * the one that is transformed again. */
static void share_among_threads(weight_job* job, int64_t threads) {
    for (int64_t cuts = 2; cuts <= 2 * threads; cuts++) {
        const int64_t tasks = rectangles_of(job) * job->slices;
        if (tasks % threads == 0 || tasks >= 4 * threads) return;
        const fc_winograd_terms* terms = &job->input.terms;
        if (!terms->folded && terms->blocks * job->lanes > job->out_side)
            job->in_side = share(job->in_channels, terms->run, fc_ceil_div(job->in_side, 2));
        else
            job->out_side = share(job->out_channels, 2 * job->lanes, fc_ceil_div(job->out_side, 2));
        set_rectangle(job, 0, 0);
    }
}

static double work_of(const weight_job* job) {
    return (double)fc_mosaic_points(&job->input.mosaic, job->shape) *
           (double)(job->in_channels * job->input.terms.phases) * (double)job->out_channels;
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
    job.input.transforms = &job.kernels->winograd_input[shape->member];
    job.input.tile = job.lanes;
    job.grad_output.transforms = &job.kernels->winograd_grad_output[shape->member];
    job.grad_output.tile = 2 * job.lanes;
    plan_sides(&job, conv);
    job.input.mosaic = job.grad_output.mosaic = fc_mosaic_of(conv, shape, 0, 0);
    job.has_few_tiles = fc_mosaic_tiles(&job.input.mosaic, shape) <= FEW_TILES;
    plan_blocks(&job);
    share_among_threads(&job, fc_threads_for(work_of(&job)));
    job.sums_stride = fc_ceil_div(job.out_channels, job.lanes) * job.in_channels * taps_of(&job) *
                      job.lanes * job.element;
    return job;
}

static void start_block(weight_job* job, int64_t block) {
    job->first_strip = block * job->strips_of_block;
    job->end_strip = fc_min(job->first_strip + job->strips_of_block, job->strips.strips);
    job->first_tile = fc_strip_at(&job->strips, job->first_strip).before[0];
    job->tiles = fc_strip_at(&job->strips, job->end_strip).before[0] - job->first_tile;
    job->input.block = job->tiles * job->lanes;
    job->input.plane = job->input.terms.blocks * job->input.block + WINOGRAD_PAD;
    job->grad_output.plane = out_panels(job) * job->tiles * 2 * job->lanes + WINOGRAD_PAD;
    job->d = job->v + fc_winograd_points(job->shape) * job->input.plane * job->element;
}

/* index is a slice of the blocks and a rectangle. */
static fc_status run_rectangle(void* context, int64_t index) {
    weight_job job = *(const weight_job*)context;
    const int64_t slice = index % job.slices, rectangle = index / job.slices;
    const int64_t across = fc_ceil_div(job.in_channels, job.in_side);
    const int64_t points = points_bytes(&job), blocks = blocks_of(&job);
    char* memory = fc_workspace(FC_SLOT_TASK, (size_t)(points + step_bytes(&job)));
    if (!memory) return FC_ERROR_MEMORY;
    char* scratch = memory + points;
    job.v = memory;
    job.sums += slice * job.sums_stride;
    set_rectangle(&job, rectangle % across * job.in_side, rectangle / across * job.out_side);
    const int64_t first = slice * blocks / job.slices, end = (slice + 1) * blocks / job.slices;
    for (int64_t block = first; block < end; block++) {
        start_block(&job, block);
        job.first_block = block == first;
        for (int64_t i = 0; i < transforms_of(&job); i++) transform_strip(&job, i, scratch);
        for (int64_t i = 0; i < products_of(&job); i++) multiply_panel(&job, i, scratch);
    }
    return FC_OK;
}

static fc_status run_group(weight_job job) {
    fc_status status =
        fc_parallel_for(rectangles_of(&job) * job.slices, work_of(&job), run_rectangle, &job);
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
    const fc_winograd_shape* shape = fc_winograd_shape_of(conv, 2);
    if (!shape || !fc_groups_fit_blocks(conv, dtype)) return FC_ERROR_ARGUMENT;
    weight_job job = plan_job(shape, conv, dtype);
    job.input.image.data = (char*)input;
    job.grad_output.image.data = (char*)grad_output;
    job.sums = fc_workspace(FC_SLOT_WEIGHTS, (size_t)(job.slices * job.sums_stride));
    fc_status status = job.sums ? FC_OK : FC_ERROR_MEMORY;
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
    const fc_winograd_shape* shape = fc_winograd_shape_of(conv, 2);
    if (!shape) return 0;
    const weight_job job = plan_job(shape, conv, dtype);
    return step_bytes(&job) + points_bytes(&job);
}
