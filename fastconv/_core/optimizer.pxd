"""Declarations of fastconv.h for optimisers."""

from libc.stdint cimport int64_t

from fastconv._core.c_api cimport fc_dtype, fc_status


cdef extern from "fastconv.h" nogil:
    ctypedef enum fc_optimizer_rule:
        FC_SGD
        FC_RMSPROP
        FC_ADAM

    ctypedef struct fc_optimizer:
        fc_optimizer_rule rule
        double lr, weight_decay
        double momentum, dampening
        double betas[2]
        double eps
        int nesterov

    int FC_OPTIMIZER_STATES

    ctypedef struct fc_optimizer_array:
        fc_dtype dtype
        int64_t size, step
        void* data
        const void* grad
        void* state[3]

    fc_status fc_optimizer_step(const fc_optimizer* optimizer, int64_t count,
                                const fc_optimizer_array* arrays)
