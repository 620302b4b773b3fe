/* The gradient of the weights by implicit GEMM, the other way round: lanes = steps of the window.
 *
 *   sums[k][step] = sum over pixels of grad_output[k][pixel] * rows[pixel][step]
 *
 * A step is a channel and a tap. Where filters fill vectors badly (50 are four at 78 %) the
 * hundreds of steps do not. What it costs is a copy of every pixel's window into rows of a matrix,
 * block by block in cache: a few vectors a segment for K / 2 FMAs a vector. The output's gradient
 * is broadcast from where it lies, so planar images need no packing of it.
 *
 * A task owns a slice of the pixels, with sums of its own; slices follow from the geometry alone
 * and are added up in order, so results are the same bits for any number of threads. */
#include "conv_implicit_gemm_grad_weight.h"
#include <string.h>

enum {
    PIXELS = 128,           /* of a block: their rows stay in L2 */
    SLICES = 16,            /* wanted; fewer than half of them are not worth it */
    SLICES_BYTES = 2 << 20, /* of the sums of all */
    ROWS_BYTES = 512 << 10, /* of a block's windows */
    COPY = 4,               /* FMAs that take as long as copying a vector */
};

typedef struct {
    fc_implicit problem;
    fc_implicit_plan plan;
    int64_t steps, pitch; /* of a row; elements from one to the next, with slack for a vector */
    int64_t merged;       /* taps of a segment */
    int64_t places, slices;
    size_t slab_bytes, rows_bytes, slice_bytes;
    const int64_t* segment;
    const int64_t* line[2]; /* where rows, and whole images, of the output's gradient start */
    char *sums, *grad_weight;
} rows_job;

static void make_plan(rows_job* job) {
    const fc_implicit* p = &job->problem;
    const int64_t lanes = p->kernels->lanes, e = p->element;
    job->plan = fc_implicit_plan_blocks(p, PIXELS);
    const fc_implicit_plan* plan = &job->plan;
    job->steps = fc_implicit_depth(p);
    job->pitch = ((fc_ceil_div(job->steps, lanes) + 1) | 1) * lanes; /* no power of two */
    job->merged = plan->is_merged ? p->cols.taps : 1;
    job->places = plan->image_blocks * plan->row_blocks * plan->col_blocks;
    const int64_t blocks = plan->full + (plan->tail > 0);
    job->slab_bytes = fc_align((size_t)((blocks * plan->block_stride + lanes) * e));
    const int64_t pixels = plan->images * plan->rows * plan->cols;
    job->rows_bytes = fc_align((size_t)((pixels * job->pitch + lanes) * e));
    job->slice_bytes = fc_align((size_t)(p->results * job->pitch * e));
    job->slices = fc_min(fc_min(SLICES, job->places), SLICES_BYTES / (int64_t)job->slice_bytes);
}

static fc_status start_job(rows_job* job, const fc_conv2d* conv, fc_dtype dtype, const void* input,
                           const void* grad_output) {
    const fc_status status = fc_implicit_problem(&job->problem, conv, dtype, FC_PASS_GRAD_WEIGHT,
                                                 input, (void*)grad_output);
    if (status == FC_OK) make_plan(job);
    return status;
}

/* Vectors multiplied, and copied, for one pixel: here, and with lanes = filters. */
static int is_faster(const rows_job* job) {
    const fc_implicit* p = &job->problem;
    const int64_t lanes = p->kernels->lanes, taps = p->rows.taps * p->cols.taps;
    const int64_t full = fc_ceil_div(job->merged * lanes, lanes);
    const int64_t tail = fc_ceil_div(job->merged * job->plan.tail, lanes);
    const int64_t copies = taps / job->merged * (job->plan.full * full + tail);
    const int64_t here = p->results * fc_ceil_div(job->steps, lanes) + COPY * copies;
    return 21 * here < 20 * fc_ceil_div(p->results, lanes) * job->steps;
}

fc_status fc_weight_rows_pay(const fc_conv2d* conv, fc_dtype dtype, int* pays) {
    *pays = 0;
    if (conv->in_layout != FC_NCHW || conv->out_layout != FC_NCHW || conv->groups > 1) return FC_OK;
    rows_job job = {0};
    const fc_status status = start_job(&job, conv, dtype, NULL, NULL);
    if (status == FC_OK)
        *pays = 2 * job.slices >= SLICES && job.rows_bytes <= ROWS_BYTES && is_faster(&job);
    return status;
}

/* The windows of a block's pixels. */
static void fill_rows(const rows_job* job, const fc_implicit_block* b, char* slab, char* rows) {
    const fc_implicit* p = &job->problem;
    const fc_implicit_plan* plan = &job->plan;
    const int64_t lanes = p->kernels->lanes, taps = p->rows.taps * p->cols.taps, e = p->element;
    for (int64_t c = 0; c < plan->full + (plan->tail > 0); c++) {
        const int is_tail = c == plan->full;
        const int64_t pixel = is_tail ? plan->tail : lanes;
        char* block = slab + c * plan->block_stride * e;
        fc_implicit_pack(p, plan, b, c, block);
        const fc_window window = {.pixels = b->cols,
                                  .pixel = p->cols.source_step * pixel,
                                  .pitch = job->pitch,
                                  .segments = taps / job->merged,
                                  .length = job->merged * pixel,
                                  .segment = job->segment + (is_tail ? plan->chunk * taps : 0)};
        char* to = rows + c * lanes * taps * e;
        for (int64_t i = 0; i < b->images; i++)
            for (int64_t row = 0; row < b->rows; row++, to += b->cols * job->pitch * e) {
                const int64_t line = i * plan->slab_rows + row * p->rows.source_step;
                p->kernels->conv_window(&window, block + line * plan->slab_cols * pixel * e, to);
            }
    }
    /* lanes behind the steps are multiplied too: by zeros, not by old scratch */
    const int64_t end = fc_ceil_div(job->steps, lanes) * lanes;
    for (int64_t i = 0; i < b->images * b->rows * b->cols && end > job->steps; i++)
        memset(rows + (i * job->pitch + job->steps) * e, 0, (size_t)((end - job->steps) * e));
}

static void multiply(const rows_job* job, const fc_implicit_block* b, const char* rows,
                     int accumulate, char* sums) {
    const fc_implicit* p = &job->problem;
    const fc_strides* s = &p->target.strides;
    const int64_t lanes = p->kernels->lanes, pair = p->kernels->gemm_nv * lanes, e = p->element;
    const int64_t from = b->image * s->batch_stride + b->row * s->row_stride + b->col;
    const int whole_rows = b->cols == p->target.width;
    const fc_gemm_panel panel = {.a_row = s->channel_stride,
                                 .a_depth = 1,
                                 .segments = b->images * (whole_rows ? 1 : b->rows),
                                 .depth = whole_rows ? b->rows * b->cols : b->cols,
                                 .a_segment = job->line[whole_rows],
                                 .b_depth = job->pitch,
                                 .b_vector = lanes,
                                 .c_row = job->pitch,
                                 .c_vector = lanes,
                                 .accumulate = accumulate};
    for (int64_t q = 0; q < job->steps; q += pair)
        p->kernels->gemm_by_rows(&panel, p->results, job->steps - q > lanes ? 2 : 1,
                                 p->target.data + from * e, rows + q * e, sums + q * e);
}

static fc_status run_slice(void* context, int64_t slice) {
    const rows_job* job = context;
    char* slab = fc_workspace(FC_SLOT_TASK, job->slab_bytes + job->rows_bytes);
    if (!slab) return FC_ERROR_MEMORY;
    char* rows = slab + job->slab_bytes;
    const int64_t first = slice * job->places / job->slices;
    const int64_t last = (slice + 1) * job->places / job->slices;
    for (int64_t place = first; place < last; place++) {
        const fc_implicit_block b = fc_implicit_locate(&job->problem, &job->plan, place);
        fill_rows(job, &b, slab, rows);
        multiply(job, &b, rows, place > first, job->sums + slice * (int64_t)job->slice_bytes);
    }
    return FC_OK;
}

/* Adds up the slices of one filter, and puts its steps into the weight's order. */
static fc_status finish(void* context, int64_t filter) {
    const rows_job* job = context;
    const fc_implicit* p = &job->problem;
    const int64_t lanes = p->kernels->lanes, taps = p->rows.taps * p->cols.taps, e = p->element;
    char* total = job->sums + filter * job->pitch * e;
    const fc_gemm_finish add = {.rows = 1, .columns = job->steps};
    for (int64_t i = 1; i < job->slices; i++)
        p->kernels->gemm_finish(&add, total + i * (int64_t)job->slice_bytes, total, total);
    char* to = job->grad_weight + filter * job->steps * e;
    const fc_lanes shape = {.rows = lanes, .columns = taps, .row_stride = taps, .column_stride = 1};
    for (int64_t c = 0; c < job->plan.full; c++)
        p->kernels->unpack_lanes(&shape, total + c * lanes * taps * e, NULL,
                                 to + c * lanes * taps * e);
    const int64_t start = job->plan.full * lanes * taps * e, tail = job->plan.tail;
    for (int64_t i = 0; i < tail; i++)
        for (int64_t t = 0; t < taps; t++)
            memcpy(to + start + (i * taps + t) * e, total + start + (t * tail + i) * e, (size_t)e);
    return FC_OK;
}

fc_status fc_weight_rows_run(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                             const void* grad_output, void* grad_weight) {
    rows_job job = {.grad_weight = grad_weight};
    fc_status status = start_job(&job, conv, dtype, input, grad_output);
    if (status != FC_OK) return status;
    const fc_implicit_plan* plan = &job.plan;
    const size_t segments = fc_implicit_segment_bytes(&job.problem, plan);
    const int64_t lines = plan->images * plan->rows;
    const size_t tables = fc_align(segments + 2 * (size_t)lines * sizeof(int64_t));
    char* shared = fc_workspace(FC_SLOT_SHARED, tables + (size_t)job.slices * job.slice_bytes);
    if (!shared) return FC_ERROR_MEMORY;
    fc_implicit_fill_segments(&job.problem, plan, (int64_t*)shared);
    int64_t *rows = (int64_t*)(shared + segments), *images = rows + lines;
    job.line[0] = rows;
    job.line[1] = images;
    for (int64_t i = 0; i < plan->images; i++) {
        *images++ = i * job.problem.target.strides.batch_stride;
        for (int64_t row = 0; row < plan->rows; row++)
            *rows++ = i * job.problem.target.strides.batch_stride +
                      row * job.problem.target.strides.row_stride;
    }
    job.segment = (int64_t*)shared;
    job.sums = shared + tables;
    status = fc_parallel_for(job.slices, plan->work, run_slice, &job);
    if (status == FC_OK)
        status = fc_parallel_for(conv->out_channels,
                                 (double)job.slices * (double)job.slice_bytes / 4, finish, &job);
    return status;
}

int64_t fc_weight_rows_workspace(const fc_conv2d* conv, fc_dtype dtype) {
    rows_job job = {0};
    if (start_job(&job, conv, dtype, NULL, NULL) != FC_OK) return 0;
    return (int64_t)(job.slab_bytes + job.rows_bytes + (size_t)job.slices * job.slice_bytes +
                     fc_implicit_segment_bytes(&job.problem, &job.plan));
}
