/* Depthwise and small-group convolution: forward, and the gradient of the input. See
 * conv_depthwise.h. */
#include "conv_depthwise.h"
#include <string.h>

typedef struct {
    fc_depthwise_job job;
    int64_t units, units_a_task;
} units_job;

void fc_depthwise_pack(const fc_depthwise_job* job, int64_t first, int64_t count, char* packed) {
    const fc_depthwise_plan* p = &job->plan;
    const int64_t in = p->conv->in_channels / p->conv->groups;
    const int64_t window = p->conv->kernel_size[0] * p->conv->kernel_size[1];
    const int last = fc_channels_last(p->conv);
    int64_t place[FC_DEPTHWISE_CHANNELS], base[FC_DEPTHWISE_CHANNELS];
    for (int64_t l = 0; l < (last ? p->kernels->lanes : count); l++) {
        const int64_t channel = first + (l < count ? l : 0);
        place[l] = channel;
        base[l] = !p->backward
                      ? channel * in * window
                      : (channel / p->results * p->reduced * in + channel % p->results) * window;
    }
    const fc_depthwise_weights weights = {.count = p->entries,
                                          .channels = last ? 0 : count,
                                          .index = p->index,
                                          .base = base,
                                          .place = place,
                                          .weight = job->weight,
                                          .bias = job->bias};
    p->kernels->depthwise_pack(&weights, packed);
}

/* One pair of residues: into its tile, or straight to the output. */
static void run_pair(const fc_depthwise_job* job, int64_t number, fc_depthwise* sums,
                     const char* packed, const char* slab, char* output) {
    const fc_depthwise_plan* p = &job->plan;
    const fc_depthwise_pair* pair = &p->pair[number];
    sums->taps = pair->taps;
    sums->depth = pair->depth;
    sums->depth_step = pair->taps;
    sums->offset = p->offset + pair->first_offset;
    const int64_t weight = (1 + pair->first_entry) * p->kernels->lanes;
    p->kernels->depthwise(sums, packed + weight * p->element, packed, slab, output);
}

static fc_depthwise sums_of(const fc_depthwise_job* job, const fc_depthwise_unit* u) {
    const fc_depthwise_plan* p = &job->plan;
    const fc_depthwise_axis *v = &p->axis[0], *h = &p->axis[1];
    const int64_t lanes = p->kernels->lanes, cols = h->positions;
    fc_depthwise sums = {
        .rows = u->rows,
        .results = fc_channels_last(p->conv) ? 1 : p->results,
        .weight_step = (1 + p->entries) * lanes,
        .source_group = p->group_stride,
        .output_channel = fc_channels_last(p->conv) ? p->lanes : p->output_strides.channel_stride,
        .stride = v->stride,
        .source_pitch = p->pitch,
        .source_step = lanes,
        .output_pitch = p->tile_pitch,
        .output_step = lanes,
        .lanes = lanes,
        .last_lanes = lanes,
        .relu = job->relu};
    sums.vectors = fc_channels_last(p->conv) ? cols : fc_ceil_div(cols, lanes);
    if (fc_channels_last(p->conv)) sums.source_step = h->stride * lanes;
    if (fc_channels_last(p->conv)) {
        sums.lanes = p->lanes;
        sums.last_lanes = (u->channels - 1) % p->lanes + 1;
    } else if (cols < lanes && !p->tiles)
        sums.lanes = sums.last_lanes = cols;
    else if (!p->tiles)
        sums.back = sums.vectors * lanes - cols;
    if (p->tiles) return sums;
    sums.output_pitch = p->output_strides.row_stride;
    if (fc_channels_last(p->conv)) sums.output_step = p->output_strides.col_stride;
    return sums;
}

/* Output rows of a unit's positions. */
static int64_t output_row(const fc_depthwise_plan* p, int64_t position) {
    const fc_depthwise_axis* v = &p->axis[0];
    const int64_t row = position * v->residues - v->before;
    return fc_max(0, fc_min(row, p->output_size[0]));
}

static void merge(const fc_depthwise_job* job, const fc_depthwise_unit* u, const char* tiles,
                  int64_t lanes, int64_t room, char* output) {
    const fc_depthwise_plan* p = &job->plan;
    const fc_depthwise_axis *v = &p->axis[0], *h = &p->axis[1];
    const int64_t first = output_row(p, u->first_row);
    const fc_merge merge = {.rows = output_row(p, u->first_row + u->rows) - first,
                            .cols = p->output_size[1],
                            .before = {first + v->before - u->first_row * v->residues, h->before},
                            .stride = {v->residues, h->residues},
                            .tile_stride = p->tile_stride,
                            .tile_pitch = p->tile_pitch,
                            .row_stride = p->output_strides.row_stride,
                            .col_stride = p->output_strides.col_stride,
                            .lanes = lanes,
                            .room = room};
    p->kernels->merge_phases(&merge, tiles, output);
}

/* Channel by channel (or vector of them) where residues are to be merged; `scratch` begins with the
 * slab. */
static void run_tiles(const fc_depthwise_job* job, const fc_depthwise_unit* u,
                      const fc_depthwise* whole, const char* scratch, char* output) {
    const fc_depthwise_plan* p = &job->plan;
    const char *packed = scratch + p->slab_bytes, *slab = scratch;
    char* tiles = (char*)packed + p->packed_bytes;
    fc_depthwise one = *whole;
    one.channels = 1;
    one.lanes = one.last_lanes = p->kernels->lanes;
    for (int64_t m = 0; m < whole->channels; m++) {
        for (int64_t t = 0; t < p->tiles; t++)
            run_pair(job, t, &one, packed + m * one.weight_step * p->element, slab,
                     tiles + t * p->tile_stride * p->element);
        const int64_t lanes = m + 1 < whole->channels ? whole->lanes : whole->last_lanes;
        merge(job, u, tiles, fc_channels_last(p->conv) ? lanes : 0, one.room - m * one.room_step,
              output + m * one.output_channel * p->element);
        if ((m + 1) % one.results == 0) slab += p->group_stride * p->element;
    }
}

/* `end`: the output of this task ends there; what lies between is its own, still to be written. */
static void run_unit(const fc_depthwise_job* job, const fc_depthwise_unit* u, int64_t end,
                     char* scratch) {
    const fc_depthwise_plan* p = &job->plan;
    char* packed = scratch + p->slab_bytes;
    fc_depthwise_fill_slab(p, u, job->source, scratch);
    fc_depthwise sums = sums_of(job, u);
    const int last = fc_channels_last(p->conv), whole = p->row_blocks == 1;
    const int64_t row = output_row(p, u->first_row), below = output_row(p, u->first_row + u->rows);
    const int64_t most = last ? p->groups * p->lanes : FC_DEPTHWISE_CHANNELS;
    /* NCHW: more channels than fit at once are those of one group */
    for (int64_t m = 0; m < u->channels; m += most) {
        const int64_t count = fc_min(most, u->channels - m);
        const int64_t at = u->image * p->output_strides.batch_stride +
                           (u->first_channel + m) * p->output_strides.channel_stride +
                           row * p->output_strides.row_stride;
        char* output = job->output + at * p->element;
        if (last) {
            sums.channels = fc_ceil_div(count, p->lanes);
            for (int64_t v = 0; v < sums.channels; v++)
                fc_depthwise_pack(job, u->first_channel + v * p->lanes,
                                  fc_min(p->lanes, count - v * p->lanes),
                                  packed + v * sums.weight_step * p->element);
        } else {
            sums.channels = count;
            sums.room = whole ? end - at : (below - row) * p->output_strides.row_stride;
            sums.room_step = whole ? sums.output_channel : 0;
            fc_depthwise_pack(job, u->first_channel + m, count, packed);
        }
        if (p->tiles)
            run_tiles(job, u, &sums, scratch, output);
        else
            run_pair(job, 0, &sums, packed, scratch, output);
    }
}

static fc_status run_task(void* context, int64_t index) {
    const units_job* units = context;
    const fc_depthwise_job* job = &units->job;
    const fc_depthwise_plan* p = &job->plan;
    char* scratch = fc_workspace(FC_SLOT_TASK, p->slab_bytes + p->packed_bytes + p->tile_bytes);
    if (!scratch) return FC_ERROR_MEMORY;
    memset(scratch, 0, p->slab_bytes); /* padding that no unit will write */
    const int64_t first = index * units->units_a_task;
    const int64_t last = fc_min(first + units->units_a_task, units->units);
    const fc_depthwise_unit tail = fc_depthwise_locate(p, last - 1);
    const int64_t end = tail.image * p->output_strides.batch_stride +
                        (tail.first_channel + tail.channels) * p->output_strides.channel_stride;
    for (int64_t i = first; i < last; i++) {
        const fc_depthwise_unit unit = fc_depthwise_locate(p, i);
        run_unit(job, &unit, end, scratch);
    }
    return FC_OK;
}

static fc_status run(const fc_conv2d* conv, fc_dtype dtype, int backward,
                     const fc_depthwise_job* arrays) {
    if (fc_depthwise_pixels_can(conv, dtype, backward))
        return fc_depthwise_pixels(conv, dtype, backward, arrays);
    units_job units = {.job = *arrays};
    fc_depthwise_plan* p = &units.job.plan;
    *p = fc_depthwise_plan_of(conv, dtype, backward);
    fc_depthwise_share(p);
    const fc_status status = fc_depthwise_tables(p);
    if (status != FC_OK) return status;
    units.units = p->conv->batch * p->blocks * p->row_blocks;
    const double work = fc_depthwise_work(p);
    units.units_a_task = fc_ceil_div(units.units, 4 * (int64_t)fc_threads_for(work));
    return fc_parallel_for(fc_ceil_div(units.units, units.units_a_task), work, run_task, &units);
}

fc_status fc_depthwise_forward(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                               const void* weight, const void* bias, int relu, void* output) {
    const fc_depthwise_job job = {
        .source = input, .weight = weight, .bias = bias, .output = output, .relu = relu};
    return run(conv, dtype, 0, &job);
}

fc_status fc_depthwise_grad_input(const fc_conv2d* conv, fc_dtype dtype, const void* grad_output,
                                  const void* weight, void* grad_input) {
    const fc_depthwise_job job = {.source = grad_output, .weight = weight, .output = grad_input};
    return run(conv, dtype, 1, &job);
}
