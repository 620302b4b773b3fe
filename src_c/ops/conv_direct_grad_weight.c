/* The gradient of the weights by direct dot products along pixels.
 *
 *   grad_weight[k][c][t] = sum over images and pixels of grad_output[k][p] * plane_c[p + offset[t]]
 *
 * A task owns the taps of a block of input channels for a share of the images. For each block of
 * pixels it fills the input's planes, and the output's gradient with zeros where planes have seams
 * (whole vectors of pixels without a seam are read where they lie); then every (k, (c, t)) pair is
 * a dot product of contiguous runs. Shares of images are cut by the geometry alone and added up in
 * order, so results do not depend on the number of threads.
 *
 * A zero at a seam times infinity or NaN is NaN where the true sum has no such term. So if any
 * result is not finite, the pass is run again on explicit planes, which have no seams. */
#include "conv_depthwise.h"
#include "conv_planes.h"
#include "conv_weight_sums.h"
#include <string.h>

enum {
    PIXELS = 1280,           /* of a block: dot_mr + dot_nr rows of it fit L1 */
    PLANE_BYTES = 512 << 10, /* input planes of a task */
    GRAD_BYTES = 256 << 10,  /* planes of the output's gradient */
    SUM_LANES = 12,          /* FMAs that take as long as adding up the lanes of a block's sum */
    CHUNKS = 16,             /* tasks are made by cutting the channels into up to this many */
};

/* How the input's planes are filled. */
typedef enum {
    SPLIT,   /* all images of a block are one run, with seams between rows and images */
    COLUMNS, /* explicit columns: each image is a run without a seam */
    ALL,     /* explicit rows too, and zeros behind the run */
} planes_mode;

typedef struct {
    const fc_conv2d* conv;
    const fc_kernels_of_type* kernels;
    fc_dtype dtype;
    planes_mode mode;
    int reads_grads; /* where they lie: their runs are whole vectors */
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
    const int64_t seam = job->mode == SPLIT ? v->max_shift : 0;
    const int64_t rows = fc_max(1, PIXELS / width - seam);
    job->rows = fc_ceil_div(conv->out_size[0], fc_ceil_div(conv->out_size[0], rows));
    job->images = 1;
    if (job->rows == conv->out_size[0] && job->cols == conv->out_size[1])
        job->images = fc_max(1, fc_min(conv->batch, PIXELS / ((job->rows + seam) * width)));
    const int64_t lanes = job->kernels->lanes, last = conv->out_size[0] % job->rows;
    job->reads_grads = job->mode == COLUMNS && !fc_channels_last(conv) &&
                       job->cols == conv->out_size[1] && job->rows * job->cols % lanes == 0 &&
                       last * job->cols % lanes == 0;
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
    int64_t run = job->input_layout.phase_stride;
    if (job->mode == COLUMNS) run = job->images * fc_ceil_div(job->rows * job->cols, line) * line;
    job->grad_stride = (fc_ceil_div(run + slack, line) | 1) * line;
    const int64_t out_per_group = job->conv->out_channels / job->conv->groups;
    job->grads = fc_max(job->kernels->dot_mr, GRAD_BYTES / (job->grad_stride * job->element));
    job->grads = fc_min(job->grads / job->kernels->dot_mr * job->kernels->dot_mr, out_per_group);
    job->input_bytes =
        fc_align((size_t)((job->chunk * job->input_layout.channel_stride + slack) * job->element));
    job->grad_bytes = fc_align((size_t)(job->grads * job->grad_stride * job->element));
    if (job->reads_grads) {
        job->grads = out_per_group;
        job->grad_bytes = 0;
    }
    job->offsets_bytes = fc_align((size_t)(job->chunk * job->vertical.taps * job->horizontal.taps) *
                                  sizeof(int32_t));
}

static weight_job plan_job(const fc_conv2d* conv, fc_dtype dtype, planes_mode mode,
                           fc_axis_memory memory) {
    weight_job job = {.conv = conv,
                      .kernels = fc_kernels_for(dtype),
                      .dtype = dtype,
                      .mode = mode,
                      .element = (int64_t)fc_dtype_size(dtype)};
    fc_axis_forward(&job.vertical, conv->kernel_size[0], conv->stride[0], conv->dilation[0],
                    mode == ALL, memory.vertical);
    fc_axis_forward(&job.horizontal, conv->kernel_size[1], conv->stride[1], conv->dilation[1],
                    mode != SPLIT, memory.horizontal);
    choose_blocks(&job);
    choose_tasks(&job);
    layout_scratch(&job);
    return job;
}

typedef struct {
    int64_t group, first_channel, channels;
    int64_t first_image, images, first_row, rows, first_col, cols;
    int64_t pitch_rows, pitch_cols; /* of a plane: all but explicit ones are as the layout says */
    int64_t pixels;                 /* of a run, seams included */
    int64_t runs, grad_rows;        /* rows of an image's gradient, as filled */
    int64_t grad_run;               /* elements from one image's gradient to the next */
} pixel_block;

/* Runs of a block whose images, rows and columns are known. */
static void plan_runs(const weight_job* job, pixel_block* b) {
    const int64_t lanes = job->kernels->lanes;
    b->pitch_rows = job->mode == ALL ? b->rows : job->input_layout.rows;
    b->pitch_cols = job->mode == ALL ? b->cols : job->input_layout.cols;
    const int is_joint = job->mode != COLUMNS;
    b->runs = is_joint ? 1 : b->images;
    b->pixels = (b->rows - 1) * b->pitch_cols + b->cols;
    if (is_joint) b->pixels += (b->images - 1) * b->pitch_rows * b->pitch_cols;
    b->grad_rows = is_joint ? b->pitch_rows : b->rows;
    b->grad_run = b->grad_rows * b->pitch_cols;
    if (!is_joint) b->grad_run = fc_ceil_div(b->grad_run, lanes) * lanes;
}

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
    if (job->mode != ALL) return;
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
        .rows = b->grad_rows,
        .cols = b->pitch_cols,
    };
    const int64_t filled = b->grad_rows * b->pitch_cols;
    for (int64_t k = 0; k < count; k++) {
        char* plane = planes + k * job->grad_stride * job->element;
        for (int64_t i = 0; i < b->images; i++) {
            const int64_t at =
                (b->first_image + i) * s.batch_stride + (first + k) * s.channel_stride;
            char* to = plane + i * b->grad_run * job->element;
            job->kernels->fill_planes(&shape, job->grad_output + at * job->element, to);
            memset(to + filled * job->element, 0, (size_t)((b->grad_run - filled) * job->element));
        }
        const int64_t used = b->images * b->grad_run;
        memset(plane + used * job->element, 0, (size_t)((job->grad_stride - used) * job->element));
    }
}

/* Parts of a whole as even as they can be, of at most `most`: where part `index` starts. */
static int64_t even_start(int64_t whole, int64_t most, int64_t index) {
    return index * whole / fc_ceil_div(whole, most);
}

/* All dot products of one block with `count` gradients, channel `first` and on. */
static void multiply_grads(const weight_job* job, const pixel_block* b, int64_t first,
                           int64_t count, const char* planes, const char* grads, char* sums) {
    const fc_conv2d* conv = job->conv;
    const int64_t taps = job->vertical.taps * job->horizontal.taps, columns = b->channels * taps;
    const int64_t depth = conv->in_channels / conv->groups * taps;
    const int64_t mr = job->kernels->dot_mr, nr = job->kernels->dot_nr;
    fc_dots dots = {.pixels = b->pixels,
                    .runs = b->runs,
                    .a_run = b->grad_run,
                    .b_run = b->pitch_rows * b->pitch_cols,
                    .a_stride = job->grad_stride,
                    .sums_stride = depth};
    if (job->reads_grads) {
        dots.a_stride = conv->out_size[0] * conv->out_size[1];
        dots.a_run = conv->out_channels * dots.a_stride;
        grads = job->grad_output + ((b->first_image * conv->out_channels + first) * dots.a_stride +
                                    b->first_row * conv->out_size[1]) *
                                       job->element;
    }
    /* Every plane serves all taps of a column or more, so that few gradients and all planes meet in
     * the near cache rather than the reverse. */
    for (int64_t j = 0; j * mr < count; j++) {
        const int64_t m = even_start(count, mr, j), mn = even_start(count, mr, j + 1) - m;
        for (int64_t i = 0; i * nr < columns; i++) {
            const int64_t t = even_start(columns, nr, i), tn = even_start(columns, nr, i + 1) - t;
            const int64_t at = (first + m) * depth + b->first_channel * taps + t;
            job->kernels->conv_dots(&dots, (int)mn, (int)tn,
                                    grads + m * dots.a_stride * job->element, planes,
                                    job->offset + t, sums + at * job->element);
        }
    }
}

/* All dot products of one filled block; `sums` is this share's whole gradient. */
static void multiply(const weight_job* job, const pixel_block* b, const char* planes, char* grads,
                     char* sums) {
    const int64_t out_per_group = job->conv->out_channels / job->conv->groups;
    for (int64_t k = 0; k < out_per_group; k += job->grads) {
        const int64_t count = fc_min(job->grads, out_per_group - k);
        const int64_t first = b->group * out_per_group + k;
        if (!job->reads_grads) fill_grads(job, b, first, count, grads);
        multiply_grads(job, b, first, count, planes, grads, sums);
    }
}

static fc_status run_task(void* context, int64_t index) {
    const weight_job* job = context;
    const fc_conv2d* conv = job->conv;
    char* planes = fc_workspace(FC_SLOT_TASK, job->input_bytes + job->grad_bytes);
    if (!planes) return FC_ERROR_MEMORY;
    /* what a block does not fill meets zeros of the gradient: keep it finite */
    if (job->mode != ALL && !job->reads_grads) memset(planes, 0, job->input_bytes);
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
                plan_runs(job, &b);
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

static planes_mode cheapest_mode(const fc_conv2d* conv, fc_dtype dtype) {
    const int64_t filters = conv->out_channels / conv->groups;
    return fc_explicit_pays(conv, filters, conv->out_size[1], dtype) ? COLUMNS : SPLIT;
}

fc_status fc_conv2d_direct_grad_weight(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                       const void* grad_output, void* grad_weight) {
    fc_axis_memory memory;
    const fc_status reserved = fc_axis_reserve(conv, &memory);
    if (reserved != FC_OK) return reserved;
    if (fc_depthwise_can(conv, dtype, 2))
        return fc_depthwise_grad_weight(conv, dtype, input, grad_output, grad_weight);
    fc_status status = FC_OK;
    planes_mode mode = cheapest_mode(conv, dtype);
    for (int again = 1; status == FC_OK && again; mode = ALL) {
        weight_job job = plan_job(conv, dtype, mode, memory);
        job.input = input;
        job.grad_output = grad_output;
        job.grad_weight = grad_weight;
        int infinite = 0;
        status = run_pass(&job, &infinite);
        again = infinite && mode != ALL && !job.reads_grads;
    }
    fc_workspace_trim();
    return status;
}

int64_t fc_grad_weight_workspace(const fc_conv2d* conv, fc_dtype dtype) {
    fc_axis_memory memory;
    if (fc_axis_reserve(conv, &memory) != FC_OK) return 0;
    const weight_job usual = plan_job(conv, dtype, cheapest_mode(conv, dtype), memory);
    const int64_t bytes = (int64_t)(usual.input_bytes + usual.grad_bytes);
    const weight_job again = plan_job(conv, dtype, ALL, memory);
    return fc_max(bytes, (int64_t)(again.input_bytes + again.grad_bytes));
}

double fc_grad_weight_work(const fc_conv2d* conv, fc_dtype dtype) {
    fc_axis_memory memory;
    if (fc_axis_reserve(conv, &memory) != FC_OK) return 0;
    const weight_job job = plan_job(conv, dtype, cheapest_mode(conv, dtype), memory);
    const int64_t blocks = fc_ceil_div(conv->batch, job.images) *
                           fc_ceil_div(conv->out_size[0], job.rows) *
                           fc_ceil_div(conv->out_size[1], job.cols);
    const int64_t width = conv->out_size[1] + job.horizontal.max_shift;
    const int64_t pixels = conv->batch * conv->out_size[0] * width;
    return (double)fc_weight_size(conv) *
           (double)(pixels + blocks * SUM_LANES * job.kernels->lanes);
}
