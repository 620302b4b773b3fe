/* How a depthwise problem is cut up: see conv_depthwise.h. */
#include "conv_depthwise.h"

enum {
    ROW_BYTES = 32 << 10,   /* a slab of rows: L1 */
    LANE_BYTES = 256 << 10, /* of vectors a pixel: L2; a window's rows of one, L1 */
    VECTORS = 8,            /* of a pixel, filled at once */
    TILE_ROWS = 14,
    LEAST_ROWS = 7, /* half a tile of the kernels */
    SMALL_GROUP = 8,
    FEW_PAIRS = 9,        /* of channels in a group */
    MOST_TABLE = 1 << 16, /* entries of the tables of taps, and pairs of residues */
};

double fc_depthwise_work(const fc_depthwise_plan* p) {
    return (double)p->conv->batch * p->output_channels * p->axis[0].positions *
           p->axis[1].positions * ((double)p->entries + 8);
}

static fc_depthwise_axis plan_axis(const fc_conv2d* conv, int axis, int backward) {
    const int64_t span = (conv->kernel_size[axis] - 1) * conv->dilation[axis];
    const int64_t stride = conv->stride[axis], padding = conv->padding[axis];
    if (!backward)
        return (fc_depthwise_axis){.first = -padding,
                                   .positions = conv->out_size[axis],
                                   .stride = stride,
                                   .reach = span,
                                   .residues = 1};
    const int64_t reach = span / stride, first = padding / stride;
    return (fc_depthwise_axis){.first = first - reach,
                               .positions =
                                   (conv->in_size[axis] - 1 + padding) / stride - first + 1,
                               .stride = 1,
                               .reach = reach,
                               .residues = stride,
                               .before = padding % stride};
}

/* Blocks of at most so many groups, or vectors of channels. */
static void cut_channels(fc_depthwise_plan* p, int64_t most) {
    p->groups = fc_ceil_div(p->parts, fc_ceil_div(p->parts, most));
    p->blocks = fc_ceil_div(p->parts, p->groups);
}

static void choose_lanes(fc_depthwise_plan* p) {
    const int64_t lanes = p->kernels->lanes;
    p->parts = p->conv->groups;
    p->lanes = lanes;
    if (fc_channels_last(p->conv)) {
        const int64_t groups = lanes / fc_max(p->reduced, p->results); /* of a vector */
        p->together = groups > 0;
        p->lanes = groups > 0 ? groups * p->results : lanes;
        p->parts = fc_ceil_div(p->output_channels, p->lanes);
    }
}

static void cut_rows(fc_depthwise_plan* p, int64_t most) {
    const int64_t positions = p->axis[0].positions;
    p->rows = fc_ceil_div(positions, fc_ceil_div(positions, most));
    if (p->rows < positions && p->rows % TILE_ROWS) /* whole tiles, where that is no great loss */
        p->rows = p->rows > TILE_ROWS ? p->rows / TILE_ROWS * TILE_ROWS : fc_min(most, LEAST_ROWS);
    p->row_blocks = fc_ceil_div(positions, p->rows);
}

/* Rows of a unit, as the caches like them. */
static void choose_rows(fc_depthwise_plan* p) {
    const fc_depthwise_axis *v = &p->axis[0], *h = &p->axis[1];
    const int64_t vector = fc_channels_last(p->conv) ? p->kernels->lanes : 1;
    p->phases = fc_channels_last(p->conv) ? 1 : fc_min(h->stride, h->reach + 1);
    p->cols = fc_channels_last(p->conv) ? (h->positions - 1) * h->stride + h->reach + 1
                                        : h->positions + h->reach / h->stride;
    p->pitch = fc_ceil_div(p->cols * vector, p->kernels->lanes) * p->kernels->lanes;
    const int64_t line = p->reduced * p->phases * p->pitch * p->element;
    if (fc_channels_last(p->conv)) {
        const int64_t least = (LEAST_ROWS - 1) * v->stride + v->reach + 1;
        cut_channels(p, fc_max(1, fc_min(p->together ? VECTORS : 1, LANE_BYTES / (least * line))));
        cut_rows(p, fc_max(LEAST_ROWS, (LANE_BYTES / (p->groups * line) - v->reach) / v->stride));
        return;
    }
    cut_rows(p, fc_max(LEAST_ROWS, (ROW_BYTES / line - v->reach) / v->stride));
    cut_channels(p, 1);
    if (p->row_blocks > 1) return;
    /* several groups of small images: their slabs and weights */
    const int64_t lines = (v->positions - 1) * v->stride + v->reach + 1;
    const int64_t weights = p->results * (p->entries + 1) * p->kernels->lanes * p->element;
    const int64_t several = ROW_BYTES / (lines * line + weights);
    cut_channels(p, fc_max(1, fc_min(several, FC_DEPTHWISE_CHANNELS / p->results)));
}

static void layout_scratch(fc_depthwise_plan* p) {
    const fc_depthwise_axis *v = &p->axis[0], *h = &p->axis[1];
    const int64_t lanes = p->kernels->lanes, slack = 4 * lanes;
    const int64_t lines = (p->rows - 1) * v->stride + v->reach + 1;
    p->phase_stride = lines * p->pitch + 2 * lanes; /* rows may end in a vector of zeros */
    p->channel_stride = p->phases * p->phase_stride;
    p->group_stride = p->reduced * p->channel_stride;
    const int64_t packed = fc_channels_last(p->conv)
                               ? p->groups
                               : fc_min(p->groups * p->results, FC_DEPTHWISE_CHANNELS);
    p->slab_bytes = fc_align((size_t)((p->groups * p->group_stride + slack) * p->element));
    p->packed_bytes = fc_align((size_t)(packed * (p->entries + 1) * lanes * p->element));
    const int64_t vectors =
        fc_channels_last(p->conv) ? h->positions : fc_ceil_div(h->positions, lanes);
    p->tile_pitch = vectors * lanes;
    p->tile_stride = p->rows * p->tile_pitch + slack;
    p->tiles = v->residues * h->residues > 1 ? v->residues * h->residues : 0;
    p->tile_bytes = fc_align((size_t)(p->tiles * p->tile_stride * p->element));
}

void fc_depthwise_share(fc_depthwise_plan* p) {
    const int64_t wanted = 3 * (int64_t)fc_threads_for(fc_depthwise_work(p));
    if (wanted == 3 || p->conv->batch * p->blocks * p->row_blocks >= wanted) return;
    cut_channels(p, fc_max(1, fc_min(p->groups, p->parts * p->conv->batch / wanted)));
    const int64_t units = p->conv->batch * p->blocks;
    if (units < wanted) cut_rows(p, fc_max(LEAST_ROWS, p->axis[0].positions * units / wanted));
    layout_scratch(p);
}

fc_depthwise_plan fc_depthwise_plan_of(const fc_conv2d* conv, fc_dtype dtype, int backward) {
    const int64_t in = conv->in_channels, out = conv->out_channels;
    fc_depthwise_plan p = {.conv = conv,
                           .kernels = fc_kernels_for(dtype),
                           .element = (int64_t)fc_dtype_size(dtype),
                           .backward = backward,
                           .reduced = (backward ? out : in) / conv->groups,
                           .results = (backward ? in : out) / conv->groups,
                           .source_channels = backward ? out : in,
                           .output_channels = backward ? in : out};
    for (int axis = 0; axis < 2; axis++) {
        p.axis[axis] = plan_axis(conv, axis, backward);
        p.source_size[axis] = backward ? conv->out_size[axis] : conv->in_size[axis];
        p.output_size[axis] = backward ? conv->in_size[axis] : conv->out_size[axis];
    }
    p.source_strides = fc_image_strides(p.source_channels, p.source_size[0], p.source_size[1],
                                        fc_channels_last(conv));
    p.output_strides = fc_image_strides(p.output_channels, p.output_size[0], p.output_size[1],
                                        fc_channels_last(conv));
    p.weight_step[0] = conv->kernel_size[1];
    p.weight_step[1] = 1;
    p.col_step = p.kernels->lanes;
    p.entries = p.reduced * conv->kernel_size[0] * conv->kernel_size[1];
    choose_lanes(&p);
    choose_rows(&p);
    layout_scratch(&p);
    return p;
}

int64_t fc_depthwise_workspace(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    if (pass < 2 && fc_depthwise_pixels_can(conv, dtype, pass == 1))
        return fc_depthwise_pixels_bytes(conv, dtype);
    const fc_depthwise_plan p = fc_depthwise_plan_of(conv, dtype, pass == 1);
    if (pass == 2) return fc_depthwise_grad_weight_bytes(&p);
    return (int64_t)(p.slab_bytes + p.packed_bytes + p.tile_bytes);
}

/* In NCHW, groups of several channels on both sides keep the tap engine as busy, except where the
 * stride would scatter its results over the gradient. */
static int pays(const fc_conv2d* conv, int pass) {
    const int64_t in = conv->in_channels / conv->groups, out = conv->out_channels / conv->groups;
    if (fc_min(in, out) == 1) return 1;
    if (fc_max(in, out) > SMALL_GROUP) return 0;
    return fc_channels_last(conv) || in * out <= FEW_PAIRS ||
           (pass == 1 && fc_max(conv->stride[0], conv->stride[1]) > 1);
}

int fc_depthwise_can(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    if (conv->groups == 1 || !pays(conv, pass)) return 0;
    const int64_t in = conv->in_channels / conv->groups, out = conv->out_channels / conv->groups;
    const int64_t taps = conv->kernel_size[0] * conv->kernel_size[1];
    if (taps * fc_max(in, out) > MOST_TABLE || conv->stride[0] * conv->stride[1] > MOST_TABLE)
        return 0;
    return fc_depthwise_workspace(conv, dtype, pass) <= FC_WORKSPACE_KEEP;
}

/* ---- tables of taps ----------------------------------------------------------------------- */

static int64_t residue_of(const fc_depthwise_plan* p, int axis, int64_t tap) {
    return p->backward ? tap * p->conv->dilation[axis] % p->conv->stride[axis] : 0;
}

static int64_t shift_of(const fc_depthwise_plan* p, int axis, int64_t tap) {
    const int64_t distance = tap * p->conv->dilation[axis];
    return p->backward ? p->axis[axis].reach - distance / p->conv->stride[axis] : distance;
}

/* The number-th tap of an axis in the order of rising shifts. */
static int64_t tap_of(const fc_depthwise_plan* p, int axis, int64_t number) {
    return p->backward ? p->conv->kernel_size[axis] - 1 - number : number;
}

fc_depthwise_shifts fc_depthwise_shifts_of(const fc_depthwise_plan* p, int axis, int64_t residue) {
    fc_depthwise_shifts shifts = {.step = 1};
    for (int64_t n = 0; n < p->conv->kernel_size[axis]; n++) {
        const int64_t tap = tap_of(p, axis, n);
        if (residue_of(p, axis, tap) != residue) continue;
        if (shifts.taps == 0) shifts.first = shift_of(p, axis, tap);
        if (shifts.taps == 1) shifts.step = shift_of(p, axis, tap) - shifts.first;
        shifts.taps++;
    }
    return shifts;
}

typedef struct {
    int64_t entry, offset;
} table_end;

/* One place of the kernel: an offset in the slab, and the weights that meet it there (those of
 * `taps` taps down from it). */
static void add_place(const fc_depthwise_plan* p, int64_t channel, int64_t row, int64_t col,
                      int64_t taps, table_end* end) {
    const fc_conv2d* conv = p->conv;
    const int64_t window = conv->kernel_size[0] * conv->kernel_size[1];
    const int64_t channels = conv->in_channels / conv->groups;
    const int64_t tap = tap_of(p, 0, row), along = tap_of(p, 1, col);
    const int64_t shift = shift_of(p, 1, along), stride = p->axis[1].stride;
    p->offset[end->offset++] =
        (int32_t)(channel * p->channel_stride + shift_of(p, 0, tap) * p->pitch +
                  (fc_channels_last(conv) ? shift * p->col_step
                                          : shift % stride * p->phase_stride + shift / stride));
    const int64_t base =
        channel * window * (p->backward ? channels : 1) + along * p->weight_step[1];
    for (int64_t n = row, found = 0; found < taps; n++) {
        const int64_t r = tap_of(p, 0, n);
        if (residue_of(p, 0, r) != residue_of(p, 0, tap)) continue;
        p->index[end->entry++] = (int32_t)(base + r * p->weight_step[0]);
        found++;
    }
}

static void add_pair(const fc_depthwise_plan* p, int64_t row_residue, int64_t col_residue,
                     table_end* end) {
    fc_depthwise_pair* pair = &p->pair[row_residue * p->axis[1].residues + col_residue];
    const fc_depthwise_shifts rows = fc_depthwise_shifts_of(p, 0, row_residue);
    const int slides = rows.step == 1 && fc_depthwise_slides(rows.taps, p->axis[0].stride);
    pair->taps = slides ? rows.taps : 1;
    pair->first_entry = end->entry;
    pair->first_offset = end->offset;
    for (int64_t c = 0; c < p->reduced; c++)
        for (int64_t m = 0; m < p->conv->kernel_size[0]; m++) {
            const int64_t tap = tap_of(p, 0, m);
            if (residue_of(p, 0, tap) != row_residue) continue;
            if (slides && shift_of(p, 0, tap) != rows.first) continue;
            for (int64_t n = 0; n < p->conv->kernel_size[1]; n++)
                if (residue_of(p, 1, tap_of(p, 1, n)) == col_residue)
                    add_place(p, c, m, n, pair->taps, end);
        }
    pair->depth = end->offset - pair->first_offset;
}

fc_status fc_depthwise_tables(fc_depthwise_plan* p) {
    const int64_t pairs = p->axis[0].residues * p->axis[1].residues;
    const size_t pair_bytes = fc_align((size_t)pairs * sizeof(fc_depthwise_pair));
    char* memory =
        fc_workspace(FC_SLOT_PLAN, pair_bytes + 2 * (size_t)p->entries * sizeof(int32_t));
    if (!memory) return FC_ERROR_MEMORY;
    p->pair = (fc_depthwise_pair*)memory;
    p->index = (int32_t*)(memory + pair_bytes);
    p->offset = p->index + p->entries;
    table_end end = {0};
    for (int64_t a = 0; a < p->axis[0].residues; a++)
        for (int64_t b = 0; b < p->axis[1].residues; b++) add_pair(p, a, b, &end);
    return FC_OK;
}

/* ---- units -------------------------------------------------------------------------------- */

fc_depthwise_unit fc_depthwise_locate(const fc_depthwise_plan* p, int64_t index) {
    fc_depthwise_unit u = {.first_row = index % p->row_blocks * p->rows,
                           .block = index / p->row_blocks % p->blocks,
                           .image = index / p->row_blocks / p->blocks};
    u.rows = fc_min(p->rows, p->axis[0].positions - u.first_row);
    if (!fc_channels_last(p->conv)) {
        const int64_t first = u.block * p->groups;
        u.first_channel = first * p->results;
        u.channels = fc_min(p->groups, p->conv->groups - first) * p->results;
        u.source_channel = first * p->reduced;
        return u;
    }
    u.first_channel = u.block * p->groups * p->lanes;
    u.channels = fc_min(p->groups * p->lanes, p->output_channels - u.first_channel);
    u.source_channel = u.first_channel / p->results * p->reduced;
    for (int64_t l = 0; l < fc_min(p->lanes, u.channels); l++)
        u.lane[l] = (int32_t)((u.first_channel + l) / p->results * p->reduced - u.source_channel);
    return u;
}

void fc_depthwise_fill_slab(const fc_depthwise_plan* p, const fc_depthwise_unit* u,
                            const char* source, char* slab) {
    const fc_depthwise_axis *v = &p->axis[0], *h = &p->axis[1];
    const int64_t size = p->conv->batch * p->source_strides.batch_stride;
    fc_depthwise_fill fill = {.height = p->source_size[0],
                              .width = p->source_size[1],
                              .row_stride = p->source_strides.row_stride,
                              .col_stride = p->source_strides.col_stride,
                              .first_row = v->first + u->first_row * v->stride,
                              .first_column = h->first,
                              .stride = h->stride,
                              .rows = (u->rows - 1) * v->stride + v->reach + 1,
                              .cols = p->cols,
                              .pitch = p->pitch,
                              .phases = p->phases,
                              .phase_stride = p->phase_stride,
                              .channels = p->reduced,
                              .image_channel = p->source_strides.channel_stride,
                              .channel_stride = p->channel_stride,
                              .vectors = fc_ceil_div(u->channels, p->lanes),
                              .vector_channels = p->lanes / p->results * p->reduced,
                              .vector_stride = p->group_stride,
                              .lane = u->lane,
                              .together = p->together};
    const int64_t at = u->image * p->source_strides.batch_stride +
                       u->source_channel * p->source_strides.channel_stride;
    fill.room = size - at;
    if (fc_channels_last(p->conv)) {
        p->kernels->depthwise_fill_lanes(&fill, source + at * p->element, slab);
        return;
    }
    fill.channels = u->channels / p->results * p->reduced;
    p->kernels->depthwise_fill_rows(&fill, source + at * p->element, slab);
}
