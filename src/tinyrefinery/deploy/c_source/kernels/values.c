static void values(float scale, int32_t zero, int32_t size, const int8_t *numbers, float *result) {
  for (int32_t i = 0; i < size; ++i) result[i] = (float)(numbers[i] - zero) * scale;
}
