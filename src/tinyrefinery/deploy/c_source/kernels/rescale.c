/* value x multiplier x 2^(shift - 31): rounded to 32 bits half up, then by the shift half away
   from zero. */
static int32_t rescale(int32_t value, int32_t multiplier, int32_t shift) {
  const int32_t shifted = shift > 0 ? value * (1 << shift) : value;
  const int32_t high = (int32_t)(((int64_t)shifted * multiplier + 0x40000000) >> 31);
  if (shift >= 0) return high;
  return (high + (1 << (-shift - 1)) - (high < 0)) >> -shift;
}
