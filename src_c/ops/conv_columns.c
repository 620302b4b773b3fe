/* Columns of pixels: see conv_pooled.h. On the way lies the image in blocks of a vector of
 * channels, padded; fewer channels than lanes are one block without gaps. */
#include "conv_pooled.h"
#include <string.h>

fc_columns fc_columns_of_input(const fc_conv2d* conv, fc_dtype dtype, int dense) {
    const fc_kernels_of_type* kernels = fc_kernels_for(dtype);
    const int64_t lanes = kernels->lanes, channels = conv->in_channels;
    fc_columns c = {.kernels = kernels,
                    .element = (int64_t)fc_dtype_size(dtype),
                    .channels = channels,
                    .pieces = conv->kernel_size[0],
                    .apart = conv->dilation[0],
                    .rows = conv->out_size[0],
                    .step = conv->stride[0],
                    .blocks = fc_ceil_div(channels, lanes),
                    .pixel = fc_min(channels, lanes)};
    for (int axis = 0; axis < 2; axis++) {
        c.size[axis] = conv->in_size[axis];
        c.before[axis] = conv->padding[axis];
    }
    c.height = (c.rows - 1) * c.step + (c.pieces - 1) * c.apart + 1;
    c.width = (conv->out_size[1] - 1) * conv->stride[1] + conv->kernel_size[1];
    const int64_t run = c.pieces * channels;
    c.pitch = dense ? run : fc_ceil_div(run, lanes) * lanes;
    return c;
}

fc_columns fc_columns_of_filter(const fc_columns* input, const fc_conv2d* conv) {
    fc_columns c = *input;
    c.apart = c.rows = c.step = 1;
    c.height = c.size[0] = conv->kernel_size[0];
    c.width = c.size[1] = conv->kernel_size[1];
    c.before[0] = c.before[1] = 0;
    return c;
}

int64_t fc_columns_window(const fc_columns* c, const fc_conv2d* conv) {
    return fc_ceil_div(conv->kernel_size[1] * c->pitch, c->kernels->lanes) * c->kernels->lanes;
}

int64_t fc_columns_elements(const fc_columns* c) {
    return c->rows * c->width * c->pitch + 2 * c->kernels->lanes;
}

int64_t fc_columns_scratch(const fc_columns* c) {
    const int64_t lanes = c->kernels->lanes;
    const int64_t filled = c->blocks * c->height * c->width * c->pixel;
    return fc_max(filled, c->size[0] * c->size[1] * lanes) + 2 * lanes;
}

void fc_columns_table(const fc_columns* c, const fc_conv2d* conv, int32_t* table) {
    for (int64_t y = 0; y < conv->out_size[0]; y++)
        for (int64_t x = 0; x < conv->out_size[1]; x++)
            *table++ = (int32_t)((y * c->width + x * conv->stride[1]) * c->pitch);
}

void fc_columns_by_windows(const fc_conv2d* conv, const int32_t* table, int32_t* by_windows) {
    for (int64_t y = 0; y + 1 < conv->out_size[0]; y += 2)
        for (int64_t x = 0; x + 1 < conv->out_size[1]; x += 2)
            for (int i = 0; i < 4; i++)
                *by_windows++ = table[(y + i / 2) * conv->out_size[1] + x + i % 2];
}

/* Columns of the image that windows meet. */
static int64_t met(const fc_columns* c) {
    return fc_max(0, fc_min(c->size[1], c->width - c->before[1]));
}

/* One block of channels into padded rows of pixels. */
static void pack(const fc_columns* c, int64_t block, const char* image, int64_t room,
                 char* pixels) {
    const int64_t lanes = c->kernels->lanes, e = c->element, area = c->size[0] * c->size[1];
    const int64_t from = block * lanes * area;
    fc_lanes shape = {.rows = fc_min(lanes, c->channels - block * lanes),
                      .row_stride = area,
                      .column_stride = 1,
                      .dense = c->pixel < lanes};
    if (c->width == c->size[1] && c->before[1] == 0 && c->before[0] == 0) {
        shape.columns = fc_min(c->height, c->size[0]) * c->width;
        c->kernels->pack_lanes(&shape, room - from, image + from * e, pixels);
        return;
    }
    shape.columns = met(c);
    for (int64_t y = 0; y < c->size[0] && y + c->before[0] < c->height; y++) {
        const int64_t at = from + y * c->size[1];
        const int64_t to = (y + c->before[0]) * c->width + c->before[1];
        c->kernels->pack_lanes(&shape, room - at, image + at * e, pixels + to * c->pixel * e);
    }
}

/* Does any column meet padding? */
static int is_padded(const fc_columns* c) {
    return c->before[0] + c->before[1] > 0 || c->height > c->size[0] || c->width > c->size[1];
}

/* Columns of one channel, without gaps: transposes of as many rows as they have pixels. `row`: from
 * one row of the image to the next. What is written too much at the end is zero. */
static void fill_single(const fc_columns* c, const char* image, int64_t room, int64_t row,
                        char* to) {
    const fc_lanes shape = {.rows = c->pieces,
                            .columns = c->width,
                            .row_stride = c->apart * row,
                            .column_stride = 1,
                            .dense = 1};
    for (int64_t y = 0; y < c->rows; y++) {
        const int64_t from = y * c->step * row;
        c->kernels->pack_lanes(&shape, room - from, image + from * c->element,
                               to + y * c->width * c->pitch * c->element);
    }
}

void fc_columns_fill(const fc_columns* c, const char* image, int64_t room, char* scratch,
                     char* to) {
    const int64_t e = c->element, block = c->height * c->width * c->pixel;
    const int is_single =
        c->channels == 1 && c->pitch == c->pieces && c->pieces <= c->kernels->lanes;
    if (is_single && !is_padded(c)) {
        fill_single(c, image, room, c->size[1], to);
        return;
    }
    if (is_padded(c)) memset(scratch, 0, (size_t)(c->blocks * block * e));
    for (int64_t b = 0; b < c->blocks; b++) pack(c, b, image, room, scratch + b * block * e);
    if (is_single) {
        fill_single(c, scratch, fc_columns_scratch(c), c->width, to);
        return;
    }
    const fc_pixel_columns shape = {.columns = c->width,
                                    .pieces = c->pieces,
                                    .channels = c->channels,
                                    .pitch = c->pitch,
                                    .pixel = c->pixel,
                                    .row = c->apart * c->width * c->pixel,
                                    .blocks = c->blocks,
                                    .block = block};
    for (int64_t y = 0; y < c->rows; y++)
        c->kernels->pooled.columns(&shape, scratch + y * c->step * c->width * c->pixel * e,
                                   to + y * c->width * c->pitch * e);
}

/* Where the pieces that belong to a row (of the padded image) lie; returns how many. */
static int64_t pieces_of(const fc_columns* c, int64_t row, int64_t* offset) {
    int64_t count = 0;
    for (int64_t i = 0; i < c->pieces; i++) {
        const int64_t top = row - i * c->apart;
        if (top < 0 || top % c->step || top / c->step >= c->rows) continue;
        offset[count++] = top / c->step * c->width * c->pitch + i * c->channels;
    }
    return count;
}

void fc_columns_fold(const fc_columns* c, const char* from, char* scratch, char* image) {
    const int64_t lanes = c->kernels->lanes, e = c->element, area = c->size[0] * c->size[1];
    int64_t offset[FC_POOLED_ROWS];
    fc_pixel_columns shape = {.columns = met(c), .pitch = c->pitch};
    if (shape.columns < c->size[1]) memset(scratch, 0, (size_t)(area * lanes * e));
    for (int64_t b = 0; b < c->blocks; b++) {
        const char* start = from + (c->before[1] * c->pitch + b * lanes) * e;
        for (int64_t y = 0; y < c->size[0]; y++) {
            shape.pieces = pieces_of(c, y + c->before[0], offset);
            c->kernels->pooled.pixels(&shape, offset, start, scratch + y * c->size[1] * lanes * e);
        }
        const fc_lanes planes = {.rows = fc_min(lanes, c->channels - b * lanes),
                                 .columns = area,
                                 .row_stride = area,
                                 .column_stride = 1};
        c->kernels->unpack_lanes(&planes, scratch, NULL, image + b * lanes * area * e);
    }
}
