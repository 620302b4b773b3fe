/* Forward convolution and the gradient of the input by implicit GEMM: see conv_implicit_gemm.h.
 *
 * A task packs the slab of its block (or finds it packed, where several tasks share it), then makes
 * one tile of results after the other: for each chunk of the reduction, whose weights stay in the
 * near cache, the products of every row of pixels. Sums of chunks are added up as a tree, in an
 * order that the geometry fixes. */
#include "conv_implicit_gemm.h"
#include <string.h>

typedef struct {
    const fc_implicit* problem;
    fc_implicit_plan plan;
    const int64_t* segment;
    const char *weight, *packed, *bias; /* packed: NULL where tasks do it */
    char* shared;
    int relu;
} implicit_job;

/* Bias and activation of sums that are where they belong, in NHWC images. */
static void finish_tile(const implicit_job* job, const fc_block* block, int64_t channels,
                        const fc_sums_place* sums) {
    const fc_implicit* p = job->problem;
    const int64_t element = p->element;
    const int is_run = block->columns == p->target.width;
    const fc_gemm_finish finish = {.rows = block->columns * (is_run ? block->rows : 1),
                                   .columns = channels,
                                   .tile_row = sums->col,
                                   .result_row = sums->col,
                                   .column_bias =
                                       job->bias ? job->bias + block->channel * element : NULL,
                                   .relu = job->relu};
    char* image = sums->data + block->image * sums->image * element;
    for (int64_t row = 0; row < (is_run ? 1 : block->rows); row++) {
        char* at = image + row * sums->row * element;
        p->kernels->gemm_finish(&finish, at, NULL, at);
    }
}

/* The same, vector by vector, for sums in scratch and in blocked images, which are unpacked in
 * place. */
static void unpack_tile(const implicit_job* job, const fc_implicit_block* b, fc_block block,
                        int64_t end, const fc_sums_place* sums) {
    const fc_implicit* p = job->problem;
    const int64_t lanes = p->kernels->lanes;
    const int needed = !job->plan.writes_target || job->bias || job->relu;
    for (int64_t v = 0; v < p->kernels->gemm_nv && block.channel < end; v++) {
        block.channels = fc_min(lanes, end - block.channel);
        const char* bias = job->bias ? job->bias + block.channel * p->element : NULL;
        for (int64_t i = 0; i < b->images && (needed || block.channels < lanes); i++) {
            block.image = b->image + i;
            fc_unpack_block(&p->target, &block, bias, job->relu,
                            sums->data + (v * sums->vector + i * sums->image) * p->element);
        }
        block.channel += lanes;
    }
}

static void store_tile(const implicit_job* job, const fc_implicit_block* b, int64_t tile,
                       const fc_sums_place* sums) {
    const fc_implicit* p = job->problem;
    const fc_implicit_plan* plan = &job->plan;
    const int64_t lanes = p->kernels->lanes, result = tile * p->kernels->gemm_nv * lanes;
    fc_block block = {.channel = b->group * p->results + result,
                      .row = b->row * p->rows.target_step,
                      .column = b->col * p->cols.target_step,
                      .pitch = plan->writes_target ? p->target.width : plan->out_cols};
    block.rows = fc_min(b->rows * p->rows.target_step, p->target.height - block.row);
    block.columns = fc_min(b->cols * p->cols.target_step, p->target.width - block.column);
    if (!plan->writes_target || p->target.layout == FC_BLOCKED) {
        unpack_tile(job, b, block, (b->group + 1) * p->results, sums);
        return;
    }
    const int64_t channels = fc_min(p->results - result, p->kernels->gemm_nv * lanes);
    for (; block.image < b->images && (job->bias || job->relu); block.image++)
        finish_tile(job, &block, channels, sums);
}

static fc_sums_place place_sums(const implicit_job* job, const fc_implicit_block* b, int64_t tile,
                                char* scratch) {
    const fc_implicit* p = job->problem;
    const fc_implicit_plan* plan = &job->plan;
    const fc_strides* s = &p->target.strides;
    const int64_t lanes = p->kernels->lanes, row = plan->out_cols * lanes;
    if (!plan->writes_target)
        return (fc_sums_place){.data = scratch,
                               .image = plan->out_rows * row,
                               .row = row,
                               .col = lanes,
                               .vector = plan->images * plan->out_rows * row};
    const int64_t channel = b->group * p->results + tile * p->kernels->gemm_nv * lanes;
    const int64_t at = fc_image_place(&p->target, b->image, channel, b->row * p->rows.target_step,
                                      b->col * p->cols.target_step);
    return (fc_sums_place){.data = p->target.data + at * p->element,
                           .image = s->batch_stride,
                           .row = s->row_stride,
                           .col = s->col_stride,
                           .vector = p->target.block_stride};
}

/* Where the pixels of the block's first channels are: in a slab, or in the user's memory. */
static char* place_source(const implicit_job* job, const fc_implicit_block* b, int64_t place,
                          char* scratch) {
    const fc_implicit* p = job->problem;
    if (job->plan.is_shared) return job->shared + place * (int64_t)job->plan.slab_bytes;
    if (!job->plan.reads_source) return scratch;
    const int64_t row = p->rows.low + b->row * p->rows.source_step;
    const int64_t col = p->cols.low + b->col * p->cols.source_step;
    return p->source.data +
           fc_image_place(&p->source, b->image, b->group * p->reduced, row, col) * p->element;
}

/* The weights of a tile: packed before, or now. */
static const char* weights_of(const implicit_job* job, int64_t index, char* room) {
    if (job->packed) return job->packed + fc_implicit_tile_start(job->problem, index);
    fc_implicit_pack_weight(job->problem, index, job->weight, room + job->plan.own_weight_bytes,
                            room);
    return room;
}

static fc_status run_block(void* context, int64_t index) {
    const implicit_job* job = context;
    const fc_implicit* p = job->problem;
    const fc_implicit_plan* plan = &job->plan;
    const size_t own = plan->is_shared ? 0 : plan->slab_bytes;
    const size_t room = job->packed ? 0 : plan->own_weight_bytes + fc_implicit_weight_scratch(p);
    char* scratch = fc_workspace(FC_SLOT_TASK, own + plan->sums_bytes + room);
    if (!scratch) return FC_ERROR_MEMORY;
    const int64_t part = index % plan->parts, place = index / plan->parts;
    const fc_implicit_block b = fc_implicit_locate(p, plan, place);
    char* slab = place_source(job, &b, place, scratch);
    const int is_packing = !plan->is_shared && !plan->reads_source;
    char* sums = scratch + own;
    const int64_t tile_bytes = plan->chunk < plan->full ? (int64_t)plan->tile_bytes : 0;
    const int64_t from = part * plan->tiles / plan->parts;
    const int64_t to = (part + 1) * plan->tiles / plan->parts;
    const int64_t blocks = plan->full + (plan->tail > 0);
    if (plan->has_idle) memset(sums, 0, plan->sums_bytes);
    for (int64_t first = 0, last; first < blocks; first = last) {
        last = fc_min(first + fc_max(plan->chunk, 1), plan->full);
        if (last == plan->full) last = blocks;
        for (int64_t c = first; c < last && is_packing; c++)
            fc_implicit_pack(
                p, plan, &b, c,
                slab + fc_implicit_slot(p, plan, c == plan->full ? plan->chunk : c - first));
        for (int64_t t = from; t < to; t++) {
            const fc_implicit_tile product = {
                .problem = p,
                .plan = plan,
                .block = &b,
                .segment = job->segment,
                .tile = t,
                .first = first,
                .last = last,
                .slab = slab + (plan->reads_source ? fc_implicit_slot(p, plan, first) : 0),
                .weight = weights_of(job, b.group * plan->tiles + t, sums + plan->sums_bytes),
                .sums = place_sums(job, &b, t, sums + (t - from) * tile_bytes)};
            fc_implicit_multiply(&product);
            if (last == blocks) store_tile(job, &b, t, &product.sums);
        }
    }
    return FC_OK;
}

static fc_status pack_shared(void* context, int64_t index) {
    const implicit_job* job = context;
    const fc_implicit_plan* plan = &job->plan;
    const int64_t blocks = plan->full + (plan->tail > 0), block = index % blocks;
    const fc_implicit_block b = fc_implicit_locate(job->problem, plan, index / blocks);
    char* slab = job->shared + index / blocks * (int64_t)plan->slab_bytes;
    fc_implicit_pack(job->problem, plan, &b, block,
                     slab + fc_implicit_slot(job->problem, plan, block));
    return FC_OK;
}

typedef struct {
    const fc_implicit* problem;
    const char* weight;
    char* packed;
} packing_job;

static fc_status pack_tile(void* context, int64_t index) {
    const packing_job* job = context;
    char* scratch = fc_workspace(FC_SLOT_TASK, fc_implicit_weight_scratch(job->problem));
    if (!scratch) return FC_ERROR_MEMORY;
    fc_implicit_pack_weight(job->problem, index, job->weight, scratch,
                            job->packed + fc_implicit_tile_start(job->problem, index));
    return FC_OK;
}

static fc_status pack_weights(const fc_implicit* p, const fc_implicit_plan* plan,
                              const void* weight, void* packed) {
    packing_job job = {.problem = p, .weight = weight, .packed = packed};
    return fc_parallel_for(p->groups * plan->tiles, (double)plan->packed_bytes, pack_tile, &job);
}

static fc_status run_job(implicit_job* job) {
    const fc_implicit* p = job->problem;
    const fc_implicit_plan* plan = &job->plan;
    const int64_t places = p->groups * plan->image_blocks * plan->row_blocks * plan->col_blocks;
    const int64_t blocks = plan->full + (plan->tail > 0);
    const size_t segments = fc_align(fc_implicit_segment_bytes(p, plan));
    const size_t slabs = plan->is_shared ? (size_t)places * plan->slab_bytes : 0;
    char* shared = fc_workspace(FC_SLOT_SHARED, segments + slabs);
    if (!shared) return FC_ERROR_MEMORY;
    fc_implicit_fill_segments(p, plan, (int64_t*)shared);
    job->segment = (int64_t*)shared;
    job->shared = shared + segments;
    if (plan->is_shared) {
        const fc_status status =
            fc_parallel_for(places * blocks, (double)slabs / 4, pack_shared, job);
        if (status != FC_OK) return status;
    }
    return fc_parallel_for(places * plan->parts, plan->work, run_block, job);
}

static fc_status run(const fc_implicit* p, const fc_conv2d_weight* weight, const void* bias,
                     int relu) {
    if (p->is_pointwise)
        return weight->packed ? FC_ERROR_ARGUMENT : fc_pointwise_run(p, weight->weight, bias, relu);
    implicit_job job = {.problem = p,
                        .plan = fc_implicit_make_plan(p),
                        .weight = weight->weight,
                        .packed = weight->packed,
                        .bias = bias,
                        .relu = relu};
    fc_status status = FC_OK;
    if (!job.packed && !job.plan.is_whole) {
        char* packed = fc_workspace(FC_SLOT_WEIGHTS, job.plan.packed_bytes);
        if (!packed) return FC_ERROR_MEMORY;
        status = pack_weights(p, &job.plan, weight->weight, packed);
        job.packed = packed;
    }
    if (status == FC_OK) status = run_job(&job);
    fc_workspace_trim();
    return status;
}

fc_status fc_conv2d_implicit_gemm_forward(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                          const fc_conv2d_weight* weight, const void* bias,
                                          int relu, void* output) {
    fc_implicit problem;
    const fc_status status =
        fc_implicit_problem(&problem, conv, dtype, FC_PASS_FORWARD, input, output);
    return status == FC_OK ? run(&problem, weight, bias, relu) : status;
}

fc_status fc_conv2d_implicit_gemm_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                             const void* grad_output,
                                             const fc_conv2d_weight* weight, void* grad_input) {
    fc_implicit problem;
    if (conv->in_size[0] == 0 || conv->in_size[1] == 0) return FC_OK;
    const fc_status status =
        fc_implicit_problem(&problem, conv, dtype, FC_PASS_GRAD_INPUT, grad_output, grad_input);
    return status == FC_OK ? run(&problem, weight, NULL, 0) : status;
}

int64_t fc_conv2d_implicit_gemm_packed_size(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    fc_implicit problem;
    if (fc_implicit_problem(&problem, conv, dtype, (fc_pass)pass, NULL, NULL) != FC_OK) return 0;
    return problem.is_pointwise ? 0 : (int64_t)fc_implicit_make_plan(&problem).packed_bytes;
}

fc_status fc_conv2d_implicit_gemm_pack_weight(const fc_conv2d* conv, fc_dtype dtype, int pass,
                                              const void* weight, void* packed) {
    fc_implicit problem;
    const fc_status status = fc_implicit_problem(&problem, conv, dtype, (fc_pass)pass, NULL, NULL);
    if (status != FC_OK) return status;
    if (problem.is_pointwise) return FC_ERROR_ARGUMENT;
    const fc_implicit_plan plan = fc_implicit_make_plan(&problem);
    return pack_weights(&problem, &plan, weight, packed);
}

int64_t fc_conv2d_implicit_gemm_workspace(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    if (pass == FC_PASS_GRAD_WEIGHT) return fc_implicit_grad_weight_workspace(conv, dtype);
    fc_implicit p;
    if (fc_implicit_problem(&p, conv, dtype, (fc_pass)pass, NULL, NULL) != FC_OK) return 0;
    if (p.is_pointwise) return fc_pointwise_workspace(&p);
    const fc_implicit_plan plan = fc_implicit_make_plan(&p);
    const int64_t places = p.groups * plan.image_blocks * plan.row_blocks * plan.col_blocks;
    const int64_t slabs = plan.is_shared ? places : 1;
    const int64_t weights =
        plan.is_whole ? (int64_t)(plan.own_weight_bytes + fc_implicit_weight_scratch(&p)) : 0;
    return slabs * (int64_t)plan.slab_bytes + (int64_t)plan.sums_bytes + weights +
           (int64_t)fc_implicit_segment_bytes(&p, &plan);
}
