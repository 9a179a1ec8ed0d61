/* Local response normalisation over rows of channels: b = a * d^-beta, d = k + alpha * S, S the sum of a^2 over `size`
 * neighbouring channels of the same column. One row is one place of one picture, its channels side by side. Nothing is
 * kept for backward but the input.
 *
 * Threads share blocks of rows. A block is laid out with zeros between its rows, so that each stage is one long loop
 * that the compiler turns into vector instructions, windows end at the edges of a column by themselves, and what one
 * stage has stored has reached the cache before the next stage loads it at other offsets.
 *
 * Compiled once with OpenMP but without its library, so that it runs on torch's own threads. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MOST 1024         /* channels of a column */
#define EDGE 16           /* zeros on either side, the widest half window */
#define BLOCK (MOST + EDGE) /* floats of a stage: a few of them fit into the first cache */

typedef struct { long rows, columns, channels, half; float alpha, beta, k; } Shape;

static inline float widen(uint16_t v) { uint32_t u = (uint32_t)v << 16; float f; memcpy(&f, &u, 4); return f; }

static inline uint16_t narrow(float f) { /* to the nearest, ties to even; a NaN stays one */
    uint32_t u; memcpy(&u, &f, 4);
    uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    return (u & 0x7fffffff) > 0x7f800000 ? (uint16_t)((u >> 16) | 64) : (uint16_t)rounded;
}

static inline float fourth_root(float d) { /* d^-1/4 to 2e-7: a guess from the exponent, 3 % off, and Newton's steps */
    uint32_t u; memcpy(&u, &d, 4); u = 0x4f586000 - (u >> 2);
    float r; memcpy(&r, &u, 4);
    float quarter = 0.25f * d;
    for (int i = 0; i < 3; i++) { float square = r * r; r *= 1.25f - quarter * (square * square); }
    return r;
}

static inline void window(const float *restrict x, float *restrict sum, long n, long half) {
    if (half == 2) { /* the paper's, in one go */
        for (long i = 0; i < n; i++) sum[i] = x[i - 2] + x[i - 1] + x[i] + x[i + 1] + x[i + 2];
        return;
    }
    for (long i = 0; i < n; i++) sum[i] = x[i];
    for (long j = -half; j <= half; j++)
        if (j) for (long i = 0; i < n; i++) sum[i] += x[i + j];
}

static inline void powers(float *restrict sum, float *restrict p, long n, Shape s) { /* p = d^-beta, sum = p / d */
    if (s.beta == 0.75f) /* two roots and a division would take as long as all the rest */
        for (long i = 0; i < n; i++) {
            float r = fourth_root(s.k + s.alpha * sum[i]), square = r * r;
            p[i] = square * r; sum[i] = p[i] * (square * square);
        }
    else
        for (long i = 0; i < n; i++) {
            float d = s.k + s.alpha * sum[i];
            p[i] = powf(d, -s.beta); sum[i] = p[i] / d;
        }
}

/* One block: `at` walks over its rows, `i` over the channels of one. */
#define ROWS(BODY)                                                                                                   \
    for (long row = 0; row < rows; row++)                                                                            \
        for (long i = row * stride, at = (first + row) * s.channels, end = i + s.channels; i < end; i++, at++) { BODY; }

#define BLOCKS(BODY)                                                                                                 \
    long stride = s.channels + s.half, most = BLOCK / stride, all = s.rows * s.columns;                              \
    _Pragma("omp parallel for schedule(static)")                                                                     \
    for (long first = 0; first < all; first += most) {                                                               \
        long rows = all - first < most ? all - first : most, n = rows * stride;                                      \
        float a[BLOCK], sum[BLOCK], p[BLOCK], hemmed[EDGE + BLOCK + EDGE] = {0}, *inner = hemmed + EDGE;             \
        BODY                                                                                                         \
    }

#define KERNELS(NAME, TYPE, LOAD, STORE)                                                                             \
    void forward_##NAME(const TYPE *restrict x, TYPE *restrict y, Shape s) {                                         \
        BLOCKS(                                                                                                      \
            ROWS(a[i] = LOAD(x[at]); inner[i] = a[i] * a[i])                                                         \
            window(inner, sum, n, s.half);                                                                           \
            powers(sum, p, n, s);                                                                                    \
            ROWS(y[at] = STORE(a[i] * p[i]))                                                                         \
        )                                                                                                            \
    }                                                                                                                \
    void backward_##NAME(const TYPE *restrict x, const TYPE *restrict g, TYPE *restrict dx, Shape s) {               \
        float twice = 2 * s.alpha * s.beta;                                                                          \
        BLOCKS(                                                                                                      \
            ROWS(a[i] = LOAD(x[at]); inner[i] = a[i] * a[i])                                                         \
            window(inner, sum, n, s.half);                                                                           \
            powers(sum, p, n, s);                                                                                    \
            ROWS(float up = LOAD(g[at]); inner[i] = up * a[i] * sum[i]; p[i] *= up)                                  \
            window(inner, sum, n, s.half);                                                                           \
            ROWS(dx[at] = STORE(p[i] - twice * a[i] * sum[i]))                                                       \
        )                                                                                                            \
    }

#define SAME(v) (v)
KERNELS(float32, float, SAME, SAME)
KERNELS(bfloat16, uint16_t, widen, narrow)
