static void lookup(const int8_t table[256], int32_t size, const int8_t *numbers, int8_t *result) {
  for (int32_t i = 0; i < size; ++i) result[i] = table[(uint8_t)numbers[i]];
}
