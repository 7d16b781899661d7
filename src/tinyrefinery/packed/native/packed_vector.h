/* The floats that a variant computes at once: LANES of them, in the vectors of GCC and Clang. With
   another compiler, or with PACKED_SCALAR, one float after the other. The sums are the same. */

#ifdef __GNUC__
#define ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE inline
#define PACKED_SCALAR
#endif

#ifdef PACKED_SCALAR
#undef LANES
#define LANES 1
#define UNROLL
typedef float vector;
typedef float loose;
#else
#define UNROLL _Pragma("GCC unroll 16")
typedef float vector __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#endif
