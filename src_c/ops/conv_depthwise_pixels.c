/* Depthwise convolution of NHWC images, straight from the user's memory: lanes are channels, so
 * that stride, dilation and the taps that meet padding are only other addresses and fewer taps.
 *
 * Kernels slide along a row of pixels, for all vectors of channels before the next few pixels:
 * memory is read and written in long runs. To them, who slide along axis 0, the image and the
 * kernel are transposed. Padding is never read: a row of outputs drops the rows of taps that lie
 * outside, and pixels at its ends drop columns. */
#include "conv_depthwise.h"

typedef struct {
    fc_depthwise_job job;
    fc_conv2d conv; /* transposed */
    int64_t vectors, back;
    int64_t chunk, chunks; /* rows of a task; of an image */
    char* packed;
} pixels_job;

static fc_conv2d transposed(const fc_conv2d* conv) {
    fc_conv2d t = *conv;
    for (int axis = 0; axis < 2; axis++) {
        t.in_size[axis] = conv->in_size[1 - axis];
        t.kernel_size[axis] = conv->kernel_size[1 - axis];
        t.out_size[axis] = conv->out_size[1 - axis];
        t.stride[axis] = conv->stride[1 - axis];
        t.dilation[axis] = conv->dilation[1 - axis];
        t.padding[axis] = conv->padding[1 - axis];
    }
    return t;
}

/* The plan of the transposed problem, on the image itself for a slab. */
static fc_depthwise_plan plan_of(const fc_conv2d* t, fc_dtype dtype, int backward) {
    fc_depthwise_plan p = fc_depthwise_plan_of(t, dtype, backward);
    const int64_t channels = t->in_channels;
    p.source_strides.row_stride = p.output_strides.row_stride = channels;
    p.source_strides.col_stride = p.source_size[0] * channels;
    p.output_strides.col_stride = p.output_size[0] * channels;
    p.weight_step[0] = 1;
    p.weight_step[1] = t->kernel_size[0];
    p.pitch = channels;
    p.col_step = p.source_strides.col_stride;
    return p;
}

int fc_depthwise_pixels_can(const fc_conv2d* conv, fc_dtype dtype, int backward) {
    if (!fc_channels_last(conv) || conv->in_channels != conv->groups ||
        conv->out_channels != conv->groups || conv->groups < fc_kernels_for(dtype)->lanes)
        return 0;
    const fc_conv2d t = transposed(conv);
    const fc_depthwise_plan p = plan_of(&t, dtype, backward);
    if ((p.axis[1].reach + 1) * p.col_step > INT32_MAX / 2) return 0;
    for (int64_t residue = 0; residue < p.axis[0].residues; residue++) {
        const fc_depthwise_shifts along = fc_depthwise_shifts_of(&p, 0, residue);
        const int slides = along.step == 1 && fc_depthwise_slides(along.taps, p.axis[0].stride);
        if (along.taps > 1 && !slides) return 0;
    }
    return 1;
}

static int64_t vector_bytes(const fc_depthwise_plan* p) {
    return (1 + p->entries) * p->kernels->lanes * p->element;
}

int64_t fc_depthwise_pixels_bytes(const fc_conv2d* conv, fc_dtype dtype) {
    const fc_depthwise_plan p = fc_depthwise_plan_of(conv, dtype, 0);
    return fc_ceil_div(conv->groups, p.kernels->lanes) * vector_bytes(&p);
}

static int64_t clamp(int64_t value, int64_t least, int64_t most) {
    return fc_max(least, fc_min(value, most));
}

/* From which of the taps at `at`, at + step, ... to which lie inside [0, size). */
typedef struct {
    int64_t from, to;
} span;
static span inside(int64_t at, const fc_depthwise_shifts* shifts, int64_t size) {
    const int64_t from = at < 0 ? fc_ceil_div(-at, shifts->step) : 0;
    const int64_t to = at < size ? (size - 1 - at) / shifts->step + 1 : 0;
    const span s = {fc_min(from, shifts->taps), fc_min(to, shifts->taps)};
    return s.from < s.to ? s : (span){0, 0};
}

/* Positions whose outputs exist. */
static span positions_of(const fc_depthwise_plan* p, int axis, int64_t residue) {
    const fc_depthwise_axis* a = &p->axis[axis];
    const int64_t first = residue - a->before, size = p->output_size[axis];
    const span s = {first < 0, first < size ? (size - 1 - first) / a->residues + 1 : 0};
    return s;
}

typedef struct {
    const pixels_job* whole;
    fc_depthwise sums;
    fc_depthwise_shifts shifts[2];
    int64_t residue[2];
    const char *weight, *start;
} pixels_pair;

/* Outputs [from, to) of a row whose taps `taps` are inside, at the row of positions `row`. */
static void run_run(const pixels_pair* pair, int64_t image, int64_t row, span run, span taps) {
    const fc_depthwise_job* job = &pair->whole->job;
    const fc_depthwise_plan* p = &job->plan;
    const fc_depthwise_axis *along = &p->axis[0], *down = &p->axis[1];
    if (run.from >= run.to) return;
    fc_depthwise sums = pair->sums;
    sums.rows = run.to - run.from;
    const int64_t y = down->first + row * down->stride;
    const span rows = inside(y + pair->shifts[1].first, &pair->shifts[1], p->source_size[1]);
    sums.depth = taps.from < taps.to ? rows.to - rows.from : 0;
    sums.offset += rows.from;
    sums.taps = fc_max(1, taps.to - taps.from);
    if (sums.rows == 1) sums.stride = 1;
    const int64_t source = image * p->source_strides.batch_stride + y * p->col_step +
                           (along->first + run.from * along->stride + taps.from) * p->pitch;
    const int64_t output =
        image * p->output_strides.batch_stride +
        (row * down->residues + pair->residue[1] - down->before) * p->output_strides.col_stride +
        (run.from * along->residues + pair->residue[0] - along->before) * p->pitch;
    const int64_t weight = (rows.from * sums.depth_step + taps.from) * p->kernels->lanes;
    p->kernels->depthwise(&sums, pair->weight + weight * p->element, pair->start,
                          job->source + source * p->element, job->output + output * p->element);
}

/* One row of outputs: the pixels at its ends one by one. */
static void run_row(const pixels_pair* pair, int64_t image, int64_t row) {
    const fc_depthwise_plan* p = &pair->whole->job.plan;
    const fc_depthwise_axis* along = &p->axis[0];
    const fc_depthwise_shifts* shifts = &pair->shifts[0];
    const span all = positions_of(p, 0, pair->residue[0]);
    const int64_t first = along->first + shifts->first; /* of position 0's taps */
    const int64_t room = p->source_size[0] - shifts->taps - first;
    const int64_t from = first < 0 ? fc_ceil_div(-first, along->stride) : 0;
    const int64_t to = room < 0 ? 0 : room / along->stride + 1;
    span middle = {clamp(from, all.from, all.to), clamp(to, all.from, all.to)};
    if (shifts->taps == 0 || middle.from > middle.to) middle.to = middle.from;
    run_run(pair, image, row, middle, (span){0, shifts->taps});
    for (int64_t q = all.from; q < all.to; q++) {
        if (q == middle.from && middle.to > middle.from) q = middle.to;
        if (q >= all.to) break;
        const span taps = inside(first + q * along->stride, shifts, p->source_size[0]);
        run_run(pair, image, row, (span){q, q + 1}, taps);
    }
}

static fc_status run_task(void* context, int64_t index) {
    const pixels_job* whole = context;
    const fc_depthwise_plan* p = &whole->job.plan;
    const int64_t lanes = p->kernels->lanes, image = index / whole->chunks;
    const int64_t first = index % whole->chunks * whole->chunk;
    pixels_pair pair = {.whole = whole};
    for (int64_t a = 0; a < p->axis[0].residues; a++)
        for (int64_t b = 0; b < p->axis[1].residues; b++) {
            const fc_depthwise_pair* of = &p->pair[a * p->axis[1].residues + b];
            const span rows = positions_of(p, 1, b);
            pair.residue[0] = a;
            pair.residue[1] = b;
            for (int axis = 0; axis < 2; axis++)
                pair.shifts[axis] = fc_depthwise_shifts_of(p, axis, pair.residue[axis]);
            pair.start = whole->packed;
            pair.weight = whole->packed + (1 + of->first_entry) * lanes * p->element;
            pair.sums = (fc_depthwise){.vectors = whole->vectors,
                                       .back = whole->back,
                                       .lanes = lanes,
                                       .last_lanes = lanes,
                                       .stride = p->axis[0].stride,
                                       .offset = p->offset + of->first_offset,
                                       .depth_step = of->taps,
                                       .source_pitch = p->pitch,
                                       .source_step = lanes,
                                       .output_pitch = p->pitch * p->axis[0].residues,
                                       .output_step = lanes,
                                       .channels = 1,
                                       .results = 1,
                                       .vector_weight = (1 + p->entries) * lanes,
                                       .relu = whole->job.relu};
            const int64_t last = fc_min(first + whole->chunk, rows.to);
            for (int64_t q = fc_max(first, rows.from); q < last; q++) run_row(&pair, image, q);
        }
    return FC_OK;
}

fc_status fc_depthwise_pixels(const fc_conv2d* conv, fc_dtype dtype, int backward,
                              const fc_depthwise_job* arrays) {
    pixels_job whole = {.job = *arrays, .conv = transposed(conv)};
    fc_depthwise_plan* p = &whole.job.plan;
    *p = plan_of(&whole.conv, dtype, backward);
    const fc_status status = fc_depthwise_tables(p);
    if (status != FC_OK) return status;
    const int64_t lanes = p->kernels->lanes, channels = conv->groups;
    whole.vectors = fc_ceil_div(channels, lanes);
    whole.back = whole.vectors * lanes - channels;
    whole.packed = fc_workspace(FC_SLOT_SHARED, (size_t)(whole.vectors * vector_bytes(p)));
    if (!whole.packed) return FC_ERROR_MEMORY;
    for (int64_t v = 0; v < whole.vectors; v++) /* the last one overlaps its neighbour */
        fc_depthwise_pack(&whole.job, fc_min(v * lanes, channels - lanes), lanes,
                          whole.packed + v * vector_bytes(p));
    const double work = fc_depthwise_work(p);
    const int64_t rows = p->axis[1].positions;
    const int64_t wanted = fc_ceil_div(4 * (int64_t)fc_threads_for(work), conv->batch);
    whole.chunk = fc_ceil_div(rows, fc_min(rows, wanted));
    whole.chunks = fc_ceil_div(rows, whole.chunk);
    return fc_parallel_for(conv->batch * whole.chunks, work, run_task, &whole);
}
