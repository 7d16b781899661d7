"""C99 sources of int8 networks: one file with its runtime, for any processor with a C compiler."""
