/* Axes, phases and offsets: see conv_planes.h. */
#include "conv_planes.h"

/* A row's copy takes about as long as so many vector FMAs, and so many more for each vector; that
 * of a vector of results as STORE. */
enum { ROW_COPY = 20, VECTOR_COPY = 4, STORE = 10 };

int fc_explicit_pays(const fc_conv2d* conv, int64_t results, int64_t cols, fc_dtype dtype) {
    const int64_t lanes = fc_kernels_for(dtype)->lanes, kernel = conv->kernel_size[1];
    const int64_t reach = (kernel - 1) * conv->dilation[1] / conv->stride[1];
    const int64_t copies = (kernel - 1) * (ROW_COPY * lanes + VECTOR_COPY * cols);
    return results * conv->kernel_size[0] * kernel * reach > copies;
}

int fc_sums_go_straight(const fc_conv2d* conv, fc_dtype dtype) {
    const int64_t lanes = fc_kernels_for(dtype)->lanes, cols = conv->out_size[1];
    const int64_t inputs = conv->in_channels / conv->groups;
    const int64_t results = conv->out_channels / conv->groups;
    const int64_t copies = (conv->kernel_size[1] - 1) * (ROW_COPY * lanes + VECTOR_COPY * cols);
    return !fc_channels_last(conv) && cols % lanes == 0 && results * STORE * cols > inputs * copies;
}

fc_status fc_axis_reserve(const fc_conv2d* conv, fc_axis_memory* memory) {
    if (conv->batch < 1 || conv->in_channels < 1 || conv->out_channels < 1 ||
        conv->out_size[0] < 1 || conv->out_size[1] < 1 || conv->in_layout != conv->out_layout ||
        conv->in_layout == FC_BLOCKED)
        return FC_ERROR_ARGUMENT;
    const int64_t rows = 4 * conv->kernel_size[0], cols = 4 * conv->kernel_size[1];
    memory->vertical = fc_workspace(FC_SLOT_PLAN, (size_t)(rows + cols) * sizeof(int64_t));
    memory->horizontal = memory->vertical + rows;
    return memory->vertical ? FC_OK : FC_ERROR_MEMORY;
}

static void place(fc_axis* axis, int64_t* memory, int64_t kernel) {
    axis->tap_index = memory;
    axis->tap_phase = memory + kernel;
    axis->tap_shift = memory + 2 * kernel;
    axis->phase = memory + 3 * kernel;
    axis->taps = axis->phases = axis->max_shift = 0;
}

static int64_t find_phase(fc_axis* axis, int64_t distance) {
    for (int64_t i = 0; i < axis->phases; i++)
        if (axis->phase[i] == distance) return i;
    axis->phase[axis->phases] = distance;
    return axis->phases++;
}

static void add_tap(fc_axis* axis, int64_t index, int64_t phase_distance, int64_t shift) {
    axis->tap_index[axis->taps] = index;
    axis->tap_phase[axis->taps] = find_phase(axis, phase_distance);
    axis->tap_shift[axis->taps] = shift;
    axis->max_shift = fc_max(axis->max_shift, shift);
    axis->taps++;
}

void fc_axis_forward(fc_axis* axis, int64_t kernel, int64_t stride, int64_t dilation,
                     int is_explicit, int64_t* memory) {
    place(axis, memory, kernel);
    axis->stride = stride;
    for (int64_t r = 0; r < kernel; r++) {
        const int64_t distance = r * dilation;
        if (is_explicit)
            add_tap(axis, r, distance, 0);
        else
            add_tap(axis, r, distance % stride, distance / stride);
    }
}

void fc_axis_backward(fc_axis* axis, int64_t kernel, int64_t stride, int64_t dilation,
                      int64_t residue, int is_explicit, int64_t* memory, int64_t* first) {
    place(axis, memory, kernel);
    axis->stride = 1;
    *first = 0;
    /* from the last tap to the first, so that source coordinates rise */
    for (int64_t r = kernel - 1; r >= 0; r--) {
        if ((r * dilation) % stride != residue) continue;
        const int64_t at = (residue - r * dilation) / stride;
        if (axis->taps == 0) *first = at;
        if (is_explicit)
            add_tap(axis, r, at - *first, 0);
        else
            add_tap(axis, r, 0, at - *first);
    }
    if (axis->phases == 0) { /* no tap reaches these coordinates: their gradient is zero */
        axis->phase[0] = 0;
        axis->phases = 1;
    }
}

fc_strides fc_image_strides(int64_t channels, int64_t height, int64_t width, int channels_last) {
    if (channels_last)
        return (fc_strides){height * width * channels, 1, width * channels, channels};
    return (fc_strides){channels * height * width, height * width, width, 1};
}

fc_plane_layout fc_layout_planes(const fc_axis* vertical, const fc_axis* horizontal, int64_t images,
                                 int64_t out_rows, int64_t out_cols, size_t element) {
    fc_plane_layout layout = {.images = images,
                              .rows = out_rows + vertical->max_shift,
                              .cols = out_cols + horizontal->max_shift};
    const int64_t line = (int64_t)(64 / element);
    layout.phase_stride = images * layout.rows * layout.cols + line; /* room for a tail of zeros */
    /* channels an odd number of cache lines apart, so that they do not share cache sets */
    int64_t lines = fc_ceil_div(vertical->phases * horizontal->phases * layout.phase_stride, line);
    layout.channel_stride = (lines | 1) * line;
    return layout;
}

void fc_tap_offsets(const fc_axis* v, const fc_axis* h, const fc_plane_layout* layout,
                    int64_t channels, int32_t* offset) {
    for (int64_t c = 0; c < channels; c++)
        for (int64_t r = 0; r < v->taps; r++)
            for (int64_t s = 0; s < h->taps; s++)
                *offset++ = (int32_t)(c * layout->channel_stride +
                                      (v->tap_phase[r] * h->phases + h->tap_phase[s]) *
                                          layout->phase_stride +
                                      v->tap_shift[r] * layout->cols + h->tap_shift[s]);
}
