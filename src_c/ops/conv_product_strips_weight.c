/* The gradient of the weights while a strip of the output's gradient is at hand.
 *
 *   grad_weight[k][c][t] = sum over positions of grad_output[k][position] * plane_c[position + t]
 *
 * The strips of the gradient of the input copy the output's gradient to where it is aligned and in
 * L2. There it is multiplied by the input's planes too, as dot products along positions: nothing is
 * transposed, and what is most of the memory that both passes read is read once. Columns of the
 * kernel are explicit planes: few channels make them small, and all their loads are aligned.
 *
 * A task has sums of its own; tasks follow from the geometry alone, and their sums are added up in
 * order. Rows are whole vectors, so that no lane meets a pixel that is not its own. */
#include "conv_product_strips.h"
#include "conv_weight_sums.h"

enum {
    SUMS_BYTES = 2 << 20,  /* of all tasks */
    PLANE_BYTES = 1 << 20, /* of a strip */
};

void fc_strips_plan_weight(fc_strips* job) {
    const fc_conv2d* conv = job->conv;
    fc_strips_weight* w = &job->of_weight;
    const int64_t e = job->element, across = conv->kernel_size[1];
    const fc_axis explicit = {.phases = across};
    w->layout =
        fc_layout_planes(&job->vertical, &explicit, 1, job->rows, conv->out_size[1], (size_t)e);
    w->columns = job->channels * job->taps;
    w->planes_bytes = fc_align((size_t)(job->channels * w->layout.channel_stride * e));
    w->tables_bytes = fc_align((size_t)(w->columns * (int64_t)sizeof(int32_t) +
                                        (4 * across + 1) * (int64_t)sizeof(int64_t)));
    w->sums_bytes = fc_align((size_t)(job->tasks * fc_weight_size(conv) * e));
}

int fc_strips_weight_can(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory) {
    const int64_t lanes = fc_kernels_for(dtype)->lanes;
    if (!fc_strips_can(conv, dtype, memory) || conv->groups > 1 || conv->out_size[1] % lanes)
        return 0;
    const fc_strips job = fc_strips_plan(conv, dtype, memory, FC_STRIPS_WEIGHT);
    return job.of_weight.sums_bytes <= SUMS_BYTES && job.of_weight.planes_bytes <= PLANE_BYTES &&
           job.grads_bytes + job.products_bytes + job.sums_bytes <= FC_WORKSPACE_KEEP;
}

void fc_strips_weight_tables(fc_strips* job, char* memory) {
    const fc_conv2d* conv = job->conv;
    fc_strips_weight* w = &job->of_weight;
    int64_t* axis = (int64_t*)memory;
    fc_axis_forward(&w->horizontal, conv->kernel_size[1], conv->stride[1], conv->dilation[1], 1,
                    axis);
    int32_t* offset = (int32_t*)(axis + 4 * conv->kernel_size[1]);
    fc_tap_offsets(&job->vertical, &w->horizontal, &w->layout, job->channels, offset);
    w->offset = offset;
}

/* What the strip's own positions meet. */
static void fill(const fc_strips* job, const fc_strip* strip, int64_t row, char* planes) {
    const fc_conv2d* conv = job->conv;
    const fc_strips_weight* w = &job->of_weight;
    const int64_t area = conv->in_size[0] * conv->in_size[1];
    const fc_planes shape = {
        .height = conv->in_size[0],
        .width = conv->in_size[1],
        .row_stride = conv->in_size[1],
        .col_stride = 1,
        .first_row = row * conv->stride[0] - conv->padding[0],
        .first_column = -conv->padding[1],
        .stride_height = conv->stride[0],
        .stride_width = conv->stride[1],
        .row_phases = job->vertical.phases,
        .col_phases = w->horizontal.phases,
        .row_phase = job->vertical.phase,
        .col_phase = w->horizontal.phase,
        .rows = strip->end - row + job->vertical.max_shift,
        .cols = conv->out_size[1],
        .phase_stride = w->layout.phase_stride,
    };
    for (int64_t c = 0; c < job->channels; c++)
        job->kernels->fill_planes(
            &shape, w->input + (strip->image * job->channels + c) * area * job->element,
            planes + c * w->layout.channel_stride * job->element);
}

int64_t fc_strips_weight_calls(const fc_strips* job) {
    return fc_ceil_div(job->filters, job->kernels->dot_mr) *
           fc_ceil_div(job->of_weight.columns, job->kernels->dot_nr);
}

void fc_strips_weight_add(const fc_strips* job, const fc_strip* strip, char* planes, char* sums) {
    const int64_t e = job->element, cols = job->conv->out_size[1], columns = job->of_weight.columns;
    const int64_t row = fc_max(strip->first, strip->own);
    if (row >= strip->end) return;
    fill(job, strip, row, planes);
    fc_dots dots = {.pixels = (strip->end - row) * cols,
                    .runs = 1,
                    .a_stride = job->pitch,
                    .sums_stride = columns};
    const char* grads = strip->grads + (row - strip->first) * cols * e;
    const int64_t tiles = fc_ceil_div(job->filters, job->kernels->dot_mr);
    const int64_t parts = fc_ceil_div(columns, job->kernels->dot_nr);
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t k = i * job->filters / tiles, end = (i + 1) * job->filters / tiles;
        for (int64_t j = 0; j < parts; j++) {
            const int64_t t = j * columns / parts, next = (j + 1) * columns / parts;
            dots.ahead =
                fc_strips_fetch(strip->ahead, dots.pixels / job->kernels->lanes, &dots.ahead_step);
            job->kernels->conv_dots(&dots, (int)(end - k), (int)(next - t),
                                    grads + k * job->pitch * e, planes, job->of_weight.offset + t,
                                    sums + (k * columns + t) * e);
        }
    }
}
