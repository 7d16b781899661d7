/* Plain C99: runs anywhere, with the vectors that a compiler has without asking for them. */

#include "packed.h"
#define TARGET
#define LANES 4
#define FLOAT_PIXELS 2
#include "packed_steps.h"

static uint64_t bits_set(uint64_t x)
{
    x -= (x >> 1) & 0x5555555555555555U;
    x = (x & 0x3333333333333333U) + ((x >> 2) & 0x3333333333333333U);
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0FU;
    return (x * 0x0101010101010101U) >> 56;
}

static void count_differences(const windows *at, unsigned pixels, unsigned groups,
                              int32_t counts[PIXELS][FILTERS])
{
    for (unsigned p = 0; p < pixels; p++)
        for (unsigned g = 0; g < groups; g++) {
            const uint64_t *w = at->weights + g * at->group;
            uint64_t total[GROUP] = {0};
            for (size_t r = 0; r < at->rows; r++)
                for (size_t i = 0; i < at->words; i++, w += GROUP)
                    for (unsigned o = 0; o < GROUP; o++)
                        total[o] += bits_set(at->pixels[p][r * at->line + i] ^ w[o]);
            for (unsigned o = 0; o < GROUP; o++)
                counts[p][g * GROUP + o] = (int32_t)total[o];
        }
}

static uint64_t sign_bits(const float *x, const float *flips, const float *bounds, size_t n)
{
    return plain_bits(x, flips, bounds, 0, n);
}

static void turn(const float *from, size_t from_line, float *to, size_t to_line)
{
    for (size_t i = 0; i < 8; i++)
        for (size_t k = 0; k < 8; k++)
            to[k * to_line + i] = from[i * from_line + k];
}

static int is_supported(void) { return 1; }

extern const packed_kernels packed_plain;
const packed_kernels packed_plain = {"plain", is_supported, run};
