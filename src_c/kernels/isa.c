/* Compiled once per instruction set, with FC_ISA_NAME and that set's flags: every kernel body for
 * float, then for double, and the one exported symbol. Nothing here runs before dispatch: all
 * globals are constant. */
#include "simd.h"
#include "tiles.h"
#include "constants.h"

#define T float
#define SUF f32
#include "bodies.inc"
#undef T
#undef SUF

#define T double
#define SUF f64
#include "bodies.inc"
#undef T
#undef SUF

const fc_kernels PASTE(fc_kernels, FC_ISA_NAME) = {
    .of = {[FC_FLOAT32] = &kernels_f32, [FC_FLOAT64] = &kernels_f64},
};
