/* Convolution by explicit columns and a library's matrix product (notes 004, section 6.2.2).
 *
 * The whole column matrix holds each pixel once a tap: too large to write to memory. So columns are
 * made in slabs of SLAB_BYTES: some channels of one image by some of its output pixels. A slab is
 * [channel][tap][pixel], as in eq. 6.19. Sums over channels are in order; images and slabs are the
 * parallel tasks. */
#include "conv_planes.h"
#include "conv_weight_sums.h"
#include <string.h>

enum {
    SLAB_BYTES = 1 << 20,
    DEPTH = 4096,      /* rows of a slab: channels * taps */
    MOST_PIXELS = 4096 /* columns of a slab */
};

typedef struct {
    const fc_conv2d* conv;
    const fc_kernels_of_type* kernels;
    const fc_blas* blas;
    fc_dtype dtype;
    int64_t element;
    fc_axis vertical, horizontal;
    fc_strides in_strides, out_strides;
    int64_t window, depth;     /* taps of a kernel; taps of a filter */
    int64_t channels, filters; /* per group */
    int64_t chunk, chunks;     /* channels of a slab */
    int64_t rows, cols;        /* output pixels of a slab */
    int64_t runs;              /* of images, in grad_weight */
    const char *input, *weight, *bias, *grad_output;
    char *output, *grad_input, *sums;
    int relu;
} im2col_job;

typedef struct {
    int64_t image, group, channel, channels; /* of the group */
    int64_t row, rows, col, cols;
} slab;

static void plan(im2col_job* job) {
    const fc_conv2d* conv = job->conv;
    job->kernels = fc_kernels_for(job->dtype);
    job->element = (int64_t)fc_dtype_size(job->dtype);
    job->window = conv->kernel_size[0] * conv->kernel_size[1];
    job->channels = conv->in_channels / conv->groups;
    job->filters = conv->out_channels / conv->groups;
    job->depth = job->channels * job->window;
    job->in_strides = fc_image_strides(conv->in_channels, conv->in_size[0], conv->in_size[1],
                                       fc_channels_last(conv));
    job->out_strides = fc_image_strides(conv->out_channels, conv->out_size[0], conv->out_size[1],
                                        fc_channels_last(conv));
    const int64_t chunks = fc_min(fc_ceil_div(job->depth, DEPTH), job->channels);
    job->chunk = fc_ceil_div(job->channels, chunks);
    job->chunks = fc_ceil_div(job->channels, job->chunk);
    const int64_t fit = SLAB_BYTES / (job->chunk * job->window * job->element);
    const int64_t pixels = fc_max(16, fc_min(fit, MOST_PIXELS));
    job->cols = fc_min(conv->out_size[1], pixels);
    job->rows = job->cols < conv->out_size[1] ? 1 : fc_min(pixels / job->cols, conv->out_size[0]);
}

static size_t slab_bytes(const im2col_job* job) {
    return (size_t)(job->chunk * job->window * job->rows * job->cols * job->element);
}

static fc_planes shape_of(const im2col_job* job, const slab* s) {
    const fc_conv2d* conv = job->conv;
    return (fc_planes){
        .height = conv->in_size[0],
        .width = conv->in_size[1],
        .row_stride = job->in_strides.row_stride,
        .col_stride = job->in_strides.col_stride,
        .first_row = s->row * conv->stride[0] - conv->padding[0],
        .first_column = s->col * conv->stride[1] - conv->padding[1],
        .stride_height = conv->stride[0],
        .stride_width = conv->stride[1],
        .row_phases = job->vertical.phases,
        .col_phases = job->horizontal.phases,
        .row_phase = job->vertical.phase,
        .col_phase = job->horizontal.phase,
        .rows = s->rows,
        .cols = s->cols,
        .phase_stride = s->rows * s->cols,
    };
}

static int64_t image_offset(const im2col_job* job, const slab* s, int64_t channel) {
    return (s->image * job->in_strides.batch_stride +
            (s->group * job->channels + s->channel + channel) * job->in_strides.channel_stride) *
           job->element;
}

static void make_columns(const im2col_job* job, const slab* s, char* columns) {
    const fc_planes shape = shape_of(job, s);
    for (int64_t c = 0; c < s->channels; c++)
        job->kernels->fill_planes(&shape, job->input + image_offset(job, s, c),
                                  columns + c * job->window * shape.phase_stride * job->element);
}

/* C = A op B in column-major order, as BLAS has it. */
typedef struct {
    char trans_a, trans_b;
    int64_t m, n, k;
    const char* a;
    int64_t lda;
    const char* b;
    int64_t ldb;
    int add;
    char* c;
    int64_t ldc;
} product;

static void multiply(const im2col_job* job, const product* p) {
    const float alpha_f32 = 1, beta_f32 = (float)p->add;
    const double alpha_f64 = 1, beta_f64 = p->add;
    const int is_single = job->dtype == FC_FLOAT32;
    job->blas->gemm[job->dtype](&p->trans_a, &p->trans_b, &p->m, &p->n, &p->k,
                                is_single ? (const void*)&alpha_f32 : &alpha_f64, p->a, &p->lda,
                                p->b, &p->ldb, is_single ? (const void*)&beta_f32 : &beta_f64, p->c,
                                &p->ldc);
}

/* The slab's pixels in an output-shaped tensor: first element, and what BLAS calls its stride. */
static int64_t pixels_offset(const im2col_job* job, const slab* s) {
    const fc_strides* o = &job->out_strides;
    return (s->image * o->batch_stride + s->group * job->filters * o->channel_stride +
            s->row * o->row_stride + s->col * o->col_stride) *
           job->element;
}

static int64_t leading(const im2col_job* job) {
    return fc_channels_last(job->conv) ? job->out_strides.col_stride
                                       : job->out_strides.channel_stride;
}

/* Blocks of a task index: every loop below takes slabs in the same order. */
static slab first_slab(const im2col_job* job, int64_t image, int64_t group) {
    return (slab){.image = image, .group = group, .channels = job->chunk};
}

static void size_slab(const im2col_job* job, slab* s) {
    s->channels = fc_min(job->chunk, job->channels - s->channel);
    s->rows = fc_min(job->rows, job->conv->out_size[0] - s->row);
    s->cols = fc_min(job->cols, job->conv->out_size[1] - s->col);
}

static void start_output(const im2col_job* job, const slab* s, char* output) {
    const fc_strides* o = &job->out_strides;
    const int64_t pixels = s->rows * s->cols;
    const int64_t step = fc_channels_last(job->conv) ? o->col_stride : 1;
#define START(T)                                                                                   \
    for (int64_t k = 0; k < job->filters; k++) {                                                   \
        const T bias = ((const T*)job->bias)[s->group * job->filters + k];                         \
        T* row = (T*)output + k * o->channel_stride;                                               \
        for (int64_t p = 0; p < pixels; p++) row[p * step] = bias;                                 \
    }
    if (job->dtype == FC_FLOAT32) {
        START(float)
    } else {
        START(double)
    }
#undef START
}

static void clip_output(const im2col_job* job, const slab* s, char* output) {
    const int64_t pixels = s->rows * s->cols;
    const int last = fc_channels_last(job->conv);
    const int64_t runs = last ? pixels : job->filters, size = last ? job->filters : pixels;
    const fc_unary relu = job->kernels->activation_forward[FC_ACTIVATION_relu];
    for (int64_t i = 0; i < runs; i++) {
        char* run = output + i * leading(job) * job->element;
        relu(size, 0, run, run);
    }
}

static fc_status forward_task(void* context, int64_t index) {
    const im2col_job* job = context;
    const fc_conv2d* conv = job->conv;
    const int64_t col_blocks = fc_ceil_div(conv->out_size[1], job->cols);
    const int64_t row_blocks = fc_ceil_div(conv->out_size[0], job->rows);
    char* columns = fc_workspace(FC_SLOT_TASK, slab_bytes(job));
    if (!columns) return FC_ERROR_MEMORY;
    slab s = {.col = index % col_blocks * job->cols};
    index /= col_blocks;
    s.row = index % row_blocks * job->rows;
    index /= row_blocks;
    s.group = index % conv->groups;
    s.image = index / conv->groups;
    size_slab(job, &s);
    char* output = job->output + pixels_offset(job, &s);
    if (job->bias) start_output(job, &s, output);
    const int64_t pixels = s.rows * s.cols;
    for (s.channel = 0; s.channel < job->channels; s.channel += job->chunk) {
        size_slab(job, &s);
        make_columns(job, &s, columns);
        const int64_t depth = s.channels * job->window;
        const char* weight =
            job->weight +
            (s.group * job->filters * job->depth + s.channel * job->window) * job->element;
        const int add = job->bias || s.channel > 0;
        const product p =
            fc_channels_last(conv)
                ? (product){'T',        'T',     job->filters, pixels, depth,  weight,
                            job->depth, columns, pixels,       add,    output, leading(job)}
                : (product){'N',    'N',    pixels,     job->filters, depth,  columns,
                            pixels, weight, job->depth, add,          output, leading(job)};
        multiply(job, &p);
    }
    if (job->relu) clip_output(job, &s, output);
    return FC_OK;
}

static fc_status grad_input_task(void* context, int64_t index) {
    const im2col_job* job = context;
    const fc_conv2d* conv = job->conv;
    char* columns = fc_workspace(FC_SLOT_TASK, slab_bytes(job));
    if (!columns) return FC_ERROR_MEMORY;
    const int64_t chunk = index % job->chunks;
    index /= job->chunks;
    slab s = first_slab(job, index / conv->groups, index % conv->groups);
    s.channel = chunk * job->chunk;
    for (s.row = 0; s.row < conv->out_size[0]; s.row += job->rows)
        for (s.col = 0; s.col < conv->out_size[1]; s.col += job->cols) {
            size_slab(job, &s);
            const int64_t pixels = s.rows * s.cols, depth = s.channels * job->window;
            const char* weight =
                job->weight +
                (s.group * job->filters * job->depth + s.channel * job->window) * job->element;
            const product p = {fc_channels_last(conv) ? 'T' : 'N',
                               'T',
                               pixels,
                               depth,
                               job->filters,
                               job->grad_output + pixels_offset(job, &s),
                               leading(job),
                               weight,
                               job->depth,
                               0,
                               columns,
                               pixels};
            multiply(job, &p);
            const fc_planes shape = shape_of(job, &s);
            for (int64_t c = 0; c < s.channels; c++)
                job->kernels->add_planes(&shape, columns + c * job->window * pixels * job->element,
                                         job->grad_input + image_offset(job, &s, c));
        }
    return FC_OK;
}

static fc_status grad_weight_task(void* context, int64_t index) {
    const im2col_job* job = context;
    const fc_conv2d* conv = job->conv;
    char* columns = fc_workspace(FC_SLOT_TASK, slab_bytes(job));
    if (!columns) return FC_ERROR_MEMORY;
    const int64_t run = index % job->runs, rest = index / job->runs;
    const int64_t first = run * conv->batch / job->runs, last = (run + 1) * conv->batch / job->runs;
    slab s = first_slab(job, first, rest / job->chunks);
    s.channel = rest % job->chunks * job->chunk;
    char* sums = job->sums + (run * fc_weight_size(conv) + s.group * job->filters * job->depth +
                              s.channel * job->window) *
                                 job->element;
    for (; s.image < last; s.image++)
        for (s.row = 0; s.row < conv->out_size[0]; s.row += job->rows)
            for (s.col = 0; s.col < conv->out_size[1]; s.col += job->cols) {
                size_slab(job, &s);
                make_columns(job, &s, columns);
                const int64_t pixels = s.rows * s.cols;
                const product p = {'T',
                                   fc_channels_last(conv) ? 'T' : 'N',
                                   s.channels * job->window,
                                   job->filters,
                                   pixels,
                                   columns,
                                   pixels,
                                   job->grad_output + pixels_offset(job, &s),
                                   leading(job),
                                   1,
                                   sums,
                                   job->depth};
                multiply(job, &p);
            }
    return FC_OK;
}

static fc_status run(im2col_job* job, int64_t tasks, fc_task task) {
    const fc_conv2d* conv = job->conv;
    const double work = (double)(conv->batch * conv->out_size[0] * conv->out_size[1]) *
                        (double)conv->out_channels * (double)job->depth;
    return fc_parallel_for(tasks, job->blas->concurrent ? work : 0, task, job);
}

static fc_status start(im2col_job* job) {
    fc_axis_memory memory;
    const fc_status reserved = fc_axis_reserve(job->conv, &memory);
    if (reserved != FC_OK) return reserved;
    const fc_conv2d* conv = job->conv;
    fc_axis_forward(&job->vertical, conv->kernel_size[0], conv->stride[0], conv->dilation[0], 1,
                    memory.vertical);
    fc_axis_forward(&job->horizontal, conv->kernel_size[1], conv->stride[1], conv->dilation[1], 1,
                    memory.horizontal);
    plan(job);
    return FC_OK;
}

fc_status fc_conv2d_im2col_forward(const fc_conv2d* conv, fc_dtype dtype, const fc_blas* blas,
                                   const void* input, const void* weight, const void* bias,
                                   int relu, void* output) {
    im2col_job job = {.conv = conv,
                      .blas = blas,
                      .dtype = dtype,
                      .input = input,
                      .weight = weight,
                      .bias = bias,
                      .relu = relu,
                      .output = output};
    fc_status status = start(&job);
    if (status != FC_OK) return status;
    const int64_t blocks =
        fc_ceil_div(conv->out_size[0], job.rows) * fc_ceil_div(conv->out_size[1], job.cols);
    return run(&job, conv->batch * conv->groups * blocks, forward_task);
}

fc_status fc_conv2d_im2col_grad_input(const fc_conv2d* conv, fc_dtype dtype, const fc_blas* blas,
                                      const void* grad_output, const void* weight,
                                      void* grad_input) {
    im2col_job job = {.conv = conv,
                      .blas = blas,
                      .dtype = dtype,
                      .grad_output = grad_output,
                      .weight = weight,
                      .grad_input = grad_input};
    fc_status status = start(&job);
    if (status != FC_OK) return status;
    memset(grad_input, 0,
           (size_t)(conv->batch * conv->in_channels * conv->in_size[0] * conv->in_size[1] *
                    job.element));
    return run(&job, conv->batch * conv->groups * job.chunks, grad_input_task);
}

fc_status fc_conv2d_im2col_grad_weight(const fc_conv2d* conv, fc_dtype dtype, const fc_blas* blas,
                                       const void* input, const void* grad_output,
                                       void* grad_weight) {
    im2col_job job = {
        .conv = conv, .blas = blas, .dtype = dtype, .input = input, .grad_output = grad_output};
    fc_status status = start(&job);
    if (status != FC_OK) return status;
    job.runs = fc_choose_runs(conv, conv->groups * job.chunks, conv->batch, (size_t)job.element);
    const size_t bytes = (size_t)(fc_weight_size(conv) * job.element * job.runs);
    job.sums = job.runs > 1 ? fc_workspace(FC_SLOT_SHARED, bytes) : grad_weight;
    if (!job.sums) return FC_ERROR_MEMORY;
    memset(job.sums, 0, bytes);
    status = run(&job, conv->groups * job.chunks * job.runs, grad_weight_task);
    int infinite;
    if (status == FC_OK && job.runs > 1)
        status =
            fc_sum_runs(dtype, fc_weight_size(conv), job.runs, job.sums, grad_weight, &infinite);
    fc_workspace_trim();
    return status;
}

int64_t fc_conv2d_im2col_workspace(const fc_conv2d* conv, fc_dtype dtype) {
    im2col_job job = {.conv = conv, .dtype = dtype};
    return start(&job) == FC_OK ? (int64_t)slab_bytes(&job) : 0;
}
