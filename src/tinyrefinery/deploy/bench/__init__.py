"""Benchmark the latency of networks on this machine."""
