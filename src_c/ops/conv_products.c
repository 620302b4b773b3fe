/* The gradient of the input, products first.
 *
 *   products[c][tap][position] = sum over k of weight[k][c][tap] * grad_output[k][position]
 *   grad_input[c][pixel]       = sum over taps of the products that belong to the pixel
 *
 * The other ways sum over taps and filters at once, at every pixel of the input: around images that
 * were not padded they meet zeros, 2.25 times the work for a 5x5 kernel on 12x12 pixels. Here
 * every product counts, lanes = positions lose none, and the weight is read as it lies, its (c,
 * tap) rows side by side for each filter. What it costs is that products are written, in the near
 * cache, and read again: a vector of them for every K FMAs. */
#include "conv_products.h"
#include <string.h>

enum {
    GATHER = 6,               /* FMAs that take as long as storing and adding up a vector */
    PIXELS = 128,             /* positions of a block, where images are small */
    BLOCK_BYTES = 256 << 10,  /* gradients of a block */
    PRODUCT_BYTES = 16 << 10, /* of channels at a time: they stay in L1 */
    MOST_BYTES = 768 << 10,   /* of both: what an L2 holds; larger images go strip by strip */
    DEPTH = 256,
    TASKS_PER_THREAD = 3,
};

typedef struct {
    const fc_conv2d* conv;
    const fc_kernels_of_type* kernels;
    int64_t element;
    int64_t filters, channels, taps; /* of a group; of a kernel */
    int64_t area;                    /* positions of an image */
    int64_t images, image_blocks;    /* of a block of them; blocks */
    int64_t pitch;                   /* from one filter's gradients to the next's: odd lines */
    int64_t chunk, parts;            /* channels at a time; shares of the channels */
    size_t grads_bytes, products_bytes;
    double work;
    const int32_t* offset; /* of each filter's gradients */
    const char *grad_output, *weight;
    char* grad_input;
} products_job;

static products_job plan_job(const fc_conv2d* conv, fc_dtype dtype) {
    products_job job = {.conv = conv,
                        .kernels = fc_kernels_for(dtype),
                        .element = (int64_t)fc_dtype_size(dtype),
                        .filters = conv->out_channels / conv->groups,
                        .channels = conv->in_channels / conv->groups,
                        .taps = conv->kernel_size[0] * conv->kernel_size[1],
                        .area = conv->out_size[0] * conv->out_size[1]};
    const int64_t lanes = job.kernels->lanes, e = job.element;
    const int64_t fit = BLOCK_BYTES / (job.filters * job.area * e);
    job.images = fc_max(1, fc_min(fc_min(PIXELS / job.area, fit), conv->batch));
    job.work = (double)(conv->batch * job.area) * (double)(conv->out_channels * job.channels) *
               (double)job.taps;
    const int64_t threads = fc_threads_for(job.work);
    const int64_t wanted = threads > 1 ? TASKS_PER_THREAD * threads : 1;
    while (job.images > 1 && fc_ceil_div(conv->batch, job.images) * conv->groups < wanted)
        job.images = fc_ceil_div(job.images, 2);
    job.image_blocks = fc_ceil_div(conv->batch, job.images);
    job.pitch = (fc_ceil_div(job.images * job.area, lanes) | 1) * lanes;
    const int64_t most = fc_max(1, PRODUCT_BYTES / (job.taps * job.pitch * e));
    job.chunk = fc_min(job.channels, most);
    const int64_t chunks = fc_ceil_div(job.channels, job.chunk);
    job.parts = fc_min(chunks, fc_ceil_div(wanted, job.image_blocks * conv->groups));
    job.grads_bytes = fc_align((size_t)(job.filters * job.pitch * e));
    job.products_bytes = fc_align((size_t)((job.chunk * job.taps * job.pitch + lanes) * e));
    return job;
}

static void copy_grads(const products_job* job, int64_t group, int64_t first, int64_t images,
                       char* to) {
    const int64_t e = job->element, size = job->area * e;
    for (int64_t k = 0; k < job->filters; k++, to += job->pitch * e) {
        for (int64_t i = 0; i < images; i++) {
            const int64_t plane = (first + i) * job->conv->out_channels + group * job->filters + k;
            memcpy(to + i * size, job->grad_output + plane * size, (size_t)size);
        }
        memset(to + images * size, 0, (size_t)(job->pitch * e - images * size));
    }
}

/* Products of all taps of `channels` channels, from one on. */
static void multiply(const products_job* job, int64_t group, int64_t channel, int64_t channels,
                     int64_t pixels, const char* grads, char* products) {
    const int64_t e = job->element, row = job->channels * job->taps, mr = job->kernels->mr;
    const int64_t rows = channels * job->taps, tiles = fc_ceil_div(rows, mr);
    const char* weight = job->weight + (group * job->filters * row + channel * job->taps) * e;
    const int64_t calls = fc_ceil_div(job->filters, DEPTH);
    for (int64_t t = 0; t < tiles; t++)
        for (int64_t i = 0; i < calls; i++) {
            const int64_t start = t * rows / tiles, first = i * job->filters / calls;
            const fc_taps call = {.depth = (i + 1) * job->filters / calls - first,
                                  .weight_step = row,
                                  .pixels = pixels,
                                  .tile_stride = job->pitch,
                                  .offset = job->offset + first,
                                  .accumulate = i > 0};
            job->kernels->conv_taps(&call, (int)((t + 1) * rows / tiles - start),
                                    weight + (first * row + start) * e, grads, NULL,
                                    products + start * job->pitch * e);
        }
}

static fc_status run_task(void* context, int64_t index) {
    const products_job* job = context;
    const fc_conv2d* conv = job->conv;
    const int64_t e = job->element, area = conv->in_size[0] * conv->in_size[1];
    char* grads = fc_workspace(FC_SLOT_TASK, job->grads_bytes + job->products_bytes);
    if (!grads) return FC_ERROR_MEMORY;
    char* products = grads + job->grads_bytes;
    const int64_t part = index % job->parts;
    index /= job->parts;
    const int64_t group = index % conv->groups, image = index / conv->groups * job->images;
    const int64_t images = fc_min(job->images, conv->batch - image);
    copy_grads(job, group, image, images, grads);
    fc_gather gather = {.rows = conv->in_size[0],
                        .cols = conv->in_size[1],
                        .positions = {conv->out_size[0], conv->out_size[1]},
                        .kernel = {conv->kernel_size[0], conv->kernel_size[1]},
                        .dilation = {conv->dilation[0], conv->dilation[1]},
                        .padding = {conv->padding[0], conv->padding[1]},
                        .tap_stride = job->pitch};
    const int64_t end = (part + 1) * job->channels / job->parts;
    for (int64_t c = part * job->channels / job->parts; c < end; c += job->chunk) {
        const int64_t channels = fc_min(job->chunk, end - c);
        multiply(job, group, c, channels, images * job->area, grads, products);
        for (int64_t i = 0; i < images; i++)
            for (int64_t d = 0; d < channels; d++) {
                const int64_t plane = (image + i) * conv->in_channels + group * job->channels + c;
                /* the chunk's later planes may be written early, for they are still to come */
                job->kernels->conv_gather(&gather, (channels - d) * area,
                                          products +
                                              (d * job->taps * job->pitch + i * job->area) * e,
                                          job->grad_input + (plane + d) * area * e);
            }
    }
    return FC_OK;
}

fc_status fc_products_grad_input(const fc_conv2d* conv, fc_dtype dtype, const void* grad_output,
                                 const void* weight, void* grad_input) {
    products_job job = plan_job(conv, dtype);
    job.grad_output = grad_output;
    job.weight = weight;
    job.grad_input = grad_input;
    int32_t* offset = fc_workspace(FC_SLOT_SHARED, (size_t)job.filters * sizeof *offset);
    if (!offset) return FC_ERROR_MEMORY;
    for (int64_t k = 0; k < job.filters; k++) offset[k] = (int32_t)(k * job.pitch);
    job.offset = offset;
    return fc_parallel_for(job.image_blocks * conv->groups * job.parts, job.work, run_task, &job);
}

int64_t fc_products_workspace(const fc_conv2d* conv, fc_dtype dtype) {
    const products_job job = plan_job(conv, dtype);
    return (int64_t)(job.grads_bytes + job.products_bytes);
}

double fc_products_work(const fc_conv2d* conv, fc_dtype dtype) {
    const products_job job = plan_job(conv, dtype);
    const int64_t lanes = job.kernels->lanes;
    const int64_t vectors = fc_ceil_div(job.images * job.area, lanes);
    const int64_t gathered = conv->out_size[0] * fc_ceil_div(conv->in_size[1], lanes);
    const double products = (double)(job.filters * vectors) / (double)job.images;
    return (double)(conv->batch * conv->in_channels * job.taps * lanes) *
           (products + (double)(GATHER * gathered));
}

int fc_products_can(const fc_conv2d* conv, fc_dtype dtype) {
    if (fc_channels_last(conv) || conv->stride[0] != 1 || conv->stride[1] != 1 ||
        conv->kernel_size[1] > FC_GATHER_TAPS)
        return 0;
    return fc_products_workspace(conv, dtype) <= MOST_BYTES;
}
