/* Phases and taps along each axis: see conv_implicit_gemm.h. */
#include "conv_implicit_gemm.h"

static void note_reach(fc_steps* s, const fc_phase* phase) {
    if (phase->taps == 0) return;
    const int64_t last = phase->source + s->shift[phase->before + phase->taps - 1];
    const int64_t end = s->widest ? fc_max(s->low + s->reach, last) : last;
    s->low = s->widest ? fc_min(s->low, phase->source) : phase->source;
    s->reach = end - s->low;
    s->widest = fc_max(s->widest, phase->taps);
    for (int64_t t = 1; t < phase->taps; t++)
        if (s->shift[phase->before + t] != t) s->adjacent = 0;
}

static void forward_axis(fc_steps* s, const fc_conv2d* conv, int axis) {
    s->target_step = 1;
    s->source_step = conv->stride[axis];
    s->phases = 1;
    s->taps = conv->kernel_size[axis];
    s->positions = conv->out_size[axis];
    s->phase[0] =
        (fc_phase){.count = s->positions, .source = -conv->padding[axis], .taps = s->taps};
    for (int64_t t = 0; t < s->taps; t++) {
        s->index[t] = t;
        s->shift[t] = t * conv->dilation[axis];
    }
    note_reach(s, &s->phase[0]);
}

/* Input position i meets grad_output at (i + padding - r * dilation) / stride, where that is whole:
 * for the taps r with r * dilation = i + padding (mod stride), from the last to the first. */
static void backward_axis(fc_steps* s, const fc_conv2d* conv, int axis) {
    const int64_t stride = conv->stride[axis], size = conv->in_size[axis];
    const int64_t padding = conv->padding[axis], dilation = conv->dilation[axis];
    s->target_step = stride;
    s->source_step = 1;
    s->positions = fc_ceil_div(size, stride);
    for (int64_t first = 0; first < fc_min(stride, size); first++) {
        fc_phase* phase = &s->phase[s->phases++];
        *phase = (fc_phase){.first = first, .before = s->taps};
        phase->count = (size - 1 - first) / stride + 1;
        for (int64_t r = conv->kernel_size[axis] - 1; r >= 0; r--) {
            const int64_t distance = first + padding - r * dilation;
            if (distance % stride) continue;
            if (phase->taps++ == 0) phase->source = distance / stride;
            s->index[s->taps] = r;
            s->shift[s->taps++] = distance / stride - phase->source;
        }
        note_reach(s, phase);
    }
}

static int64_t phases_of(const fc_conv2d* conv, int axis, fc_pass pass) {
    return pass == FC_PASS_GRAD_INPUT ? fc_min(conv->stride[axis], conv->in_size[axis]) : 1;
}

static fc_status make_axes(fc_implicit* p, const fc_conv2d* conv, fc_pass pass) {
    fc_steps* steps[] = {&p->rows, &p->cols};
    size_t bytes = 0;
    for (int axis = 0; axis < 2; axis++)
        bytes += (size_t)phases_of(conv, axis, pass) * sizeof(fc_phase) +
                 2 * (size_t)conv->kernel_size[axis] * sizeof(int64_t);
    char* memory = fc_workspace(FC_SLOT_PLAN, bytes);
    if (!memory) return FC_ERROR_MEMORY;
    for (int axis = 0; axis < 2; axis++) {
        fc_steps* s = steps[axis];
        *s = (fc_steps){.phase = (fc_phase*)memory, .adjacent = 1};
        s->index = (int64_t*)(s->phase + phases_of(conv, axis, pass));
        s->shift = s->index + conv->kernel_size[axis];
        memory = (char*)(s->shift + conv->kernel_size[axis]);
        if (pass == FC_PASS_GRAD_INPUT)
            backward_axis(s, conv, axis);
        else
            forward_axis(s, conv, axis);
    }
    return FC_OK;
}

fc_status fc_implicit_problem(fc_implicit* p, const fc_conv2d* conv, fc_dtype dtype, fc_pass pass,
                              const void* source, void* target) {
    if (conv->batch < 1 || conv->in_channels < 1 || conv->out_channels < 1 ||
        conv->out_size[0] < 1 || conv->out_size[1] < 1 || !fc_groups_fit_blocks(conv, dtype))
        return FC_ERROR_ARGUMENT;
    const int64_t inputs = conv->in_channels / conv->groups;
    const int64_t outputs = conv->out_channels / conv->groups;
    const int64_t window = conv->kernel_size[0] * conv->kernel_size[1];
    const int backward = pass == FC_PASS_GRAD_INPUT;
    *p = (fc_implicit){.conv = conv,
                       .kernels = fc_kernels_for(dtype),
                       .element = (int64_t)fc_dtype_size(dtype),
                       .groups = conv->groups,
                       .reduced = backward ? outputs : inputs,
                       .results = backward ? inputs : outputs,
                       .weight_result = backward ? window : inputs * window,
                       .weight_reduced = backward ? inputs * window : window,
                       .weight_group = outputs * inputs * window,
                       .is_pointwise =
                           pass != FC_PASS_GRAD_WEIGHT && fc_pointwise_pays(conv, dtype)};
    const int64_t channels[] = {conv->in_channels, conv->out_channels};
    const int64_t* size[] = {conv->in_size, conv->out_size};
    const fc_layout layout[] = {conv->in_layout, conv->out_layout};
    p->source = fc_image_of(dtype, source, conv->batch, channels[backward], size[backward],
                            layout[backward]);
    p->target = fc_image_of(dtype, target, conv->batch, channels[!backward], size[!backward],
                            layout[!backward]);
    return make_axes(p, conv, pass);
}
