/* Winograd convolutions: forward and the gradient of the input.
 *
 * Blocks of tiles go through two steps:
 *   1. strips of tiles x blocks of channels: pack the pixels, transform; V[point][vector of
 *      terms][tile]
 *   2. panels of results x parts of the tiles: per point a matrix product of V with the transformed
 *      weights, chunk by chunk of terms; then the inverse transform, bias, activation, unpack.
 * Where the transformed weights fit the L2 cache beside V, a thread takes a block through both
 * steps alone, and V never leaves its cache. Else V is shared by all threads, so that each panel of
 * weights is read for many tiles. Large weights are transformed within step 2, one panel and chunk
 * at a time, rather than written to memory; small or prepacked ones are read. A tile's sums are
 * ordered by the terms alone, so no split changes a result. */
#include "conv_winograd.h"

enum {
    SLAB_BYTES = 12 << 10,    /* pixels that a strip packs, times the outputs of a tile */
    TILES_BYTES = 5 << 19,    /* of V, a thread, where it is shared */
    OWN_BYTES = 3 << 19,      /* and where it is not */
    WEIGHTS_OWN = 5 << 19,    /* transformed weights beside it */
    OWN_TASKS = 4,            /* blocks of a thread, at least */
    WEIGHTS_SHARED = 5 << 19, /* transformed weights up to here are made once and shared */
    WEIGHTS_USES = 6,         /* and larger ones if so many blocks of tiles would transform them */
    WEIGHTS_LARGEST = 16 << 20, /* but never more than this */
    TILES_OF_PANEL = 96,        /* of a task of step 2 that transforms its weights on the way */
    TILES_OF_PART = 128,        /* and of any other */
};

typedef struct {
    fc_winograd w;
    fc_strips strips;
    int64_t units;           /* of a strip */
    int64_t strips_of_block; /* strips whose tiles V holds */
    int64_t tiles_most;      /* tiles of such a block, at most */
    int on_the_way;          /* weights are transformed in step 2 */
    int is_private;          /* a thread takes a block alone */
    int64_t group;           /* panels of a task of step 2: those of whole blocks of channels */
    char* weights;           /* transformed, unless on the way */
    int64_t first_strip, end_strip, first_tile, tiles; /* the current block */
    int64_t part_strips, parts;                        /* of the block */
    fc_tiler tiler;
    char* points; /* V */
} winograd_job;

/* Strips of a block whose products a task forms. Its tiles lie together in V, in their order. */
typedef struct {
    int64_t first, end; /* strips */
    fc_strip begin;     /* the first one */
    int64_t tile;       /* of the part's first among the block's */
    fc_tile_order order;
} block_part;

static block_part part_at(const winograd_job* job, int64_t number) {
    block_part part = {.first = job->first_strip + number * job->part_strips};
    part.end = fc_min(part.first + job->part_strips, job->end_strip);
    part.begin = fc_strip_at(&job->strips, part.first);
    const fc_strip end = fc_strip_at(&job->strips, part.end);
    int64_t tiles[FC_TILE_KINDS];
    for (int kind = 0; kind < FC_TILE_KINDS; kind++)
        tiles[kind] = end.before[kind] - part.begin.before[kind];
    part.order = fc_tile_order_of(tiles);
    part.tile = fc_strip_tiles_before(&part.begin) - job->first_tile;
    return part;
}

/* Where the tiles of a strip begin in a part's order. */
static void first_tiles(const block_part* part, const fc_strip* strip,
                        int64_t first[FC_TILE_KINDS]) {
    for (int kind = 0; kind < FC_TILE_KINDS; kind++)
        first[kind] = part->order.first[kind] + strip->before[kind] - part->begin.before[kind];
}

/* Step 1 of a strip and a unit of its channels. */
static void transform_strip(const winograd_job* job, const block_part* part, const fc_strip* strip,
                            int64_t unit, char* slab) {
    int64_t first[FC_TILE_KINDS];
    first_tiles(part, strip, first);
    fc_tile_strip(&job->tiler, strip, first, job->w.source_channel, unit, slab,
                  job->points + part->tile * job->tiler.tile * job->w.element);
}

/* Scratch of a task of step 2. */
typedef struct {
    char *sums, *weights, *filters, *slab, *run;
    int64_t plane; /* elements of sums from one point to the next */
    size_t panel_bytes, bytes;
} product_scratch;

static product_scratch layout_products(const winograd_job* job, int64_t tiles, char* memory) {
    const fc_winograd* w = &job->w;
    const int64_t vector = w->lanes * w->element;
    product_scratch s = {.plane = tiles * 2 * w->lanes + WINOGRAD_PAD};
    s.panel_bytes = fc_align((size_t)(fc_winograd_points(w->shape) * s.plane * w->element));
    size_t at = s.panel_bytes * (size_t)job->group;
    s.sums = memory;
    s.weights = memory + at;
    if (job->on_the_way) at += (size_t)(job->group * fc_winograd_panel_bytes(w));
    s.filters = memory + at;
    if (job->on_the_way) at += fc_align((size_t)fc_winograd_filter_bytes(w));
    s.slab = memory + at;
    const int64_t tile = w->shape->tile, of_strip = job->strips.rows * job->strips.columns;
    at += (size_t)((of_strip * tile + 1) * tile * w->phases * vector);
    s.run = memory + at;
    if (fc_mosaic_is_joined(&w->mosaic))
        at += (size_t)(fc_min(of_strip * tile * tile, w->mosaic.image[0] * w->mosaic.image[1]) *
                       vector);
    s.bytes = fc_align(at);
    return s;
}

static int64_t transforms_of(const winograd_job* job) {
    return (job->end_strip - job->first_strip) * job->units;
}

static int64_t products_of(const winograd_job* job) {
    return fc_ceil_div(fc_winograd_panels(&job->w), job->group) * job->parts;
}

/* Step 2 of a part of the block and the group of panels that begins with `panel`. */
static void multiply_part(const winograd_job* job, const block_part* part, int64_t panel,
                          char* memory) {
    const fc_winograd* w = &job->w;
    const product_scratch s = layout_products(job, part->order.tiles, memory);
    const int64_t panels = fc_min(job->group, fc_winograd_panels(w) - panel);
    const fc_winograd_products products = {
        .points = job->points + part->tile * job->tiler.tile * w->element,
        .point = job->tiler.plane,
        .vector = job->tiler.block,
        .order = part->order,
        .weights = job->on_the_way ? NULL : job->weights,
        .made = s.weights,
        .filters = s.filters,
        .sums = s.sums,
        .plane = s.plane,
        .panel_bytes = (int64_t)s.panel_bytes,
    };
    fc_winograd_multiply(w, &products, panel, panels);
    const int64_t vectors = 2 * (panels - 1) + fc_winograd_panel_vectors(w, panel + panels - 1);
    fc_winograd_sums sums = {.sums = s.sums,
                             .plane = s.plane,
                             .panel_bytes = (int64_t)s.panel_bytes,
                             .slab = s.slab,
                             .run = s.run};
    for (int64_t i = part->first; i < part->end; i++) {
        const fc_strip strip = fc_strip_at(&job->strips, i);
        first_tiles(part, &strip, sums.first);
        for (int64_t unit = 0; unit * fc_winograd_unit_vectors(w) < vectors; unit++)
            fc_winograd_store_strip(w, &sums, &strip, panel, unit);
    }
}

/* Scratch of either step, for the longest part. */
static size_t task_bytes(const winograd_job* job) {
    const int64_t tiles =
        fc_min(job->part_strips * job->strips.rows * job->strips.columns, job->tiles_most);
    return (size_t)fc_max(fc_tiler_slab_bytes(&job->tiler, &job->strips),
                          (int64_t)layout_products(job, tiles, NULL).bytes);
}

/* index is a strip of the block and a unit of its channels. */
static fc_status transform_task(void* context, int64_t index) {
    const winograd_job* job = context;
    char* slab = fc_workspace(FC_SLOT_TASK, task_bytes(job));
    if (!slab) return FC_ERROR_MEMORY;
    const int64_t number = index / job->units;
    const block_part part = part_at(job, number / job->part_strips);
    const fc_strip strip = fc_strip_at(&job->strips, job->first_strip + number);
    transform_strip(job, &part, &strip, index % job->units, slab);
    return FC_OK;
}

/* index is a group of panels and a part of the block. */
static fc_status multiply_task(void* context, int64_t index) {
    const winograd_job* job = context;
    char* memory = fc_workspace(FC_SLOT_TASK, task_bytes(job));
    if (!memory) return FC_ERROR_MEMORY;
    const block_part part = part_at(job, index % job->parts);
    multiply_part(job, &part, index / job->parts * job->group, memory);
    return FC_OK;
}

static fc_status pack_weights(void* context, int64_t index) {
    winograd_job* job = context;
    const fc_winograd* w = &job->w;
    char* filters = fc_workspace(FC_SLOT_TASK, (size_t)fc_winograd_filter_bytes(w));
    if (!filters) return FC_ERROR_MEMORY;
    const int64_t chunks = fc_winograd_chunks(w);
    fc_winograd_pack_panel(w, index / chunks, index % chunks, filters,
                           job->weights + index * fc_winograd_panel_bytes(w));
    return FC_OK;
}

static void set_weight(fc_winograd* w, const fc_conv2d* conv, int64_t group, const void* weight) {
    const int64_t filters = w->terms.channels * w->results * w->kernel[0] * w->kernel[1];
    w->weight = (const char*)weight + group * filters * w->element;
    w->weight_room = (conv->groups - group) * filters;
}

static double terms_of(const fc_winograd* w) {
    return (double)(w->terms.blocks * w->terms.block);
}

static double work_of(const fc_winograd* w, int64_t tiles) {
    return (double)(tiles * w->results * w->phases) * fc_winograd_points(w->shape) * terms_of(w);
}

static winograd_job plan_job(const fc_winograd* w, const char* packed, int threads) {
    winograd_job job = {.w = *w,
                        .units = fc_tiler_units(&w->terms),
                        .weights = (char*)packed,
                        .tiler = {.image = w->source,
                                  .mosaic = w->mosaic,
                                  .terms = w->terms,
                                  .padding = {w->padding[0], w->padding[1]},
                                  .reach = w->shape->reach,
                                  .points = fc_winograd_phases_of(w->shape, w->kernel,
                                                                  w->terms.stride, w->terms.folded),
                                  .mirrored = w->mirrored,
                                  .transforms = &w->kernels->winograd_input[w->shape->member],
                                  .tile = w->lanes}};
    const int64_t vector = w->lanes * w->element;
    const int64_t panels = fc_winograd_panels(w), all_panels = fc_winograd_packed_bytes(w);
    const int64_t tile_bytes = fc_winograd_points(w->shape) * w->terms.blocks * vector;
    const int64_t tiles = fc_mosaic_tiles(&w->mosaic, w->shape);
    job.is_private = all_panels <= WEIGHTS_OWN;
    int64_t most = fc_max(1, (job.is_private ? OWN_BYTES : TILES_BYTES) / tile_bytes);
    if (job.is_private) most = fc_min(most, fc_ceil_div(tiles, OWN_TASKS * threads));
    /* a strip holds no more tiles than a thread's share of V; with long rows of joined images it is
     * worth a larger slab that fewer pixels are in two of them */
    const int64_t pixel = fc_max(w->terms.pixel, w->phases * w->lanes) * w->element;
    int64_t slab = fc_min(SLAB_BYTES, most * pixel) * w->shape->tile * w->shape->tile;
    if (fc_mosaic_is_joined(&w->mosaic)) slab += slab / 2;
    job.strips = fc_strips_of(w->shape, &w->mosaic, most, slab, pixel);
    if (!job.is_private) most *= threads;
    const int64_t uses = fc_ceil_div(tiles, most);
    const int on_the_way = !packed && all_panels > WEIGHTS_SHARED &&
                           (uses < WEIGHTS_USES || all_panels > WEIGHTS_LARGEST);
    job.on_the_way = on_the_way;
    /* where weights are made beside the sums, two panels of either would fill the cache */
    job.group = !on_the_way && panels >= 4 * threads ? 2 : 1;
    if (w->phases > 1) job.group = fc_winograd_block_panels(w);
    const int64_t pairs = fc_ceil_div(job.group, 2); /* more panels a task: fewer tiles */
    if (on_the_way) most = fc_min(most, TILES_OF_PANEL / pairs);
    const int64_t of_strip = job.strips.rows * job.strips.columns;
    const int64_t strips = fc_max(1, most / of_strip);
    job.strips_of_block = fc_ceil_div(job.strips.strips, fc_ceil_div(job.strips.strips, strips));
    job.tiles_most = job.strips_of_block * of_strip;
    job.part_strips = job.strips_of_block;
    if (!on_the_way) job.part_strips = fc_max(1, TILES_OF_PART / pairs / of_strip);
    return job;
}

static void start_block(winograd_job* job, int64_t block) {
    job->first_strip = block * job->strips_of_block;
    job->end_strip = fc_min(job->first_strip + job->strips_of_block, job->strips.strips);
    const fc_strip first = fc_strip_at(&job->strips, job->first_strip);
    const fc_strip end = fc_strip_at(&job->strips, job->end_strip);
    job->first_tile = fc_strip_tiles_before(&first);
    job->tiles = fc_strip_tiles_before(&end) - job->first_tile;
    job->parts = fc_ceil_div(job->end_strip - job->first_strip, job->part_strips);
    job->tiler.block = job->tiles * job->tiler.tile;
    job->tiler.plane = job->w.terms.blocks * job->tiler.block + WINOGRAD_PAD;
}

static int64_t points_bytes(const winograd_job* job) {
    const fc_winograd* w = &job->w;
    return fc_winograd_points(w->shape) *
           (w->terms.blocks * job->tiles_most * w->lanes + WINOGRAD_PAD) * w->element;
}

/* Both steps of a block. */
static fc_status run_own_block(void* context, int64_t block) {
    winograd_job job = *(const winograd_job*)context;
    const size_t points = fc_align((size_t)points_bytes(&job));
    job.points = fc_workspace(FC_SLOT_TASK, points + task_bytes(&job));
    if (!job.points) return FC_ERROR_MEMORY;
    start_block(&job, block);
    char* scratch = job.points + points;
    for (int64_t i = 0; i < job.parts; i++) {
        const block_part part = part_at(&job, i);
        for (int64_t number = part.first; number < part.end; number++) {
            const fc_strip strip = fc_strip_at(&job.strips, number);
            for (int64_t unit = 0; unit < job.units; unit++)
                transform_strip(&job, &part, &strip, unit, scratch);
        }
        for (int64_t panel = 0; panel < fc_winograd_panels(&job.w); panel += job.group)
            multiply_part(&job, &part, panel, scratch);
    }
    return FC_OK;
}

static fc_status run_shared_blocks(winograd_job* job, int64_t blocks) {
    const fc_winograd* w = &job->w;
    job->points = fc_workspace(FC_SLOT_SHARED, (size_t)points_bytes(job));
    if (!job->points) return FC_ERROR_MEMORY;
    fc_status status = FC_OK;
    for (int64_t i = 0; i < blocks && status == FC_OK; i++) {
        start_block(job, i);
        const double elements = (double)job->tiles * terms_of(w) * fc_winograd_points(w->shape);
        status = fc_parallel_for(transforms_of(job), elements * WINOGRAD_MOVE, transform_task, job);
        if (status == FC_OK)
            status = fc_parallel_for(products_of(job), work_of(w, job->tiles), multiply_task, job);
    }
    return status;
}

static fc_status run(const fc_winograd* w, const char* packed) {
    const double work = work_of(w, fc_mosaic_tiles(&w->mosaic, w->shape));
    winograd_job job = plan_job(w, packed, fc_threads_for(work));
    if (!packed && !job.on_the_way) {
        const int64_t bytes = fc_winograd_packed_bytes(w);
        job.weights = fc_workspace(FC_SLOT_WEIGHTS, (size_t)bytes);
        if (!job.weights) return FC_ERROR_MEMORY;
        const int64_t panels = fc_winograd_panels(w) * fc_winograd_chunks(w);
        const fc_status status = fc_parallel_for(
            panels, (double)bytes / (double)w->element * WINOGRAD_MOVE, pack_weights, &job);
        if (status != FC_OK) return status;
    }
    const int64_t blocks = fc_ceil_div(job.strips.strips, job.strips_of_block);
    if (job.is_private) return fc_parallel_for(blocks, work, run_own_block, &job);
    return run_shared_blocks(&job, blocks);
}

static fc_status run_groups(const fc_conv2d* conv, fc_winograd w, const fc_conv2d_weight* weight,
                            const void* bias) {
    if (!w.shape) return FC_ERROR_ARGUMENT;
    fc_status status = fc_mosaic_check(&w.mosaic, &w.source);
    for (int64_t group = 0; group < conv->groups && status == FC_OK; group++) {
        w.source_channel = group * w.terms.channels;
        w.target_channel = group * w.results;
        w.bias = bias ? (const char*)bias + w.target_channel * w.element : NULL;
        const char* packed = weight->packed;
        if (packed)
            packed += group * fc_winograd_packed_bytes(&w);
        else
            set_weight(&w, conv, group, weight->weight);
        status = run(&w, packed);
    }
    fc_workspace_trim();
    return status;
}

fc_status fc_conv2d_winograd_forward(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                     const fc_conv2d_weight* weight, const void* bias, int relu,
                                     void* output) {
    fc_winograd w = fc_winograd_of(conv, dtype, 0);
    w.source.data = (char*)input;
    w.target.data = output;
    w.relu = relu;
    return run_groups(conv, w, weight, bias);
}

fc_status fc_conv2d_winograd_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                        const void* grad_output, const fc_conv2d_weight* weight,
                                        void* grad_input) {
    fc_winograd w = fc_winograd_of(conv, dtype, 1);
    w.source.data = (char*)grad_output;
    w.target.data = grad_input;
    return run_groups(conv, w, weight, NULL);
}

int64_t fc_conv2d_winograd_packed_size(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    const fc_winograd w = fc_winograd_of(conv, dtype, pass);
    return w.shape ? conv->groups * fc_winograd_packed_bytes(&w) : 0;
}

fc_status fc_conv2d_winograd_pack_weight(const fc_conv2d* conv, fc_dtype dtype, int pass,
                                         const void* weight, void* packed) {
    const fc_winograd w = fc_winograd_of(conv, dtype, pass);
    if (!w.shape) return FC_ERROR_ARGUMENT;
    fc_status status = FC_OK;
    for (int64_t group = 0; group < conv->groups && status == FC_OK; group++) {
        winograd_job job = {.w = w};
        set_weight(&job.w, conv, group, weight);
        const int64_t bytes = fc_winograd_packed_bytes(&job.w);
        job.weights = (char*)packed + group * bytes;
        status = fc_parallel_for(fc_winograd_panels(&job.w) * fc_winograd_chunks(&job.w),
                                 (double)bytes / (double)job.w.element * WINOGRAD_MOVE,
                                 pack_weights, &job);
    }
    fc_workspace_trim();
    return status;
}

int64_t fc_conv2d_winograd_workspace(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    if (pass == 2) return fc_winograd_grad_weight_workspace(conv, dtype);
    const fc_winograd w = fc_winograd_of(conv, dtype, pass);
    if (!w.shape) return 0;
    const int threads = fc_get_num_threads();
    const winograd_job job = plan_job(&w, NULL, threads);
    return (int64_t)task_bytes(&job) + points_bytes(&job) / (job.is_private ? 1 : threads);
}
