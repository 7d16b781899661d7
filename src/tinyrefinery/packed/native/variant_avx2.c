/* AVX2: bits of each byte by a table of 16 entries, summed in bytes and then in words. */

#include "packed.h"
#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET __attribute__((target("avx2")))
#define LANES 8
#define FLOAT_PIXELS 4
#include "packed_steps.h"

#define MOST 31 /* words until a byte that counts up to 8 per word could overflow */

static ALWAYS_INLINE TARGET __m256i byte_counts(__m256i x)
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                           2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    __m256i upper = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
                           _mm256_shuffle_epi8(table, upper));
}

static ALWAYS_INLINE TARGET void
count_block(const windows *at, unsigned from, const unsigned pixels, unsigned group,
            int32_t counts[PIXELS][FILTERS])
{
    __m256i total[2][2], bytes[2][2];
    const __m256i zero = _mm256_setzero_si256();
    const uint64_t *w = at->weights + group * at->group;
    unsigned since = 0;
    for (unsigned p = 0; p < pixels; p++)
        total[p][0] = total[p][1] = bytes[p][0] = bytes[p][1] = zero;
    for (size_t r = 0; r < at->rows; r++)
        for (size_t i = 0; i < at->words; i++, w += GROUP) {
            __m256i one = _mm256_loadu_si256((const __m256i *)w);
            __m256i other = _mm256_loadu_si256((const __m256i *)(w + 4));
            for (unsigned p = 0; p < pixels; p++) {
                __m256i x = _mm256_set1_epi64x((long long)at->pixels[from + p][r * at->line + i]);
                bytes[p][0] = _mm256_add_epi8(bytes[p][0], byte_counts(_mm256_xor_si256(x, one)));
                bytes[p][1] =
                    _mm256_add_epi8(bytes[p][1], byte_counts(_mm256_xor_si256(x, other)));
            }
            if (++since < MOST)
                continue;
            since = 0;
            for (unsigned p = 0; p < pixels; p++)
                for (unsigned h = 0; h < 2; h++) {
                    total[p][h] = _mm256_add_epi64(total[p][h], _mm256_sad_epu8(bytes[p][h], zero));
                    bytes[p][h] = zero;
                }
        }
    for (unsigned p = 0; p < pixels; p++)
        for (unsigned h = 0; h < 2; h++) {
            int64_t lanes[4];
            _mm256_storeu_si256((__m256i *)lanes, _mm256_add_epi64(total[p][h], _mm256_sad_epu8(
                                                                       bytes[p][h], zero)));
            for (unsigned o = 0; o < 4; o++)
                counts[from + p][group * GROUP + 4 * h + o] = (int32_t)lanes[o];
        }
}

#include "packed_pairs.h"

static TARGET uint64_t sign_bits(const float *x, const float *flips, const float *bounds, size_t n)
{
    uint64_t bits = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 value = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(flips + i));
        __m256 mask = _mm256_cmp_ps(value, _mm256_loadu_ps(bounds + i), _CMP_GE_OQ);
        bits |= (uint64_t)(unsigned)_mm256_movemask_ps(mask) << i;
    }
    return i == n ? bits : bits | plain_bits(x, flips, bounds, i, n);
}

#include "packed_turn.h"

static int is_supported(void) { return __builtin_cpu_supports("avx2"); }

extern const packed_kernels packed_avx2;
const packed_kernels packed_avx2 = {"avx2", is_supported, run};
#else
typedef int packed_no_avx2;
#endif
