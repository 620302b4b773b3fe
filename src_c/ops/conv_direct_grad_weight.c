/* The gradient of the weights by direct dot products along pixels.
 *
 *   grad_weight[k][c][t] = sum over images and pixels of grad_output[k][p] * plane_c[p + offset[t]]
 *
 * A task owns the taps of a block of input channels for a run of images. For each block of pixels
 * it fills the input's planes, and the output's gradient with zeros where planes have seams; then
 * every (k, (c, t)) pair is a dot product of two contiguous rows. Runs of images are cut by the
 * geometry alone and added up in order, so results do not depend on the number of threads.
 *
 * A zero at a seam times infinity or NaN is NaN where the true sum has no such term. So if any
 * result is not finite, the pass is run again on explicit planes, which have no seams. */
#include "conv_depthwise.h"
#include "conv_planes.h"
#include "conv_weight_sums.h"
#include <string.h>

enum {
    PIXELS = 1024,           /* of a block: dot_mr + dot_nr rows of it fit L1 */
    PLANE_BYTES = 512 << 10, /* input planes of a task */
    GRAD_BYTES = 256 << 10,  /* planes of the output's gradient */
    CHUNKS = 16,             /* tasks are made by cutting the channels into up to this many */
};

typedef struct {
    const fc_conv2d* conv;
    const fc_kernels_of_type* kernels;
    fc_dtype dtype;
    int is_explicit;
    int64_t element;
    fc_axis vertical, horizontal;
    int64_t rows, cols, images;   /* of a pixel block */
    int64_t chunk, chunks;        /* input channels of a task */
    int64_t grads;                /* output channels whose gradient planes are filled at once */
    int64_t runs;                 /* runs of images, each with sums of its own */
    fc_plane_layout input_layout; /* [channel][phase][image][row][col] */
    int64_t grad_stride;          /* from one output channel's gradient plane to the next */
    size_t input_bytes, grad_bytes, offsets_bytes;
    const int32_t* offset;
    const char *input, *grad_output;
    char *sums, *grad_weight;
    _Atomic int infinite; /* some sum is infinite or NaN */
} weight_job;

static double total_work(const fc_conv2d* c) {
    return (double)fc_weight_size(c) * (double)(c->batch * c->out_size[0] * c->out_size[1]);
}

static void choose_blocks(weight_job* job) {
    const fc_conv2d* conv = job->conv;
    const fc_axis *v = &job->vertical, *h = &job->horizontal;
    job->cols = fc_ceil_div(conv->out_size[1], fc_ceil_div(conv->out_size[1], 2 * PIXELS));
    const int64_t width = job->cols + h->max_shift;
    const int64_t rows = fc_max(1, PIXELS / width - v->max_shift);
    job->rows = fc_ceil_div(conv->out_size[0], fc_ceil_div(conv->out_size[0], rows));
    job->images = 1;
    if (job->rows == conv->out_size[0] && job->cols == conv->out_size[1])
        job->images = fc_max(1, fc_min(conv->batch, PIXELS / ((job->rows + v->max_shift) * width)));
}

/* Tasks enough for many threads: first by input channels, then by runs of images. */
static void choose_tasks(weight_job* job) {
    const fc_conv2d* conv = job->conv;
    const int64_t channels = conv->in_channels / conv->groups;
    const fc_plane_layout one = fc_layout_planes(&job->vertical, &job->horizontal, job->images,
                                                 job->rows, job->cols, (size_t)job->element);
    const int64_t taps = job->vertical.taps * job->horizontal.taps;
    const int64_t fit = fc_max(1, PLANE_BYTES / (one.channel_stride * job->element));
    const int64_t least = fc_ceil_div(64, taps); /* enough taps to hide the filling of gradients */
    int64_t chunk = fc_min(fc_min(channels, fit), fc_max(least, fc_ceil_div(channels, CHUNKS)));
    job->chunks = fc_ceil_div(channels, chunk);
    job->chunk = fc_ceil_div(channels, job->chunks);
    job->input_layout = one;

    job->runs = fc_choose_runs(conv, conv->groups * job->chunks,
                               fc_ceil_div(conv->batch, job->images), (size_t)job->element);
}

static void layout_scratch(weight_job* job) {
    const int64_t slack = 2 * job->kernels->lanes;
    const int64_t line = 64 / job->element;
    job->grad_stride = (fc_ceil_div(job->input_layout.phase_stride + slack, line) | 1) * line;
    const int64_t out_per_group = job->conv->out_channels / job->conv->groups;
    job->grads = fc_max(job->kernels->dot_mr, GRAD_BYTES / (job->grad_stride * job->element));
    job->grads = fc_min(job->grads / job->kernels->dot_mr * job->kernels->dot_mr, out_per_group);
    job->input_bytes =
        fc_align((size_t)((job->chunk * job->input_layout.channel_stride + slack) * job->element));
    job->grad_bytes = fc_align((size_t)(job->grads * job->grad_stride * job->element));
    job->offsets_bytes = fc_align((size_t)(job->chunk * job->vertical.taps * job->horizontal.taps) *
                                  sizeof(int32_t));
}

static weight_job plan_job(const fc_conv2d* conv, fc_dtype dtype, int is_explicit,
                           fc_axis_memory memory) {
    weight_job job = {.conv = conv,
                      .kernels = fc_kernels_for(dtype),
                      .dtype = dtype,
                      .is_explicit = is_explicit,
                      .element = (int64_t)fc_dtype_size(dtype)};
    fc_axis_forward(&job.vertical, conv->kernel_size[0], conv->stride[0], conv->dilation[0],
                    is_explicit, memory.vertical);
    fc_axis_forward(&job.horizontal, conv->kernel_size[1], conv->stride[1], conv->dilation[1],
                    is_explicit, memory.horizontal);
    choose_blocks(&job);
    choose_tasks(&job);
    layout_scratch(&job);
    return job;
}

typedef struct {
    int64_t group, first_channel, channels;
    int64_t first_image, images, first_row, rows, first_col, cols;
    int64_t pitch_rows, pitch_cols; /* of a plane: split ones are as the layout says */
    int64_t pixels;                 /* from the first to the last, seams included */
} pixel_block;

/* The planes of `count` channels from first_channel of one image tensor, images innermost but one.
 */
static void fill_input(const weight_job* job, const pixel_block* b, char* planes) {
    const fc_conv2d* conv = job->conv;
    const fc_plane_layout* layout = &job->input_layout;
    const fc_strides s = fc_image_strides(conv->in_channels, conv->in_size[0], conv->in_size[1],
                                          fc_channels_last(conv));
    const fc_planes shape = {
        .height = conv->in_size[0],
        .width = conv->in_size[1],
        .row_stride = s.row_stride,
        .col_stride = s.col_stride,
        .first_row = b->first_row * conv->stride[0] - conv->padding[0],
        .first_column = b->first_col * conv->stride[1] - conv->padding[1],
        .stride_height = conv->stride[0],
        .stride_width = conv->stride[1],
        .row_phases = job->vertical.phases,
        .col_phases = job->horizontal.phases,
        .row_phase = job->vertical.phase,
        .col_phase = job->horizontal.phase,
        .rows = b->pitch_rows,
        .cols = b->pitch_cols,
        .phase_stride = layout->phase_stride,
    };
    const int64_t image_size = b->pitch_rows * b->pitch_cols;
    const int64_t first = b->group * (conv->in_channels / conv->groups) + b->first_channel;
    for (int64_t c = 0; c < b->channels; c++)
        for (int64_t i = 0; i < b->images; i++) {
            const int64_t at =
                (b->first_image + i) * s.batch_stride + (first + c) * s.channel_stride;
            const int64_t to = c * layout->channel_stride + i * image_size;
            job->kernels->fill_planes(&shape, job->input + at * job->element,
                                      planes + to * job->element);
        }
    if (!job->is_explicit) return;
    /* explicit planes end in zeros: their last vector must not meet what lies behind them */
    const size_t tail = (size_t)(job->kernels->lanes * job->element);
    for (int64_t c = 0; c < b->channels; c++)
        for (int64_t a = 0; a < shape.row_phases * shape.col_phases; a++) {
            const int64_t end = c * layout->channel_stride + a * layout->phase_stride + b->pixels;
            memset(planes + end * job->element, 0, tail);
        }
}

static void fill_grads(const weight_job* job, const pixel_block* b, int64_t first, int64_t count,
                       char* planes) {
    static const int64_t zero = 0;
    const fc_conv2d* conv = job->conv;
    const fc_strides s = fc_image_strides(conv->out_channels, conv->out_size[0], conv->out_size[1],
                                          fc_channels_last(conv));
    const fc_planes shape = {
        .height = b->first_row + b->rows, /* beyond the block: zeros, not its neighbours */
        .width = b->first_col + b->cols,
        .row_stride = s.row_stride,
        .col_stride = s.col_stride,
        .first_row = b->first_row,
        .first_column = b->first_col,
        .stride_height = 1,
        .stride_width = 1,
        .row_phases = 1,
        .col_phases = 1,
        .row_phase = &zero,
        .col_phase = &zero,
        .rows = b->pitch_rows,
        .cols = b->pitch_cols,
    };
    const int64_t image_size = b->pitch_rows * b->pitch_cols;
    for (int64_t k = 0; k < count; k++) {
        char* plane = planes + k * job->grad_stride * job->element;
        for (int64_t i = 0; i < b->images; i++) {
            const int64_t at =
                (b->first_image + i) * s.batch_stride + (first + k) * s.channel_stride;
            job->kernels->fill_planes(&shape, job->grad_output + at * job->element,
                                      plane + i * image_size * job->element);
        }
        const int64_t used = b->images * image_size;
        memset(plane + used * job->element, 0, (size_t)((job->grad_stride - used) * job->element));
    }
}

/* All dot products of one filled block; `sums` is this run's whole gradient. */
static void multiply(const weight_job* job, const pixel_block* b, char* planes, char* grads,
                     char* sums) {
    const fc_conv2d* conv = job->conv;
    const int64_t taps = job->vertical.taps * job->horizontal.taps;
    const int64_t depth = conv->in_channels / conv->groups * taps;
    const int64_t out_per_group = conv->out_channels / conv->groups;
    const int mr = job->kernels->dot_mr, nr = job->kernels->dot_nr;
    for (int64_t k = 0; k < out_per_group; k += job->grads) {
        const int64_t count = fc_min(job->grads, out_per_group - k);
        const int64_t first = b->group * out_per_group + k;
        fill_grads(job, b, first, count, grads);
        for (int64_t t = 0; t < b->channels * taps; t += nr)
            for (int64_t m = 0; m < count; m += mr) {
                const int64_t at = (first + m) * depth + b->first_channel * taps + t;
                job->kernels->conv_dots(
                    (int)fc_min(mr, count - m), (int)fc_min(nr, b->channels * taps - t), b->pixels,
                    grads + m * job->grad_stride * job->element, job->grad_stride, planes,
                    job->offset + t, sums + at * job->element, depth);
            }
    }
}

static fc_status run_task(void* context, int64_t index) {
    const weight_job* job = context;
    const fc_conv2d* conv = job->conv;
    char* planes = fc_workspace(FC_SLOT_TASK, job->input_bytes + job->grad_bytes);
    if (!planes) return FC_ERROR_MEMORY;
    /* what a block does not fill meets zeros of the gradient: keep it finite */
    if (!job->is_explicit) memset(planes, 0, job->input_bytes);
    const int64_t run = index % job->runs, rest = index / job->runs;
    const int64_t channels = conv->in_channels / conv->groups;
    pixel_block b = {.group = rest / job->chunks, .first_channel = rest % job->chunks * job->chunk};
    b.channels = fc_min(job->chunk, channels - b.first_channel);
    char* sums = job->sums + run * fc_weight_size(conv) * job->element;
    const int64_t blocks = fc_ceil_div(conv->batch, job->images);
    for (int64_t i = run * blocks / job->runs; i < (run + 1) * blocks / job->runs; i++) {
        b.first_image = i * job->images;
        b.images = fc_min(job->images, conv->batch - b.first_image);
        for (b.first_row = 0; b.first_row < conv->out_size[0]; b.first_row += job->rows)
            for (b.first_col = 0; b.first_col < conv->out_size[1]; b.first_col += job->cols) {
                b.rows = fc_min(job->rows, conv->out_size[0] - b.first_row);
                b.cols = fc_min(job->cols, conv->out_size[1] - b.first_col);
                b.pitch_rows = job->is_explicit ? b.rows : job->input_layout.rows;
                b.pitch_cols = job->is_explicit ? b.cols : job->input_layout.cols;
                b.pixels = ((b.images - 1) * b.pitch_rows + b.rows - 1) * b.pitch_cols + b.cols;
                fill_input(job, &b, planes);
                multiply(job, &b, planes, planes + job->input_bytes, sums);
            }
    }
    return FC_OK;
}

static fc_status run_pass(weight_job* job, int* infinite) {
    const size_t sums_bytes =
        fc_align((size_t)(fc_weight_size(job->conv) * job->element * job->runs));
    char* shared =
        fc_workspace(FC_SLOT_SHARED, job->offsets_bytes + (job->runs > 1 ? sums_bytes : 0));
    if (!shared) return FC_ERROR_MEMORY;
    fc_tap_offsets(&job->vertical, &job->horizontal, &job->input_layout, job->chunk,
                   (int32_t*)shared);
    job->offset = (int32_t*)shared;
    job->sums = job->runs > 1 ? shared + job->offsets_bytes : job->grad_weight;
    memset(job->sums, 0, (size_t)(fc_weight_size(job->conv) * job->element * job->runs));
    const int64_t tasks = job->conv->groups * job->chunks * job->runs;
    fc_status status = fc_parallel_for(tasks, total_work(job->conv), run_task, job);
    if (status != FC_OK) return status;
    return fc_sum_runs(job->dtype, fc_weight_size(job->conv), job->runs, job->sums,
                       job->grad_weight, infinite);
}

fc_status fc_conv2d_direct_grad_weight(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                       const void* grad_output, void* grad_weight) {
    fc_axis_memory memory;
    const fc_status reserved = fc_axis_reserve(conv, &memory);
    if (reserved != FC_OK) return reserved;
    if (fc_depthwise_can(conv, dtype, 2))
        return fc_depthwise_grad_weight(conv, dtype, input, grad_output, grad_weight);
    fc_status status = FC_OK;
    int is_explicit = fc_explicit_pays(conv, conv->out_channels / conv->groups, dtype);
    for (int again = 1; status == FC_OK && again; is_explicit = 1) {
        weight_job job = plan_job(conv, dtype, is_explicit, memory);
        job.input = input;
        job.grad_output = grad_output;
        job.grad_weight = grad_weight;
        int infinite = 0;
        status = run_pass(&job, &infinite);
        again = infinite && !is_explicit;
    }
    fc_workspace_trim();
    return status;
}

int64_t fc_grad_weight_workspace(const fc_conv2d* conv, fc_dtype dtype) {
    fc_axis_memory memory;
    if (fc_axis_reserve(conv, &memory) != FC_OK) return 0;
    int64_t most = 0;
    for (int is_explicit = fc_explicit_pays(conv, conv->out_channels / conv->groups, dtype);
         is_explicit <= 1; is_explicit++) {
        const weight_job job = plan_job(conv, dtype, is_explicit, memory);
        most = fc_max(most, (int64_t)(job.input_bytes + job.grad_bytes));
    }
    return most;
}
