/* A picture scaled, bilinear with antialiasing, and a part of that: byte for byte what Pillow's resize gives.
 *
 * Each pixel is a weighted mean of those under a triangle as wide as two of the new ones: first across, rounded to
 * 8 bits, then down. Weights are doubles rounded to 22 bits; -ffp-contract=off keeps them as Pillow has them.
 *
 * Vectors hold pixels of 4 bytes, across those of several rows, so that one weight serves them all. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BITS 22
#ifdef __AVX512F__
#define LANES 16 /* values of a vector, the widest of the processor */
#else
#define LANES 8
#endif
#define ROWS (LANES / 4)

/* A vector that comes from memory GCC takes apart, value by value, which costs four times as long as widening it as it
 * is; not one of which it does not know where it comes from. */
#if defined __x86_64__
#define HIDDEN(vector) __asm__("" : "+x"(vector))
#elif defined __aarch64__
#define HIDDEN(vector) __asm__("" : "+w"(vector))
#else
#define HIDDEN(vector) (void)(vector)
#endif

typedef struct { long length, scaled, first, count; } Side; /* pixels, those after scaling, and which of them are wanted */
typedef struct { int32_t *first, *weights; long taps; } Weights; /* of each wanted pixel: where `taps` weights begin */

struct Array { /* Arrow's */
    int64_t length, nulls, offset, buffer_count, child_count;
    const void **buffers;
    struct Array **children;
};

typedef int32_t Sums __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(LANES)));
typedef uint8_t Bytes __attribute__((vector_size(LANES)));

typedef struct { double centre, narrow; long first, end; } Window;

static Window window(Side side, long place) {
    double scale = (double)side.length / side.scaled, support = scale < 1 ? 1 : scale;
    double centre = (side.first + place + 0.5) * scale;
    long first = centre - support + 0.5, end = centre + support + 0.5;
    return (Window){centre, 1 / support, first < 0 ? 0 : first, end > side.length ? side.length : end};
}

static double triangle(Window w, long at) {
    double x = (at - w.centre + 0.5) * w.narrow;
    x = x < 0 ? -x : x;
    return x < 1 ? 1 - x : 0;
}

static Weights weigh(Side side) { /* in one block of memory, which begins at `first`; NULL without memory */
    long taps = 0;
    for (long i = 0; i < side.count; i++) {
        Window w = window(side, i);
        if (w.end - w.first > taps) taps = w.end - w.first;
    }
    Weights to = {calloc(side.count * (taps + 1), sizeof(int32_t)), NULL, taps};
    if (!to.first) return to;
    to.weights = to.first + side.count;
    for (long i = 0; i < side.count; i++) {
        Window w = window(side, i);
        long first = w.first + taps > side.length ? side.length - taps : w.first; /* all taps lie inside */
        double sum = 0;
        for (long at = w.first; at < w.end; at++) sum += triangle(w, at);
        for (long at = w.first; at < w.end; at++)
            to.weights[i * taps + at - first] = triangle(w, at) / sum * (1 << BITS) + 0.5;
        to.first[i] = first;
    }
    return to;
}

static inline Sums half(void) { return (Sums){0} + (1 << (BITS - 1)); }

static inline Sums times(Bytes bytes, int32_t weight) {
    HIDDEN(bytes);
    return __builtin_convertvector(bytes, Sums) * weight;
}

static inline Bytes narrowed(Sums sums) { return __builtin_convertvector(sums >> BITS, Bytes); }

/* Rows of 4-byte pixels to rows of 3-byte ones, each with a byte to spare. */
static inline void across(const uint8_t *in, long pitch, uint8_t *out, long rows, long count, Weights w, const long taps) {
    for (long y = 0; y < rows; y += ROWS) {
        if (y > rows - ROWS) y = rows - ROWS;
        for (long x = 0; x < count; x++) {
            const uint8_t *from = in + y * pitch + 4 * w.first[x];
            Sums sums = half();
            for (long t = 0; t < taps; t++) {
                Words pixels;
                for (long row = 0; row < ROWS; row++) memcpy((char *)&pixels + 4 * row, from + row * pitch + 4 * t, 4);
                sums += times((Bytes)pixels, w.weights[x * taps + t]);
            }
            Bytes pixels = narrowed(sums);
            for (long row = 0; row < ROWS; row++)
                memcpy(out + (y + row) * (3 * count + 1) + 3 * x, (char *)&pixels + 4 * row, 4);
        }
    }
}

static inline void down(const uint8_t *in, uint8_t *out, long rows, long bytes, Weights w, const long taps) {
    for (long y = 0; y < rows; y++)
        for (long x = 0; x < bytes; x += LANES) {
            if (x > bytes - LANES) x = bytes - LANES;
            const uint8_t *from = in + w.first[y] * (bytes + 1) + x;
            Sums sums = half();
            for (long t = 0; t < taps; t++) {
                Bytes column;
                memcpy(&column, from + t * (bytes + 1), LANES);
                sums += times(column, w.weights[y * taps + t]);
            }
            Bytes pixels = narrowed(sums);
            memcpy(out + y * bytes + x, &pixels, LANES);
        }
}

#define BY_TAPS(CALL, TAPS) /* short loops of known length are unrolled */                                             \
    switch (TAPS) {                                                                                                  \
    case 2: CALL(2); break;                                                                                          \
    case 3: CALL(3); break;                                                                                          \
    case 4: CALL(4); break;                                                                                          \
    default: CALL(TAPS);                                                                                             \
    }

/* A picture as the Arrow interface gives it, uint8 [y.length, x.length, 4], to [y.count, x.count, 3]; whether it was
 * done: not of pictures too small for vectors, nor without memory. */
int scale(const struct Array *picture, uint8_t *out, Side x, Side y) {
    const uint8_t *in = picture->children[0]->buffers[1];
    uint8_t *between = NULL;
    Weights wx = weigh(x), wy = weigh(y);
    if (wx.first && wy.first && 3 * x.count >= LANES) {
        long top = wy.first[0], rows = wy.first[y.count - 1] + wy.taps - top;
        if (rows >= ROWS && (between = malloc(rows * (3 * x.count + 1)))) {
            for (long i = 0; i < y.count; i++) wy.first[i] -= top;
#define ACROSS(TAPS) across(in + top * 4 * x.length, 4 * x.length, between, rows, x.count, wx, TAPS)
#define DOWN(TAPS) down(between, out, y.count, 3 * x.count, wy, TAPS)
            BY_TAPS(ACROSS, wx.taps)
            BY_TAPS(DOWN, wy.taps)
        }
    }
    int done = between != NULL;
    free(wx.first), free(wy.first), free(between);
    return done;
}
