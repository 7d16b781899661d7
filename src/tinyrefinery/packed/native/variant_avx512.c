/* AVX-512 with VPOPCNTDQ: one lane is one filter, so nothing is added across lanes. */

#include "packed.h"
#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")))
#define LANES 16
#define FLOAT_PIXELS 8
#include "packed_steps.h"

/* `pixels` and `groups` are constants where it is called, so that all sums stay in registers. */
static ALWAYS_INLINE TARGET void
count_block(const windows *at, unsigned from, const unsigned pixels, unsigned group,
            const unsigned groups, int32_t counts[PIXELS][FILTERS])
{
    __m512i total[PIXELS][4];
    const uint64_t *w = at->weights + group * at->group, *x[PIXELS];
#pragma GCC unroll 6
    for (unsigned p = 0; p < pixels; p++) {
        x[p] = at->pixels[from + p];
#pragma GCC unroll 4
        for (unsigned g = 0; g < groups; g++)
            total[p][g] = _mm512_setzero_si512();
    }
    for (size_t r = 0; r < at->rows; r++) {
        size_t start = r * at->line;
        for (size_t i = 0; i < at->words; i++, w += GROUP) {
            __m512i weights[4];
#pragma GCC unroll 4
            for (unsigned g = 0; g < groups; g++)
                weights[g] = _mm512_loadu_si512(w + g * at->group);
#pragma GCC unroll 6
            for (unsigned p = 0; p < pixels; p++) {
                __m512i word = _mm512_set1_epi64((long long)x[p][start + i]);
#pragma GCC unroll 4
                for (unsigned g = 0; g < groups; g++)
                    total[p][g] = _mm512_add_epi64(
                        total[p][g], _mm512_popcnt_epi64(_mm512_xor_si512(word, weights[g])));
            }
        }
    }
#pragma GCC unroll 6
    for (unsigned p = 0; p < pixels; p++)
#pragma GCC unroll 4
        for (unsigned g = 0; g < groups; g++)
            _mm256_storeu_si256((__m256i *)(counts[from + p] + (group + g) * GROUP),
                                _mm512_cvtepi64_epi32(total[p][g]));
}

static TARGET void count_differences(const windows *at, unsigned pixels, unsigned groups,
                                     int32_t counts[PIXELS][FILTERS])
{
    unsigned p = 0;
    if (groups == 4) {
        if (pixels == 6) {
            count_block(at, 0, 6, 0, 4, counts);
            return;
        }
        if (pixels >= 4) {
            count_block(at, 0, 4, 0, 4, counts);
            p = 4;
        }
        for (; p < pixels; p++)
            count_block(at, p, 1, 0, 4, counts);
        return;
    }
    for (unsigned g = 0; g < groups; g++)
        for (p = 0; p < pixels; p++)
            count_block(at, p, 1, g, 1, counts);
}

static TARGET uint64_t sign_bits(const float *x, const float *flips, const float *bounds, size_t n)
{
    uint64_t bits = 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 value = _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(flips + i));
        __mmask16 mask = _mm512_cmp_ps_mask(value, _mm512_loadu_ps(bounds + i), _CMP_GE_OQ);
        bits |= (uint64_t)mask << i;
    }
    return i == n ? bits : bits | plain_bits(x, flips, bounds, i, n);
}

#include "packed_turn.h"

static int is_supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vpopcntdq");
}

extern const packed_kernels packed_avx512;
const packed_kernels packed_avx512 = {"avx512-vpopcntdq", is_supported, run};
#else
typedef int packed_no_avx512;
#endif
