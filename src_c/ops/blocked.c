/* Packing and unpacking of blocks of images: where rows start and end; kernels/transpose.inc moves
 * the elements. */
#include "blocked.h"
#include <string.h>

fc_image fc_image_of(fc_dtype dtype, const void* data, int64_t batch, int64_t channels,
                     const int64_t size[2], fc_layout layout) {
    const fc_kernels_of_type* kernels = fc_kernels_for(dtype);
    const int64_t lanes = kernels->lanes, area = size[0] * size[1];
    fc_image image = {
        .kernels = kernels,
        .element = (int64_t)fc_dtype_size(dtype),
        .data = (char*)data,
        .batch = batch,
        .channels = channels,
        .height = size[0],
        .width = size[1],
        .layout = layout,
        .strides = fc_image_strides(channels, size[0], size[1], layout == FC_NHWC),
    };
    if (layout == FC_BLOCKED)
        image.strides = (fc_strides){.batch_stride = fc_ceil_div(channels, lanes) * lanes * area,
                                     .channel_stride = 1,
                                     .row_stride = size[1] * lanes,
                                     .col_stride = lanes};
    image.block_stride = layout == FC_BLOCKED ? area * lanes : lanes * image.strides.channel_stride;
    return image;
}

int64_t fc_image_place(const fc_image* image, int64_t number, int64_t channel, int64_t row,
                       int64_t column) {
    const fc_strides* s = &image->strides;
    const int64_t lanes = image->kernels->lanes;
    return number * s->batch_stride + channel / lanes * image->block_stride +
           channel % lanes * s->channel_stride + row * s->row_stride + column * s->col_stride;
}

int fc_groups_fit_blocks(const fc_conv2d* conv, fc_dtype dtype) {
    const int64_t lanes = fc_kernels_for(dtype)->lanes;
    const int64_t in = conv->in_channels / conv->groups, out = conv->out_channels / conv->groups;
    return conv->groups == 1 || ((conv->in_layout != FC_BLOCKED || in % lanes == 0) &&
                                 (conv->out_layout != FC_BLOCKED || out % lanes == 0));
}

static int is_one_run(const fc_image* image, const fc_block* b) {
    return b->column == 0 && b->columns == image->width && b->pitch == b->columns &&
           image->strides.row_stride == image->width * image->strides.col_stride;
}

static void pack_run(const fc_image* image, const fc_lanes* lanes, int64_t from, char* to) {
    const char* data = image->data + from * image->element;
    const int adjacent = lanes->row_stride == 1 || lanes->rows == 1;
    const int is_dense_run = lanes->dense && adjacent && lanes->column_stride == lanes->rows;
    if (is_dense_run || (!lanes->dense && image->layout == FC_BLOCKED))
        memcpy(to, data, (size_t)(lanes->columns * lanes->column_stride * image->element));
    else
        image->kernels->pack_lanes(lanes, image->batch * image->strides.batch_stride - from, data,
                                   to);
}

/* Rows that fill vectors badly are better packed as one, where they follow one another. */
static int is_narrow(const fc_image* image, const fc_block* b, int64_t inside) {
    const int64_t lanes = image->kernels->lanes, width = image->width;
    return !b->dense && b->pitch == b->columns && inside == width &&
           image->strides.col_stride == 1 && image->strides.row_stride == width &&
           2 * fc_ceil_div(width, lanes) * lanes >= 3 * width;
}

/* All rows to the end of their block, from where they are moved apart. */
static void pack_narrow(const fc_image* image, const fc_block* b, fc_lanes lanes, int64_t left,
                        char* blocked) {
    const int64_t vector = image->kernels->lanes * image->element, pitch = b->pitch * vector;
    const int64_t first = fc_min(fc_max(0, -b->row), b->rows);
    const int64_t rows = fc_max(0, fc_min(b->rows, image->height - b->row) - first);
    const int64_t width = lanes.columns * vector, before = left * vector;
    char* to = blocked + first * pitch;
    const char* from = to + rows * (pitch - width);
    lanes.columns *= rows;
    memset(blocked, 0, (size_t)(first * pitch));
    if (rows > 0)
        pack_run(image, &lanes, fc_image_place(image, b->image, b->channel, b->row + first, 0),
                 (char*)from);
    for (int64_t i = 0; i < rows; i++, to += pitch, from += width) {
        memmove(to + before, from, (size_t)width);
        memset(to, 0, (size_t)before);
        memset(to + before + width, 0, (size_t)(pitch - before - width));
    }
    memset(to, 0, (size_t)((b->rows - first - rows) * pitch));
}

void fc_pack_block(const fc_image* image, const fc_block* b, void* blocked) {
    const int64_t vector = (b->dense ? b->channels : image->kernels->lanes) * image->element;
    const int64_t first = fc_max(b->column, 0);
    const int64_t last = fc_min(b->column + b->columns, image->width);
    const int64_t left = fc_min(first - b->column, b->columns), inside = fc_max(last - first, 0);
    fc_lanes lanes = {.rows = b->channels,
                      .columns = inside,
                      .row_stride = image->strides.channel_stride,
                      .column_stride = image->strides.col_stride,
                      .dense = b->dense};
    if (is_one_run(image, b) && b->row >= 0 && b->row + b->rows <= image->height) {
        const int64_t from = fc_image_place(image, b->image, b->channel, b->row, 0);
        lanes.columns = b->rows * b->columns;
        pack_run(image, &lanes, from, blocked);
        return;
    }
    if (is_narrow(image, b, inside)) {
        pack_narrow(image, b, lanes, left, blocked);
        return;
    }
    for (int64_t i = 0; i < b->rows; i++) {
        char* to = (char*)blocked + i * b->pitch * vector;
        const int64_t y = b->row + i;
        if (y < 0 || y >= image->height || inside == 0) {
            memset(to, 0, (size_t)(b->columns * vector));
            continue;
        }
        const int64_t from = fc_image_place(image, b->image, b->channel, y, first);
        memset(to, 0, (size_t)(left * vector));
        pack_run(image, &lanes, from, to + left * vector);
        memset(to + (left + inside) * vector, 0, (size_t)((b->columns - left - inside) * vector));
    }
}

void fc_unpack_block(const fc_image* image, const fc_block* b, const void* bias, int relu,
                     const void* blocked) {
    const int64_t vector = image->kernels->lanes * image->element;
    fc_lanes lanes = {.rows = b->channels,
                      .columns = b->columns,
                      .row_stride = image->strides.channel_stride,
                      .column_stride = image->strides.col_stride,
                      .relu = relu,
                      .padded = image->layout == FC_BLOCKED};
    int64_t rows = b->rows;
    if (is_one_run(image, b)) {
        lanes.columns = b->rows * b->columns;
        rows = rows > 0;
    }
    for (int64_t i = 0; i < rows; i++) {
        const int64_t to =
            fc_image_place(image, b->image, b->channel, b->row + i, b->column) * image->element;
        image->kernels->unpack_lanes(&lanes, (const char*)blocked + i * b->pitch * vector, bias,
                                     image->data + to);
    }
}

int64_t fc_blocked_lanes(fc_dtype dtype) {
    return fc_kernels_for(dtype)->lanes;
}

enum { RUN_BYTES = 32 << 10 }; /* of a task, about */

typedef struct {
    fc_image plain, blocked;
    int64_t blocks, rows, parts; /* of channels; of a task; tasks of a block */
} conversion_job;

/* Rows of one channel block, and where they are among blocked images. */
static fc_block locate(const conversion_job* job, int64_t index, char** at) {
    const int64_t lanes = job->plain.kernels->lanes, width = job->plain.width;
    fc_block b = {.row = index % job->parts * job->rows, .columns = width, .pitch = width};
    b.channel = index / job->parts % job->blocks * lanes;
    b.image = index / job->parts / job->blocks;
    b.channels = fc_min(lanes, job->plain.channels - b.channel);
    b.rows = fc_min(job->rows, job->plain.height - b.row);
    *at = job->blocked.data +
          fc_image_place(&job->blocked, b.image, b.channel, b.row, 0) * job->plain.element;
    return b;
}

static fc_status block_rows(void* context, int64_t index) {
    const conversion_job* job = context;
    char* to;
    const fc_block b = locate(job, index, &to);
    fc_pack_block(&job->plain, &b, to);
    return FC_OK;
}

static fc_status unblock_rows(void* context, int64_t index) {
    const conversion_job* job = context;
    char* from;
    const fc_block b = locate(job, index, &from);
    fc_unpack_block(&job->plain, &b, NULL, 0, from);
    return FC_OK;
}

static fc_status convert(const fc_images* images, fc_dtype dtype, const void* plain,
                         const void* blocked, fc_task task) {
    if (images->layout == FC_BLOCKED) return FC_ERROR_ARGUMENT;
    const int64_t channels = images->channels;
    conversion_job job = {
        .plain = fc_image_of(dtype, plain, images->batch, channels, images->size, images->layout),
        .blocked = fc_image_of(dtype, blocked, images->batch, channels, images->size, FC_BLOCKED)};
    const fc_image* b = &job.blocked;
    job.blocks = fc_ceil_div(channels, b->kernels->lanes);
    const int64_t row_bytes = b->strides.row_stride * b->element;
    job.rows = fc_max(1, fc_min(b->height, RUN_BYTES / fc_max(1, row_bytes)));
    job.parts = fc_ceil_div(b->height, job.rows);
    const double work = (double)(b->batch * b->strides.batch_stride * b->element) / 2;
    return fc_parallel_for(b->batch * job.blocks * job.parts, work, task, &job);
}

fc_status fc_images_to_blocked(const fc_images* images, fc_dtype dtype, const void* plain,
                               void* blocked) {
    return convert(images, dtype, plain, blocked, block_rows);
}

fc_status fc_images_from_blocked(const fc_images* images, fc_dtype dtype, const void* blocked,
                                 void* plain) {
    return convert(images, dtype, plain, blocked, unblock_rows);
}
