/* Register tiles per instruction set: the only numbers that a new instruction set must bring.
 *
 * conv_taps keeps TAPS_MR x TAPS_NV accumulators, TAPS_NV vectors of pixels and one broadcast in
 * registers; conv_dots DOTS_MR x DOTS_NR accumulators, DOTS_NR vectors and one more; gemm_ukernel
 * GEMM_MR x GEMM_NV accumulators, GEMM_NV vectors and one broadcast; gemm_sliding SLIDE_MR
 * accumulators, SLIDE_TAPS vectors and one broadcast; conv_pooled POOLED_NV accumulators and one
 * broadcast. */
#if defined(__AVX512F__) || defined(__aarch64__) /* 32 vector registers */
#    define TAPS_MR 9
#    define TAPS_NV 3
#    define DOTS_MR 4
#    define DOTS_NR 6
#    define GEMM_MR 14
#    define GEMM_NV 2
#    define SLIDE_MR 16
#    define POOLED_NV 18
#else /* 16 */
#    define TAPS_MR 6
#    define TAPS_NV 2
#    define DOTS_MR 3
#    define DOTS_NR 4
#    define GEMM_MR 6
#    define GEMM_NV 2
#    define SLIDE_MR 10
#    define POOLED_NV 12
#endif
/* A row of a tile's vectors of b is lines of its own: memory is worth minding step by step. */
#define GEMM_IS_WIDE (GEMM_NV * VECTOR_BYTES >= 128)
enum {
    GEMM_GROUP = 3, /* rows of a that share a pointer */
    GEMM_GROUPS = (GEMM_MR + GEMM_GROUP - 1) / GEMM_GROUP,
    GEMM_STEPS = 2, /* of depth between two counts */
    SLIDE_TAPS = 3,
    POOLED_FEW = 2, /* vectors of a row of entries that are worth four sums each */
    NARROW = 4,     /* vectors of a padded row, below which its plane is padding before all else */
};
