/* The problems that Winograd convolutions solve: which member of the family, what is summed over,
 * which results belong together. */
#include "conv_winograd.h"

static const fc_winograd_shape shapes[FC_WINOGRAD_MEMBERS] = {
    {.member = FC_WINOGRAD_5_2, .tile = 5, .reach = 1},
    {.member = FC_WINOGRAD_4_3, .tile = 4, .reach = 2},
    {.member = FC_WINOGRAD_3_4, .tile = 3, .reach = 3},
    {.member = FC_WINOGRAD_2_5, .tile = 2, .reach = 4},
};

const fc_winograd_shape* fc_winograd_shape_of(const fc_conv2d* conv) {
    for (int i = 0; i < FC_WINOGRAD_MEMBERS; i++) {
        int fits = 1;
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

fc_winograd_run fc_winograd_run_at(const fc_winograd_terms* terms, int64_t at, int64_t end) {
    const int64_t inside = at % terms->run, number = at / terms->run;
    const int64_t phase = number % terms->phases;
    fc_winograd_run run = {
        .length = fc_min(terms->run - inside, end - at),
        .channel = number / terms->phases * terms->run + inside,
        .phase = {phase / terms->stride[1], phase % terms->stride[1]},
    };
    run.count = fc_max(0, fc_min(run.length, terms->channels - run.channel));
    return run;
}

fc_winograd fc_winograd_of(const fc_conv2d* conv, fc_dtype dtype, int gradient) {
    const fc_winograd_shape* shape = fc_winograd_shape_of(conv);
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
        .rotated = gradient,
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
    w.mosaic = fc_mosaic_of(conv, shape, gradient);
    w.phases = w.stride[0] * w.stride[1];
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
    return (fc_winograd_result){.channel = panel / fc_winograd_block_panels(w) * w->lanes,
                                .phase = {vector / w->stride[1], vector % w->stride[1]}};
}
