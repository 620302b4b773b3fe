/* Mosaics: the images of a batch as one, so that fewer tiles reach beyond an image's end.
 *
 * 13x13 results take 4x4 tiles of 4x4, of which they fill two thirds. With a row and a column of
 * zeros between them images follow one another every 14 pixels, and two by two take 7x7 tiles. As
 * many images stand side by side as save most; they go on row by row to the batch's end. */
#include "conv_winograd.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum {
    MOST_ACROSS = 8,
    LEAST_SAVED = 20, /* one of so many products: seams cost shorter runs of pixels in and out */
    LEAST_SAVED_BY_BORDERED = 8, /* joined, these have shorter sums, too */
    MOST_APART = 4,              /* times, the largest magnitudes of joined images */
};

fc_winograd_axis fc_winograd_axis_of(const fc_conv2d* conv, const fc_winograd_shape* shape,
                                     int gradient, int axis) {
    const int64_t in = conv->in_size[axis], out = conv->out_size[axis];
    const int64_t pad = conv->padding[axis], stride = conv->stride[axis];
    if (!gradient) return (fc_winograd_axis){.source = in, .padding = pad, .results = out};
    const int64_t first = pad / stride * stride - pad;
    return (fc_winograd_axis){.source = out,
                              .padding = shape->reach - pad / stride,
                              .first = first,
                              .results = fc_ceil_div(in - first, stride)};
}

fc_mosaic fc_mosaic_apart(const fc_mosaic* joined) {
    fc_mosaic apart = *joined;
    apart.count = joined->batch;
    for (int axis = 0; axis < 2; axis++) {
        apart.images[axis] = 1;
        apart.period[axis] = apart.size[axis] = joined->image[axis];
    }
    return apart;
}

int fc_mosaic_is_joined(const fc_mosaic* m) {
    return m->images[0] * m->images[1] > 1;
}

static int is_bordered(const fc_mosaic* m, int axis) {
    return axis < m->bordered && !fc_mosaic_is_joined(m);
}

int fc_mosaic_clipped_axes(const fc_mosaic* m) {
    int axes = 0;
    for (int axis = 0; axis < 2; axis++)
        axes += (m->padded[axis][0] || m->padded[axis][1]) && !is_bordered(m, axis);
    return axes;
}

fc_tile_axis fc_mosaic_axis(const fc_mosaic* m, const fc_winograd_shape* shape, int axis) {
    static const int none[2] = {0, 0};
    return fc_tile_axis_of(shape, m->size[axis], is_bordered(m, axis) ? m->padded[axis] : none);
}

int64_t fc_mosaic_tiles(const fc_mosaic* m, const fc_winograd_shape* shape) {
    const fc_tile_axis down = fc_mosaic_axis(m, shape, 0), across = fc_mosaic_axis(m, shape, 1);
    return m->count * fc_tile_axis_tiles(&down) * fc_tile_axis_tiles(&across);
}

int64_t fc_mosaic_points(const fc_mosaic* m, const fc_winograd_shape* shape) {
    const fc_tile_axis down = fc_mosaic_axis(m, shape, 0), across = fc_mosaic_axis(m, shape, 1);
    return m->count * fc_tile_axis_points(shape, &down) * fc_tile_axis_points(shape, &across);
}

fc_mosaic fc_mosaic_of(const fc_conv2d* conv, const fc_winograd_shape* shape, int gradient,
                       int bordered) {
    fc_mosaic joined = {.batch = conv->batch, .count = 1, .bordered = shape->small ? bordered : 0};
    for (int axis = 0; axis < 2; axis++) {
        const fc_winograd_axis a = fc_winograd_axis_of(conv, shape, gradient, axis);
        const int64_t after = a.results + shape->reach - a.source - a.padding;
        joined.image[axis] = a.results;
        joined.period[axis] = fc_max(a.results, a.source + fc_max(0, fc_max(a.padding, after)));
        joined.padded[axis][0] = a.padding > 0;
        joined.padded[axis][1] = after > 0;
    }
    fc_mosaic best = fc_mosaic_apart(&joined);
    if (joined.bordered == 2 || conv->stride[0] * conv->stride[1] > 1) return best;
    int64_t least = fc_mosaic_points(&best, shape);
    least -= least / (joined.bordered ? LEAST_SAVED_BY_BORDERED : LEAST_SAVED);
    for (int64_t across = 1; across <= fc_min(MOST_ACROSS, conv->batch); across++) {
        joined.images[0] = fc_ceil_div(conv->batch, across);
        joined.images[1] = across;
        for (int axis = 0; axis < 2; axis++)
            joined.size[axis] =
                (joined.images[axis] - 1) * joined.period[axis] + joined.image[axis];
        const int64_t points = fc_mosaic_points(&joined, shape);
        if (points >= least) continue;
        least = points;
        best = joined;
    }
    return best;
}

typedef struct {
    const fc_image* images;
    double* largest; /* of each */
} magnitude_job;

static fc_status find_largest(void* context, int64_t number) {
    const magnitude_job* job = context;
    const fc_image* images = job->images;
    const int64_t size = images->strides.batch_stride;
    job->largest[number] =
        images->kernels->largest_of_run(size, images->data + number * size * images->element);
    return FC_OK;
}

fc_status fc_mosaic_check(fc_mosaic* m, const fc_image* images) {
    if (!fc_mosaic_is_joined(m)) return FC_OK;
    const size_t bytes = (size_t)m->batch * sizeof(double);
    const magnitude_job job = {.images = images, .largest = fc_workspace(FC_SLOT_SHARED, bytes)};
    if (!job.largest) return FC_ERROR_MEMORY;
    const double elements = (double)(m->batch * images->strides.batch_stride);
    const fc_status status = fc_parallel_for(m->batch, elements, find_largest, (void*)&job);
    double least = job.largest[0], most = least;
    for (int64_t i = 1; i < m->batch; i++) {
        least = job.largest[i] < least ? job.largest[i] : least;
        most = job.largest[i] > most ? job.largest[i] : most;
    }
    const double huge = images->element == 4 ? FLT_MAX : DBL_MAX;
    /* the fourth root of all magnitudes is left for weights and sums */
    if (most > MOST_APART * least || most > huge / sqrt(sqrt(huge))) *m = fc_mosaic_apart(m);
    return status;
}

/* The part of a range of a mosaic's pixels that one image along an axis has: from its own first
 * pixel on, with what lies between it and the next; the first has all before it too, the last all
 * behind. */
typedef struct {
    int64_t number, row, rows; /* of the image; of its pixels */
    int64_t offset;            /* from the range's begin */
} part;

static part part_of(const fc_mosaic* m, int axis, int64_t begin, int64_t end, int64_t at) {
    const int64_t period = m->period[axis], last = m->images[axis] - 1;
    part p = {.number = fc_min(fc_max(at, 0) / period, last), .offset = at - begin};
    if (p.number < last) end = fc_min(end, (p.number + 1) * period);
    p.row = at - p.number * period;
    p.rows = end - at;
    return p;
}

/* The pixels of `b` that one image of the mosaic has, and where they lie in scratch. */
static fc_block block_of(const fc_mosaic* m, const fc_block* b, const part* down,
                         const part* across) {
    fc_block piece = *b;
    piece.image += down->number * m->images[1] + across->number;
    piece.row = down->row;
    piece.rows = down->rows;
    piece.column = across->row;
    piece.columns = across->rows;
    return piece;
}

void fc_mosaic_pack(const fc_mosaic* m, const fc_image* image, const fc_block* b, char* blocked) {
    const int64_t vector = (b->dense ? b->channels : image->kernels->lanes) * image->element;
    const int64_t bottom = b->row + b->rows, right = b->column + b->columns;
    part down, across;
    for (int64_t y = b->row; y < bottom; y += down.rows) {
        down = part_of(m, 0, b->row, bottom, y);
        for (int64_t x = b->column; x < right; x += across.rows) {
            across = part_of(m, 1, b->column, right, x);
            fc_block piece = block_of(m, b, &down, &across);
            if (piece.image >= m->batch) { /* the last row's rest: nothing but zeros */
                piece.image = 0;
                piece.row = image->height;
            }
            fc_pack_block(image, &piece,
                          blocked + (down.offset * b->pitch + across.offset) * vector);
        }
    }
}

/* Rows of planar images are unpacked as one run of pixels where they are whole: short ones fill a
 * transpose's vectors badly. `blocked` is the first pixel, `run` scratch for the piece. */
static const char* join_rows(const fc_image* image, fc_block* b, const char* blocked, char* run) {
    const int64_t bytes = b->columns * image->kernels->lanes * image->element;
    if (image->layout != FC_NCHW || b->columns != image->width || b->pitch == b->columns)
        return blocked;
    for (int64_t i = 0; i < b->rows; i++)
        memcpy(run + i * bytes, blocked + i * b->pitch * image->kernels->lanes * image->element,
               (size_t)bytes);
    b->pitch = b->columns;
    return run;
}

void fc_mosaic_unpack(const fc_mosaic* m, const fc_image* image, const fc_block* b,
                      const void* bias, int relu, const char* blocked, char* run) {
    const int64_t vector = image->kernels->lanes * image->element;
    const int64_t bottom = b->row + b->rows, right = b->column + b->columns;
    part down, across;
    for (int64_t y = b->row; y < bottom; y += down.rows) {
        down = part_of(m, 0, b->row, bottom, y);
        for (int64_t x = b->column; x < right; x += across.rows) {
            across = part_of(m, 1, b->column, right, x);
            fc_block piece = block_of(m, b, &down, &across);
            piece.rows = fc_min(piece.rows, image->height - piece.row);
            piece.columns = fc_min(piece.columns, image->width - piece.column);
            if (piece.image >= m->batch || piece.rows <= 0 || piece.columns <= 0) continue;
            const char* from = blocked + (down.offset * b->pitch + across.offset) * vector;
            if (fc_mosaic_is_joined(m)) from = join_rows(image, &piece, from, run);
            fc_unpack_block(image, &piece, bias, relu, from);
        }
    }
}
