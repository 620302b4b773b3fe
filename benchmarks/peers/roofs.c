/* Two loops that show what a core can do: multiply-adds from registers, and a triad through memory.
 * Compiled when a roofline is drawn, for the instruction set that runs; never part of the library.
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

/* a = b + factor c: two arrays read and one written. */
void triad(long count, T* a, const T* b, const T* c, T factor) {
#pragma GCC ivdep
    for (long i = 0; i < count; i++) a[i] = b[i] + factor * c[i];
}
