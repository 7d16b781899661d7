/* Start of a program on one of QEMU's mps2 boards, and a count of instructions.
   With -icount shift=0, an instruction takes a nanosecond. The boards' SysTick runs at 25 MHz, so a
   tick stands for 40 instructions. */
#include <stdint.h>

#define SYST_CSR (*(volatile uint32_t*)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t*)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t*)0xE000E018u)
#define CPACR (*(volatile uint32_t*)0xE000ED88u)
#define TICKS 0x1000000u
#define INSTRUCTIONS_PER_TICK 40u

extern uint32_t _bss_start, _bss_end, _stack_top;
extern void initialise_monitor_handles(void);
extern void __libc_init_array(void);
extern void exit(int);
extern int main(void);

static volatile uint32_t overflows;

void tick_overflow(void) { ++overflows; }

/* What the C++ library expects of a start file. */
void* __dso_handle = 0;
void _init(void) {}
void _fini(void) {}

void start(void) {
  CPACR |= 0xFu << 20; /* switch the floating-point unit on, where there is one */
  for (uint32_t* word = &_bss_start; word < &_bss_end; ++word) *word = 0;
  SYST_RVR = TICKS - 1u;
  SYST_CVR = 0;
  SYST_CSR = 7;
  initialise_monitor_handles();
  __libc_init_array();
  exit(main());
}

void fault(void) { exit(3); }

/* Instructions since the start. */
unsigned long long classifier_instructions(void) {
  uint32_t before, count;
  do {
    before = overflows;
    count = TICKS - 1u - SYST_CVR;
  } while (before != overflows);
  return ((unsigned long long)before * TICKS + count) * INSTRUCTIONS_PER_TICK;
}

__attribute__((section(".vectors"), used)) static const void* const vectors[16] = {
    &_stack_top, (void*)start, (void*)fault, (void*)fault, (void*)fault, (void*)fault,
    (void*)fault, 0, 0, 0, 0, (void*)fault, (void*)fault, 0, (void*)fault, (void*)tick_overflow,
};
