/* The gradient of the weights by implicit GEMM: see conv_implicit_gemm.h.
 *
 *   sums[segment's element][k] = sum over pixels of slab[pixel + segment][element] * grad[pixel][k]
 *
 * A task owns some tiles of output channels, some blocks of input channels and a slice of the
 * pixels. For each block of pixels it packs its slab and the output's gradient, and adds to sums
 * that stay in the near cache, in the order of packed weights. Slices are cut by the geometry alone
 * and added up in order; which tiles and channels share a task changes no sum. So results are the
 * same bits for any number of threads.
 *
 * A 1x1 convolution of planar images needs no slab: rows of channels are read where they lie. And
 * as its two sides are alike, the one with fewer channels is packed. Where that is the input's,
 * sums are rows of the weight as it is, and need no scratch. */
#include "conv_implicit_gemm_grad_weight.h"
#include <string.h>

typedef struct {
    int64_t first_tile, last_tile, first_block, last_block;
    char *slab, *grads, *sums;
    int64_t group, slice;
    int64_t tile_bytes; /* from the sums of a tile to those of the next */
    int64_t skipped;    /* steps of a tile's sums that other tasks own */
} weight_task;

static void pack_grads(const fc_weight_job* job, const fc_implicit_block* b,
                       const weight_task* task) {
    const fc_implicit* p = &job->problem;
    const int64_t lanes = p->kernels->lanes, nv = p->kernels->gemm_nv;
    fc_block block = {
        .row = b->row, .column = b->col, .rows = b->rows, .columns = b->cols, .pitch = b->cols};
    for (int64_t v = task->first_tile * nv; v < task->last_tile * nv; v++) {
        if (v * lanes >= p->results) break;
        block.channel = b->group * p->results + v * lanes;
        block.channels = fc_min(lanes, p->results - v * lanes);
        char* plane = task->grads + (v - task->first_tile * nv) * job->plane_bytes;
        for (int64_t i = 0; i < b->images; i++) {
            block.image = b->image + i;
            fc_pack_block(&p->target, &block, plane + i * b->rows * b->cols * lanes * p->element);
        }
    }
}

/* Rows of a block that meet a row of taps inside the image; all of them if none does, as sums must
 * start somewhere. */
typedef struct {
    int64_t first, count;
} met_rows;

static met_rows rows_met(const fc_implicit* p, const fc_implicit_block* b, int64_t tap) {
    const int64_t step = p->rows.source_step;
    const int64_t at = p->rows.phase[0].source + p->rows.shift[tap] + b->row * step;
    int64_t first = 0, end = b->rows;
    while (first < end && at + first * step < 0) first++;
    while (end > first && at + (end - 1) * step >= p->source.height) end--;
    return first < end ? (met_rows){first, end - first} : (met_rows){0, b->rows};
}

/* All sums of a task, for one block of pixels. */
static void multiply(const fc_weight_job* job, const fc_implicit_block* b, const weight_task* task,
                     int accumulate) {
    const fc_implicit* p = &job->problem;
    const fc_implicit_plan* plan = &job->plan;
    const int64_t lanes = p->kernels->lanes, taps = p->rows.taps * p->cols.taps;
    const int64_t merged = plan->is_merged ? p->cols.taps : 1;
    const int64_t line_bytes = b->cols * lanes * p->element;
    fc_implicit_runs runs = fc_implicit_merge(p, plan, b);
    if (runs.images > 1) /* job->line has every row's start: one long row, or all of them */
        runs = (fc_implicit_runs){b->images, b->rows, b->cols};
    fc_gemm_panel panel = {.a_row = 1,
                           .depth = runs.cols,
                           .b_depth = lanes,
                           .b_vector = job->plane_bytes / p->element,
                           .c_vector = lanes,
                           .accumulate = accumulate};
    for (int64_t t = task->first_tile; t < task->last_tile; t++) {
        const int vectors = p->results - t * p->kernels->gemm_nv * lanes > lanes ? 2 : 1;
        const char* grad =
            task->grads + (t - task->first_tile) * p->kernels->gemm_nv * job->plane_bytes;
        panel.c_row = vectors * lanes;
        char* sums = task->sums + (t - task->first_tile) * task->tile_bytes +
                     task->skipped * panel.c_row * p->element;
        for (int64_t c = task->first_block; c < task->last_block; c++) {
            const int is_tail = c == plan->full;
            const int64_t pixel = is_tail ? plan->tail : lanes;
            const int64_t* segment = job->segment + (is_tail ? plan->chunk * taps : 0);
            const char* slab =
                task->slab + (c - task->first_block) * plan->block_stride * p->element;
            panel.a_depth = p->cols.source_step * pixel;
            for (int64_t s = 0; s < taps / merged; s++) {
                met_rows met = {0, runs.images * runs.rows};
                if (runs.images == 1 && p->cols.reach > 0)
                    met = rows_met(p, b, s * merged / p->cols.taps);
                panel.segments = met.count;
                panel.a_segment = job->line[is_tail] + met.first;
                p->kernels->gemm_by_columns(&panel, merged * pixel, vectors,
                                            slab + segment[s] * p->element,
                                            grad + met.first * line_bytes, sums);
                sums += merged * pixel * panel.c_row * p->element;
            }
        }
    }
}

static void store(const fc_weight_job* job, const weight_task* task, char* plain) {
    const fc_implicit* p = &job->problem;
    const int64_t lanes = p->kernels->lanes, taps = p->rows.taps * p->cols.taps;
    for (int64_t t = task->first_tile; t < task->last_tile; t++) {
        const int vectors = p->results - t * p->kernels->gemm_nv * lanes > lanes ? 2 : 1;
        char* sums = task->sums + (t - task->first_tile) * task->tile_bytes;
        for (int64_t c = task->first_block; c < task->last_block; c++) {
            fc_implicit_unpack_weight(p, task->group * job->plan.tiles + t, c, sums, plain,
                                      job->grad_weight);
            sums += lanes * taps * vectors * lanes * p->element;
        }
    }
}

/* Where the packed sums of a slice's tile are. */
static char* slice_tile(const fc_weight_job* job, int64_t slice, int64_t group, int64_t tile) {
    return job->slice_sums + slice * (int64_t)job->plan.packed_bytes +
           fc_implicit_tile_start(&job->problem, group * job->plan.tiles + tile);
}

static weight_task locate(const fc_weight_job* job, int64_t index, char* scratch) {
    const fc_implicit* p = &job->problem;
    const int64_t tiles = job->plan.tiles, lanes = p->kernels->lanes;
    weight_task t = {.slice = index % job->slices};
    index /= job->slices;
    const int64_t tile_part = index % job->tile_parts;
    index /= job->tile_parts;
    const int64_t block_part = index % job->block_parts;
    t.group = index / job->block_parts;
    t.first_tile = tile_part * tiles / job->tile_parts;
    t.last_tile = (tile_part + 1) * tiles / job->tile_parts;
    t.first_block = block_part * job->blocks / job->block_parts;
    t.last_block = (block_part + 1) * job->blocks / job->block_parts;
    t.slab = scratch;
    t.grads = t.slab + job->slab_bytes;
    t.sums = t.grads + job->grad_bytes;
    t.tile_bytes = (t.last_block - t.first_block) * fc_weight_cell_bytes(p);
    if (job->slices > 1) {
        t.sums = slice_tile(job, t.slice, t.group, t.first_tile);
        t.tile_bytes = p->kernels->gemm_nv * lanes * fc_implicit_depth(p) * p->element;
        t.skipped = t.first_block * lanes * p->rows.taps * p->cols.taps;
    }
    return t;
}

/* The same with channels where they lie: all those of a task are the rows of one product. */
static void multiply_planar(const fc_weight_job* job, const fc_implicit_block* b,
                            const weight_task* task, int accumulate) {
    const fc_implicit* p = &job->problem;
    const fc_strides* s = &p->source.strides;
    const int64_t lanes = p->kernels->lanes;
    const int64_t first = task->first_block * lanes;
    const int64_t channels = fc_min(task->last_block * lanes, p->reduced) - first;
    const int64_t from = b->image * s->batch_stride +
                         (b->group * p->reduced + first) * s->channel_stride +
                         b->row * s->row_stride + b->col;
    const int whole_rows = b->cols == p->source.width;
    fc_gemm_panel panel = {.a_row = s->channel_stride,
                           .a_depth = 1,
                           .segments = b->images * (whole_rows ? 1 : b->rows),
                           .depth = whole_rows ? b->rows * b->cols : b->cols,
                           .a_segment = job->line[whole_rows],
                           .b_depth = lanes,
                           .b_vector = job->plane_bytes / p->element,
                           .c_vector = lanes,
                           .accumulate = accumulate};
    for (int64_t t = task->first_tile; t < task->last_tile; t++) {
        const int64_t tile = t - task->first_tile, column = t * p->kernels->gemm_nv * lanes;
        const int vectors = p->results - column > lanes ? 2 : 1;
        panel.c_row = job->is_direct ? p->weight_reduced : vectors * lanes;
        char* sums =
            task->sums + tile * task->tile_bytes + task->skipped * panel.c_row * p->element;
        if (job->is_direct)
            sums =
                job->grad_weight +
                (task->group * p->weight_group + first * p->weight_reduced + column) * p->element;
        p->kernels->gemm_by_rows(&panel, channels, vectors, p->source.data + from * p->element,
                                 task->grads + tile * p->kernels->gemm_nv * job->plane_bytes, sums);
    }
}

static fc_status run_task(void* context, int64_t index) {
    const fc_weight_job* job = context;
    const fc_implicit* p = &job->problem;
    const fc_implicit_plan* plan = &job->plan;
    const size_t work = job->slab_bytes + job->grad_bytes + job->sums_bytes;
    char* scratch = fc_workspace(FC_SLOT_TASK, work + job->plain_bytes);
    if (!scratch) return FC_ERROR_MEMORY;
    const weight_task task = locate(job, index, scratch);
    const int64_t first = task.slice * job->places / job->slices;
    const int64_t last = (task.slice + 1) * job->places / job->slices;
    const int64_t area = plan->row_blocks * plan->col_blocks;
    for (int64_t place = first; place < last; place++) {
        const int64_t at = (place / area * p->groups + task.group) * area + place % area;
        const fc_implicit_block b = fc_implicit_locate(p, plan, at);
        for (int64_t c = task.first_block; c < task.last_block && !job->is_planar; c++)
            fc_implicit_pack(p, plan, &b, c,
                             task.slab + (c - task.first_block) * plan->block_stride * p->element);
        pack_grads(job, &b, &task);
        if (job->is_planar)
            multiply_planar(job, &b, &task, place > first);
        else
            multiply(job, &b, &task, place > first);
    }
    if (job->slices == 1 && !job->is_direct) store(job, &task, scratch + work);
    return FC_OK;
}

/* Adds up the slices of one channel block of one tile. */
static fc_status finish(void* context, int64_t index) {
    const fc_weight_job* job = context;
    const fc_implicit* p = &job->problem;
    const int64_t lanes = p->kernels->lanes, taps = p->rows.taps * p->cols.taps;
    char* plain = fc_workspace(FC_SLOT_TASK, job->plain_bytes);
    if (!plain) return FC_ERROR_MEMORY;
    const int64_t block = index % job->blocks, tile = index / job->blocks % job->plan.tiles;
    const int64_t group = index / job->blocks / job->plan.tiles;
    const int vectors = p->results - tile * p->kernels->gemm_nv * lanes > lanes ? 2 : 1;
    const int64_t channels = fc_min(lanes, p->reduced - block * lanes);
    const int64_t size = channels * taps * vectors * lanes;
    const int64_t start = block * lanes * taps * vectors * lanes * p->element;
    char* total = slice_tile(job, 0, group, tile) + start;
    for (int64_t slice = 1; slice < job->slices; slice++) {
        const char* sums = slice_tile(job, slice, group, tile) + start;
        if (p->element == 4)
            for (int64_t i = 0; i < size; i++) ((float*)total)[i] += ((const float*)sums)[i];
        else
            for (int64_t i = 0; i < size; i++) ((double*)total)[i] += ((const double*)sums)[i];
    }
    fc_implicit_unpack_weight(p, group * job->plan.tiles + tile, block, total, plain,
                              job->grad_weight);
    return FC_OK;
}

/* Where each row of a block's pixels starts, in pixels of so many elements. */
static void fill_lines(const fc_weight_job* job, int64_t pixel, int64_t* line) {
    const fc_implicit_plan* plan = &job->plan;
    for (int64_t i = 0; i < plan->images; i++)
        for (int64_t row = 0; row < plan->rows; row++)
            *line++ = (i * plan->slab_rows + row * job->problem.rows.source_step) *
                      plan->slab_cols * pixel;
}

/* The same in an image: rows of line[0], and whole images in line[1]. */
static void fill_planar_lines(const fc_weight_job* job, int64_t* rows, int64_t* images) {
    const fc_strides* s = &job->problem.source.strides;
    for (int64_t i = 0; i < job->plan.images; i++) {
        *images++ = i * s->batch_stride;
        for (int64_t row = 0; row < job->plan.rows; row++)
            *rows++ = i * s->batch_stride + row * s->row_stride;
    }
}

static fc_status run(fc_weight_job* job) {
    const fc_implicit* p = &job->problem;
    const int64_t lines = job->plan.images * job->plan.rows;
    const size_t segments = fc_implicit_segment_bytes(p, &job->plan);
    const size_t tables = fc_align(segments + 2 * (size_t)lines * sizeof(int64_t));
    char* shared = fc_workspace(FC_SLOT_SHARED, tables + fc_weight_slices_bytes(job));
    if (!shared) return FC_ERROR_MEMORY;
    int64_t* line = (int64_t*)(shared + segments);
    fc_implicit_fill_segments(p, &job->plan, (int64_t*)shared);
    if (job->is_planar) {
        fill_planar_lines(job, line, line + lines);
    } else {
        fill_lines(job, p->kernels->lanes, line);
        fill_lines(job, job->plan.tail, line + lines);
    }
    job->segment = (int64_t*)shared;
    job->line[0] = line;
    job->line[1] = line + lines;
    job->slice_sums = shared + tables;
    const int64_t tasks = p->groups * job->tile_parts * job->block_parts * job->slices;
    const fc_status status = fc_parallel_for(tasks, job->plan.work, run_task, job);
    if (status != FC_OK || job->slices == 1) return status;
    return fc_parallel_for(p->groups * job->plan.tiles * job->blocks,
                           (double)fc_weight_slices_bytes(job) / 4, finish, job);
}

fc_status fc_conv2d_implicit_gemm_grad_weight(const fc_conv2d* conv, fc_dtype dtype,
                                              const void* input, const void* grad_output,
                                              void* grad_weight) {
    fc_weight_job job = {.grad_weight = grad_weight};
    fc_conv2d own = *conv;
    int pays;
    fc_status status = fc_weight_rows_pay(conv, dtype, &pays);
    if (status != FC_OK) return status;
    if (pays) {
        status = fc_weight_rows_run(conv, dtype, input, grad_output, grad_weight);
    } else {
        status = fc_weight_plan(&job, &own, dtype, input, grad_output);
        if (status == FC_OK) status = run(&job);
    }
    fc_workspace_trim();
    return status;
}
