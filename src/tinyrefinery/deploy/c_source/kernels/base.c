/* Right shifts of negative numbers keep the sign, and an int has 32 bits at least. */
typedef char shifts_keep_the_sign[(-1 >> 1) == -1 ? 1 : -1];
typedef char an_int_has_32_bits[sizeof(int) >= 4 ? 1 : -1];

#ifdef __GNUC__
#define NOT_INLINED __attribute__((noinline))
#else
#define NOT_INLINED
#endif
