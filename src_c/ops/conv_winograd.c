/* Winograd convolutions of stride 1: forward and the gradient of the input.
 *
 * Blocks of tiles go through two parallel steps:
 *   1. strips of tiles x channel blocks: pack the pixels, transform; V[point][channel block][tile]
 *   2. panels of results x parts of the tiles: per point a matrix product of V with the transformed
 *      weights, chunk by chunk of channels; then the inverse transform, bias, activation, unpack.
 * V is shared by all threads and stays in their L2 caches. Large weights are transformed within
 * step 2, one panel and chunk at a time, rather than written to memory; small or prepacked ones are
 * read. A tile's sums are ordered by the channels alone, so no split changes a result. */
#include "conv_winograd.h"

enum {
    SLAB_BYTES = 12 << 10,    /* pixels that a strip packs, times the outputs of a tile */
    TILES_BYTES = 5 << 19,    /* of V, a thread */
    WEIGHTS_SHARED = 5 << 19, /* transformed weights up to here are made once and shared */
    WEIGHTS_USES = 6,         /* and larger ones if so many blocks of tiles would transform them */
    WEIGHTS_LARGEST = 16 << 20, /* but never more than this */
    TILES_OF_PANEL = 96,        /* of a block whose weights are transformed on the way */
    TILES_OF_PART = 64,         /* of a task of step 2 else */
};

typedef struct {
    fc_winograd w;
    fc_strips strips;
    int64_t blocks;                                    /* channel blocks of the source */
    int64_t strips_of_block;                           /* strips whose tiles V holds */
    int64_t tiles_most;                                /* tiles of such a block, at most */
    int on_the_way;                                    /* weights are transformed in step 2 */
    int64_t group;                                     /* panels of a task of step 2 */
    char* weights;                                     /* transformed, unless on the way */
    int64_t first_strip, end_strip, first_tile, tiles; /* the current block */
    int64_t part_strips, parts;                        /* of the block */
    fc_tiler tiler;
    char* points; /* V */
} winograd_job;

static fc_status transform_tiles(void* context, int64_t index) {
    const winograd_job* job = context;
    const fc_winograd* w = &job->w;
    const int64_t vector = w->lanes * w->element;
    char* slab = fc_workspace(FC_SLOT_TASK, (size_t)fc_winograd_slab_bytes(&job->strips, vector));
    if (!slab) return FC_ERROR_MEMORY;
    const int64_t block = index % job->blocks, strip_index = job->first_strip + index / job->blocks;
    const fc_strip strip = fc_strip_at(&job->strips, strip_index);
    const int64_t tile = fc_tiles_before(&job->strips, strip_index) - job->first_tile;
    const int64_t channel = block * w->lanes;
    fc_tile_strip(&job->tiler, &strip, w->source_channel + channel,
                  fc_min(w->lanes, w->depth - channel), slab,
                  job->points + (block * job->tiles + tile) * vector);
    return FC_OK;
}

/* Scratch of a task of step 2. */
typedef struct {
    char *sums, *weights, *filters, *slab;
    int64_t plane; /* elements of sums from one point to the next */
    size_t panel_bytes, bytes;
} product_scratch;

static product_scratch layout_products(const winograd_job* job, int64_t tiles, char* memory) {
    const fc_winograd* w = &job->w;
    const int64_t vector = w->lanes * w->element;
    product_scratch s = {.plane = tiles * 2 * w->lanes + WINOGRAD_PAD};
    s.panel_bytes = fc_align((size_t)(WINOGRAD_POINTS * s.plane * w->element));
    size_t at = s.panel_bytes * (size_t)job->group;
    s.sums = memory;
    s.weights = memory + at;
    if (job->on_the_way) at += (size_t)(job->group * fc_winograd_panel_bytes(w));
    s.filters = memory + at;
    if (job->on_the_way) at += fc_align((size_t)fc_winograd_filter_bytes(w));
    s.slab = memory + at;
    const int64_t tile = w->shape->tile;
    at += (size_t)((job->strips.rows * job->strips.columns * tile + 1) * tile * vector);
    s.bytes = fc_align(at);
    return s;
}

/* sums[panel][point][tile] of tiles [first, first + tiles) of V. */
static void multiply(const winograd_job* job, const product_scratch* s, int64_t panel,
                     int64_t panels, int64_t first, int64_t tiles) {
    const fc_winograd* w = &job->w;
    const int64_t lanes = w->lanes, depth = fc_winograd_chunk_depth(w);
    const int64_t chunks = fc_winograd_chunks(w), panel_bytes = fc_winograd_panel_bytes(w);
    int64_t segment[64];
    for (int64_t i = 0; i < depth / lanes; i++) segment[i] = i * job->tiles * lanes;
    fc_gemm_panel gemm = {.a_row = lanes,
                          .a_depth = 1,
                          .depth = lanes,
                          .a_segment = segment,
                          .b_depth = 2 * lanes,
                          .b_vector = lanes,
                          .c_row = 2 * lanes,
                          .c_vector = lanes};
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        gemm.accumulate = chunk > 0;
        gemm.segments = fc_min(depth / lanes, job->blocks - chunk * fc_winograd_chunk(w) / lanes);
        const char* weights = s->weights;
        for (int64_t i = 0; i < panels && job->on_the_way; i++)
            fc_winograd_pack_panel(w, panel + i, chunk, s->filters, s->weights + i * panel_bytes);
        for (int64_t point = 0; point < WINOGRAD_POINTS; point++) {
            const int64_t at = point * job->tiler.plane +
                               (chunk * fc_winograd_chunk(w) / lanes * job->tiles + first) * lanes;
            for (int64_t i = 0; i < panels; i++) {
                if (!job->on_the_way)
                    weights = job->weights + ((panel + i) * chunks + chunk) * panel_bytes;
                else
                    weights = s->weights + i * panel_bytes;
                w->kernels->gemm_by_rows(&gemm, tiles, fc_winograd_panel_vectors(w, panel + i),
                                         job->points + at * w->element,
                                         weights + point * fc_winograd_panel_plane(w) * w->element,
                                         s->sums + i * (int64_t)s->panel_bytes +
                                             point * s->plane * w->element);
            }
        }
    }
}

/* One strip and one vector of results: inverse transform into the slab, unpack. Tiles are taken
 * from right to left, so that what the last one writes past its row's end is overwritten by its
 * owner. */
static void store_strip(const winograd_job* job, const product_scratch* s, const fc_strip* strip,
                        int64_t result, const char* sums) {
    const fc_winograd* w = &job->w;
    const int64_t lanes = w->lanes, vector = lanes * w->element;
    const int64_t tile = w->shape->tile;
    const int64_t row = strip->row * tile, column = strip->column * tile;
    const int64_t width = fc_min(strip->columns * tile, w->target.width - column);
    const fc_squares squares = {.items = strip->columns,
                                .in_item = -2 * lanes,
                                .in_row = 6 * s->plane,
                                .in_column = s->plane,
                                .out_item = -tile * lanes,
                                .out_row = width * lanes,
                                .out_column = lanes};
    for (int64_t i = 0; i < strip->rows; i++) {
        const int64_t last = strip->columns - 1;
        w->kernels->winograd_output[w->shape->member](
            &squares, sums + (i * strip->columns + last) * 2 * vector,
            s->slab + (i * tile * width + last * tile) * vector);
    }
    const fc_block block = {.image = strip->image,
                            .channel = w->target_channel + result,
                            .channels = fc_min(lanes, w->results - result),
                            .row = row,
                            .column = column,
                            .rows = fc_min(strip->rows * tile, w->target.height - row),
                            .columns = width,
                            .pitch = width};
    fc_unpack_block(&w->target, &block, w->bias ? w->bias + result * w->element : NULL, w->relu,
                    s->slab);
}

static fc_status multiply_tiles(void* context, int64_t index) {
    const winograd_job* job = context;
    const fc_winograd* w = &job->w;
    const int64_t part = index % job->parts, panel = index / job->parts * job->group;
    const int64_t first = job->first_strip + part * job->part_strips;
    const int64_t end = fc_min(first + job->part_strips, job->end_strip);
    const int64_t begin = fc_tiles_before(&job->strips, first);
    const int64_t tiles = fc_tiles_before(&job->strips, end) - begin;
    char* memory = fc_workspace(FC_SLOT_TASK, layout_products(job, tiles, NULL).bytes);
    if (!memory) return FC_ERROR_MEMORY;
    const product_scratch s = layout_products(job, tiles, memory);
    const int64_t panels = fc_min(job->group, fc_winograd_panels(w) - panel);
    multiply(job, &s, panel, panels, begin - job->first_tile, tiles);
    for (int64_t i = 0; i < panels; i++)
        for (int n = 0; n < fc_winograd_panel_vectors(w, panel + i); n++)
            for (int64_t strip = first; strip < end; strip++) {
                const int64_t tile = fc_tiles_before(&job->strips, strip) - begin;
                const fc_strip at = fc_strip_at(&job->strips, strip);
                store_strip(job, &s, &at, (2 * (panel + i) + n) * w->lanes,
                            s.sums + i * (int64_t)s.panel_bytes +
                                (tile * 2 + n) * w->lanes * w->element);
            }
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

static int64_t packed_bytes(const fc_winograd* w) {
    return fc_winograd_panels(w) * fc_winograd_chunks(w) * fc_winograd_panel_bytes(w);
}

static void set_weight(fc_winograd* w, const fc_conv2d* conv, int64_t group, const void* weight) {
    const int64_t filters = w->depth * w->results * w->shape->taps;
    w->weight = (const char*)weight + group * filters * w->element;
    w->weight_room = (conv->groups - group) * filters;
}

static int64_t tiles_of(const fc_winograd* w) {
    const int64_t tile = w->shape->tile;
    return w->target.batch * fc_ceil_div(w->target.height, tile) *
           fc_ceil_div(w->target.width, tile);
}

static double work_of(const fc_winograd* w, int64_t tiles) {
    return (double)tiles * WINOGRAD_POINTS * (double)w->depth * (double)w->results;
}

static winograd_job plan_job(const fc_winograd* w, const char* packed, int threads) {
    winograd_job job = {.w = *w,
                        .weights = (char*)packed,
                        .tiler = {.image = w->source,
                                  .padding = {w->padding[0], w->padding[1]},
                                  .reach = w->shape->reach,
                                  .transform = w->kernels->winograd_input,
                                  .tile = w->lanes}};
    const int64_t vector = w->lanes * w->element;
    const int64_t size[2] = {w->target.height, w->target.width};
    job.blocks = fc_ceil_div(w->depth, w->lanes);
    const int64_t tile_bytes = WINOGRAD_POINTS * job.blocks * vector;
    int64_t most = fc_max(1, TILES_BYTES / tile_bytes);
    /* a strip holds no more tiles than a thread's share of V */
    const int64_t slab = fc_min(SLAB_BYTES, most * vector) * w->shape->tile * w->shape->tile;
    job.strips = fc_strips_of(w->shape, w->target.batch, size, slab, vector);
    most *= threads;
    const int64_t panels = fc_winograd_panels(w);
    const int64_t all_panels = packed_bytes(w);
    const int64_t uses = fc_ceil_div(tiles_of(w), most);
    const int on_the_way = !packed && all_panels > WEIGHTS_SHARED &&
                           (uses < WEIGHTS_USES || all_panels > WEIGHTS_LARGEST);
    job.on_the_way = on_the_way;
    if (on_the_way) most = fc_min(most, TILES_OF_PANEL);
    const int64_t of_strip = job.strips.rows * job.strips.columns;
    const int64_t strips = fc_max(1, most / of_strip);
    job.strips_of_block = fc_ceil_div(job.strips.strips, fc_ceil_div(job.strips.strips, strips));
    job.tiles_most = job.strips_of_block * of_strip;
    job.group = 1;
    if (panels >= 4 * threads) job.group = 2;
    job.part_strips = job.strips_of_block;
    if (!on_the_way) job.part_strips = fc_max(1, TILES_OF_PART / of_strip);
    return job;
}

static void start_block(winograd_job* job, int64_t block) {
    job->first_strip = block * job->strips_of_block;
    job->end_strip = fc_min(job->first_strip + job->strips_of_block, job->strips.strips);
    job->first_tile = fc_tiles_before(&job->strips, job->first_strip);
    job->tiles = fc_tiles_before(&job->strips, job->end_strip) - job->first_tile;
    job->parts = fc_ceil_div(job->end_strip - job->first_strip, job->part_strips);
    job->tiler.plane = job->blocks * job->tiles * job->w.lanes + WINOGRAD_PAD;
}

static int64_t points_bytes(const winograd_job* job) {
    return WINOGRAD_POINTS * (job->blocks * job->tiles_most * job->w.lanes + WINOGRAD_PAD) *
           job->w.element;
}

static fc_status run(const fc_winograd* w, const char* packed) {
    winograd_job job = plan_job(w, packed, fc_threads_for(work_of(w, tiles_of(w))));
    fc_status status = FC_OK;
    if (!packed && !job.on_the_way) {
        job.weights = fc_workspace(FC_SLOT_WEIGHTS, (size_t)packed_bytes(w));
        if (!job.weights) return FC_ERROR_MEMORY;
        const int64_t panels = fc_winograd_panels(w) * fc_winograd_chunks(w);
        status =
            fc_parallel_for(panels, (double)packed_bytes(w) / (double)w->element * WINOGRAD_MOVE,
                            pack_weights, &job);
    }
    job.points = fc_workspace(FC_SLOT_SHARED, (size_t)points_bytes(&job));
    if (!job.points) return FC_ERROR_MEMORY;
    const int64_t count = fc_ceil_div(job.strips.strips, job.strips_of_block);
    const int64_t groups = fc_ceil_div(fc_winograd_panels(w), job.group);
    for (int64_t i = 0; i < count && status == FC_OK; i++) {
        start_block(&job, i);
        const double elements = (double)(job.tiles * job.blocks * w->lanes) * WINOGRAD_POINTS;
        status = fc_parallel_for((job.end_strip - job.first_strip) * job.blocks,
                                 elements * WINOGRAD_MOVE, transform_tiles, &job);
        if (status == FC_OK)
            status =
                fc_parallel_for(groups * job.parts, work_of(w, job.tiles), multiply_tiles, &job);
    }
    return status;
}

/* One group's problem, without pointers into arrays but for the images'; only its shape, NULL, if
 * no member of the family can do it. */
static fc_winograd problem_of(const fc_conv2d* conv, fc_dtype dtype, int gradient) {
    const fc_winograd_shape* shape = fc_winograd_shape_of(conv);
    if (!shape || !fc_groups_fit_blocks(conv, dtype)) return (fc_winograd){.shape = NULL};
    const int64_t in = conv->in_channels / conv->groups, out = conv->out_channels / conv->groups;
    fc_winograd w = {
        .shape = shape,
        .dtype = dtype,
        .kernels = fc_kernels_for(dtype),
        .element = (int64_t)fc_dtype_size(dtype),
        .depth = gradient ? out : in,
        .results = gradient ? in : out,
        .result_stride = gradient ? shape->taps : in * shape->taps,
        .depth_stride = gradient ? in * shape->taps : shape->taps,
        .rotated = gradient,
    };
    w.lanes = w.kernels->lanes;
    for (int axis = 0; axis < 2; axis++)
        w.padding[axis] = gradient ? shape->reach - conv->padding[axis] : conv->padding[axis];
    w.source = w.target =
        fc_image_of(dtype, NULL, conv->batch, conv->in_channels, conv->in_size, conv->in_layout);
    const fc_image outputs =
        fc_image_of(dtype, NULL, conv->batch, conv->out_channels, conv->out_size, conv->out_layout);
    *(gradient ? &w.source : &w.target) = outputs;
    return w;
}

static fc_status run_groups(const fc_conv2d* conv, fc_winograd w, const fc_conv2d_weight* weight,
                            const void* bias) {
    if (!w.shape) return FC_ERROR_ARGUMENT;
    fc_status status = FC_OK;
    for (int64_t group = 0; group < conv->groups && status == FC_OK; group++) {
        w.source_channel = group * w.depth;
        w.target_channel = group * w.results;
        w.bias = bias ? (const char*)bias + w.target_channel * w.element : NULL;
        const char* packed = weight->packed;
        if (packed)
            packed += group * packed_bytes(&w);
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
    fc_winograd w = problem_of(conv, dtype, 0);
    w.source.data = (char*)input;
    w.target.data = output;
    w.relu = relu;
    return run_groups(conv, w, weight, bias);
}

fc_status fc_conv2d_winograd_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                        const void* grad_output, const fc_conv2d_weight* weight,
                                        void* grad_input) {
    fc_winograd w = problem_of(conv, dtype, 1);
    w.source.data = (char*)grad_output;
    w.target.data = grad_input;
    return run_groups(conv, w, weight, NULL);
}

int64_t fc_conv2d_winograd_packed_size(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    const fc_winograd w = problem_of(conv, dtype, pass);
    return w.shape ? conv->groups * packed_bytes(&w) : 0;
}

fc_status fc_conv2d_winograd_pack_weight(const fc_conv2d* conv, fc_dtype dtype, int pass,
                                         const void* weight, void* packed) {
    const fc_winograd w = problem_of(conv, dtype, pass);
    if (!w.shape) return FC_ERROR_ARGUMENT;
    fc_status status = FC_OK;
    for (int64_t group = 0; group < conv->groups && status == FC_OK; group++) {
        winograd_job job = {.w = w};
        set_weight(&job.w, conv, group, weight);
        const int64_t bytes = packed_bytes(&job.w);
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
    const fc_winograd w = problem_of(conv, dtype, pass);
    if (!w.shape) return 0;
    const int threads = fc_get_num_threads();
    const winograd_job job = plan_job(&w, NULL, threads);
    const int64_t tiles = fc_min(job.part_strips * job.strips.rows * job.strips.columns,
                                 job.strips.of_image * conv->batch);
    const int64_t slab = fc_winograd_slab_bytes(&job.strips, w.lanes * w.element);
    return fc_max(slab, (int64_t)layout_products(&job, tiles, NULL).bytes) +
           points_bytes(&job) / threads;
}
