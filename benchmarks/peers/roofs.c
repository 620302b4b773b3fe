/* Loops that show what a core can do: multiply-adds from registers, the same with operands from the
 * nearest cache, as any matrix product has them, and a triad through memory. Compiled when a
 * roofline is drawn, for the instruction set that runs; never part of the library.
 */

#if defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif

typedef T V __attribute__((vector_size(BYTES)));

/* Two units with a latency of four cycles need eight sums under way; twelve leave a margin and fit
 * sixteen registers with the two factors. */
enum { SUMS = 12 };

long multiply_add_flops(long rounds) {
    return rounds * SUMS * (long)(BYTES / sizeof(T)) * 2;
}

/* The sum goes to `sink`, so that no compiler drops the loop; the factors keep it finite. */
void multiply_add(long rounds, T* sink) {
    V sums[SUMS];
    const V factor = sink[0] - (V){};
    const V term = sink[1] - (V){};
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) sums[i] = term * (T)i;
    for (long round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) sums[i] = sums[i] * factor + term;
    }
    V total = sums[0];
#pragma GCC unroll 12
    for (int i = 1; i < SUMS; i++) total += sums[i];
    sink[0] = total[0];
}

/* The heart of a matrix product: ROWS x 2 vectors of sums, DEPTH steps over two panels that stay in
 * L1. It multiplies in every cycle as the loop above does, but a core that feeds its units from
 * memory may run at a lower clock. */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { ROWS = 12 };
#else
enum { ROWS = 6 };
#endif
enum { DEPTH = 128, LANES = BYTES / sizeof(T) };

long product_elements(void) {
    return DEPTH * (ROWS + 2 * LANES);
}

long product_flops(long rounds) {
    return rounds * DEPTH * ROWS * 2 * LANES * 2;
}

/* panels: product_elements() of them, on a cache line; the sum goes to `sink`. */
void product(long rounds, const T* panels, T* sink) {
    const T* left = panels + DEPTH * 2 * LANES;
    V sums[ROWS][2] = {0};
    for (long round = 0; round < rounds; round++)
        for (long d = 0; d < DEPTH; d++) {
            V right[2] = {((const V*)panels)[2 * d], ((const V*)panels)[2 * d + 1]};
            __asm__("" : "+v"(right[0]), "+v"(right[1])); /* loaded once, not by each use */
#pragma GCC unroll 12
            for (int r = 0; r < ROWS; r++) {
                V one = left[d * ROWS + r] - (V){0};
                __asm__("" : "+v"(one));
                sums[r][0] += one * right[0];
                sums[r][1] += one * right[1];
            }
        }
    V total = {0};
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++) total += sums[r][0] + sums[r][1];
    sink[0] = total[0];
}

/* a = b + factor c: two arrays read and one written. */
void triad(long count, T* a, const T* b, const T* c, T factor) {
#pragma GCC ivdep
    for (long i = 0; i < count; i++) a[i] = b[i] + factor * c[i];
}
