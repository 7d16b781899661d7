/* `turn` with the registers of AVX, for both variants that have them. */

static TARGET void turn(const float *from, size_t from_line, float *to, size_t to_line)
{
    __m256 rows[8], pairs[8], fours[8];
    UNROLL for (unsigned i = 0; i < 8; i++)
        rows[i] = _mm256_loadu_ps(from + i * from_line);
    UNROLL for (unsigned i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    UNROLL for (unsigned i = 0; i < 8; i += 4)
        for (unsigned h = 0; h < 2; h++) {
            fours[i + 2 * h] = _mm256_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0x44);
            fours[i + 2 * h + 1] = _mm256_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0xEE);
        }
    UNROLL for (unsigned i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * to_line, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * to_line,
                         _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31));
    }
}
