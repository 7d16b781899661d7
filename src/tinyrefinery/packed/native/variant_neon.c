/* NEON of 64-bit Arm, where every processor has it. */

#include "packed.h"
#if defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define TARGET
#define LANES 4
#define FLOAT_PIXELS 4
#include "packed_steps.h"

#define MOST 31 /* words until a byte that counts up to 8 per word could overflow */

static uint64x2_t add_bytes(uint64x2_t total, uint8x16_t bytes)
{
    return vaddq_u64(total, vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(bytes))));
}

static ALWAYS_INLINE void
count_block(const windows *at, unsigned from, const unsigned pixels, unsigned group,
            int32_t counts[PIXELS][FILTERS])
{
    uint64x2_t total[2][4];
    uint8x16_t bytes[2][4];
    const uint64_t *w = at->weights + group * at->group;
    unsigned since = 0;
    for (unsigned p = 0; p < pixels; p++)
        for (unsigned q = 0; q < 4; q++) {
            total[p][q] = vdupq_n_u64(0);
            bytes[p][q] = vdupq_n_u8(0);
        }
    for (size_t r = 0; r < at->rows; r++)
        for (size_t i = 0; i < at->words; i++, w += GROUP) {
            for (unsigned p = 0; p < pixels; p++) {
                uint64x2_t x = vdupq_n_u64(at->pixels[from + p][r * at->line + i]);
                for (unsigned q = 0; q < 4; q++) {
                    uint64x2_t differ = veorq_u64(x, vld1q_u64(w + 2 * q));
                    bytes[p][q] = vaddq_u8(bytes[p][q], vcntq_u8(vreinterpretq_u8_u64(differ)));
                }
            }
            if (++since < MOST)
                continue;
            since = 0;
            for (unsigned p = 0; p < pixels; p++)
                for (unsigned q = 0; q < 4; q++) {
                    total[p][q] = add_bytes(total[p][q], bytes[p][q]);
                    bytes[p][q] = vdupq_n_u8(0);
                }
        }
    for (unsigned p = 0; p < pixels; p++)
        for (unsigned q = 0; q < 4; q++) {
            uint64x2_t sums = add_bytes(total[p][q], bytes[p][q]);
            counts[from + p][group * GROUP + 2 * q] = (int32_t)vgetq_lane_u64(sums, 0);
            counts[from + p][group * GROUP + 2 * q + 1] = (int32_t)vgetq_lane_u64(sums, 1);
        }
}

#include "packed_pairs.h"

static uint64_t sign_bits(const float *x, const float *flips, const float *bounds, size_t n)
{
    static const uint32_t places[4] = {1, 2, 4, 8};
    uint64_t bits = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t value = vmulq_f32(vld1q_f32(x + i), vld1q_f32(flips + i));
        uint32x4_t mask = vandq_u32(vcgeq_f32(value, vld1q_f32(bounds + i)), vld1q_u32(places));
        bits |= (uint64_t)vaddvq_u32(mask) << i;
    }
    return i == n ? bits : bits | plain_bits(x, flips, bounds, i, n);
}

static void turn(const float *from, size_t from_line, float *to, size_t to_line)
{
    for (size_t i = 0; i < 8; i++)
        for (size_t k = 0; k < 8; k++)
            to[k * to_line + i] = from[i * from_line + k];
}

static int is_supported(void) { return 1; }

extern const packed_kernels packed_neon;
const packed_kernels packed_neon = {"neon", is_supported, run};
#else
typedef int packed_no_neon;
#endif
