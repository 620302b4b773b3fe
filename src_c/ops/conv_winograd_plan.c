/* The problems that Winograd convolutions solve: which member of the family, what is summed over,
 * which results belong together. */
#include "conv_winograd.h"

/* Stride 1 and 3 taps: results that sum fewer channels average too little of the error of 4x4
 * tiles out. */
enum {
    FEW_CHANNELS = 64,    /* all results */
    EDGE_CHANNELS = 192,  /* those that meet 6 of 9 taps */
    CORNER_CHANNELS = 320 /* or 4 */
};

/* The last but two serve gradients of weights, all of whose tiles are of one size. */
static const fc_winograd_shape shapes[] = {
    {.member = FC_WINOGRAD_4_2, .tile = 4, .reach = 1},
    {.member = FC_WINOGRAD_3_3, .tile = 3, .reach = 2},
    {.member = FC_WINOGRAD_4_3, .tile = 4, .small = 2, .reach = 2},
    {.member = FC_WINOGRAD_4_3, .tile = 4, .reach = 2},
    {.member = FC_WINOGRAD_3_4, .tile = 3, .reach = 3},
    {.member = FC_WINOGRAD_2_5, .tile = 2, .reach = 4},
};

/* Channels that a result of a pass sums; as if they were more than any limit where stride or pass
 * ask for no care. */
static int64_t few_channels(const fc_conv2d* conv, int pass) {
    if (pass == 2 || conv->stride[0] * conv->stride[1] > 1) return INT64_MAX;
    return (pass == 1 ? conv->out_channels : conv->in_channels) / conv->groups;
}

/* Axes along which results that meet padding are to be of small tiles, whose error is half. */
static int bordered_axes(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    const int64_t channels = dtype == FC_FLOAT32 ? few_channels(conv, pass) : INT64_MAX;
    return (channels < EDGE_CHANNELS) + (channels < CORNER_CHANNELS);
}

const fc_winograd_shape* fc_winograd_shape_of(const fc_conv2d* conv, int pass) {
    const int is_few = few_channels(conv, pass) < FEW_CHANNELS;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        int fits =
            (is_few || shapes[i].member != FC_WINOGRAD_3_3) && (pass < 2 || shapes[i].small == 0);
        for (int axis = 0; axis < 2; axis++)
            fits &= conv->dilation[axis] == 1 && conv->stride[axis] <= WINOGRAD_STRIDE &&
                    fc_ceil_div(conv->kernel_size[axis], conv->stride[axis]) == shapes[i].reach + 1;
        if (fits) return &shapes[i];
    }
    return NULL;
}

fc_winograd_terms fc_winograd_terms_of(int64_t channels, int64_t lanes, const int64_t stride[2]) {
    fc_winograd_terms terms = {
        .channels = channels, .stride = {stride[0], stride[1]}, .phases = stride[0] * stride[1]};
    terms.folded = terms.phases > 1 && channels < lanes;
    const int64_t depth = terms.folded ? channels * terms.phases : channels;
    terms.blocks = fc_ceil_div(depth, lanes);
    /* blocks of channels are those of blocked images */
    terms.block = terms.folded || terms.blocks == 1 ? fc_ceil_div(depth, terms.blocks) : lanes;
    terms.run = terms.folded ? channels : terms.block;
    terms.pixel = terms.folded ? terms.blocks * terms.block : terms.phases * lanes;
    if (!terms.folded) terms.blocks *= terms.phases;
    return terms;
}

/* Of 2x2 phases, those of even rows are neighbours, and so are those of even columns: they may have
 * a tap more. */
void fc_winograd_phase_of(const int64_t stride[2], int64_t number, int64_t phase[2]) {
    static const int64_t two[4][2] = {{0, 1}, {0, 0}, {1, 0}, {1, 1}};
    const int is_two = stride[0] == 2 && stride[1] == 2;
    phase[0] = is_two ? two[number][0] : number / stride[1];
    phase[1] = is_two ? two[number][1] : number % stride[1];
}

static int has_point(const fc_winograd_shape* shape, const int64_t kernel[2],
                     const int64_t stride[2], int64_t number, const int at_infinity[2]) {
    int64_t phase[2];
    fc_winograd_phase_of(stride, number, phase);
    int has = 1;
    for (int axis = 0; axis < 2; axis++)
        has &= !at_infinity[axis] ||
               fc_winograd_phase_taps(kernel[axis], stride[axis], phase[axis]) > shape->reach;
    return has;
}

fc_winograd_phases fc_winograd_phases_of(const fc_winograd_shape* shape, const int64_t kernel[2],
                                         const int64_t stride[2], int folded) {
    const int64_t count = stride[0] * stride[1];
    fc_winograd_phases phases;
    for (int i = 0; i < 4; i++) {
        const int at_infinity[2] = {i / 2, i % 2};
        fc_winograd_range range = {.end = count};
        if (!folded && (count == 2 || count == 4)) {
            while (!has_point(shape, kernel, stride, range.first, at_infinity)) range.first++;
            while (!has_point(shape, kernel, stride, range.end - 1, at_infinity)) range.end--;
        }
        phases.at[i / 2][i % 2] = range;
    }
    return phases;
}

fc_winograd_run fc_winograd_run_at(const fc_winograd_terms* terms, int64_t at, int64_t end) {
    const int64_t inside = at % terms->run, number = at / terms->run;
    const int64_t phase = number % terms->phases;
    fc_winograd_run run = {
        .length = fc_min(terms->run - inside, end - at),
        .channel = number / terms->phases * terms->run + inside,
        .number = phase,
    };
    if (terms->folded) {
        run.phase[0] = phase / terms->stride[1];
        run.phase[1] = phase % terms->stride[1];
    } else {
        fc_winograd_phase_of(terms->stride, phase, run.phase);
    }
    run.count = fc_max(0, fc_min(run.length, terms->channels - run.channel));
    return run;
}

fc_winograd fc_winograd_of(const fc_conv2d* conv, fc_dtype dtype, int gradient) {
    const fc_winograd_shape* shape = fc_winograd_shape_of(conv, gradient);
    if (!shape || !fc_groups_fit_blocks(conv, dtype)) return (fc_winograd){.shape = NULL};
    static const int64_t one[2] = {1, 1};
    const int64_t in = conv->in_channels / conv->groups, out = conv->out_channels / conv->groups;
    const int64_t taps = conv->kernel_size[0] * conv->kernel_size[1];
    fc_winograd w = {
        .shape = shape,
        .dtype = dtype,
        .kernels = fc_kernels_for(dtype),
        .element = (int64_t)fc_dtype_size(dtype),
        .results = gradient ? in : out,
        .kernel = {conv->kernel_size[0], conv->kernel_size[1]},
        .result_stride = gradient ? taps : in * taps,
        .channel_stride = gradient ? in * taps : taps,
        .mirrored = gradient,
    };
    w.lanes = w.kernels->lanes;
    w.terms = fc_winograd_terms_of(gradient ? out : in, w.lanes, gradient ? one : conv->stride);
    for (int axis = 0; axis < 2; axis++) {
        const fc_winograd_axis a = fc_winograd_axis_of(conv, shape, gradient, axis);
        w.stride[axis] = gradient ? conv->stride[axis] : 1;
        w.padding[axis] = a.padding;
        w.first[axis] = a.first;
        w.read[axis] = (conv->out_size[axis] - 1) * conv->stride[axis] + conv->kernel_size[axis] -
                       conv->padding[axis];
    }
    w.mosaic = fc_mosaic_of(conv, shape, gradient, bordered_axes(conv, dtype, gradient));
    w.phases = w.stride[0] * w.stride[1];
    w.points = fc_winograd_phases_of(shape, conv->kernel_size, conv->stride, w.terms.folded);
    w.source = w.target =
        fc_image_of(dtype, NULL, conv->batch, conv->in_channels, conv->in_size, conv->in_layout);
    const fc_image outputs =
        fc_image_of(dtype, NULL, conv->batch, conv->out_channels, conv->out_size, conv->out_layout);
    *(gradient ? &w.source : &w.target) = outputs;
    return w;
}

int64_t fc_winograd_block_panels(const fc_winograd* w) {
    return fc_ceil_div(w->phases, 2);
}

int64_t fc_winograd_panels(const fc_winograd* w) {
    const int64_t vectors = fc_ceil_div(w->results, w->lanes);
    return w->phases > 1 ? vectors * fc_winograd_block_panels(w) : fc_ceil_div(vectors, 2);
}

/* The number of a panel's first vector among those that it may share it with: all, or the phases of
 * its block. */
static int64_t first_vector(const fc_winograd* w, int64_t panel) {
    return 2 * (w->phases > 1 ? panel % fc_winograd_block_panels(w) : panel);
}

int fc_winograd_panel_vectors(const fc_winograd* w, int64_t panel) {
    const int64_t vectors = w->phases > 1 ? w->phases : fc_ceil_div(w->results, w->lanes);
    return first_vector(w, panel) + 1 < vectors ? 2 : 1;
}

fc_winograd_result fc_winograd_result_of(const fc_winograd* w, int64_t panel, int n) {
    const int64_t vector = first_vector(w, panel) + n;
    if (w->phases == 1) return (fc_winograd_result){.channel = vector * w->lanes};
    fc_winograd_result result = {.channel = panel / fc_winograd_block_panels(w) * w->lanes};
    result.number = vector;
    fc_winograd_phase_of(w->stride, vector, result.phase);
    return result;
}

fc_winograd_tiling fc_conv2d_winograd_tiling(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    const fc_winograd_shape* shape = fc_winograd_shape_of(conv, pass);
    if (!shape) return (fc_winograd_tiling){.tiles = 0};
    const int64_t channels = conv->in_channels / conv->groups;
    const fc_winograd_terms terms =
        fc_winograd_terms_of(channels, fc_kernels_for(dtype)->lanes, conv->stride);
    const fc_winograd_phases phases =
        fc_winograd_phases_of(shape, conv->kernel_size, conv->stride, pass != 1 && terms.folded);
    const fc_mosaic mosaic = fc_mosaic_of(conv, shape, pass == 1, bordered_axes(conv, dtype, pass));
    fc_winograd_tiling tiling = {.tiles = fc_mosaic_tiles(&mosaic, shape),
                                 .size = shape->tile,
                                 .points = fc_mosaic_points(&mosaic, shape)};
    for (int64_t point = 0; point < fc_winograd_points(shape); point++) {
        const fc_winograd_range at = fc_winograd_phases_at(&phases, fc_winograd_side(shape), point);
        tiling.products += at.end - at.first;
    }
    return tiling;
}
