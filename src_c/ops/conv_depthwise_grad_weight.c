/* Depthwise and small-group convolution: the gradient of the weights. See conv_depthwise.h.
 *
 * A task owns a few blocks of channels for a run of row blocks (of all images, one after the
 * other). Sums are kept lane by lane, a vector for each weight; the lanes that hold pixels are
 * added up at the end. Along rows, the last vector of each row has sums of its own, so that what
 * its spare lanes hold, be it infinite, meets no sum. How rows and runs are cut follows from the
 * geometry alone: results are the same bits for any number of threads. */
#include "conv_depthwise.h"
#include "conv_weight_sums.h"
#include <string.h>

enum { TASKS = 32 };

typedef struct {
    fc_depthwise_plan plan;
    const char *input, *grad_output;
    char* sums;
    int64_t blocks_a_task, units, runs;        /* units: row blocks of a block of channels */
    int64_t grad_cols, results;                /* results: sums of a block, one after the other */
    size_t sums_bytes, grad_bytes, task_bytes; /* sums of one result; a copy of the gradient */
} weight_job;

static weight_job job_of(const fc_depthwise_plan* plan) {
    weight_job job = {.plan = *plan};
    const fc_depthwise_plan* p = &job.plan;
    const int64_t lanes = p->kernels->lanes, cols = p->axis[1].positions;
    const int last = fc_channels_last(p->conv);
    job.results = p->groups * (last ? 1 : p->results);
    job.grad_cols = last ? cols * lanes : fc_ceil_div(cols, lanes) * lanes;
    job.sums_bytes = (size_t)((last ? 1 : 2) * p->entries * lanes * p->element);
    job.grad_bytes = fc_align((size_t)((p->rows * job.grad_cols + lanes) * p->element));
    job.task_bytes = p->slab_bytes + job.grad_bytes + job.sums_bytes * (size_t)job.results;
    job.units = p->conv->batch * p->row_blocks;
    job.blocks_a_task = fc_ceil_div(p->blocks, TASKS);
    job.runs = fc_choose_runs(p->conv, fc_ceil_div(p->blocks, job.blocks_a_task), job.units,
                              (size_t)p->element);
    return job;
}

int64_t fc_depthwise_grad_weight_bytes(const fc_depthwise_plan* plan) {
    return (int64_t)job_of(plan).task_bytes;
}

typedef struct {
    const char* from;
    int64_t pitch, step;
} grad_rows;

/* A unit's rows of the gradient: the user's, or a copy where vectors would reach past their end. */
static grad_rows rows_of(const weight_job* job, const fc_depthwise_unit* u, int64_t result,
                         char* scratch) {
    const fc_depthwise_plan* p = &job->plan;
    const fc_strides* s = &p->output_strides;
    const int64_t lanes = p->kernels->lanes, cols = p->axis[1].positions;
    const int64_t at = u->image * s->batch_stride +
                       (u->first_channel + result * (fc_channels_last(p->conv) ? p->lanes : 1)) *
                           s->channel_stride +
                       u->first_row * s->row_stride;
    const int64_t room = p->conv->batch * s->batch_stride - at;
    const int last = fc_channels_last(p->conv);
    const int64_t reach = last ? (cols - 1) * s->col_stride + lanes : job->grad_cols;
    const char* from = job->grad_output + at * p->element;
    if ((u->rows - 1) * s->row_stride + reach <= room)
        return (grad_rows){from, s->row_stride, last ? s->col_stride : lanes};
    static const int32_t own[FC_DEPTHWISE_LANES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                    8, 9, 10, 11, 12, 13, 14, 15};
    const fc_depthwise_fill fill = {.height = u->rows,
                                    .width = cols,
                                    .row_stride = s->row_stride,
                                    .col_stride = s->col_stride,
                                    .stride = 1,
                                    .rows = u->rows,
                                    .cols = cols,
                                    .pitch = job->grad_cols,
                                    .phases = 1,
                                    .room = room,
                                    .channels = 1,
                                    .vectors = 1,
                                    .vector_channels = lanes,
                                    .lane = own,
                                    .together = 1};
    (last ? p->kernels->depthwise_fill_lanes : p->kernels->depthwise_fill_rows)(&fill, from,
                                                                                scratch);
    return (grad_rows){scratch, job->grad_cols, lanes};
}

static void multiply(const weight_job* job, const fc_depthwise_unit* u, const char* slab,
                     const grad_rows* grads, char* sums) {
    const fc_depthwise_plan* p = &job->plan;
    const fc_depthwise_axis *v = &p->axis[0], *h = &p->axis[1];
    const int64_t lanes = p->kernels->lanes;
    fc_depthwise_dots dots = {.rows = u->rows,
                              .vectors = h->positions,
                              .taps = p->pair->taps,
                              .stride = v->stride,
                              .depth = p->pair->depth,
                              .offset = p->offset,
                              .source_pitch = p->pitch,
                              .source_step = h->stride * lanes,
                              .grad_pitch = grads->pitch,
                              .grad_step = grads->step};
    if (!fc_channels_last(p->conv)) {
        dots.vectors = h->positions / lanes;
        dots.source_step = lanes;
    }
    if (dots.vectors) p->kernels->depthwise_dots(&dots, grads->from, slab, sums);
    const int64_t done = dots.vectors * lanes;
    if (fc_channels_last(p->conv) || done == h->positions) return;
    dots.vectors = 1;
    p->kernels->depthwise_dots(&dots, grads->from + done * p->element, slab + done * p->element,
                               sums + p->entries * lanes * p->element);
}

static void finish(const weight_job* job, const fc_depthwise_unit* u, const char* sums,
                   char* result) {
    const fc_depthwise_plan* p = &job->plan;
    const int last = fc_channels_last(p->conv);
    const int64_t width = last ? p->lanes : 1;
    int64_t base[FC_DEPTHWISE_LANES];
    for (int64_t m = 0; m * width < u->channels; m++) {
        const int64_t lanes = fc_min(width, u->channels - m * width);
        for (int64_t l = 0; l < lanes; l++)
            base[l] = (u->first_channel + m * width + l) * p->entries;
        p->kernels->depthwise_unpack(p->entries, p->index, base, !last,
                                     last ? lanes : p->axis[1].positions % p->kernels->lanes,
                                     sums + (size_t)m * job->sums_bytes, result);
    }
}

static fc_status run_task(void* context, int64_t index) {
    const weight_job* job = context;
    const fc_depthwise_plan* p = &job->plan;
    char* slab = fc_workspace(FC_SLOT_TASK, job->task_bytes);
    if (!slab) return FC_ERROR_MEMORY;
    char *grads = slab + p->slab_bytes, *sums = grads + job->grad_bytes;
    memset(slab, 0, p->slab_bytes); /* padding that no unit will write */
    const int64_t run = index % job->runs, first = index / job->runs * job->blocks_a_task;
    for (int64_t block = first; block < fc_min(first + job->blocks_a_task, p->blocks); block++) {
        fc_depthwise_unit unit = {0};
        memset(sums, 0, job->sums_bytes * (size_t)job->results);
        for (int64_t i = run * job->units / job->runs; i < (run + 1) * job->units / job->runs;
             i++) {
            const int64_t image = i / p->row_blocks, rows = i % p->row_blocks;
            unit = fc_depthwise_locate(p, (image * p->blocks + block) * p->row_blocks + rows);
            fc_depthwise_fill_slab(p, &unit, job->input, slab);
            const int64_t width = fc_channels_last(p->conv) ? p->lanes : 1;
            for (int64_t m = 0; m * width < unit.channels; m++) {
                const grad_rows grad = rows_of(job, &unit, m, grads);
                const int64_t part = fc_channels_last(p->conv) ? m : m / p->results;
                const char* source = slab + part * p->group_stride * p->element;
                multiply(job, &unit, source, &grad, sums + (size_t)m * job->sums_bytes);
            }
        }
        finish(job, &unit, sums, job->sums + run * fc_weight_size(p->conv) * p->element);
    }
    return FC_OK;
}

fc_status fc_depthwise_grad_weight(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                   const void* grad_output, void* grad_weight) {
    fc_depthwise_plan plan = fc_depthwise_plan_of(conv, dtype, 0);
    fc_status status = fc_depthwise_tables(&plan);
    if (status != FC_OK) return status;
    weight_job job = job_of(&plan);
    job.input = input;
    job.grad_output = grad_output;
    const size_t bytes = (size_t)(fc_weight_size(conv) * plan.element * job.runs);
    job.sums = job.runs > 1 ? fc_workspace(FC_SLOT_SHARED, bytes) : grad_weight;
    if (!job.sums) return FC_ERROR_MEMORY;
    const int64_t tasks = fc_ceil_div(plan.blocks, job.blocks_a_task) * job.runs;
    status = fc_parallel_for(tasks, fc_depthwise_work(&plan), run_task, &job);
    if (status != FC_OK || job.runs == 1) return status;
    int infinite;
    return fc_sum_runs(dtype, fc_weight_size(conv), job.runs, job.sums, grad_weight, &infinite);
}
