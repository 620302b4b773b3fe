/* Direct convolution: forward, and the gradient of the input as one stride-1 problem for each
 * residue of the input's coordinates modulo the stride. Both run on the tap engine, unless groups
 * are so small that the depthwise kernels are the better way. */
#include "conv_depthwise.h"
#include "conv_product_strips.h"
#include "conv_products.h"
#include "conv_taps.h"

static fc_taps_problem forward_problem(const fc_conv2d* conv, fc_dtype dtype,
                                       fc_axis_memory memory) {
    const int64_t out_per_group = conv->out_channels / conv->groups;
    const int64_t in_per_group = conv->in_channels / conv->groups;
    const int64_t window = conv->kernel_size[0] * conv->kernel_size[1];
    const int is_explicit = fc_sums_go_straight(conv, dtype) ||
                            fc_explicit_pays(conv, out_per_group, conv->out_size[1], dtype);
    fc_taps_problem problem = {
        .dtype = dtype,
        .batch = conv->batch,
        .groups = conv->groups,
        .reduced = in_per_group,
        .results = out_per_group,
        .source_strides = fc_image_strides(conv->in_channels, conv->in_size[0], conv->in_size[1],
                                           fc_channels_last(conv)),
        .source_height = conv->in_size[0],
        .source_width = conv->in_size[1],
        .first_row = -conv->padding[0],
        .first_column = -conv->padding[1],
        .output_strides = fc_image_strides(conv->out_channels, conv->out_size[0], conv->out_size[1],
                                           fc_channels_last(conv)),
        .out_rows = conv->out_size[0],
        .out_cols = conv->out_size[1],
        .weight_group_stride = out_per_group * in_per_group * window,
        .weight_result_stride = in_per_group * window,
        .weight_reduced_stride = window,
        .weight_row_stride = conv->kernel_size[1],
    };
    fc_axis_forward(&problem.vertical, conv->kernel_size[0], conv->stride[0], conv->dilation[0], 0,
                    memory.vertical);
    fc_axis_forward(&problem.horizontal, conv->kernel_size[1], conv->stride[1], conv->dilation[1],
                    is_explicit, memory.horizontal);
    return problem;
}

fc_status fc_conv2d_direct_forward(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                   const void* weight, const void* bias, int relu, void* output) {
    fc_axis_memory memory;
    const fc_status reserved = fc_axis_reserve(conv, &memory);
    if (reserved != FC_OK) return reserved;
    if (fc_depthwise_can(conv, dtype, 0))
        return fc_depthwise_forward(conv, dtype, input, weight, bias, relu, output);
    fc_taps_problem problem = forward_problem(conv, dtype, memory);
    problem.source = input;
    problem.weight = weight;
    problem.bias = bias;
    problem.relu = relu;
    problem.output = output;
    const fc_status status = fc_run_taps(&problem);
    fc_workspace_trim();
    return status;
}

/* The same for the maxima of its windows. Rows and columns that are part of none are left out. */
static fc_taps_problem pooled_problem(const fc_conv2d* conv, fc_dtype dtype,
                                      fc_axis_memory memory) {
    fc_taps_problem problem = forward_problem(conv, dtype, memory);
    const int64_t rows = conv->out_size[0] / 2, cols = conv->out_size[1] / 2;
    problem.pooled = 1;
    problem.output_strides = fc_image_strides(conv->out_channels, rows, cols, 0);
    problem.out_rows = 2 * rows;
    problem.out_cols = 2 * cols;
    return problem;
}

static int can_pool(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory) {
    if (fc_channels_last(conv) || conv->out_size[0] < 2 || conv->out_size[1] < 2 ||
        fc_depthwise_can(conv, dtype, 0))
        return 0;
    const fc_taps_problem problem = pooled_problem(conv, dtype, memory);
    return fc_plan_taps(&problem).col_blocks == 1;
}

int fc_conv2d_direct_pooled_can(const fc_conv2d* conv, fc_dtype dtype) {
    fc_axis_memory memory;
    return fc_axis_reserve(conv, &memory) == FC_OK && can_pool(conv, dtype, memory);
}

fc_status fc_conv2d_direct_pooled_forward(const fc_conv2d* conv, fc_dtype dtype, const void* input,
                                          const void* weight, const void* bias, int relu,
                                          const fc_conv2d_maxima* result) {
    fc_axis_memory memory;
    const fc_status reserved = fc_axis_reserve(conv, &memory);
    if (reserved != FC_OK) return reserved;
    if (!can_pool(conv, dtype, memory)) return FC_ERROR_ARGUMENT;
    fc_taps_problem problem = pooled_problem(conv, dtype, memory);
    problem.source = input;
    problem.weight = weight;
    problem.bias = bias;
    problem.relu = relu;
    problem.output = result->maxima;
    problem.places = result->places;
    const fc_status status = fc_run_taps(&problem);
    fc_workspace_trim();
    return status;
}

typedef struct {
    int64_t first; /* input coordinate of the residue's first position */
    int64_t count; /* its positions */
    int64_t source_first;
} residue_range;

/* Input coordinates i with (i + padding) mod stride = residue, and where their sums start. */
static residue_range residue_axis(const fc_conv2d* conv, int axis, int64_t residue, int is_explicit,
                                  fc_axis* out, int64_t* memory) {
    const int64_t stride = conv->stride[axis], padding = conv->padding[axis];
    const int64_t first = ((residue - padding) % stride + stride) % stride;
    residue_range range = {.first = first};
    if (first < conv->in_size[axis]) range.count = (conv->in_size[axis] - 1 - first) / stride + 1;
    int64_t shift;
    fc_axis_backward(out, conv->kernel_size[axis], stride, conv->dilation[axis], residue,
                     is_explicit, memory, &shift);
    range.source_first = (first + padding - residue) / stride + shift;
    return range;
}

/* The problem of one pair of residues; out_rows or out_cols is 0 where no coordinate has them. */
static fc_taps_problem residue_problem(const fc_conv2d* conv, fc_dtype dtype, int64_t row_residue,
                                       int64_t col_residue, fc_axis_memory memory,
                                       int64_t* origin) {
    const int64_t out_per_group = conv->out_channels / conv->groups;
    const int64_t in_per_group = conv->in_channels / conv->groups;
    const int64_t window = conv->kernel_size[0] * conv->kernel_size[1];
    const int is_explicit =
        fc_explicit_pays(conv, in_per_group, conv->in_size[1] / conv->stride[1], dtype);
    const fc_strides strides = fc_image_strides(conv->in_channels, conv->in_size[0],
                                                conv->in_size[1], fc_channels_last(conv));
    fc_taps_problem problem = {
        .dtype = dtype,
        .batch = conv->batch,
        .groups = conv->groups,
        .reduced = out_per_group,
        .results = in_per_group,
        .source_strides = fc_image_strides(conv->out_channels, conv->out_size[0], conv->out_size[1],
                                           fc_channels_last(conv)),
        .source_height = conv->out_size[0],
        .source_width = conv->out_size[1],
        .output_strides = {strides.batch_stride, strides.channel_stride,
                           strides.row_stride * conv->stride[0],
                           strides.col_stride * conv->stride[1]},
        .weight_group_stride = out_per_group * in_per_group * window,
        .weight_result_stride = window,
        .weight_reduced_stride = in_per_group * window,
        .weight_row_stride = conv->kernel_size[1],
    };
    const residue_range rows =
        residue_axis(conv, 0, row_residue, 0, &problem.vertical, memory.vertical);
    const residue_range cols =
        residue_axis(conv, 1, col_residue, is_explicit, &problem.horizontal, memory.horizontal);
    problem.first_row = rows.source_first;
    problem.first_column = cols.source_first;
    problem.out_rows = rows.count;
    problem.out_cols = cols.count;
    *origin = rows.first * strides.row_stride + cols.first * strides.col_stride;
    return problem;
}

enum {
    FEW_RESULTS = 8, /* a tile of fewer is halfway to them: it waits for loads and its sums */
    PACK_ROWS = 16,  /* FMAs that take as long as packing a weight: rows of them, */
    PACK_EACH = 100, /* or one by one; */
    FILL = 20,       /* copying an element of the output's gradient, */
    SCATTER = 40,    /* or storing a result that has no neighbours, */
    STORE = 5,       /* or one whose sums do not go straight to where it belongs */
};

/* FMAs of the tap engine, with the lanes that it loses: split planes at the ends of rows, explicit
 * ones at the ends of images. */
static double taps_work(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    const int64_t lanes = fc_kernels_for(dtype)->lanes;
    const int64_t inputs = conv->in_channels / conv->groups;
    const int64_t outputs = conv->out_channels / conv->groups;
    const int64_t results = pass == 1 ? inputs : outputs, reduced = pass == 1 ? outputs : inputs;
    const int64_t* size = pass == 1 ? conv->in_size : conv->out_size;
    const int64_t step = pass == 1 ? conv->stride[1] : 1;
    const int64_t taps = conv->kernel_size[0] * conv->kernel_size[1];
    const int64_t reach = (conv->kernel_size[1] - 1) * conv->dilation[1] / conv->stride[1];
    const int is_narrow = conv->groups > 1 && (inputs == 1 || outputs == 1);
    const int goes_straight = pass == 0 && !is_narrow && fc_sums_go_straight(conv, dtype);
    const int is_explicit =
        goes_straight || (!is_narrow && fc_explicit_pays(conv, results, size[1] / step, dtype));
    const int64_t area =
        is_explicit ? fc_ceil_div(size[0] * size[1], lanes) * lanes : size[0] * (size[1] + reach);
    const int64_t filled = is_narrow ? results : fc_max(results, (FEW_RESULTS + results) / 2);
    const int64_t packing = is_narrow ? 0 : pass == 1 ? PACK_EACH : PACK_ROWS;
    const int64_t steps = pass == 1 ? conv->stride[0] * conv->stride[1] : 1;
    return (double)(conv->groups * reduced * taps) *
           ((double)(conv->batch * area) * (double)filled / (double)steps +
            (double)(results * packing));
}

/* Copies of the output's gradient, once for each residue, and results stored, at so many FMAs. */
static double taps_moves(const fc_conv2d* conv, int64_t scatter) {
    const int64_t reach = (conv->kernel_size[1] - 1) * conv->dilation[1] / conv->stride[1];
    const int64_t pixels = conv->batch * conv->in_size[0] * (conv->in_size[1] + reach);
    return (double)pixels * (double)(FILL * conv->out_channels + scatter * conv->in_channels);
}

/* The ways of the gradient of the input. */
typedef enum { TAPS, PRODUCTS, STRIPS } input_way;

/* The way that should take least, and FMAs that take as long. */
static input_way choose_way(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory,
                            double* work) {
    const int64_t copied = conv->batch * conv->out_channels * conv->out_size[0] * conv->out_size[1];
    const double once = FILL * (double)copied;
    const double taps = taps_work(conv, dtype, 1);
    input_way way = TAPS;
    *work = taps + taps_moves(conv, conv->stride[1] > 1 ? SCATTER : 0);
    if (fc_products_can(conv, dtype) && fc_products_work(conv, dtype) < taps) {
        way = PRODUCTS;
        *work = fc_products_work(conv, dtype) + once;
    }
    if (fc_strips_can(conv, dtype, memory) && fc_strips_work(conv, dtype, memory) + once < *work) {
        way = STRIPS;
        *work = fc_strips_work(conv, dtype, memory) + once;
    }
    return way;
}

/* What the forward pass stores in a pass of its own, at so many FMAs. */
static double stores_work(const fc_conv2d* conv, fc_dtype dtype) {
    if (fc_sums_go_straight(conv, dtype)) return 0;
    const int64_t reach = (conv->kernel_size[1] - 1) * conv->dilation[1] / conv->stride[1];
    const int64_t rows = conv->batch * conv->out_channels * conv->out_size[0];
    return STORE * (double)(rows * (conv->out_size[1] + reach));
}

/* All gradients at one reading of the output's. */
static double joint_work(const fc_conv2d* conv, fc_dtype dtype) {
    fc_axis_memory memory;
    double work;
    if (fc_axis_reserve(conv, &memory) != FC_OK || fc_depthwise_can(conv, dtype, 1)) return 0;
    if (choose_way(conv, dtype, memory, &work) != STRIPS) return 0;
    return fc_strips_weight_can(conv, dtype, memory) ? work + fc_grad_weight_work(conv, dtype) : 0;
}

double fc_conv2d_direct_work(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    fc_axis_memory memory;
    if (pass == 3) return joint_work(conv, dtype);
    double work = taps_work(conv, dtype, pass);
    if (fc_depthwise_can(conv, dtype, pass)) return work + (pass == 1 ? taps_moves(conv, 0) : 0);
    if (pass == 2) return fc_grad_weight_work(conv, dtype);
    if (pass == 0) return work + stores_work(conv, dtype);
    if (fc_axis_reserve(conv, &memory) == FC_OK) choose_way(conv, dtype, memory, &work);
    return work;
}

static fc_status input_by_taps(const fc_conv2d* conv, fc_dtype dtype, fc_axis_memory memory,
                               const void* grad_output, const void* weight, void* grad_input) {
    for (int64_t i = 0; i < conv->stride[0]; i++)
        for (int64_t j = 0; j < conv->stride[1]; j++) {
            int64_t origin;
            fc_taps_problem problem = residue_problem(conv, dtype, i, j, memory, &origin);
            if (problem.out_rows == 0 || problem.out_cols == 0) continue;
            problem.source = grad_output;
            problem.weight = weight;
            problem.output = (char*)grad_input + origin * (int64_t)fc_dtype_size(dtype);
            const fc_status status = fc_run_taps(&problem);
            if (status != FC_OK) return status;
        }
    return FC_OK;
}

fc_status fc_conv2d_direct_grad_input(const fc_conv2d* conv, fc_dtype dtype,
                                      const void* grad_output, const void* weight, void* grad_input,
                                      void* grad_bias) {
    fc_axis_memory memory;
    fc_status status = fc_axis_reserve(conv, &memory);
    if (status != FC_OK) return status;
    double work;
    const int is_narrow = fc_depthwise_can(conv, dtype, 1);
    const input_way way = is_narrow ? TAPS : choose_way(conv, dtype, memory, &work);
    if (is_narrow)
        status = fc_depthwise_grad_input(conv, dtype, grad_output, weight, grad_input);
    else if (way == STRIPS)
        status = fc_strips_backward(conv, dtype, memory,
                                    &(fc_conv2d_operands){NULL, grad_output, weight},
                                    &(fc_conv2d_gradients){grad_input, NULL, grad_bias});
    else if (way == PRODUCTS)
        status = fc_products_grad_input(conv, dtype, grad_output, weight, grad_input);
    else
        status = input_by_taps(conv, dtype, memory, grad_output, weight, grad_input);
    if (status == FC_OK && grad_bias && way != STRIPS)
        status = fc_conv2d_grad_bias(conv, dtype, grad_output, grad_bias);
    fc_workspace_trim();
    return status;
}

fc_status fc_conv2d_direct_backward(const fc_conv2d* conv, fc_dtype dtype,
                                    const fc_conv2d_operands* operands,
                                    const fc_conv2d_gradients* gradients) {
    fc_axis_memory memory;
    fc_status status = fc_axis_reserve(conv, &memory);
    if (status != FC_OK) return status;
    if (!fc_strips_weight_can(conv, dtype, memory)) return FC_ERROR_ARGUMENT;
    status = fc_strips_backward(conv, dtype, memory, operands, gradients);
    fc_workspace_trim();
    return status;
}

int64_t fc_conv2d_direct_workspace(const fc_conv2d* conv, fc_dtype dtype, int pass) {
    fc_axis_memory memory;
    if (fc_axis_reserve(conv, &memory) != FC_OK) return 0;
    if (fc_depthwise_can(conv, dtype, pass)) return fc_depthwise_workspace(conv, dtype, pass);
    if (pass == 2) return fc_grad_weight_workspace(conv, dtype);
    int64_t origin, most = 0;
    double work;
    const input_way way = pass == 1 ? choose_way(conv, dtype, memory, &work) : TAPS;
    if (way == PRODUCTS) return fc_products_workspace(conv, dtype);
    if (way == STRIPS) return fc_strips_workspace(conv, dtype, memory);
    if (pass == 0) {
        const fc_taps_problem problem = forward_problem(conv, dtype, memory);
        const fc_taps_plan plan = fc_plan_taps(&problem);
        return (int64_t)(plan.planes_bytes + plan.tile_bytes);
    }
    for (int64_t i = 0; i < conv->stride[0]; i++)
        for (int64_t j = 0; j < conv->stride[1]; j++) {
            const fc_taps_problem problem = residue_problem(conv, dtype, i, j, memory, &origin);
            if (problem.out_rows == 0 || problem.out_cols == 0) continue;
            const fc_taps_plan plan = fc_plan_taps(&problem);
            most = fc_max(most, (int64_t)(plan.planes_bytes + plan.tile_bytes));
        }
    return most;
}
