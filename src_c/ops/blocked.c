/* Packing and unpacking of blocks of images: where rows start and end; kernels/transpose.inc moves
 * the elements. */
#include "blocked.h"
#include <string.h>

fc_image fc_image_of(fc_dtype dtype, const void* data, int64_t batch, int64_t channels,
                     const int64_t size[2], int channels_last) {
    return (fc_image){
        .kernels = fc_kernels_for(dtype),
        .element = (int64_t)fc_dtype_size(dtype),
        .data = (char*)data,
        .batch = batch,
        .channels = channels,
        .height = size[0],
        .width = size[1],
        .strides = fc_image_strides(channels, size[0], size[1], channels_last),
    };
}

static int64_t place(const fc_image* image, const fc_block* b, int64_t row, int64_t column) {
    const fc_strides* s = &image->strides;
    return b->image * s->batch_stride + b->channel * s->channel_stride + row * s->row_stride +
           column * s->col_stride;
}

static int is_one_run(const fc_image* image, const fc_block* b) {
    return b->column == 0 && b->columns == image->width && b->pitch == b->columns &&
           image->strides.row_stride == image->width * image->strides.col_stride;
}

void fc_pack_block(const fc_image* image, const fc_block* b, void* blocked) {
    const int64_t vector = image->kernels->lanes * image->element;
    const int64_t first = fc_max(b->column, 0);
    const int64_t last = fc_min(b->column + b->columns, image->width);
    const int64_t left = fc_min(first - b->column, b->columns), inside = fc_max(last - first, 0);
    const int64_t elements = image->batch * image->strides.batch_stride;
    fc_lanes lanes = {.rows = b->channels,
                      .columns = inside,
                      .row_stride = image->strides.channel_stride,
                      .column_stride = image->strides.col_stride};
    if (is_one_run(image, b) && b->row >= 0 && b->row + b->rows <= image->height) {
        const int64_t from = place(image, b, b->row, 0);
        lanes.columns = b->rows * b->columns;
        image->kernels->pack_lanes(&lanes, elements - from, image->data + from * image->element,
                                   blocked);
        return;
    }
    for (int64_t i = 0; i < b->rows; i++) {
        char* to = (char*)blocked + i * b->pitch * vector;
        const int64_t y = b->row + i;
        if (y < 0 || y >= image->height || inside == 0) {
            memset(to, 0, (size_t)(b->columns * vector));
            continue;
        }
        const int64_t from = place(image, b, y, first);
        memset(to, 0, (size_t)(left * vector));
        image->kernels->pack_lanes(&lanes, elements - from, image->data + from * image->element,
                                   to + left * vector);
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
                      .relu = relu};
    int64_t rows = b->rows;
    if (is_one_run(image, b)) {
        lanes.columns = b->rows * b->columns;
        rows = rows > 0;
    }
    for (int64_t i = 0; i < rows; i++)
        image->kernels->unpack_lanes(&lanes, (const char*)blocked + i * b->pitch * vector, bias,
                                     image->data +
                                         place(image, b, b->row + i, b->column) * image->element);
}
