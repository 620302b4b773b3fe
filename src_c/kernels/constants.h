/* Numbers of the elementary functions (math.inc), per dtype: NAME(x) picks them.
 *
 * Polynomials are minimax fits (Remez, 50 digits), lowest power first. Each error is the largest
 * relative error of the fit itself, before rounding. */
#ifndef FASTCONV_CONSTANTS_H
#define FASTCONV_CONSTANTS_H

/* Adding 1.5 * 2^mantissa rounds to an integer and leaves it in the low bits. */
#define ROUNDER_f32 0x1.8p23f
#define ROUNDER_f64 0x1.8p52
#define MANTISSA_f32 23
#define MANTISSA_f64 52
#define BIAS_f32 127
#define BIAS_f64 1023
#define LOG2_E_f32 0x1.715476p0f
#define LOG2_E_f64 0x1.71547652b82fep0
/* log 2 in two parts; the first has so few bits that its product with any exponent is exact. */
#define LN2_HIGH_f32 0.693359375f
#define LN2_HIGH_f64 6.93147180369123816490e-01
#define LN2_LOW_f32 (-2.12194440054690583e-4f)
#define LN2_LOW_f64 1.90821492927058770002e-10
/* exp is infinite from OVERFLOW on and rounds to zero from UNDERFLOW down. */
#define EXP_OVERFLOW_f32 89.0f
#define EXP_OVERFLOW_f64 710.0
#define EXP_UNDERFLOW_f32 (-104.0f)
#define EXP_UNDERFLOW_f64 (-746.0)
/* Bits of x that a square root's worth of mantissa holds: their square is exact. */
#define SQUARE_MASK_f32 ((int32_t)0xfffff000)
#define SQUARE_MASK_f64 ((int64_t)0xfffffffff8000000)
/* From here on exp(-x^2 / 2) is zero. */
#define GAUSS_END_f32 15.0f
#define GAUSS_END_f64 40.0
/* Bits of sqrt(1/2) and of 1. */
#define HALF_ROOT_f32 0x3f3504f3
#define HALF_ROOT_f64 0x3fe6a09e667f3bcd
#define ONE_BITS_f32 0x3f800000
#define ONE_BITS_f64 0x3ff0000000000000
#define MANTISSA_MASK_f32 0x7fffff
#define MANTISSA_MASK_f64 0xfffffffffffff

/* The smallest normal number. */
#define SMALLEST_f32 0x1p-126f
#define SMALLEST_f64 0x1p-1022

#define SQRT_f32 __builtin_sqrtf
#define SQRT_f64 __builtin_sqrt

/* (exp(r) - 1 - r) / r^2 on |r| <= log(2) / 2 (float: 7 % more): 3.8e-10 and 2.6e-19 of expm1. */
static const float exp_poly_f32[] = {
    0.500000006956692747f,   0.166666668920944743f,   0.0416662578846706575f,
    0.00833325434720138067f, 0.00139485550639339575f, 0.000199247301305733054f,
};
static const double exp_poly_f64[] = {
    0.5,
    0.166666666666666767,
    0.0416666666666667017,
    0.00833333333332153101,
    0.00138888888888666732,
    0.000198412698864018064,
    0.0000248015873608876624,
    2.75572439110844738e-6,
    2.75572424731485392e-7,
    2.51091475654848579e-8,
    2.0924532461026302e-9,
};

/* (log((1 + s) / (1 - s)) - 2 s) / s^3 by s^2, s up to (sqrt 2 - 1) / (sqrt 2 +
 * 1): 1.1e-11, 2.9e-18 of s^3. */
static const float log_poly_f32[] = {
    0.66666665559761359f,
    0.40000356157520119f,
    0.28535890321024859f,
    0.23610515739342132f,
};
static const double log_poly_f64[] = {
    0.66666666666667446641, 0.39999999999339342915, 0.28571428760594091628, 0.22222196570239441034,
    0.1818367482215887465,  0.15311072476010009625, 0.14827150726411903854,
};

/* (1 + x) exp(x^2 / 2) erfc(x / sqrt 2) by q = (x - 4) / (x + 4), 0 <= x <= GAUSS_END: 1.7e-9 and
 * 4.7e-17. */
static const float mills_poly_f32[] = {
    0.944106413646032202f,     -0.193406932798600809f,    0.0279992007242660286f,
    0.057199937620004728f,     -0.0643946945337417462f,   0.0358804556164912961f,
    -0.0100078937380912165f,   -0.000606883084686793434f, 0.00138442900587283536f,
    -0.000123084231235499088f, -0.000143963700670140648f,
};
static const double mills_poly_f64[] = {
    0.944106413019689325,     -0.193406954653051156,    0.027999269448862735,
    0.0572007281070507133,    -0.0643956748568107379,   0.0358721949609452255,
    -0.0100047571685664895,   -0.000571246218076511727, 0.00138979406067563217,
    -0.000188860346960183334, -0.000175705405377033955, 0.0000424994442704467899,
    0.0000272498108924700182, -6.86295471648447636e-6,  -5.21541695064070718e-6,
    8.07756575451735573e-7,   1.08617543941731347e-6,   1.36087085176565722e-9,
    -2.02896125166476418e-7,  -3.49075069284983824e-8,  2.36461864767124626e-8,
    7.86851460950020899e-9,
};

#endif
