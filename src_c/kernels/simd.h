/* Vectors: GNU vector extensions whose width follows from what the compiler targets.
 *
 * Included once by isa.c. The .inc bodies are then included per dtype and see
 *   T            the element            SUF   its suffix, f32 or f64
 *   V            a vector of T          VI    the signed integers of the same width (also masks)
 *   I            the integer element    VL    lanes
 *   NAME(x)      x_f32 or x_f64
 * Everything that they define is static. */
#ifndef FASTCONV_SIMD_H
#define FASTCONV_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "kernels.h"

#if defined(__AVX512F__)
#    define VECTOR_BYTES 64
#elif defined(__AVX2__)
#    define VECTOR_BYTES 32
#else
#    define VECTOR_BYTES 16
#endif

typedef float vector_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef double vector_f64 __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t vector_int_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t vector_int_f64 __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t int_f32;
typedef int64_t int_f64;
typedef uint32_t uint_f32;
typedef uint64_t uint_f64;

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define NAME(x) PASTE(x, SUF)
#define V PASTE(vector, SUF)
#define VI PASTE(vector_int, SUF)
#define I PASTE(int, SUF)
#define VL ((int)(VECTOR_BYTES / sizeof(T)))

#define INLINE static inline __attribute__((always_inline))

/* Keep a vector in a register: without this the compiler may load it again for every use. */
#if defined(__x86_64__)
#    define KEEP(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#    define KEEP(v) __asm__("" : "+w"(v))
#else
#    define KEEP(v) (void)(v)
#endif

/* Go on from a pointer: without this the compiler computes the addresses of a whole unrolled loop
 * first, and spills them. */
#define KEEP_POINTER(p) __asm__("" : "+r"(p))

#endif
