/* Activations, softmax, cross-entropy, optimisers: part of fastconv.h. */
#ifndef FASTCONV_INTERFACE_ELEMENTWISE_H
#define FASTCONV_INTERFACE_ELEMENTWISE_H

#include "fastconv_runtime.h"

/* ---- elementwise activations -------------------------------------------------------------- */

/* The rows are in kernels/activations.inc. */
typedef enum {
#define FC_ACTIVATION(name) FC_ACTIVATION_##name,
#include "fastconv_activations.inc"
#undef FC_ACTIVATION
    FC_ACTIVATIONS,
} fc_activation;

/* output[i] = f(input[i]); parameter is alpha or the negative slope where f has one. */
FC_API fc_status fc_activation_forward(fc_activation f, fc_dtype dtype, int64_t size,
                                       double parameter, const void* input, void* output);
/* grad_input[i] = grad_output[i] * f'(.), where saved is f's output for relu, sigmoid and tanh and
 * f's input for the rest. */
FC_API fc_status fc_activation_backward(fc_activation f, fc_dtype dtype, int64_t size,
                                        double parameter, const void* grad_output,
                                        const void* saved, void* grad_input);

/* ---- softmax ------------------------------------------------------------------------------ */

typedef enum { FC_SOFTMAX, FC_LOG_SOFTMAX, FC_LOGSUMEXP, FC_SOFTMAX_MODES } fc_softmax;

/* An (outer, size, inner) array seen along its middle axis: outer * inner lines. */
typedef struct {
    int64_t outer, size, inner;
} fc_lines;

/* output has the input's shape; for the logsumexp (outer, inner). */
FC_API fc_status fc_softmax_forward(fc_softmax mode, fc_dtype dtype, const fc_lines* lines,
                                    const void* input, void* output);
/* saved: the forward output; for the logsumexp its input, with `output` (outer, inner) beside it
 * (NULL for the others) and grad_output (outer, inner). */
FC_API fc_status fc_softmax_backward(fc_softmax mode, fc_dtype dtype, const fc_lines* lines,
                                     const void* grad_output, const void* saved, const void* output,
                                     void* grad_input);

/* ---- cross-entropy ------------------------------------------------------------------------ */

typedef struct {
    fc_lines lines;        /* (samples, classes, positions) */
    const int64_t* target; /* (samples, positions): labels, each below classes or ignore_index */
    const void* weight;    /* (classes,) or NULL for ones */
    double weight_sum;     /* of all classes */
    double label_smoothing;
    int64_t ignore_index;
} fc_cross_entropy;

/* losses (samples, positions), 0 where ignored. sums[0] is their sum, sums[1] the sum of the
 * labels' weights, both in an order that depends on the shape alone. FC_ERROR_INDEX: a label is out
 * of range. */
FC_API fc_status fc_cross_entropy_forward(const fc_cross_entropy* problem, fc_dtype dtype,
                                          const void* input, void* losses, double sums[2]);
/* grad_losses (samples, positions), or NULL: `scale` for every one. */
FC_API fc_status fc_cross_entropy_backward(const fc_cross_entropy* problem, fc_dtype dtype,
                                           const void* grad_losses, double scale, const void* input,
                                           void* grad_input);

/* ---- optimisers --------------------------------------------------------------------------- */

typedef enum { FC_SGD, FC_RMSPROP, FC_ADAM } fc_optimizer_rule;

/* A rule and its numbers; those that a rule has no use for are not read. The formulas are in
 * kernels/optimizer.inc. */
typedef struct {
    fc_optimizer_rule rule;
    double lr, weight_decay;
    double momentum, dampening; /* sgd; rmsprop: momentum alone */
    double betas[2];            /* adam; rmsprop: betas[0] is its alpha */
    double eps;
    int nesterov;
} fc_optimizer;

/* One array of parameters, what is known of it, and its step, counted from 1. State that a rule
 * does not keep is NULL: sgd has velocity (with momentum), rmsprop squares, means (centered) and
 * velocity (with momentum), adam both moments. */
enum { FC_OPTIMIZER_STATES = 3 };
typedef struct {
    fc_dtype dtype;
    int64_t size, step;
    void* data;
    const void* grad;
    void* state[FC_OPTIMIZER_STATES];
} fc_optimizer_array;

/* One step for each of `count` arrays, in place. No array that is written may overlap another.
 * FC_ERROR_ARGUMENT: states that the rule does not keep, or not these alone. */
FC_API fc_status fc_optimizer_step(const fc_optimizer* optimizer, int64_t count,
                                   const fc_optimizer_array* arrays);

#endif
