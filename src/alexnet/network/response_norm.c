/* Local response normalisation over rows of channels: b = a * d^-beta, d = k + alpha * S, S the sum of a^2 over `size`
 * neighbouring channels of the same column. One row is one place of one picture, its channels side by side, which the
 * compiler turns into vector instructions; threads share the rows. Nothing is kept for backward but the input.
 *
 * Compiled once with OpenMP but without its library, so that it runs on torch's own threads. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MOST 1024 /* channels of a column */
#define EDGE 16   /* zeros on either side, the widest half window */

typedef struct { long rows, columns, channels, half; float alpha, beta, k; } Shape;

static inline float widen(uint16_t v) { uint32_t u = (uint32_t)v << 16; float f; memcpy(&f, &u, 4); return f; }

static inline uint16_t narrow(float f) { /* to the nearest, ties to even; a NaN stays one */
    uint32_t u; memcpy(&u, &f, 4);
    uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    return (u & 0x7fffffff) > 0x7f800000 ? (uint16_t)((u >> 16) | 64) : (uint16_t)rounded;
}

static inline void window(const float *restrict padded, float *restrict sum, long n, long half) {
    for (long c = 0; c < n; c++) sum[c] = padded[c];
    for (long j = -half; j <= half; j++)
        if (j) for (long c = 0; c < n; c++) sum[c] += padded[c + j];
}

static inline void hem(float *padded, long n) { /* zeros before the first and after the last channel */
    memset(padded, 0, EDGE * sizeof(float));
    memset(padded + EDGE + n, 0, EDGE * sizeof(float));
}

static inline void power(const float *restrict d, float *restrict p, long n, float beta) { /* d^-beta */
    if (beta == 0.75f) for (long c = 0; c < n; c++) { float r = 1.0f / sqrtf(d[c]); p[c] = r * sqrtf(r); }
    else for (long c = 0; c < n; c++) p[c] = powf(d[c], -beta);
}

#define KERNELS(NAME, TYPE, LOAD, STORE)                                                                             \
    void forward_##NAME(const TYPE *restrict x, TYPE *restrict y, Shape s) {                                         \
        _Pragma("omp parallel for schedule(static)")                                                                 \
        for (long row = 0; row < s.rows * s.columns; row++) {                                                        \
            float a[MOST], d[MOST], p[MOST], squares[MOST + 2 * EDGE];                                               \
            const TYPE *in = x + row * s.channels; TYPE *out = y + row * s.channels;                                 \
            hem(squares, s.channels);                                                                                \
            for (long c = 0; c < s.channels; c++) { a[c] = LOAD(in[c]); squares[EDGE + c] = a[c] * a[c]; }           \
            window(squares + EDGE, d, s.channels, s.half);                                                           \
            for (long c = 0; c < s.channels; c++) d[c] = s.k + s.alpha * d[c];                                       \
            power(d, p, s.channels, s.beta);                                                                         \
            for (long c = 0; c < s.channels; c++) out[c] = STORE(a[c] * p[c]);                                       \
        }                                                                                                            \
    }                                                                                                                \
    void backward_##NAME(const TYPE *restrict x, const TYPE *restrict g, TYPE *restrict dx, Shape s) {               \
        _Pragma("omp parallel for schedule(static)")                                                                 \
        for (long row = 0; row < s.rows * s.columns; row++) {                                                        \
            float a[MOST], b[MOST], d[MOST], p[MOST], padded[MOST + 2 * EDGE];                                       \
            const TYPE *in = x + row * s.channels, *up = g + row * s.channels; TYPE *out = dx + row * s.channels;    \
            hem(padded, s.channels);                                                                                 \
            for (long c = 0; c < s.channels; c++) { a[c] = LOAD(in[c]); padded[EDGE + c] = a[c] * a[c]; }            \
            window(padded + EDGE, d, s.channels, s.half);                                                            \
            for (long c = 0; c < s.channels; c++) d[c] = s.k + s.alpha * d[c];                                       \
            power(d, p, s.channels, s.beta);                                                                         \
            for (long c = 0; c < s.channels; c++) { b[c] = LOAD(up[c]) * p[c]; padded[EDGE + c] = b[c] * a[c] / d[c]; } \
            window(padded + EDGE, d, s.channels, s.half);                                                            \
            for (long c = 0; c < s.channels; c++) out[c] = STORE(b[c] - 2 * s.alpha * s.beta * a[c] * d[c]);         \
        }                                                                                                            \
    }

#define SAME(v) (v)
KERNELS(float32, float, SAME, SAME)
KERNELS(bfloat16, uint16_t, widen, narrow)
